"""Senders and recipients rewritten by postsrsd 1.x, as docs/examples/srs.sieve does it, beside Debian's Postfix with the same postsrsd: aliases that
lead to other domains, and the bounces that come back."""
import os
import re

import pytest

from gp.actors import Hop
from gp.beside import message, subfolder
from gp.fixtures import Fixture
from gp.postfix import Postfix
from gp.server import TOP, Gatepost, free_port, wait_for
from gp.smtp import Smtp

VIRTUAL = 'inline:{fwd@example.org=joe@elsewhere.test, {both@example.org = joe@elsewhere.test, box}, @moved.example.org=@example.org, ' \
          'home@example.org=home@example.org, chain@example.org=fwd@example.org}'
USERS = 'inline:{box@example.org=1, home@example.org=1}'


@pytest.fixture(scope='module')
def postsrsd(place):
    with Fixture('postsrsd', subfolder(place), FX_DOMAIN='example.org') as f:
        yield f


class Relay:
    """What a server did with mail: .seen() holds (sender, recipient, ORCPT) as the next hop was told."""

    def __init__(self, folder):
        self.hop = Hop('hop', folder, lmtp=False, kind='inet')

    def seen(self, messages):
        """Once it has that many."""
        wait_for(lambda: len(self.hop.messages) >= messages, '%d messages' % messages)
        told, sender = set(), None
        for line in self.hop.events:
            path = re.search(r'<(.*?)>', line)
            if line.startswith('MAIL'):
                sender = path[1]
            elif line.startswith('RCPT'):
                orcpt = re.search(r' ORCPT=(\S+)', line)
                told.add((sender, path[1], orcpt and orcpt[1]))
        return told


class Ours(Relay):
    def __init__(self, folder, postsrsd):
        super().__init__(folder)
        self.port = free_port()
        with open(os.path.join(TOP, 'docs/examples/srs.sieve')) as f:
            script = f.read()
        hop = 'smtp = "%s"' % self.hop.endpoint
        self.server = Gatepost(folder, {'mx.sieve': script, 'gatepost.conf': '''hostname = "mx.example.org"
spool = "%s/spool"
workers = 1
dns { enabled = false }
table virtual { map = "%s" }
table users { map = "%s" }
table srs_forward { map = "%s" }
table srs_reverse { map = "%s" }
next_hop dovecot { %s }
next_hop out { %s }
listener mx { address = {"127.0.0.1:%d"} script = "mx.sieve" }
''' % (folder, VIRTUAL, USERS, postsrsd['forward'], postsrsd['reverse'], hop, hop, self.port)})


class Theirs(Relay):
    def __init__(self, folder, postsrsd):
        super().__init__(folder)
        hop = 'smtp:[127.0.0.1]:' + self.hop.endpoint.rsplit(':', 1)[1]
        self.server = Postfix(folder, '''myorigin = example.org
sender_canonical_maps = %s
sender_canonical_classes = envelope_sender
recipient_canonical_maps = %s
recipient_canonical_classes = envelope_recipient
virtual_mailbox_domains = example.org
virtual_alias_domains = moved.example.org
virtual_alias_maps = %s
virtual_mailbox_maps = %s
recipient_delimiter = +
virtual_transport = %s
default_transport = %s
''' % (postsrsd['forward'], postsrsd['reverse'], VIRTUAL, USERS, hop, hop))

    @property
    def port(self):
        return self.server.port


def send(relay, sender, rcpt, params=''):
    """The code at RCPT, or after the dot."""
    with Smtp(relay.port) as c:
        c.cmd('EHLO client.example.net', 250)
        c.cmd('MAIL FROM:<%s>' % sender, 250)
        c.send('RCPT TO:<%s>%s\r\n' % (rcpt, params))
        code, _ = c.reply()
        if code == 250:
            c.cmd('DATA', 354)
            c.send(message('srs') + b'.\r\n')
            code, _ = c.reply()
        return code


def undated(told):
    """SRS addresses hold the day: Postfix may have been asked on another."""
    return {(re.sub(r'^SRS0=[^=]*=[^=]*=', 'SRS0=', s), r, o and re.sub(r'SRS0\+3D.*?\+3D.*?\+3D', 'SRS0+3D', o)) for s, r, o in told}


FORWARDS = [
    # sender, recipient, parameters of RCPT; what the next hop is told
    ('a@sender.test', 'fwd@example.org', '', [('joe@elsewhere.test', 'rfc822;fwd@example.org')]),
    ('a@sender.test', 'fwd+ext@example.org', '', [('joe+ext@elsewhere.test', 'rfc822;fwd+2Bext@example.org')]),
    ('a@sender.test', 'chain@example.org', '', [('joe@elsewhere.test', 'rfc822;chain@example.org')]),
    ('a@sender.test', 'both@example.org', '', [('joe@elsewhere.test', 'rfc822;both@example.org'), ('box@example.org', 'rfc822;both@example.org')]),
    ('a@sender.test', 'fwd@example.org', ' ORCPT=rfc822;first@other.test NOTIFY=NEVER', [('joe@elsewhere.test', 'rfc822;first@other.test')]),
    ('b@example.org', 'fwd@example.org', '', [('joe@elsewhere.test', 'rfc822;fwd@example.org')]),
    ('SRS0=abcd=JL=origin.test=x@other.test', 'fwd@example.org', '', [('joe@elsewhere.test', 'rfc822;fwd@example.org')]),
]


@pytest.fixture(scope='module')
def relays(place, postsrsd):
    ours = Ours(subfolder(place), postsrsd)
    with ours.server:
        theirs = Theirs(subfolder(place), postsrsd)
        with theirs.server:
            yield ours, theirs


@pytest.mark.parametrize('sender, rcpt, params, targets', FORWARDS)
def test_forward(relays, sender, rcpt, params, targets):
    told = []
    for relay in relays:
        relay.hop.events.clear()
        relay.hop.messages.clear()
        assert send(relay, sender, rcpt, params) == 250
        told.append(relay.seen(1))
    assert undated(told[0]) == undated(told[1])
    own = next(iter(told[0]))[0]
    assert sorted(told[0]) == sorted((own, t, o) for t, o in targets)
    if sender == 'b@example.org':
        assert own == sender
    elif sender.startswith('SRS0'):
        assert own.startswith('SRS1=') and own.endswith('=other.test==abcd=JL=origin.test=x@example.org')
    else:
        assert own.startswith('SRS0=') and own.endswith('=sender.test=a@example.org')


def srs_address(relay):
    """The sender that an alias's mail goes on with."""
    relay.hop.events.clear()
    relay.hop.messages.clear()
    assert send(relay, 'a@sender.test', 'fwd@example.org') == 250
    (sender, _, _), = relay.seen(1)
    relay.hop.events.clear()
    relay.hop.messages.clear()
    return sender


def test_bounce(relays):
    told = []
    for relay in relays:
        srs = srs_address(relay)
        assert send(relay, '', srs) == 250
        told.append(relay.seen(1))
        assert {(s, r) for s, r, _ in told[-1]} == {('', 'a@sender.test')}
        # The server who gave it out is the one that takes it back, whatever happened to its case on the way.
        relay.hop.messages.clear()
        assert send(relay, '', srs.lower()) == 250
        assert {(s, r) for s, r, _ in relay.seen(1)} == {('', 'a@sender.test')}
    assert undated(told[0]) == undated(told[1])


def test_tampered(relays):
    for relay in relays:
        srs = srs_address(relay)
        hashed = srs.split('=')[1]
        other = ('x' if hashed[0] != 'x' else 'y') + hashed[1:]
        assert send(relay, '', srs.replace('=%s=' % hashed, '=%s=' % other, 1)) == 550
        assert send(relay, '', srs.replace('=a@', '=victim@')) == 550
        assert not relay.hop.messages


def test_no_relay(relays):
    """Neither an SRS address of somebody else's, nor a stranger."""
    for relay in relays:
        assert send(relay, '', 'SRS0=abcd=JL=sender.test=a@other.test') == 554
        assert send(relay, 'a@sender.test', 'joe@elsewhere.test') == 554
