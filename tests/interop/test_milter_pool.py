"""Connections to real filters that pass from session to session, and several sockets of one filter.

Who accepted how many connections is counted by a relay between gatepost and the filter.
"""
import contextlib
import os
import shutil
import signal
import socket
import tempfile
import threading

import pytest

from gp.actors import Hop
from gp.beside import message
from gp.fixtures import Fixture
from gp.server import Gatepost, free_port, wait_for
from gp.smtp import Smtp


@pytest.fixture(scope='module')
def place():
    path = tempfile.mkdtemp(prefix='gp.')
    os.chmod(path, 0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def folder():
    path = tempfile.mkdtemp(prefix='gp.')
    yield path
    shutil.rmtree(path, ignore_errors=True)


class Relay:
    """A unix socket before TARGET: counts connections and the frames QUIT_NC."""

    def __init__(self, path, target):
        self.path, self.target, self.endpoint = path, target, 'unix:' + path
        self.connections, self.sent, self.open = 0, b'', []
        self.start()

    def start(self):
        self.listener = socket.socket(socket.AF_UNIX)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)
        self.listener.bind(self.path)
        self.listener.listen(64)
        threading.Thread(target=self.accept, args=(self.listener,), daemon=True).start()

    def accept(self, listener):
        with contextlib.suppress(OSError):
            while True:
                a, _ = listener.accept()
                b = socket.socket(socket.AF_UNIX)
                b.connect(self.target.partition(':')[2])
                self.connections += 1
                self.open += [a, b]
                threading.Thread(target=self.copy, args=(a, b, True), daemon=True).start()
                threading.Thread(target=self.copy, args=(b, a, False), daemon=True).start()

    def copy(self, a, b, keep):
        with contextlib.suppress(OSError):
            while data := a.recv(65536):
                b.sendall(data)
                if keep:
                    self.sent += data
        for s in (a, b):
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)

    def close(self):
        """As a filter that is killed: nobody listens, and every connection ends."""
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        os.unlink(self.path)
        for s in self.open:
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)

    def quit_ncs(self):
        return self.sent.count(b'\0\0\0\1K')

    def quits(self):
        return self.sent.count(b'\0\0\0\1Q')


class Server(Gatepost):
    def __init__(self, folder, sockets, options='', allowed=()):
        self.hop, self.port = Hop('hop', folder, lmtp=True), free_port()
        super().__init__(folder, allowed=allowed, files={
            'gatepost.conf': '''hostname = "mx.example.test"
spool = "%s/spool"
workers = 1
log { level = debug }
dns { enabled = false }
milter m { socket = {%s} %s }
next_hop hop { lmtp = "%s" }
listener mx { address = "127.0.0.1:%d" script = "mx.sieve" }
''' % (folder, ', '.join('"%s"' % s for s in sockets), options, self.hop.endpoint, self.port),
            'mx.sieve': '''require ["envelope", "vnd.gatepost.mta"];
stage "connect" { milter "m"; }
stage "rcpt" { if envelope :domain "to" "example.test" { deliver "hop"; } }
'''})

    def session(self, n, code=250):
        with Smtp(self.port) as c:
            c.cmd('EHLO client.example.net', 250)
            c.mail('a@example.test', ['b@example.test'], message('number %d' % n, 'Text.\n'), code)
            c.cmd('QUIT', 221)


def sessions(server, mark):
    """Nine of them, each with a message in which MARK tells of the filter."""
    for n in range(9):
        server.session(n)
        if n == 0:
            yield
    assert len(server.hop.messages) == 9
    for n, m in enumerate(server.hop.messages):
        assert mark in m and b'Subject: number %d\r\n' % n in m


KEPT = [('rspamd', b'X-Spamd-Result: '), ('clamav', b'X-Virus-Status: Clean'), ('spamassassin', b'X-Spam-Status: No'), ('scripted-milter', b'')]


# shows: B7
@pytest.mark.parametrize('name, mark', KEPT, ids=[k[0] for k in KEPT])
def test_sessions_share_a_connection(place, folder, name, mark):
    """Every message is seen as if it were the first of its connection."""
    with Fixture(name, os.path.join(place, name), 'unix') as f:
        relay = Relay(folder + '/relay', f.endpoint)
        with Server(folder, [relay.endpoint]) as server:
            for _ in sessions(server, mark):
                server.log.wait('event=milter-reuse', 'works=yes')
            # a session may come before the answer that says that the last one's connection can be used
            assert relay.connections <= 4
            wait_for(lambda: relay.quit_ncs() >= 8, 'QUIT_NC')
        relay.close()


OTHERS = [('opendkim', 'verify'), ('opendmarc', None)]


@pytest.mark.parametrize('name, which', OTHERS, ids=[o[0] for o in OTHERS])
def test_what_was_agreed_on_is_not_forgotten(place, folder, name, which):
    """OpenDKIM knows of the blank before a field's value only as long as nobody calls xxfi_close."""
    with Fixture(name, os.path.join(place, name), 'unix') as f:
        relay = Relay(folder + '/relay', f[which] if which else f.endpoint)
        with Server(folder, [relay.endpoint]) as server:
            for _ in sessions(server, b'Authentication-Results: '):
                pass
            assert relay.connections == 9 and not relay.quit_ncs()
        relay.close()


@pytest.fixture
def pair(place, folder):
    """One filter behind two sockets."""
    with Fixture('clamav', os.path.join(place, 'clamav'), 'unix') as f:
        relays = [Relay('%s/relay%d' % (folder, i), f.endpoint) for i in range(2)]
        yield relays
        for r in relays:
            with contextlib.suppress(OSError):
                r.close()


# shows: B8
def test_one_of_two_dies_and_comes_back(pair, folder):
    with Server(folder, [r.endpoint for r in pair], allowed=['event=milter-down']) as server:
        for n in range(3):
            server.session(n)
        assert pair[0].connections and not pair[1].connections
        pair[0].close()
        for n in range(3, 6):
            server.session(n)
        server.log.wait('event=milter-down', 'socket=' + pair[0].endpoint)
        assert pair[1].connections
        before = pair[0].connections
        pair[0].start()
        server.log.wait('event=milter-up', 'socket=' + pair[0].endpoint)
        server.session(6)
        wait_for(lambda: pair[0].connections > before + 1, 'a session at the first socket')
        assert len(server.hop.messages) == 7 and not server.log.has('event=milter-fault')


def test_kept_connections_die_unnoticed(pair, folder):
    """All of them are closed while they are idle: the next session has a new one."""
    with Server(folder, [pair[0].endpoint]) as server:
        for n in range(3):
            done = pair[0].quit_ncs()
            server.session(n)
            wait_for(lambda: pair[0].quit_ncs() > done, 'QUIT_NC')
            server.log.wait('event=milter-reuse', 'works=yes')
        before = pair[0].connections
        for s in pair[0].open:
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)
        server.session(3)
        assert pair[0].connections == before + 1 and not server.log.has('event=milter-fault')


def test_reload_and_end_with_idle_connections(pair, folder):
    """The old generation gives its connections up with QUIT, and so does the last one."""
    with Server(folder, [pair[0].endpoint]) as server:
        said = 0
        for n in range(2):
            server.session(n)
            _, said = server.log.wait('event=milter-reuse', 'works=yes', start=said)
        wait_for(lambda: pair[0].quit_ncs() == 2, 'QUIT_NC')
        assert pair[0].quits() == 1         # of the connection that found out
        seen = len(server.log.lines)
        server.process.send_signal(signal.SIGHUP)
        server.log.wait('event=ready', 'generation=2', start=seen)
        wait_for(lambda: pair[0].quits() == 2, 'QUIT')
        server.session(2)
        server.log.wait('event=milter-reuse', 'works=yes', start=seen)
        server.session(3)
        wait_for(lambda: pair[0].quit_ncs() == 4, 'QUIT_NC')
    assert pair[0].quits() == 4


def test_end_with_a_check_under_way(pair, folder):
    """A worker that is told to end does not wait for a socket that is down."""
    with socket.socket(socket.AF_UNIX) as mute:
        mute.bind(folder + '/mute')
        mute.listen(64)
        with Server(folder, ['unix:%s/mute' % folder, pair[0].endpoint], 'command_timeout = 1s', allowed=['event=milter-down']) as server:
            server.session(0)
            server.log.wait('event=milter-down', 'why="it takes too long"')
            for _ in range(2):              # the session's, and that of a check
                mute.settimeout(20)
                mute.accept()
            server.stop()
