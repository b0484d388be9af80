"""gatepost serve: ready, reload, crash, drain, privileges."""
import contextlib
import glob
import itertools
import os
import pwd
import re
import signal
import smtplib
import socket
import subprocess

import pytest

from gp.maildir import CONF, SCRIPT
from gp.server import BINARY, Gatepost, free_port, wait_for

TEXT = 'Subject: x\r\n\r\ny\r\n'


class Server(Gatepost):
    """gatepost on a port of its own."""

    def __init__(self, gatepost, workers=2, conf='', files=(), **kw):
        self.port = free_port()
        self.base = CONF % dict(workers=workers, port=self.port) + conf
        super().__init__(gatepost.folder, dict({'gatepost.conf': self.base, 'mx.sieve': SCRIPT}, **dict(files)), **kw)

    def client(self):
        return smtplib.SMTP('127.0.0.1', self.port, 'client.test', timeout=20)

    def workers(self):
        with open('/proc/%d/task/%d/children' % (self.process.pid, self.process.pid)) as f:
            return [int(pid) for pid in f.read().split()]

    def reload(self, conf):
        with open(self.config, 'w') as f:
            f.write(conf)
        seen = len(self.log.lines)
        self.process.send_signal(signal.SIGHUP)
        return seen

    def owner_of(self, client):
        """The worker that holds this client's session."""
        port = client.sock.getsockname()[1]
        hexport = '%04X' % port
        with open('/proc/net/tcp') as f:
            inode = next(l.split()[9] for l in f if l.split()[2].endswith(':' + hexport) and l.split()[1].endswith(':%04X' % self.port))
        for pid in self.workers():
            for fd in os.listdir('/proc/%d/fd' % pid):
                with contextlib.suppress(OSError):
                    if os.readlink('/proc/%d/fd/%s' % (pid, fd)) == 'socket:[%s]' % inode:
                        return pid
        raise AssertionError('nobody holds the session')


def deliver(client, to='bob@example.org', number=itertools.count()):
    """A message unlike all others: who sends the same again after a broken connection is known to the journal."""
    return client.sendmail('a@example.net', [to], 'Subject: %d\r\n\r\ny\r\n' % next(number))


def mails(gatepost):
    folder = gatepost.folder + '/mail/example.org/bob/new'
    return len(os.listdir(folder)) if os.path.exists(folder) else 0


def test_mail_is_delivered_by_every_worker(gatepost):
    with Server(gatepost, workers=3) as server:
        assert len(server.workers()) == 3
        used = set()
        for n in range(60):
            with server.client() as c:
                used.add(server.owner_of(c))
                deliver(c)
            if len(used) == 3:
                break
        assert used == set(server.workers())
        assert mails(gatepost) == n + 1


def test_log_says_where_it_listens_and_when_it_accepts(gatepost):
    with Server(gatepost) as server:
        assert server.log.has('event=listening', 'listener=mx', 'address=127.0.0.1:%d' % server.port)
        assert server.log.has('event=ready', 'generation=1', 'workers=2')


def test_what_it_counted_is_told_at_the_end(gatepost):
    server = Server(gatepost, allowed=['event=worker-died'])
    for n in range(3):
        with server.client() as c:
            deliver(c)
    # Also by workers that are gone.
    seen = server.reload(server.base)
    server.log.wait('event=ready', 'generation=2', start=seen)
    with server.client() as c:
        deliver(c)
        c.mail('a@example.net')
    wait_for(lambda: len(server.workers()) == 2, 'the old generation to end')
    os.kill(server.workers()[0], signal.SIGKILL)
    server.log.wait('event=worker-died')
    server.close()
    assert server.log.has('event=stopped', 'sessions=4', 'accepted=4', 'refused=0')


def test_port_zero_is_told(gatepost):
    with Gatepost(gatepost.folder, {'gatepost.conf': CONF % dict(workers=2, port=0), 'mx.sieve': SCRIPT}) as server:
        line, _ = server.log.wait('event=listening')
        port = int(re.search(r'address=127\.0\.0\.1:(\d+)', line)[1])
        with smtplib.SMTP('127.0.0.1', port, timeout=20) as c:
            deliver(c)
    assert mails(gatepost) == 1


def test_unix_socket(gatepost):
    conf = CONF.replace('"127.0.0.1:%(port)d"', '"unix:in.sock"') % dict(workers=2)
    path = gatepost.folder + '/in.sock'
    with Gatepost(gatepost.folder, {'gatepost.conf': conf, 'mx.sieve': SCRIPT}):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(20)
            s.connect(path)
            assert s.recv(100).startswith(b'220 mx.test')
    assert not os.path.exists(path)


# ---- reload

def test_reload_with_a_new_configuration(gatepost):
    with Server(gatepost) as server:
        old = server.client()
        deliver(old)
        before = set(server.workers())
        seen = server.reload(server.base.replace('"mx.test"', '"new.test"').replace('workers = 2', 'workers = 3'))
        server.log.wait('event=ready', 'generation=2', 'workers=3', start=seen)
        # a connection may still reach an old worker that has not read its signal yet
        wait_for(lambda: b'new.test' in server.client().ehlo()[1], 'a worker of the new generation')
        # The old generation goes on for the session it has, as it was, and is gone when that is.
        assert b'mx.test' in old.ehlo()[1]
        deliver(old)
        assert before & set(server.workers())
        old.quit()
        wait_for(lambda: not before & set(server.workers()), 'the old workers to end')
        assert len(server.workers()) == 3


def test_a_transaction_survives_a_reload(gatepost):
    with Server(gatepost) as server:
        old = server.client()
        old.ehlo()
        assert old.mail('a@example.net')[0] == 250
        assert old.rcpt('bob@example.org')[0] == 250
        seen = server.reload(server.base + '\n# changed\n')
        server.log.wait('event=ready', 'generation=2', start=seen)
        assert old.data(TEXT)[0] == 250
    assert mails(gatepost) == 1


def test_a_bad_configuration_changes_nothing(gatepost):
    with Server(gatepost, allowed=['event=reload']) as server:
        before = server.workers()
        seen = server.reload(server.base + 'workerz = 3\n')
        server.log.wait('event=reload', 'gatepost.conf:7: unknown setting workerz; did you mean workers?', start=seen)
        server.log.wait('event=reload', 'the configuration was not changed: generation 1 serves on', start=seen)
        assert server.workers() == before
        with server.client() as c:
            deliver(c)


def test_a_script_that_relays_is_not_taken_by_a_reload(gatepost):
    with Server(gatepost, allowed=['event=reload']) as server:
        with open(gatepost.folder + '/mx.sieve', 'w') as f:
            f.write('require "vnd.gatepost.mta";\nstage "rcpt" { deliver "here"; }\n')
        seen = server.reload(server.base)
        server.log.wait('event=reload', 'listener mx is an open relay', start=seen)
        with server.client() as c:
            c.ehlo()
            c.mail('a@example.net')
            assert c.rcpt('x@example.com')[0] == 554


def test_an_address_in_use_is_not_taken_by_a_reload(gatepost):
    with Server(gatepost, allowed=['event=reload']) as server, socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        s.listen()
        seen = server.reload(server.base.replace('"127.0.0.1:%d"' % server.port, '{"127.0.0.1:%d", "127.0.0.1:%d"}' % (server.port, s.getsockname()[1])))
        server.log.wait('event=reload', 'Address already in use', start=seen)
        with server.client() as c:
            deliver(c)


def test_addresses_come_and_go(gatepost):
    with Server(gatepost) as server:
        other = free_port()
        both = '{"127.0.0.1:%d", "127.0.0.1:%d"}' % (server.port, other)
        seen = server.reload(server.base.replace('"127.0.0.1:%d"' % server.port, both))
        server.log.wait('event=ready', 'generation=2', start=seen)
        for port in server.port, other:
            with smtplib.SMTP('127.0.0.1', port, timeout=20) as c:
                deliver(c)
        seen = server.reload(server.base)
        server.log.wait('event=ready', 'generation=3', start=seen)
        wait_for(lambda: socket.socket().connect_ex(('127.0.0.1', other)) != 0, 'the second address to be closed')
        with server.client() as c:
            deliver(c)


def test_many_reloads_lose_no_mail(gatepost):
    """Who is told 421 comes again; who was told 250 has delivered once; nobody is refused a connection."""
    with Server(gatepost) as server:
        taken = 0
        for generation in range(2, 7):
            seen = server.reload(server.base)
            for _ in range(5):
                c = server.client()
                with contextlib.suppress(smtplib.SMTPServerDisconnected, smtplib.SMTPResponseException):
                    c.ehlo()
                    deliver(c)
                    taken += 1
                c.close()
            server.log.wait('event=ready', 'generation=%d' % generation, start=seen)
        assert 0 < taken == mails(gatepost)


# ---- a worker dies

def no_handler():
    return {'ASAN_OPTIONS': 'handle_segv=0:detect_leaks=1'}


def test_a_worker_that_crashes_costs_its_own_sessions_only(gatepost):
    with Server(gatepost, allowed=['event=worker-died'], env=no_handler()) as server:
        clients = [server.client() for _ in range(20)]
        for c in clients:
            c.ehlo()
        victim = server.owner_of(clients[0])
        lost = [c for c in clients if server.owner_of(c) == victim]
        assert 0 < len(lost) < 20
        os.kill(victim, signal.SIGSEGV)
        server.log.wait('event=worker-died', 'signal=SEGV', 'pid=%d' % victim, 'sessions_lost=%d' % len(lost))
        for c in clients:
            if c in lost:
                assert c.sock.recv(10) == b''
            else:
                deliver(c)
        wait_for(lambda: len(server.workers()) == 2 and victim not in server.workers(), 'the replacement')
        for _ in range(20):
            with server.client() as c:
                deliver(c)
        assert mails(gatepost) == 40 - len(lost)


def test_a_worker_that_keeps_dying_is_replaced_more_slowly(gatepost):
    with Server(gatepost, workers=1, allowed=['event=worker-died']) as server:
        dead = set()
        for _ in range(3):
            wait_for(lambda: server.workers() and not dead & set(server.workers()), 'the replacement')
            pid, = server.workers()
            seen = len(server.log.lines)
            os.kill(pid, signal.SIGKILL)
            dead.add(pid)
            server.log.wait('event=worker-died', 'signal=KILL', start=seen)
        with server.client() as c:
            deliver(c)
        times = [float(re.search(r'T\d+:\d+:([\d.]+)', l)[1]) % 60 for l in server.log.lines if 'worker-died' in l]
        assert len(times) == 3
        # The first was replaced at once, the second after 0.1 s.
        assert (times[2] - times[1]) % 60 >= 0.1


def test_workers_end_with_their_master(gatepost):
    server = Server(gatepost)
    workers = server.workers()
    server.process.kill()
    server.process.wait()
    wait_for(lambda: not any(alive(pid) for pid in workers), 'the workers to end')


def alive(pid):
    try:
        with open('/proc/%d/stat' % pid) as f:
            return f.read().rsplit(')', 1)[1].split()[0] != 'Z'
    except OSError:
        return False


# ---- the end

@pytest.mark.parametrize('signo', [signal.SIGTERM, signal.SIGINT])
def test_idle_sessions_are_told_and_the_others_finish(gatepost, signo):
    server = Server(gatepost)
    idle, busy = server.client(), server.client()
    busy.ehlo()
    busy.mail('a@example.net')
    busy.rcpt('bob@example.org')
    server.process.send_signal(signo)
    assert idle.sock.recv(1000).startswith(b'421 4.3.2')
    with pytest.raises(OSError):
        wait_for(lambda: server.client().close() and False, 'connections to be refused')
    assert server.process.poll() is None
    assert busy.data(TEXT)[0] == 250
    assert server.process.wait(20) == 0
    server.close()
    assert mails(gatepost) == 1


def test_a_second_signal_does_not_wait(gatepost):
    server = Server(gatepost)
    busy = server.client()
    busy.ehlo()
    busy.mail('a@example.net')
    server.process.send_signal(signal.SIGTERM)
    server.log.wait('event=stopping')
    seen = len(server.log.lines)
    server.process.send_signal(signal.SIGTERM)
    server.log.wait('event=stopping', start=seen)
    assert server.process.wait(20) == 0
    assert busy.sock.recv(1000).startswith(b'421')
    server.close()


def test_a_second_signal_cuts_a_delivery_short(gatepost):
    """One recipient of an LMTP client has the message, the other's next hop says nothing: no worker has to be killed, nothing is lost."""
    with socket.socket(socket.AF_UNIX) as silent, socket.socket(socket.AF_UNIX) as client:
        silent.bind(os.path.join(gatepost.folder, 'silent.sock'))
        silent.listen()
        server = Server(
            gatepost,
            workers=1,
            conf='listener lm { address = "unix:%s/lm.sock" protocol = lmtp script = "lm.sieve" }\n' % gatepost.folder
            + 'next_hop silent { lmtp = "unix:%s/silent.sock" }\n' % gatepost.folder,
            files={'lm.sieve': SCRIPT.replace('stage', 'stage "rcpt" { if envelope :is "to" "s@example.org" { deliver "silent"; stop; } }\nstage', 1)},
        )
        client.connect(os.path.join(gatepost.folder, 'lm.sock'))
        client.settimeout(20)
        answers = client.makefile('rb')
        answers.readline()
        for line in 'LHLO x', 'MAIL FROM:<a@example.net>', 'RCPT TO:<bob@example.org>', 'RCPT TO:<s@example.org>', 'DATA':
            client.sendall(line.encode() + b'\r\n')
            while answers.readline()[3:4] != b' ':
                pass
        client.sendall(b'Subject: x\r\n\r\ny\r\n.\r\n')
        wait_for(lambda: glob.glob(os.path.join(gatepost.folder, 'mail/example.org/bob/new/*')), 'the first recipient')
        for _ in range(2):
            seen = len(server.log.lines)
            server.process.send_signal(signal.SIGTERM)
            server.log.wait('event=stopping', start=seen)
        assert server.process.wait(20) == 0
        assert answers.readline().startswith(b'421 ')
        with open(os.path.join(gatepost.folder, 'spool/journal/delivered')) as f:
            assert 'bob@example.org' in f.read()
        assert not [line for line in server.log.lines if 'worker-died' in line or 'signal=KILL' in line]
        server.close()


def test_in_the_background(gatepost):
    port = free_port()
    done = gatepost('-c', 'g.conf', 'serve', '-d', conf=CONF % dict(workers=1, port=port) + 'log { target = "syslog:mail" }\n')
    assert (done.returncode, done.stderr) == (0, '')
    with open(gatepost.folder + '/spool/gatepost.pid') as f:
        pid = int(f.read())
    try:
        with smtplib.SMTP('127.0.0.1', port, timeout=20) as c:
            deliver(c)
    finally:
        os.kill(pid, signal.SIGTERM)
        wait_for(lambda: not alive(pid), 'its end')
    assert mails(gatepost) == 1


def test_in_the_background_a_failure_is_the_exit_code(gatepost):
    done = gatepost('-c', 'g.conf', 'serve', '-d', conf='hostname = \n')
    assert done.returncode == os.EX_CONFIG
    assert done.stderr.startswith('g.conf:')


# ---- privileges

root_only = pytest.mark.skipif(os.geteuid() != 0, reason='only root has privileges to drop')


@root_only
def test_workers_become_the_user(gatepost):
    nobody = pwd.getpwnam('nobody')
    os.chown(gatepost.folder + '/spool', nobody.pw_uid, nobody.pw_gid)
    os.chown(gatepost.folder + '/mail/example.org', nobody.pw_uid, nobody.pw_gid)
    with Server(gatepost, conf='user = "nobody"\n') as server:
        for pid in server.workers():
            with open('/proc/%d/status' % pid) as f:
                status = f.read()
            assert re.search(r'^Uid:\s+(\d+)\s+\1\s+\1\s+\1$', status, re.M)[1] == str(nobody.pw_uid)
            assert re.search(r'^Gid:\s+(\d+)\s+\1\s+\1\s+\1$', status, re.M)[1] == str(nobody.pw_gid)
            assert '0' not in re.search(r'^Groups:(.*)$', status, re.M)[1].split()
        with server.client() as c:
            deliver(c)
        new, = os.listdir(gatepost.folder + '/mail/example.org/bob/new')
        assert os.stat(gatepost.folder + '/mail/example.org/bob/new/' + new).st_uid == nobody.pw_uid


@root_only
def test_a_spool_the_user_cannot_write(gatepost):
    conf = CONF % dict(workers=1, port=0) + 'user = "nobody"\n'
    os.chmod(gatepost.folder + '/spool', 0o700)
    done = gatepost('-c', 'g.conf', 'check', conf=conf)
    assert done.returncode == os.EX_CANTCREAT
    assert done.stderr.endswith('the workers, as user nobody cannot write there: Permission denied\n')
    done = gatepost('-c', 'g.conf', 'serve', conf=conf)
    assert done.returncode == os.EX_CANTCREAT
    assert 'cannot write in spool' in done.stderr


@root_only
def test_as_an_ordinary_user(gatepost):
    nobody = pwd.getpwnam('nobody')
    for path in gatepost.folder, gatepost.folder + '/spool', gatepost.folder + '/mail/example.org':
        os.chown(path, nobody.pw_uid, nobody.pw_gid)
    gatepost('version', conf=CONF % dict(workers=1, port=0) + 'user = "daemon"\n')

    def run(*words):
        return subprocess.run(['setpriv', '--reuid=nobody', '--regid=nogroup', '--clear-groups', BINARY, *words], cwd=gatepost.folder,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60, check=False)

    done = run('-c', 'g.conf', 'check')
    assert (done.returncode, done.stderr) == (os.EX_CONFIG, 'g.conf:7: only root can have its workers run as daemon\n')
    gatepost('version', conf=CONF % dict(workers=1, port=0) + 'user = "nobody"\n')
    assert run('-c', 'g.conf', 'check').returncode == 0
