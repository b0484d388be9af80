"""What Debian's postmap -q finds in a table, and what gatepost table get does: values and exit codes.

Files that are built are built by both, and each is asked by both.  What differs must be on the list of table_differences.py, and must differ.
"""
import os
import subprocess

import pytest

import table_cases
import table_generate
from gp.postfix import Commands
from gp.server import BINARY, PATIENCE
from table_differences import REASONS

BUILT = {'hash': '.db', 'btree': '.db', 'lmdb': '.lmdb', 'cdb': '.cdb'}
CASES = [(name, kind, text, list(dict.fromkeys(keys + table_cases.POOL))) for name, kind, text, keys in table_cases.CASES + table_generate.CASES]


def gatepost(*args, stdin=b'', **env):
    done = subprocess.run([BINARY, 'table', *args], input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=PATIENCE, check=False,
                          env=dict(os.environ, **env))
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope='module')
def postfix(place):
    return Commands(place)


class Postmap:
    def __init__(self, commands):
        self.commands = commands

    def get(self, name, key, stdin=b''):
        return self.commands.run('postmap', '-q', key, name, stdin=stdin)

    def build(self, name):
        return self.commands.run('postmap', name)


class Gatepost:
    @staticmethod
    def get(name, key, stdin=b''):
        return gatepost('get', name, key, stdin=stdin)

    @staticmethod
    def build(name):
        return gatepost('build', name)


def answers(side, name, keys):
    """{key: value, or None}, and the exit code for all of them; a key of several lines goes alone: {key: (code, value)}."""
    lines = [k for k in keys if '\n' not in k]
    code, out, _ = side.get(name, '-', ''.join(k + '\n' for k in lines).encode())
    found = {}
    said = out.decode('utf-8', 'surrogateescape').split('\n')[:-1]
    for k in lines:
        if said and said[0].startswith(k + '\t'):
            found[k] = said.pop(0)[len(k) + 1:]
    assert not said, 'not understood: %s' % said[0]
    answer = {k: found.get(k) for k in lines}
    for k in keys:
        if '\n' in k:
            answer[k] = side.get(name, k)[:2]
    answer['exit code'] = code
    return answer


def different(a, b):
    return {k: (a[k], b[k]) for k in a if a[k] != b[k]}


def write(path, text):
    with open(path, 'wb') as f:
        f.write(text if isinstance(text, bytes) else text.encode())
    os.utime(path, (1, 1))
    return path


@pytest.mark.parametrize('name,kind,text,keys', CASES, ids=[c[0] for c in CASES])
def test_answers(folder, postfix, name, kind, text, keys):
    theirs, ours = Postmap(postfix), Gatepost()
    if kind not in table_cases.FILES:
        maps = [kind.rstrip(':') + ':' + text]
    else:
        maps = [kind + ':' + write(os.path.join(folder, 'theirs'), text)]
    if kind in BUILT:
        maps.append(kind + ':' + write(os.path.join(folder, 'ours'), text))
        assert theirs.build(maps[0])[0] == 0
        assert ours.build(maps[1])[0] == 0
    expected = answers(theirs, maps[0], keys)
    found = different(expected, answers(ours, maps[0], keys))
    if kind in BUILT:
        assert different(expected, answers(theirs, maps[1], keys)) == {}, 'what gatepost built'
    listed = {k for pattern, allowed, _ in REASONS if pattern.fullmatch(name) for k in allowed}
    print({k: v for k, v in found.items() if k not in listed})
    assert set(found) == listed & set(expected), found
