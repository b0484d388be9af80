#!/usr/bin/python3
"""bench.py - measure mail servers side by side on this machine.

  bench.py run [-s SCENARIOS] [-c CONTESTANTS] [-n ROUNDS] [-o FILE]
  bench.py table FILE...          medians of the rounds, as Markdown
  bench.py ratios FILE...         one table: gatepost beside the others, and how many times less it takes
  bench.py list                   the scenarios and contestants
  bench.py facts                  this machine and the peers' versions, as Markdown

SCENARIOS and CONTESTANTS are lists with commas. Default: all scenarios; direct,
gatepost, postfix and postfix-proxy, but gatepost alone where thousands of
sessions would take Postfix minutes and gigabytes. A run appends one line of
JSON per measurement to FILE (default results.jsonl).

Environment: RIG_PREFIX (build/bench), RIG_WORK ($RIG_PREFIX/work: programs,
certificate, logs), RIG_PORTS (2500: the first of the hundred ports used),
RIG_MIN_FREE_MB (3000: a run is cut off when the machine has
less memory available than this). Needs root, for the control groups.
"""
import argparse, collections, fcntl, glob, json, os, re, resource, signal, socket
import statistics, struct, subprocess, sys, threading, time

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
PREFIX = os.environ.setdefault('RIG_PREFIX', TOP + '/build/bench')
os.environ.setdefault('GATEPOST', TOP + '/build/release/gatepost')
WORK = os.environ.setdefault('RIG_WORK', PREFIX + '/work')
MIN_FREE_MB = int(os.environ.get('RIG_MIN_FREE_MB', 3000))
PORTS = int(os.environ.get('RIG_PORTS', 2500))
HOST, PORT, SINK, MILTER, POLICY = '127.0.0.1', PORTS + 25, PORTS + 90, PORTS + 51, PORTS + 60

# One process of the client or of a milter takes so many sessions: a process may have 20000 files, threads cost address space.
PER_PROCESS = 5000

# load: loadgen's options but for -c, the number of sessions. "per" names what is counted (request: of a policy server, one for each RCPT). alone: too large for the others.
# reader: the filters edit nothing; piece: ms they take for each 64 KB of the body.
Scenario = collections.namedtuple('Scenario', 'text sessions load milters delay nagle unix policy tls per sink_delay alone reader piece')
def scenario(text, sessions, load, milters=0, delay=0, nagle=False, unix=False, policy=False, tls=False,
             per='message', sink_delay=0, alone=False, reader=False, piece=0):
    return Scenario(text, sessions, load.split(), milters, delay, nagle, unix, policy, tls, per, sink_delay, alone, reader, piece)

# The sessions begin evenly over the filter's time. Begun all at once, libmilter's threads (one a session, all runnable) keep
# everybody else from the processors for seconds, and with 20000 for longer than a filter may take to answer RCPT.
def slow(c, seconds=2, window=20, most=150):
    return scenario(f'filter takes {seconds} s, {c} sessions', c, f'-g -R {seconds} -n 0 -W {2 * seconds} -T {window} -w {most}',
                    milters=1, delay=1000 * seconds, alone=c > 1000)

SCENARIOS = {
    'a': scenario('relay, 4 KB, 20 sessions at once, 1 message each', 20, '-W 1 -T 5'),
    'b': scenario('a + 1 milter', 20, '-W 1 -T 5', milters=1),
    'c': scenario('a + 3 milters + policy server', 20, '-W 1 -T 5', milters=3, policy=True),
    'd': scenario('b with 100 KB messages', 20, '-l 102400 -W 1 -T 5', milters=1),
    'e200': slow(200), 'e1000': slow(1000), 'e2000': slow(2000), 'e5000': slow(5000),
    # what a libmilter filter and this client can do sets the pace: 500 messages a second, as with 1000 sessions and 2 s
    'e20000': slow(20000, 40, 80, 400),
    'f1000': scenario('1000 idle sessions', 1000, '-i 8', per='session'),
    'f5000': scenario('5000 idle sessions', 5000, '-i 12', per='session', alone=True),
    'ft5000': scenario('5000 idle sessions with TLS', 5000, '-i 12 -s', tls=True, per='session', alone=True),
    'p1': scenario('policy server asked by one session, 500 recipients each', 1, '-e -r 500 -W 1 -T 5', policy=True, per='request'),
    'p8': scenario('p1, 8 sessions', 8, '-e -r 500 -W 1 -T 5', policy=True, per='request'),
    'g': scenario('10000 connections, EHLO and QUIT, 50 at once', 50, '-x -m 10000 -w 90', per='connection'),
    'h': scenario('b with STARTTLS', 20, '-s -W 1 -T 5', milters=1, tls=True),
    'k': scenario('a with STARTTLS', 20, '-s -W 1 -T 5', tls=True),
    'i': scenario('b with lasting, pipelined sessions', 20, '-n 0 -p -W 1 -T 5', milters=1),
    'n': scenario("b, the milter's TCP as libmilter leaves it (Nagle)", 20, '-W 1 -T 5', milters=1, nagle=True),
    'u': scenario('b, the milter on a UNIX socket', 20, '-W 1 -T 5', milters=1, unix=True),
    'v': scenario('c, the milters on UNIX sockets', 20, '-W 1 -T 5', milters=3, unix=True, policy=True),
    'r': scenario('3 milters that take 1 s each and edit nothing', 20, '-g -R 1 -n 0 -W 4 -T 12', milters=3, delay=1000, reader=True),
    's': scenario('20 MB at 10 MB/s, a milter that takes 3 ms for each 64 KB', 4, '-n 0 -l 20000000 -B 10000000 -W 1 -T 12', milters=1,
                  reader=True, piece=3),
    'j': scenario('a, destination takes 2 s, 200 sessions', 200, '-g -n 0 -W 3 -T 8', sink_delay=2000),
}

# ---------------------------------------------------------------- processes

class Group:
    """A control group: what runs in it, and the CPU time all of it has used.

    cgroup v2's cpu.stat counts every process which ever ran in the group, those
    which have ended and any their parents never waited for included."""
    def __init__(self, name):
        top = next((d for d in ('/sys/fs/cgroup/unified', '/sys/fs/cgroup')
                    if os.path.exists(d + '/cgroup.controllers')), None)
        own = [l[3:].strip() for l in open('/proc/self/cgroup') if l.startswith('0::')]
        if top is None or not own:
            sys.exit('bench.py: no cgroup v2 hierarchy here')
        self.dir = os.path.join(top + own[0], f'rig-{os.getpid()}-{name}')
        os.mkdir(self.dir)

    def enter(self):
        with open(self.dir + '/cgroup.procs', 'w') as f:
            f.write('0')

    def pids(self):
        with open(self.dir + '/cgroup.procs') as f:
            return [int(p) for p in f.read().split()]

    def cpu(self):
        """seconds: all, user, system"""
        with open(self.dir + '/cpu.stat') as f:
            v = dict(l.split() for l in f)
        return [int(v[k]) / 1e6 for k in ('usage_usec', 'user_usec', 'system_usec')]

    def clear(self):
        """End what is left in the group: only what the rig started is in it."""
        for sig, tries in ((signal.SIGTERM, 30), (signal.SIGKILL, 100)):
            for t in range(tries):
                pids = self.pids()
                if not pids:
                    return
                if t == 0 or sig == signal.SIGKILL:
                    for pid in pids:
                        try:
                            os.kill(pid, sig)
                        except ProcessLookupError:
                            pass
                time.sleep(0.1)

    def remove(self):
        self.clear()
        os.rmdir(self.dir)

def memory(pids):
    """MB of these processes: RSS, PSS, and the kernel's page tables and stacks."""
    rss = pss = kern = 0
    for pid in pids:
        try:
            with open(f'/proc/{pid}/smaps_rollup') as f:
                for l in f:
                    if l.startswith('Rss:'):
                        rss += int(l.split()[1])
                    elif l.startswith('Pss:'):
                        pss += int(l.split()[1])
                        break
            with open(f'/proc/{pid}/status') as f:
                s = f.read()
            kern += int(re.search(r'VmPTE:\s+(\d+)', s).group(1)) + 16 * int(re.search(r'Threads:\s+(\d+)', s).group(1))
        except (OSError, AttributeError):
            pass                # it ended meanwhile
    return rss / 1024, pss / 1024, kern / 1024

def available_mb():
    with open('/proc/meminfo') as f:
        return next(int(l.split()[1]) for l in f if l.startswith('MemAvailable')) // 1024

def machine_busy():
    """CPU seconds the machine has been busy, this program aside; those stolen from it."""
    with open('/proc/stat') as f:
        v = [int(x) / os.sysconf('SC_CLK_TCK') for x in f.readline().split()[1:9]]
    own = os.times()
    return v[0] + v[1] + v[2] + v[5] + v[6] - own.user - own.system, v[7]

class Sampler(threading.Thread):
    """Peak memory of the server's group, at intervals which keep it cheap."""
    def __init__(self, group, on_low_memory):
        super().__init__(daemon=True)
        self.group, self.on_low_memory = group, on_low_memory
        self.peak = {'rss_mb': 0, 'pss_mb': 0, 'kern_mb': 0, 'procs': 0}
        self.done = threading.Event()
        self.low = False

    def sample(self):
        t = time.monotonic()
        pids = self.group.pids()
        rss, pss, kern = memory(pids)
        now = {'rss_mb': rss, 'pss_mb': pss, 'kern_mb': kern, 'procs': len(pids)}
        self.peak = {k: max(v, now[k]) for k, v in self.peak.items()}
        return now, time.monotonic() - t

    def run(self):
        due = 0
        while not self.done.wait(0.25):
            if available_mb() < MIN_FREE_MB and not self.low:
                self.low = True
                self.on_low_memory()
            if time.monotonic() >= due:
                due = time.monotonic() + max(1, 15 * self.sample()[1])

class Tools:
    """The sink, milters, policy server and load client."""
    def __init__(self, group):
        self.group, self.procs = group, []

    def start(self, name, *args, **kw):
        p = subprocess.Popen([f'{WORK}/bin/{name}', *map(str, args)], preexec_fn=self.group.enter, **kw)
        self.procs.append(p)
        return p

    def stop(self):
        for p in self.procs:
            p.kill()
        for p in self.procs:
            p.wait()
        self.procs = []

def sink_stats(path):
    with open(path, 'rb') as f:
        v = struct.unpack('10Q', f.read())
    return dict(zip('conns open peak messages deliveries bytes unique dups unknown last_ns'.split(), v))

def wait_port(port, banner, seconds=20):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            with socket.create_connection((HOST, port), 2) as s:
                s.settimeout(5)
                if not banner or s.recv(100).startswith(b'2'):
                    return
        except OSError:
            pass
        time.sleep(0.05)
    raise RuntimeError(f'nothing answers on port {port}')

def wait_free(port, seconds=5):
    end = time.monotonic() + seconds
    while True:
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                return s.bind((HOST, port))
            except OSError as e:
                if time.monotonic() > end:
                    raise RuntimeError(f'port {port}: {e.strerror}') from e
        time.sleep(0.1)

# -------------------------------------------------------------- measurement

def shares(sessions):
    """How many of the sessions each process takes."""
    n = -(-sessions // PER_PROCESS)
    return [sessions // n + (i < sessions % n) for i in range(n)]

def merge(parts):
    """The results of several clients as one; of percentiles the worst client's."""
    total = {k: sum(r[k] for r in parts) for k in ('ok', 'peak', 'held', 'rate', 'failed')}
    total['first'] = min(r['first'] for r in parts if r['first'] or len(parts) == 1)
    total['fails'] = dict(sum((collections.Counter(r['fails']) for r in parts), collections.Counter()))
    for k in ('answer', 'message', 'banner'):
        total[k] = {q: max(r[k][q] for r in parts if q in r[k]) for q in ('p50', 'p99') if any(q in r[k] for r in parts)}
    return total

def load(tools, sessions, *args, on_open=None):
    """Runs the clients; on_open is called when all have opened all their sessions, before they go on."""
    clients = [tools.start('loadgen', '-b', '-c', n, '-o', 10**7 * i, *args, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
               for i, n in enumerate(shares(sessions))]
    lines = [p.stdout.readline() for p in clients]
    if all(l.startswith('open') for l in lines):
        if on_open:
            on_open()
        for p in clients:
            p.stdin.write('go\n')
            p.stdin.flush()
        lines = [p.stdout.readline() for p in clients]
    for p in clients:
        p.stdin.close()
        p.wait()
    return merge([json.loads(l) for l in lines]) if all(lines) else None

def calibrate(tools):
    """Messages a second straight from the client to the sink, at this moment."""
    tools.start('sink', SINK)
    wait_port(SINK, True)
    r = load(tools, 20, '-T', 1, '-w', 10, SINK)
    tools.stop()
    return r['rate']

def contestant(name, what, env=None, group=None):
    with open(f'{WORK}/{name}.log', 'a') as log:
        return subprocess.run(['sh', f'{HERE}/contestants/{name}.sh', what], text=True, timeout=90, cwd='/',
                              env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL, stderr=log,
                              stdout=subprocess.PIPE if what == 'features' else log,
                              preexec_fn=group.enter if group else None)

def measure(name, key, features):
    s = SCENARIOS[key]
    run = f'{os.getpid():x}{int(time.time() * 10) & 0xffffff:x}'
    row = {'scenario': key, 'contestant': name, 'time': time.strftime('%H:%M:%S')}
    server_group, tool_group = Group('server'), Group('tools')
    tools, sampler = Tools(tool_group), None
    milters = [f'{WORK}/milter{i}.sock' if s.unix else f'{HOST}:{MILTER + i}' for i in range(s.milters)]
    env = {
        'RIG_PORT': str(PORT), 'RIG_SINK': f'{HOST}:{SINK}', 'RIG_SINK_PROTO': 'lmtp' if 'lmtp' in features else 'smtp',
        'RIG_MILTERS': ' '.join(milters),
        'RIG_POLICY': f'{HOST}:{POLICY}' if s.policy and 'policy' in features else '',
        'RIG_TLS_CERT': f'{WORK}/rig.crt' if s.tls else '', 'RIG_TLS_KEY': f'{WORK}/rig.key' if s.tls else '',
        'RIG_SESSIONS': str(s.sessions), 'RIG_WORK': WORK,
    }
    try:
        for port in [PORT, SINK, POLICY] + [MILTER + i for i in range(s.milters)]:
            wait_free(port)
        row['calibration'] = calibrate(tools)
        stats = f'{WORK}/sink.stats'
        tools.start('sink', '-i', run, '-d', s.sink_delay, '-s', stats,
                    *(['-L'] if env['RIG_SINK_PROTO'] == 'lmtp' else []), SINK)
        for i, where in enumerate(milters):
            for _ in shares(s.sessions):
                tools.start('milter', '-d', s.delay, '-c', s.piece, *(['-N'] if s.nagle else []), *(['-n'] if s.reader else []), where)
            if not s.unix:
                wait_port(MILTER + i, False)
            time.sleep(0.3)
        tools.start('policy', POLICY)
        wait_port(SINK, True)
        if name == 'direct':
            port = SINK
        else:
            port = PORT
            if contestant(name, 'start', env, server_group).returncode:
                raise RuntimeError(f'did not start: see {WORK}/{name}.log')
        wait_port(port, True)
        time.sleep(0.5)

        sampler = Sampler(server_group, tools.stop)
        before, _ = sampler.sample()
        def clocks():
            return server_group.cpu(), tool_group.cpu(), *machine_busy(), time.monotonic()
        plateau, start = {}, [clocks()]
        def on_open():
            if s.per == 'session':
                plateau.update(sampler.sample()[0])
            else:
                row['ramp_cpu'] = server_group.cpu()[0] - start[0][0][0]
                start[0] = clocks()
        sampler.start()
        r = load(tools, s.sessions, '-q', run, *s.load, port, on_open=on_open)
        if r is None:
            raise RuntimeError('cut off: too little memory' if sampler.low else 'loadgen failed')
        # What the server has accepted and queued counts too: wait for it to arrive.
        # 60 s at most, and no longer than 15 s after the latest arrival.
        last, still, end = -1, time.monotonic(), time.monotonic() + 60
        while s.per == 'message' and time.monotonic() < min(still + 15, end):
            got = sink_stats(stats)['unique']
            if got >= r['ok']:
                break
            if got != last:
                last, still = got, time.monotonic()
            time.sleep(0.05)
        time.sleep(0.3)
        sampler.done.set()
        (cpu0, tool0, busy0, stolen0, t0), (cpu1, tool1, busy1, stolen1, t1) = start[0], clocks()
        sampler.join(60)
        st = sink_stats(stats)

        n = {'message': st['unique'], 'session': r['held']}.get(s.per, r['ok'])
        cpu = [b - a for a, b in zip(cpu0, cpu1)]
        tool_cpu = tool1[0] - tool0[0]
        row.update(
            n=n, cpu=cpu[0], cpu_user=cpu[1], cpu_sys=cpu[2], tool_cpu=tool_cpu,
            cpu_per_1000=1000 * cpu[0] / n if n else None,
            rate=r['rate'], ok=r['ok'], fails=r['fails'], failed=r['failed'], peak_sessions=r['peak'], held=r['held'],
            p50=r['answer'].get('p50'), p99=r['answer'].get('p99'),
            message_p50=r['message'].get('p50'), message_p99=r['message'].get('p99'),
            banner_p50=r['banner'].get('p50'), banner_p99=r['banner'].get('p99'),
            # with both cores for the rig alone, and nothing but CPU in the way
            cpu_bound_rate=os.cpu_count() * n / (cpu[0] + tool_cpu) if n else None,
            others=max(0, busy1 - busy0 - cpu[0] - tool_cpu) / (t1 - t0) / os.cpu_count(),
            stolen=(stolen1 - stolen0) / (t1 - t0) / os.cpu_count(),
            before_pss_mb=before['pss_mb'], before_kern_mb=before['kern_mb'], **sampler.peak)
        if s.per == 'message':
            took = st['last_ns'] / 1e9 - r['first']
            row.update(delivered_rate=n / took if n else 0, missing=max(0, r['ok'] - st['unique']),
                       extra=max(0, st['unique'] - r['ok']), dups=st['dups'], sink_peak=st['peak'])
        if plateau:
            row.update({'plateau_' + k: v for k, v in plateau.items()})
        if sampler.low:
            row['cut_off'] = 'memory'
    except (RuntimeError, OSError, subprocess.SubprocessError) as e:
        row['error'] = str(e)
    finally:
        if sampler:
            sampler.done.set()
        try:
            if name != 'direct':
                contestant(name, 'stop', env)
        except subprocess.SubprocessError as e:
            row.setdefault('error', str(e))
        server_group.remove()
        tools.stop()
        tool_group.remove()
    return row

def reference(row_time):
    """Postfix's own smtp-source and smtp-sink, as a figure others can repeat."""
    root = PREFIX + '/postfix'
    if not os.path.exists(root + '/usr/sbin/smtp-source'):
        return None
    sink = subprocess.Popen(['chroot', root, '/usr/sbin/smtp-sink', '-u', 'postfix', f'{HOST}:{SINK}', '1024'],
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_port(SINK, True)
        t = time.monotonic()
        subprocess.run(['chroot', root, '/usr/sbin/smtp-source', '-s', '20', '-l', '4096', '-m', '20000',
                        f'{HOST}:{SINK}'], check=True, timeout=60, stdout=subprocess.DEVNULL)
        return {'scenario': 'ref', 'contestant': 'smtp-source', 'rate': 20000 / (time.monotonic() - t), 'time': row_time}
    except subprocess.SubprocessError as e:
        return {'scenario': 'ref', 'contestant': 'smtp-source', 'error': str(e), 'time': row_time}
    finally:
        sink.kill()
        sink.wait()

def setup():
    os.makedirs(WORK, exist_ok=True)
    subprocess.run(['make', '-s', '-C', HERE + '/tools', f'BIN={WORK}/bin'], check=True)
    if not os.path.exists(f'{WORK}/rig.crt'):
        subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes',
                        '-days', '3650', '-subj', '/CN=rig.example', '-keyout', f'{WORK}/rig.key',
                        '-out', f'{WORK}/rig.crt'], check=True, stderr=subprocess.DEVNULL)
    for want in (200000, resource.getrlimit(resource.RLIMIT_NOFILE)[1]):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (want, want))
            break
        except (ValueError, OSError):
            pass

def facts():
    cpu = next(l.split(':')[1].strip() for l in open('/proc/cpuinfo') if l.startswith('model name'))
    memory_gb = next(int(l.split()[1]) for l in open('/proc/meminfo')) / 2**20
    os.makedirs(WORK, exist_ok=True)
    fd, times = os.open(f'{WORK}/fsync', os.O_WRONLY | os.O_CREAT), []
    for i in range(300):
        t = time.monotonic()
        os.pwrite(fd, b'x' * 4096, i * 4096)
        os.fsync(fd)
        times.append(time.monotonic() - t)
    os.close(fd)
    os.unlink(f'{WORK}/fsync')
    print(f'- {os.cpu_count()} CPUs, {cpu}; {memory_gb:.0f} GB of memory; Linux {os.uname().release}')
    print(f'- 4 KB write and fsync where the queues are: {1e3 * statistics.median(times):.2f} ms median, '
          f'{1e3 * sorted(times)[-3]:.2f} ms p99')
    for root in sorted(glob.glob(PREFIX + '/*/.complete')):
        with open(root) as f:
            v = [l.strip()[:-4] for l in f if re.match(r'(postfix|sendmail-bin|exim4-daemon-light|libssl3|libc6)_', l)]
        print('- ' + os.path.basename(os.path.dirname(root)) + ': ' + ', '.join(sorted(v)))

def all_contestants():
    return sorted(os.path.basename(p)[:-3] for p in glob.glob(HERE + '/contestants/*.sh'))

def why_not(name, features, key, named):
    s = SCENARIOS[key]
    if s.alone and not named and name != 'gatepost':
        return 'too large'
    if s.per == 'request' and 'policy' not in features:
        return 'no policy servers'
    if s.milters and 'milter' not in features:
        return 'no milters'
    if s.tls and 'tls' not in features:
        return 'no TLS'
    if s.sink_delay and 'sync' not in features:
        return 'does not wait for the destination'
    return None

def run_all(args):
    names = args.contestants.split(',') if args.contestants else ['direct', 'gatepost', 'postfix', 'postfix-proxy']
    keys = args.scenarios.split(',') if args.scenarios else list(SCENARIOS)
    setup()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit('bench.py: ended'))
    lock = open(f'{WORK}/lock', 'w')
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        sys.exit('bench.py: another run is under way')
    features = {n: [] if n == 'direct' else contestant(n, 'features').stdout.split() for n in names}
    with open(args.output, 'a') as out:
        def put(row):
            if row:
                out.write(json.dumps(row) + '\n')
                out.flush()
                short = {k: round(v, 3) if isinstance(v, float) else v for k, v in row.items() if k in (
                    'round', 'scenario', 'contestant', 'rate', 'delivered_rate', 'cpu_per_1000', 'p50', 'p99',
                    'pss_mb', 'others', 'fails', 'missing', 'dups', 'error', 'calibration')}
                print(short, flush=True)
        for rnd in range(1, args.rounds + 1):
            for key in keys:
                put({**(reference(time.strftime('%H:%M:%S')) or {}), 'round': rnd} if key == 'a' else None)
                for name in names:
                    if not why_not(name, features[name], key, args.contestants):
                        put({**measure(name, key, features[name]), 'round': rnd})

# ------------------------------------------------------------------- tables

def num(v, digits=3):
    if v is None:
        return '-'
    if v == 0:
        return '0'
    return f'{v:.0f}' if abs(v) >= 10 ** (digits - 1) else f'{v:.{digits}g}'

def table(files):
    rows = [json.loads(l) for f in files for l in open(f)]
    groups = collections.OrderedDict()
    for r in rows:
        groups.setdefault(r['scenario'], collections.OrderedDict()).setdefault(r['contestant'], []).append(r)
    v = [r['rate'] for r in groups.pop('ref', {}).get('smtp-source', []) if 'rate' in r]
    if v:
        print(f'smtp-source to smtp-sink directly, 20 sessions, 4 KB: {num(statistics.median(v))} msgs/s '
              f'({num(min(v))} to {num(max(v))} in {len(v)} rounds)\n')
    for key in [k for k in SCENARIOS if k in groups]:
        s = SCENARIOS[key]
        print(f'**{key}: {s.text}**\n')
        slow_one = s.delay or s.sink_delay
        head = ['contestant', 'rounds']
        if s.per == 'message':
            head += ['accepted/s', 'delivered/s', '% of direct', 'CPU s/1000', 'if alone/s', 'p50 ms', 'p99 ms']
            head += ['% of ideal', 'KB/session'] if slow_one else []
        elif s.per == 'request':
            head += ['requests/s', 'CPU s/1000', 'if alone/s', 'p50 ms', 'p99 ms']
        elif s.per == 'connection':
            head += ['connections/s', 'CPU s/1000', 'if alone/s', 'greeting p50 ms', 'p99 ms']
        else:
            head += ['held', 'PSS KB/session', 'kernel KB/session', 'CPU s/1000', 'greeting p50 ms', 'p99 ms']
        head += ['peak PSS MB', 'peak RSS MB', 'processes', 'failed', 'missing', 'twice', 'others\' CPU']
        print('| ' + ' | '.join(head) + ' |')
        print('|' + '|'.join('---' if i == 0 else '---:' for i in range(len(head))) + '|')
        for name, rs in groups[key].items():
            good = [r for r in rs if 'error' not in r]
            if not good:
                print(f'| {name} | 0 | {rs[-1]["error"]} |' + ' |' * (len(head) - 3))
                continue
            def med(get):
                v = [get(r) for r in good]
                v = [x for x in v if x is not None]
                return statistics.median(v) if v else None
            def f(k):
                return num(med(lambda r: r.get(k)))
            per_session = num(med(lambda r: 1024 * (r['pss_mb'] - r['before_pss_mb']) / max(1, r['peak_sessions'])))
            fails = collections.Counter()
            for r in good:
                fails.update(r['fails'])
            failed = ' '.join(f'{k}:{v}' for k, v in fails.items()) or '0'
            line = [name, str(len(good))]
            if s.per == 'message':
                line += [f('rate'), f('delivered_rate'), num(med(lambda r: 100 * r['delivered_rate'] / r['calibration'])),
                         f('cpu_per_1000'), f('cpu_bound_rate'), f('p50'), f('p99')]
                if slow_one:
                    line += [num(med(lambda r: 100 * r['rate'] / (s.sessions * 1000 / slow_one))), per_session]
            elif s.per == 'request':
                line += [f('rate'), f('cpu_per_1000'), f('cpu_bound_rate'), f('p50'), f('p99')]
            elif s.per == 'connection':
                line += [f('rate'), f('cpu_per_1000'), f('cpu_bound_rate'), f('banner_p50'), f('banner_p99')]
            else:
                line += [f('held'), num(med(idle_kb)),
                         num(med(lambda r: 1024 * (r['plateau_kern_mb'] - r['before_kern_mb']) / max(1, r['held']))),
                         f('cpu_per_1000'), f('banner_p50'), f('banner_p99')]
            line += [f('pss_mb'), f('rss_mb'), f('procs'), failed, num(sum(r.get('missing', 0) for r in good)),
                     num(sum(r.get('dups', 0) for r in good)), num(med(lambda r: 100 * r['others'])) + '%']
            print('| ' + ' | '.join(line) + ' |')
        print()

def idle_kb(r):
    return 1024 * (r['plateau_pss_mb'] - r['before_pss_mb']) / max(1, r['held'])

def waiting_kb(r):
    return 1024 * (r['pss_mb'] - r['before_pss_mb']) / max(1, r['peak_sessions'])

def ratios(files):
    """One line a scenario: CPU seconds for 1000, KB for a session, latency; others divided by gatepost."""
    rows = [json.loads(l) for f in files for l in open(f)]
    cells = collections.defaultdict(list)
    for r in rows:
        if 'error' not in r and r['scenario'] in SCENARIOS:
            cells[r['scenario'], r['contestant']].append(r)
    others = [n for n in dict.fromkeys(r['contestant'] for r in rows) if n not in ('gatepost', 'direct', 'smtp-source')]
    head = ['scenario', 'figure', 'gatepost'] + [x for n in others for x in (n, 'times')]
    print('| ' + ' | '.join(head) + ' |\n|---|---|' + '---:|' * (len(head) - 2))
    for key in SCENARIOS:
        mine = cells[key, 'gatepost']
        if not mine:
            continue
        s = SCENARIOS[key]
        slow_one = s.delay or s.sink_delay
        figures = [('CPU s/1000', lambda r: r['cpu_per_1000']), ('failed + missing + twice',
                   lambda r: r['failed'] + r.get('missing', 0) + r.get('dups', 0))]
        if s.per == 'session':
            figures.append(('PSS KB/session', idle_kb))
        elif slow_one and not s.reader:
            figures += [('PSS KB/session', waiting_kb), ('% of ideal rate', lambda r: 100 * r['rate'] / (s.sessions * 1000 / slow_one))]
        elif s.per == 'request':
            figures += [('requests/s', lambda r: r['rate']), ('p50 ms', lambda r: r['p50']), ('p99 ms', lambda r: r['p99'])]
        elif s.per == 'message':
            figures += [('delivered/s', lambda r: r['delivered_rate']), ('p50 ms', lambda r: r['p50']), ('p99 ms', lambda r: r['p99'])]
        for what, get in figures:
            own = statistics.median(map(get, mine))
            line = [f'{key}: {s.text}' if what == 'CPU s/1000' else '', what, num(own)]
            for n in others:
                v = statistics.median(map(get, cells[key, n])) if cells[key, n] else None
                line += [num(v), num(v / own) if v and own else '-']
            print('| ' + ' | '.join(line) + ' |')

def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sub = p.add_subparsers(dest='what', required=True)
    r = sub.add_parser('run')
    r.add_argument('-s', dest='scenarios')
    r.add_argument('-c', dest='contestants')
    r.add_argument('-n', dest='rounds', type=int, default=1)
    r.add_argument('-o', dest='output', default='results.jsonl')
    t = sub.add_parser('table')
    t.add_argument('files', nargs='+')
    q = sub.add_parser('ratios')
    q.add_argument('files', nargs='+')
    sub.add_parser('list')
    sub.add_parser('facts')
    args = p.parse_args()
    if args.what == 'run':
        run_all(args)
    elif args.what == 'table':
        table(args.files)
    elif args.what == 'ratios':
        ratios(args.files)
    elif args.what == 'facts':
        facts()
    else:
        for k, s in SCENARIOS.items():
            print(f'{k:6} {s.text}')
        print('contestants: direct', *all_contestants())

if __name__ == '__main__':
    main()
