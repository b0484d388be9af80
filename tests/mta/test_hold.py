"""The hold area: messages that a gate wants held, and gatepost hold list|show|release|remove."""
import json
import os
import pwd
import re
import signal
import stat
import subprocess
import time

import pytest

from gp.actors import Hop, Milter
from gp.server import BINARY, PATIENCE, Gatepost, free_port, wait_for
from gp.smtp import Smtp

CONF = '''hostname = "mx.example.org"
spool = "spool"
workers = 1
dns { enabled = no }
%(milters)s
next_hop one { lmtp = "%(one)s" }
%(two)s
next_hop odd { lmtp = "unix:%(folder)s/nobody.sock" }
listener mx { address = "127.0.0.1:%(port)d" script = "mx.sieve" %(listener)s }
'''
SCRIPT = '''require ["envelope", "vnd.gatepost.mta"];
stage "connect" { milter [%s]; }
stage "mail" { if envelope "from" "script@example.net" { hold "the script says so"; } }
stage "rcpt" {
    if envelope :localpart "to" "alias" { redirect "first@example.org, other@example.com"; }
    elsif envelope :domain "to" "example.org" { deliver "one"; }
    elsif envelope :domain "to" "example.com" { deliver "two"; }
    elsif envelope :domain "to" "example.edu" { deliver ["odd", "one"]; }
}
'''
ODD = b'Subject: odd\r\nX-Folded: a\r\n\tb\r\n\r\n..a dot\r\n\xff\xfe 8 bit\r\n'


class Place:
    """gatepost, a milter called m that holds everything, and two LMTP next hops."""

    def __init__(self, folder, rules=('EOM -> add "X-Scan: odd" ; quarantine "looks odd" ; continue',), milters=('m',), listener='', user='', option='', **kw):
        self.folder, self.port, self.listener, self.user, self.option = folder, free_port(), listener, user, option
        self.one, self.two = Hop('one', folder, lmtp=True), Hop('two', folder, lmtp=True)
        self.milters = {name: Milter(name, folder) for name in milters}
        for rule in rules:
            self.milters['m'].rule(rule)
        self.server = Gatepost(folder, self.files(), **kw)

    def files(self, two=True, milters=None):
        sections = self.user + ''.join('milter %s { socket = "%s" %s }\n' % (n, m.endpoint, self.option) for n, m in self.milters.items() if milters is None or n in milters)
        names = ', '.join('"%s"' % n for n in self.milters if milters is None or n in milters)
        return {'gatepost.conf': CONF % dict(folder=self.folder, port=self.port, one=self.one.endpoint, milters=sections, listener=self.listener,
                                             two='next_hop two { lmtp = "%s" }' % self.two.endpoint if two else ''),
                'mx.sieve': SCRIPT % names if two else re.sub('.*deliver "two".*\n', '', SCRIPT % names)}

    def send(self, *to, content=b'Subject: x\r\n\r\ny\r\n', sender='a@example.net', params=''):
        """The id under which it is held."""
        with Smtp(self.port) as c:
            c.cmd('EHLO client.test', 250)
            c.cmd('MAIL FROM:<%s>%s' % (sender, params), 250)
            for r in to or ('b@example.org',):
                c.cmd('RCPT TO:' + (r if r.startswith('<') else '<%s>' % r), 250)
            c.cmd('DATA', 354)
            c.send(content + b'.\r\n')
            text, = c.expect(250)
            c.cmd('QUIT', 221)
        return re.fullmatch(r'2\.0\.0 Ok: queued as (\S+)', text)[1]

    def start(self, *words, user=None, file_size=None):
        limit = ['prlimit', '--fsize=%d' % file_size] if file_size else []
        return subprocess.Popen(limit + [BINARY, '-c', self.folder + '/gatepost.conf', 'hold', *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, user=user)

    def hold(self, *words, code=0, user=None, file_size=None):
        """What it prints: bytes."""
        p = self.start(*words, user=user, file_size=file_size)
        out, err = p.communicate(timeout=PATIENCE)
        self.err = err.decode()
        assert p.returncode == code, (p.returncode, out, self.err)
        return out

    def ids(self):
        return [json.loads(l)['id'] for l in self.hold('list', '-j').splitlines()]

    def listed(self):
        row, = (json.loads(l) for l in self.hold('list', '--json').splitlines())
        return row

    def close(self):
        self.server.close()
        for a in (self.one, self.two, *self.milters.values()):
            a.close()

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if kind is None:
            self.close()
        else:
            self.server.stop()
            print('\n'.join(self.server.log.lines[-40:]))


def test_held_listed_shown_released(folder):
    with Place(folder) as p:
        assert p.hold('list') == b'nothing is held\n'
        held = p.send('b@example.org', '<c@example.com> NOTIFY=NEVER', content=ODD, params=' SIZE=100 ENVID=q')
        p.server.log.wait('event=held', 'id=' + held, 'reason="looks odd"', 'gate=m')
        p.server.log.wait('event=transaction', 'id=' + held, 'held=1', 'queued as')
        assert not p.one.messages and not p.two.messages

        line = p.hold('list').decode()
        assert re.fullmatch(r'%s +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d +\d+ +2 <a@example\.net>  m: looks odd\n' % re.escape(held), line)
        row = p.listed()
        assert abs(row.pop('time') - time.time()) < 1000
        size = row.pop('size')
        assert row == {'id': held, 'from': 'a@example.net', 'to': ['b@example.org', 'c@example.com'], 'delivered': [], 'reason': 'looks odd', 'gate': 'm',
                       'listener': 'mx', 'client': '127.0.0.1'}

        message = p.hold('show', '-m', held)
        assert len(message) == size
        assert message.startswith(b'Received: from client.test (') and message.endswith(b'X-Scan: odd\r\n\r\n.a dot\r\n\xff\xfe 8 bit\r\n')
        shown = p.hold('show', held)
        assert shown.endswith(b'\n\n' + message)
        envelope = shown[:-len(message)].decode()
        for words in ('held       m: looks odd', 'helo client.test', 'listener   mx', 'from       <a@example.net> SIZE=100 ENVID=q',
                      'to         <c@example.com> NOTIFY=NEVER', '<c@example.com> for next hop two', 'gates      m'):
            assert words in envelope
        assert p.hold('show', '-H', held) == shown[:shown.index(b'\r\n\r\n') + 4]

        out = p.hold('release', held).decode()
        assert out == '%s: <b@example.org> delivered to one: 250 2.0.0 saved\n%s: <c@example.com> delivered to two: 250 2.0.0 saved\n' % (held, held)
        assert p.one.messages == [message] and p.two.messages == [message]
        assert p.one.envelopes == [('<a@example.net>', ['<b@example.org>'])]
        assert any(e.startswith('MAIL FROM:<a@example.net>') and 'ENVID=q' in e for e in p.two.events)
        assert any(e.startswith('RCPT TO:<c@example.com>') and 'NOTIFY=NEVER' in e for e in p.two.events)
        assert p.hold('list') == b'nothing is held\n'
        assert os.listdir(folder + '/spool/hold') == []
        p.hold('release', held, code=66)
        assert p.err == 'gatepost: %s: nothing of that name is held\n' % held
        assert len(p.one.messages) == 1


def test_order_all_and_remove(folder):
    with Place(folder) as p:
        held = [p.send(content=b'Subject: %d\r\n\r\n' % n) for n in range(12)]
        held.append(p.send(sender='script@example.net', content=b'Subject: last\r\n\r\n'))
        assert p.ids() == held
        assert p.hold('remove', held[3]).decode() == held[3] + ': removed\n'
        p.hold('show', held[3], code=66)
        p.hold('show', '../gatepost.conf', code=66)
        assert p.ids() == held[:3] + held[4:]
        p.hold('release', 'ALL')
        assert len(p.one.messages) == 12 and p.ids() == []
        p.hold('release', 'ALL')
        again = p.send()
        assert p.hold('remove', 'ALL').decode() == again + ': removed\n'
        assert len(p.one.messages) == 12
        p.milters['m'].expect('QUIT', skip=True)


@pytest.mark.parametrize('words', [(), ('list', 'x'), ('list', '-m'), ('show',), ('show', '-H', '-m', 'x'), ('release',), ('release', '-j', 'x'), ('drop', 'x')])
def test_usage(folder, words):
    done = subprocess.run([BINARY, '-c', folder + '/none', 'hold', *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert done.returncode == 64 and 'hold release' in done.stderr


def test_script_holds(folder):
    with Place(folder, rules=()) as p:
        held = p.send(sender='script@example.net')
        row = p.listed()
        assert (row['id'], row['gate'], row['reason']) == (held, None, 'the script says so')
        assert b' script: the script says so\n' in p.hold('list')


def test_failed_gate_holds(folder):
    with Place(folder, rules=['EOM -> close'], option='on_failure = hold', allowed=['event=milter-fault']) as p:
        held = p.send()
        row = p.listed()
        assert (row['id'], row['gate'], row['reason']) == (held, 'm', 'm failed')
        p.milters['m'].rules[:] = []
        p.hold('release', '--gates', held)
        assert len(p.one.messages) == 1


def test_large(folder):
    """More than is kept in memory, on its way in and on its way out."""
    body = b''.join(b'line %d of a message that goes to the spool\r\n' % n for n in range(40000))
    with Place(folder) as p:
        held = p.send(content=b'Subject: large\r\n\r\n' + body)
        message = p.hold('show', '-m', held)
        assert message.endswith(b'\r\nX-Scan: odd\r\n\r\n' + body)
        assert b'line 0 of' not in p.hold('show', '-H', held)
        p.milters['m'].rules[:] = []
        p.hold('release', '--gates', held)
        assert p.one.messages == [message]


@pytest.mark.skipif(os.geteuid() != 0, reason='only root can become somebody else')
@pytest.mark.parametrize('size', [10, 3 << 20])
def test_shown_to_a_full_disk(folder, size):
    """Who keeps a copy and removes the message must know that there is no copy."""
    with Place(folder) as p:
        held = p.send(content=b'Subject: x\r\n\r\n' + b'0123456789abcd\r\n' * (size >> 4))
        with open('/dev/full', 'wb') as full:
            r = subprocess.run([BINARY, '-c', folder + '/gatepost.conf', 'hold', 'show', '-m', held], stdout=full, stderr=subprocess.PIPE)
        assert (r.returncode, r.stderr) == (74, b'gatepost: the standard output cannot be written\n')


def test_shown_from_a_full_spool(folder):
    with Place(folder) as p:
        body = b'\r\n\r\n' + b'0123456789abcd\r\n' * 20000
        held = p.send(content=b'Subject: x' + body)
        assert p.hold('show', '-m', held, file_size=100).endswith(body)


def test_nothing_plays_with_the_terminal(folder):
    with Place(folder, rules=(r'EOM -> quarantine "a\xc2\x9b31m\xc3\x9b \x1b[1m" ; continue',)) as p:
        p.send()
        assert p.hold('list').endswith(b'm: a\xc2?31m\xc3\x9b ?[1m\n')
        p.milters['m'].rules[:] = []
        p.milters['m'].rule(r'EOM -> quarantine "\x9b31m\xe9" ; continue')
        p.send()
        assert p.hold('list').endswith(b'm: ?31m\xe9\n')


def test_whose_it_is(folder):
    nobody = pwd.getpwnam('nobody')
    os.mkdir(folder + '/spool')
    os.chown(folder + '/spool', nobody.pw_uid, nobody.pw_gid)
    with Place(folder, user='user = "nobody"\n') as p:
        for end in (p.one, p.two, p.milters['m']):
            os.chmod(end.endpoint[5:], 0o777)
        held = p.send('b@example.org', 'c@example.com')
        p.two.rule('RCPT -> 451 4.2.0 later')
        p.hold('release', held, code=75)
        files = [folder + '/spool/hold'] + [e.path for e in os.scandir(folder + '/spool/hold')]
        assert len(files) == 3
        for f in files:
            assert os.stat(f).st_uid == nobody.pw_uid and not os.stat(f).st_mode & 0o077
        assert p.hold('list', user='nobody') == p.hold('list')
        p.hold('list', user='daemon', code=78)
        p.user = ''
        with open(folder + '/gatepost.conf', 'w') as f:
            f.write(p.files()['gatepost.conf'])
        for words in (('list',), ('show', held), ('release', held), ('remove', 'ALL')):
            p.hold(*words, user='daemon', code=77)
            assert 'no permission' in p.err
        p.user = 'user = "nobody"\n'


def test_lmtp_is_told_for_each(folder):
    with Place(folder, listener='protocol = lmtp') as p:
        with Smtp(p.port) as c:
            c.cmd('LHLO client.test', 250)
            c.cmd('MAIL FROM:<a@example.net>', 250)
            c.cmd('RCPT TO:<b@example.org>', 250)
            c.cmd('RCPT TO:<c@example.com>', 250)
            c.cmd('DATA', 354)
            c.send('Subject: x\r\n\r\n.\r\n')
            first = c.expect(250)
            assert c.expect(250) == first
            c.cmd('QUIT', 221)
        assert p.listed()['to'] == ['b@example.org', 'c@example.com']


def test_one_hop_down_then_up(folder):
    """Who has it is not sent it again; who refuses stays."""
    with Place(folder) as p:
        p.two.rule('RCPT TO:<c@* -> 451 4.2.0 later')
        held = p.send('b@example.org', 'c@example.com')
        out = p.hold('release', held, code=75).decode()
        assert '<b@example.org> delivered to one: 250 2.0.0 saved\n' in out
        assert '<c@example.com> stays held: two: 451 4.2.0 later\n' in out
        row = p.listed()
        assert row['to'] == ['c@example.com'] and row['delivered'] == ['b@example.org']
        p.two.rules[:] = []
        p.two.rule('RCPT TO:<c@* -> 550 5.1.1 unknown')
        assert 'stays held: two: 550 5.1.1 unknown' in p.hold('release', held, code=69).decode()
        p.two.rules[:] = []
        assert p.hold('release', held).decode() == held + ': <c@example.com> delivered to two: 250 2.0.0 saved\n'
        assert len(p.one.messages) == 1 and p.two.messages == p.one.messages
        assert p.hold('list') == b'nothing is held\n'


def test_release_with_a_full_disk(folder):
    """What cannot be noted is not delivered, or each attempt would deliver it again; the last recipient needs no note."""
    with Place(folder) as p:
        held, alone = p.send('b@example.org', 'c@example.com'), p.send('b@example.org')
        for _ in range(2):
            p.hold('release', held, code=74, file_size=100)
            assert p.err == held + ': stays held: what is delivered could not be noted: No space left on device\n'
        assert not p.one.messages and not p.two.messages
        p.hold('release', alone, file_size=100)
        assert p.ids() == [held]
        p.hold('release', held)
        assert len(p.one.messages) == 2 and len(p.two.messages) == 1 and p.ids() == []


def test_alias_and_fail_over(folder):
    """A recipient's targets are its own; the next hops are tried in the order the script gave."""
    with Place(folder) as p:
        p.two.rule('RCPT -> 451 4.2.0 later')
        held = p.send('alias@example.org', 'd@example.edu')
        out = p.hold('release', held, code=75).decode()
        assert '<first@example.org> delivered to one' in out and '<other@example.com> stays held: two' in out and '<d@example.edu> delivered to odd' in out
        assert p.listed()['to'] == ['alias@example.org']
        p.two.rules[:] = []
        p.hold('release', held)
        assert sorted(e[1][0] for e in p.one.envelopes) == ['<d@example.edu>', '<first@example.org>']
        assert [e[1] for e in p.two.envelopes] == [['<other@example.com>']]


def test_gates_again(folder):
    """They are told the whole history, see the message as it is held, and what they say counts."""
    with Place(folder) as p:
        m = p.milters['m']
        held = p.send(content=b'Subject: x\r\n\r\nbody\r\n')
        assert p.hold('release', '--gates', held, code=69) == b''
        assert p.err == held + ': stays held: gate m wants it held again: looks odd\n'
        for answer, code, said in (('reply "550 5.7.1 still bad"', 69, 'gate m answers 550 5.7.1 still bad'), ('tempfail', 75, 'gate m answers 451 4.7.1'),
                                   ('discard', 69, 'gate m would discard it')):
            m.rules[:] = []
            m.rule('EOM -> ' + answer)
            p.hold('release', '--gates', held, code=code)
            assert said in p.err
        assert p.ids() == [held] and not p.one.messages
        m.rules[:] = []
        m.rule('EOM -> change 1 "X-Scan: clean" ; rcpt+ <c@example.com> ; from <new@example.net> ; continue')
        with m.changed:
            m.seen = len(m.events)
        assert '<c@example.com> delivered to two' in p.hold('release', '--gates', held).decode()
        for event in ('CONNECT * 4 * 127.0.0.1', 'HELO client.test', 'MAIL <a@example.net>', 'RCPT <b@example.org>', 'DATA', 'HEADER Subject:x', 'HEADER X-Scan:odd',
                      'EOH', 'BODY 6 body\r\n', 'EOM', 'QUIT_NC', 'QUIT'):
            m.expect(event, skip=event in ('QUIT_NC', 'QUIT'))
        assert b'X-Scan: clean\r\n\r\nbody\r\n' in p.one.messages[0] and b'odd' not in p.one.messages[0]
        assert p.one.envelopes == [('<new@example.net>', ['<b@example.org>'])] and p.two.envelopes == [('<new@example.net>', ['<c@example.com>'])]
        assert p.ids() == []


def test_gates_add_once(folder):
    """A recipient that a gate added, and that was delivered to, is not delivered to again when the rest is released."""
    with Place(folder) as p:
        m = p.milters['m']
        held = p.send()
        m.rules[:] = []
        m.rule('EOM -> rcpt+ <c@example.com> ; continue')
        p.one.rule('RCPT -> 451 4.2.0 later')
        p.hold('release', '--gates', held, code=75)
        assert len(p.two.messages) == 1 and p.listed()['delivered'] == ['c@example.com']
        p.one.rules[:] = []
        p.hold('release', '--gates', held)
        assert len(p.two.messages) == 1 and len(p.one.messages) == 1 and p.ids() == []


def test_gates_take_a_recipient_away(folder):
    with Place(folder) as p:
        held = p.send('b@example.org', 'c@example.com')
        p.milters['m'].rules[:] = []
        p.milters['m'].rule('EOM -> rcpt- <c@example.com> ; continue')
        p.hold('release', '--gates', held)
        assert len(p.one.messages) == 1 and not p.two.messages and p.ids() == []


def test_what_it_names_is_gone(folder):
    with Place(folder, milters=('m', 'n')) as p:
        held = p.send('b@example.org', 'c@example.com')
        p.server.close()
        for name, text in p.files(two=False, milters=['m']).items():
            with open(os.path.join(folder, name), 'w') as f:
                f.write(text)
        p.hold('release', held, code=78)
        assert '<c@example.com> goes to next hop two, which' in p.err and 'does not define' in p.err
        for name, text in p.files(milters=['m']).items():
            with open(os.path.join(folder, name), 'w') as f:
                f.write(text)
        p.hold('release', '--gates', held, code=78)
        assert 'its gate n is not defined' in p.err
        assert not p.one.messages
        # no server runs, and what was gone is not asked for
        p.hold('release', held)
        assert len(p.one.messages) == 1 and len(p.two.messages) == 1


def test_two_commands_at_once(folder):
    with Place(folder) as p:
        held = p.send()
        p.one.rule('MESSAGE -> wait')
        first = p.start('release', held)
        p.one.expect('MESSAGE *', skip=True)
        p.hold('release', held, code=75)
        assert p.err == 'gatepost: %s: another command is at work with it\n' % held
        p.hold('remove', held, code=75)
        assert b'Subject: x' in p.hold('show', held)
        p.one.answer('250 2.0.0 saved')
        out, err = first.communicate(timeout=PATIENCE)
        assert (first.returncode, err) == (0, b'') and b'delivered to one' in out
        assert len(p.one.messages) == 1 and p.ids() == []


def test_release_is_killed(folder):
    """Before the next hop's 250: it is held as before, and not locked.  After it, and before the next group is done: the first one is noted."""
    with Place(folder) as p:
        held = p.send('b@example.org', 'c@example.com')
        p.one.rule('RCPT -> wait')
        job = p.start('release', held)
        p.one.expect('RCPT *', skip=True)
        job.send_signal(signal.SIGKILL)
        job.communicate(timeout=PATIENCE)
        p.one.rules[:] = []
        assert p.listed()['to'] == ['b@example.org', 'c@example.com']
        p.two.rule('RCPT -> wait')
        job = p.start('release', held)
        p.two.expect('RCPT *', skip=True)
        job.send_signal(signal.SIGKILL)
        job.communicate(timeout=PATIENCE)
        p.two.rules[:] = []
        assert p.listed()['to'] == ['c@example.com'] and p.listed()['delivered'] == ['b@example.org']
        p.hold('release', held)
        assert len(p.one.messages) == 1 and len(p.two.messages) == 1


def test_server_is_killed(folder):
    """What was answered 250 is there after kill -9; what a crash left half done is cleared away at the next start."""
    with Place(folder) as p:
        held = p.send()
        p.server.process.kill()
        p.server.process.wait()
        with open(folder + '/spool/hold/0.eml', 'w') as f:
            f.write('half')
        wait_for(lambda: not p.server.log.thread.is_alive(), 'the workers to end')
        p.server = Gatepost(folder, p.files())
        wait_for(lambda: not os.path.exists(folder + '/spool/hold/0.eml'), 'the left-over to go')
        assert p.ids() == [held]
        p.hold('release', held)
        assert len(p.one.messages) == 1


def test_cannot_be_held(folder):
    """No folder to write in: the client keeps it, and nothing is left of it."""
    with Place(folder, allowed=['event=hold']) as p:
        os.rmdir(folder + '/spool/hold')
        with open(folder + '/spool/hold', 'w'):
            pass
        with Smtp(p.port) as c:
            c.cmd('EHLO client.test', 250)
            assert c.mail('a@example.net', ['b@example.org'], b'Subject: x\r\n\r\n', 451) == ['4.3.0 Error: queue file write error']
        p.server.log.wait('level=error', 'event=hold', 'cannot be held')
        assert not p.one.messages
        os.unlink(folder + '/spool/hold')
        # and the folder is made again when it is needed
        assert p.ids() == []
        assert p.send() in p.ids()
        assert stat.S_IMODE(os.stat(folder + '/spool/hold').st_mode) == 0o700


def test_damaged(folder):
    with Place(folder) as p:
        good, bad = p.send(), p.send(content=b'Subject: bad\r\n\r\n')
        with open('%s/spool/hold/%s.json' % (folder, bad), 'r+') as f:
            f.truncate(100)
        out = p.hold('list', code=65).decode()
        assert good in out and bad not in out
        assert p.err.startswith('gatepost: %s: line ' % bad)
        p.hold('show', bad, code=65)
        p.hold('release', 'ALL', code=65)
        assert len(p.one.messages) == 1
        p.hold('remove', bad)
        assert p.hold('list') == b'nothing is held\n'


def test_a_retry_is_not_held_twice(folder):
    """The client that never read our 250 (RFC 1047) gets it when it comes again; the same message once more is another one."""
    with Place(folder) as p:
        m = p.milters['m']
        m.rules[:] = []
        m.rule('EOM -> wait')
        c = Smtp(p.port)
        c.cmd('EHLO client.test', 250)
        c.cmd('MAIL FROM:<a@example.net>', 250)
        c.cmd('RCPT TO:<b@example.org>', 250)
        c.cmd('DATA', 354)
        c.send('Subject: x\r\n\r\ny\r\n.\r\n')
        m.expect('EOM', skip=True)
        c.socket.shutdown(1)
        m.answer('quarantine "looks odd" ; continue')
        p.server.log.wait('event=transaction', 'held=1')
        c.close()
        wait_for(lambda: os.path.exists(folder + '/spool/journal/delivered') and os.path.getsize(folder + '/spool/journal/delivered'), 'the journal')
        held = p.ids()
        m.rules[:] = []
        m.rule('EOM -> quarantine "looks odd" ; continue')
        with Smtp(p.port) as c:
            c.cmd('EHLO client.test', 250)
            assert 'Delivered before' in c.mail('a@example.net', ['b@example.org'], b'Subject: x\r\n\r\ny\r\n')[0]
            assert p.ids() == held and len(held) == 1
            c.mail('a@example.net', ['b@example.org'], b'Subject: x\r\n\r\ny\r\n')
            assert len(p.ids()) == 2
            c.cmd('QUIT', 221)
        assert not p.one.messages
