"""Signatures on their way: made by OpenDKIM and dkimpy-milter behind gatepost, changed on purpose or not at all, verified at the next hop
by python3-dkim, OpenDKIM and dkimpy-milter."""
import contextlib
import re

import pytest

from gp.actors import Milter
from gp.beside import DATE, Ours, equal, say, stuffed, subfolder
from gp.fixtures import Fixture
from gp.signed import record, verifies
from gp.smtp import Smtp

ELSEWHERE = '192.0.2.7'
PLAIN = ('From: a@example.test\r\nTo: b@example.test\r\nDate: ' + DATE + '\r\nMessage-Id: <1@example.test>\r\n').encode()
# What canonicalization is about, and what a host might think it should put right.
ODD = {
    'plain': PLAIN + b'Subject: x\r\n\r\nbody\r\n',
    'folded': PLAIN + b'Subject: one\r\n two\r\n\tthree\r\n  \t four\r\nX-Trailing: a \r\n\tb\t\r\n\r\nbody\r\n',
    'no space after the colon': PLAIN.replace(b': ', b':') + b'Subject:x\r\nX-Empty:\r\nX-Space: \r\n\r\nbody\r\n',
    'much space after the colon': PLAIN.replace(b': ', b':  \t ') + b'Subject:\tx\r\n\r\nbody\r\n',
    'begins on the next line': PLAIN + b'Subject:\r\n x\r\nX-Folded: \r\n\ty\r\n\r\nbody\r\n',
    'case of names': PLAIN.replace(b'From', b'fROM').replace(b'To', b'TO').replace(b'Date', b'date') + b'sUBJECT: x\r\n\r\nbody\r\n',
    'the same field often': PLAIN + b'Subject: x\r\n' + b''.join(b'Comments: %d\r\n' % i for i in range(20)) + b'\r\nbody\r\n',
    'empty body': PLAIN + b'Subject: x\r\n\r\n',
    'only blank lines': PLAIN + b'Subject: x\r\n\r\n\r\n\r\n\r\n',
    'blank lines at the end': PLAIN + b'Subject: x\r\n\r\nbody\r\n\r\n\r\n \r\n\r\n',
    'space at line ends': PLAIN + b'Subject: x \r\n\r\nbody \r\n\t\r\n  two\t \tthree  \r\n',
    'dots': PLAIN + b'Subject: x\r\n\r\n.\r\n..\r\n...three\r\n.one\r\n',
    'eight bits': PLAIN + 'Subject: Grüße\r\nX-Raw: '.encode() + bytes(range(0xa0, 0x100)) + b'\r\n\r\n' + bytes(range(0x80, 0x100)) + b'\r\n',
    'long lines': PLAIN + b'Subject: ' + b'x' * 900 + b'\r\n\r\n' + b'y' * 998 + b'\r\n' + b'.' * 998 + b'\r\n',
    'large': PLAIN + b'Subject: x\r\n\r\n' + b''.join(b'line %d of many\r\n' % i for i in range(20000)),
    'a body like a header': PLAIN + b'Subject: x\r\n\r\nFrom: c@example.test\r\n\r\nDKIM-Signature: v=1\r\n',
    'From at the beginning': PLAIN + b'Subject: x\r\n\r\nFrom here on\r\n>From there\r\n',
}


CANONS = {'simple/simple': 'SignHeaders *\nOversignHeaders From,To,Subject,Reply-To', 'relaxed/relaxed': '', 'relaxed/simple': ''}

# What dkimpy-milter cannot verify behind any MTA: it reads no header with eight bits, and asks nobody for the space behind the colon.
DKIMPY = {'eight': {'eight bits'}, 'space': {'no space after the colon', 'much space after the colon', 'begins on the next line'}}


@pytest.fixture(scope='module')
def dns(place):
    with Fixture('dns', place) as f:
        yield f


@pytest.fixture(scope='module')
def key(dns):
    """The record of the key that all of them sign with."""
    return record(dns.folder + '/dkim/rsa.key')


@pytest.fixture(scope='module')
def opendkim(place, dns):
    """One for each canonicalization; they find keys in the DNS."""
    with contextlib.ExitStack() as stack:
        yield {canon: stack.enter_context(Fixture('opendkim', subfolder(place), 'inet', FX_CANON=canon, FX_SIGN=more, FX_DKIM=dns.folder + '/dkim',
                                                  FX_DNS_PORT=dns['resolver'].split(':')[1])) for canon, more in CANONS.items()}


@pytest.fixture(scope='module')
def dkimpy(place, dns):
    with Fixture('dkimpy', place, FX_DKIM=dns.folder + '/dkim') as f:
        yield f


@pytest.fixture(scope='module')
def mimedefang(place):
    with Fixture('mimedefang', place, 'inet') as f:
        yield f


def send_all(server, mails, client=None):
    """All of them in one session."""
    with Smtp(server.port) as c:
        c.cmd('EHLO client.example.net', 250)
        if client:
            c.cmd('XCLIENT ADDR=%s NAME=[UNAVAILABLE]' % client, 220)
            c.cmd('EHLO client.example.net', 250)
        for m in mails:
            c.mail('a@example.test', ['b@example.test'], stuffed(m))
        c.cmd('QUIT', 221)


def results(mail, server=b'mx'):
    """What the Authentication-Results of OpenDKIM (mx) or dkimpy-milter (dkimpy) says of the signature."""
    fields = re.findall(rb'(?mi)^Authentication-Results: (\w+)\.example\.test;((?:.|\n[ \t])*)', mail)
    return re.findall(rb'dkim=(\w+)', b' '.join(text for name, text in fields if name == server))


# ---- every odd message, signed, by every way out ----

@pytest.mark.parametrize('canon', CANONS)
@pytest.mark.parametrize('compat', ['full', 'postfix', 'sendmail'])
def test_what_is_signed_is_what_leaves(folder, opendkim, key, canon, compat):
    with Ours(folder, [opendkim[canon]['sign']], 'compat = ' + compat) as ours:
        send_all(ours, ODD.values())
        for (name, sent), mail in zip(ODD.items(), ours.raw()):
            assert mail.endswith(sent), name
            assert verifies(mail, key), name
        assert not verifies(mail.replace(b'From there', b'From where'), key)


@pytest.mark.parametrize('hop', ['smtp', 'bdat', 'maildir'])
def test_every_way_out(folder, opendkim, key, hop):
    with Ours(folder, [opendkim['simple/simple']['sign']], hop=hop) as ours:
        for name, sent in ODD.items():
            assert say(ours, sent)[0] == 250, name
        mails = ours.raw()
        assert len(mails) == len(ODD)
        for mail in mails:
            assert verifies(mail, key), mail[:1000]
        assert hop != 'bdat' or any(e.startswith('BDAT ') for e in ours.hop.events)


def test_as_behind_postfix(place, opendkim):
    """The same signature but for its time: the same fields, the same hash of the body, in a message that is the same else."""
    own, mails = equal(place, [opendkim['relaxed/simple']['sign']], ODD.values())
    assert len(own) == len(mails) == len(ODD)


def test_dkimpy_signs(folder, dkimpy, key):
    plain = {name: m for name, m in ODD.items() if name not in DKIMPY['eight']}
    with Ours(folder, [dkimpy['sign']]) as ours:
        send_all(ours, plain.values())
        for name, mail in zip(plain, ours.raw()):
            assert verifies(mail, key), name


def test_bdat_in(folder, opendkim, key):
    """Content in chunks that end anywhere, the last line without an end."""
    whole = ODD['space at line ends'] + b'no end'
    with Ours(folder, [opendkim['simple/simple']['sign']]) as ours, Smtp(ours.port) as c:
        c.cmd('EHLO client.example.net', 250)
        for size in (1, 50, 1000):
            c.cmd('MAIL FROM:<a@example.test>', 250)
            c.cmd('RCPT TO:<b@example.test>', 250)
            for at in range(0, len(whole), size):
                chunk = whole[at:at + size]
                c.send(b'BDAT %d%s\r\n' % (len(chunk), b' LAST' if at + size >= len(whole) else b'') + chunk)
                c.expect(250)
        c.cmd('QUIT', 221)
        first, second, third = ours.raw()
        assert verifies(first, key) and verifies(second, key) and verifies(third, key)


# ---- verified behind gatepost ----

@pytest.mark.parametrize('canon', CANONS)
def test_verified_at_the_next_hop(folder, opendkim, dkimpy, canon):
    """Two gateposts in a row: signed at the first, verified at the second by two filters; what was tampered with is noticed by both."""
    with Ours(subfolder(folder), [opendkim[canon]['sign']]) as first:
        send_all(first, ODD.values())
        signed = [m for m in first.raw()]
    tampered = [m.replace(b'example.test\r\nTo: b@', b'example.test\r\nTo: c@') for m in signed if b'\r\nTo: b@' in m]
    with Ours(subfolder(folder), [opendkim[canon]['verify'], dkimpy['verify']]) as second:
        send_all(second, signed + tampered + [ODD['plain']], ELSEWHERE)
        mails = second.mails()
    good, bad, unsigned = mails[:len(ODD)], mails[len(ODD):-1], mails[-1]
    assert len(bad) > len(ODD) / 2
    blind = DKIMPY['eight'] | (DKIMPY['space'] if canon == 'simple/simple' else set())
    assert {name: results(m) for name, m in zip(ODD, good)} == {name: [b'pass'] for name in ODD}
    assert {name for name, m in zip(ODD, good) if results(m, b'dkimpy') != [b'pass']} == blind
    assert all(results(m) == results(m, b'dkimpy') == [b'fail'] for m in bad)
    assert results(unsigned) == [b'none']


# ---- with filters that change the message ----

@pytest.mark.parametrize('compat', ['full', 'postfix', 'sendmail'])
def test_footer_then_signature(folder, mimedefang, opendkim, key, compat):
    """MIMEDefang takes each message apart and puts it together anew, with a footer: the signer sees that one, and it is what leaves."""
    with Ours(folder, [mimedefang.endpoint, opendkim['relaxed/simple']['sign']], 'compat = ' + compat) as ours:
        send_all(ours, ODD.values())
        mails = ours.raw()
    for name, mail in zip(ODD, mails):
        assert verifies(mail, key), name
    assert mails[0].endswith(b'\r\n\r\nbody\r\n\r\n-- \r\nA footer.\r\n')


def test_signature_then_footer(folder, mimedefang, opendkim, key):
    """The wrong way round is the wrong way round."""
    with Ours(folder, [opendkim['relaxed/simple']['sign'], mimedefang.endpoint]) as ours:
        assert say(ours, ODD['plain'])[0] == 250
        mail, = ours.raw()
    assert mail.endswith(b'A footer.\r\n') and not verifies(mail, key)


def test_edited_between(folder, opendkim, dkimpy, key):
    """Fields changed in number, order, name and folding, a body in pieces, then two signers: both signatures are good."""
    editor = Milter('editor', folder)
    editor.rule('EOM -> change 1 "SUBJECT: changed\\n\\tand folded\\n  twice" ; change 2 "Comments: " ; insert 0 "X-First:  two spaces" ; '
                'insert 3 "X-Third: \\tA tab" ; add "X-Last: " ; add "Comments: the last" ; '
                'body "one\\r" ; body "\\ntwo \\r\\n\\r\\n" ; body ".\\r\\n" ; continue')
    with Ours(folder, [editor.endpoint, opendkim['simple/simple']['sign'], dkimpy['sign']]) as ours:
        for name in 'plain', 'the same field often', 'folded':
            assert say(ours, ODD[name])[0] == 250
        for mail in ours.raw():
            assert verifies(mail, key, count=2)
            assert mail.endswith(b'\r\n\r\none\r\ntwo \r\n\r\n.\r\n') and b'\r\nSUBJECT: changed\r\n\tand folded\r\n  twice\r\n' in mail


def test_verified_and_signed_again(folder, opendkim, key):
    """A relay: what comes in signed is verified, marked and signed once more."""
    chain = [opendkim['simple/simple']['verify'], opendkim['relaxed/relaxed']['sign']]
    with Ours(subfolder(folder), [opendkim['relaxed/relaxed']['sign']]) as first:
        send_all(first, ODD.values())
        signed = first.raw()
    with Ours(subfolder(folder), chain) as second:
        send_all(second, signed)
        for name, mail in zip(ODD, second.raw()):
            assert verifies(mail, key, count=2), name
            assert results(mail.replace(b'\r\n', b'\n')) == [b'pass'], name
