"""What milters are told, what clients hear, what is delivered: gatepost under compat = postfix, sendmail and full beside Debian's Postfix.

Each case is played at all four; what differs must be on the list of milter_differences.py, and must differ as differences.txt says.
That file and docs/milter-conformance.md are made by the run: `make conformance` writes them, `make check` compares.
"""
import os
import shutil
import tempfile

import pytest

import milter_run
import milter_table
from gp.server import TOP
from milter_cases import CASES
from milter_differences import reasons
from milter_sides import MODES

WRITE = os.environ.get('GATEPOST_CONFORMANCE') == 'write'
FILES = {'differences': os.path.join(TOP, 'tests/differential/milter/differences.txt'), 'table': os.path.join(TOP, 'docs/milter-conformance.md')}


@pytest.fixture(scope='module')
def records(request):
    mine = [i for i in request.session.items if getattr(i, 'module', None) is request.module]
    names = [i.callspec.params['name'] for i in mine if hasattr(i, 'callspec') and 'name' in i.callspec.params]
    folder = tempfile.mkdtemp(prefix='gp.')
    os.chmod(folder, 0o755)
    yield milter_run.run(folder, names)
    shutil.rmtree(folder, ignore_errors=True)


def record(records, name, party):
    found = records[name][party]
    if isinstance(found, Exception):
        raise found
    return found


@pytest.mark.parametrize('name', CASES)
def test_equal(records, name):
    theirs = record(records, name, 'peer')
    for mode in MODES:
        found = milter_run.difference(theirs, record(records, name, mode), macros=mode == 'postfix', aborts=mode != 'sendmail')
        if reasons(name, mode):
            assert found, 'is said to differ under compat = %s, and does not' % mode
        else:
            assert not found, 'differs from Postfix under compat = %s:\n%s' % (mode, '\n'.join(found))


@pytest.mark.parametrize('which', FILES)
def test_what_the_run_gives(records, which):
    """The committed files say what was found; every line of the checklist has a test."""
    if set(records) != set(CASES) or any(isinstance(r, Exception) for parties in records.values() for r in parties.values()):
        pytest.skip('not all cases were played')
    text = milter_table.differences(records) if which == 'differences' else milter_table.table(records)
    if WRITE:
        with open(FILES[which], 'w') as f:
            f.write(text)
    with open(FILES[which]) as f:
        same = f.read() == text         # (pytest would look for the difference of two long texts for minutes)
    assert same, 'make conformance writes it anew'


def test_every_line_has_a_test():
    assert not milter_table.untested()
