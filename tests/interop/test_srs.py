"""Senders and recipients rewritten by postsrsd 1.x, as docs/examples/srs.sieve does it, beside Debian's Postfix with the same postsrsd: aliases that
lead to other domains, and the bounces that come back."""
import os
import re

import pytest

from gp.beside import subfolder
from gp.fixtures import Fixture
from gp.relay import OurRelay, TheirRelay
from gp.server import TOP

VIRTUAL = 'inline:{fwd@example.org=joe@elsewhere.test, {both@example.org = joe@elsewhere.test, box}, @moved.example.org=@example.org, ' \
          'home@example.org=home@example.org, chain@example.org=fwd@example.org}'
USERS = 'inline:{box@example.org=1, home@example.org=1}'


@pytest.fixture(scope='module')
def postsrsd(place):
    with Fixture('postsrsd', subfolder(place), FX_DOMAIN='example.org') as f:
        yield f


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
    with open(os.path.join(TOP, 'docs/examples/srs.sieve')) as f:
        script = f.read()
    ours = OurRelay(subfolder(place), {'virtual': VIRTUAL, 'users': USERS, 'srs_forward': postsrsd['forward'], 'srs_reverse': postsrsd['reverse']},
                    script)
    with ours.server:
        theirs = TheirRelay(subfolder(place), '''sender_canonical_maps = %s
sender_canonical_classes = envelope_sender
recipient_canonical_maps = %s
recipient_canonical_classes = envelope_recipient
virtual_alias_domains = moved.example.org
virtual_alias_maps = %s
virtual_mailbox_maps = %s
''' % (postsrsd['forward'], postsrsd['reverse'], VIRTUAL, USERS))
        with theirs.server:
            yield ours, theirs


@pytest.mark.parametrize('sender, rcpt, params, targets', FORWARDS)
def test_forward(relays, sender, rcpt, params, targets):
    told = []
    for relay in relays:
        assert relay.send(sender, rcpt, params) == 250
        told.append(relay.seen(len(targets)))
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
    assert relay.send('a@sender.test', 'fwd@example.org') == 250
    (sender, _, _), = relay.seen()
    return sender


def test_bounce(relays):
    told = []
    for relay in relays:
        srs = srs_address(relay)
        assert relay.send('', srs) == 250
        told.append(relay.seen())
        assert {(s, r) for s, r, _ in told[-1]} == {('', 'a@sender.test')}
        # The server who gave it out is the one that takes it back, whatever happened to its case on the way.
        assert relay.send('', srs.lower()) == 250
        assert {(s, r) for s, r, _ in relay.seen()} == {('', 'a@sender.test')}
    assert undated(told[0]) == undated(told[1])


def test_tampered(relays):
    for relay in relays:
        srs = srs_address(relay)
        hashed = srs.split('=')[1]
        other = ('x' if hashed[0] != 'x' else 'y') + hashed[1:]
        assert relay.send('', srs.replace('=%s=' % hashed, '=%s=' % other, 1)) == 550
        assert relay.send('', srs.replace('=a@', '=victim@')) == 550
        assert not relay.hop.messages


def test_no_relay(relays):
    """Neither an SRS address of somebody else's, nor a stranger."""
    for relay in relays:
        assert relay.send('', 'SRS0=abcd=JL=sender.test=a@other.test') == 554
        assert relay.send('a@sender.test', 'joe@elsewhere.test') == 554
