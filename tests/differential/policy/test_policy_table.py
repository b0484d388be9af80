"""The committed table says what the tests show; every line of the checklist has one."""
import os

import policy_table
from gp.server import TOP
from policy_cases import CASES
from policy_differences import DIFFERENT

WRITE = os.environ.get('GATEPOST_CONFORMANCE') == 'write'
FILE = os.path.join(TOP, 'docs/policy-conformance.md')


def test_every_line_has_a_test():
    assert not policy_table.untested()


def test_differences_are_of_cases():
    assert not set(DIFFERENT) - set(CASES)


def test_table():
    text = policy_table.table()
    if WRITE:
        with open(FILE, 'w') as f:
            f.write(text)
    with open(FILE) as f:
        same = f.read() == text         # (pytest would look for the difference of two long texts for minutes)
    assert same, 'make conformance writes it anew'
