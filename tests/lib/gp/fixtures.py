"""The real daemons of tests/fixtures, started in a work folder and stopped by pid."""
import fcntl
import os
import signal
import subprocess

from .server import TOP, reserve, wait_for


def unpacked(name, program):
    """Debian's packages of a fixture that is never installed, fetched and unpacked once, so that PROGRAM is there: the folder."""
    root = os.path.join(TOP, 'build', name)
    os.makedirs(root, exist_ok=True)
    with open(root + '.lock', 'w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(os.path.join(root, program)):
            subprocess.run(['sh', os.path.join(TOP, 'tests/fixtures', name + '.sh'), 'extract', root], check=True, timeout=120,
                           stdout=subprocess.DEVNULL)
    return root


class Fixture:
    """`with Fixture('rspamd', folder) as f:` f.endpoint, or f['sign'] where a fixture has several; f.folder holds its logs."""

    def __init__(self, name, folder, kind=None, **env):
        self.script = os.path.join(TOP, 'tests/fixtures', name + '.sh')
        self.folder = os.path.join(str(folder), name)
        self.kind, self.env, self.killed = kind, dict(os.environ, **{k: str(v) for k, v in env.items()}), set()

    def __enter__(self):
        done = subprocess.run(['sh', self.script, 'start', self.folder] + ([self.kind] if self.kind else []), env=self.env, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        lines = done.stdout.split('\n')[:-1]
        self.endpoint = lines[0]
        self.endpoints = dict(l.split(' ', 1) for l in lines if ' ' in l)
        return self

    def __getitem__(self, name):
        return self.endpoints[name]

    def pid(self, name):
        with open('%s/%s.pid' % (self.folder, name)) as f:
            return int(f.read())

    def kill(self, name):
        """One of its daemons dies, as from a fault of its own: it answers nothing more."""
        pid = self.pid(name)
        self.killed.add(name)
        os.killpg(pid, signal.SIGKILL)
        wait_for(lambda: not alive(pid), 'the end of ' + name)

    def restart(self):
        """As `systemctl restart`; an inet one comes back elsewhere."""
        self.__exit__()
        self.__enter__()

    def __exit__(self, *_):
        names = [n[:-4] for n in os.listdir(self.folder) if n.endswith('.log') and os.path.exists('%s/%s.pid' % (self.folder, n[:-4]))]
        dead = [n for n in names if n not in self.killed and not alive(self.pid(n))]
        self.stop()
        for name in dead:
            with open('%s/%s.log' % (self.folder, name), errors='replace') as f:
                raise AssertionError('%s ended by itself: %s' % (name, f.read()[-4000:]))

    def stop(self):
        subprocess.run(['sh', self.script, 'stop', self.folder], env=self.env, timeout=60, check=True, stdout=subprocess.DEVNULL)


def alive(pid):
    try:
        with open('/proc/%d/stat' % pid) as f:
            return f.read().rpartition(')')[2].split()[0] not in 'ZX'
    except OSError:
        return False


def base_port():
    """Room for a thousand ports, above those of free_port() and below the kernel's own."""
    return reserve('base', 23000, 31000, 1000)


class Dovecot:
    """A private Dovecot: LMTP at .lmtp; users alice, bob, full (over quota), fulltemp; mail lands in .folder."""

    def __init__(self, folder, *options):
        base = base_port()
        self.script = os.path.join(TOP, 'tests/fixtures/dovecot.sh')
        self.folder, self.options = os.path.join(str(folder), 'dovecot'), ['--base-port', str(base), *options]
        self.lmtp = 'inet:127.0.0.1:%d' % (base + 24)

    def __enter__(self):
        done = subprocess.run(['bash', self.script, 'start', self.folder, *self.options], text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=60, check=False)
        assert done.returncode == 0, done.stdout
        return self

    def __exit__(self, *_):
        subprocess.run(['bash', self.script, 'stop', self.folder], timeout=60, check=True, stdout=subprocess.DEVNULL)

    def mails(self, user):
        """The messages in USER's inbox, as bytes, oldest first."""
        found = []
        for top, _, names in os.walk(os.path.join(self.folder)):
            if os.path.basename(top) in ('new', 'cur') and '/%s/' % user in top + '/':
                found += [os.path.join(top, n) for n in names]
        return [open(p, 'rb').read() for p in sorted(found, key=os.path.getmtime)]
