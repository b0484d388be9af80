"""Which test shows which line of a checklist, and the tables made of it.

M and B are lines of docs/milter-conformance.md, P and Q of docs/policy-conformance.md.  A test says so in a comment, `shows: M18 B17`: in a dialogue
anywhere before the first section, elsewhere before the function.
"""
import os
import re

from .server import TOP

SHOWS = re.compile(r'shows: ((?:[MBPQ]\d+[ ,]*)+)')


def marks():
    """{'M18': ['dialogue milter_faults', ...]} of all tests but the differential cases, which have theirs in their list."""
    found = {}
    for top, _, names in os.walk(os.path.join(TOP, 'tests')):
        for name in names:
            if name.endswith(('.smtp', '.c', '.py')) and name != 'conformance.py':
                with open(os.path.join(top, name), encoding='utf-8', errors='replace') as f:
                    for line, test in marks_of(os.path.relpath(os.path.join(top, name), TOP), f.read()):
                        found.setdefault(line, []).append(test)
    return {line: sorted(tests) for line, tests in found.items()}


def marks_of(path, text):
    stem = os.path.splitext(os.path.basename(path))[0]
    for m in SHOWS.finditer(text):
        test = re.compile(r'\b(?:static void|def) (\w+)\(').search(text, m.end())
        name = 'dialogue/' + stem if path.endswith('.smtp') else '%s: %s' % (stem, test[1]) if test else stem
        for line in re.findall(r'[MBPQ]\d+', m[1]):
            yield line, name


def row(*cells):
    return '| ' + ' | '.join(c.replace('|', '\\|') for c in cells) + ' |'


def some(names, most=4):
    """The first of NAMES, and how many there are besides."""
    return ', '.join(names[:most]) + (' and %d more' % (len(names) - most) if len(names) > most else '')
