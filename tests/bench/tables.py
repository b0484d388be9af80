#!/usr/bin/python3
"""tables.py [LINES] - lookups a second and memory of each kind of table file, by `gatepost table get -` and by Debian's `postmap -q -`.

Both read the same keys from a pipe and the same files, made by postmap inside the root that peers/fetch.sh has unpacked. Each is run
with few keys and with many: the difference is what lookups take, the rest is starting and loading. The answers must be equal.
Environment: RIG_PREFIX (build/bench), GATEPOST. Needs root, for chroot.
"""
import os, random, subprocess, sys, time

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ROOT = os.environ.get('RIG_PREFIX', TOP + '/build/bench') + '/postfix'
GATEPOST = os.environ.get('GATEPOST', TOP + '/build/release/gatepost')
LINES = int(sys.argv[1]) if len(sys.argv) > 1 else 1000000

# What to look up, few and many, for gatepost and for Postfix, whose walk through a million rules takes long.
KINDS = {'hash': (100, 40000, 40000), 'btree': (100, 40000, 40000), 'cdb': (100, 40000, 40000), 'lmdb': (100, 40000, 40000),
         'texthash': (100, 40000, 40000), 'cidr': (10, 40000, 110), 'pcre': (2, 22, 22)}

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
    with open(path, 'w') as f:
        f.writelines(line(kind, n) + '\n' for n in range(LINES))
    if kind in ('hash', 'btree', 'cdb', 'lmdb'):
        subprocess.run(['chroot', ROOT, 'postmap', f'{kind}:/bench/{kind}'], check=True)

def run(command, keys):
    """seconds, KiB at the worst, what it said"""
    with open(f'{ROOT}/bench/keys', 'w') as f:
        f.writelines(k + '\n' for k in keys)
    start = time.monotonic()
    with open(f'{ROOT}/bench/keys') as f, open(f'{ROOT}/bench/out', 'w') as out:
        p = subprocess.Popen(command, stdin=f, stdout=out, stderr=subprocess.DEVNULL)
        _, _, usage = os.wait4(p.pid, 0)
    seconds = time.monotonic() - start
    with open(f'{ROOT}/bench/out') as f:
        return seconds, usage.ru_maxrss, f.read()

def measure(kind, command, few, many):
    draw = random.Random(1)
    keys = [net(draw.randrange(20 * LINES)) if kind == 'cidr' else user(draw.randrange(LINES * 5 // 4)) for _ in range(many)]
    run(command, keys[:few])            # what is on the disk comes into memory
    t0, _, _ = run(command, keys[:few])
    t1, peak, said = run(command, keys)
    # Next to a long start the lookups may take no time that could be told.
    rate = (many - few) / (t1 - t0) if t1 - t0 > t0 / 10 else float('nan')
    return rate, t0, peak / 1024, said.splitlines()

def main():
    os.makedirs(ROOT + '/bench', exist_ok=True)
    with open(ROOT + '/etc/postfix/main.cf', 'w') as f:
        f.write('compatibility_level = 3.6\nlmdb_map_size = 1073741824\n')
    with open(ROOT + '/etc/postfix/dynamicmaps.cf', 'w') as f:
        f.write('pcre postfix-pcre.so dict_pcre_open\nlmdb postfix-lmdb.so dict_lmdb_open mkmap_lmdb_open\n'
                'cdb postfix-cdb.so dict_cdb_open mkmap_cdb_open\n')
    print(f'{LINES} lines | gatepost lookups/s | start s | peak MB | Postfix lookups/s | start s | peak MB\n---|---:|---:|---:|---:|---:|---:')
    for kind, (few, many, many_postfix) in KINDS.items():
        make(kind)
        own = measure(kind, [GATEPOST, 'table', 'get', f'{kind}:{ROOT}/bench/{kind}', '-'], few, many)
        other = measure(kind, ['chroot', ROOT, 'postmap', '-q', '-', f'{kind}:/bench/{kind}'], few, many_postfix)
        if own[3][:len(other[3])] != other[3]:
            sys.exit(f'tables.py: {kind}: the answers differ')
        print(kind, *(f'{v:.{d}f}' for v, d in zip(own[:3] + other[:3], (0, 2, 0) * 2)), sep=' | ', flush=True)

if __name__ == '__main__':
    main()
