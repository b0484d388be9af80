"""rspamd in every mood it has as a milter: greylisting, quarantine, signing, edits of header, envelope and body."""
import pytest

from gp.beside import GTUBE, Ours, equal, fields, message, say
from gp.fixtures import Fixture
from gp.server import wait_for
from gp.signed import record, verifies
from gp.smtp import Smtp

HEADERS = '"x-spamd-bar", "x-spam-status", "x-spam-level", "authentication-results", "x-rspamd-server", "x-rspamd-queue-id"'
OUTSIDE = '192.0.2.10'                      # example.test's SPF record names it


@pytest.fixture(scope='module')
def dns(place):
    with Fixture('dns', place) as f:
        yield f


@pytest.fixture(scope='module')
def rspamd(place, dns):
    """With DNS and a key: it checks and signs."""
    with Fixture('rspamd', place, 'inet', FX_DNS_PORT=dns['resolver'].split(':')[1], FX_SIGN='example.test', FX_DKIM=dns.folder + '/dkim',
                 FX_HEADERS=HEADERS) as f:
        yield f


def test_greylisting(folder):
    """The client hears rspamd's own words, and again until the time has come.  Not so a user who has said who he is."""
    grey = {'content': message('fx-grey', 'Grey.\n'), 'client': OUTSIDE, 'sender': 'grey@example.test'}
    with Fixture('redis', folder) as redis, Fixture('rspamd', folder, FX_REDIS=redis.endpoint.partition(':')[2]) as rspamd, \
            Ours(folder, [rspamd.endpoint]) as ours:
        assert say(ours, message('fx-grey', 'Of a user.\n'), OUTSIDE, login='alice', sender='user@example.test') == (250, 'taken')
        assert say(ours, **grey) == (451, '4.7.1 Try again later')
        wait_for(lambda: say(ours, **grey) == (250, 'taken'), 'the end of greylisting')
        user, after = ours.mails()
    assert b'Of a user.' in user and b'Grey.' in after


def test_edits(place, rspamd):
    """Recipients, sender, header fields and the body, each as Postfix would have it; rspamd is told the user, the client and the queue id."""
    upstream = message('fx-edits\nX-Old: one\nX-Twice: first\nX-Twice: second\nX-Old: two\nX-Spam: Yes')
    own, mails = equal(place, [rspamd.endpoint], [
        {'content': message('from outside'), 'client': OUTSIDE}, {'content': upstream, 'client': OUTSIDE},
        {'content': message('fx-add-header'), 'client': OUTSIDE}, {'content': message('fx-footer', '.A line\n'), 'client': OUTSIDE},
        {'content': message('spoofed'), 'client': '198.51.100.7', 'sender': 'b@sender.test'},
        {'content': message('of a user'), 'client': OUTSIDE, 'login': 'alice'}])
    plain, edited, tagged, footer, spoofed, user = mails
    assert [code for code, _ in own] == [250] * 6
    assert b'spf=pass' in fields(plain, 'Authentication-Results')[0] and b'dmarc=pass' in fields(plain, 'Authentication-Results')[0]
    assert b'spf=fail' in fields(spoofed, 'Authentication-Results')[0] and b'dmarc=fail' in fields(spoofed, 'Authentication-Results')[0]
    assert b'auth=pass' in fields(user, 'Authentication-Results')[0] and b'smtp.auth=alice' in fields(user, 'Authentication-Results')[0]
    assert not fields(edited, 'X-Old') and fields(edited, 'X-Twice') == [b'first'] and not fields(edited, 'X-Spam')
    assert edited.startswith(b'X-First: at the top\n') and b'\nX-Folded: one\n\ttwo\n' in edited
    assert fields(tagged, 'X-Spam') == [b'Yes'] and fields(tagged, 'X-Spamd-Bar') == [b'++++++']
    assert footer.endswith(b'\n\n.A line\n-- \nA footer.\n')


def test_signature(folder, dns, rspamd):
    """What rspamd signs verifies at the next hop: for the local network and for users, not for strangers."""
    key = record(dns.folder + '/dkim/rsa.key')
    odd = message('a subject\n  that goes\n\ton', 'Line one \n\n..dot\n.\ttrailing  \n\n\n')
    with Ours(folder, [rspamd.endpoint]) as ours:
        assert say(ours, odd, '192.168.0.3')[0] == 250
        assert say(ours, odd, OUTSIDE, login='alice')[0] == 250
        assert say(ours, odd, OUTSIDE)[0] == 250
        local, user, stranger = ours.hop.messages
        assert verifies(local, key) and verifies(user, key)
        assert not verifies(local.replace(b'trailing', b'traiiing'), key)
        assert not fields(stranger, 'DKIM-Signature')
        # sent in again, from elsewhere: rspamd finds its own signature good
        assert say(ours, local, OUTSIDE)[0] == 250
        assert any(b'dkim=pass' in f for f in fields(ours.hop.messages[-1], 'Authentication-Results'))


def test_one_session(folder, rspamd):
    """Twenty messages, every second one refused, resets between: rspamd sees each alone."""
    with Ours(folder, [rspamd.endpoint]) as ours, Smtp(ours.port) as c:
        c.cmd('EHLO client.example.net', 250)
        for i in range(10):
            c.mail('a@example.test', ['b@example.test'], message('number %d' % i))
            assert c.mail('a@example.test', ['b@example.test'], message('spam', GTUBE + '\n'), 554) == ['5.7.1 Gtube pattern']
            c.cmd('MAIL FROM:<x@example.test>', 250)
            c.cmd('RCPT TO:<b@example.test>', 250)
            c.cmd('RSET', 250)
        c.cmd('QUIT', 221)
        assert [fields(m, 'Subject') for m in ours.mails()] == [[b'number %d' % i] for i in range(10)]
        assert all(len(fields(m, 'X-Spam-Status')) == 1 for m in ours.mails())


@pytest.mark.parametrize('instead', ['discard', 'quarantine'])
def test_instead_of_refusing(folder, instead):
    """GTUBE is discarded, or held: rspamd sends an edit and an accept then."""
    with Fixture('rspamd', folder, FX_WORKER=instead + '_on_reject = true;') as f, Ours(folder, [f.endpoint]) as ours:
        assert say(ours, message('spam', GTUBE + '\n'))[0] == 250
        assert say(ours, message('plain'))[0] == 250
        mail, = ours.mails()
        assert fields(mail, 'Subject') == [b'plain']
        ours.log.wait('event=held' if instead == 'quarantine' else 'discarded=1')
