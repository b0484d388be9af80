"""virtual(5), canonical(5) and aliases(5), as scripts ask for them, beside Debian's Postfix with the same tables: equal envelopes, ORCPT included."""
import os

import pytest

from gp.beside import subfolder
from gp.relay import OurRelay, TheirRelay

# What people write around addresses.
FORMS = {
    'angle': '<one@elsewhere.test>', 'angles': '<one@elsewhere.test>, <two@elsewhere.test>', 'name': 'Joe Q. User <one@elsewhere.test>',
    'quotedname': '"Joe, User" <one@elsewhere.test>', 'comment': 'one@elsewhere.test (the, one)', 'commentfirst': '(the one) one@elsewhere.test',
    'group': 'my friends: one@elsewhere.test, Two <two@elsewhere.test>;', 'semicolon': 'one@elsewhere.test; two@elsewhere.test',
    'quotedlocal': '"one"@elsewhere.test', 'neededquotes': '"a,b"@elsewhere.test a\\ c@elsewhere.test', 'quotedall': '"one@elsewhere.test"',
    'around': 'one @ elsewhere . test', 'route': '<@a.test,@b.test:one@elsewhere.test>', 'blanks': 'one@elsewhere.test two@elsewhere.test\tthree@elsewhere.test',
    'commas': ', one@elsewhere.test,, two@elsewhere.test ,', 'dot': 'one@elsewhere.test.', 'literal': 'one@[192.0.2.1]', 'eight': 'j\u00f6@elsewhere.test',
}
FORMS_LINES = ''.join('%s@example.org %s\n' % form for form in FORMS.items())

VIRTUAL = FORMS_LINES + '''
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
    ('x@y.test', r) for r in FORMS] + [
    ('x@y.test', r) for r in ('"alias"@example.org', '"out+e"@example.org', 'any@catch.example.org', 'any+e@catch.example.org', 'kept@catch.example.org', 'kept+e@catch.example.org',
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
        told.append({(s, r, None if o == 'rfc822;' + r.replace('+', '+2B') else o) for s, r, o in relay.seen(len(told[0]) if told else 1)})
    assert told[0] == told[1]


ALIASES = ''.join('%s %s\n' % form for form in FORMS.items()) + '''staff one@elsewhere.test, two@elsewhere.test
list ":include:%(folder)s/readers"
owner-list boss@elsewhere.test
nested :include:%(folder)s/outer, staff
'''
LISTS = {
    'readers': '# who reads it\none@elsewhere.test\n\nthree@elsewhere.test, "a b"@elsewhere.test\n  four@elsewhere.test',
    'outer': ':include:%(folder)s/readers\nfive@elsewhere.test\n',
}
ALIASES_SCRIPT = '''require ["envelope", "variables", "vnd.gatepost.mta"];
stage "rcpt" {
	if not string :matches "${rcpt.original}" "*@lists.example.org" {
		stop;
	} elsif not envelope :domain "to" "lists.example.org" {
		deliver "out";
	} elsif lookup :aliases :as "to" "aliases" "${rcpt.to}" {
		if allof(string :matches "${rcpt.local}+" "*+*", lookup :aliases "aliases" "owner-${1}") {
			set "mail.from" "owner-${1}@${rcpt.domain}";
			class "list ${1}";
		}
		redirect :aliases "${to}";
	}
}
'''


@pytest.fixture(scope='module')
def lists(place):
    folder = subfolder(place)
    os.chmod(place, 0o755)                      # local(8) reads lists as nobody
    for name, text in LISTS.items():
        with open(os.path.join(folder, name), 'w') as f:
            f.write(text % {'folder': folder})
    path = os.path.join(folder, 'aliases')
    with open(path, 'w') as f:
        f.write(ALIASES % {'folder': folder})
    ours = OurRelay(subfolder(place), {'aliases': 'texthash:' + path}, ALIASES_SCRIPT)
    with ours.server:
        theirs = TheirRelay(subfolder(place), '''mydestination = lists.example.org
myorigin = lists.example.org
alias_maps = texthash:%s
local_recipient_maps =
''' % path, 'local unix - n n - - local\n')
        with theirs.server:
            yield ours, theirs


@pytest.mark.parametrize('rcpt', ['staff', 'staff+e', 'Staff', '"staff"', 'list', 'list+e', 'nested', *FORMS])
def test_aliases(lists, rcpt):
    told = []
    for relay in lists:
        assert relay.send('a@sender.test', rcpt + '@lists.example.org') == 250
        told.append({(s, r) for s, r, _ in relay.seen(len(told[0]) if told else 1)})
    assert told[0] == told[1]
