"""Real milters: rspamd (a protocol engine of its own), OpenDKIM, spamass-milter and clamav-milter (libmilter), alone and in chains.

Each is asked the same through Debian's Postfix and through gatepost; what the client hears and what is delivered must be the same.
"""
import json
import os
import re
import shutil
import tempfile

import pytest

from gp.actors import Hop, Milter
from gp.fixtures import Fixture
from gp.postfix import Postfix
from gp.server import Gatepost, free_port, wait_for
from gp.smtp import Smtp

GTUBE = 'XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X'
HEAD = 'From: a@example.test\nTo: b@example.test\nDate: Sun, 22 Nov 2026 10:00:00 +0000\nMessage-Id: <%s@example.test>\n'


def message(subject, body='Some text.\n'):
    """Bytes as the wire has them; its own Message-Id, so that no two are the same."""
    message.count = getattr(message, 'count', 0) + 1
    return (HEAD % message.count + 'Subject: %s\n\n%s' % (subject, body)).replace('\n', '\r\n').encode()


@pytest.fixture(scope='module')
def place():
    path = tempfile.mkdtemp(prefix='gp.')
    os.chmod(path, 0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


def daemon(name, kind='unix'):
    @pytest.fixture(scope='module')
    def fixture(place):
        with Fixture(name, os.path.join(place, kind), kind) as f:
            yield f
    return fixture


rspamd, rspamd_inet = daemon('rspamd'), daemon('rspamd', 'inet')
opendkim, opendkim_inet = daemon('opendkim'), daemon('opendkim', 'inet')
clamav, spamass = daemon('clamav'), daemon('spamassassin', 'inet')


class Ours(Gatepost):
    """gatepost with MILTERS (endpoints, in order) before a next hop that keeps what it gets; OPTIONS go into each milter's section."""

    def __init__(self, folder, milters, options='', allowed=()):
        self.hop, self.port = Hop('hop', folder, lmtp=True), free_port()
        sections = ''.join('milter m%d { socket = "%s" %s }\n' % (i, e, options) for i, e in enumerate(milters))
        super().__init__(folder, allowed=allowed, files={
            'gatepost.conf': '''hostname = "mx.example.test"
spool = "%s/spool"
workers = 1
dns { enabled = false }
%snext_hop hop { lmtp = "%s" }
listener mx { address = "127.0.0.1:%d" script = "mx.sieve" xclient = {"127.0.0.0/8"} }
''' % (folder, sections, self.hop.endpoint, self.port),
            'mx.sieve': '''require ["envelope", "vnd.gatepost.mta"];
stage "connect" { milter [%s]; }
stage "rcpt" { if envelope :domain "to" "example.test" { deliver "hop"; } }
''' % ', '.join('"m%d"' % i for i in range(len(milters)))})

    def mails(self):
        return [m.replace(b'\r\n', b'\n') for m in self.hop.messages]


class Theirs(Postfix):
    def __init__(self, folder, milters):
        super().__init__(folder, 'local_header_rewrite_clients =\nsmtpd_milters = ' + ' '.join(milters))

    def mails(self):
        return [re.sub(rb'\A(?:(?:Return-Path|X-Original-To|Delivered-To): .*\n)*', b'', m) for m in super().mails()]


def say(server, content, client=None):
    """The reply to a message: (code, text); CLIENT: the address to come from."""
    with Smtp(server.port) as c:
        c.cmd('EHLO client.example.net', 250)
        if client:
            c.cmd('XCLIENT ADDR=%s NAME=[UNAVAILABLE]' % client, 220)
            c.cmd('EHLO client.example.net', 250)
        c.cmd('MAIL FROM:<a@example.test>', 250)
        c.cmd('RCPT TO:<b@example.test>', 250)
        c.cmd('DATA', 354)
        c.send(content + b'.\r\n')
        code, lines = c.reply()
        c.cmd('QUIT', 221)
        return code, re.sub('queued as .*|^2.0.0 .*', 'taken', '\n'.join(lines))


def fold(mail):
    """A delivered message without what differs between any two: the host's trace field and name, ids, times, signatures."""
    head, _, body = mail.partition(b'\n\n')
    fields = re.sub(rb'\n[ \t]+', b' ', head).split(b'\n')
    varying = [rb'^Received: from .*', rb'^DKIM-Filter: .*', rb'\bi?d=[0-9A-Fa-f.]+\b', rb'\bt=\d+', rb'\bb=[^;]*',
               rb'\w{3}, \d+ \w{3} \d{4} [\d:]+ [+-]\d{4}', rb'----=_[\w.=]+', rb'\((?:Postfix|gatepost) [\d.]+']
    text = b'\n'.join(f for f in fields if not f.startswith(b'Received: from '))
    for v in varying:
        text, body = re.sub(v, b'~', text, flags=re.M), re.sub(v, b'~', body, flags=re.M)
    return re.sub(rb'[ \t]+', b' ', text), body


def both(place, milters, contents):
    """Plays CONTENTS to both servers: the replies and the delivered messages, of each."""
    folder = tempfile.mkdtemp(dir=place)
    os.chmod(folder, 0o755)
    for kind in 'pg':
        os.mkdir(os.path.join(folder, kind), 0o755)
    with Theirs(folder + '/p', milters) as theirs:
        heard = [say(theirs, c) for c in contents]
        taken = sum(code == 250 for code, _ in heard)
        with Ours(folder + '/g', milters, 'compat = postfix', allowed=['event=hold']) as ours:
            own = [say(ours, c) for c in contents]
            mine = ours.mails()
        wait_for(lambda: len(theirs.mails()) >= len(mine), 'Postfix to deliver as much')
        assert len(mine) <= taken
        return heard, own, theirs.mails(), mine


def equal(place, milters, contents):
    heard, own, theirs, mine = both(place, milters, contents)
    assert own == heard
    assert [fold(m) for m in mine] == [fold(m) for m in theirs]
    return own, mine


# ---- one by one, as Postfix does ----

def test_rspamd(place, rspamd_inet):
    own, mails = equal(place, [rspamd_inet.endpoint], [
        message('plain'), message('plain', GTUBE + '\n'), message('fx-soft'), message('fx-reject'), message('fx-add-header'),
        message('fx-rewrite'), message('fx-discard'), message('again')])
    assert [code for code, _ in own] == [250, 554, 451, 554, 250, 250, 250, 250]
    assert own[1][1] == '5.7.1 Gtube pattern'
    assert len(mails) == 4
    assert all(b'\nX-Spamd-Result: ' in b'\n' + m for m in mails)
    assert b'\nX-Spam: Yes' in b'\n' + mails[1]
    assert b'\nSubject: *** SPAM *** fx-rewrite\n' in mails[2]


def test_rspamd_quarantine_is_held(folder, rspamd):
    """A held message is not delivered, and not lost: there is no hold area, so the client keeps it."""
    with Ours(folder, [rspamd.endpoint], allowed=['event=hold']) as ours:
        code, _ = say(ours, message('fx-quarantine'))
        assert code == 451
        ours.log.wait('event=hold')
        assert not ours.mails()


def test_clamav(place, clamav):
    own, mails = equal(place, [clamav.endpoint], [message('clean'), message('bad', 'an fx-virus here\n'), message('clean again')])
    assert own[1] == (550, '5.7.1 Virus Fixture.Word.UNOFFICIAL found')
    assert [code for code, _ in own] == [250, 550, 250]
    assert all(b'\nX-Virus-Status: Clean\n' in m for m in mails)


def test_spamass(place, spamass):
    own, mails = equal(place, [spamass.endpoint], [message('clean'), message('bad', GTUBE + '\n'), message('fx-spam')])
    assert [code for code, _ in own] == [250, 550, 250]
    assert own[1][1] == '5.7.1 Blocked by SpamAssassin'
    assert b'X-Spam-Status: No' in mails[0]
    # the body was replaced by a report, the header changed with it
    assert b'\nSubject: [SPAM] fx-spam\n' in mails[1] and b'Content-Type: multipart/mixed' in mails[1] and b'Content preview:' in mails[1]


def test_opendkim_signs(place, opendkim_inet):
    own, mails = equal(place, [opendkim_inet['sign']], [message('sign me'), message('me too', 'A body.\n\n\n')])
    assert [code for code, _ in own] == [250, 250]
    assert all(b'\nDKIM-Signature: v=1; a=rsa-sha256; c=relaxed/simple; d=example.test;' in b'\n' + re.sub(rb'\n[ \t]+', b' ', m) for m in mails)


# ---- signatures survive the way ----

FOLDED = message('a subject\n  that goes\n\ton', 'Line one \n\n..dot\ntrailing  \n\n\n')


@pytest.mark.parametrize('compat', ['full', 'postfix', 'sendmail'])
def test_signature_verifies(folder, opendkim, compat):
    """Signed, delivered, sent in again from elsewhere, verified; a changed body is noticed."""
    with Ours(folder, [opendkim['sign']], 'compat = ' + compat) as ours:
        assert say(ours, FOLDED.replace(b'\r\n.', b'\r\n..'))[0] == 250
        signed, = ours.hop.messages
    os.mkdir(folder + '/v')
    with Ours(folder + '/v', [opendkim['verify']], 'compat = ' + compat) as ours:
        stuffed = signed.replace(b'\r\n.', b'\r\n..')
        assert say(ours, stuffed, '192.0.2.7')[0] == 250
        assert say(ours, stuffed.replace(b'Line one', b'Line two'), '192.0.2.7')[0] == 250
        assert say(ours, message('unsigned'), '192.0.2.7')[0] == 250
        good, bad, none = ours.mails()
    assert b'dkim=pass' in good
    assert b'dkim=fail' in bad
    assert b'dkim=none' in none


def test_signature_of_a_changed_body(folder, opendkim):
    """A milter that changes header and body stands before the signer: what is signed is what leaves."""
    changer = Milter('changer', folder)
    changer.rule('EOM -> change 1 "Subject: changed\\n\\tand folded" ; add "X-New: one" ; body "a new\\r\\nbody" ; continue')
    with Ours(folder, [changer.endpoint, opendkim['sign']]) as ours:
        assert say(ours, message('old'))[0] == 250
        signed, = ours.hop.messages
    assert b'Subject: changed\r\n\tand folded\r\n' in signed and signed.endswith(b'\r\n\r\na new\r\nbody\r\n')
    os.mkdir(folder + '/v')
    with Ours(folder + '/v', [opendkim['verify']]) as ours:
        assert say(ours, signed, '192.0.2.7')[0] == 250
        assert b'dkim=pass' in ours.mails()[0]


# ---- together ----

def test_chain_of_three(place, clamav, rspamd, opendkim):
    own, mails = equal(place, [clamav.endpoint, rspamd.endpoint, opendkim['sign']], [
        message('clean'), message('bad', 'an fx-virus here\n'), message('spam', GTUBE + '\n'), message('fx-rewrite')])
    assert [code for code, _ in own] == [250, 550, 554, 250]
    for m in mails:
        assert b'X-Virus-Status: Clean' in m and b'X-Spamd-Result: ' in m and b'DKIM-Signature: ' in m


def test_many_in_one_session(folder, rspamd, opendkim, clamav):
    """Ten messages through three filters' one connection each, resets and refusals between."""
    with Ours(folder, [clamav.endpoint, rspamd.endpoint, opendkim['sign']]) as ours:
        with Smtp(ours.port) as c:
            c.cmd('EHLO client.example.net', 250)
            for i in range(10):
                c.cmd('MAIL FROM:<x@example.test>', 250)
                c.cmd('RSET', 250)
                c.mail('a@example.test', ['b@example.test'], message('number %d' % i))
                c.mail('a@example.test', ['b@example.test'], message('bad', 'an fx-virus here\n'), code=550)
            c.cmd('QUIT', 221)
        mails = ours.mails()
    assert len(mails) == 10
    for i, m in enumerate(mails):
        assert b'Subject: number %d\n' % i in m
        assert m.count(b'X-Virus-Status: ') == m.count(b'X-Spamd-Result: ') == 1 and b'DKIM-Signature: ' in m


def test_a_filter_that_dies_comes_back(place, folder):
    """One session: served, refused while the filter is gone, served again."""
    f = Fixture('clamav', os.path.join(folder, 'c'), 'unix')
    with f, Ours(folder, [f.endpoint], allowed=['event=milter-fault']) as ours:
        with Smtp(ours.port) as c:
            c.cmd('EHLO client.example.net', 250)
            c.mail('a@example.test', ['b@example.test'], message('one'))
            f.__exit__()
            assert c.cmd('MAIL FROM:<a@example.test>', 451) == ['4.7.1 Service unavailable - try again later']
            f.__enter__()
            c.mail('a@example.test', ['b@example.test'], message('two'))
            c.cmd('QUIT', 221)
        assert len(ours.mails()) == 2
        assert ours.log.has('event=milter-fault', 'fault=connect')


@pytest.mark.parametrize('stage', ['header', 'eoh', 'body'])
@pytest.mark.parametrize('compat', ['full', 'postfix'])
def test_libmilter_decides_in_the_midst(folder, stage, compat):
    """libmilter that refuses, accepts or skips before the end of the message; every other message of the session is whole."""
    script = {stage: [{'when': {'mail': 'refused'}, 'reply': ['550', '5.7.9', 'Not this one']}, {'when': {'mail': 'accepted'}, 'reply': 'accept'},
                      {'when': {'mail': 'later'}, 'reply': 'tempfail'}],
              'eom': {'do': [['addheader', 'X-Seen', 'yes']], 'reply': 'continue'}}
    os.mkdir(folder + '/scripted-milter')
    with open(folder + '/scripted-milter/script.json', 'w') as f:
        json.dump(script, f)
    with Fixture('scripted-milter', folder) as f, Ours(folder, [f.endpoint], 'compat = ' + compat) as ours, Smtp(ours.port) as c:
        c.cmd('EHLO client.example.net', 250)
        for sender, code in (('fine', 250), ('refused', 550), ('fine', 250), ('accepted', 250), ('later', 451), ('refused', 550), ('fine', 250)):
            said = c.mail(sender + '@example.test', ['b@example.test'], message(sender), code)
            if code == 550:
                assert said == ['5.7.9 Not this one']
        c.cmd('QUIT', 221)
        mails = ours.mails()
    assert [b'\nX-Seen: yes\n' in m for m in mails] == [True, True, False, True]


def test_large_and_odd(folder, rspamd, clamav, opendkim):
    """A body of several chunks, a header of many lines, an empty body: nothing is cut, whatever looks at it."""
    many = ''.join('X-Line-%d: %s\n' % (i, 'v' * 60) for i in range(400))
    large = message('large\n' + many.rstrip('\n'), ('0123456789' * 7 + '\n') * 4000)
    with Ours(folder, [clamav.endpoint, rspamd.endpoint, opendkim['sign']]) as ours:
        assert say(ours, large)[0] == 250
        assert say(ours, message('empty', ''))[0] == 250
        first, second = ours.mails()
    assert first.split(b'\n\n', 1)[1] == large.replace(b'\r\n', b'\n').split(b'\n\n', 1)[1]
    assert all(b'\nX-Line-%d: ' % i in first for i in range(400))
    assert second.endswith(b'\n\n')


def test_header_over_what_libmilter_takes(folder, clamav, rspamd):
    """libmilter hangs up on more than 64 KiB at once: so it is shown the beginning of such a field unless data_max says otherwise."""
    long = b'X-Long: ' + b'z' * 70000
    with Ours(folder, [clamav.endpoint, rspamd.endpoint], 'data_max = 1M') as ours:
        assert say(ours, long + b'\r\n' + message('x'))[0] == 451
        ours.allowed.append('event=milter-fault')
        ours.log.wait('event=milter-fault', 'milter=m0')
    os.mkdir(folder + '/d')
    with Ours(folder + '/d', [clamav.endpoint, rspamd.endpoint]) as ours:
        assert say(ours, long + b'\r\n' + message('y'))[0] == 250
        mail, = ours.mails()
    assert b'\n' + long + b'\n' in b'\n' + mail and b'X-Virus-Status: Clean' in mail and b'X-Spamd-Result: ' in mail
