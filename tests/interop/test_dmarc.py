"""SPF, DKIM and DMARC, a filter for each: pyspf-milter, OpenDKIM and OpenDMARC, each reading what the one before it wrote."""
import os

import pytest

from gp.beside import DATE, Ours, equal, fields, say, subfolder
from gp.fixtures import Fixture
from gp.smtp import Smtp

RESOLVER = '127.0.53.9'
ALLOWED, STRANGER = '192.0.2.25', '198.51.100.7'          # sender.test's SPF record names the first
ZONE = '''$ORIGIN none.test.
$TTL 60
@ SOA ns hostmaster 1 3600 600 86400 60
@ NS ns
ns A 127.0.0.1
@ TXT "v=spf1 -all"
_dmarc TXT "v=DMARC1; p=none"
'''


def mail(domain, subject='x'):
    return ('From: a@%s\r\nTo: b@example.test\r\nDate: %s\r\nMessage-Id: <%s@%s>\r\nSubject: %s\r\n\r\nbody\r\n' % (
        domain, DATE, subject, domain, subject)).encode()


@pytest.fixture(scope='module')
def dns(place):
    os.mkdir(place + '/zones')
    with open(place + '/zones/none.test.zone', 'w') as f:
        f.write(ZONE)
    with Fixture('dns', place, FX_DNS=RESOLVER, FX_ZONES=place + '/zones') as f:
        yield f


@pytest.fixture(scope='module')
def spf(place, dns):
    with Fixture('spf-milter', place, 'inet', FX_DNS=RESOLVER) as f:
        yield f


@pytest.fixture(scope='module')
def opendkim(place, dns):
    with Fixture('opendkim', place, 'inet', FX_DKIM=dns.folder + '/dkim', FX_DNS_PORT=dns['resolver'].split(':')[1]) as f:
        yield f


@pytest.fixture(scope='module')
def opendmarc(place, dns):
    with Fixture('opendmarc', place, 'inet', FX_DNS=RESOLVER) as f:
        yield f


@pytest.fixture(scope='module')
def signed(place, opendkim):
    """Signed by example.test, as it left there."""
    with Ours(subfolder(place), [opendkim['sign']]) as ours:
        assert say(ours, mail('example.test', 'signed'))[0] == 250
        return ours.raw()[0]


def verdicts(mail):
    """What each filter wrote, the last first: spf=..., dkim=..., dmarc=..."""
    return [f.partition(b'; ')[2].split()[0].rstrip(b';').decode() for f in fields(mail, 'Authentication-Results')]


def test_policies(place, spf, opendkim, opendmarc, signed):
    """Refused at MAIL for SPF, at the end for DMARC; held; passed for SPF, for a signature, for a lenient policy, for none, for a user."""
    own, mails = equal(place, [spf.endpoint, opendkim['verify'], opendmarc.endpoint], [
        {'content': mail('sender.test', 'aligned'), 'client': ALLOWED, 'sender': 'a@sender.test'},
        {'content': mail('sender.test', 'refused'), 'client': STRANGER, 'sender': 'a@sender.test'},
        {'content': mail('sender.test', 'forged'), 'client': STRANGER, 'sender': 'a@elsewhere.test'},
        {'content': mail('sender.test', 'of a user'), 'client': STRANGER, 'sender': 'a@elsewhere.test', 'login': 'alice'},
        {'content': mail('none.test', 'lenient'), 'client': STRANGER, 'sender': 'a@elsewhere.test'},
        {'content': mail('example.test', 'held'), 'client': STRANGER, 'sender': 'a@elsewhere.test'},
        {'content': mail('unsigned.test', 'without a policy'), 'client': STRANGER, 'sender': 'a@elsewhere.test'},
        {'content': signed, 'client': STRANGER, 'sender': 'list@elsewhere.test'}])
    assert [code for code, _ in own] == [250, 550, 550, 250, 250, 250, 250, 250]
    assert own[1][1].startswith('5.7.23 Message rejected due to: SPF fail')
    assert own[2][1] == '5.7.1 rejected by DMARC policy for sender.test'
    assert [verdicts(m) for m in mails] == [
        ['dmarc=pass', 'dkim=none', 'spf=pass'], ['dkim=none', 'spf=none'], ['dmarc=fail', 'spf=none', 'dkim=none', 'spf=none'],
        ['dmarc=none', 'spf=none', 'dkim=none', 'spf=none'], ['dmarc=pass', 'spf=none', 'dkim=pass', 'spf=none']]


@pytest.mark.parametrize('compat', ['full', 'sendmail'])
def test_in_one_session(folder, opendkim, opendmarc, signed, compat):
    """p=quarantine holds a message, and p=reject refuses one, and no message of the session stands for another."""
    with Ours(folder, [opendkim['verify'], opendmarc.endpoint], 'compat = ' + compat) as ours, Smtp(ours.port) as c:
        c.cmd('EHLO client.example.net', 250)
        c.cmd('XCLIENT ADDR=%s NAME=[UNAVAILABLE]' % STRANGER, 220)
        c.cmd('EHLO client.example.net', 250)
        for _ in range(3):
            c.mail('a@elsewhere.test', ['b@example.test'], mail('none.test', 'lenient'))
            assert c.mail('a@elsewhere.test', ['b@example.test'], mail('sender.test', 'forged'), 550) == ['5.7.1 rejected by DMARC policy for sender.test']
            c.mail('a@elsewhere.test', ['b@example.test'], mail('example.test', 'doubtful'))
            c.mail('list@elsewhere.test', ['b@example.test'], signed)
        c.cmd('QUIT', 221)
        assert [fields(m, 'Subject')[0] for m in ours.mails()] == [b'lenient', b'signed'] * 3
        assert [verdicts(m)[0] for m in ours.mails()] == ['dmarc=fail', 'dmarc=pass'] * 3
        ours.log.wait('event=held')
