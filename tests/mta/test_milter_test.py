"""gatepost milter-test: what it shows of a milter's every verdict and edit, of its faults, and recordings that are replayed."""
import os
import re
import signal
import subprocess

import pytest

from gp.actors import Milter
from gp.server import BINARY, PATIENCE

TIME = re.compile(r'^ *\d+\.\d{3} ms ', re.M)
TOOK = re.compile(r'  \[([A-Z]+), (for )?[\d.]+ ms\]')


class Run:
    def __init__(self, folder, *words, stdin=None):
        done = subprocess.run([BINARY, *words], cwd=folder, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120, check=False)
        self.code, self.err = done.returncode, done.stderr.decode()
        self.out = TOOK.sub(r' [\1]', TIME.sub('', done.stdout.decode()))
        self.lines = self.out.splitlines()

    def has(self, *lines):
        """These lines stand in the output, in this order."""
        at = 0
        for line in lines:
            assert line in self.lines[at:], '%r is missing, or comes too early, in:\n%s\n%s' % (line, self.out, self.err)
            at = self.lines.index(line, at) + 1
        return self

    def lacks(self, text):
        assert text not in self.out, self.out
        return self

    def ended(self, code, err=''):
        assert (self.code, self.err) == (code, err), self.out
        return self


@pytest.fixture
def milter(folder):
    """A scripted milter, and a function that tries it."""
    m = Milter('m', folder)

    def run(*words, rules=(), stdin=None, target=None, settings=()):
        for rule in rules:
            m.rule(rule)
        m.settings.update(settings)
        return Run(folder, 'milter-test', *words, *([m.endpoint] if target is None else [target]), stdin=stdin)

    run.actor, run.folder = m, folder
    yield run
    m.close()


def write(milter, name, text):
    with open(os.path.join(milter.folder, name), 'wb') as f:
        f.write(text if isinstance(text, bytes) else text.encode())
    return name


def read(milter, name):
    with open(os.path.join(milter.folder, name), 'rb') as f:
        return f.read()


# ---- a session ----

def test_the_default_session(milter):
    run = milter('--from', 'a@example.org SIZE=3', '--to', 'b@example.net', '--helo', 'h.test', '--client', '2001:db8::7,c.test').ended(0)
    run.has('== connected to ' + milter.actor.endpoint, '-> negotiate version 6',
            '                   actions: ADDHDRS CHGBODY ADDRCPT DELRCPT CHGHDRS QUARANTINE CHGFROM ADDRCPT_PAR SETSYMLIST',
            '<- negotiate version 6', '                   protocol: none',
            '-> CONNECT c.test IPv6 2001:db8::7 port 40000', '<- continue [CONNECT]', 'C: EHLO h.test', '-> HELO h.test', '<- continue [HELO]',
            'C: MAIL FROM:<a@example.org> SIZE=3', '-> MAIL <a@example.org> SIZE=3', '<- continue [MAIL]', 'S: 250 2.1.0 Ok',
            'C: RCPT TO:<b@example.net>', '-> RCPT <b@example.net>', '<- continue [RCPT]', 'C: DATA', '-> DATA', '<- continue [DATA]',
            '-> HEADER From: <a@example.org>', '-> HEADER To: <b@example.net>', '-> HEADER Subject: a test of a milter', '-> EOH',
            '-> BODY 48 bytes: This message was made by gatepost milter-test.\\r\\n', '-> EOM', '<- continue [HEADER]', '<- continue [EOH]',
            '<- continue [BODY]', '<- continue [EOM]', 'envelope and message are unchanged', 'S: 250 2.0.0 Ok: taken by milter-test', 'C: QUIT',
            '-> ABORT', '-> QUIT', '== closed')
    assert re.search(r'^-> macros for CONNECT: i=\S+ j=\S+ _="c.test \[2001:db8::7\]" ', run.out, re.M)
    milter.actor.expect('CONNECT c.test 6 40000 2001:db8::7')
    milter.actor.expect('QUIT', skip=True)


def test_who_the_client_is(milter):
    milter('--auth', 'joe', '--tls', 'TLSv1.2,ECDHE-RSA-AES128-GCM-SHA256,128').ended(0)
    milter.actor.expect('MACROS H *{tls_version}=TLSv1.2 {cipher}=ECDHE-RSA-AES128-GCM-SHA256 {cipher_bits}=128*', skip=True)
    milter.actor.expect('MACROS M *{auth_type}=PLAIN {auth_authen}=joe*', skip=True)


def test_message_of_options(milter):
    run = milter('--header', 'Subject: caf\u00e9', '--header', 'X-A: 1', '--body', 'one\n.\ntwo').ended(0)
    run.has('-> HEADER Subject: caf\u00e9', '-> HEADER X-A: 1', '-> BODY 13 bytes: one\\r\\n.\\r\\ntwo\\r\\n').lacks('a test of a milter')


# ---- verdicts ----

@pytest.mark.parametrize('rule,lines', [
    ('CONNECT * -> reply "554 5.7.1 go away"', ['<- replycode 554 5.7.1 go away [CONNECT]', 'S: 554 * ESMTP not accepting connections']),
    ('CONNECT * -> accept', ['<- accept [CONNECT]', '== closed', 'S: 250 2.0.0 Ok: taken by milter-test']),
    ('HELO * -> tempfail', ['<- tempfail [HELO]', 'S: 451 4.7.1 Service unavailable - try again later']),
    ('MAIL * -> reject', ['<- reject [MAIL]', 'S: 550 5.7.1 Command rejected', 'C: RCPT TO:<recipient@example.org>']),
    ('MAIL * -> discard', ['<- discard [MAIL]', 'S: 250 2.1.0 Ok', 'discarded: the client is told 250, and nobody gets the message',
                           'S: 250 2.0.0 Ok']),
    ('RCPT * -> reply "450 4.2.1 later"', ['<- replycode 450 4.2.1 later [RCPT]', 'S: 450 4.2.1 later', 'C: DATA', 'C: QUIT']),
    ('DATA -> reply "550-5.7.1 one\\r\\n550 5.7.1 two"', ['<- replycode 550-5.7.1 one\\r\\n550 5.7.1 two [DATA]', 'S: 550-5.7.1 one', 'S: 550 5.7.1 two']),
    ('HEADER Subject:* -> reject', ['<- continue [HEADER]', '<- reject [HEADER]', 'S: 550 5.7.1 Command rejected']),
    ('EOH -> accept', ['<- accept [EOH]', 'S: 250 2.0.0 Ok: taken by milter-test']),
    ('BODY * -> skip', ['<- skip [BODY]', '<- continue [EOM]']),
    ('EOM * -> progress ; progress ; reply "550 5.7.1 spam"', ['<- progress [EOM]', '<- progress [EOM]', '<- replycode 550 5.7.1 spam [EOM]',
                                                               'S: 550 5.7.1 spam']),
    ('EOM * -> shutdown', ['<- shutdown [EOM]', 'S: 421 4.7.0 Server closing connection', 'the server has closed the session']),
    ('EOM * -> discard', ['<- discard [EOM]', 'discarded: the client is told 250, and nobody gets the message']),
])
def test_verdicts(milter, rule, lines):
    run = milter('--output', 'out', rules=[rule]).ended(0)
    run.lines = [re.sub(r'^S: 554 \S+ ESMTP', 'S: 554 * ESMTP', line) for line in run.lines]
    run.has(*lines)
    taken = 'S: 250 2.0.0 Ok: taken by milter-test' in lines or 'S: 250 2.0.0 Ok: taken by milter-test' in run.lines
    assert (b'Subject: a test of a milter' in read(milter, 'out')) == taken


# ---- edits ----

def test_edits(milter):
    run = milter('--header', 'X-Old: 1', '--header', 'X-Fold: a\n\tb', '--output', 'out', rules=[
        'EOM * -> add "X-Add: yes" ; insert 1 "X-Top: 1" ; change 1 "Subject: new" ; change 1 "X-Old:" ; rcpt+ <c@example.org> ;'
        ' rcpt- <recipient@example.org> ; from <bounce@example.org> ; body "new\\r\\n" ; continue'], settings={'steps': '0x100000'}).ended(0)
    run.has('<- addheader X-Add: yes', '<- insheader 1 X-Top: 1', '<- chgheader 1 Subject: new', '<- chgheader 1 X-Old: (to be deleted)',
            '<- addrcpt <c@example.org>', '<- delrcpt <recipient@example.org>', '<- chgfrom <bounce@example.org>', '<- replbody 5 bytes: new\\r\\n',
            '<- continue [EOM]', '--- envelope, from the client', '+++ envelope, behind the milter', '@@ -1,2 +1,2 @@',
            '-MAIL FROM:<sender@example.org>', '-RCPT TO:<recipient@example.org>', '+MAIL FROM:<bounce@example.org>', '+RCPT TO:<c@example.org>',
            '--- message, from the client', '+++ message, behind the milter', '+X-Top:1', '-Subject: a test of a milter', '+Subject:new',
            '-X-Old: 1', ' X-Fold: a', ' \\tb', '+X-Add:yes', ' ', '-This message was made by gatepost milter-test.', '+new',
            'S: 250 2.0.0 Ok: taken by milter-test')
    out = read(milter, 'out')
    assert out.startswith(b'X-Top:1\r\n') is False and b'\r\nX-Top:1\r\n' in out and out.endswith(b'X-Add:yes\r\n\r\nnew\r\n')


def test_quarantine(milter):
    run = milter(rules=['EOM * -> quarantine "smells" ; continue']).ended(0).has('<- quarantine smells', 'envelope and message are unchanged',
                                                                              'to be held: smells')
    assert any(line.startswith('S: 250 2.0.0 Ok: queued as ') for line in run.lines)


def test_the_message_may_be_the_output(milter):
    run = milter('--output', '-')
    assert run.code == 0 and run.lines[0].startswith('Received: from client.example.org') and run.lines[-1].startswith('This message was made')
    assert '-> EOM' in run.err
    with open('/dev/full', 'wb') as full:
        r = subprocess.run([BINARY, 'milter-test', '--output', '-', milter.actor.endpoint], stdout=full, stderr=subprocess.PIPE)
    assert r.returncode == os.EX_CANTCREAT and r.stderr.endswith(b'gatepost: -: No space left on device\n')


# ---- faults ----

@pytest.mark.parametrize('rule,code,lines,err', [
    ('MAIL * -> close', os.EX_PROTOCOL, ['!! protocol: it hung up', '== closed', 'S: 451 4.7.1 Service unavailable - try again later'], 'protocol: it hung up'),
    ('MAIL * -> hang', os.EX_TEMPFAIL, ['!! timeout: it takes too long'], 'timeout: it takes too long'),
    ('MAIL * -> raw 00000001', os.EX_TEMPFAIL, ['<? 4 bytes that are no frame: \\x00\\x00\\x00\\x01', '!! timeout: it takes too long'],
     'timeout: it takes too long'),
    ('MAIL * -> raw 000000017a', os.EX_PROTOCOL, ['<- malformed (a reply of no known kind): z'], 'protocol: a reply of no known kind'),
    ('MAIL * -> raw ffffffff63', os.EX_PROTOCOL, ['<? 5 bytes that are no frame: \\xff\\xff\\xff\\xffc'], 'protocol: a reply is too long'),
    ('MAIL * -> text "HTTP/1.1 400 Bad Request\\r\\n"', os.EX_PROTOCOL,
     ['<? 26 bytes that are no frame: HTTP/1.1 400 Bad Request\\r\\n'], 'protocol: a reply is too long'),
    ('MAIL * -> reply "250 ok"', os.EX_PROTOCOL, ['<- replycode 250 ok [MAIL]'], 'protocol: its reply text is no 4xx or 5xx reply'),
    ('MAIL * -> add "X: y"', os.EX_PROTOCOL, ['<- addheader X: y'], 'protocol: an edit before the end of the message'),
    ('NEG * -> raw 0000000d4f00000009000000000000000000', os.EX_PROTOCOL, ['<- negotiate version 9'], 'protocol: it wants a newer version than it was offered'),
])
def test_faults(milter, rule, code, lines, err):
    run = milter('--timeout', '3' if 'timeout' in err else '30', rules=[rule]).ended(code, 'gatepost: the milter failed: %s\n' % err).has(*lines)
    run.has('!! ' + err)


def test_an_edit_that_was_not_negotiated(milter):
    milter(rules=['EOM * -> body "x" ; continue'], settings={'actions': '1'}).ended(
        os.EX_PROTOCOL, 'gatepost: the milter failed: edit: replbody was not negotiated\n').has(
        '                   actions: ADDHDRS', '<- replbody 1 bytes: x', '!! edit: replbody was not negotiated',
        'S: 451 4.3.5 Server configuration problem - try again later')


def test_nobody_listens(milter):
    run = milter(target='unix:/nonexistent/socket')
    assert run.code == os.EX_UNAVAILABLE and run.err == 'gatepost: the milter failed: connect: No such file or directory\n'
    run.has('!! connect: No such file or directory', 'S: 451 4.7.1 Service unavailable - try again later')


@pytest.mark.parametrize('words,said', [
    (['unix:/x', 'unix:/y'], 'only one milter at a time'),
    ([], 'which milter?'),
    (['--protocol', '7', 'unix:/x'], '--protocol is a number from 2 to 6, not "7"'),
    (['--compat', 'exim', 'unix:/x'], '--compat is full, postfix or sendmail, not "exim"'),
    (['--client', 'example.org', 'unix:/x'], '--client is an IP address'),
    (['--timeout', '-1', 'unix:/x'], '--timeout is a number of seconds'),
    (['--macros', 'mail', 'unix:/x'], '--macros is STAGE=NAMES'),
    (['--macros', 'mail=nonsense', 'unix:/x'], 'there is no macro "nonsense"'),
    (['--eml', 'x', '--body', 'y', 'unix:/x'], '--header and --body are of a message'),
    (['--dialogue', 'x', '--from', 'y', 'unix:/x'], '--dialogue says all that the client says'),
    (['--replay', 'x', '--from', 'y'], '--replay says all that is said'),
    (['--replay', 'x', '--macros', 'mail=i', 'unix:/x'], '--replay says all that is said'),
    (['--replay', 'x', '--compat', 'full', 'unix:/x'], '--replay says all that is said'),
    (['--timeout', '3', 'name'], 'are told by gatepost.conf'),
    (['--replay', 'x', 'name'], '--replay needs the milter\'s socket'),
    (['--compat', 'full', 'name'], 'are told by gatepost.conf'),
    (['--bogus', 'unix:/x'], 'unrecognized option'),
    (['inet:localhost'], 'the port is missing'),
])
def test_wrong_words(folder, words, said):
    run = Run(folder, 'milter-test', *words)
    assert run.code == os.EX_USAGE and said in run.err and run.out == ''


def test_help(folder):
    run = Run(folder, 'milter-test', '--help')
    assert run.code == 0 and '--dialogue FILE' in run.out and run.err == ''


# ---- messages from files ----

MESSAGE = 'From: a@example.org\nSubject: caf\u00e9 \u2603\n\n.\n..dot\nFrom here\n8 bits: \u00e9\n'


@pytest.mark.parametrize('how', ['lf', 'crlf', 'mbox', 'no end', 'stdin'])
def test_eml(milter, how):
    text = {'crlf': MESSAGE.replace('\n', '\r\n'), 'mbox': 'From a@example.org Sun Nov 22 18:00:00 2026\n' + MESSAGE,
            'no end': MESSAGE[:-1]}.get(how, MESSAGE).encode()
    run = milter('--eml', '-' if how == 'stdin' else write(milter, 'x.eml', text), '--output', 'out', '--full', stdin=text).ended(0)
    run.has('-> HEADER Subject: caf\u00e9 \u2603', '-> BODY 33 bytes: .\\r\\n..dot\\r\\nFrom here\\r\\n8 bits: \u00e9\\r\\n', 'envelope and message are unchanged')
    received, _, rest = read(milter, 'out').partition(b'From: ')
    assert received.startswith(b'Received: ') and b'From: ' + rest == MESSAGE.replace('\n', '\r\n').encode()


def test_eml_with_a_large_header_and_body(milter):
    text = b'Subject: ' + b'x' * 200000 + b'\nX-Latin: \xe9\n\n' + b'0123456789abcdef\n' * 20000
    run = milter('--eml', write(milter, 'x.eml', text), '--output', 'out', rules=['EOM * -> add "X-New: 1" ; continue']).ended(0)
    run.has('-> HEADER X-Latin: \\xe9', '+X-New: 1')
    assert max(len(l) for l in run.lines) < 1000
    assert sum(l.startswith('-> BODY ') for l in run.lines) == 6
    assert read(milter, 'out').endswith(b'X-Latin: \xe9\r\nX-New: 1\r\n\r\n' + b'0123456789abcdef\r\n' * 20000)


def test_eml_larger_than_servers_take(milter):
    """How much a listener takes is not what is tried."""
    text = b'Subject: x\n\n' + b'0123456789abcde\n' * (52 << 16)
    run = milter('--eml', write(milter, 'x.eml', text), rules=['MAIL * -> accept']).ended(0)
    run.has('S: 250 2.0.0 Ok: taken by milter-test').lacks('S: 552')


def test_eml_of_more_header_than_servers_take(milter):
    text = b'Received: from a by b; Mon, 1 Jan 2024 00:00:00 +0000\n' * 100 + b'X-Long: ' + b'x' * (2 << 20) + b'\n\nbody\n'
    run = milter('--eml', write(milter, 'x.eml', text)).ended(0)
    run.has('<- continue [EOM]', 'S: 250 2.0.0 Ok: taken by milter-test')


def test_eml_that_is_not_there(milter):
    milter('--eml', 'none.eml').ended(os.EX_NOINPUT, 'gatepost: none.eml: No such file or directory\n')


# ---- dialogues ----

DIALOGUE = '''EHLO a.test
mail from:<a@example.org>
RCPT TO:<b@example.org>
DATA
Subject: one

..dot
.
RSET
FOO bar
MAIL FROM:<>
RCPT TO:<c@example.org>
BDAT 14
A: b

body
BDAT 6 LAST
more
QUIT
'''


def test_dialogue_of_lines(milter):
    milter('--dialogue', write(milter, 'd', DIALOGUE), rules=['EOM * -> add "X: y" ; continue']).ended(0).has(
        'C: mail from:<a@example.org>', '-> MAIL <a@example.org>', '-> HEADER Subject: one', '-> BODY 6 bytes: .dot\\r\\n', ' .dot',
        'C: RSET', 'C: FOO bar', '-> UNKNOWN FOO bar', '<- continue [UNKNOWN]', 'S: 500 5.5.2 Error: command not recognized',
        'C: MAIL FROM:<>', '-> MAIL <>', 'C: BDAT 14', 'C: (14 bytes of content)', '-> DATA', 'S: 250 2.0.0 Ok: 14 bytes', 'C: (6 bytes of content)', '-> BODY 12 bytes: body\\r\\nmore\\r\\n')


def test_dialogue_of_a_test(milter):
    text = ('# a test\n[conf]\nC: not yet\n[milter m]\n[dialogue]\nS: 220 *\nC: EHLO a.test\nm: HELO a.test\nC: MAIL FROM:<a@example.org>\n'
            'C: RCPT TO:<b@example.org>\nC: DATA\nC| Subject: x\\r\\n\\r\\nraw \\x41\nC* 3 again\nC: .\nS: 250 *\nC: XCLIENT NAME=[UNAVAILABLE] ADDR=192.0.2.9\nC: QUIT\n')
    milter('--dialogue', write(milter, 'd.smtp', text)).ended(0).has(
        'C: EHLO a.test', '-> BODY 26 bytes: raw Aagain\\r\\nagain\\r\\nagain\\r\\n', 'C: XCLIENT NAME=[UNAVAILABLE] ADDR=192.0.2.9',
        '-> CONNECT [192.0.2.9] IPv4 192.0.2.9 port 40000').lacks('not yet')


@pytest.mark.parametrize('text,said', [
    ('C: EHLO\nC= starttls\n', 'd:2: this cannot be done here'),
    ('C: \\q\n', 'd:1: only \\r \\n \\t \\0 \\\\ and \\xNN stand behind a backslash'),
    ('C: EHLO\nC* many x\n', 'd:2: how many times?'),
])
def test_dialogue_with_a_mistake(milter, text, said):
    milter('--dialogue', write(milter, 'd', text)).ended(os.EX_DATAERR, 'gatepost: %s\n' % said)


def test_content_of_a_refused_data_is_not_sent(milter):
    milter(rules=['DATA -> reject']).ended(0).has('C: DATA', '<- reject [DATA]', 'S: 550 5.7.1 Command rejected', 'C: QUIT', 'S: 221 2.0.0 Bye').lacks('content')


# ---- how it is spoken to ----

def test_versions_and_macros(milter):
    milter('--protocol', '2', '--compat', 'postfix', '--macros', 'mail=j {mail_addr}', rules=[]).ended(0).has(
        '-> negotiate version 2', '-> MAIL <sender@example.org>').lacks('-> DATA')
    milter.actor.expect('MACROS M j=* {mail_addr}=sender@example.org', skip=True)


def test_macro_lists_of_the_filter(milter):
    milter(settings={'symlist.mail': 'i', 'symlist.eom': ''}).ended(0).has('                   macros at MAIL: i', '                   macros at EOM: none')
    milter.actor.never('MACROS E *')


def test_by_inet_in_either_form(folder):
    m = Milter('i', folder, kind='inet')
    try:
        port = m.endpoint.rsplit(':', 1)[1]
        for target in m.endpoint, 'inet:%s@127.0.0.1' % port:
            Run(folder, 'milter-test', target).ended(0).has('== connected to ' + target)
    finally:
        m.close()


def test_by_path(milter):
    milter(target=milter.actor.endpoint[5:]).ended(0).has('== connected to ' + milter.actor.endpoint)


def test_by_name(milter, gatepost):
    """With the settings that the configuration gives it."""
    conf = ('hostname = "mx.test"\nspool = "spool"\nnext_hop here { maildir = "mail/%%d/%%n" }\nlistener mx { address = "127.0.0.1:0" script = "mx.sieve" }\n'
            'milter scan { socket = "%s" compat = sendmail protocol = 4 }\npolicy p { socket = "unix:/x" }\n') % milter.actor.endpoint
    gatepost('version', conf=conf)
    Run(gatepost.folder, '-c', 'g.conf', 'milter-test', 'scan').ended(0).has('-> negotiate version 4', 'S: 220 mx.test ESMTP gatepost')
    for name in 'other', 'p':
        Run(gatepost.folder, '-c', 'g.conf', 'milter-test', name).ended(os.EX_USAGE, 'gatepost: g.conf: there is no milter called %s\n' % name)
    Run(gatepost.folder, '-c', 'none.conf', 'milter-test', 'scan').ended(os.EX_NOINPUT, 'none.conf: cannot be read: No such file or directory\n')


# ---- recordings ----

EDITS = 'EOM * -> add "X-Spam: yes" ; body "new\\r\\n" ; progress ; continue'


def test_a_recording_can_be_printed_and_replayed(milter):
    first = milter('--record', 'r', '--to', 'a@example.org', '--to', 'bad@example.org', rules=['RCPT <bad@*> -> reject', EDITS]).ended(0)
    text = read(milter, 'r').decode('ascii')
    assert text.startswith('gatepost-milter-record 1\n# ') and max(map(len, text.splitlines())) < 140
    printed = Run(milter.folder, 'milter-test', '--replay', 'r').ended(0)
    shown = [l for l in first.lines if l[:3] in ('-> ', '<- ', '== ', 'C: ', 'S: ', '   ')]
    assert printed.lines == shown
    again = milter('--replay', 'r', '--record', 'r2').ended(0)
    assert again.lines[-1] == 'the milter answered as recorded: 17 answers', again.out
    # The replay can be recorded, too: but for the times it is the same.
    times = re.compile(r'^\d+\.\d+ ', re.M)
    assert times.sub('', read(milter, 'r2').decode()) == times.sub('', text)


def test_a_recording_against_a_changed_milter(milter):
    milter('--record', 'r', rules=[EDITS]).ended(0)
    milter.actor.rules[:] = []
    run = milter('--replay', 'r', rules=['EOM * -> add "X-Spam: no" ; continue'])
    assert run.code == 1
    run.has('--- as recorded', '+++ now', '-<- addheader X-Spam: yes', '-<- replbody 5 bytes: new\\r\\n', '+<- addheader X-Spam: no', '-> QUIT',
            'the milter answered otherwise than recorded')


def test_a_recording_against_a_milter_that_decides_otherwise(milter):
    milter('--record', 'r').ended(0)
    run = milter('--replay', 'r', rules=['MAIL * -> reject'])
    assert run.code == 1
    run.has('-<- continue', '+<- reject', 'it decided otherwise: the rest is not played', '== closed').lacks('-> RCPT')


@pytest.mark.parametrize('rule', ['MAIL * -> close', 'HELO * -> hang', 'MAIL * -> hang', 'MAIL * -> raw 00000001', 'MAIL * -> raw 000000017a', 'HEADER * -> reject',
                                  'CONNECT * -> tempfail', 'EOM * -> close', 'BODY * -> add "X: y"'])
def test_a_fault_is_recorded_and_found_again(milter, rule):
    patience = '3' if 'hang' in rule or '00000001' in rule[-8:] else '30'
    milter('--record', 'r', '--timeout', patience, rules=[rule])
    run = milter('--replay', 'r', '--timeout', patience)
    assert run.code == 0 and run.lines[-1].startswith('the milter answered as recorded'), run.out + run.err
    milter.actor.rules[:] = []
    run = milter('--replay', 'r', '--timeout', '30')
    assert run.code == 1, run.out


def test_replay_to_nobody(milter):
    milter('--record', 'r').ended(0)
    milter('--replay', 'r', target='unix:/nonexistent/x').ended(os.EX_UNAVAILABLE, 'gatepost: cannot connect: No such file or directory\n')


@pytest.mark.parametrize('change,said', [
    (lambda t: t[:-10], 'the end is missing'),
    (lambda t: t.replace('record 1', 'record 9'), 'r:1: this is no recording'),
    (lambda t: re.sub(r'\n[^\n]* < c\n', '\n', t, count=1), 'entries are missing'),
    (lambda t: t.replace(' < c\n', ' < \\xzz\n', 1), 'its bytes are malformed'),
    (lambda t: '', 'r:1: this is no recording'),
    (lambda t: '\x7fELF\0\0', 'r:1: this is no recording'),
])
def test_tampered_recordings(milter, change, said):
    milter('--record', 'r').ended(0)
    write(milter, 'r', change(read(milter, 'r').decode()))
    for words in ['--replay', 'r'], ['--replay', 'r', milter.actor.endpoint]:
        run = Run(milter.folder, 'milter-test', *words)
        assert run.code == os.EX_DATAERR and said in run.err and run.out == ''


@pytest.mark.parametrize('words', [['--record', 'r'], ['--record', 'r2', '--replay', 'r']])
def test_an_interrupt_keeps_what_was_said(milter, words):
    if '--replay' in words:
        milter('--record', 'r').ended(0)
        milter.actor.seen = len(milter.actor.events)
    milter.actor.rule('RCPT * -> hang')
    with subprocess.Popen([BINARY, 'milter-test', *words, milter.actor.endpoint], cwd=milter.folder, stdout=subprocess.PIPE) as process:
        milter.actor.expect('RCPT *', skip=True)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 128 + signal.SIGINT
    assert b'-> RCPT <recipient@example.org>\n' in out
    Run(milter.folder, 'milter-test', '--replay', words[1]).ended(0).has('-> MAIL <sender@example.org>', '<- continue [MAIL]',
                                                                     '-> RCPT <recipient@example.org>', '== closed').lacks('[RCPT]')


def test_a_recording_that_cannot_be_written(milter):
    run = milter('--record', 'none/r')
    assert run.code == os.EX_CANTCREAT and run.err == 'gatepost: none/r: No such file or directory\n'
