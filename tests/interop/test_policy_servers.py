"""Real policy servers: postgrey and policyd-spf."""
import time

import pytest

from gp.actors import Hop
from gp.fixtures import Fixture
from gp.server import Gatepost, free_port
from gp.smtp import Smtp

CONF = '''hostname = "mx.example.test"
spool = "%(folder)s/spool"
workers = 1
dns { enabled = false }
policy asked { socket = "%(endpoint)s" }
next_hop hop { lmtp = "%(hop)s" }
listener mx { address = {"127.0.0.1:%(port)d"} script = "mx.sieve" xclient = {"127.0.0.0/8"} }
'''
SCRIPT = '''require ["envelope", "vnd.gatepost.mta"];
stage "rcpt" { if envelope :domain "to" "example.test" { policy "asked"; deliver "hop"; } }
'''
CONTENT = b'Subject: hello\r\n\r\ntext\r\n'


class Asker:
    """gatepost between a client and a next hop, with one policy server at RCPT."""

    def __init__(self, folder, endpoint):
        self.hop, self.port = Hop('hop', folder, lmtp=True), free_port()
        what = {'folder': folder, 'endpoint': endpoint, 'hop': self.hop.endpoint, 'port': self.port}
        self.server = Gatepost(folder, {'gatepost.conf': CONF % what, 'mx.sieve': SCRIPT})

    def client(self, address):
        c = Smtp(self.port)
        c.cmd('EHLO client.example.net', 250)
        c.cmd('XCLIENT ADDR=%s NAME=client.example.net' % address, 220)
        c.cmd('EHLO client.example.net', 250)
        return c

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.close()


@pytest.mark.parametrize('kind', ['unix', 'inet'])
def test_postgrey(folder, kind):
    with Fixture('postgrey', folder, kind) as postgrey, Asker(folder, postgrey.endpoint) as asker:
        # One that is not greylisted, and one recipient who wants all.
        with asker.client('192.0.2.10') as c:
            c.mail('a@example.net', ['b@example.test'], CONTENT)
        with asker.client('192.0.2.77') as c:
            c.cmd('MAIL FROM:<a@example.net>', 250)
            said, = c.cmd('RCPT TO:<b@example.test>', 450)
            assert said.startswith('4.2.0 ') and 'Greylisted for 2 seconds' in said
            c.cmd('RCPT TO:<postmaster@example.test>', 250)
        assert len(asker.hop.messages) == 1 and b'X-Greylist' not in asker.hop.messages[0]
        end = time.monotonic() + 20             # postgrey has a clock of its own
        while True:
            with asker.client('192.0.2.77') as c:
                c.cmd('MAIL FROM:<a@example.net>', 250)
                c.send('RCPT TO:<b@example.test>\r\n')
                if c.reply()[0] == 250:
                    c.cmd('DATA', 354)
                    c.send(CONTENT + b'.\r\n')
                    c.expect(250)
                    break
            assert time.monotonic() < end
        assert asker.hop.messages[1].startswith(b'X-Greylist: delayed ') and b'\r\nReceived: ' in asker.hop.messages[1]


def test_policyd_spf(folder):
    with Fixture('dns', folder, FX_DNS='127.0.53.7'), Fixture('policyd-spf', folder, FX_DNS='127.0.53.7') as spf, Asker(folder, spf.endpoint) as asker:
        with asker.client('192.0.2.10') as c:
            # Two recipients, one instance: one field.
            c.mail('a@sender.test', ['b@example.test', 'c@example.test'], CONTENT)
            c.mail('a@nospf.example.test', ['b@example.test'], CONTENT)
        with asker.client('198.51.100.7') as c:
            c.cmd('MAIL FROM:<a@sender.test>', 250)
            said, = c.cmd('RCPT TO:<b@example.test>', 550)
            assert said.startswith('5.7.23 ') and 'SPF' in said
        passed, none = asker.hop.messages
        assert passed.startswith(b'Received-SPF: Pass ') and passed.count(b'Received-SPF') == 1
        assert none.startswith(b'Received-SPF: None ')
