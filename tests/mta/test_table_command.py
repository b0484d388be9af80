"""gatepost table: what a table has, at a terminal."""
import fcntl
import os
import subprocess

import pytest

from gp.server import BINARY, PATIENCE, wait_for


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
    assert table('get', '--use', 'recipient', 'inline:{user=1}', 'user+x@example.org').out == '1\n'
    said = table('get', '--use', 'anything', text, 'x')
    assert said.code == 64 and 'access-host' in said.err


def test_get_as_written(folder):
    source = write(os.path.join(folder, 'text'), 'Up 1\nlow 2\n')
    for name in ('texthash:' + source, 'inline:{Up=1, low=2}'):
        assert table('get', '-f', name, 'low').out == '2\n'
        assert table('get', '-f', name, 'LOW').code == 1
        assert table('get', '-f', name, 'Up').out == '1\n'
        assert table('get', '-f', name, 'up').code == 1
        assert table('get', name, 'up').out == '1\n'


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
    # What a name service says, or that there is none.
    said = table('get', 'tcp:nonesuch.invalid:1', 'x')
    assert said.code == 1 and 'cannot connect: the name ' in said.err
    said = table('get', 'nonesuch:x', 'x')
    assert said.code == 1 and 'no table type' in said.err
    said = table('get', folder + '/map', 'x')
    assert said.code == 1 and 'it needs a type and a name, as in "hash:%s/map"' % folder in said.err


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


KINDS = {'hash': '.db', 'btree': '.db', 'lmdb': '.lmdb', 'cdb': '.cdb'}


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


def dumped(name, *options):
    said = table('dump', *options, name)
    assert said.code == 0, said.err
    return dict(line.split('\t', 1) for line in said.out.splitlines())


SOURCE = '# one\nUser@Example.org  first\n\nlist@example.org a,\n\tb\n  # c\n  c\n"two words"@example.org\tx\n'
BUILT = {'user@example.org': 'first', 'list@example.org': 'a,\tb  c', '"two words"@example.org': 'x'}


def test_build(folder, kind):
    path = write(os.path.join(folder, 'map'), SOURCE)
    os.chmod(path, 0o640)
    said = table('build', kind + ':' + path)
    assert (said.code, said.out, said.err) == (0, '', '')
    assert dumped(kind + ':' + path) == BUILT
    assert table('get', kind + ':' + path, 'USER@example.org', 'User@x').out == 'USER@example.org\tfirst\n'
    assert os.stat(path + KINDS[kind]).st_mode & 0o777 == 0o640
    assert sorted(os.listdir(folder)) == ['map', 'map' + KINDS[kind]]


def test_build_in_the_place_of_another(folder, kind):
    path = write(os.path.join(folder, 'map'), SOURCE)
    built = path + KINDS[kind]
    assert table('build', kind + ':' + path).code == 0
    os.chmod(built, 0o604)
    old = os.open(built, os.O_RDONLY)
    before = os.pread(old, 1 << 20, 0)
    write(path, 'other@example.org y\n')
    # What an interrupted one has left.
    write(built + '.tmp', 'x' * 100000)
    os.rename(built, built + '.real')
    os.symlink('map%s.real' % KINDS[kind], built)
    write(built + '.real.tmp', 'x' * 100000)
    assert table('build', kind + ':' + path).code == 0
    assert os.path.islink(built) and os.stat(built).st_mode & 0o777 == 0o604
    assert dumped(kind + ':' + path) == {'other@example.org': 'y'}
    # Who has the old file open sees all of it still.
    assert os.pread(old, 1 << 20, 0) == before and os.fstat(old).st_nlink == 0
    os.close(old)


def test_build_keeps_the_old_file_when_it_fails(folder, kind):
    path = write(os.path.join(folder, 'map'), SOURCE)
    assert table('build', kind + ':' + path).code == 0
    os.unlink(path)
    said = table('build', kind + ':' + path)
    assert said.code == 1 and 'cannot read ' + path in said.err
    assert dumped(kind + ':' + path) == BUILT
    assert os.listdir(folder) == ['map' + KINDS[kind]]


def test_build_more(folder, kind):
    name = kind + ':' + os.path.join(folder, 'map')
    assert table('build', '-i', name, stdin='a 1\nb 2\n').code == 0
    said = table('build', '-i', name, stdin='B 3\nc 4\n')
    assert said.code == 0 and 'standard input, line 1: "B" again' in said.err
    assert dumped(name) == {'a': '1', 'b': '2', 'c': '4'}
    said = table('build', '-wi', name, stdin='B 3\n')
    assert (said.code, said.err) == (0, '') and dumped(name)['b'] == '2'
    said = table('build', '-ri', name, stdin='B 3\n')
    assert (said.code, said.err) == (0, '') and dumped(name)['b'] == '3'
    assert table('build', '-d', 'A', name).code == 0
    assert table('build', '-d', 'A', name).code == 1
    assert table('build', '-d', '-', name, stdin='x\nc').code == 0
    assert dumped(name) == {'b': '3'}
    assert table('build', '-d', 'x', name + '.none').code == 1


def test_build_as_written(folder, kind):
    path = write(os.path.join(folder, 'map'), 'Up 1\nup 2\n')
    assert table('build', '-f', kind + ':' + path).err == ''
    assert dumped(kind + ':' + path) == {'Up': '1', 'up': '2'}
    assert table('get', '-f', kind + ':' + path, 'Up', 'up').out == 'Up\t1\nup\t2\n'


def test_build_with_and_without_nul(folder, kind):
    path = write(os.path.join(folder, 'map'), 'key value\n')
    for option, nul in (('-n', False), ('-N', True), ('', kind != 'cdb')):
        assert table('build', *option.split(), kind + ':' + path).code == 0
        with open(path + KINDS[kind], 'rb') as f:
            held = f.read()
        assert (b'value\0' in held and b'key\0' in held) is nul or kind in ('hash', 'btree')
        assert table('get', kind + ':' + path, 'key').out == 'value\n'


def test_build_from_files(folder, kind):
    one, two = write(os.path.join(folder, 'one'), 'first\n'), write(os.path.join(folder, 'two'), 'second')
    path = write(os.path.join(folder, 'map'), 'a %s\nb %s, %s\nc %s.none\n' % (one, one, two, one))
    said = table('build', '-F', kind + ':' + path)
    assert said.code == 0 and path + ', line 3: %s.none: No such file' % one in said.err
    assert dumped(kind + ':' + path) == {'a': 'Zmlyc3QK', 'b': 'Zmlyc3QKCnNlY29uZA=='}


def test_build_aliases(folder, kind):
    path = write(os.path.join(folder, 'aliases'), 'Root: joe, "a b"@x ,\n |"/bin/false x"\n"quoted name": :include:/etc/x\n'
                 'no colon\na@b: c\nx, y: z\nempty:\nl: (why) [1.2.3.4]\\@ <j@x>\n')
    said = table('build', '--aliases', kind + ':' + path)
    assert said.code == 0
    for line in 4, 5, 6, 7:
        assert '%s, line %d: ' % (path, line) in said.err
    had = dumped(kind + ':' + path, '-a')
    assert len(had.pop('YP_LAST_MODIFIED:')) == 10 and '.' in had.pop('YP_MASTER_NAME:')
    assert had == {'root:': 'joe, "a b"@x, |"/bin/false x"', 'quoted name:': ':include:/etc/x', '@:': '@', 'l:': '(why) [1.2.3.4] "@" <j@x>'}


def test_build_what_cannot_be(folder):
    path = write(os.path.join(folder, 'map'), 'a 1\n')
    said = table('build', 'pcre:' + path)
    assert said.code == 1 and 'cannot be built; these can be: ' in said.err and 'lmdb' in said.err
    assert table('build', 'name').code == 64
    said = table('build', 'lmdb:' + write(path, 'k' * 512 + ' v\nk w\n'))
    assert said.code == 0 and 'line 1: ' in said.err and 'too long a key' in said.err
    assert dumped('lmdb:' + path) == {'k': 'w'}


def waits_for_lock(process, path):
    """PROCESS is in the kernel's list of those who wait for a lock of the file, or ends without having waited."""
    def waits():
        with open('/proc/locks') as f:
            return process.poll() is not None or any('->' in line and ':%d ' % os.stat(path).st_ino in line for line in f)
    wait_for(waits, 'a wait for the lock')
    return process.poll() is None


# postmap locks with flock(2), other tools with fcntl(2).
@pytest.mark.parametrize('lock', [fcntl.flock, fcntl.lockf])
def test_build_waits_for_another(folder, kind, lock):
    path = write(os.path.join(folder, 'map'), 'a 1\n')
    with open(path + KINDS[kind] + '.tmp', 'wb') as other:
        lock(other, fcntl.LOCK_EX)
        with subprocess.Popen([BINARY, 'table', 'build', kind + ':' + path]) as building:
            other.write(b'the work of another')
            other.flush()
            assert waits_for_lock(building, other.name)
            os.rename(path + KINDS[kind] + '.tmp', path + KINDS[kind])
            lock(other, fcntl.LOCK_UN)
            assert building.wait(PATIENCE) == 0
    assert dumped(kind + ':' + path) == {'a': '1'}


@pytest.mark.parametrize('lock', [fcntl.flock, fcntl.lockf])
def test_change_waits_for_writer(folder, kind, lock):
    path = write(os.path.join(folder, 'map'), 'a 1\n')
    table('build', kind + ':' + path)
    with open(path + KINDS[kind], 'r+b') as other:
        lock(other, fcntl.LOCK_EX)
        with subprocess.Popen([BINARY, 'table', 'build', '-i', kind + ':' + path], stdin=subprocess.PIPE) as building:
            building.stdin.write(b'b 2\n')
            building.stdin.close()
            assert waits_for_lock(building, other.name)
            lock(other, fcntl.LOCK_UN)
            assert building.wait(PATIENCE) == 0
    assert dumped(kind + ':' + path) == {'a': '1', 'b': '2'}


def test_check(folder, kind):
    path = write(os.path.join(folder, 'map'), 'a 1\nlost\nA 2\n')
    table('build', kind + ':' + path)
    said = table('check', kind + ':' + path)
    assert said.code == 1 and said.out == ''
    assert path + ', line 2: a key without a value' in said.err and path + ', line 3: "A" again' in said.err
    write(path, 'a 1\n')
    os.utime(path, (1, 1))
    said = table('check', kind + ':' + path)
    assert (said.code, said.out, said.err) == (0, '%s:%s: ok\n' % (kind, path), '')
    os.utime(path, (1e9, 4e9))
    said = table('check', kind + ':' + path)
    assert said.code == 1 and 'is older than its source' in said.err
    write(path, 'a: b\n')
    table('build', '-a', kind + ':' + path)
    assert table('check', kind + ':' + path).err == ''
    os.truncate(path + KINDS[kind], 100)
    said = table('check', kind + ':' + path)
    assert said.code == 1 and 'cannot open' in said.err


def test_check_all(folder):
    for name in ('good', 'bad'):
        write(os.path.join(folder, name), '/x/ 1\n' if name == 'good' else '/x/ 1\n/(/ 2\n')
    conf = configured(folder, 'table one { map = "pcre:good" }\n')
    said = Ran(('-c', conf, 'table', 'check'))
    assert (said.code, said.out, said.err) == (0, conf + ': ok\n', '')
    conf = configured(folder, 'table one { map = "pcre:good" }\ntable two { map = "regexp:bad" }\ntable three { map = "cidr:bad" }\n')
    said = Ran(('-c', conf, 'table', 'check'))
    assert said.code == 1 and said.err.count('bad, line') == 3 and 'good' not in said.err
    assert Ran(('-c', conf, 'table', 'check', 'one')).code == 1
    conf = configured(folder, 'table one { map = "pcre:none" }\n')
    assert Ran(('-c', conf, 'table', 'check')).code == 78


@pytest.mark.parametrize('args', [(), ('nonesuch',), ('get',), ('get', 'inline:{a=1}'), ('get', '-x', 'inline:{a=1}', 'a'), ('dump', 'inline:{a=1}', 'a')])
def test_usage(args):
    said = table(*args)
    assert said.code == 64 and 'usage:' in said.err
