"""What milters are told, what clients hear, what is delivered: gatepost under `compat = postfix` beside Debian's Postfix.

Frames are compared as the recording milter (no libmilter) writes them down, macros included, after NORMAL has taken away what must
differ: ids, dates, ports, the version.  DIFFERENT lists the cases in which we mean to differ, each with its reason.
"""
import os
import re

import pytest

from gp.actors import Hop, Milter
from gp.postfix import Postfix
from gp.server import Gatepost, free_port, wait_for
from gp.smtp import Smtp

# the milters of each set-up, and how their failure is taken
SETUPS = {'one': ('tempfail', 1), 'two': ('tempfail', 2), 'three': ('tempfail', 3), 'accept': ('accept', 2), 'reject': ('reject', 1),
          'shutdown': ('disconnect', 1)}
POSTFIX_ACTION = {'disconnect': 'shutdown'}

NORMAL = [
    (re.compile(r'\bi=[^ ]+'), 'i=ID'),
    (re.compile(r'\bv=.*?(?= _=| \{|$)'), 'v=VERSION'),
    (re.compile(r'^(CONNECT .* 4) \d+ '), r'\1 PORT '),
    (re.compile(r'queued as .*'), 'queued'),
    # what delivers a message is named by the host: "virtual" there, an LMTP next hop here
    (re.compile(r'\{rcpt_mailer\}=(?!error)[^ ]+'), '{rcpt_mailer}=MAILER'),
]
MAIL = '''EHLO client.example.net
MAIL FROM:<a@example.net>
RCPT TO:<b@example.test>
DATA
Subject: one
X-Folded: first
  second
\tthird
X-Twice: 1
x-twice: 2

line one
.
RSET
MAIL FROM:<second@example.net>
QUIT
'''
ENVELOPE = 'EHLO client.example.net\nMAIL FROM:<a@example.net>\nRCPT TO:<b@example.test>\n'
CONTENT = 'DATA\nSubject: one\nX-Twice: 1\nX-Other: o\nx-twice: 2\n\nline one\n.\n'

STAGES = {
    'connect': ('CONNECT', MAIL), 'helo': ('HELO', MAIL), 'mail': ('MAIL', MAIL), 'rcpt': ('RCPT', MAIL), 'data': ('DATA', MAIL),
    'header': ('HEADER', MAIL), 'eoh': ('EOH', MAIL), 'body': ('BODY', MAIL), 'eom': ('EOM', MAIL),
    'unknown': ('UNKNOWN', 'EHLO client.example.net\nFROBNICATE\n' + MAIL[len('EHLO client.example.net\n'):]),
}
VERDICTS = ['accept', 'reject', 'tempfail', 'discard', 'reply "550 5.7.9 own words"', 'reply "451 4.7.9 later"', 'reply "421 4.7.8 closing"',
            'shutdown', 'skip']


def case(client, setup='one', settings=None, **rules):
    return {'client': client, 'setup': setup, 'rules': rules, 'settings': settings or {}}


CASES = {'%s: %s' % (stage, verdict[:10].replace('"', '')): case(client, m0=[event + ' -> ' + verdict])
         for stage, (event, client) in STAGES.items() for verdict in VERDICTS}


def edit(*actions, setup='one', client=ENVELOPE + CONTENT, **more):
    return case(client, setup, m0=['EOM -> ' + ' ; '.join(actions + ('continue',))], **more)


CASES.update({
    'plain': case(MAIL),
    'two transactions': case(ENVELOPE + CONTENT + ENVELOPE[len('EHLO client.example.net\n'):] + CONTENT + 'QUIT\n'),
    'rset after mail': case(ENVELOPE + 'RSET\n' + ENVELOPE.split('\n', 1)[1] + CONTENT + 'QUIT\n'),
    'second ehlo': case(ENVELOPE + 'EHLO again.example.net\n' + ENVELOPE.split('\n', 1)[1] + CONTENT + 'QUIT\n'),
    'helo, not ehlo': case(ENVELOPE.replace('EHLO', 'HELO') + CONTENT + 'QUIT\n'),
    'quit after ehlo': case('EHLO client.example.net\nQUIT\n'),
    'quit at once': case('QUIT\n'),
    'two recipients': case(ENVELOPE + 'RCPT TO:<c@example.test>\n' + CONTENT + 'QUIT\n'),
    'null sender': case('EHLO client.example.net\nMAIL FROM:<>\nRCPT TO:<b@example.test>\n' + CONTENT),
    'case of addresses': case('EHLO client.example.net\nMAIL FROM:<S@Ex.Test>\nRCPT TO:<B@Example.Test>\n' + CONTENT),
    'parameters': case('EHLO client.example.net\nMAIL FROM:<a@example.net> SIZE=100 BODY=8BITMIME RET=HDRS ENVID=x1\n'
                       'RCPT TO:<b@example.test> NOTIFY=FAILURE ORCPT=rfc822;b@example.test\n' + CONTENT),
    'no body': case(ENVELOPE + 'DATA\nSubject: x\n.\nQUIT\n'),
    'no header': case(ENVELOPE + 'DATA\n\nbody only\n.\nQUIT\n'),
    'dots': case(ENVELOPE + 'DATA\nSubject: x\n\n..a dot\n...\n.\nQUIT\n'),
    'header without space': case(ENVELOPE + 'DATA\nSubject:x\nX-Tab:\ty\nX-Two:  z\nX-Empty:\n\nb\n.\nQUIT\n'),
    'header spaces kept': case(ENVELOPE + 'DATA\nSubject:x\nX-Tab:\ty\nX-Two:  z\nX-Empty:\n\nb\n.\n', settings={'steps': '0x100000'}),
    'refused recipient': case(ENVELOPE + 'RCPT TO:<x@other.test>\n' + CONTENT + 'QUIT\n'),
    'refused recipient is told': case(ENVELOPE + 'RCPT TO:<x@other.test>\n' + CONTENT + 'QUIT\n', settings={'steps': '0x800'}),
    'all recipients refused by the milter': case(ENVELOPE + 'DATA\nMAIL FROM:<x@example.net>\nQUIT\n', m0=['RCPT -> reject']),
    'one recipient refused by the milter': case(ENVELOPE + 'RCPT TO:<c@example.test>\n' + CONTENT + 'QUIT\n', m0=['RCPT <b@*> -> reject']),
    'mail refused, then another': case('EHLO client.example.net\nMAIL FROM:<bad@example.net>\nMAIL FROM:<a@example.net>\n'
                                       'RCPT TO:<b@example.test>\n' + CONTENT, m0=['MAIL <bad@*> -> reject']),
    'unknown command': case('EHLO client.example.net\nFROB\nQUIT\n'),
    'bdat': case(ENVELOPE + 'BDAT 22 LAST|Subject: x\r\n\r\nbody..\r\n\nQUIT\n'),
    'bdat in two': case(ENVELOPE + 'BDAT 14|Subject: x\r\n\r\n\nBDAT 8 LAST|body..\r\n\nQUIT\n'),
    'xclient': case('EHLO client.example.net\nXCLIENT ADDR=192.0.2.7 NAME=h.example.net PORT=4711\n' + MAIL),
    'version 2': case(MAIL, settings={'version': '2', 'steps': '0', 'actions': '0x1f'}),
    'version 3': case(MAIL, settings={'version': '3', 'steps': '0', 'actions': '0x3f'}),
    'version 4': case(MAIL, settings={'version': '4', 'steps': '0', 'actions': '0x3f'}),
    'version 7': case(MAIL, settings={'version': '7'}),
    'more actions than offered': case(MAIL, settings={'actions': '0x3ff'}),
    'symlist mail': case(MAIL, settings={'symlist.mail': 'i j {mail_addr}'}),
    'symlist eom': case(MAIL, settings={'symlist.eom': 'j {client_addr} {client_name}', 'symlist.connect': 'j'}),
    'symlist rcpt and helo': case(MAIL, settings={'symlist.rcpt': '{rcpt_addr}', 'symlist.helo': 'j v'}),
    'symlist eoh': case(MAIL, settings={'symlist.eoh': 'j', 'symlist.data': 'v'}),
    'skip at body': case(MAIL, m0=['BODY -> skip']),
    'skip at rcpt': case(ENVELOPE + 'RCPT TO:<c@example.test>\n' + CONTENT, m0=['RCPT -> skip']),
    'skip at header': case(MAIL, m0=['HEADER -> skip']),
    'progress, then continue': case(MAIL, m0=['EOM -> progress ; progress ; continue', 'MAIL -> progress ; continue']),
    'reply of several lines': case(MAIL, m0=['MAIL -> reply "550-5.7.1 one\\r\\n550 5.7.1 two"']),
    'reply with percents': case(MAIL, m0=['MAIL -> reply "550 5.7.1 100%% of 5%"']),
    'reply without enhanced code': case(MAIL, m0=['MAIL -> reply "550 plain"']),
    'reply with a 2xx code': case(MAIL, m0=['MAIL -> reply "250 2.0.0 no"']),
    'reply with no code': case(MAIL, m0=['MAIL -> reply "hello"']),
    'reply 550 with 4.x': case(MAIL, m0=['MAIL -> reply "550 4.7.1 odd"']),
    'edit at mail': case(MAIL, m0=['MAIL -> add "X-A: b" ; continue']),
    'extra bytes after a verdict': case(MAIL, m0=['MAIL -> raw 0000000363787a']),
    'close at connect': case(MAIL, m0=['CONNECT -> close']),
    'close at mail': case(MAIL, m0=['MAIL -> close']),
    'close at eom': case(MAIL, m0=['EOM -> close']),
    'close at mail, accept': case(MAIL, 'accept', m0=['MAIL -> close']),
    'close at eom, accept': case(MAIL, 'accept', m0=['EOM -> close']),
    'close at mail, reject': case(MAIL, 'reject', m0=['MAIL -> close']),
    'close at eom, reject': case(MAIL, 'reject', m0=['EOM -> close']),
    'close at mail, shutdown': case(MAIL, 'shutdown', m0=['MAIL -> close']),
    'close at negotiation': case(MAIL, m0=['NEG -> close']),
    'close at negotiation, accept': case(MAIL, 'accept', m0=['NEG -> close']),
    'two milters': case(MAIL, 'two'),
    'three milters': case(MAIL, 'three'),
    'first rejects mail': case(MAIL, 'two', m0=['MAIL -> reject']),
    'second rejects mail': case(MAIL, 'two', m1=['MAIL -> reject']),
    'first accepts at mail': case(MAIL, 'two', m0=['MAIL -> accept']),
    'first accepts at connect': case(MAIL, 'two', m0=['CONNECT -> accept']),
    'first rejects at eom': case(MAIL, 'two', m0=['EOM -> reject']),
    'first discards at eom': case(MAIL, 'two', m0=['EOM -> discard']),
    'second sees what the first added': edit('add "X-New: 1"', 'insert 0 "X-Top: 2"', setup='two'),
    'second sees the new body': edit('body "new\\r\\nbody\\r\\n"', setup='two'),
    'second refuses the recipient': case(ENVELOPE + 'RCPT TO:<c@example.test>\n' + CONTENT, 'two', m1=['RCPT <b@*> -> reject']),
    'add': edit('add "X-New: value"'),
    'add folded': edit('add "X-New: one\\n two"'),
    'add, line without space': edit('add "X-New: one\\ntwo"'),
    'add empty': edit('add "X-New: "'),
    'insert 0': edit('insert 0 "X-New: v"'),
    'insert 1': edit('insert 1 "X-New: v"'),
    'insert 2': edit('insert 2 "X-New: v"'),
    'insert 3': edit('insert 3 "X-New: v"'),
    'insert 100': edit('insert 100 "X-New: v"'),
    'insert twice at 1': edit('insert 1 "X-A: v"', 'insert 1 "X-B: v"'),
    'change': edit('change 1 "Subject: new"'),
    'change 0': edit('change 0 "Subject: new"'),
    'change second of a name': edit('change 2 "X-Twice: new"'),
    'change respells the name': edit('change 1 "SUBJECT: new"'),
    'change what is not there': edit('change 1 "X-None: new"'),
    'change third of two': edit('change 3 "X-Twice: new"'),
    'delete': edit('change 1 "Subject: "'),
    'delete shifts': edit('change 1 "X-Twice: "', 'change 1 "X-Twice: was second"'),
    'delete what is not there': edit('change 1 "X-None: "'),
    'change Received': edit('change 1 "Received: x"'),
    'body': edit('body "new body\\r\\n"'),
    'body in two': edit('body "new "', 'body "body\\r\\n"'),
    'body without line end': edit('body "new body"'),
    'body with bare LF': edit('body "one\\ntwo\\n"'),
    'body, CR LF divided': edit('body "one\\r"', 'body "\\ntwo\\r\\n"'),
    'body not in one piece': edit('body "one\\r\\n"', 'add "X-A: b"', 'body "two\\r\\n"'),
    'rcpt added': edit('rcpt+ <c@example.test>'),
    'rcpt deleted': edit('rcpt- <b@example.test>', client=ENVELOPE + 'RCPT TO:<c@example.test>\n' + CONTENT),
    'rcpt deleted, other case': edit('rcpt- <B@example.test>'),
    'rcpt deleted, none left': edit('rcpt- <b@example.test>'),
    'rcpt deleted without brackets': edit('rcpt- b@example.test', client=ENVELOPE + 'RCPT TO:<c@example.test>\n' + CONTENT),
    'sender changed': edit('from <new@example.net>'),
    'sender made null': edit('from <>'),
    'edits then reject': case(ENVELOPE + CONTENT, m0=['EOM -> add "X-A: b" ; reject']),
    'edits then accept': case(ENVELOPE + CONTENT, m0=['EOM -> add "X-A: b" ; accept']),
})
for name, bit in (('NOCONNECT', 1), ('NOHELO', 2), ('NOMAIL', 4), ('NORCPT', 8), ('NOBODY', 0x10), ('NOHDRS', 0x20), ('NOEOH', 0x40), ('NR_HDR', 0x80),
                  ('NOUNKNOWN', 0x100), ('NODATA', 0x200), ('NR_CONN', 0x1000), ('NR_HELO', 0x2000), ('NR_MAIL', 0x4000), ('NR_RCPT', 0x8000),
                  ('NR_DATA', 0x10000), ('NR_UNKN', 0x20000), ('NR_EOH', 0x40000), ('NR_BODY', 0x80000)):
    CASES['step ' + name] = case('FROB\n' + MAIL, settings={'steps': hex(bit)})
CASES['step all NO'] = case(MAIL, settings={'steps': '0x37f'})
CASES['step all NR'] = case(MAIL, settings={'steps': '0xff080'})


def normal(line):
    for pattern, to in NORMAL:
        line = pattern.sub(to, line)
    return line


class Side:
    """One of the two servers, with its milters."""

    def __init__(self, folder, setup):
        self.action, count = SETUPS[setup]
        self.milters = [Milter('m%d' % i, folder) for i in range(count)]
        for m in self.milters:
            os.chmod(m.endpoint[5:], 0o777)

    def arm(self, case):
        for i, m in enumerate(self.milters):
            m.rules.clear()
            m.settings = dict(case['settings'])
            for r in case['rules'].get('m%d' % i, []):
                m.rule(r)
            with m.changed:
                m.events.clear()
                m.answers.clear()

    def events(self):
        for m in self.milters:
            wait_for(lambda m=m: not m.events or m.events[-1] == 'EOF' or not m.open, 'the milter connection to end')
        return [[normal(e) for e in m.events] for m in self.milters]


class PostfixSide(Side):
    def __init__(self, folder, setup):
        super().__init__(folder, setup)
        action = POSTFIX_ACTION.get(self.action, self.action)
        self.server = Postfix(folder, 'local_header_rewrite_clients =\nmilter_default_action = %s\nsmtpd_milters = %s\nsmtpd_delay_reject = yes\n'
                              'smtpd_soft_error_limit = 100\nsmtpd_error_sleep_time = 0\n'
                              % (action, ' '.join(m.endpoint for m in self.milters)))
        self.server.__enter__()
        self.port = self.server.port
        # what was asked while it started must not be taken for the first case's
        play(self.port, 'QUIT\n')
        self.arm(case(''))

    def count(self):
        return len(self.server.mails())

    def mails(self, before, expected):
        """{(sender, recipient, content)} of what came since BEFORE; Postfix delivers after its reply, a file a recipient."""
        wait_for(lambda: self.count() >= before + expected, '%d deliveries by Postfix' % expected)
        found = set()
        for m in self.server.mails()[before:]:
            head = re.match(rb'(?:(?:Return-Path|X-Original-To|Delivered-To): .*\n)*', m)[0]
            content = re.sub(rb'Received: from .*?\n(?![ \t])', b'', m[len(head):], count=1, flags=re.S)
            found.add((re.search(rb'Return-Path: (.*)\n', head)[1].decode(), '<%s>' % re.search(rb'Delivered-To: (.*)\n', head)[1].decode(), content))
        return found

    def close(self):
        self.server.__exit__()


class GatepostSide(Side):
    def __init__(self, folder, setup):
        super().__init__(folder, setup)
        self.hop, self.port = Hop('hop', folder, lmtp=True), free_port()
        milters = ''.join('milter m%d { socket = "%s" on_failure = %s compat = postfix }\n' % (i, m.endpoint, self.action)
                          for i, m in enumerate(self.milters))
        self.server = Gatepost(folder, {
            'gatepost.conf': '''hostname = "mx.example.test"
spool = "%s/spool"
workers = 1
dns { enabled = false }
%snext_hop hop { lmtp = "%s" }
listener mx { address = {"127.0.0.1:%d"} script = "mx.sieve" xclient = {"127.0.0.0/8"} }
''' % (folder, milters, self.hop.endpoint, self.port),
            'mx.sieve': 'require ["envelope", "vnd.gatepost.mta"];\nstage "connect" { milter [%s]; }\n'
                        'stage "rcpt" { if envelope :domain "to" "example.test" { deliver "hop"; } }\n'
                        % ', '.join('"m%d"' % i for i in range(len(self.milters)))},
            allowed=['event=gate', 'gate=m', 'milter'])

    def count(self):
        return len(self.hop.messages)

    def mails(self, before):
        return {(sender, rcpt, re.sub(rb'Received: from .*?\r\n(?![ \t])', b'', m, count=1, flags=re.S).replace(b'\r\n', b'\n'))
                for m, (sender, rcpts) in list(zip(self.hop.messages, self.hop.envelopes))[before:] for rcpt in rcpts}

    def close(self):
        self.server.close()


SIDES = {}


@pytest.fixture(scope='module')
def sides(place):
    def get(setup):
        if setup not in SIDES:
            for kind in 'pg':
                os.makedirs('%s/%s%s' % (place, kind, setup))
                os.chmod('%s/%s%s' % (place, kind, setup), 0o755)
            SIDES[setup] = PostfixSide('%s/p%s' % (place, setup), setup), GatepostSide('%s/g%s' % (place, setup), setup)
        return SIDES[setup]
    yield get
    for pair in SIDES.values():
        for side in pair:
            side.close()


def play(port, script):
    """The replies to the lines of SCRIPT: (command, code, enhanced code, own words of a milter)."""
    heard, lines = [], script.split('\n')[:-1]

    def listen(said):
        code, texts = c.reply()
        enhanced = (re.match(r'[245]\.\d+\.\d+', texts[-1]) or [''])[0] if texts else ''
        own = [t for t in texts if re.search(r'own words|later|closing|one|two|%|plain|odd', t) and said not in ('greeting', 'EHLO', 'HELO')]
        heard.append((said, code, enhanced) + tuple(own if code and code >= 400 else ()))
        return code

    with Smtp(port, greet=False) as c:
        code = listen('greeting')
        while lines and code is not None:
            line = lines.pop(0)
            if line.startswith('BDAT'):
                line, _, chunk = line.partition('|')
                size = int(line.split()[1])
                while len(chunk.encode()) < size:
                    chunk += '\n' + lines.pop(0)
                c.send(line.encode() + b'\r\n' + chunk.encode()[:size])
            else:
                c.send(line + '\r\n')
            code = listen(line.split(' ')[0])
            if line == 'DATA':
                content = lines[:lines.index('.') + 1] if '.' in lines else []
                if code == 354:
                    c.send(''.join(l + '\r\n' for l in content))
                    code = listen('dot')
                lines = lines[len(content):]
    return heard


def run(side, name):
    before = side.count()
    side.arm(CASES[name])
    # A client that leaves without QUIT and sends the same again is not delivered twice by gatepost: each case has a message of its own.
    client = CASES[name]['client'].replace('\nSubject: one\n', '\nSubject: one, %s\n' % name)
    return {'heard': play(side.port, client), 'events': side.events(), 'before': before}


# Where we mean to differ: {case: (what is not compared, why)}.
BACK = 'the next transaction has a filter back that failed in this one (Postfix: lost for the session)'
DIFFERENT = {
    'connect: reply 421': ('heard', "the filter's own words, where Postfix greets with a stock text"),
    'connect: shutdown': ('heard', 'the same 421 as at every other stage, where Postfix greets with a stock text'),
    'header: shutdown': ('heard events mails', 'answered 421; Postfix 3.7 says 250 and loses the message'),
    'eoh: shutdown': ('heard events mails', 'answered 421; Postfix 3.7 says 250 and loses the message'),
    'body: shutdown': ('heard events mails', 'answered 421; Postfix 3.7 says 250 and loses the message'),
    'eom: shutdown': ('heard events mails', 'answered 421; Postfix 3.7 says 250 and loses the message'),
    'unknown: accept': ('heard events mails', 'harmless; Postfix 3.7 panics at the next MAIL'),
    'unknown: discard': ('heard events mails', 'harmless; Postfix 3.7 takes the next message for discarded'),
    'close at mail, shutdown': ('heard events', 'Postfix 3.7 does not know this default action'),
    'close at eom, shutdown': ('heard events', 'Postfix 3.7 does not know this default action'),
    'close at eom': ('heard events', BACK),
    'close at eom, reject': ('heard events', BACK),
}
for _name in ('version 7', 'more actions than offered', 'reply with a 2xx code', 'reply with no code', 'reply 550 with 4.x', 'edit at mail',
              'extra bytes after a verdict', 'close at connect', 'close at mail', 'close at mail, accept', 'close at eom, accept',
              'close at mail, reject', 'close at negotiation', 'close at negotiation, accept'):
    DIFFERENT[_name] = ('events', BACK)


@pytest.mark.parametrize('name', CASES)
def test_equal(sides, name):
    case = CASES[name]
    postfix, ours = sides(case['setup'])
    theirs, own = run(postfix, name), run(ours, name)
    but = DIFFERENT.get(name, ('', ''))[0]
    assert 'heard' in but or own['heard'] == theirs['heard']
    assert 'events' in but or own['events'] == theirs['events']
    if 'mails' not in but:
        mails = ours.mails(own['before'])
        assert mails == postfix.mails(theirs['before'], len(mails))
