"""gatepost as a process: its configuration, its log, its test clock, its end."""
import fcntl
import os
import re
import signal
import socket
import subprocess
import tempfile
import threading
import time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
BINARY = os.environ.get('GATEPOST_BIN', os.path.join(TOP, 'build/sanitize/gatepost'))
PATIENCE = float(os.environ.get('GATEPOST_PATIENCE', 20))      # seconds until a test gives up on an answer


def reserve(kind, first, last, step=1):
    """The next number of a row that all test processes of this machine share: no two get the same until it begins anew."""
    with open(os.path.join(tempfile.gettempdir(), 'gatepost-tests.' + kind), 'a+') as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        f.seek(0)
        n = int(f.read() or first - step) + step
        n = first if n > last else n
        f.seek(0)
        f.truncate()
        f.write(str(n))
        return n


def free_port(host='127.0.0.1'):
    """A port nobody has, for TCP and UDP, below those the kernel gives to outgoing connections."""
    family = socket.AF_INET6 if ':' in host else socket.AF_INET
    for _ in range(1000):
        port = reserve('port', 12000, 21999)
        with socket.socket(family) as tcp, socket.socket(family, socket.SOCK_DGRAM) as udp:
            try:
                tcp.bind((host, port))
                udp.bind((host, port))
                return port
            except OSError:
                continue
    raise AssertionError('no free port')


def wait_for(predicate, what, timeout=PATIENCE):
    """Polls PREDICATE, for what no event announces (a file, a process); fails with WHAT."""
    end = time.monotonic() + timeout
    while not predicate():
        assert time.monotonic() < end, 'gave up waiting for ' + what
        time.sleep(0.01)


class Log:
    """The log lines of a process, as they come."""

    def __init__(self, stream):
        self.lines, self.changed, self.ended = [], threading.Condition(), False
        self.thread = threading.Thread(target=self.read, args=(stream,), daemon=True)
        self.thread.start()

    def read(self, stream):
        for line in stream:
            with self.changed:
                self.lines.append(line.decode('utf-8', 'replace').rstrip('\n'))
                self.changed.notify_all()
        with self.changed:
            self.ended = True
            self.changed.notify_all()

    def wait(self, *words, start=0, timeout=PATIENCE):
        """The first line from START on that holds all WORDS, and the index behind it."""
        end = time.monotonic() + timeout
        with self.changed:
            while True:
                for i, line in enumerate(self.lines[start:], start):
                    if all(w in line for w in words):
                        return line, i + 1
                left = end - time.monotonic()
                assert left > 0 and not self.ended, 'no log line with %r in:\n%s' % (words, '\n'.join(self.lines[-40:]))
                self.changed.wait(left)

    def has(self, *words):
        return any(all(w in line for w in words) for line in self.lines)

    def complaints(self, allowed=()):
        """Warnings and errors that nobody expected, and whatever a sanitizer said."""
        bad = re.compile(r'level=(warning|error)|ERROR: |runtime error:|Sanitizer|^    #[0-9]+ ')
        return [l for l in self.lines if bad.search(l) and not any(a in l for a in allowed)]


class Gatepost:
    """Writes FILES into FOLDER (gatepost.conf among them), serves, and is stopped by close()."""

    def __init__(self, folder, files, allowed=(), clock=False, env=None, binary=BINARY, wait=True):
        self.folder, self.allowed = str(folder), list(allowed)
        for name, text in files.items():
            path = os.path.join(self.folder, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, 'w') as f:
                f.write(text)
        os.makedirs(os.path.join(self.folder, 'spool'), exist_ok=True)
        self.config = os.path.join(self.folder, 'gatepost.conf')
        full = dict(os.environ, ASAN_OPTIONS='detect_leaks=1:detect_stack_use_after_return=0', UBSAN_OPTIONS='print_stacktrace=1')
        full.update(env or {})
        self.clock_path = os.path.join(self.folder, 'clock')
        if clock:
            full['GATEPOST_TEST_CLOCK'] = self.clock_path
        self.process = subprocess.Popen([binary, '-c', self.config, 'serve'], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE, env=full, cwd=self.folder)
        self.log = Log(self.process.stderr)
        if wait:
            try:
                self.log.wait('ready')
            except AssertionError:
                self.process.kill()
                raise

    def advance(self, seconds):
        """Moves the test clock on; returns when every timer that was due has been fired."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(PATIENCE)
            wait_for(lambda: os.path.exists(self.clock_path), 'the test clock')
            s.connect(self.clock_path)
            s.sendall(b'advance %d\n' % int(seconds * 1000))
            assert s.recv(16) == b'ok\n'

    def stop(self, timeout=PATIENCE):
        """Ends it by SIGTERM: its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError('does not stop on SIGTERM; log:\n' + '\n'.join(self.log.lines[-40:]))
        self.log.thread.join(timeout)
        return code

    def close(self):
        code = self.stop()
        complaints = self.log.complaints(self.allowed)
        assert not complaints, 'unexpected in the log:\n' + '\n'.join(complaints)
        assert code == 0, 'exit code %s; log:\n%s' % (code, '\n'.join(self.log.lines[-40:]))

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if kind is None:
            self.close()
        else:
            try:
                self.stop()
            finally:
                print('\n'.join(self.log.lines[-60:]))
