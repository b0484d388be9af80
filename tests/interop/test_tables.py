"""Tables made by Debian's postmap and postalias, and real table servers, asked by a script."""
import fcntl
import os
import shutil
import subprocess

import pytest

from gp.actors import Hop
from gp.fixtures import Fixture
from gp.postfix import unpack
from gp.server import BINARY, Gatepost, free_port, wait_for
from gp.smtp import Smtp


class Asked:
    """gatepost with one table: a recipient is delivered to what the table has for it, and refused when it has nothing."""

    def __init__(self, folder, table, user=None):
        self.hop, self.port = Hop('hop', folder, lmtp=True), free_port()
        if user:
            os.makedirs(folder + '/spool')
            shutil.chown(folder + '/spool', user)
        self.server = Gatepost(folder, {
            'gatepost.conf': ('user = "%s"\n' % user if user else '') + '''hostname = "mx.example.test"
spool = "%s/spool"
workers = 1
dns { enabled = false }
table t { map = "%s" }
next_hop hop { lmtp = "%s" }
listener mx { address = {"127.0.0.1:%d"} script = "mx.sieve" }
''' % (folder, table, self.hop.endpoint, self.port),
            'mx.sieve': '''require ["ereject", "variables", "vnd.gatepost.mta"];
stage "rcpt" {
    if lookup :as "value" "t" "${rcpt.to}" { ereject :code 550 :status "5.1.6" "found ${value}"; }
    ereject :code 550 :status "5.1.1" "not found";
}
'''}, allowed=['gave no answer'])

    def get(self, *keys):
        """What the table has for each: its value, None, or the code that is no answer."""
        values = []
        with Smtp(self.port) as c:
            c.cmd('EHLO client.example.net', 250)
            c.cmd('MAIL FROM:<a@example.net>', 250)
            for key in keys:
                c.send('RCPT TO:<%s>\r\n' % key)
                code, (said,) = c.reply()
                status, _, text = said.partition(' ')
                values.append(text[6:] if status == '5.1.6' else None if status == '5.1.1' else code)
        return values

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.close()


@pytest.fixture
def postfix(folder):
    """A function that runs one of Postfix's commands there."""
    root, conf = unpack(), os.path.join(folder, 'postfix')
    os.makedirs(conf)
    for name, text in (('main.cf', 'compatibility_level = 3.6\nmail_owner = list\nsetgid_group = irc\ndefault_privs = nobody\n'
                        'queue_directory = /tmp\nmeta_directory = %s\nshlib_directory = %s/usr/lib/postfix\n' % (conf, root)),
                       ('master.cf', ''), ('dynamicmaps.cf', 'pcre postfix-pcre.so dict_pcre_open\n'
                        'cdb postfix-cdb.so dict_cdb_open mkmap_cdb_open\nlmdb postfix-lmdb.so dict_lmdb_open mkmap_lmdb_open\n')):
        with open(os.path.join(conf, name), 'w') as f:
            f.write(text)

    def begin(command, *args):
        return subprocess.Popen([root + '/usr/sbin/' + command, '-c', conf, *args], env=dict(os.environ, LD_LIBRARY_PATH=root + '/usr/lib/postfix'),
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def run(command, *args, stdin=''):
        with begin(command, *args) as process:
            out, err = process.communicate(stdin, timeout=30)
        return process.returncode, out.rstrip('\n'), err
    run.begin = begin
    return run


def write(path, text):
    with open(path, 'w') as f:
        f.write(text)


KEYS = ['user0@example.org', 'USER7@Example.Org', 'user499@example.org', 'user500@example.org', 'multi@example.org', 'nobody@example.org']


@pytest.mark.parametrize('kind', ['hash', 'btree'])
def test_postmap(folder, postfix, kind):
    source = os.path.join(folder, 'map')
    write(source, ''.join('user%d@example.org  value %d\n' % (i, i) for i in range(500)) + 'multi@example.org a,\n\tb\n')
    assert postfix('postmap', kind + ':' + source)[0] == 0
    with Asked(folder, kind + ':' + source) as asked:
        said = [postfix('postmap', '-q', k, kind + ':' + source)[1] or None for k in KEYS]
        assert said == ['value 0', 'value 7', 'value 499', None, 'a,\tb', None]
        assert asked.get(*KEYS) == said
        # postmap writes in place, while we have it open.
        write(source, 'user0@example.org other\n')
        assert postfix('postmap', kind + ':' + source)[0] == 0
        assert asked.get(*KEYS[:2]) == ['other', None]
        assert postfix('postmap', '-d', 'user0@example.org', kind + ':' + source)[0] == 0
        assert asked.get(KEYS[0]) == [None]
        os.truncate(source + '.db', 5000)
        assert asked.get(*KEYS[:2]) == [451, 451]


def locked(path):
    with open(path, 'rb') as f:
        try:
            fcntl.flock(f, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


@pytest.mark.parametrize('kind', ['hash', 'btree'])
def test_postmap_at_work(folder, postfix, kind):
    """While postmap has its lock nothing can be told of the file, whatever it has written so far."""
    source = os.path.join(folder, 'map')
    table = kind + ':' + source
    write(source, 'user0@example.org value 0\n')
    assert postfix('postmap', table)[0] == 0
    with postfix.begin('postmap', '-i', table) as writer:
        writer.stdin.write(''.join('user%d@example.org  value %d\n' % (i, i) for i in range(1, 5000)))
        writer.stdin.flush()
        wait_for(lambda: locked(source + '.db'), "postmap's lock")
        said = subprocess.run([BINARY, 'table', 'get', table, KEYS[0]], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=30, check=False)
        assert (said.returncode, said.stdout) == (1, '') and 'somebody keeps it locked' in said.stderr
        writer.communicate(timeout=30)
    said = subprocess.run([BINARY, 'table', 'get', table, *KEYS], stdout=subprocess.PIPE, text=True, timeout=30, check=False)
    assert said.stdout.splitlines() == ['%s\tvalue %d' % (k, int(k[4:-12])) for k in KEYS[:4]]


@pytest.mark.parametrize('kind', ['cdb', 'lmdb'])
def test_postmap_on_disk(folder, postfix, kind):
    source = os.path.join(folder, 'map')
    table = kind + ':' + source
    write(source, ''.join('user%d@example.org  value %d\n' % (i, i) for i in range(5000)) + 'multi@example.org a,\n\tb\n'
          'long@example.org %s\n' % ('x' * 400))
    assert postfix('postmap', table)[0] == 0
    with Asked(folder, table) as asked:
        asked.server.allowed.append('event=table')
        keys = KEYS + ['user4999@example.org', 'long@example.org']
        said = [postfix('postmap', '-q', k, table)[1] or None for k in keys]
        assert said == ['value 0', 'value 7', 'value 499', 'value 500', 'a,\tb', None, 'value 4999', 'x' * 400]
        assert asked.get(*keys) == said
        # postmap moves a new cdb into place, and writes a transaction into an lmdb.
        write(source, 'user0@example.org other\n')
        assert postfix('postmap', table)[0] == 0
        assert asked.get(*KEYS[:2]) == ['other', None]
        if kind == 'lmdb':
            assert postfix('postmap', '-d', 'user0@example.org', table)[0] == 0
            assert asked.get(KEYS[0]) == [None]
        os.truncate(source + '.' + kind, 100)
        assert asked.get(*KEYS[:2]) == [451, 451]


BUILT = {'texthash': '', 'pcre': '', 'hash': '.db', 'btree': '.db', 'cdb': '.cdb', 'lmdb': '.lmdb'}


def put(folder, kind, mode, **entries):
    """Moves a table with ENTRIES into place."""
    source = os.path.join(folder, 'map')
    write(source + '.new', ''.join('/^%s@/ %s\n' % e if kind == 'pcre' else '%s@example.org %s\n' % e for e in entries.items()))
    os.chmod(source + '.new', mode)
    os.rename(source + '.new', source)
    if BUILT[kind]:
        subprocess.run([BINARY, 'table', 'build', kind + ':' + source], timeout=30, check=True)


@pytest.mark.skipif(os.getuid() != 0, reason='needs root')
@pytest.mark.parametrize('kind', BUILT)
def test_unreadable(folder, kind):
    """A new file that the server's user may not read: the old entries stay, a warning says so, and what is mended is taken."""
    path = os.path.join(folder, 'map' + BUILT[kind])
    keys = ['a@example.org', 'b@example.org', 'c@example.org']
    put(folder, kind, 0o644, a='old', b='older')
    os.link(path, path + '.kept')               # so that its inode is not used again at once
    with Asked(folder, '%s:%s/map' % (kind, folder), user='nobody') as asked:
        asked.server.allowed.append('the old entries are kept')
        assert asked.get('a@example.org') == ['old']
        os.chmod(path, 0)
        assert asked.get(*keys) == ['old', 'older', None]
        put(folder, kind, 0o600, a='new')
        os.chmod(path, 0o600)
        for _ in range(2):
            assert asked.get(*keys) == ['old', 'older', None]
        asked.server.log.wait('event=table', path + ': Permission denied: the old entries are kept')
        said = len(asked.server.log.lines)
        assert asked.get(*keys) == ['old', 'older', None]
        assert not [line for line in asked.server.log.lines[said:] if 'event=table' in line]
        os.chmod(path, 0o644)
        assert asked.get(*keys) == ['new', None, None]
        os.unlink(path)
        assert asked.get(*keys) == ['new', None, None]
        asked.server.log.wait('event=table', path + ': No such file or directory: the old entries are kept')


# Of the system, and made of others.  HASH is a table with "x y" and "y z, w".
MAPS = [
    'unix:passwd.byname', 'unix:group.byname', 'unix:shadow', 'environ:x', 'environ:', 'fail:x', 'randmap:{a}', 'randmap:{{a b}}', 'randmap:{}', 'randmap:a',
    'unionmap:{static:a,static:b}', 'unionmap:{static:a static:{b c}}', 'unionmap:{inline:{x=1,y=2},inline:{y=3}}', 'unionmap:{HASH, inline:{y=3}, HASH}',
    'unionmap:{static:a,fail:f}', 'unionmap:{fail:f,static:a}', 'unionmap:{}', 'unionmap:static:a', 'unionmap:{foo}', 'unionmap:{nosuch:foo}', 'unionmap:{static:a',
    'unionmap:{static:a}}', 'unionmap:{{static:a},static:b}', 'unionmap:{inline:{x=},static:b}', 'unionmap:{hash:/nonexistent,static:a}',
    'pipemap:{inline:{x=Y},inline:{y=z}}', 'pipemap:{inline:{x=q},inline:{y=z}}', 'pipemap:{inline:{x=q},fail:f}', 'pipemap:{fail:f,static:a}', 'pipemap:{static:a}',
    'pipemap:{}', 'pipemap:{unionmap:{static:a,static:b},inline:{{a,b = c d}}}', 'pipemap:{HASH,HASH}', 'pipemap:{HASH,regexp:/dev/null}', 'pipemap:{unix:group.byname, inline:{root:x:0:=g}}',
]


KEYS_OF_MAPS = 'x\nY\nq\nroot\nROOT\ndaemon\nno-such-name\n'


@pytest.mark.parametrize('table', MAPS)
def test_beside_postmap(folder, postfix, table, monkeypatch):
    """gatepost table get says what postmap -q says, and ends with the same code."""
    monkeypatch.setenv('x', 'a value')
    if 'HASH' in table:
        source = os.path.join(folder, 'map')
        write(source, 'x y\ny z, w\n')
        assert postfix('postmap', 'hash:' + source)[0] == 0
        table = table.replace('HASH', 'hash:' + source)
    ours = subprocess.run([BINARY, 'table', 'get', table, '-'], input=KEYS_OF_MAPS, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, timeout=30,
                          check=False)
    assert (ours.returncode, ours.stdout.rstrip('\n')) == postfix('postmap', '-q', '-', table, stdin=KEYS_OF_MAPS)[:2]


def test_postalias(folder, postfix):
    source = os.path.join(folder, 'aliases')
    write(source, 'Postmaster: root, joe\njane+x: jane\n"quoted name": |/bin/false\n')
    assert postfix('postalias', 'hash:' + source)[0] == 0
    with Asked(folder, 'hash:' + source) as asked:
        assert asked.get('POSTMASTER', 'jane+x', 'root') == ['root, joe', 'jane', None]


FILES = {
    'texthash': 'user@example.org one\nUser2@example.org\ttwo  words\nuser@example.org again\nlost\n',
    'cidr': '192.0.2.0/24 net\n!10.0.0.0/8 other\n',
    'pcre': 'if /@example\\.org$/\n/^user(\\d*)@(.*)$/ got $1 at ${2}\nendif\n!/@/ no at\n/./ any\n',
    'regexp': '/^user([0-9]*)@(.*)$/!/net$/ got $1 at $(2)\n/./ any\n',
}


@pytest.mark.parametrize('kind', FILES)
def test_files(folder, postfix, kind):
    path = os.path.join(folder, 'file')
    write(path, FILES[kind])
    os.utime(path, (1, 1))
    keys = ['user@example.org', 'USER2@EXAMPLE.ORG', 'user12@example.org', 'user@example.net', 'lost@example.org']
    with Asked(folder, '%s:%s' % (kind, path)) as asked:
        asked.server.allowed.append('event=table')
        assert asked.get(*keys) == [postfix('postmap', '-q', k, '%s:%s' % (kind, path))[1] or None for k in keys]


def test_postsrsd(folder):
    with Fixture('postsrsd', folder) as postsrsd:
        with Asked(folder, postsrsd['forward']) as asked:
            srs, own = asked.get('a@sender.test', 'a@example.test')
            assert srs.startswith('SRS0=') and srs.endswith('=sender.test=a@example.test')
            assert own == 'a@example.test'
        os.makedirs(folder + '/back')
        with Asked(folder + '/back', postsrsd['reverse']) as asked:
            assert asked.get(srs, srs.replace('SRS0=', 'SRS0=x'), 'a@example.test') == ['a@sender.test', None, None]


def test_mta_sts(folder):
    dns = Fixture('dns', folder, FX_DNS='127.0.53.8')
    with dns, Fixture('mta-sts', folder, FX_DNS='127.0.53.8', FX_TLS=dns.folder + '/tls') as sts, \
            Asked(folder, sts.endpoint) as asked:
        policy, = asked.get('example.test')
        assert policy.startswith('secure match=') and 'mx.example.test' in policy
        assert asked.get('nullmx.test') == [None]
