"""The main job with real parties only: rspamd, postgrey, postsrsd and Dovecot around gatepost, a client that waits."""
import smtplib
import socket
import time

import pytest

from gp.actors import Hop
from gp.beside import DATE
from gp.fixtures import Dovecot, Fixture
from gp.server import Gatepost, free_port

GTUBE = 'XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X'
CONF = '''hostname = "mx.example.org"
spool = "%(folder)s/spool"
workers = 2
dns { enabled = false }
milter rspamd { socket = "%(rspamd)s" }
policy postgrey { socket = "%(postgrey)s" }
table srs { map = "%(srs)s" }
next_hop dovecot { lmtp = "%(lmtp)s" }
next_hop outside { smtp = "%(outside)s" }
listener mx { address = {"127.0.0.1:%(port)d"} script = "mx.sieve" xclient = {"127.0.0.0/8"} }
'''
SCRIPT = '''require ["envelope", "variables", "ereject", "vnd.gatepost.mta"];
stage "connect" { milter "rspamd"; }
stage "rcpt" {
    if envelope :domain "to" "example.org" {
        policy "postgrey";
        deliver "dovecot";
    } elsif lookup :as "original" "srs" "${rcpt.to}" {
        set "mail.x_returned" "${original}";
        redirect "${original}";
    } elsif string "${rcpt.to}" "${mail.x_returned}" {
        deliver "outside";
    } else {
        ereject :code 554 :status "5.7.1" "We do not relay for ${rcpt.domain}";
    }
}
'''


@pytest.fixture
def road(folder):
    port = free_port()
    with Dovecot(folder) as dovecot, Fixture('rspamd', folder) as rspamd, Fixture('postgrey', folder) as postgrey, \
            Fixture('postsrsd', folder) as postsrsd:
        outside = Hop('outside', folder, lmtp=False, kind='inet')
        what = dict(folder=folder, port=port, outside=outside.endpoint, rspamd=rspamd.endpoint, postgrey=postgrey.endpoint, lmtp=dovecot.lmtp, srs=postsrsd['reverse'])
        with Gatepost(folder, {'gatepost.conf': CONF % what, 'mx.sieve': SCRIPT}) as server:
            yield server, dovecot, port, (postsrsd, outside)


def test_greylisted_then_filtered_then_in_the_mailbox(road):
    server, dovecot, port, _ = road
    text = 'From: a@example.net\nTo: alice@example.org\nSubject: hello\nMessage-Id: <1@example.net>\nDate: ' + DATE + '\n\nA plain text.\n'
    with smtplib.SMTP('127.0.0.1', port, timeout=30) as c:
        c.ehlo('client.example.net')
        c.mail('a@example.net')
        code, said = c.rcpt('alice@example.org')
        assert code == 450 and b'Greylisted' in said
    assert not dovecot.mails('alice')
    end = time.monotonic() + 20                         # postgrey's own clock: it lets pass after two seconds
    while True:
        with smtplib.SMTP('127.0.0.1', port, timeout=30) as c:
            c.ehlo('client.example.net')
            c.mail('a@example.net')
            if c.rcpt('alice@example.org')[0] == 250:
                assert c.data(text)[0] == 250
                break
        assert time.monotonic() < end
    mail, = dovecot.mails('alice')
    assert b'X-Greylist: delayed' in mail and b'X-Spamd-Result:' in mail and b'Subject: hello' in mail
    line, _ = server.log.wait('event=transaction', 'dovecot', '250')
    assert 'rspamd' in line and 'postgrey' in line


def test_gtube_is_refused_with_rspamds_own_words(road):
    server, dovecot, port, _ = road
    with smtplib.SMTP('127.0.0.1', port, timeout=30) as c:
        c.ehlo('client.example.net')
        c.docmd('XCLIENT', 'ADDR=192.0.2.10')           # a client that postgrey knows
        c.ehlo('client.example.net')
        c.mail('a@example.net')
        assert c.rcpt('alice@example.org')[0] == 250
        code, text = c.data('Subject: x\n\n' + GTUBE + '\n')
        assert (code, text) == (554, b'5.7.1 Gtube pattern')
    assert not dovecot.mails('alice')


def test_relay_refused(road):
    _, _, port, _ = road
    with smtplib.SMTP('127.0.0.1', port, timeout=30) as c:
        c.ehlo('client.example.net')
        c.mail('a@example.net')
        assert c.rcpt('x@example.com') == (554, b'5.7.1 We do not relay for example.com')


def test_srs_address_comes_back_to_its_sender(road):
    _, _, port, (postsrsd, outside) = road
    host, at = postsrsd['forward'].split(':')[-2:]
    with socket.create_connection((host, int(at)), 5) as s:
        s.sendall(b'get a@sender.test\n')
        code, srs = s.recv(1000).decode().split()
    assert code == '200' and srs.startswith('SRS0=')
    with smtplib.SMTP('127.0.0.1', port, timeout=30) as c:
        c.ehlo('client.example.net')
        c.mail('')
        assert c.rcpt(srs)[0] == 250
        assert c.data('Subject: bounce\n\nx\n')[0] == 250
        c.rset()
        c.mail('')
        assert c.rcpt(srs.replace('SRS0=', 'SRS0=x'))[0] == 554
    outside.expect('RCPT TO:<a@sender.test>*', skip=True)
