"""Three real filters in a row: what each makes of what the one before it left, messages held, refused and changed, and one of the three dying."""
import json

import pytest

from gp.actors import Milter
from gp.beside import GTUBE, Ours, daemon, equal, fields, message, say
from gp.fixtures import Fixture
from gp.signed import record, verifies
from gp.smtp import Smtp

VIRUS = 'X5O!P%@AP[4\\PZX54(P^)7CC)7}$EICAR-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*\n'


@pytest.fixture(scope='module')
def dns(place):
    with Fixture('dns', place) as f:
        yield f


@pytest.fixture(scope='module')
def opendkim(place, dns):
    with Fixture('opendkim', place, 'inet', FX_DKIM=dns.folder + '/dkim', FX_DNS_PORT=dns['resolver'].split(':')[1]) as f:
        yield f


@pytest.fixture(scope='module')
def key(dns):
    return record(dns.folder + '/dkim/rsa.key')


clamav, quarantining = daemon('clamav', 'inet'), daemon('clamav', FX_INFECTED='Quarantine')
rspamd, spamass, mimedefang = daemon('rspamd', 'inet'), daemon('spamassassin', 'inet'), daemon('mimedefang', 'inet')


def test_verified_judged_signed(place, opendkim, rspamd, key):
    """OpenDKIM verifies, rspamd judges, OpenDKIM signs what rspamd has changed."""
    own, mails = equal(place, [opendkim['verify'], rspamd.endpoint, opendkim['sign']], [
        message('clean'), message('spam', GTUBE + '\n'), message('fx-rewrite'), message('fx-soft'), message('fx-edits\nX-Old: 1'),
        message('fx-discard'), message('fx-quarantine'), message('fx-footer')])
    assert own == [(250, 'taken'), (554, '5.7.1 Gtube pattern'), (250, 'taken'), (451, '4.7.1 Try again later')] + [(250, 'taken')] * 4
    assert [fields(m, 'Subject') for m in mails] == [[b'clean'], [b'*** SPAM *** fx-rewrite'], [b'fx-edits'], [b'fx-footer']]
    for m in mails:
        assert verifies(m.replace(b'\n', b'\r\n'), key)
        assert fields(m, 'X-Spamd-Result') and len(fields(m, 'Authentication-Results')) == 1      # rspamd takes OpenDKIM's away


def test_scanned_tagged_signed(place, clamav, spamass, opendkim, key):
    """The body that spamass-milter puts in the place of the spam is what is signed."""
    own, mails = equal(place, [clamav.endpoint, spamass.endpoint, opendkim['sign']], [
        message('clean'), message('infected', VIRUS), message('spam', GTUBE + '\n'), message('fx-spam')])
    assert own == [(250, 'taken'), (550, '5.7.1 Virus Fixture.Eicar.UNOFFICIAL found'), (550, '5.7.1 Blocked by SpamAssassin'), (250, 'taken')]
    clean, tagged = mails
    assert b'Content preview:' in tagged and fields(tagged, 'Subject') == [b'[SPAM] fx-spam']
    for m in mails:
        assert fields(m, 'X-Virus-Status') == [b'Clean'] and fields(m, 'X-Spam-Status')
        assert verifies(m.replace(b'\n', b'\r\n'), key)


def test_two_bodies_replaced(folder, mimedefang, spamass, opendkim, key):
    """MIMEDefang's footer is in what SpamAssassin reports about, and both are in what is signed."""
    with Ours(folder, [mimedefang.endpoint, spamass.endpoint, opendkim['sign']]) as ours:
        assert say(ours, message('fx-spam', 'Some text.\n')) == (250, 'taken')
        mail, = ours.raw()
    assert b'\r\nSome text.\r\n\r\n-- \r\nA footer.\r\n' in mail and b'Content preview:' in mail
    assert verifies(mail, key)


def recorder(folder):
    """A filter at the end that notes what it sees."""
    return Milter('recorder', folder)


@pytest.mark.parametrize('compat', ['full', 'sendmail'])
def test_the_held_message_is_signed(folder, quarantining, opendkim, key, compat):
    """A virus scanner holds the message: the signer after it sees it all the same, and what is held, and later released, is signed."""
    last = recorder(folder)
    with Ours(folder, [quarantining.endpoint, opendkim['sign'], last.endpoint], 'compat = ' + compat) as ours:
        assert say(ours, message('infected', VIRUS)) == (250, 'taken')
        assert say(ours, message('clean')) == (250, 'taken')
        assert [fields(m, 'Subject') for m in ours.mails()] == [[b'clean']]
        assert sum(e.startswith('HEADER DKIM-Signature:') for e in last.events) == sum(e.startswith('EOM') for e in last.events) == 2
        held = json.loads(ours.hold('list', '-j'))
        assert (held['gate'], held['reason'], held['from'], held['to']) == ('m0', 'quarantined by clamav-milter', 'a@example.test', ['b@example.test'])
        shown = ours.hold('show', '-m', held['id'])
        assert fields(shown, 'Subject') == [b'infected'] and verifies(shown, key)
        ours.hold('release', held['id'])
        released = ours.raw()[1]
        assert released == shown and verifies(released, key) and ours.hold('list') == b'nothing is held\n'


# ---- one of the three dies ----

def attempt(c, content, before_data=lambda: None, before_dot=lambda: None):
    """The code of what is refused first, else of the message."""
    for line in 'MAIL FROM:<a@example.test>', 'RCPT TO:<b@example.test>', 'DATA':
        if line == 'DATA':
            before_data()
        c.send(line + '\r\n')
        code, _ = c.reply()
        if code >= 400:
            c.cmd('RSET', 250)
            return code
    half = len(content) // 2
    c.send(content[:half])
    before_dot()
    c.send(content[half:] + b'.\r\n')
    return c.reply()[0]


@pytest.mark.parametrize('when, on_failure, code', [
    ('before', 'continue', 250), ('before', 'tempfail', 451), ('amid', 'continue', 250), ('amid', 'accept', 250), ('amid', 'tempfail', 451),
    ('amid', 'reject', 550), ('content', 'continue', 250), ('content', 'tempfail', 451), ('streaming', 'continue', 250), ('streaming', 'tempfail', 451)])
def test_a_dead_filter_starves_nobody(folder, opendkim, key, when, on_failure, code):
    """clamav-milter dies before the session, in the midst of a transaction or of the content, or when it has seen a part of a long one: what
    then happens is as configured, the others do their work all the same, and when it is there again the same session is scanned."""
    last = recorder(folder)
    moment = {'before': {}, 'amid': {'before_data': lambda: mortal.kill('milter')}}.get(when, {'before_dot': lambda: mortal.kill('milter')})
    with Fixture('clamav', folder) as mortal:
        chain = [opendkim['sign'], last.endpoint]
        chain.insert(0 if when == 'streaming' else 1, mortal.endpoint)
        with Ours(folder, chain, 'on_failure = ' + on_failure, allowed=['event=milter-fault']) as ours:
            if when == 'before':
                mortal.kill('milter')
            with Smtp(ours.port) as c:
                c.cmd('EHLO client.example.net', 250)
                assert attempt(c, message('orphan', 'A line.\n' * (100000 if when == 'streaming' else 1)), **moment) == code
                told = ['MAIL'] if (when, on_failure) == ('before', 'tempfail') else ['HEADER DKIM-Signature', 'EOM']
                assert [any(e.startswith(t) for e in last.events) for t in told] == [True] * len(told)
                mortal.__enter__()
                assert attempt(c, message('found')) == 250
                assert attempt(c, message('infected', VIRUS)) == 550
                c.cmd('QUIT', 221)
            mails = ours.raw()
    assert [fields(m, 'X-Virus-Status') for m in mails] == ([[]] if code == 250 else []) + [[b'Clean']]
    assert all(verifies(m, key) for m in mails)
    assert ours.log.has('event=milter-fault', 'milter=m0' if when == 'streaming' else 'milter=m1')
