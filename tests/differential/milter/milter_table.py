"""The tables of docs/milter-conformance.md, made of the records of a run."""
import os
import zlib

import milter_run
from gp.conformance import marks, row, some
from milter_cases import CASES
from milter_differences import REASONS, reasons
from milter_sides import MODES

HERE = os.path.dirname(os.path.abspath(__file__))
MACRO_LINES = {'M2', 'M3', 'M5', 'M6', 'M7', 'M8', 'M9', 'M10', 'M11'}
LINES_MAX = 12
EVENTS = {'C': 'CONNECT', 'H': 'HELO', 'M': 'MAIL', 'R': 'RCPT', 'T': 'DATA', 'L': 'header', 'N': 'end of header', 'B': 'body',
          'E': 'end of message', 'U': 'unknown command'}


def checklist():
    """[(line, text)]"""
    with open(os.path.join(HERE, 'milter_lines.txt')) as f:
        return [tuple(line.rstrip('\n').split(' ', 1)) for line in f]


def tests():
    """{line: [test]}: the differential cases, then those that say so in a comment."""
    found = {}
    for name, case in CASES.items():
        for line in case['shows']:
            found.setdefault(line, []).append('"%s"' % name)
    for line, names in marks().items():
        found.setdefault(line, []).extend(names)
    return found


def untested():
    known = tests()
    return [line for line, _ in checklist() if line not in known]


# ---- differences.txt ----

def shortened(found):
    if len(found) <= LINES_MAX:
        return found
    rest = found[LINES_MAX - 2:]
    return found[:LINES_MAX - 2] + ['... %d more lines (%08x)' % (len(rest), zlib.crc32('\n'.join(rest).encode('utf-8', 'replace')))]


def by_mode(records, name):
    """[(modes, lines)], those of the same difference together; Sendmail's ABORTs are its own."""
    def lines(mode, aborts):
        return milter_run.difference(records[name]['peer'], records[name][mode], macros=False, aborts=aborts)

    found = []
    for mode in MODES:
        aborts = mode != 'sendmail'
        same = next((f for f in found if lines(f[0][0], aborts) == lines(mode, aborts)), None)
        if same:
            same[0].append(mode)
        else:
            found.append(([mode], lines(mode, aborts)))
    return [f for f in found if f[1]]


def differences(records):
    """What differs from Postfix, macros aside, case by case."""
    text = ['Where gatepost differs from Postfix 3.7: what Postfix says (-) and what gatepost says (+), macros aside.',
            "`client`: a command and its answer; m0: what the first milter is told, m0': in its second connection; mail: what is delivered.",
            'Written by `make conformance`; the reasons are in docs/milter-conformance.md.', '']
    for name in CASES:
        for modes, lines in by_mode(records, name):
            why = sorted(set(r for m in modes for r in reasons(name, m)))
            text += ['== %s (%s): %s' % (name, ' '.join(modes), ' '.join(why))]
            text += [line.replace('\r', '\\r').replace('\n', '\n    ') for line in shortened(lines)]
    return '\n'.join(text).encode('ascii', 'backslashreplace').decode() + '\n'


# ---- the document ----

def differs_by_macros(records, name, mode):
    return milter_run.difference(records[name]['peer'], records[name][mode], True) != \
        milter_run.difference(records[name]['peer'], records[name][mode], False)


def behaviour(records, line, mode):
    """What a run shows of gatepost in this mode about a line of the checklist."""
    names = [n for n, c in CASES.items() if line in c['shows']]
    if not names:
        return 'see the test'
    why = []
    for n in names:
        why += [r for r in reasons(n, mode) if r not in why]
    if line in MACRO_LINES and mode != 'postfix' and any(differs_by_macros(records, n, mode) for n in names):
        why.append('macros')
    return 'as Postfix' + (' but ' + ' '.join('[%s](#reasons)' % r for r in why) if why else '')


def macro_names(records, name, party, letter):
    """Those the last event of this kind has."""
    for told in reversed(records[name][party]['told'][0][0]):
        if told.startswith('MACROS ' + letter):
            return [p.split('=')[0] for p in told.split(' ')[2:] if '=' in p]
    return None


def macros_table(records):
    text = ['| stage | ' + ' | '.join(['Postfix'] + MODES) + ' |', '|---' * (len(MODES) + 2) + '|']
    for letter, event in EVENTS.items():
        cells = [macro_names(records, 'over TLS, an unknown command', party, letter) for party in milter_run.PARTIES]
        text.append(row(event, *('no list' if c is None else ' '.join(c) or 'an empty list' for c in cells)))
    return text


def table(records):
    known = tests()
    text = ['# Conformance of the milter host', '',
            'Written by `make conformance` from a run of the differential suite (tests/differential/milter): %d conversations, each with '
            "Debian's Postfix 3.7 and with gatepost under `compat = postfix`, `sendmail` and `full`, recording milters behind all of them. "
            '"As Postfix" means: every frame to every milter, every answer to the client and the message delivered are the same. '
            '`make check` plays it again and compares. Macros and ABORTs under `compat = sendmail` are compared with those of Debian\'s Sendmail 8.17 '
            '(test_sendmail.py).' % len(CASES), '',
            '## The checklist', '',
            '| | Postfix | `compat = postfix` | `sendmail` | `full` | shown by |', '|---|---|---|---|---|---|']
    lines = checklist()
    for line, about in lines:
        if line.startswith('M'):
            text.append(row(line, about, *(behaviour(records, line, m) for m in MODES), some(known.get(line, []))))
    text += ['', '## Where gatepost is better', '', '| | gatepost | shown by |', '|---|---|---|']
    text += [row(line, about, some(known.get(line, []))) for line, about in lines if line.startswith('B')]
    text += ['', '## Reasons', '', 'Why a conversation may differ from the one with Postfix; what exactly differs is in '
             'tests/differential/milter/differences.txt.', '', '| | | conversations |', '|---|---|---|']
    for key, why in REASONS.items():
        names = [n for n in CASES if any(key in reasons(n, m) for m in MODES)]
        text.append(row(key, why, str(len(names)) if names else ''))
    text += ['', '## Macros by default', '', 'As sent at each stage of a session over TLS by a client that did not log in.', '']
    return '\n'.join(text + macros_table(records)) + '\n'
