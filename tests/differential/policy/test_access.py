"""access(5): the same tables and the same clients, gatepost beside Debian's Postfix.

Each action is met at each list by a key that only its own script uses, so that one server of each kind serves them all.  Compared are the
replies (those that refuse to the letter: compat = postfix), who got the message, and with which X- fields on top.
"""
import os
import re
import time

import pytest

from gp.actors import Hop
from gp.postfix import Postfix
from gp.server import Gatepost, free_port
from gp.smtp import Smtp

ACTIONS = ['OK', 'DUNNO', '12345', 'RELAY', 'REJECT', 'REJECT go away', 'reject 5.1.1 lower', 'DEFER', 'DEFER come back', '550 5.1.1 no such', '550 own',
           '450 4.1.8 own', '554 4.3.1 odd class', '421 4.7.9 bye', '521 5.7.9 bye', 'DEFER_IF_PERMIT', 'DEFER_IF_PERMIT 4.7.9 wait',
           'DEFER_IF_REJECT perhaps', 'PREPEND X-P: one', 'PREPEND no colon', 'WARN look', 'INFO look', 'DISCARD gone', 'HOLD keep',
           'REDIRECT trap@example.test', 'BCC copy@example.test', 'FILTER {filter}', 'REDIRECT nobody', 'nonsense word', 'REJECT ' + 'long ' * 200]
LISTS = ['client', 'helo', 'sender', 'recipient', 'data', 'end_of_data']
# what each list is asked about in this test: data and end_of_data know the sender
ABOUT = {'client': 'client', 'helo': 'helo', 'sender': 'sender', 'recipient': 'recipient', 'data': 'sender', 'end_of_data': 'sender'}

CASES = {}              # name: (setup, client, helo, sender, recipients)
TABLES = {}             # (setup, list): [(key, action)]


def add(setup, title, table, action, **given):
    n = len(CASES)
    who = dict(client='192.0.%d.%d' % (3 + n // 200, n % 200 + 1), helo='h%d.example.net' % n, sender='s%d@example.net' % n,
               recipients=['r%d@example.test' % n, 'second@example.test', 'x@other.test'])
    key = given.pop('key', who['recipients'][0] if ABOUT[table] == 'recipient' else who[ABOUT[table]])
    who.update(given)
    TABLES.setdefault((setup, table), []).append((key, action))
    CASES['%s %s' % (setup, title)] = setup, who


for action in ACTIONS:
    for table in LISTS[:4]:
        add('late', '%s: %s' % (table, action[:30]), table, action)
    for table in LISTS[2:]:
        add('early', '%s: %s' % (table, action[:30]), table, action)
for action in ACTIONS:
    if not re.match(r'[45D]|REJ|rej|non', action):
        add('early', 'helo: ' + action, 'helo', action)
add('early', 'helo: DEFER_IF_PERMIT', 'helo', 'DEFER_IF_PERMIT wait')
add('early', 'client: DEFER_IF_PERMIT', 'client', 'DEFER_IF_PERMIT 4.7.8 wait')

KEYS = [
    ('network /24', 'client', '198.51.100', dict(client='198.51.100.9')), ('network /16', 'client', '198.18', dict(client='198.18.7.9')),
    ('network /8', 'client', '11', dict(client='11.2.3.4')), ('client name', 'client', 'name.test', dict(name='name.test')),
    ('parent of client name', 'client', 'parent.test', dict(name='a.b.parent.test')), ('ipv6', 'client', '2001:db8::7', dict(client='IPV6:2001:db8::7')),
    ('ipv6 network', 'client', '2001:db8:5', dict(client='IPV6:2001:db8:5:6:7:8:9:a')), ('unknown', 'client', 'unknown', dict(name='[UNAVAILABLE]')),
    ('parent of helo', 'helo', 'helo.test', dict(helo='a.b.helo.test')), ('helo case', 'helo', 'case.test', dict(helo='CASE.Test')),
    ('helo literal', 'helo', '[192.0.2.77]', dict(helo='[192.0.2.77]')),
    ('null sender', 'sender', '<>', dict(sender='')), ('sender domain', 'sender', 'dom.test', dict(sender='a@dom.test')),
    ('sender parent domain', 'sender', 'par.test', dict(sender='a@x.y.par.test')), ('sender with dot', 'sender', '.dot.test', dict(sender='a@x.dot.test')),
    ('sender user@', 'sender', 'anyuser@', dict(sender='anyuser@other.test')), ('sender case', 'sender', 'mixed@case.test', dict(sender='Mixed@CASE.test')),
    ('sender extension', 'sender', 'ext@dom2.test', dict(sender='ext+more@dom2.test')),
    ('sender whole first', 'sender', 'two+x@dom3.test', dict(sender='two+x@dom3.test')),
    ('sender extension, user@', 'sender', 'extuser@', dict(sender='extuser+z@dom4.test')),
    ('recipient quoted', 'recipient', 'q z@example.test', dict(recipients=['"q z"@example.test'])),
    ('recipient user@', 'recipient', 'local@', dict(recipients=['local@example.test', 'ok@example.test'])),
    ('recipient extension', 'recipient', 'rext@example.test', dict(recipients=['rext+1@example.test'])),
]
for name, table, key, given in KEYS:
    add('late', 'key: ' + name, table, 'REJECT found', key=key, **given)


for digit in range(10):
    for table in LISTS[1:4]:
        add('late', 'status 5.1.%d: %s' % (digit, table), table, '550 5.1.%d no' % digit)


def client_script(who):
    xclient = 'XCLIENT ADDR=%s NAME=%s' % (who['client'], who.get('name', 'c.example.org'))
    lines = ['EHLO x.example', xclient, 'EHLO ' + who['helo'], 'MAIL FROM:<%s>' % who['sender']]
    return lines + ['RCPT TO:<%s>' % r for r in who['recipients']] + ['DATA']


def play(port, who):
    heard = []
    with Smtp(port, greet=False) as c:
        def listen(said):
            code, texts = c.reply()
            status = (re.match(r'[245]\.\d+\.\d+', texts[-1]) or [''])[0] if texts else ''
            refusal = texts[-1] if texts and (': ' in texts[-1] and 'rejected' in texts[-1] or 'denied' in texts[-1]) else ''
            heard.append((said, code, status, refusal))
            return code
        code = listen('greeting')
        for line in client_script(who):
            if code is None:
                break
            c.send(line + '\r\n')
            code = listen(line.split(' ')[0])
        if code == 354:
            c.send('Subject: one\r\n\r\nline\r\n.\r\n')
            listen('dot')
    return heard


MAIN = '''inet_protocols = all
smtpd_delay_reject = {delay}
smtpd_relay_restrictions = reject_unauth_destination
smtpd_soft_error_limit = 100
smtpd_error_sleep_time = 0
recipient_delimiter = +
virtual_transport = lmtp:unix:{hop}
'''


class Side:
    def __init__(self, folder, setup):
        os.makedirs(folder)
        os.chmod(folder, 0o755)
        self.hop, self.filter = Hop('hop', folder, lmtp=True), Hop('filter', folder, lmtp=True)
        for h in (self.hop, self.filter):
            os.chmod(h.endpoint[5:], 0o777)
        for table in LISTS:
            with open('%s/%s' % (folder, table), 'w') as f:
                f.write(''.join('%s\t%s\n' % (k if ' ' not in k else '"%s"' % k, a.format(filter='lmtp:' + self.filter.endpoint))
                                for k, a in TABLES.get((setup, table), [('none', 'OK')])))
        self.port, self.close = self.start(folder, setup)

    def got(self, sender):
        """What arrived from SENDER: at which hop, for whom, with which fields."""
        mine = []
        for name, hop in (('hop', self.hop), ('filter', self.filter)):
            with hop.changed:
                for (s, rcpts), data in zip(hop.envelopes, hop.messages):
                    if s == '<%s>' % sender:
                        fields = [l for l in data.decode().split('\r\n\r\n')[0].split('\r\n') if l.startswith('X-')]
                        mine += [(name, r, fields) for r in rcpts]
        return sorted(mine)


class PostfixSide(Side):
    def start(self, folder, setup):
        lists = ''.join('smtpd_%s_restrictions = check_%s_access texthash:%s/%s\n' % (t, ABOUT[t], folder, t) for t in LISTS)
        self.server = Postfix(folder, MAIN.format(delay='yes' if setup == 'late' else 'no', hop=self.hop.endpoint[5:]) + lists)
        self.server.__enter__()
        return self.server.port, self.server.__exit__


class GatepostSide(Side):
    def start(self, folder, setup):
        ask = {t: 'access :%s "%s";' % (ABOUT[t], t) for t in LISTS}
        rcpt = 'if not envelope :domain "to" "example.test" { stop; } %s deliver "hop";' % ask['recipient']
        if setup == 'late':
            blocks = {'rcpt': ' '.join(ask[t] for t in LISTS[:3]) + rcpt}
        else:
            blocks = {'connect': ask['client'], 'ehlo': ask['helo'], 'mail': ask['sender'], 'rcpt': rcpt}
        blocks.update(data=ask['data'], message=ask['end_of_data'])
        port = free_port()
        self.server = Gatepost(folder, {
            'gatepost.conf': 'hostname = "mx.example.test"\nspool = "%s/spool"\nworkers = 1\ndns { enabled = false }\n' % folder +
                             ''.join('table %s { map = "texthash:%s/%s" compat = postfix }\n' % (t, folder, t) for t in LISTS) +
                             'next_hop hop { lmtp = "%s" }\n' % self.hop.endpoint +
                             'listener mx { address = {"127.0.0.1:%d"} script = "mx.sieve" xclient = {"127.0.0.0/8"} }\n' % port,
            'mx.sieve': 'require ["envelope", "vnd.gatepost.mta"];\n' + ''.join('stage "%s" { %s }\n' % b for b in blocks.items())},
            allowed=['event=access'])
        return port, self.server.close


SIDES = {}


@pytest.fixture(scope='module')
def sides(place):
    def get(setup):
        if setup not in SIDES:
            SIDES[setup] = PostfixSide('%s/pp%s' % (place, setup), setup), GatepostSide('%s/gp%s' % (place, setup), setup)
        return SIDES[setup]
    yield get
    for pair in SIDES.values():
        for side in pair:
            side.close()
    SIDES.clear()


def wait_for(side, sender, count):
    """Postfix delivers when it has answered."""
    end = time.monotonic() + 20
    while len(side.got(sender)) < count and time.monotonic() < end:
        time.sleep(0.02)
    return side.got(sender)


# Where we mean to differ: {case: (what is not compared, why)}.
DIFFERENT = {'late %s: BCC copy@example.test' % table: ('got', 'asked again at each RCPT: Postfix sends as many copies, we send one')
             for table in LISTS[:3]}
DIFFERENT.update((name, ('heard', 'a reply line is 512 octets (RFC 5321 section 4.5.3.1.5): Postfix 3.7 means to cut it at 510, and does not'))
                 for name in CASES if 'long long' in name)


# shows: P11 P12 P13 P14 P15 P16 P17 P18
@pytest.mark.parametrize('name', CASES)
def test_equal(sides, name):
    setup, who = CASES[name]
    postfix, ours = sides(setup)
    heard = [play(side.port, who) for side in (postfix, ours)]
    but = DIFFERENT.get(name, ('',))[0]
    assert 'heard' in but or heard[1] == heard[0]
    mine = ours.got(who['sender'])
    assert 'got' in but or wait_for(postfix, who['sender'], len(mine)) == mine
