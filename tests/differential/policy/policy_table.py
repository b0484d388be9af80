"""docs/policy-conformance.md, made of the checklist, the cases, and the marks of other tests."""
import os

from gp.conformance import marks, row, some
from policy_cases import CASES
from policy_differences import DIFFERENT

HERE = os.path.dirname(os.path.abspath(__file__))


def checklist():
    """[(line, Postfix, gatepost)]"""
    with open(os.path.join(HERE, 'policy_lines.txt')) as f:
        return [tuple(line.rstrip('\n').split('|')) for line in f]


def tests():
    """{line: [test]}: those that say so in a comment, then the cases."""
    found = marks()
    for name, case in CASES.items():
        for line in case.shows:
            found.setdefault(line, []).append('"%s"' % name)
    return found


def untested():
    known = tests()
    return [line for line, _, _ in checklist() if line not in known]


def table():
    known, lines = tests(), checklist()
    text = ['# Conformance of the policy client and of access(5)', '',
            'Written by `make conformance`, compared by `make check`. Quoted names are conversations of tests/differential/policy: each of the %d is played with '
            "Debian's Postfix 3.7 and with gatepost under `compat = postfix`, a recording policy server and recording next hops behind both. What the client hears, "
            'what the server is asked, and what is delivered or held is the same, but for the list below. test_access plays the same actions from tables, test_policy_tls '
            'certificates.' % len(CASES), '', '## The checklist', '', '| | Postfix | gatepost | shown by |', '|---|---|---|---|']
    text += [row(line, theirs, ours, some(known.get(line, []), 6)) for line, theirs, ours in lines if theirs]
    text += ['', '## Where gatepost is better', '', '| | | shown by |', '|---|---|---|']
    text += [row(line, ours, some(known.get(line, []), 6)) for line, theirs, ours in lines if not theirs]
    text += ['', '## Differences', '', 'What is not the same in a conversation: what the client heard, what the server was asked, what was got by the next hops.', '',
             '| conversation | | why |', '|---|---|---|']
    text += [row('"%s"' % name, what, why) for name, (what, why) in DIFFERENT.items()]
    return '\n'.join(text) + '\n'
