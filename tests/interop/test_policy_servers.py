"""Real policy servers: postgrey, policyd-spf (behind a socket, and run by gatepost), policyd-weight, postfwd."""
import os
import signal
import threading
import time

import pytest

from gp.actors import Hop
from gp.fixtures import Fixture, alive
from gp.postfix import Postfix
from gp.server import BINARY, PATIENCE, Gatepost, free_port, wait_for
from gp.smtp import Smtp

CONF = '''hostname = "mx.example.test"
spool = "%(folder)s/spool"
workers = 1
dns { enabled = false }
policy asked { socket = "%(endpoint)s" %(options)s }
next_hop hop { lmtp = "%(hop)s" }
listener mx { address = {"127.0.0.1:%(port)d"} script = "mx.sieve" xclient = {"127.0.0.0/8"} }
'''
SCRIPT = '''require ["envelope", "vnd.gatepost.mta"];
stage "rcpt" { if envelope :domain "to" "example.test" { policy "asked"; deliver "hop"; } }
'''
NOBODY = 'user = "nobody"' if os.geteuid() == 0 else ''
CONTENT = b'Subject: hello\r\n\r\ntext\r\n'


class Asker:
    """gatepost between a client and a next hop, with one policy server at RCPT."""

    def __init__(self, folder, endpoint, options='', **how):
        self.hop, self.port = Hop('hop', folder, lmtp=True), free_port()
        what = {'folder': folder, 'endpoint': endpoint, 'hop': self.hop.endpoint, 'port': self.port, 'options': options}
        self.server = Gatepost(folder, {'gatepost.conf': CONF % what, 'mx.sieve': SCRIPT}, **how)

    def client(self, address):
        c = Smtp(self.port)
        c.cmd('EHLO client.example.net', 250)
        c.cmd('XCLIENT ADDR=%s NAME=client.example.net' % address, 220)
        c.cmd('EHLO client.example.net', 250)
        return c

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.close()


@pytest.mark.parametrize('kind', ['unix', 'inet'])
def test_postgrey(folder, kind):
    with Fixture('postgrey', folder, kind) as postgrey, Asker(folder, postgrey.endpoint) as asker:
        # One that is not greylisted, and one recipient who wants all.
        with asker.client('192.0.2.10') as c:
            c.mail('a@example.net', ['b@example.test'], CONTENT)
        with asker.client('192.0.2.77') as c:
            c.cmd('MAIL FROM:<a@example.net>', 250)
            said, = c.cmd('RCPT TO:<b@example.test>', 450)
            assert said.startswith('4.2.0 ') and 'Greylisted for 2 seconds' in said
            c.cmd('RCPT TO:<postmaster@example.test>', 250)
        assert len(asker.hop.messages) == 1 and b'X-Greylist' not in asker.hop.messages[0]
        end = time.monotonic() + 20             # postgrey has a clock of its own
        while True:
            with asker.client('192.0.2.77') as c:
                c.cmd('MAIL FROM:<a@example.net>', 250)
                c.send('RCPT TO:<b@example.test>\r\n')
                if c.reply()[0] == 250:
                    c.cmd('DATA', 354)
                    c.send(CONTENT + b'.\r\n')
                    c.expect(250)
                    break
            assert time.monotonic() < end
        assert asker.hop.messages[1].startswith(b'X-Greylist: delayed ') and b'\r\nReceived: ' in asker.hop.messages[1]


# shows: P4
def test_postgrey_is_restarted(folder):
    """While clients come and go: none of them notices.  (It starts in half a second, but not on a machine that has other things to do.)"""
    with Fixture('postgrey', folder, 'unix') as postgrey, Asker(folder, postgrey.endpoint, 'retry_delay = 5s') as asker:
        codes, over = [], threading.Event()

        def client(name):
            while not over.is_set():
                with asker.client('192.0.2.10') as c:
                    c.cmd('MAIL FROM:<%s@example.net>' % name, 250)
                    for _ in range(5):
                        c.send('RCPT TO:<b@example.test>\r\n')
                        codes.append(c.reply()[0])

        clients = [threading.Thread(target=client, args=(name,)) for name in 'abc']
        for c in clients:
            c.start()
        wait_for(lambda: len(codes) > 30, 'answers')
        postgrey.restart()
        before = len(codes)
        wait_for(lambda: len(codes) > before + 30, 'answers')
        over.set()
        for c in clients:
            c.join(PATIENCE)
        assert set(codes) == {250}


def test_policyd_spf(folder):
    with Fixture('dns', folder, FX_DNS='127.0.53.7'), Fixture('policyd-spf', folder, FX_DNS='127.0.53.7') as spf, Asker(folder, spf.endpoint) as asker:
        with asker.client('192.0.2.10') as c:
            # Two recipients, one instance: one field.
            c.mail('a@sender.test', ['b@example.test', 'c@example.test'], CONTENT)
            c.mail('a@nospf.example.test', ['b@example.test'], CONTENT)
        with asker.client('198.51.100.7') as c:
            c.cmd('MAIL FROM:<a@sender.test>', 250)
            said, = c.cmd('RCPT TO:<b@example.test>', 550)
            assert said.startswith('5.7.23 ') and 'SPF' in said
        passed, none = asker.hop.messages
        assert passed.startswith(b'Received-SPF: Pass ') and passed.count(b'Received-SPF') == 1
        assert none.startswith(b'Received-SPF: None ')


def children(pid):
    with open('/proc/%d/task/%d/children' % (pid, pid)) as f:
        return [int(p) for p in f.read().split() if alive(int(p))]


def processes(server):
    """Of the commands that gatepost runs now; its spawners are its children, as its workers are, which have none."""
    return [p for child in children(server.process.pid) for p in children(child)]


def test_policyd_spf_run_by_gatepost(folder):
    """As master.cf's spawn(8) line has it: one process for all messages; when it is killed, another one; none is left afterwards."""
    with Fixture('dns', folder, FX_DNS='127.0.53.8'), Fixture('policyd-spf', folder, FX_DNS='127.0.53.8') as spf:
        # It knows /etc/resolv.conf only: so gatepost itself runs where that is another one.
        binary = os.path.join(folder, 'gatepost')
        with open(binary, 'w') as f:
            f.write('#!/bin/sh\nexec unshare %s %s/with-dns %s "$@"\n' % ('-m' if os.geteuid() == 0 else '-rm', spf.folder, BINARY))
        os.chmod(binary, 0o755)
        with Asker(folder, 'exec:%s/policyd-spf' % spf.folder, NOBODY, binary=binary, allowed=['command-ended']) as asker:
            with asker.client('192.0.2.10') as c:
                c.mail('a@sender.test', ['b@example.test', 'c@example.test'], CONTENT)
                c.mail('a@nospf.example.test', ['b@example.test'], CONTENT)
            with asker.client('198.51.100.7') as c:
                c.cmd('MAIL FROM:<a@sender.test>', 250)
                said, = c.cmd('RCPT TO:<b@example.test>', 550)
                assert said.startswith('5.7.23 ') and 'SPF' in said
            first, = processes(asker.server)
            os.kill(first, signal.SIGKILL)
            wait_for(lambda: not alive(first), 'its end')
            with asker.client('192.0.2.10') as c:
                c.mail('a@sender.test', ['b@example.test'], CONTENT)
            second, = processes(asker.server)
            assert second != first
            asker.server.process.send_signal(signal.SIGHUP)
            wait_for(lambda: not alive(second), 'the end of the old process')
            with asker.client('192.0.2.10') as c:
                c.mail('a@sender.test', ['b@example.test'], CONTENT)
            passed, none, *again = asker.hop.messages
            assert passed.startswith(b'Received-SPF: Pass ') and passed.count(b'Received-SPF') == 1
            assert none.startswith(b'Received-SPF: None ')
            assert [m.startswith(b'Received-SPF: Pass ') for m in again] == [True, True]
            third, = processes(asker.server)
        assert not alive(third)


def scored(port, address, helo):
    """The reply to the recipient of a client with that address; then QUIT, or the message if it is taken."""
    with Smtp(port) as c:
        c.cmd('EHLO localhost', 250)
        c.cmd('XCLIENT ADDR=%s NAME=%s' % (address, helo), 220)
        c.cmd('EHLO ' + helo, 250)
        c.cmd('MAIL FROM:<a@sender.test>', 250)
        c.send('RCPT TO:<b@example.test>\r\n')
        code, said = c.reply()
        if code == 250:
            c.cmd('DATA', 354)
            c.send(CONTENT + b'.\r\n')
            c.expect(250)
        return code, said


WEIGHED = [
    ('192.0.2.25', 'mail.sender.test', 250),
    ('192.0.2.66', 'listed.sender.test', 550),
]


def test_policyd_weight_beside_postfix(folder):
    """The same scores, each by a server of its own, which remembers: what is refused, with its words, and the field that tells why the other is not."""
    theirs = os.path.join(folder, 'p')
    os.mkdir(theirs)
    with Fixture('dns', folder, FX_DNS='127.0.53.9'), Fixture('policyd-weight', folder, FX_DNS='127.0.53.9') as weight, \
            Fixture('policyd-weight', theirs, FX_DNS='127.0.53.9') as other:
        main = 'smtpd_recipient_restrictions = check_policy_service %s, permit_mynetworks, reject_unauth_destination\n' % other.endpoint
        with Asker(folder, weight.endpoint) as asker, Postfix(theirs, main + 'smtpd_authorized_xclient_hosts = 127.0.0.0/8') as postfix:
            for address, helo, code in WEIGHED:
                ours, (their_code, their_text) = scored(asker.port, address, helo), scored(postfix.port, address, helo)
                assert ours[0] == their_code == code
                if code != 250:
                    assert their_text == ['5.7.1 <b@example.test>: Recipient address rejected: ' + ours[1][0].split(' ', 1)[1]]
            wait_for(postfix.mails, 'the mail that Postfix took')
            field = next(l for l in asker.hop.messages[0].split(b'\r\n') if l.startswith(b'X-policyd-weight: '))
            assert field in postfix.mails()[0] and len(asker.hop.messages) == 1


RULES = '''id=R001; client_address==192.0.2.66; action=REJECT you are not welcome
id=R002; sender==slow@example.net; action=DEFER_IF_PERMIT later
id=R003; client_address==192.0.2.0/24; action=PREPEND X-Postfwd: R003
'''


def test_postfwd(folder):
    """postfwd1, rules from a file, run by gatepost."""
    with open(os.path.join(folder, 'rules'), 'w') as f:
        f.write(RULES)
    with Fixture('postfwd', folder, FX_RULES=os.path.join(folder, 'rules')) as postfwd, Asker(folder, postfwd.endpoint, NOBODY) as asker:
        with asker.client('192.0.2.66') as c:
            c.cmd('MAIL FROM:<a@example.net>', 250)
            assert c.cmd('RCPT TO:<b@example.test>', 554) == ['5.7.1 you are not welcome']
        with asker.client('192.0.2.10') as c:
            c.cmd('MAIL FROM:<slow@example.net>', 250)
            assert c.cmd('RCPT TO:<b@example.test>', 450) == ['4.7.1 later']
            c.cmd('RSET', 250)
            c.mail('a@example.net', ['b@example.test'], CONTENT)
        with asker.client('198.51.100.7') as c:
            c.mail('a@example.net', ['b@example.test'], CONTENT)
        assert [m.startswith(b'X-Postfwd: R003\r\n') for m in asker.hop.messages] == [True, False]
