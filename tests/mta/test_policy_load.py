"""Policy servers as they are in a bad week: many sessions at once, restarts under load, floods, half answers, one of two that dies."""
import os
import socket
import threading

import pytest

from gp.actors import Hop
from gp.server import PATIENCE, Gatepost, free_port, wait_for
from gp.smtp import Smtp

CONF = '''hostname = "mx.example.test"
spool = "%(folder)s/spool"
workers = 1
dns { enabled = false }
policy p { socket = {%(sockets)s} %(options)s }
next_hop hop { lmtp = "%(hop)s" }
listener mx { address = {"127.0.0.1:%(port)d"} script = "mx.sieve" }
'''
SCRIPT = '''require ["envelope", "vnd.gatepost.mta"];
stage "rcpt" { if envelope :domain "to" "example.test" { policy "p"; deliver "hop"; } }
'''


class Server:
    """Listens at a port of its own; ANSWER(connection, question number) says what to do with each question, and returns False to close."""

    def __init__(self, answer=lambda c, n: c.sendall(b'action=DUNNO\n\n')):
        self.port, self.answer, self.asked, self.open = free_port(), answer, 0, []
        self.clients = set()                    # those asked about
        self.listener, self.lock = None, threading.Lock()
        self.start()

    @property
    def endpoint(self):
        return 'inet:127.0.0.1:%d' % self.port

    def start(self):
        self.listener = socket.create_server(('127.0.0.1', self.port), backlog=64)
        threading.Thread(target=self.accept, args=(self.listener,), daemon=True).start()

    def accept(self, listener):
        while True:
            try:
                c, _ = listener.accept()
            except OSError:
                return
            with self.lock:
                gone = listener is not self.listener
                self.open.append(c)
            if gone:
                c.close()
            else:
                threading.Thread(target=self.serve, args=(c,), daemon=True).start()

    def serve(self, c):
        rest = b''
        try:
            while True:
                while b'\n\n' not in rest:
                    got = c.recv(65536)
                    if not got:
                        return
                    rest += got
                question, _, rest = rest.partition(b'\n\n')
                with self.lock:
                    self.clients.add(question.partition(b'helo_name=')[2].partition(b'\n')[0])
                    self.asked += 1
                    n = self.asked
                if self.answer(c, n) is False:
                    return
        except OSError:
            pass
        finally:
            c.close()

    def stop(self):
        """As a daemon ends: nobody listens, and every connection is closed where it is."""
        with self.lock:
            listener, self.listener = self.listener, None
            gone, self.open = self.open, []
        if listener:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        for c in gone:
            try:
                c.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


class Asker:
    def __init__(self, folder, *servers, options='', allowed=()):
        self.hop, self.port = Hop('hop', folder, lmtp=True), free_port()
        what = {'folder': folder, 'sockets': ', '.join('"%s"' % s.endpoint for s in servers), 'options': options, 'hop': self.hop.endpoint, 'port': self.port}
        self.server = Gatepost(folder, {'gatepost.conf': CONF % what, 'mx.sieve': SCRIPT}, allowed=allowed)

    def replies(self, sessions, recipients, done=lambda: True):
        """Of SESSIONS at once, the codes to RECIPIENTS recipients of each; they go on, round by round, until DONE."""
        codes = []

        def session(name):
            while True:
                with Smtp(self.port) as c:
                    c.cmd('EHLO client%d.example.net' % name, 250)
                    c.cmd('MAIL FROM:<a@example.net>', 250)
                    for i in range(recipients):
                        c.send('RCPT TO:<r%d@example.test>\r\n' % i)
                        codes.append(c.reply()[0])
                    c.cmd('QUIT', 221)
                if done():
                    break

        threads = [threading.Thread(target=session, args=(i,)) for i in range(sessions)]
        for t in threads:
            t.start()
        for t in threads:
            t.join(3 * PATIENCE)
        assert not any(t.is_alive() for t in threads)
        return codes

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.close()


# shows: Q1
def test_many_in_flight(folder):
    """The server answers when all have asked, and not before."""
    sessions = 40
    together = threading.Barrier(sessions)

    def answer(c, _):
        together.wait(PATIENCE)
        c.sendall(b'action=DUNNO\n\n')

    with Asker(folder, Server(answer)) as asker:
        assert asker.replies(sessions, 1) == [250] * sessions


# shows: P3 Q1
def test_closes_after_each(folder):
    """200 answers, a connection for each, in less time than Postfix sleeps for the first few."""
    def answer(c, _):
        c.sendall(b'action=DUNNO\n\n')
        return False

    server = Server(answer)
    with Asker(folder, server) as asker:
        assert asker.replies(4, 50) == [250] * 200
        assert server.asked == 200


# shows: P4
def test_restarted_under_load(folder):
    """No client hears of a server that is away until somebody has missed it, again and again."""
    server = Server()
    rounds, sessions = threading.Event(), 6

    def restart(log):
        at = 0
        for _ in range(4):
            server.clients.clear()
            wait_for(lambda: len(server.clients) == sessions, 'all to ask, also those who waited')
            server.stop()
            _, at = log.wait('event=policy-retry', start=at)
            server.start()
            at = len(log.lines)
        rounds.set()

    with Asker(folder, server) as asker:
        thread = threading.Thread(target=restart, args=(asker.server.log,))
        thread.start()
        codes = asker.replies(sessions, 10, done=rounds.is_set)
        thread.join(PATIENCE)
        assert set(codes) == {250} and len(codes) >= 80
        assert not asker.server.log.has('event=policy-fault')


# shows: Q3
def test_one_of_two_dies(folder):
    """Its questions go to the other; when it is back, to it again."""
    first, second = Server(), Server()
    with Asker(folder, first, second, allowed=['policy-down']) as asker:
        assert set(asker.replies(4, 10)) == {250} and first.asked and second.asked
        first.stop()
        asked = second.asked
        assert set(asker.replies(4, 10)) == {250}
        assert second.asked == asked + 40
        asker.server.log.wait('policy-down', first.endpoint)
        first.start()
        asker.server.log.wait('policy-up', first.endpoint)
        asked = first.asked
        assert set(asker.replies(4, 10)) == {250} and first.asked > asked


def flood(c, _):
    sent, gigabyte = 0, 1 << 30
    try:
        while sent < gigabyte:
            sent += c.send(b'x' * 65536)
    except OSError:
        pass
    flood.sent = sent
    return False


@pytest.mark.parametrize('answer, fault', [
    (flood, 'a line is too long'),
    (lambda c, n: c.sendall(b'action=DU') or False, 'in the middle of an answer'),
    (lambda c, n: c.sendall(b'action=DU'), 'no answer in time'),
    (lambda c, n: c.sendall(b'\n' * 100000), 'the answer has no action'),
], ids=['a gigabyte', 'half', 'half, and silent', 'empty lines'])
# shows: P4 Q3
def test_nonsense(folder, answer, fault):
    """Each costs what on_failure says, at once or when its time is over; what is too much is not read, nor kept."""
    with Asker(folder, Server(answer), options='command_timeout = 1s on_failure { protocol = continue timeout = reject connect = tempfail }',
               allowed=['policy-fault']) as asker:
        code = 550 if 'time' in fault else 250
        assert asker.replies(2, 3) == [code] * 6
        assert asker.server.log.has('policy-fault', fault)
        with open('/proc/%d/task/%d/children' % ((asker.server.process.pid,) * 2)) as f:
            workers = f.read().split()
        for pid in workers:
            with open('/proc/%s/statm' % pid) as f:
                assert int(f.read().split()[1]) * os.sysconf('SC_PAGE_SIZE') < 400 << 20
    if answer is flood:
        wait_for(lambda: hasattr(flood, 'sent'), 'the end of the flood')
        assert flood.sent < 64 << 20
