"""gatepost table: what a table has, at a terminal."""
import os
import subprocess

import pytest

from gp.server import BINARY, PATIENCE


class Ran:
    def __init__(self, args, stdin=''):
        done = subprocess.run([BINARY, *args], input=stdin.encode(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=PATIENCE, check=False)
        self.code, self.out, self.err = done.returncode, done.stdout.decode(), done.stderr.decode()


def table(*args, stdin=''):
    return Ran(('table',) + args, stdin)


def write(path, text):
    with open(path, 'wb') as f:
        f.write(text.encode())
    return path


def configured(folder, tables):
    """A configuration with these tables."""
    write(os.path.join(folder, 'mx.sieve'), 'require ["ereject", "vnd.gatepost.mta"]; stage "rcpt" { ereject "no"; }\n')
    return write(os.path.join(folder, 'gatepost.conf'), 'hostname = "mx.example.test"\nspool = "%s"\ndns { enabled = false }\n'
                 'listener mx { address = "127.0.0.1:0" script = "mx.sieve" }\n%s' % (folder, tables))


@pytest.fixture
def text(folder):
    return 'texthash:' + write(os.path.join(folder, 'text'), 'root@example.org joe, jane\nUser@example.org  two  words\n@example.org any\n')


def test_get(text):
    said = table('get', text, 'USER@Example.Org')
    assert (said.code, said.out, said.err) == (0, 'two  words\n', '')
    said = table('get', text, 'nobody')
    assert (said.code, said.out, said.err) == (1, '', '')
    said = table('get', text, 'root@example.org', 'nobody', '@example.org')
    assert (said.code, said.out) == (0, 'root@example.org\tjoe, jane\n@example.org\tany\n')


def test_get_from_stdin(text):
    said = table('get', text, '-', stdin='nobody\nROOT@example.org\nuser@example.org')
    assert (said.code, said.out) == (0, 'ROOT@example.org\tjoe, jane\nuser@example.org\ttwo  words\n')
    assert table('get', '--aliases', text, '-', stdin='@example.org\n').out == '@example.org:\tany\n'
    assert table('get', text, '-', stdin='nobody\n').code == 1
    assert table('get', text, '-').code == 1


def test_get_parts_of_keys(text):
    assert table('get', '--use', 'address', text, 'user+x@example.org').out == 'two  words\n'
    assert table('get', '--use', 'address', text, 'else@example.org').out == 'any\n'
    said = table('get', '--use', 'anything', text, 'x')
    assert said.code == 64 and 'access-host' in said.err


def test_get_as_written(folder):
    source = write(os.path.join(folder, 'text'), 'Up 1\nlow 2\n')
    assert table('get', '-f', 'texthash:' + source, 'low').out == '2\n'
    assert table('get', '-f', 'texthash:' + source, 'LOW').code == 1


def test_dump(text):
    said = table('dump', text)
    assert said.code == 0
    assert sorted(said.out.splitlines()) == ['@example.org\tany', 'root@example.org\tjoe, jane', 'user@example.org\ttwo  words']
    said = table('dump', 'static:x')
    assert (said.code, said.out) == (1, '') and 'cannot be listed' in said.err


def test_cannot_tell(folder):
    said = table('get', 'hash:%s/none' % folder, 'x')
    assert said.code == 1 and 'none.db: No such file' in said.err
    said = table('get', 'tcp:127.0.0.1:1', 'x', 'y')
    assert said.code == 1 and said.out == '' and said.err.count('cannot tell') == 1
    said = table('get', 'nonesuch:x', 'x')
    assert said.code == 1 and 'no table type' in said.err


def test_wrong_lines_are_told(folder):
    path = write(os.path.join(folder, 'rules'), '/one/ 1\n/(/ 2\n/three/ 3\n')
    said = table('get', 'pcre:' + path, 'three')
    assert (said.code, said.out) == (0, '3\n')
    assert path + ', line 2: the rule is ignored' in said.err


def test_named_in_the_configuration(folder):
    conf = configured(folder, 'table t { map = "inline:{a=1, b=2}" }\n')
    said = Ran(('-c', conf, 'table', 'get', 't', 'B'))
    assert (said.code, said.out) == (0, '2\n'), said.err
    said = Ran(('-c', conf, 'table', 'get', 'u', 'B'))
    assert said.code == 1 and 'no table of that name' in said.err
    assert Ran(('-c', conf + '.none', 'table', 'get', 't', 'B')).code == 66


@pytest.mark.parametrize('args', [(), ('nonesuch',), ('get',), ('get', 'inline:{a=1}'), ('get', '-x', 'inline:{a=1}', 'a'), ('dump', 'inline:{a=1}', 'a')])
def test_usage(args):
    said = table(*args)
    assert said.code == 64 and 'usage:' in said.err
