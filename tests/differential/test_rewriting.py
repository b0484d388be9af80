"""virtual(5) and canonical(5), as scripts ask for them, beside Debian's Postfix with the same tables: equal envelopes, ORCPT included."""
import pytest

from gp.beside import subfolder
from gp.relay import OurRelay, TheirRelay

VIRTUAL = '''
alias@example.org            user@example.org
out@example.org              joe@elsewhere.test
list@example.org             one@example.org, two@elsewhere.test three
nested@example.org           list@example.org, user@example.org
twice@example.org            nested@example.org, list@example.org
self@example.org             self@example.org
selfish@example.org          selfish@example.org, user@example.org
Case@example.org             CASE@example.org, user@example.org
back@example.org             forth@example.org, back@example.org
forth@example.org            back@example.org
whole+ext@example.org        whole@elsewhere.test
whole@example.org            bare@elsewhere.test
local                        user@example.org
bare+ext                     exact@elsewhere.test
@catch.example.org           sink@example.org
kept@catch.example.org       kept@catch.example.org
chained@catch.example.org    alias@example.org
@moved.example.org           @example.org
same@example.org             @elsewhere.test
"a b"@example.org            quoted@elsewhere.test
''' + ''.join('step%d@example.org step%d@example.org\n' % (i, i + 1) for i in range(60))

SENDERS = '''
a@sender.test       b@sender.test
b@sender.test       c@sender.test
c@sender.test       c@sender.test
@old.test           @new.test
several@sender.test d@sender.test, e@sender.test
'''
RECIPIENTS = '''
canon@example.org   alias@example.org
user2@example.org   user@example.org
'''

SCRIPT = '''require ["envelope", "variables", "ereject", "vnd.gatepost.mta"];
stage "message" {
	if lookup :canonical :as "mail.from" "senders" "${mail.from}" {}
}
stage "rcpt" {
	if lookup :canonical :local :as "rcpt.to" "recipients" "${rcpt.to}" {}
	if not string :matches "${rcpt.original}" "*example.org" {
		ereject :code 554 "We do not relay for ${rcpt.domain}";
	} elsif envelope :domain "to" "example.org" {
		# "user" alone is looked for in the domain of $myorigin.
		if lookup :virtual :local :as "to" "virtual" "${rcpt.to}" {
			redirect "${to}";
		} else {
			deliver "dovecot";
		}
	} elsif lookup :virtual :as "to" "virtual" "${rcpt.to}" {
		redirect "${to}";
	} else {
		deliver "out";
	}
}
'''

CASES = [('x@y.test', r) for r in '''alias alias+e out out+e list list+e nested nested+e twice self self+e selfish selfish+e case Case+e CASE back whole whole+ext whole+other
local local+e bare+ext same same+e step0 step58+e canon canon+e user2 user2+e nobody nobody+e'''.split()] + [
    ('x@y.test', r) for r in ('any@catch.example.org', 'any+e@catch.example.org', 'kept@catch.example.org', 'kept+e@catch.example.org',
                              'chained+e@catch.example.org', 'alias@moved.example.org', 'alias+e@moved.example.org', 'out+e@moved.example.org',
                              'nobody+e@moved.example.org', '"a b"@example.org', 'Alias@EXAMPLE.org')] + [
    (s, 'nobody') for s in ('a@sender.test', 'a+e@sender.test', 'c@sender.test', 'u+e@old.test', 'several@sender.test', 'A@Sender.Test', '')]


@pytest.fixture(scope='module')
def relays(place):
    folder = subfolder(place)
    maps = {}
    for name, text in (('virtual', VIRTUAL), ('senders', SENDERS), ('recipients', RECIPIENTS)):
        maps[name] = 'texthash:%s/%s' % (folder, name)
        with open('%s/%s' % (folder, name), 'w') as f:
            f.write(text)
    ours = OurRelay(subfolder(place), maps, SCRIPT, allowed=['round in circles'])
    with ours.server:
        theirs = TheirRelay(subfolder(place), '''virtual_alias_maps = %(virtual)s
virtual_alias_domains = moved.example.org
virtual_mailbox_domains = example.org, catch.example.org
sender_canonical_maps = %(senders)s
sender_canonical_classes = envelope_sender
recipient_canonical_maps = %(recipients)s
recipient_canonical_classes = envelope_recipient
virtual_mailbox_maps = static:1
''' % maps)
        with theirs.server:
            yield ours, theirs


@pytest.mark.parametrize('sender, rcpt', CASES)
def test_equal(relays, sender, rcpt):
    rcpt = rcpt if '@' in rcpt else rcpt + '@example.org'
    told = []
    for relay in relays:
        assert relay.send(sender, rcpt) == 250
        # Postfix names the original recipient always, we do when it was changed.
        told.append({(s, r, None if o == 'rfc822;' + r.replace('+', '+2B') else o) for s, r, o in relay.seen()})
    assert told[0] == told[1]
