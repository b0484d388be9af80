"""Filters on the real libmilter and on python3-milter, driven by rules: what they hear, what their calls do.

Each case is played to Debian's Postfix, to gatepost under `compat = postfix` and under `compat = full`.  The client must hear the same from all
three, the same must be delivered to the byte, and the filter must be told the same (under `full` it gets more macros).
"""
import os
import re
import shutil
import subprocess
import tempfile
import threading

import pytest

from gp.actors import Hop
from gp.filters import Filter, PyFilter
from gp.postfix import Postfix
from gp.server import PATIENCE, Gatepost, free_port, wait_for
from gp.smtp import Smtp

EHLO, FIRST, SECOND = 'EHLO client.example.net\n', 'MAIL FROM:<a@example.net>\nRCPT TO:<b@example.test>\n', 'RCPT TO:<c@example.test>\n'
CONTENT = 'DATA\nSubject: one\nX-Twice: 1\nX-Folded: a\n b\n\tc\nx-twice: 2\nX-None:\n\nline one\n.\n'
MAIL = EHLO + FIRST + CONTENT + 'RSET\nMAIL FROM:<second@example.net>\nRCPT TO:<b@example.test>\n' + CONTENT + 'QUIT\n'
ENVELOPE = EHLO + FIRST
END = CONTENT + 'QUIT\n'


def case(client, *rules, **settings):
    return {'client': client, 'rules': rules, 'settings': settings}


def edit(*actions, client=ENVELOPE + END, **settings):
    return case(client, 'EOM -> ' + ' ; '.join(actions + ('continue',)), **settings)


STAGES = {'connect': 'CONNECT', 'helo': 'HELO', 'mail': 'MAIL <a@*>', 'rcpt': 'RCPT', 'data': 'DATA', 'header': 'HEADER X-Folded*', 'eoh': 'EOH', 'body': 'BODY',
          'eom': 'EOM', 'unknown': 'UNKNOWN'}
VERDICTS = {'accept': 'accept', 'reject': 'reject', 'tempfail': 'tempfail', 'discard': 'discard', 'skip': 'skip',
            'reply 550': 'reply "550 5.7.9 filter says no"', 'reply 451': 'reply "451 4.7.9 filter says later"', 'reply 421': 'reply "421 4.7.8 filter closes"',
            'reply of two lines': 'reply "554-5.7.9 filter one\\r\\n554 5.7.9 filter two"',
            # libmilter itself drops the reply then: the stock text of the verdict is heard
            'reject with a 4xx reply': 'setreply "450 4.2.1 filter is odd" ; reject', 'tempfail with a 5xx reply': 'setreply "550 5.2.1 filter is odd" ; tempfail',
            'accept with a reply': 'setreply "550 5.2.1 filter is odd" ; accept'}
CASES = {'%s: %s' % (s, v): case(MAIL.replace(FIRST, 'FROB\n' + FIRST, 1) if s == 'unknown' else MAIL, '%s -> %s' % (event, verdict))
         for s, event in STAGES.items() for v, verdict in VERDICTS.items()}
CASES.update({
    'plain': case(MAIL),
    'add': edit('add "X-New: value"'),
    'add twice': edit('add "X-New: one"', 'add "X-New: two"'),
    'add folded': edit('add "X-New: one\\n two\\n\\tthree"'),
    'add, line without space': edit('add "X-New: one\\ntwo"'),
    'add, with CR': edit('add "X-New: one\\r\\n two"'),
    'add empty': edit('add "X-New: "'),
    'add with 8 bits': edit('add "X-New: \\xc3\\xa4"'),
    'add a long one': edit('add "X-New: %s"' % ('long ' * 6000)),
    'insert 0': edit('insert 0 "X-New: v"'),
    'insert 1': edit('insert 1 "X-New: v"'),
    'insert 2': edit('insert 2 "X-New: v"'),
    'insert beyond the end': edit('insert 100 "X-New: v"'),
    'insert several': edit('insert 1 "X-A: v"', 'insert 1 "X-B: v"', 'insert 3 "X-C: v"'),
    'insert folded': edit('insert 1 "X-New: one\\n two"'),
    'change': edit('change 1 "Subject: new"'),
    'change 0': edit('change 0 "Subject: new"'),
    'change the second': edit('change 2 "X-Twice: new"'),
    'change the third of two': edit('change 3 "X-Twice: new"'),
    'change what is not there': edit('change 1 "X-Other: new"'),
    'change respells': edit('change 1 "SUBJECT: new"'),
    'change a folded one': edit('change 1 "X-Folded: p\\n q"'),
    'delete': edit('change 1 "X-Folded: "'),
    'delete both': edit('change 1 "X-Twice: "', 'change 1 "X-Twice: "'),
    'delete, then change what follows': edit('change 1 "X-Twice: "', 'change 1 "X-Twice: was second"'),
    'change, then delete': edit('change 1 "Subject: new"', 'change 1 "Subject: "'),
    'delete what is not there': edit('change 2 "Subject: "'),
    'add, then change it': edit('add "X-New: one"', 'change 1 "X-New: two"'),
    'leading spaces kept': edit('add "X-New:v"', 'insert 1 "X-Top:  w"', 'change 1 "Subject:\\tnew"', steps='0x100000'),
    'body': edit('body "new body\\r\\n"'),
    'body in three pieces': edit('body "new "', 'body "body\\r"', 'body "\\nend\\r\\n"'),
    'body without a line end': edit('body "new body"'),
    'body with bare LF': edit('body "one\\ntwo\\n"'),
    'body of 200 kB': edit('piece 5000 "0123456789012345678901234567890123456\\r\\n"'),
    'body in one call of 100 kB': edit('body "%s"' % ('0123456789012345678901234567890123456\\r\\n' * 2600)),
    'body with dots': edit('body ".\\r\\n..\\r\\n.x\\r\\n"'),
    'empty body': edit('body ""'),
    'body not in one piece': edit('body "one\\r\\n"', 'add "X-New: b"', 'body "two\\r\\n"'),
    'rcpt added': edit('rcpt+ <c@example.test>'),
    'rcpt added without brackets': edit('rcpt+ c@example.test'),
    'rcpt added with parameters': edit('rcpt+ <c@example.test> NOTIFY=NEVER'),
    'rcpt added with senseless parameters': edit('rcpt+ <c@example.test> FROB=1'),
    'rcpt deleted': edit('rcpt- <b@example.test>', client=ENVELOPE + SECOND + END),
    'rcpt deleted, other case': edit('rcpt- <B@example.test>'),
    'rcpt deleted that is not there': edit('rcpt- <x@example.test>'),
    'rcpt deleted and added': edit('rcpt- <b@example.test>', 'rcpt+ <d@example.test>'),
    'sender': edit('from <new@example.net>'),
    'sender null': edit('from <>'),
    'sender with parameters': edit('from <new@example.net> RET=HDRS ENVID=x'),
    'sender with senseless parameters': edit('from <new@example.net> FROB=1'),
    'everything': edit('add "X-New: v"', 'insert 0 "X-Top: t"', 'change 1 "Subject: s"', 'change 1 "X-Folded: "', 'from <n@example.net>', 'rcpt+ <c@example.test>',
                       'rcpt- <b@example.test>', 'body "b\\r\\n"', 'progress'),
    'everything, twice': edit('add "X-New: v"', 'body "b\\r\\n"', client=MAIL),
    'edits, then reject': case(MAIL, 'EOM -> add "X-New: v" ; body "b" ; rcpt- <b@example.test> ; reject'),
    'edits, then tempfail': case(MAIL, 'EOM -> add "X-New: v" ; tempfail'),
    'edits, then discard': case(MAIL, 'EOM -> add "X-New: v" ; discard'),
    'edits, then accept': case(MAIL, 'EOM -> add "X-New: v" ; change 1 "Subject: s" ; accept'),
    'edits too early': case(MAIL, *['%s -> fails add "X: v" ; fails insert 0 "X: v" ; fails change 1 "Subject: v" ; fails from <x@y> ; fails rcpt+ <x@y> ; '
                                    'fails rcpt- <x@y> ; fails body "x" ; fails quarantine "x" ; progress ; continue' % e
                                    for e in ('CONNECT', 'HELO', 'MAIL', 'RCPT', 'DATA', 'HEADER', 'EOH')]),
    'symlist too late': case(MAIL, 'CONNECT -> symlist mail {client_addr} ; continue', 'MAIL -> get {client_addr} {mail_addr} ; continue'),
    'replies that libmilter refuses': case(MAIL, 'MAIL -> fails setreply "250 2.0.0 fine" ; fails setreply "55 5.7.1 short" ; '
                                           'fails setreply "550 5.7.1 %s" ; continue' % ('x' * 1000)),
    'reply 550 with 4.7.1': case(MAIL, 'MAIL -> setreply "550 4.7.1 filter is odd" ; reject'),
    'reply of 32 lines': case(MAIL, 'MAIL -> reply "%s"' % '\\r\\n'.join('554%s5.7.1 filter line %d' % (' ' if i == 31 else '-', i) for i in range(32))),
    'reply of 33 lines is refused': case(MAIL, 'MAIL -> fails setreply "%s" ; continue'
                                         % '\\r\\n'.join('554%s5.7.1 filter line %d' % (' ' if i == 32 else '-', i) for i in range(33))),
    'reply without enhanced code': case(MAIL, 'MAIL -> reply "550 filter has none"'),
    'reply with percent signs': case(MAIL, 'MAIL -> reply "550 5.7.1 filter is 100%% sure"'),
    'reply of one recipient': case(ENVELOPE + SECOND + END, 'RCPT <c@*> -> reply "452 4.2.2 filter says full"'),
    'progress at the end': edit('progress', 'progress', 'progress'),
    'macros': case(MAIL, *['%s -> get j i v _ {client_addr} {client_name} {client_ptr} {client_resolve} {daemon_name} {daemon_addr} {mail_addr} {mail_host} {mail_mailer} '
                           '{rcpt_addr} {rcpt_host} {auth_type} {tls_version} {nothing} ; continue' % e for e in STAGES.values()]),
    'two recipients': case(ENVELOPE + SECOND + END, 'RCPT -> get i {rcpt_addr} ; continue'),
    'rset': case(ENVELOPE + 'RSET\n' + FIRST + END),
    'rset after the envelope, twice': case(ENVELOPE + 'RSET\nRSET\n' + FIRST + END),
    'second ehlo': case(ENVELOPE + 'EHLO again.example.net\n' + FIRST + END),
    'quit at once': case('QUIT\n'),
    'quit after rcpt': case(ENVELOPE + 'QUIT\n'),
    'unknown command': case(EHLO + 'FROB\n' + FIRST + 'FROB\n' + END),
    'no body': case(ENVELOPE + 'DATA\nSubject: x\n.\nQUIT\n'),
    'no header': case(ENVELOPE + 'DATA\n\nbody only\n.\nQUIT\n'),
    'header without space': case(ENVELOPE + 'DATA\nSubject:x\nX-Tab:\ty\nX-Two:  z\nX-Empty:\n\nb\n.\nQUIT\n'),
    'header spaces kept': case(ENVELOPE + 'DATA\nSubject:x\nX-Tab:\ty\nX-Two:  z\nX-Empty:\n\nb\n.\nQUIT\n', steps='0x100000'),
    'parameters': case(EHLO + 'MAIL FROM:<a@example.net> SIZE=100 BODY=8BITMIME RET=HDRS ENVID=x1\nRCPT TO:<b@example.test> NOTIFY=FAILURE\n' + END),
    'null sender': case(EHLO + 'MAIL FROM:<>\nRCPT TO:<b@example.test>\n' + END, 'MAIL -> get {mail_addr} {mail_host} ; continue'),
    'refused recipient': case(ENVELOPE + 'RCPT TO:<x@other.test>\n' + END),
    'refused recipient is told': case(ENVELOPE + 'RCPT TO:<x@other.test>\n' + END, 'RCPT <x@*> -> get {rcpt_mailer} {rcpt_host} ; continue', steps='0x800'),
    'skip the rest of the body': case(ENVELOPE + 'DATA\nSubject: x\n\n' + 'y' * 70 + '\n' + ('z' * 78 + '\n') * 2000 + '.\nQUIT\n', 'BODY -> skip', steps='0x400'),
})
NO = {'connect': 1, 'helo': 2, 'mail': 4, 'rcpt': 8, 'body': 0x10, 'header': 0x20, 'eoh': 0x40, 'unknown': 0x100, 'data': 0x200}
NR = {'header': 0x80, 'connect': 0x1000, 'helo': 0x2000, 'mail': 0x4000, 'rcpt': 0x8000, 'data': 0x10000, 'unknown': 0x20000, 'eoh': 0x40000, 'body': 0x80000}
for _stage, _bit in NO.items():
    CASES['no ' + _stage] = case('FROB\n' + MAIL, steps=hex(_bit))
for _stage, _bit in NR.items():
    CASES['no reply to ' + _stage] = case('FROB\n' + MAIL, STAGES[_stage].split(' ')[0] + ' -> noreply', 'EOM -> add "X-New: v" ; continue', steps=hex(_bit))
CASES['no reply to anything'] = case('FROB\n' + MAIL, *[STAGES[s].split(' ')[0] + ' -> noreply' for s in NR], 'EOM -> add "X-New: v" ; continue',
                                     steps=hex(sum(NR.values())))
# The lists that setsymlist asks for replace the host's; libmilter looks for a macro at the stages before, too.
for _stage, _event in (('connect', 'CONNECT'), ('helo', 'HELO'), ('mail', 'MAIL'), ('rcpt', 'RCPT'), ('data', 'DATA'), ('eoh', 'EOH'), ('eom', 'EOM')):
    CASES['symlist ' + _stage] = case(MAIL, 'NEG -> symlist %s "{client_addr} j {daemon_name} {nothing}" ; negotiate' % _stage,
                                      '%s -> get {client_addr} j {daemon_name} {nothing} v {mail_addr} {rcpt_addr} ; continue' % _event)
CASES['symlist everywhere'] = case(MAIL, 'NEG -> %s ; negotiate' % ' ; '.join('symlist %s "j i"' % s for s in ('connect', 'helo', 'mail', 'rcpt', 'data', 'eoh', 'eom')),
                                   *['%s -> get i j v _ ; continue' % e for e in STAGES.values()])
CASES['symlist twice for one stage'] = case(MAIL, 'NEG -> symlist mail "i" ; fails symlist mail "j" ; negotiate')


class Side:
    """One host and its filter."""

    def __init__(self, name, port, filter_, mails, count):
        self.name, self.port, self.filter, self.mails, self.count = name, port, filter_, mails, count

    def play(self, name):
        case_, f = CASES[name], self.filter
        f.settle()
        with f.changed:
            f.rules.clear()
            f.events.clear()
            f.sessions.clear()
            f.errors.clear()
        for r in case_['rules']:
            f.rule(r)
        f.settings = {k: v for k, v in case_['settings'].items()}
        before = self.count()
        # gatepost does not take the same message twice from a client whose last reply may have been lost
        heard = converse(self.port, case_['client'].replace('Subject: one\n', 'Subject: one, %s\n' % name))
        f.finish()
        return {'heard': heard, 'told': [normal(e) for e in f.events], 'before': before}


def normal(line):
    for pattern, to in ((r'\bi=[^ ]+', 'i=ID'), (r'\bv=.*?(?= _| \{|$)', 'v=VERSION'), (r'^(CONNECT .* 4) \d+ ', r'\1 PORT ')):
        line = re.sub(pattern, to, line)
    return line


def converse(port, script):
    """The replies to SCRIPT's lines: (command, code, enhanced code, the filter's own words)."""
    heard, lines = [], script.split('\n')[:-1]

    def listen(said):
        code, texts = c.reply()
        enhanced = re.match(r'[245]\.\d+\.\d+', texts[-1] if texts else '')
        heard.append((said, code, enhanced[0] if enhanced else '', *[t for t in texts if 'filter' in t and code and code >= 400 and said not in ('greeting', 'EHLO')]))
        return code

    with Smtp(port, greet=False) as c:
        code = listen('greeting')
        while lines and code not in (None, 421):
            line = lines.pop(0)
            c.send(line + '\r\n')
            code = listen(line.split(' ')[0])
            if line == 'DATA':
                content, lines = lines[:lines.index('.') + 1], lines[lines.index('.') + 1:]
                if code == 354:
                    c.send(''.join(l + '\r\n' for l in content))
                    code = listen('dot')
    return heard


# Where gatepost means to differ from Postfix 3.7: {case: (what is not compared, why)}.
DIFFERENT = {
    'add, with CR': ('mails', 'no stray CR is left in the header; Postfix stores it'),
    'reply 550 with 4.7.1': ('told', 'the next transaction has the filter back; Postfix has lost it for the session'),
    'connect: reply 421': ('heard', "the filter's own words, where Postfix greets with a stock text"),
    'unknown: accept': ('heard told mails', 'harmless; Postfix 3.7 panics at the next MAIL'),
    'unknown: accept with a reply': ('heard told mails', 'the same'),
    'unknown: discard': ('heard told mails', 'harmless; Postfix 3.7 takes the next message for discarded'),
}


def three(kind):
    place = tempfile.mkdtemp(prefix='gp.')
    os.chmod(place, 0o755)
    # Over a unix socket libmilter throws away what it has not read when the host hangs up (poll says POLLHUP): not always the last ABORT is heard.
    filters = [kind(n, place, 'inet').start() for n in ('theirs', 'same', 'full')]
    postfix = Postfix(place, 'local_header_rewrite_clients =\nmilter_default_action = tempfail\nsmtpd_milters = %s\nsmtpd_soft_error_limit = 100\n'
                      'smtpd_error_sleep_time = 0\n' % filters[0].endpoint)
    hop, ports = Hop('hop', place, lmtp=True), [free_port(), free_port()]
    # keep = 0: the filters negotiate something else in each case
    ours = Gatepost(place, {
        'gatepost.conf': 'hostname = "mx.example.test"\nspool = "%s/spool"\nworkers = 1\ndns { enabled = false }\nnext_hop hop { lmtp = "%s" }\n' % (place, hop.endpoint)
        + ''.join('milter %s { socket = "%s" compat = %s keep = 0 }\nlistener %s { address = {"127.0.0.1:%d"} script = "%s.sieve" }\n'
                  % (f.name, f.endpoint, compat, f.name, port, f.name) for f, compat, port in zip(filters[1:], ('postfix', 'full'), ports)),
        **{f.name + '.sieve': 'require ["envelope", "vnd.gatepost.mta"];\nstage "connect" { milter "%s"; }\n'
           'stage "rcpt" { if envelope :domain "to" "example.test" { deliver "hop"; } }\n' % f.name for f in filters[1:]}},
        allowed=['event=milter', 'milter-fault'])

    def delivered(before, end):
        return {(sender, rcpt, re.sub(rb'Received: from .*?\r\n(?![ \t])', b'', m, count=1, flags=re.S).replace(b'\r\n', b'\n'))
                for m, (sender, rcpts) in list(zip(hop.messages, hop.envelopes))[before:end] for rcpt in rcpts}

    def theirs(before, expected):
        """Postfix delivers after its reply, a file a recipient."""
        wait_for(lambda: len(postfix.mails()) >= before + expected, '%d deliveries by Postfix' % expected)
        found = set()
        for m in postfix.mails()[before:]:
            head = re.match(rb'(?:(?:Return-Path|X-Original-To|Delivered-To): .*\n)*', m)[0]
            found.add((re.search(rb'Return-Path: (.*)\n', head)[1].decode(), '<%s>' % re.search(rb'Delivered-To: (.*)\n', head)[1].decode(),
                       re.sub(rb'Received: from .*?\n(?![ \t])', b'', m[len(head):], count=1, flags=re.S)))
        return found

    with postfix:
        converse(postfix.port, 'QUIT\n')        # what was asked while it started must not be taken for the first case's
        yield [Side('Postfix', postfix.port, filters[0], theirs, lambda: len(postfix.mails()))] + [
            Side(f.name, port, f, delivered, lambda: len(hop.messages)) for f, port in zip(filters[1:], ports)]
        ours.close()
    for f in filters:
        f.close()
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture(scope='module')
def libmilter():
    yield from three(Filter)


@pytest.fixture(scope='module')
def pymilter():
    yield from three(PyFilter)


def check(sides, name):
    postfix, same, full = [s.play(name) for s in sides]
    but = DIFFERENT.get(name, ('', ''))[0]
    assert 'heard' in but or same['heard'] == postfix['heard']
    assert 'told' in but or '\n'.join(same['told']) == '\n'.join(postfix['told'])
    mails = sides[1].mails(same['before'], full['before'])
    if 'mails' not in but:
        assert mails == sides[0].mails(postfix['before'], len(mails))
    assert full['heard'] == same['heard']
    assert sides[2].mails(full['before'], None) == mails


@pytest.mark.parametrize('name', CASES)
def test_libmilter(libmilter, name):
    check(libmilter, name)


# What python3-milter negotiates is said by decorators, for all sessions of a process: tests/dialogue/pymilter_*.smtp.
@pytest.mark.parametrize('name', [c for c in CASES if 'steps' not in CASES[c]['settings']])
def test_pymilter(pymilter, name):
    check(pymilter, name)


EVERYTHING = [
    'NEG -> symlist mail "i {mail_addr}" ; negotiate',
    'CONNECT -> get j ; continue',
    'HELO again* -> accept',
    'MAIL <slow@*> -> setreply "451 4.7.1 filter is busy" ; tempfail',
    'MAIL <bad@*> -> reply "554-5.7.1 filter one\\r\\n554 5.7.1 filter two"',
    'MAIL <drop@*> -> discard',
    'BODY -> skip',
    'HEADER -> noreply',
    'EOM -> add "X-A: 1" ; change 1 "Subject: 2" ; insert 0 "X-B: 3" ; from <n@example.net> ; rcpt+ <c@example.test> ; rcpt+ <d@example.test> NOTIFY=NEVER ; '
    'rcpt- <b@example.test> ; body "x\\r\\n" ; progress ; quarantine "why" ; continue',
    'UNKNOWN STOP -> stop ; continue',
]


def test_every_function_is_called(folder):
    """All that mfapi.h declares is called once, each callback is heard, each status returned; and the filter ends as it was told to."""
    header = subprocess.run(['gcc', '-E', '-P', '-include', 'libmilter/mfapi.h', '-x', 'c', '/dev/null'], check=True, capture_output=True, text=True).stdout
    declared = set(re.findall(r'\b(smfi_\w+) *\(', header))
    assert len(declared) > 20
    f, port, hop = Filter('m', folder), free_port(), Hop('hop', folder, lmtp=True)
    f.settings = {'steps': '0x480', 'timeout': '600', 'backlog': '20', 'debug': '0', 'datasize': '1048576'}
    for r in EVERYTHING:
        f.rule(r)
    f.start()
    with Gatepost(folder, {'gatepost.conf': 'hostname = "mx.example.test"\nspool = "%s/spool"\nworkers = 1\ndns { enabled = false }\nnext_hop hop { lmtp = "%s" }\n'
                           'milter m { socket = "%s" }\nlistener mx { address = {"127.0.0.1:%d"} script = "mx.sieve" }\n'
                           % (folder, hop.endpoint, f.endpoint, port),
                           'mx.sieve': 'require ["envelope", "vnd.gatepost.mta"];\nstage "connect" { milter "m"; }\n'
                           'stage "rcpt" { if envelope :domain "to" "example.test" { deliver "hop"; } }\n'}, allowed=['event=hold']) as g:
        f.rule('UNKNOWN CALLS -> calls ; continue')
        converse(port, 'EHLO again.example.net\nQUIT\n')
        heard = converse(port, EHLO + 'MAIL FROM:<slow@example.net>\nMAIL FROM:<bad@example.net>\nMAIL FROM:<drop@example.net>\nRSET\n' + FIRST + CONTENT +
                         'RSET\nMAIL FROM:<gone@example.net>\nRSET\nFROB\nCALLS\nSTOP\nQUIT\n')
        assert ('MAIL', 554, '5.7.1', '5.7.1 filter one', '5.7.1 filter two') in heard
        g.stop()
    called = next(e for e in f.events if e.startswith('CALLED ')).split()[1:]
    assert set(called) == declared - {'smfi_stop'}         # that comes after
    assert {e.split(' ')[0] for e in f.events} >= {'NEG', 'CONNECT', 'HELO', 'MAIL', 'RCPT', 'DATA', 'HEADER', 'EOH', 'BODY', 'EOM', 'ABORT', 'UNKNOWN', 'CLOSE'}
    wait_for(lambda: f.process.poll() is not None, 'the filter to stop')
    assert f.process.returncode == 0, open(f.output).read()
    f.close()
    hop.close()


# shows: B7
@pytest.mark.parametrize(('kind', 'settings', 'kept'), [(Filter, {'steps': '0'}, True), (Filter, {}, False), (PyFilter, {}, False)])
def test_sessions_at_once(kind, settings, kept, folder):
    """Eight sessions at a time, on kept connections where the filter negotiated nothing that it could forget: each callback is told of its own
    session only, and each session is closed once."""
    f, port, hop = kind('m', folder, 'inet'), free_port(), Hop('hop', folder, lmtp=True)
    f.settings.update(settings)
    f.rule('MAIL -> get {mail_addr} ; continue')
    f.rule('EOM -> get {mail_addr} {rcpt_addr} {nothing} ; add "X-New: v" ; continue')
    f.start()
    rounds, at_once, failed = 3, 8, []
    with Gatepost(folder, {'gatepost.conf': 'hostname = "mx.example.test"\nspool = "%s/spool"\nworkers = 1\nlog { level = debug }\ndns { enabled = false }\nnext_hop hop { lmtp = "%s" }\n'
                           'milter m { socket = "%s" }\nlistener mx { address = {"127.0.0.1:%d"} script = "mx.sieve" }\n'
                           % (folder, hop.endpoint, f.endpoint, port),
                           'mx.sieve': 'require ["envelope", "vnd.gatepost.mta"];\nstage "connect" { milter "m"; }\n'
                           'stage "rcpt" { if envelope :domain "to" "example.test" { deliver "hop"; } }\n'}) as g:
        def client(n, together):
            try:
                with Smtp(port) as c:
                    c.cmd('EHLO client%d.example.net' % n, 250)
                    together.wait(PATIENCE)     # all are open at once
                    for m in 'ab':
                        c.mail('%s%d@example.net' % (m, n), ['%s%d@example.test' % (m, n)], b'Subject: %s%d\r\n\r\nbody\r\n' % (m.encode(), n))
                    c.cmd('QUIT', 221)
            except Exception as e:              # noqa: BLE001: of a thread; told below
                failed.append('client %d: %r' % (n, e))
        for r in range(rounds):
            together = threading.Barrier(at_once)
            threads = [threading.Thread(target=client, args=(r * at_once + i, together)) for i in range(at_once)]
            for t in threads:
                t.start()
            for t in threads:
                t.join()
            if kept:
                g.log.wait('event=milter-reuse', 'works=yes')
        g.stop()
    assert not failed
    f.finish()
    sent = {'%s%d' % (m, n) for n in range(rounds * at_once) for m in 'ab'}
    for event in ('MAIL <%s@example.net>', 'RCPT <%s@example.test>', 'HEADER Subject:%s', 'GOT {mail_addr}=%s@example.net'):
        assert sorted(e for e in f.events if e.startswith(event.split('%s')[0]) and ('GOT' not in e or '{rcpt' not in e)) == sorted(event % w for w in sent)
    assert sorted(e for e in f.events if '{rcpt' in e) == sorted('GOT {mail_addr}=%s@example.net {rcpt_addr}=%s@example.test {nothing}' % (w, w) for w in sent)
    assert sum(e.startswith('CONNECT [127') for e in f.events) == rounds * at_once
    assert (sum('NEG' in s for s in f.sessions) < rounds * at_once) == kept    # the others came on a connection that was kept
    assert f.events.count('CLOSE') == len(f.sessions)
    assert len(hop.messages) == len(sent) and all(b'X-New: v' in m for m in hop.messages)
    f.close()
    hop.close()
