"""What policy servers are asked, what clients hear of their answers and what is delivered: gatepost beside Debian's Postfix."""
import pytest

import policy_sides
from policy_cases import CASES
from policy_differences import DIFFERENT

SIDES = {}


@pytest.fixture(scope='module')
def sides(place):
    def get(setup):
        if setup not in SIDES:
            SIDES[setup] = policy_sides.PostfixSide('%s/pp%s' % (place, setup), setup), policy_sides.GatepostSide('%s/gp%s' % (place, setup), setup)
        return SIDES[setup]
    yield get
    for pair in SIDES.values():
        for side in pair:
            side.close()
    SIDES.clear()


@pytest.mark.parametrize('name', CASES)
def test_equal(sides, name):
    case = CASES[name]
    theirs, ours = (policy_sides.play(side, case.client, case.rules) for side in sides(case.setup))
    but = DIFFERENT.get(name, ('', ''))[0].split()
    for what, their, our in zip(('heard', 'asked', 'got'), theirs, ours):
        if what in but:
            assert our != their, '%s is said to differ, and does not' % what
        else:
            assert our == their, what
