"""The conversations with a policy server behind: name -> Case(what the client says, where the server is asked, what it answers)."""
from collections import namedtuple

Case = namedtuple('Case', 'client setup rules shows')
CASES = {}

EHLO = 'EHLO client.example.net\n'
MAIL = 'MAIL FROM:<a@example.net>\n'
RCPT = 'RCPT TO:<b@example.test>\n'
ENVELOPE = EHLO + MAIL + RCPT
CONTENT = 'DATA\nSubject: one\n\nline one\n.\n'
SECOND = 'RCPT TO:<c@example.test>\n'
FOREIGN = 'RCPT TO:<x@other.test>\n'
ALL = ENVELOPE + CONTENT + 'QUIT\n'


def case(name, client=ALL, setup='all', rules=(), shows=''):
    assert name not in CASES, name
    CASES[name] = Case(client, setup, [rules] if isinstance(rules, str) else list(rules), shows.split())


# ---- what is asked ----

case('plain', setup='rcpt', shows='P1 P7 P8')
case('all stages', shows='P1 P6 P7 P8 P9')
case('delayed', setup='delayed', shows='P2 P5')
case('delayed, two recipients', ENVELOPE + SECOND + CONTENT, 'delayed', shows='P5')
case('delayed, relay denied', ENVELOPE + FOREIGN + CONTENT, 'delayed', shows='P5')
case('two recipients', ENVELOPE + SECOND + CONTENT, shows='P6 P7 P8')
case('two transactions', ENVELOPE + CONTENT + MAIL + RCPT + CONTENT, shows='P8')
case('null sender', EHLO + 'MAIL FROM:<>\n' + RCPT + CONTENT, shows='P6')
case('size declared', ALL.replace('net>', 'net> SIZE=1234'), shows='P9')
case('size declared, none', ALL.replace('net>', 'net> SIZE=0'), shows='P9')
case('size over the limit', EHLO + 'MAIL FROM:<a@example.net> SIZE=1000001\nMAIL FROM:<a@example.net> SIZE=1000000\n' + RCPT + CONTENT, shows='P9')
case('size of a long message', ENVELOPE + CONTENT.replace('line one', 'x' * 70 + '\n' + '..dots\n' * 3 + 'y' * 700), shows='P9')
case('helo', ALL.replace('EHLO', 'HELO'))
case('helo, then ehlo', 'HELO one.example.net\n' + EHLO + MAIL + RCPT + CONTENT)
case('ehlo, then helo', EHLO + 'HELO one.example.net\n' + MAIL + RCPT + CONTENT)
case('ehlo again, in a transaction', ENVELOPE + 'EHLO other.example.net\n' + RCPT + MAIL + RCPT + CONTENT, shows='P8')
case('rset', ENVELOPE + 'RSET\n' + MAIL + RCPT + CONTENT, shows='P8')
case('rset, nothing begun', EHLO + 'RSET\n' + MAIL + RCPT + CONTENT)
case('case kept', 'EHLO Client.Example.NET\nMAIL FROM:<Aa@Example.Net>\nRCPT TO:<Bb@Example.Test>\n' + CONTENT)
case('quoted local parts', EHLO + 'MAIL FROM:<"a b\\"c"@Example.Net>\nRCPT TO:<"q\\.z"@example.test>\n' + CONTENT)
case('source route', EHLO + 'MAIL FROM:<@h1,@h2:a@example.net>\n' + RCPT + CONTENT)
case('odd name', ALL.replace('client.example.net', 'bar(x)'))
case('address literal', ALL.replace('client.example.net', '[192.0.2.9]').replace('a@example.net', 'a@[192.0.2.1]'))
case('address extension', EHLO + MAIL + 'RCPT TO:<b+ext@example.test>\n' + CONTENT)
case('parameters', EHLO + 'MAIL FROM:<a@example.net> BODY=8BITMIME RET=HDRS ENVID=x\nRCPT TO:<b@example.test> NOTIFY=NEVER ORCPT=rfc822;z@q.test\n' + CONTENT)
case('refused, then taken', ENVELOPE + SECOND + 'RCPT TO:<d@example.test>\n' + CONTENT, rules='RCPT *recipient=c@* -> REJECT no', shows='P7')
case('first refused', EHLO + MAIL + SECOND + RCPT + CONTENT, rules='RCPT *recipient=c@* -> REJECT no', shows='P6 P7')
case('all refused', ENVELOPE + 'DATA\nx\n.\nQUIT\n', rules='RCPT -> REJECT no')
case('nested mail', EHLO + MAIL + MAIL + RCPT + CONTENT)
case('recipient without mail', EHLO + RCPT + MAIL + RCPT + CONTENT)
case('data without recipient', EHLO + MAIL + 'DATA\nx\n.\n' + RCPT + CONTENT)
case('bad syntax', EHLO + 'MAIL FROM:a b\nMAIL FROM:<a@example.net> FOO=1\n' + MAIL + 'RCPT TO:<>\nRCPT TO:<b@example.test> FOO=1\n' + RCPT + CONTENT)
case('relay denied', EHLO + MAIL + FOREIGN + 'QUIT\n', 'rcpt')
case('relay denied, then ours', EHLO + MAIL + FOREIGN + RCPT + CONTENT, shows='P7')
case('pipelined', EHLO + 'MAIL FROM:<a@example.net> | RCPT TO:<b@example.test> | RCPT TO:<x@other.test> | RCPT TO:<c@example.test> | DATA\n'
     'Subject: p\n\nx\n.\nQUIT\n', shows='P6')
case('vrfy', 'VRFY b@example.test\n' + EHLO + ''.join('VRFY %s\n' % a for a in (
    'b@example.test', '<B@Example.Test>', '"q a"@example.test', 'b', 'x@other.test', '<@h1:b@example.test>', 'b@example.test SMTPUTF8', 'Full Name', 'b@',
    '<b@example.test> x', '<>', '')) + 'QUIT\n', 'rcpt', shows='P5 P6')
case('vrfy in a transaction', EHLO + 'MAIL FROM:<a@example.net> SIZE=77\nVRFY c@example.test\n' + RCPT + 'VRFY c@example.test\nRSET\nVRFY c@example.test\nQUIT\n',
     shows='P6 P7 P8')
case('vrfy refused', EHLO + ''.join('VRFY %s@example.test\n' % a for a in 'cdefg') + 'QUIT\n', 'rcpt',
     ['VRFY *recipient=c@* -> REJECT no', 'VRFY *recipient=d@* -> DEFER_IF_PERMIT wait', 'VRFY *recipient=e@* -> DISCARD', 'VRFY *recipient=f@* -> HOLD',
      'VRFY *recipient=g@* -> PREPEND X-P: one'], shows='P11 P14 P18')
case('bdat', ENVELOPE + 'BDAT LAST\nSubject: b\n\nchunk\n.\n', shows='P9')
case('bdat in two', ENVELOPE + SECOND + 'BDAT\nSubject: b\n\nchunk\n.\nBDAT LAST\nmore\n.\n', shows='P6 P9')
case('bdat, nothing last', ENVELOPE + 'BDAT\nSubject: b\n\nchunk\n.\nBDAT LAST\n.\n', shows='P9')
case('bdat, refused at data', ENVELOPE + 'BDAT\nSubject: b\n\nx\n.\nBDAT LAST\nx\n.\nRSET\n' + MAIL + RCPT + CONTENT, rules='DATA *size=0* -> REJECT no')
case('bdat, refused at its end', ENVELOPE + 'BDAT\nSubject: b\n\nx\n.\nBDAT LAST\nx\n.\n', rules='END-OF-MESSAGE -> REJECT no')
case('smtputf8', EHLO + 'MAIL FROM:<ä@example.net> SMTPUTF8\nRCPT TO:<ö@example.test>\n' + CONTENT, shows='P19')
case('smtputf8, a refusal in it', EHLO + 'MAIL FROM:<ä@example.net> SMTPUTF8\nRCPT TO:<ö@example.test>\n', rules='RCPT -> REJECT grüßt')
case('smtputf8, not said', EHLO + 'MAIL FROM:<ä@example.net>\n' + MAIL + 'RCPT TO:<ö@example.test>\n' + RCPT + CONTENT)
XCLIENT = 'EHLO x.example\nXCLIENT ADDR=192.0.2.7 '
case('xclient', XCLIENT + 'NAME=h.example.net REVERSE_NAME=r.example.net PORT=4711 HELO=h2.example\n' + ALL, shows='P10')
case('xclient, all attributes', XCLIENT + 'NAME=h.example.net REVERSE_NAME=[UNAVAILABLE] PORT=4711 PROTO=ESMTP HELO=h2.example LOGIN=bob DESTADDR=192.0.2.99 '
     'DESTPORT=2525\n' + MAIL + RCPT + CONTENT, shows='P10')
case('xclient, nothing known', 'EHLO x.example\nXCLIENT NAME=[UNAVAILABLE] ADDR=[UNAVAILABLE] PORT=[UNAVAILABLE] HELO=[UNAVAILABLE] DESTADDR=[UNAVAILABLE] '
     'DESTPORT=[UNAVAILABLE] LOGIN=[UNAVAILABLE]\n' + ALL, shows='P10')
case('xclient, name for now unknown', XCLIENT + 'NAME=[TEMPUNAVAIL]\n' + ALL, shows='P10')
case('xclient, SMTP', XCLIENT + 'NAME=h.example.net PROTO=SMTP HELO=old.example\n' + MAIL + RCPT + CONTENT)
case('xclient ipv6', 'EHLO x.example\nXCLIENT ADDR=IPV6:2001:db8::7 NAME=[UNAVAILABLE]\n' + ALL)
case('xclient login', XCLIENT + 'LOGIN=alice\n' + ALL)
case('xclient login in xtext', XCLIENT + 'LOGIN=al+2Bice@example.org\n' + ALL)
case('xclient login, AUTH= of a sender', XCLIENT + 'LOGIN=alice\nEHLO y.example\nMAIL FROM:<a@example.net> AUTH=boss+2Bx@example.org\n' + RCPT + CONTENT, 'sasl', shows='P10')
case('xclient login, AUTH= of nobody', XCLIENT + 'LOGIN=alice\nEHLO y.example\nMAIL FROM:<a@example.net> AUTH=<>\n' + RCPT + CONTENT, 'sasl', shows='P10')
case('xclient twice', XCLIENT + 'NAME=one.example LOGIN=alice\nXCLIENT ADDR=192.0.2.8\n' + ALL)
case('xclient, then another ehlo', XCLIENT + 'HELO=h2.example\nEHLO h3.example\n' + MAIL + RCPT + CONTENT)

# ---- what answers do, at each stage ----

REFUSALS = ['REJECT', 'REJECT go away', 'reject lower', 'REJECT 5.1.1 status', 'REJECT 4.2.0 other class', 'DEFER', 'DEFER come back', 'DEFER 5.2.2 other class',
            '550 own', '550 5.7.9 own', '450 own', '450 4.2.9 own', '554 4.3.1 odd class', '499 odd', '599 odd', '550 5.7.1234 odd status', '421 4.7.9 bye',
            '521 5.7.9 bye', 'nonsense word', 'permit', 'check_sender_access hash:/x', '200 two', '354 three', '650 six', '5500 four digits']
GOING_ON = ['OK', 'ok', 'OK with text', 'RELAY', 'DUNNO', 'DUNNO text', 'dunno', '12345', '550', 'WARN', 'WARN look', 'INFO look']
DEFERRALS = ['DEFER_IF_PERMIT', 'DEFER_IF_PERMIT wait', 'DEFER_IF_PERMIT 4.2.0 wait', 'DEFER_IF_PERMIT 5.2.0 wait', 'defer_if_permit lower', 'DEFER_IF_REJECT',
             'DEFER_IF_REJECT wait']
EDITS = ['PREPEND X-P: one', 'PREPEND X-P:no blank', 'PREPEND no colon', 'PREPEND', 'PREPEND : no name', 'HOLD', 'HOLD keep', 'DISCARD', 'DISCARD gone',
         'REDIRECT trap@example.test', 'REDIRECT nobody', 'REDIRECT', 'BCC copy@example.test', 'BCC nobody', 'BCC', 'FILTER {filter}', 'FILTER', 'FILTER no-colon']
SHOWS = {'P11': REFUSALS, 'P13': REFUSALS + GOING_ON, 'P12': [r for r in REFUSALS if '.' in r], 'P14': DEFERRALS[:5], 'P15': DEFERRALS[5:], 'P16': GOING_ON,
         'P17': EDITS[:5], 'P18': EDITS[5:]}
for answer in REFUSALS + GOING_ON + DEFERRALS + EDITS:
    shown = ' '.join(p for p, answers in SHOWS.items() if answer in answers)
    case('rcpt: ' + answer, ENVELOPE + SECOND + FOREIGN + CONTENT, rules='RCPT -> ' + answer, shows=shown)
for state, answers in (('MAIL', REFUSALS[:12] + REFUSALS[16:19] + DEFERRALS + EDITS), ('DATA', REFUSALS[:12] + REFUSALS[16:19] + DEFERRALS + EDITS),
                       ('END-OF-MESSAGE', REFUSALS[:12] + REFUSALS[16:19] + DEFERRALS + EDITS), ('EHLO', GOING_ON[:1] + DEFERRALS + EDITS),
                       ('CONNECT', GOING_ON[:1] + DEFERRALS + EDITS)):
    for answer in answers:
        case('%s: %s' % (state.lower(), answer), ENVELOPE + SECOND + FOREIGN + CONTENT, rules='%s -> %s' % (state, answer),
             shows=' '.join(p for p, some in SHOWS.items() if answer in some))
case('rcpt: empty', setup='rcpt', rules='RCPT -> text "action=\\n\\n"', shows='P13')
case('rcpt: blanks', setup='rcpt', rules='RCPT -> text "action=  \\n\\n"', shows='P13')
case('rcpt: blank before the word', setup='rcpt', rules='RCPT -> text "action= REJECT x\\n\\n"')
case('rcpt: tab behind the word', setup='rcpt', rules='RCPT -> text "action=REJECT\\tx y\\n\\n"')
case('rcpt: blanks at the end', setup='rcpt', rules='RCPT -> text "action=REJECT x  \\n\\n"')
case('rcpt: control characters', setup='rcpt', rules='RCPT -> text "action=REJECT a\\x01b\\x7fc\\tend\\n\\n"')
case('rcpt: not UTF-8', setup='rcpt', rules='RCPT -> text "action=REJECT \\xff\\xfe\\n\\n"', shows='P19')
case('rcpt: not UTF-8, in SMTPUTF8', EHLO + 'MAIL FROM:<a@example.net> SMTPUTF8\n' + RCPT, 'rcpt', 'RCPT -> text "action=REJECT \\xff\\xfe\\n\\n"', shows='P19')
case('rcpt: not UTF-8, goes on', setup='rcpt', rules='RCPT -> text "action=DUNNO \\xff\\xfe\\n\\n"', shows='P19')
case('rcpt: UTF-8', setup='rcpt', rules='RCPT -> REJECT grüßt')
case('rcpt: UTF-8 field', setup='rcpt', rules='RCPT -> PREPEND X-P: grüßt')
case('rcpt: text of 400', setup='rcpt', rules='RCPT -> REJECT ' + 'long ' * 80, shows='P12')
case('rcpt: text of 2000', setup='rcpt', rules='RCPT -> REJECT ' + 'long ' * 400, shows='P12')
case('rcpt: field of 2000', setup='rcpt', rules='RCPT -> PREPEND X-Long: ' + 'long ' * 400)
case('rcpt: second action ignored', setup='rcpt', rules='RCPT -> text "action=DUNNO\\naction=REJECT\\n\\n"', shows='P1')
case('rcpt: other attributes ignored', setup='rcpt', rules='RCPT -> text "x=y\\naction=REJECT\\nz=1\\n\\n"', shows='P1')
case('rcpt: a line without =', setup='rcpt', rules='RCPT -> text "nonsense\\naction=REJECT here\\n\\n"', shows='P1')
case('rcpt: Action=', setup='rcpt', rules='RCPT -> text "Action=REJECT\\naction=DUNNO\\n\\n"', shows='P1')
case('rcpt: spaces around =', setup='rcpt', rules='RCPT -> text "action = REJECT\\n\\n"', shows='P1')

# ---- how far they reach ----

case('deferred at connect, good for all', ENVELOPE + FOREIGN + 'RSET\n' + MAIL + RCPT, rules='CONNECT -> DEFER_IF_PERMIT 4.7.8 host', shows='P14')
case('deferred at helo, forgotten at the next', ENVELOPE + 'EHLO other.example.net\n' + MAIL + RCPT + CONTENT,
     rules='EHLO *helo_name=client* -> DEFER_IF_PERMIT 4.7.8 helo', shows='P14')
case('deferred at helo, helo again', ENVELOPE + EHLO + MAIL + RCPT, rules='EHLO -> DEFER_IF_PERMIT 4.7.8 helo', shows='P14')
case('deferred at mail, forgotten at the next', ENVELOPE + 'RSET\nMAIL FROM:<z@example.net>\n' + RCPT + CONTENT,
     rules='MAIL *sender=a@* -> DEFER_IF_PERMIT 4.7.8 sender', shows='P14')
case('deferred thrice: the first reason', ENVELOPE, rules=['CONNECT -> DEFER_IF_PERMIT 4.7.1 one', 'MAIL -> DEFER_IF_PERMIT 4.7.2 two',
                                                          'RCPT -> DEFER_IF_PERMIT 4.7.3 three'], shows='P14')
case('deferred at rcpt, for that one', ENVELOPE + SECOND + FOREIGN + CONTENT, rules='RCPT *recipient=b@* -> DEFER_IF_PERMIT wait', shows='P14')
case('deferred at data, then another recipient', ENVELOPE + 'DATA\nx\n.\n' + SECOND + CONTENT, rules='DATA *recipient_count=1* -> DEFER_IF_PERMIT wait', shows='P14')
case('deferred at mail, refused at rcpt', ENVELOPE + SECOND, rules=['MAIL -> DEFER_IF_PERMIT wait', 'RCPT *recipient=b@* -> REJECT no'], shows='P14')
case('deferred if refused at mail: not at rcpt', ENVELOPE, rules=['MAIL -> DEFER_IF_REJECT wait', 'RCPT -> REJECT no'], shows='P15')
case('deferred by both at rcpt', ENVELOPE + FOREIGN, 'twice', ['RCPT *policy_context=sender* -> DEFER_IF_PERMIT perhaps', 'RCPT *policy_context=recipient* -> DEFER_IF_REJECT no'])
case('deferred if refused, then refused', ENVELOPE + FOREIGN, 'twice', ['RCPT *policy_context=sender* -> DEFER_IF_REJECT 4.1.1 perhaps', 'RCPT *policy_context=recipient* -> REJECT no'],
     shows='P15')
case('deferred if refused, then deferred', ENVELOPE, 'twice', ['RCPT *policy_context=sender* -> DEFER_IF_REJECT 4.1.1 perhaps', 'RCPT *policy_context=recipient* -> DEFER no'])
case('deferred if refused, then closed', ENVELOPE + RCPT, 'twice', ['RCPT *policy_context=sender* -> DEFER_IF_REJECT 4.1.1 perhaps', 'RCPT *policy_context=recipient* -> 521 5.7.1 bye'])
case('deferred if refused, then nonsense', ENVELOPE, 'twice', ['RCPT *policy_context=sender* -> DEFER_IF_REJECT 4.1.1 perhaps', 'RCPT *policy_context=recipient* -> nonsense'])
case('refused, then deferred if refused', ENVELOPE, 'twice', ['RCPT *policy_context=sender* -> REJECT no', 'RCPT *policy_context=recipient* -> DEFER_IF_REJECT perhaps'])
case('deferred if permitted, then refused', ENVELOPE, 'twice', ['RCPT *policy_context=sender* -> DEFER_IF_PERMIT 4.1.1 perhaps', 'RCPT *policy_context=recipient* -> REJECT no'],
     shows='P14')
case('OK ends its list', ENVELOPE + CONTENT, 'delayed', ['RCPT *policy_context=client* -> OK', 'RCPT *policy_context=recipient* -> REJECT no'], shows='P16')
case('OK is no relay', EHLO + MAIL + FOREIGN, 'delayed', ['RCPT -> OK'], shows='P16')
case('fields of all stages', ENVELOPE + SECOND + CONTENT, rules=[
    '%s -> PREPEND X-%s: 1' % (s, s) for s in ('CONNECT', 'EHLO', 'MAIL', 'RCPT', 'DATA', 'END-OF-MESSAGE')], shows='P17')
case('fields, the recipient then refused', ENVELOPE + SECOND + CONTENT, 'twice',
     ['RCPT *recipient=b@*policy_context=sender* -> PREPEND X-P: of b', 'RCPT *recipient=b@*policy_context=recipient* -> REJECT no'], shows='P17')
case('fields are of one transaction', ENVELOPE + 'RSET\n' + MAIL + SECOND + CONTENT, rules='RCPT *recipient=b@* -> PREPEND X-P: of b', shows='P17')
case('fields above ours', ENVELOPE + 'DATA\nReceived: from a by b\nX-Own: 1\n\nx\n.\n', rules='RCPT -> PREPEND X-P: above', shows='P17')
case('held, then refused', ENVELOPE + SECOND + CONTENT, 'twice',
     ['RCPT *recipient=b@*policy_context=sender* -> HOLD why', 'RCPT *recipient=b@*policy_context=recipient* -> REJECT no'], shows='P18')
case('discarded for the second recipient', ENVELOPE + SECOND + FOREIGN + CONTENT, rules='RCPT *recipient=c@* -> DISCARD gone', shows='P18')
case('discarded at mail', ENVELOPE + FOREIGN + CONTENT, rules='MAIL -> DISCARD gone', shows='P18')
case('discarded, then the next', ENVELOPE + CONTENT + MAIL + SECOND + CONTENT, rules='RCPT *recipient=b@* -> DISCARD gone', shows='P18')
case('discarded, reset', ENVELOPE + 'RSET\n' + MAIL + SECOND + CONTENT, rules='RCPT *recipient=b@* -> DISCARD gone', shows='P18')
case('discarded at data', ENVELOPE + SECOND + CONTENT, rules='DATA -> DISCARD gone', shows='P18')
case('the last redirect', ENVELOPE + SECOND + CONTENT, rules=['RCPT *recipient=b@* -> REDIRECT one@example.test', 'RCPT *recipient=c@* -> REDIRECT two@example.test'], shows='P18')
case('both copies', ENVELOPE + SECOND + CONTENT, rules=['RCPT *recipient=b@* -> BCC one@example.test', 'RCPT *recipient=c@* -> BCC two@example.test'], shows='P18')
case('a copy, and redirected', ENVELOPE + SECOND + CONTENT, rules=['RCPT *recipient=b@* -> BCC one@example.test', 'RCPT *recipient=c@* -> REDIRECT two@example.test'], shows='P18')
case('filtered and copied', ENVELOPE + SECOND + CONTENT, rules=['RCPT *recipient=b@* -> BCC one@example.test', 'RCPT *recipient=c@* -> FILTER {filter}'], shows='P18')
case('held and redirected', ENVELOPE + SECOND + CONTENT, rules=['RCPT *recipient=b@* -> HOLD', 'RCPT *recipient=c@* -> REDIRECT two@example.test'], shows='P18')
case('held: the next is not', ENVELOPE + CONTENT + MAIL + SECOND + CONTENT, rules='RCPT *recipient=b@* -> HOLD', shows='P18')
case('refused at connect', rules='CONNECT -> 550 5.7.9 no')
case('deferred at connect', rules='CONNECT -> DEFER not now')
case('refused at helo', rules='EHLO -> REJECT no')
case('refused at helo, another helo', EHLO + 'EHLO good.example.net\n' + MAIL + RCPT + CONTENT, rules='EHLO *helo_name=client* -> REJECT no')
case('refused at mail, another sender', EHLO + MAIL + 'MAIL FROM:<z@example.net>\n' + RCPT + CONTENT, rules='MAIL *sender=a@* -> REJECT no')
case('refused at data, then again', ENVELOPE + 'DATA\nx\n.\n' + SECOND + CONTENT, rules='DATA *recipient_count=1* -> REJECT no')
case('refused at its end, then the next', ENVELOPE + CONTENT + MAIL + SECOND + CONTENT, rules='END-OF-MESSAGE *recipient=b@* -> REJECT no')
case('closed at connect', rules='CONNECT -> 421 4.7.9 bye', shows='P13')
case('closed at helo', rules='EHLO -> 421 4.7.9 bye', shows='P13')

# ---- what an administrator tries ----

case('the same recipient twice', ENVELOPE + RCPT + CONTENT)
case('sender without a domain', EHLO + 'MAIL FROM:<user>\n' + RCPT + 'QUIT\n')
case('local part with a percent sign', EHLO + MAIL + 'RCPT TO:<user%other.test@example.test>\n' + RCPT + CONTENT)
case('blanks before addresses', EHLO + 'MAIL FROM: <a@example.net>\nRCPT TO: <b@example.test>\n' + CONTENT)
case('addresses without brackets', EHLO + 'MAIL FROM:a@example.net\nRCPT TO:b@example.test\n' + CONTENT)
case('commands in lower case', 'ehlo client.example.net\nmail from:<a@example.net>\nrcpt to:<b@example.test>\n' + CONTENT)
case('a dot at the end', 'EHLO client.example.net.\nMAIL FROM:<a@example.net.>\n' + RCPT + CONTENT)
case('an ipv6 literal', 'EHLO [IPv6:2001:db8::1]\nMAIL FROM:<a@[IPv6:2001:db8::1]>\n' + RCPT + CONTENT)
case('blanks in the name', 'EHLO client example net\n' + MAIL + RCPT + CONTENT)
case('all that is odd in a name', 'EHLO <a@b>;"c"\\d\n' + MAIL + RCPT + CONTENT)
case('no hello', MAIL + RCPT + CONTENT)
case('empty message', ENVELOPE + 'DATA\n.\n', shows='P9')
case('no header', ENVELOPE + 'DATA\n\nx\n.\n', shows='P9')
case('null sender, two recipients', EHLO + 'MAIL FROM:<>\n' + RCPT + SECOND + CONTENT, shows='P6')
case('noop and others between', EHLO + 'NOOP\n' + MAIL + 'NOOP x\n' + RCPT + CONTENT)
case('gone in the midst', ENVELOPE)
case('a message, and EHLO again', ENVELOPE + CONTENT + EHLO + MAIL + RCPT + CONTENT)
case('blank before the colon', ENVELOPE + CONTENT, rules='RCPT -> PREPEND X-P : v', shows='P17')
case('two words before the colon', ENVELOPE + CONTENT, rules='RCPT -> PREPEND X P: v', shows='P17')
case('no value', ENVELOPE + CONTENT, rules='RCPT -> PREPEND X-P:', shows='P17')
case('a field name that is not ASCII', ENVELOPE + CONTENT, rules='RCPT -> PREPEND X\u00e9: v', shows='P17')
case('held, in UTF-8', ENVELOPE + CONTENT, rules='RCPT -> HOLD gr\u00fc\u00dft', shows='P18')
for text in ('DUNNO,', '550 5.1 short status', 'REJECT 2.1.1 other class', 'REJECT 5.123.456 long status', 'REJECT 100%s %d sure', 'REJECT a\\nb', '550- x', '550-x y',
             'REJECT  two   blanks  in', 'REJECT  5.7.9   two   blanks  in', 'permit', 'PERMIT', 'permit, reject', 'defer'):
    case('rcpt only: ' + text, ENVELOPE + CONTENT, rules='RCPT -> ' + text, shows='P11 P13')
