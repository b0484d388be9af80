"""Policy servers that gatepost runs itself: socket = "exec:/path/to/command"."""
import os
import pwd
import signal
import subprocess

import pytest

from gp.actors import Hop
from gp.fixtures import alive
from gp.server import BINARY, PATIENCE, Gatepost, free_port, wait_for
from gp.smtp import Smtp

ROOT = os.geteuid() == 0
USER = 'user = "nobody"' if ROOT else ''
CONTENT = b'Subject: hello\r\n\r\ntext\r\n'
CONF = '''hostname = "mx.example.test"
spool = "%(folder)s/spool"
workers = 1
dns { enabled = false }
policy asked { socket = "%(socket)s" %(options)s }
next_hop hop { lmtp = "%(hop)s" }
listener mx { address = {"127.0.0.1:%(port)d"} script = "mx.sieve" }
'''
SCRIPT = '''require ["envelope", "vnd.gatepost.mta"];
stage "rcpt" { if envelope :domain "to" "example.test" { policy "asked"; deliver "hop"; } }
'''
# What each one does with a question, after saying who it is.
SERVER = '''#!/usr/bin/python3
import os, signal, sys, time
print('pid', os.getpid(), file=sys.stderr, flush=True)
%(before)s
def answer(action):
    sys.stdout.write('action=%%s\\n\\n' %% action)
    sys.stdout.flush()
asked = 0
for line in sys.stdin:
    if line == '\\n':
        asked += 1
        %(each)s
%(after)s
'''


class Runner:
    """gatepost with a policy server of its own: a script that answers with what EACH says."""

    def __init__(self, folder, each, before='', after='', arguments='', options='', allowed=()):
        self.folder, self.hop, self.port = folder, Hop('hop', folder, lmtp=True), free_port()
        self.command = os.path.join(folder, 'server')
        with open(self.command, 'w') as f:
            f.write(SERVER % {'each': each, 'before': before, 'after': after})
        os.chmod(self.command, 0o755)
        self.config = CONF % {'folder': folder, 'socket': 'exec:%s%s' % (self.command, arguments), 'options': '%s %s' % (USER, options),
                              'hop': self.hop.endpoint, 'port': self.port}
        self.server = Gatepost(folder, {'gatepost.conf': self.config, 'mx.sieve': SCRIPT}, allowed=allowed)

    def send(self, code=250):
        """A message: the field that the server put before it (or the reply that is not 250)."""
        with Smtp(self.port) as c:
            c.cmd('EHLO client.example.net', 250)
            c.cmd('MAIL FROM:<a@example.net>', 250)
            said = c.cmd('RCPT TO:<b@example.test>', code)
            if code != 250:
                return said[0]
            c.cmd('DATA', 354)
            c.send(CONTENT + b'.\r\n')
            c.expect(250)
        return self.hop.messages[-1].split(b'\r\n')[0].decode()

    def pid(self, n):
        """Of the Nth process of the server; what it says of itself may come a little after its first answer."""
        wait_for(lambda: len(self.pids()) > n, 'process %d' % n)
        return self.pids()[n]

    def pids(self):
        """Of all processes of the server there have been."""
        return [int(l.split('stderr="pid ')[1].split('"')[0]) for l in self.server.log.lines if 'stderr="pid ' in l]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.close()
        wait_for(lambda: not any(alive(p) for p in self.pids()), 'the end of all processes')


def children(pid):
    with open('/proc/%d/task/%d/children' % (pid, pid)) as f:
        return [int(p) for p in f.read().split()]


def name(pid):
    with open('/proc/%d/comm' % pid) as f:
        return f.read().strip()


def spawner(runner):
    return next(p for p in children(runner.server.process.pid) if name(p) == 'gatepost-spawn')


def test_one_process_answers_many(folder):
    with Runner(folder, 'answer("PREPEND X-Asked: %d" % asked)') as r:
        assert [r.send() for _ in range(5)] == ['X-Asked: %d' % n for n in range(1, 6)]
        pid = r.pid(0)
        assert alive(pid) and r.pids() == [pid]
    assert not alive(pid)


def test_arguments(folder):
    with Runner(folder, 'answer("PREPEND X-Arguments: %r" % sys.argv[1:])', arguments=' -c /etc/x.conf { two words } {{in braces}} {}') as r:
        assert r.send() == "X-Arguments: ['-c', '/etc/x.conf', 'two words', '{in braces}', '']"


def test_surroundings(folder):
    """What a command finds: itself as its user, in "/", three descriptors, the environment it was given, no signal blocked or ignored."""
    os.environ['GATEPOST_SECRET'] = 'not for commands'
    # glibc keeps signals 32 and 33 to itself, and lets nobody set them.  Python ignores SIGPIPE and SIGXFSZ.
    before = '''import resource
status = dict(l.rstrip().split(':\\t', 1) for l in open('/proc/self/status') if ':\\t' in l)
seen = [os.getuid(), os.getgid(), os.getgroups(), os.getcwd(), sorted(os.listdir('/proc/self/fd'))[:3], len(os.listdir('/proc/self/fd')),
        status['SigBlk'], int(status['SigIgn'], 16) & ~(1 << 12 | 1 << 24 | 3 << 31), os.umask(0), resource.getrlimit(resource.RLIMIT_CORE),
        resource.getrlimit(resource.RLIMIT_NOFILE)[0] <= 1024, os.getpid() == os.getsid(0)]
environment = ' '.join('%s=%s' % e for e in sorted(os.environ.items()) if e[0] != 'LC_CTYPE')'''
    options = 'environment = {"SPF_HOME=/var/lib/spf", "ELSEWHERE"}'
    os.environ['ELSEWHERE'] = 'handed on'
    try:
        with Runner(folder, 'answer("PREPEND X-Seen: %r|%s" % (seen, environment))', before=before, options=options) as r:
            seen, environment = r.send()[8:].split('|')
    finally:
        del os.environ['GATEPOST_SECRET'], os.environ['ELSEWHERE']
    who = pwd.getpwnam('nobody') if ROOT else pwd.getpwuid(os.geteuid())
    groups = [who.pw_gid] if ROOT else os.getgroups()
    # The fourth descriptor is the folder's, as it is read.
    assert seen == repr([who.pw_uid, who.pw_gid, groups, '/', ['0', '1', '2'], 4, '0' * 16, 0, 0o77, (0, 0), True, True])
    zone = ' TZ=' + os.environ['TZ'] if 'TZ' in os.environ else ''
    assert environment == 'ELSEWHERE=handed on PATH=/usr/local/bin:/usr/bin:/bin SPF_HOME=/var/lib/spf' + zone


def test_killed_in_between(folder):
    with Runner(folder, 'answer("PREPEND X-Pid: %d" % os.getpid())', allowed=['command-ended']) as r:
        assert r.send() == r.send()
        first = r.pid(0)
        os.kill(first, signal.SIGKILL)
        wait_for(lambda: not alive(first), 'its end')
        assert r.send() == 'X-Pid: %d' % r.pid(1)
        line, _ = r.server.log.wait('event=command-ended')
        assert 'level=warning' in line and 'pid=%d ' % first in line and 'why="SIGKILL: ' in line


def test_closes_after_each_answer(folder):
    """A process a question, as some of inetd's are: no failure, and no second between."""
    with Runner(folder, 'answer("PREPEND X-Pid: %d" % os.getpid()); sys.exit(0)') as r:
        assert len({r.send() for _ in range(4)}) == 4
        assert not r.server.log.has('pause=')


def test_dies_at_once(folder):
    """The reason is in the log; what fails again and again is not started for each question."""
    with Runner(folder, 'sys.exit("no such module: spf\\n")', allowed=['policy-fault', 'command-ended']) as r:
        assert r.send(451) == '4.3.5 Server configuration problem'
        line, at = r.server.log.wait('event=policy-fault')
        assert 'fault=connect' in line and 'why="the command ended without an answer: exit status 1: no such module: spf"' in line
        r.send(451)             # the first failure costs no pause, the second does
        r.server.log.wait('event=command-ended', 'pause=1s')
        for _ in range(20):
            r.send(451)
        r.pid(1)
        assert len(r.pids()) <= 2 + 6
        r.server.log.wait('event=policy-fault', 'why="Resource temporarily unavailable"', start=at)


def test_not_started(folder):
    with Runner(folder, 'answer("DUNNO")', allowed=['policy-fault', 'command-not-started']) as r:
        os.unlink(r.command)
        r.send(451)
        r.server.log.wait('event=command-not-started', 'gate=asked', 'why="No such file or directory"')
        r.server.log.wait('event=policy-fault', 'fault=connect', 'why="No such file or directory"')


def test_says_too_much(folder):
    """Lines are cut, and what is not worth a log is left out."""
    each = '''print('x' * 2000, file=sys.stderr)
        for n in range(1000):
            print('line', n, file=sys.stderr)
        sys.stderr.flush()
        answer("PREPEND X-Said: all")'''
    with Runner(folder, each, allowed=['command-says-too-much']) as r:
        assert r.send() == 'X-Said: all'
        r.server.log.wait('event=command-says-too-much')
        said = [l for l in r.server.log.lines if 'event=command-said' in l]
        assert len(said) == 100 and any('stderr=' + 'x' * 500 + ' ' in l + ' ' for l in said)


def test_too_old(folder):
    """Its time_limit over, it is ended, and another one answers; it gets no question in the time that one answer may take."""
    with Runner(folder, 'answer("PREPEND X-Pid: %d" % os.getpid())', options='time_limit = 4s command_timeout = 3s') as r:
        r.send()
        line, _ = r.server.log.wait('event=command-time-limit')
        wait_for(lambda: not alive(r.pid(0)), 'its end')
        assert r.send() == 'X-Pid: %d' % r.pid(1) and 'level=info' in line


def test_reload(folder):
    with Runner(folder, 'answer("PREPEND X-Pid: %d" % os.getpid())') as r:
        r.send()
        _, at = r.server.log.wait('event=ready')
        r.server.process.send_signal(signal.SIGHUP)
        r.server.log.wait('event=ready', start=at)
        wait_for(lambda: not alive(r.pid(0)), 'the end of the old process')
        assert r.send() == 'X-Pid: %d' % r.pid(1)
        wait_for(lambda: [name(p) for p in children(r.server.process.pid)].count('gatepost-spawn') == 1, 'the end of the old spawner')


def test_worker_dies(folder):
    """Nobody is left who could ask the process anything."""
    with Runner(folder, 'answer("PREPEND X-Pid: %d" % os.getpid())', allowed=['worker-died']) as r:
        r.send()
        worker = next(p for p in children(r.server.process.pid) if name(p) != 'gatepost-spawn')
        os.kill(worker, signal.SIGKILL)
        wait_for(lambda: not alive(r.pid(0)), 'the end of its process')
        wait_for(lambda: len(children(r.server.process.pid)) == 2, 'another worker')
        assert r.send() == 'X-Pid: %d' % r.pid(1)


def test_spawner_dies(folder):
    """It takes its commands with it; its successor serves the workers there are."""
    with Runner(folder, 'answer("PREPEND X-Pid: %d" % os.getpid())', allowed=['spawner-died']) as r:
        r.send()
        os.kill(spawner(r), signal.SIGKILL)
        wait_for(lambda: not alive(r.pid(0)), 'the end of its process')
        assert r.send() == 'X-Pid: %d' % r.pid(1)
        assert r.server.log.has('spawner-died', 'signal=KILL')


def test_server_is_killed(folder):
    with Runner(folder, 'answer("PREPEND X-Pid: %d" % os.getpid())') as r:
        r.send()
        r.pid(0)
        others = children(r.server.process.pid)
        r.server.process.kill()
        r.server.process.wait()
        wait_for(lambda: not any(alive(p) for p in others + r.pids()), 'the end of all')
        r.server.close = lambda: None


def test_leaves_nothing_behind(folder):
    """What a command has put in the background ends with it."""
    before = '''child = os.fork()
if child == 0:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.close(0)
    time.sleep(1000)
'''
    with Runner(folder, 'answer("PREPEND X-Child: %d" % child)', before=before) as r:
        child = int(r.send().split()[1])
        assert alive(child)
    wait_for(lambda: not alive(child), 'the end of its child')


def mistake(folder, text):
    """What `gatepost check` says of a configuration, without the name of the file; "" if it is good."""
    os.makedirs(os.path.join(folder, 'spool'), exist_ok=True)
    for file, content in (('gatepost.conf', text), ('mx.sieve', SCRIPT)):
        with open(os.path.join(folder, file), 'w') as f:
            f.write(content)
    done = subprocess.run([BINARY, '-c', 'gatepost.conf', 'check'], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=PATIENCE, check=False)
    return '' if done.returncode == 0 else done.stderr.strip().split(': ', 1)[1]


GOOD = 'policy asked { socket = "exec:/bin/cat" %s }' % USER
CHECKS = [
    (GOOD, ''),
    (GOOD.replace('/bin/cat', '{/bin/cat -}'), ''),
    (GOOD.replace('/bin/cat', '/nowhere/cat'), 'the command /nowhere/cat: No such file or directory'),
    (GOOD.replace('/bin/cat', '/etc/passwd'), 'the command /etc/passwd: Permission denied'),
    (GOOD.replace('/bin/cat', '/etc'), 'the command /etc: it is not a file'),
    (GOOD.replace('/bin/cat', 'cat'), 'socket "exec:cat": the command "cat" is not a path that begins with "/"'),
    (GOOD.replace('/bin/cat', ''), 'socket "exec:": the command is missing'),
    (GOOD.replace('/bin/cat', '/bin/cat {a'), 'socket "exec:/bin/cat {a": "{" without "}"'),
    (GOOD[:-1] + 'time_limit = 30s }', 'time_limit must be longer than command_timeout, the time for one answer'),
    (GOOD[:-1] + 'environment = "=x" }', 'environment "=x" has no name'),
    ('policy asked { socket = "inet:127.0.0.1:1" user = nobody }', 'user is for a socket "exec:...", a command that is run'),
    ('policy asked { socket = "inet:127.0.0.1:1" }\nmilter m { socket = "exec:/bin/cat" }',
     'socket "exec:/bin/cat": a command can be run for a policy server only, not here'),
]
if ROOT:
    CHECKS += [
        ('policy asked { socket = "exec:/bin/cat" }', 'policy asked runs a command, so it needs a user to run it as'),
        ('policy asked { socket = "exec:/bin/cat" user = root }', 'a command is not run as root'),
        ('policy asked { socket = "exec:/bin/cat" user = nobody group = root }', 'a command is not run in the group of root'),
        ('user = "nobody"\npolicy asked { socket = "exec:/bin/cat" user = nobody }', 'a command is not run as nobody, who owns the spool'),
    ]


@pytest.mark.parametrize('policy,said', CHECKS)
def test_check(folder, policy, said):
    text = (CONF % {'folder': folder, 'socket': '', 'options': '', 'hop': 'unix:/x', 'port': 0}).replace(
        'policy asked { socket = ""  }', policy)
    assert policy in text
    assert mistake(folder, text) == said
