"""Tables and keys made at random, always the same ones."""
import random

FILES, KEYS = 4, 40
SEED = 20261122


def word(r, low=1, high=4):
    return ''.join(r.choice('abAB') for _ in range(r.randint(low, high)))


def key(r):
    return r.choice([word(r), word(r) + '@' + word(r, 1, 2), '@' + word(r, 1, 2), word(r) + '+' + word(r, 1, 1) + '@' + word(r, 1, 2), '.' + word(r, 1, 2)])


def gap(r):
    return r.choice([' ', '\t', '  ', ' \t '])


def noise(r):
    """What may stand between lines."""
    return r.choice([''] * 6 + ['\n', '# c\n', '   \n', '  # c\n'])


def keyed(r):
    lines = []
    for _ in range(r.randint(5, 40)):
        value = gap(r).join(word(r) for _ in range(r.randint(0 if r.random() < 0.1 else 1, 3)))
        end = r.choice(['\n'] * 9 + ['\r\n'])
        lines.append(noise(r) + key(r) + gap(r) + value + r.choice(['', '', gap(r)]) + end)
        if r.random() < 0.15:
            lines.append(noise(r) + gap(r) + word(r) + end)
    return ''.join(lines), [key(r) for _ in range(KEYS)]


def atom(r, depth, engine):
    c = r.random()
    if c < 0.5:
        return r.choice('aAbB@.+')
    if c < 0.6:
        return r.choice(['[ab]', '[^a]', '[[:alpha:]]', r'\.', r'\+', r'\@'])
    if c < 0.65 and engine == 'pcre':
        return r.choice([r'\w', r'\W', '(?:ab)', '(?=a)', '(?!b)', r'\b'])
    if c < 0.85 and depth < 3:
        return '(%s)' % pattern(r, depth + 1, engine)
    return r.choice('ab')


def pattern(r, depth, engine):
    parts = []
    for _ in range(r.randint(1, 3)):
        parts.append(atom(r, depth, engine) + (r.choice(['*', '+', '?', '{1,2}']) if r.random() < 0.3 else ''))
    text = ''.join(parts)
    if r.random() < 0.15:
        text += '|' + atom(r, depth, engine)
    if depth == 0:
        text = r.choice(['^', '', '']) + text + r.choice(['$', '', ''])
    return text


def flags(r, engine):
    return ''.join(r.choice('imsxAEU' if engine == 'pcre' else 'imx') for _ in range(r.choice([0, 0, 0, 1, 2])))


def value(r):
    return ''.join(r.choice(['x', 'y', ' ', '$1', '${1}', '$(1)', '$2', '$$', '-']) for _ in range(r.randint(1, 4))) + 'z'


def patterns(engine):
    def make(r):
        lines, depth = [], 0
        for _ in range(r.randint(5, 30)):
            negated = '!' if r.random() < 0.15 else ''
            rule = negated + '/%s/%s' % (pattern(r, 0, engine), flags(r, engine))
            c = r.random()
            if c < 0.12:
                lines.append('if %s\n' % rule)
                depth += 1
            elif c < 0.2 and depth:
                lines.append('endif\n')
                depth -= 1
            else:
                lines.append(noise(r) + rule + gap(r) + ('v' if negated else value(r)) + '\n')
        return ''.join(lines) + 'endif\n' * r.randint(0, depth), [key(r) for _ in range(KEYS)]
    return make


def address(r):
    if r.random() < 0.5:
        return '.'.join(str(r.choice([0, 1, 10, 192, 255, r.randint(0, 255)])) for _ in range(4))
    groups = ['%x' % r.choice([0, 0, 1, 0x2001, 0xffff, r.randint(0, 0xffff)]) for _ in range(8)]
    if r.random() < 0.5:
        cut = r.randint(1, 6)
        return ':'.join(groups[:cut]) + '::' + ':'.join(groups[cut + 1:])
    return ':'.join(groups)


def network(r):
    import ipaddress
    a = ipaddress.ip_address(address(r))
    bits = a.max_prefixlen
    n = r.choice([r.randint(0, bits), r.randint(0, bits), bits, 0, bits // 2])
    if r.random() < 0.9:
        a = ipaddress.ip_network((a, n), strict=False).network_address
    return '%s/%d' % (a, n) if n < bits or r.random() < 0.5 else str(a)


def cidr(r):
    lines, nets, depth = [], [], 0
    for _ in range(r.randint(5, 40)):
        net = network(r)
        nets.append(net.split('/')[0])
        rule = ('!' if r.random() < 0.1 else '') + net
        c = r.random()
        if c < 0.1:
            lines.append('if %s\n' % rule)
            depth += 1
        elif c < 0.2 and depth:
            lines.append('endif\n')
            depth -= 1
        else:
            lines.append(noise(r) + rule + gap(r) + word(r) + '\n')
    return ''.join(lines), [r.choice(nets) if r.random() < 0.6 else address(r) for _ in range(KEYS)]


def inline(r):
    entries = []
    for _ in range(r.randint(1, 10)):
        entry = key(r) + r.choice(['=', ' = ', '= ']) + r.choice(['', ' ']).join(word(r) for _ in range(2))
        entries.append('{%s}' % entry if ' ' in entry or r.random() < 0.5 else entry)
    return '{%s}' % r.choice([', ', ',', ' ']).join(entries), [key(r) for _ in range(KEYS)]


MAKERS = {**{kind: keyed for kind in ('texthash', 'hash', 'btree', 'lmdb', 'cdb')}, 'pcre': patterns('pcre'), 'regexp': patterns('regexp'),
          'cidr': cidr, 'inline': inline}
CASES = [('%s-random-%d' % (kind, i), kind, *make(random.Random('%d %s %d' % (SEED, kind, i)))) for kind, make in MAKERS.items() for i in range(FILES)]
