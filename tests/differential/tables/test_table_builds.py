"""Files that postmap and postalias build and files that gatepost builds: the same entries, each readable and changeable by the other."""
import os
import re
import time

import pytest

from gp.postfix import Commands
from test_table_answers import BUILT, gatepost, write

ALIASES = '''# comment
Root: joe, "a b"@example.org ,
 |"/bin/false -x \\"y\\"", :include:/etc/list, /var/mail/x
"quoted name": a
"quo\\"ted": b
back\\ slash: c\\@d, e\\\\f
postmaster:root
comment (one (two) \\) three) : (four) five (six
literal: joe@[192.0.2.1], [a\\]b]
group: x:y;z, a!b%c <d@e> "" .
empty: ""
"": emptyname
owner-list: "|/usr/bin/x y", me
dup: one
DUP: two
jos\u00c9: \u00e9
no colon
novalue:
: noname
two, names: x
at@home: x
percent%home: x
end: a, ,
comma: ,
last: a
  b
'''
COMMANDS = [('postmap', ()), ('postalias', ('-a',))]


@pytest.fixture(scope='module')
def postfix(place):
    return Commands(place)


def entries(text):
    """The lines of a dump, without what says when and where it was made."""
    return sorted(line for line in text.decode().splitlines() if not re.match('YP_LAST_MODIFIED|YP_MASTER_NAME', line))


def dumps(postfix, command, options, name):
    """What both say is in it, which is the same."""
    code, ours, err = gatepost('dump', *options, name)
    assert code == 0, err
    if name.startswith('cdb:'):
        return entries(ours)        # postmap -s cannot list them
    code, theirs, err = postfix.run(command, '-s', name)
    assert code == 0, err
    assert sorted(theirs.splitlines()) == sorted(ours.splitlines())
    return entries(ours)


def source(command):
    if command == 'postalias':
        return ALIASES
    return ''.join('Key%d@example.org value %d %s\n' % (i, i, 'v' * (i * 37 % 9000 if i % 50 == 0 else i % 60)) for i in range(1200)) + '"a b"@x  y\nkey7@example.org again\n'


@pytest.mark.parametrize('kind', BUILT)
@pytest.mark.parametrize('command,options', COMMANDS)
def test_same_entries(folder, postfix, kind, command, options):
    theirs, ours = ('%s:%s' % (kind, write(os.path.join(folder, n), source(command))) for n in ('theirs', 'ours'))
    code, _, warned = postfix.run(command, theirs)
    assert code == 0
    code, _, said = gatepost('build', *options, ours)
    assert code == 0
    assert dumps(postfix, command, options, theirs) == dumps(postfix, command, options, ours)
    # The same lines are complained of, but for duplicates, where postmap names none.
    lines = [re.findall(rb'line (\d+)', text) for text in (warned, re.sub(rb'.* again: .*\n', b'', said))]
    assert lines[0] == lines[1]
    assert warned.count(b'duplicate entry') == said.count(b' again: ')


@pytest.mark.parametrize('kind', BUILT)
def test_signature(folder, postfix, kind):
    path = write(os.path.join(folder, 'aliases'), 'root: joe\n')
    before = int(time.time())
    assert gatepost('build', '-a', kind + ':' + path)[0] == 0
    at = postfix.run('postalias', '-q', 'YP_LAST_MODIFIED', '-f', kind + ':' + path)[1]
    assert before <= int(at) <= time.time()
    with open(path + BUILT[kind], 'rb') as f:
        held = f.read()
    # NIS wants its entries without NUL.
    assert b'YP_LAST_MODIFIED\0' not in held or kind in ('hash', 'btree')


@pytest.mark.parametrize('kind', ['hash', 'btree', 'lmdb'])
@pytest.mark.parametrize('first', ['postfix', 'gatepost'])
def test_changed_by_the_other(folder, postfix, kind, first):
    name = '%s:%s' % (kind, write(os.path.join(folder, 'map'), source('postmap')))

    def theirs(*args, stdin=b''):
        return postfix.run('postmap', *args, name, stdin=stdin)

    def ours(*args, stdin=b''):
        return gatepost('build', *args, name, stdin=stdin)
    one, other = (theirs, ours) if first == 'postfix' else (ours, theirs)
    assert one()[0] == 0
    assert other('-i', stdin=b'New@example.org added\nkey5@example.org kept\n')[0] == 0
    assert one('-i', '-r', stdin=b'key6@example.org replaced\n')[0] == 0
    assert other('-d', 'KEY9@example.org')[0] == 0
    assert other('-d', 'KEY9@example.org')[0] == 1
    assert one('-d', '-', stdin=b'none\nkey10@example.org\n')[0] == 0
    had = dict(line.split('\t', 1) for line in dumps(postfix, 'postmap', (), name))
    assert had['new@example.org'] == 'added' and had['key5@example.org'].startswith('value 5')
    assert had['key6@example.org'] == 'replaced' and not {'key9@example.org', 'key10@example.org'} & set(had)
    assert len(had) == 1200


@pytest.mark.parametrize('kind', BUILT)
@pytest.mark.parametrize('option', ['-n', '-N', '-f', '-F', '-r', '-w'])
def test_options(folder, postfix, kind, option):
    files = [write(os.path.join(folder, n), 'content of %s\n' % n) for n in ('one', 'two')]
    text = 'Key %s\nother %s, %s\nkey %s\nlost %s/none\n' % (files[0], files[0], files[1], files[1], folder)
    theirs, ours = ('%s:%s' % (kind, write(os.path.join(folder, n), text)) for n in ('theirs', 'ours'))
    code, _, warned = postfix.run('postmap', option, theirs)
    assert code == 0
    code, _, said = gatepost('build', option, ours)
    assert code == 0
    if (kind, option) != ('cdb', '-w'):         # there postmap keeps the second entry, too, though nobody will find it
        assert dumps(postfix, 'postmap', (), theirs) == dumps(postfix, 'postmap', (), ours)
    assert warned.count(b'warning') == said.count(b'warning')
    code, found, _ = postfix.run('postmap', '-q', '-', ours, stdin=b'key\nother\n')
    assert code == 0 and found.count(b'\n') == 2


@pytest.mark.parametrize('kind', BUILT)
@pytest.mark.parametrize('mode', [0o600, 0o640, 0o664, 0o755])
def test_mode(folder, postfix, kind, mode):
    modes = []
    for build in (lambda name: postfix.run('postmap', name), lambda name: gatepost('build', name)):
        path = write(os.path.join(folder, 'map%d' % len(modes)), 'a b\n')
        os.chmod(path, mode)
        assert build(kind + ':' + path)[0] == 0
        modes.append(oct(os.stat(path + BUILT[kind]).st_mode))
    assert modes[0] == modes[1]


@pytest.mark.skipif(os.getuid() != 0, reason='needs root')
@pytest.mark.parametrize('kind', BUILT)
def test_owner(folder, postfix, kind):
    os.chmod(folder, 0o777)
    owners, leaks = [], 'detect_leaks=0'        # the leak sanitizer cannot look at a process that has changed its user
    for build in (lambda name: postfix.run('postmap', name), lambda name: gatepost('build', name, ASAN_OPTIONS=leaks),
                  lambda name: gatepost('build', '-o', name)):
        path = write(os.path.join(folder, 'map%d' % len(owners)), 'a b\n')
        os.chown(path, 65534, 65534)
        code, _, err = build(kind + ':' + path)
        assert code == 0, err
        st = os.stat(path + BUILT[kind])
        owners.append((st.st_uid, st.st_gid))
    assert owners == [(65534, 65534), (65534, 65534), (0, 0)]
