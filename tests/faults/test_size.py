"""Much of everything: sessions, bytes, header fields; and a spool that is full."""
import os
import resource
import subprocess

import pytest

from gp.actors import Hop
from gp.server import TOP, Gatepost, free_port, wait_for
from gp.smtp import Smtp

RELEASE = os.environ.get('GATEPOST_RELEASE', os.path.join(TOP, 'build/release/gatepost'))
SCRIPT = 'require ["envelope", "vnd.gatepost.mta"];\nstage "rcpt" { if envelope :domain "to" "example.org" { deliver "hop"; } }\n'


def files(folder, port, hop, more='', listener=''):
    return {'gatepost.conf': '''hostname = "mx.test"
spool = "%s/spool"
workers = 1
dns { enabled = false }
next_hop hop { lmtp = "%s" }
listener mx { address = {"127.0.0.1:%d"} script = "mx.sieve" %s }
%s''' % (folder, hop.endpoint, port, listener, more), 'mx.sieve': SCRIPT}


def memory(pid):
    """KiB of PSS of PID and its children."""
    def one(p):
        with open('/proc/%d/smaps_rollup' % p) as f:
            return next(int(l.split()[1]) for l in f if l.startswith('Pss:'))
    children = subprocess.run(['pgrep', '-P', str(pid)], stdout=subprocess.PIPE, text=True, check=False).stdout.split()
    return one(pid) + sum(one(int(c)) for c in children)


@pytest.fixture
def hop(folder):
    h = Hop('hop', folder, lmtp=True)
    yield h
    h.close()


@pytest.mark.skipif(not os.path.exists(RELEASE), reason='figures are of the release build: make')
def test_message_of_100_mb_keeps_memory_flat(folder, hop):
    port = free_port()
    line = b'x' * 76 + b'\r\n'
    block = line * 13443                                # a MiB, nearly
    with Gatepost(folder, files(folder, port, hop, listener='size_max = 209715200'), binary=RELEASE) as g, Smtp(port) as c:
        c.cmd('EHLO a.test', 250)
        c.mail('a@example.net', ['b@example.org'], b'Subject: warm\r\n\r\n' + line)
        before = memory(g.process.pid)
        c.cmd('MAIL FROM:<a@example.net>', 250)
        c.cmd('RCPT TO:<b@example.org>', 250)
        c.cmd('DATA', 354)
        c.send(b'Subject: large\r\n\r\n')
        most = 0
        for _ in range(100):
            c.send(block)
            most = max(most, memory(g.process.pid))
        c.send(b'.\r\n')
        c.expect(250)
        after = memory(g.process.pid)
        print('KiB before %d, most while receiving %d, after %d' % (before, most, after))
        assert most - before < 2048 and after - before < 2048
    assert hop.messages[-1].endswith(b'\r\n\r\n' + block * 100)
    assert not os.listdir(os.path.join(folder, 'spool')) or all(os.path.getsize(os.path.join(folder, 'spool', n)) < 65536
                                                                for n in os.listdir(os.path.join(folder, 'spool')))


def test_header_of_101_kb_is_not_cut(folder, hop):
    port = free_port()
    header = b'Subject: x\r\n' + b''.join(b'X-%d: ' % i + b'y' * 990 + b'\r\n' for i in range(101)) + b'X-Long: ' + b'z' * 70000 + b'\r\n'
    with Gatepost(folder, files(folder, port, hop)), Smtp(port) as c:
        c.cmd('EHLO a.test', 250)
        c.mail('a@example.net', ['b@example.org'], header + b'\r\nbody\r\n')
    assert hop.messages[0].endswith(header + b'\r\nbody\r\n')


def test_10000_connections(folder, hop):
    port, many = free_port(), 10000
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    assert hard > many + 500, 'ulimit -Hn is too low for this test'
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with Gatepost(folder, files(folder, port, hop, more='sessions_max = 20000')) as g:
        clients = []
        for start in range(0, many, 500):
            some = [Smtp(port, greet=False) for _ in range(500)]
            for c in some:
                c.expect(220)
                c.send('EHLO a.test\r\n')
            for c in some:
                c.expect(250)
            clients += some
        for c in clients[::1000]:
            c.mail('a@example.net', ['b@example.org'], b'Subject: x\r\n\r\ny\r\n')
        for c in clients:
            c.send('QUIT\r\n')
        for c in clients:
            c.expect(221)
            c.close()
        assert g.process.poll() is None
    assert len(hop.messages) == 10


@pytest.mark.skipif(os.geteuid() != 0, reason='mounts a small tmpfs')
def test_full_spool_refuses_and_goes_on(folder, hop):
    port = free_port()
    spool = os.path.join(folder, 'spool')
    os.makedirs(spool)
    subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=1m', 'small', spool], check=True)
    try:
        with Gatepost(folder, files(folder, port, hop), allowed=['spool', 'No space']), Smtp(port) as c:
            c.cmd('EHLO a.test', 250)
            text = c.mail('a@example.net', ['b@example.org'], b'Subject: x\r\n\r\n' + b'y' * 70 + b'\r\n' + (b'z' * 70 + b'\r\n') * 60000, 452)
            assert text[0].startswith('4.3.1 '), text
            c.mail('a@example.net', ['b@example.org'], b'Subject: small\r\n\r\ny\r\n')
        wait_for(lambda: len(hop.messages) == 1, 'the small one')
    finally:
        subprocess.run(['umount', '-l', spool], check=True)
