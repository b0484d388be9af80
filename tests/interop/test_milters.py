"""Real milters: rspamd (a protocol engine of its own), spamass-milter and clamav-milter (libmilter), alone and in chains.

Each is asked the same through Debian's Postfix and through gatepost; what the client hears and what is delivered must be the same.
"""
import json
import os
import re

import pytest

from gp.beside import GTUBE, Ours, daemon, equal, fields, message, say, subfolder
from gp.fixtures import Fixture
from gp.smtp import Smtp

rspamd, rspamd_inet = daemon('rspamd'), daemon('rspamd', 'inet')
opendkim = daemon('opendkim')
clamav, mimedefang = daemon('clamav'), daemon('mimedefang', 'inet')

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
    """A held message is taken, and not delivered: it is in the hold area."""
    with Ours(folder, [rspamd.endpoint]) as ours:
        code, _ = say(ours, message('fx-quarantine'))
        assert code == 250
        ours.log.wait('event=held', 'gate=m0')
        assert not ours.mails()


def test_clamav(place, clamav):
    own, mails = equal(place, [clamav.endpoint], [message('clean'), message('bad', 'an fx-virus here\n'), message('clean again')])
    assert own[1] == (550, '5.7.1 Virus Fixture.Word.UNOFFICIAL found')
    assert [code for code, _ in own] == [250, 550, 250]
    assert all(b'\nX-Virus-Status: Clean\n' in m for m in mails)


@pytest.mark.parametrize('infected, code', [('Accept', 250), ('Blackhole', 250), ('Defer', 451)])
def test_what_clamav_does_with_a_virus(folder, infected, code):
    with Fixture('clamav', folder, FX_INFECTED=infected) as f, Ours(folder, [f.endpoint]) as ours:
        assert say(ours, message('bad', 'an fx-virus here\n'))[0] == code
        assert say(ours, message('clean')) == (250, 'taken')
        *bad, clean = ours.mails()
    assert fields(clean, 'X-Virus-Status') == [b'Clean']
    assert [fields(m, 'X-Virus-Status') for m in bad] == ([[b'Infected (Fixture.Word.UNOFFICIAL)']] if infected == 'Accept' else [])


def test_spamass_redirects(place):
    """It takes every recipient away and adds its own; what they were it writes into the header."""
    with Fixture('spamassassin', subfolder(place), 'inet', FX_SPAMASS='-b bucket@example.test') as f:
        contents = [{'content': message('clean'), 'to': ('b@example.test',)}, {'content': message('fx-spam'), 'to': ('b@example.test', 'c@example.test')}]
        own, mails = equal(place, [f.endpoint], contents)
    assert [code for code, _ in own] == [250, 250]
    assert fields(mails[1], 'X-Spam-Orig-To') == [b'<b@example.test>', b'<c@example.test>'] and not fields(mails[0], 'X-Spam-Orig-To')


def test_mimedefang(place, mimedefang):
    """A filter that asks for macros by name, decides at every stage, and puts each message together anew."""
    def attempt(subject, body='Some text.\n', **how):
        return dict({'content': message(subject, body), 'client': '192.0.2.10'}, **how)
    own, mails = equal(place, [mimedefang.endpoint], [
        attempt('relay', client='192.0.2.66'), attempt('helo', helo='bad.example.net'), attempt('sender', sender='refused@example.test'),
        attempt('sender', sender='later@example.test'), attempt('recipient', to=['refused@example.test']),
        attempt('recipient', to=['b@example.test', 'later@example.test']), attempt('fx-bounce'), attempt('fx-tempfail'), attempt('fx-discard'),
        attempt('plain'), attempt('fx-edits\nX-Old: one\nX-Old: two'), attempt('fx-plain'), attempt('null', sender=''),
        attempt('html\nMIME-Version: 1.0\nContent-Type: multipart/alternative; boundary=b', 'A preamble.\n\n--b\n\nText.\n--b\n'
                'Content-Type: text/html\n\n<p>Text.</p>\n--b--\n'),
        attempt('relaying', to=['b@elsewhere.test', 'b@example.test'])])
    assert [code for code, _ in own] == [554, 554, 554, 450, 554, 450, 554, 451] + [250] * 7
    assert own[1][1] == '5.7.1 No mail from bad.example.net' and own[2][1] == '5.7.9 No <refused@example.test>' and own[6][1] == '5.7.8 Not this one'
    plain, edited, untouched, null, html, relaying = mails
    assert plain.endswith(b'\n\nSome text.\n\n-- \nA footer.\n') and untouched.endswith(b'\n\nSome text.\n')
    assert edited.startswith(b'X-First: at the top\n') and fields(edited, 'Subject') == [b'changed'] and fields(edited, 'X-Old') == [b'two']
    assert html.count(b'A footer.') == 1 and b'<p>Text.</p>' in html
    assert fields(relaying, 'X-To') == [b'<b@elsewhere.test> (refused) <b@example.test>'] and fields(null, 'X-To') == [b'<b@example.test>']
    # the macro i, and what it was told at HELO and CONNECT
    assert all(re.search(rb' id ' + re.escape(fields(m, 'X-Queue')[0].split()[0]) + rb'\n', m) and
               fields(m, 'X-Queue')[0].endswith(b' client.example.net 192.0.2.10') for m in mails)


# ---- together ----

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
