"""What milters are told and what is delivered: gatepost under compat = sendmail beside Debian's Sendmail, macros and all."""
import os
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor

import pytest

import milter_run
from milter_cases import CASES
from milter_sendmail import DIFFERENT, REASONS, SAME, SendmailSide, among, comparable, reason
from milter_sides import World

SETUPS = ['one', 'two']
NAMES = [n for n, c in CASES.items() if c['setup'] in SETUPS and among(n, SAME)]


@pytest.fixture(scope='module')
def records():
    """{(name, party): record or exception}"""
    if subprocess.run(['unshare', '-u', 'true'], stderr=subprocess.DEVNULL).returncode:
        pytest.skip('no namespace for a host name with a dot, which Sendmail wants')
    folder = tempfile.mkdtemp(prefix='gp.')
    os.chmod(folder, 0o755)
    found = {}
    with World(folder, SETUPS, SendmailSide, ['sendmail']) as world, ThreadPoolExecutor(len(world.sides)) as pool:
        jobs = {door: pool.submit(milter_run.run_door, side, [n for n in NAMES if CASES[n]['setup'] == door[0]]) for door, side in world.sides.items()}
        for (_, party), job in jobs.items():
            found.update({(name, party): r for name, r in job.result().items()})
    yield found
    shutil.rmtree(folder, ignore_errors=True)


# shows: M6 M7 M8 M14
@pytest.mark.parametrize('name', NAMES)
def test_as_sendmail(records, name):
    both = []
    for party in ('peer', 'sendmail'):
        if isinstance(records[name, party], Exception):
            raise records[name, party]
        both.append(comparable(name, records[name, party]))
    found = milter_run.difference(*both, macros=True)
    if reason(name):
        assert found, 'is said to differ from Sendmail, and does not'
    else:
        assert not found, 'differs from Sendmail:\n' + '\n'.join(found)


def test_reasons_are_given():
    assert set(REASONS) == set(DIFFERENT)
