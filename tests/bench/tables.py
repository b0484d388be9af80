#!/usr/bin/python3
"""tables.py [LINES] - lookups a second and memory of each kind of table file, by `gatepost table get -` and by Debian's `postmap -q -`.

Both read the same keys from a pipe and the same files, made by postmap inside the root that peers/fetch.sh has unpacked. Each is run
with few keys and with many: the difference is what lookups take, the rest is starting and loading. The answers must be equal.
Environment: ROUNDS (1): so often, in turn; the medians are printed. KINDS: a list with commas. RIG_PREFIX (build/bench), GATEPOST. Needs root, for chroot.
"""
import glob, os, random, statistics, subprocess, sys, time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ROOT = os.environ.get('RIG_PREFIX', TOP + '/build/bench') + '/postfix'
GATEPOST = os.environ.get('GATEPOST', TOP + '/build/release/gatepost')
ROUNDS = int(os.environ.get('ROUNDS', 1))
LINES = int(sys.argv[1]) if len(sys.argv) > 1 else 1000000

# What to look up, few and many, for gatepost and for Postfix, whose walk through a million rules takes long.
KINDS = {'hash': (100, 200000, 200000), 'btree': (100, 200000, 200000), 'cdb': (100, 200000, 200000), 'lmdb': (100, 200000, 200000),
         'texthash': (100, 1000000, 1000000), 'cidr': (10, 1000000, 110), 'pcre': (2, 1000000, 22)}

def user(n):
    return f'user{n}@dom{n % 5000}.example.org'

def net(n):
    return f'10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}'

def line(kind, n):
    if kind == 'cidr':
        return f'{net(16 * n)}/28 REJECT listed {n % 100}'
    if kind == 'pcre':
        return f'/^{user(n)}$/ REJECT listed {n % 100}'.replace('.', r'\.')
    return f'{user(n)}  box{n % 40}@store{n % 7}.example.net'

def make(kind):
    path = f'{ROOT}/bench/{kind}'
    # postmap keeps what an lmdb file of an earlier run has grown to.
    for old in glob.glob(path + '.*'):
        os.unlink(old)
    with open(path, 'w') as f:
        f.writelines(line(kind, n) + '\n' for n in range(LINES))
    if kind in ('hash', 'btree', 'cdb', 'lmdb'):
        subprocess.run(['chroot', ROOT, 'postmap', f'{kind}:/bench/{kind}'], check=True)

def write_keys(path, kind, count):
    """The same keys each time, and those for few are the first of those for many. This process stays small: what it starts is charged for its size."""
    draw = random.Random(1)
    with open(path, 'w') as f:
        f.writelines((net(draw.randrange(20 * LINES)) if kind == 'cidr' else user(draw.randrange(LINES * 5 // 4))) + '\n' for _ in range(count))

def run(command, keys):
    """seconds, of them of the processor, KiB at the worst"""
    start = time.monotonic()
    with open(keys) as f, open(f'{ROOT}/bench/out', 'w') as out:
        p = subprocess.Popen(command, stdin=f, stdout=out, stderr=subprocess.DEVNULL)
        _, _, usage = os.wait4(p.pid, 0)
    return time.monotonic() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss

class Side:
    """One of the two, asked about one table."""

    def __init__(self, name, command, kind, few, many):
        self.command, self.few, self.many, self.figures = command, few, many, []
        self.files = [f'{ROOT}/bench/{name}.{n}' for n in ('few', 'many')]
        for path, n in zip(self.files, (few, many)):
            write_keys(path, kind, n)
        run(command, self.files[1])     # what is on the disk comes into memory
        self.answers = f'{ROOT}/bench/{name}.answers'
        os.rename(f'{ROOT}/bench/out', self.answers)

    def measure(self):
        (t0, c0, _), (t1, c1, peak) = (run(self.command, path) for path in self.files)
        # Next to a long start the lookups may take no time that could be told.
        n = self.many - self.few if t1 - t0 > t0 / 10 else float('nan')
        self.figures.append((n / (t1 - t0), (c1 - c0) * 1e6 / n, t0, peak / 1024))

    def medians(self):
        return [statistics.median(column) for column in zip(*self.figures)]

def agree(sides):
    """As far as both have asked."""
    with open(sides[0].answers) as one, open(sides[1].answers) as other:
        return all(a == b for a, b in zip(one, other)) and os.stat(sides[1].answers).st_size > 0

def main():
    os.makedirs(ROOT + '/bench', exist_ok=True)
    with open(ROOT + '/etc/postfix/main.cf', 'w') as f:
        f.write('compatibility_level = 3.6\nlmdb_map_size = 1073741824\n')
    with open(ROOT + '/etc/postfix/dynamicmaps.cf', 'w') as f:
        f.write('pcre postfix-pcre.so dict_pcre_open\nlmdb postfix-lmdb.so dict_lmdb_open mkmap_lmdb_open\n'
                'cdb postfix-cdb.so dict_cdb_open mkmap_cdb_open\n')
    columns = 'lookups/s | CPU us each | start s | peak MB'
    print(f'{LINES} lines, rounds: {ROUNDS} | gatepost {columns} | Postfix {columns}\n---{"|---:" * 8}')
    for kind in os.environ.get('KINDS', ','.join(KINDS)).split(','):
        few, many, many_postfix = KINDS[kind]
        make(kind)
        sides = [Side('gatepost', [GATEPOST, 'table', 'get', f'{kind}:{ROOT}/bench/{kind}', '-'], kind, few, many),
                 Side('postfix', ['chroot', ROOT, 'postmap', '-q', '-', f'{kind}:/bench/{kind}'], kind, few, many_postfix)]
        if not agree(sides):
            sys.exit(f'tables.py: {kind}: the answers differ')
        for _ in range(ROUNDS):
            for side in sides:
                side.measure()
        figures = sides[0].medians() + sides[1].medians()
        print(kind, *(f'{v:.{d}f}' for v, d in zip(figures, (0, 2, 2, 0) * 2)), sep=' | ', flush=True)

if __name__ == '__main__':
    main()
