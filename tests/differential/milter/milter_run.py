"""Plays the cases at all doors, side by side where they do not share one, and says how two records differ."""
import difflib
from concurrent.futures import ThreadPoolExecutor

from milter_cases import CASES
from milter_sides import MODES, World

PARTIES = ['peer'] + MODES


FAILURES_MAX = 3        # at one door; then the rest of its cases fail without being played, each of which may take its time


def run_door(side, names):
    found, failures = {}, []
    for name in names:
        if len(failures) == FAILURES_MAX:
            found[name] = failures[-1]
            continue
        try:
            found[name] = side.run(name, CASES[name])
        except Exception as e:                  # pylint: disable=broad-except    shown by the test of this case
            found[name] = e
            failures.append(e)
    return found


def run(folder, names):
    """{name: {party: record or exception}} of the cases of these names."""
    by_setup = {}
    for name in names:
        by_setup.setdefault(CASES[name]['setup'], []).append(name)
    records = {name: {} for name in names}
    # Those that wait for a time-out begin first.
    doors = [(setup, party) for setup in sorted(by_setup, key=lambda s: (not s.startswith('slow'), s)) for party in PARTIES]
    with World(folder, by_setup) as world, ThreadPoolExecutor(len(doors)) as pool:
        jobs = {door: pool.submit(run_door, world.sides[door], by_setup[door[0]]) for door in doors}
        for (_, party), job in jobs.items():
            for name, record in job.result().items():
                records[name][party] = record
    return records


def lines(record, macros, aborts):
    """A record as lines of text; without MACROS but where they are what a case is about, and ABORTs where they are Sendmail's."""
    withheld = ('MACROS',) * (not macros) + ('ABORT',) * (not aborts)
    found = ['client ' + h for h in record['heard']]
    for i, connections in enumerate(record['told']):
        for n, told in enumerate(connections):
            found += ['m%d%s %s' % (i, "'" * n, t) for t in told if not t.startswith(withheld)]
    for mail in record['mails']:
        found += ['mail ' + m for m in mail]
    return found


def difference(theirs, ours, macros, aborts=True):
    """The lines that only one of them has: ['- theirs', '+ ours']."""
    found = difflib.unified_diff(lines(theirs, macros, aborts), lines(ours, macros, aborts), n=0, lineterm='')
    return [d[0] + ' ' + d[1:] for d in found if d[0] in '-+' and d[:3] not in ('---', '+++')]
