"""The conversations: what the client says, how the milters answer, and which lines of the checklist (M1-M44, B1-B18) that shows.

A case's rules are those of gp.actors.Milter, for each milter (m0, m1, m2); settings are what it negotiates, those under '' for all.
"""
from milter_sides import SETUPS

ENVELOPE = 'EHLO client.example.net\nMAIL FROM:<a@example.net>\nRCPT TO:<b@example.test>\n'
NEXT = ENVELOPE.split('\n', 1)[1]       # of another transaction
CONTENT = 'DATA\nSubject: one\nX-Twice: 1\nX-Other: o\nx-twice: 2\n\nline one\n.\n'
MAIL = ENVELOPE + '''DATA
Subject: one
X-Folded: first
  second
\tthird
X-Twice: 1
x-twice: 2

line one
.
RSET
MAIL FROM:<second@example.net>
QUIT
'''
UNKNOWN_FIRST = 'EHLO client.example.net\nFROBNICATE\n' + MAIL.split('\n', 1)[1]
TWO_RCPTS = ENVELOPE + 'RCPT TO:<c@example.test>\n' + CONTENT

CASES = {}


def case(name, client, shows='', setup='one', settings=None, each=None, **rules):
    """SETTINGS are for all milters; EACH: {'m1': settings}."""
    assert name not in CASES, name
    CASES[name] = {'client': client, 'setup': setup, 'rules': rules, 'settings': dict(each or {}, **{'': settings or {}}),
                   'shows': shows.split()}


def content(name, text, shows='', **more):
    """Header fields and body as they are."""
    case(name, ENVELOPE + 'DATA\n' + text + '.\nQUIT\n', shows, **more)


def frame(data):
    """An action: a reply of these bytes."""
    return 'raw %08x%s' % (len(data), data.encode('latin-1').hex())


def edit(name, *actions, shows='', client=ENVELOPE + CONTENT, **more):
    case(name, client, shows, m0=['EOM -> ' + ' ; '.join(actions + ('continue',))], **more)


# ---- every stage, every verdict ----

STAGES = {
    'connect': ('CONNECT', MAIL), 'helo': ('HELO', MAIL), 'mail': ('MAIL', MAIL), 'rcpt': ('RCPT', MAIL), 'data': ('DATA', MAIL),
    'header': ('HEADER', MAIL), 'eoh': ('EOH', MAIL), 'body': ('BODY', MAIL), 'eom': ('EOM', MAIL), 'unknown': ('UNKNOWN', UNKNOWN_FIRST),
}
VERDICTS = {'accept': 'M32', 'reject': 'M33', 'tempfail': 'M33', 'discard': 'M35', 'reply "550 5.7.9 own words"': 'M37',
            'reply "451 4.7.9 later"': 'M37', 'reply "421 4.7.8 closing"': 'M36', 'shutdown': 'M36', 'skip': '', 'conn_fail': 'M41'}
ALSO = {('connect', 'M33'): ' M34', ('helo', 'M33'): ' M34', ('connect', 'M37'): ' M34', ('helo', 'M37'): ' M34', ('unknown', 'M33'): ' M18',
        ('unknown', 'M37'): ' M18', ('unknown', 'M32'): ' B17', ('header', 'M36'): ' B16', ('eoh', 'M36'): ' B16', ('body', 'M36'): ' B16'}
for _stage, (_event, _client) in STAGES.items():
    for _verdict, _line in VERDICTS.items():
        case('%s: %s' % (_stage, _verdict[:10].replace('"', '')), _client, _line + ALSO.get((_stage, _line), ''), m0=[_event + ' -> ' + _verdict],
             setup='panic one' if (_stage, _verdict) == ('unknown', 'accept') else 'one')

# ---- negotiation (M1-M4) ----

case('plain', MAIL, 'M1 M5 M6 M21 B9')
for _version, _steps, _actions in (('1', '0', '0x1f'), ('2', '0', '0x1f'), ('3', '0', '0x3f'), ('4', '0', '0x3f'), ('5', '0', '0x3f'),
                                   ('6', '0', '0x1ff'), ('7', '0', '0x1ff')):
    case('version ' + _version, UNKNOWN_FIRST, 'M1' if _version in '17' else 'M2', settings={'version': _version, 'steps': _steps, 'actions': _actions})
case('version 2 wants DATA', UNKNOWN_FIRST, 'M2', settings={'version': '2', 'steps': '0x200', 'actions': '0x1f'})
case('more actions than offered', MAIL, 'M1', settings={'actions': '0x3ff'})
case('more steps than offered', MAIL, 'M1', settings={'steps': '0x200000'})
case('no actions', MAIL, 'M1', settings={'actions': '0'})
case('negotiation cut short', MAIL, 'M1 M41', m0=['NEG -> raw 000000054f00000006'])
case('negotiation refused', MAIL, 'M1 M41', m0=['NEG -> reject'])
case('negotiation answered by a verdict', MAIL, 'M1 M41', m0=['NEG -> continue'])

SYMLIST = {'connect': 'j v', 'helo': 'j v', 'mail': 'i j {mail_addr}', 'rcpt': '{rcpt_addr} {rcpt_host}', 'data': 'i v', 'eoh': 'j i',
           'eom': 'j {client_addr} {client_name}'}
for _stage, _list in SYMLIST.items():
    case('symlist ' + _stage, MAIL, 'M3', settings={'symlist.' + _stage: _list})
    case('symlist %s, empty' % _stage, MAIL, 'M3 B10', settings={'symlist.' + _stage: ''})
case('symlist of all stages', UNKNOWN_FIRST, 'M3', settings={'symlist.' + s: l for s, l in SYMLIST.items()})
case('symlist of an unknown class', MAIL, 'M3', settings={'symlist.9': 'j v', 'symlist.mail': 'j'})
case('symlist with an unknown macro', MAIL, 'M3', settings={'symlist.mail': 'j {nonsense} v'})
case('symlist without braces', MAIL, 'M3', settings={'symlist.mail': 'mail_addr j'})
case('symlist cut off', MAIL, 'M3', m0=['NEG -> raw 000000124f000000060000003f00000000000000026a'])

FLAGS = (('NOCONNECT', 1), ('NOHELO', 2), ('NOMAIL', 4), ('NORCPT', 8), ('NOBODY', 0x10), ('NOHDRS', 0x20), ('NOEOH', 0x40), ('NR_HDR', 0x80),
         ('NOUNKNOWN', 0x100), ('NODATA', 0x200), ('SKIP', 0x400), ('RCPT_REJ', 0x800), ('NR_CONN', 0x1000), ('NR_HELO', 0x2000), ('NR_MAIL', 0x4000),
         ('NR_RCPT', 0x8000), ('NR_DATA', 0x10000), ('NR_UNKN', 0x20000), ('NR_EOH', 0x40000), ('NR_BODY', 0x80000), ('HDR_LEADSPC', 0x100000))
for _name, _bit in FLAGS:
    case('step ' + _name, 'FROB\n' + MAIL, 'M4' + (' M6' if _name.startswith('NO') else ''), settings={'steps': hex(_bit)})
case('step all NO', MAIL, 'M4 M6', settings={'steps': '0x37f'})
case('step all NR', MAIL, 'M4', settings={'steps': '0xff080'})
case('step all', MAIL, 'M4', settings={'steps': '0x1fffff'})

# ---- macros (M5-M11) ----

EVERY = 'i j v _ {client_addr} {client_name} {client_ptr} {client_resolve} {daemon_addr} {daemon_port}'
CONTENT_MACROS = EVERY + (' {mail_addr} {mail_mailer} {mail_host} {rcpt_addr} {rcpt_host} {rcpt_mailer} {tls_version} {cipher} {cipher_bits} {cert_subject}'
                          ' {auth_type} {auth_authen} {auth_author}')
NEVER = '{if_name} {if_addr} {auth_ssf} {msg_id} {nrcpts} r s'
case('all macros at every stage', TWO_RCPTS + 'QUIT\n', 'M8', settings={'symlist.' + s: CONTENT_MACROS for s in SYMLIST})
case('macros nobody has', 'EHLO client.example.net\nXCLIENT LOGIN=someone\n' + MAIL.replace('Subject: one\n', 'Subject: one\nMessage-Id: <one@example.net>\n'), 'M9',
     settings={'symlist.' + s: NEVER for s in SYMLIST})
case('two recipients', TWO_RCPTS + 'QUIT\n', 'M7')
case('two recipients, the first refused', ENVELOPE.replace('b@example.test', 'b@elsewhere.test') + NEXT.split('\n', 1)[1] + 'RCPT TO:<c@example.test>\n'
     + CONTENT + 'QUIT\n', 'M7')
case('null sender', 'EHLO client.example.net\nMAIL FROM:<>\nRCPT TO:<b@example.test>\n' + CONTENT, 'M10')
case('case of addresses', 'EHLO client.example.net\nMAIL FROM:<S@Ex.Test>\nRCPT TO:<B@Example.Test>\n' + CONTENT, 'M10')
case('refused recipient', ENVELOPE + 'RCPT TO:<x@other.test>\n' + CONTENT + 'QUIT\n', 'M15')
case('refused recipient is told', ENVELOPE + 'RCPT TO:<x@other.test>\n' + CONTENT + 'QUIT\n', 'M11 M15', settings={'steps': '0x800'})
case('refused recipient is told, and answered', ENVELOPE + 'RCPT TO:<x@other.test>\n' + CONTENT + 'QUIT\n', 'M11', settings={'steps': '0x800'},
     m0=['RCPT <x@* -> reply "451 4.7.9 later"'])
case('over TLS', 'EHLO client.example.net\nSTARTTLS\n' + MAIL, 'M5 M8', settings={'symlist.eom': CONTENT_MACROS})
case('over TLS, an unknown command', 'EHLO client.example.net\nSTARTTLS\n' + UNKNOWN_FIRST, 'M5')
case('logged in', 'EHLO client.example.net\nXCLIENT LOGIN=someone\n' + MAIL, 'M5 M8')
case('logged in, for somebody else of an odd name', 'EHLO client.example.net\nXCLIENT LOGIN=someone\n'
     + MAIL.replace('<a@example.net>', '<a@example.net> AUTH=x+2By@y.test'), 'M5')
case('logged in, for nobody', 'EHLO client.example.net\nXCLIENT LOGIN=someone\n' + MAIL.replace('<a@example.net>', '<a@example.net> AUTH=<>'), 'M5')
case('logged in, for somebody else', 'EHLO client.example.net\nXCLIENT LOGIN=someone\n' + MAIL.replace('<a@example.net>', '<a@example.net> AUTH=x@y.test'), 'M5')

# ---- the order of events (M12-M20) ----

case('two transactions', ENVELOPE + CONTENT + NEXT + CONTENT + 'QUIT\n', 'M14 M17')
case('rset after mail', ENVELOPE + 'RSET\n' + NEXT + CONTENT + 'QUIT\n', 'M14')
case('rset after data', ENVELOPE + CONTENT + 'RSET\nRSET\n' + NEXT + 'QUIT\n', 'M14')
case('rset at once', 'RSET\nEHLO client.example.net\nRSET\nQUIT\n', 'M14')
case('second ehlo', ENVELOPE + 'EHLO again.example.net\n' + NEXT + CONTENT + 'QUIT\n', 'M14')
case('second ehlo of a message that was accepted', ENVELOPE + 'EHLO again.example.net\n' + NEXT + CONTENT + 'QUIT\n', 'M14 M32', m0=['MAIL -> accept'])
case('second ehlo at once', 'EHLO client.example.net\nEHLO again.example.net\n' + NEXT + CONTENT + 'QUIT\n', 'M14')
case('helo, then ehlo', 'HELO client.example.net\nEHLO again.example.net\n' + NEXT + CONTENT + 'QUIT\n', 'M14')
case('helo, not ehlo', ENVELOPE.replace('EHLO', 'HELO') + CONTENT + 'QUIT\n', 'M14')
case('mail without helo', NEXT + CONTENT + 'QUIT\n', 'M14')
case('quit after ehlo', 'EHLO client.example.net\nQUIT\n', 'M14')
case('quit at once', 'QUIT\n', 'M14')
case('quit in a transaction', ENVELOPE + 'QUIT\n', 'M14')
case('client leaves', ENVELOPE, 'M14')
case('parameters', 'EHLO client.example.net\nMAIL FROM:<a@example.net> SIZE=100 BODY=8BITMIME RET=HDRS ENVID=x1\n'
     'RCPT TO:<b@example.test> NOTIFY=FAILURE ORCPT=rfc822;b@example.test\n' + CONTENT, 'M13')
case('parameters in odd case', 'EHLO client.example.net\nMAIL FROM:<a@example.net>   size=100  body=8bitMIME\nRCPT TO:<b@example.test>  notify=never\n'
     + CONTENT, 'M13')
case('odd paths', 'EHLO client.example.net\nMAIL FROM: <a@example.net>\nRCPT TO:<@relay.test:b@example.test>\nRCPT TO:<"b"@example.test>\n' + CONTENT,
     'M13')
case('paths without brackets', 'EHLO client.example.net\nMAIL FROM:a@example.net\nRCPT TO:b@example.test\n' + CONTENT, 'M13')
case('verbs in lower case', 'ehlo client.example.net\nmail from:<a@example.net>\nrcpt to:<b@example.test>\n' + CONTENT, 'M13')
SYNTAX = ENVELOPE + 'RCPT TO:<nonsense\nRCPT TO:\n' + CONTENT + 'QUIT\n'
case('recipient of bad syntax', SYNTAX, 'M15')
case('recipient of bad syntax is told', SYNTAX, 'M15 B11', settings={'steps': '0x800'})
case('too many recipients', ENVELOPE + ''.join('RCPT TO:<%s@example.test>\n' % c for c in 'cde') + CONTENT + 'QUIT\n', 'M15')
case('too many recipients, told', ENVELOPE + ''.join('RCPT TO:<%s@example.test>\n' % c for c in 'cde') + CONTENT + 'QUIT\n', 'M15 B11', settings={'steps': '0x800'})
case('a recipient the first refuses is told', TWO_RCPTS, 'M15 B11', 'two', settings={'steps': '0x800'}, m0=['RCPT <b@*> -> reply "550 5.7.9 own words"'])
case('a recipient the second refuses', TWO_RCPTS, 'M15', 'two', m1=['RCPT <b@*> -> reject'])
case('refused at DATA by the server', ENVELOPE.replace('a@example.net', 'data@refused.test') + 'DATA\nRSET\n' + NEXT + CONTENT + 'QUIT\n', 'M16')
case('refused after the dot by the server', ENVELOPE.replace('a@example.net', 'end@refused.test') + CONTENT + NEXT + CONTENT + 'QUIT\n', 'M16')
case('bdat', ENVELOPE + 'BDAT 22 LAST|Subject: x\r\n\r\nbody..\r\n\nQUIT\n', 'M16')
case('bdat in two', ENVELOPE + 'BDAT 14|Subject: x\r\n\r\n\nBDAT 8 LAST|body..\r\n\nQUIT\n', 'M16')
case('bdat with bare LF', ENVELOPE + 'BDAT 22 LAST|Subject: x\n\nbody\nbody\n\nQUIT\n', 'M16')
case('bdat, then reset', ENVELOPE + 'BDAT 14|Subject: x\r\n\r\n\nRSET\n' + NEXT + CONTENT + 'QUIT\n', 'M16')
case('bdat, data refused', ENVELOPE + 'BDAT 22 LAST|Subject: x\r\n\r\nbody..\r\n\nQUIT\n', 'M16', m0=['DATA -> reject'])
case('bdat, data refused, then another', ENVELOPE + 'BDAT 22 LAST|Subject: x\r\n\r\nbody..\r\n\n' + NEXT + CONTENT + 'QUIT\n', 'M16',
     m0=['DATA -> reply "550 5.7.9 own words"'])
case('bdat without recipients, then another', ENVELOPE.rsplit('RCPT', 1)[0] + 'BDAT 22 LAST|Subject: x\r\n\r\nbody..\r\n\n' + NEXT + CONTENT + 'QUIT\n', 'M16')
case('bdat without recipients, then one', ENVELOPE.rsplit('RCPT', 1)[0] + 'BDAT 14|Subject: x\r\n\r\n\nRCPT TO:<b@example.test>\nRSET\n' + NEXT + CONTENT + 'QUIT\n', 'M16')
case('xclient', 'EHLO client.example.net\nXCLIENT ADDR=192.0.2.7 NAME=h.example.net PORT=4711\n' + MAIL, 'M12 M17')
case('xclient, no name', 'EHLO client.example.net\nXCLIENT ADDR=192.0.2.7 NAME=[UNAVAILABLE] PORT=4711\n' + MAIL, 'M12')
case('xclient, name for the time being unknown', 'EHLO client.example.net\nXCLIENT ADDR=192.0.2.7 NAME=[TEMPUNAVAIL]\n' + MAIL, 'M9 M12',
     settings={'symlist.connect': EVERY, 'symlist.mail': EVERY})
case('xclient, other reverse name', 'EHLO client.example.net\nXCLIENT ADDR=192.0.2.7 NAME=h.example.net REVERSE_NAME=r.example.net\n' + MAIL, 'M9',
     settings={'symlist.connect': EVERY})
case('xclient, only a reverse name', 'EHLO client.example.net\nXCLIENT ADDR=192.0.2.7 NAME=[UNAVAILABLE] REVERSE_NAME=r.example.net\n' + MAIL, 'M9',
     settings={'symlist.connect': EVERY})
case('xclient, IPv6', 'EHLO client.example.net\nXCLIENT ADDR=IPV6:2001:db8::1 NAME=h.example.net PORT=4711\n' + MAIL, 'M12',
     settings={'symlist.connect': EVERY})
case('xclient in a transaction of many', ENVELOPE + CONTENT + 'XCLIENT ADDR=192.0.2.7 NAME=h.example.net\n' + ENVELOPE + CONTENT + 'QUIT\n', 'M17')
case('local client', 'EHLO client.example.net\nXCLIENT ADDR=127.0.0.1 NAME=localhost\nEHLO localhost\n' + NEXT + CONTENT + 'QUIT\n', 'M44')
case('header fields missing', ENVELOPE + 'DATA\nSubject: one\n\nline one\n.\nQUIT\n', 'M20', 'local')
case('header fields of no concern to others', ENVELOPE + 'DATA\nBcc: c@example.test\nSubject: one\nReturn-Path: <x@y.test>\nbcc: d@example.test,\n'
     ' e@example.test\nContent-Length: 3\nResent-Bcc: f@example.test\n\nline one\n.\nQUIT\n', 'M20', 'local')
case('unknown command', 'EHLO client.example.net\nFROB\nQUIT\n', 'M18')
case('unknown command with arguments', 'EHLO client.example.net\nFROB some thing\nQUIT\n', 'M18')
case('unknown command before ehlo', 'FROB\nEHLO client.example.net\nQUIT\n', 'M18')
case('unknown command in a transaction', ENVELOPE + 'FROB\n' + CONTENT + 'QUIT\n', 'M18')
case('known commands that are no events', 'EHLO client.example.net\nNOOP\nVRFY b@example.test\nHELP\n' + NEXT + 'NOOP\n' + CONTENT + 'QUIT\n', 'M18')

# ---- content (M21-M23) ----

content('no body', 'Subject: x\n', 'M22')
content('empty body', 'Subject: x\n\n', 'M22')
content('no header', '\nbody only\n', 'M21')
content('nothing at all', '', 'M22')
content('dots', 'Subject: x\n\n..a dot\n...\n', 'M22')
content('header without space', 'Subject:x\nX-Tab:\ty\nX-Two:  z\nX-Empty:\nX-Blank: \n\nb\n', 'M21')
content('header spaces kept', 'Subject:x\nX-Tab:\ty\nX-Two:  z\nX-Empty:\nX-Blank: \n\nb\n', 'M21', settings={'steps': '0x100000'})
content('header folded oddly', 'Subject: x\nX-A:\n b\nX-C: d \n  \n e\nX-F:\tg\n\th\n\nb\n', 'M21')
content('header name with blank', 'Subject : x\nX-A: b\n\nb\n', 'M21')
content('Received of others', 'Received: from far by near; Mon, 1 Jan 2024 00:00:00 +0000\nSubject: x\n\nb\n', 'M21')
content('its own Message-Id', 'Message-Id: <one@example.net>\nSubject: x\n\nb\n', 'M9', settings={'symlist.eom': '{msg_id}'})
content('no header, but text', 'this is no header field\nSubject: x\n\nb\n', 'M21')
content('header fields Postfix drops', 'Bcc: c@example.test\nReturn-Path: <x@y.test>\nSubject: x\nContent-Length: 3\nResent-Bcc: d@example.test\n\nb\n', 'M21')
content('header field with a NUL', 'Subject: x\0y\nX-A: b\n\nb\n', 'M21')
content('8 bit', 'Subject: \u00fc\n\n\u00e4\u00f6\u00fc\n', 'M22')
content('body of two chunks', 'Subject: x\n\n' + ('0123456789' * 7 + '\n') * 1000, 'M22')
content('body of one chunk exactly', 'Subject: x\n\n' + ('0123456789' * 7 + '\n') * 910 + '0' * 13 + '\n', 'M22')
content('body cut between CR and LF', 'Subject: x\n\n' + ('0123456789' * 7 + '\n') * 910 + '0' * 14 + '\nmore\n', 'M22')
content('long line', 'Subject: x\n\n' + 'x' * 900 + '\n', 'M22')
content('header of 50000 bytes', 'Subject: x\nX-Long: a\n' + (' ' + 'x' * 69 + '\n') * 700 + '\nb\n', 'M23')
content('header of 63000 bytes', 'Subject: x\nX-Long: a\n' + (' ' + 'x' * 69 + '\n') * 900 + '\nb\n', 'M23 B5')

# ---- edits (M24-M31) ----

edit('add', 'add "X-New: value"', shows='M24')
edit('add a name that is there', 'add "Subject: second"', shows='M24')
edit('add folded', 'add "X-New: one\\n two"', shows='M27')
edit('add, line without space', 'add "X-New: one\\ntwo"', shows='M27')
edit('add, CR LF', 'add "X-New: one\\r\\n two"', shows='M27')
edit('add, ends in LF', 'add "X-New: one\\n"', shows='M27')
edit('add empty', 'add "X-New: "', shows='M24')
edit('add without a name', 'add ": value"', shows='M24')
edit('add twice', 'add "X-New: 1"', 'add "X-New: 2"', shows='M24')
edit('add, leading blanks', 'add "X-New:   three"', shows='M24')
edit('add, leading space kept', 'add "X-New: value"', 'insert 0 "X-In:  two"', 'change 1 "Subject:new"', shows='M24', settings={'steps': '0x100000'})
for _index in (0, 1, 2, 3, 4, 5, 6, 100):
    edit('insert %d' % _index, 'insert %d "X-New: v"' % _index, shows='M25')
edit('insert twice at 0', 'insert 0 "X-A: v"', 'insert 0 "X-B: v"', shows='M25')
edit('insert twice at 1', 'insert 1 "X-A: v"', 'insert 1 "X-B: v"', shows='M25')
edit('insert folded', 'insert 1 "X-A: one\\n\\ttwo"', shows='M25 M27')
edit('insert empty', 'insert 1 "X-A: "', shows='M25')
edit('insert after delete', 'change 1 "Subject: "', 'insert 2 "X-A: v"', shows='M25')
edit('change', 'change 1 "Subject: new"', shows='M26')
edit('change 0', 'change 0 "Subject: new"', shows='M26')
edit('change second of a name', 'change 2 "X-Twice: new"', shows='M26')
edit('change respells the name', 'change 1 "SUBJECT: new"', shows='M26')
edit('change what is not there', 'change 1 "X-None: new"', shows='M26')
edit('change third of two', 'change 3 "X-Twice: new"', shows='M26')
edit('change what was added', 'add "X-New: 1"', 'change 1 "X-New: 2"', shows='M26')
edit('change to folded', 'change 1 "Subject: one\\n two"', shows='M26 M27')
edit('change without a name', 'change 1 ": new"', shows='M26')
edit('delete', 'change 1 "Subject: "', shows='M26')
edit('delete 0', 'change 0 "Subject: "', shows='M26')
edit('delete shifts', 'change 1 "X-Twice: "', 'change 1 "X-Twice: was second"', shows='M26')
edit('delete both', 'change 1 "X-Twice: "', 'change 1 "X-Twice: "', shows='M26')
edit('delete both, from the end', 'change 2 "X-Twice: "', 'change 1 "X-Twice: "', shows='M26')
edit('delete what is not there', 'change 1 "X-None: "', shows='M26')
edit('change Received', 'change 1 "Received: x"', shows='M26')
edit('delete Received', 'change 1 "Received: "', shows='M26')
edit('body', 'body "new body\\r\\n"', shows='M28')
edit('body in two', 'body "new "', 'body "body\\r\\n"', shows='M28')
edit('body empty', 'body ""', shows='M28')
edit('body without line end', 'body "new body"', shows='M28')
edit('body with bare LF', 'body "one\\ntwo\\n"', shows='M28')
edit('body with lone CR', 'body "one\\rtwo\\r\\n"', shows='M28')
edit('body ends in CR', 'body "one\\r"', shows='M28')
edit('body with dots', 'body ".\\r\\n..\\r\\n"', shows='M28')
edit('body, CR LF divided', 'body "one\\r"', 'body "\\ntwo\\r\\n"', shows='M28')
edit('body not in one piece', 'body "one\\r\\n"', 'add "X-A: b"', 'body "two\\r\\n"', shows='M28')
edit('rcpt deleted', 'rcpt- <b@example.test>', client=TWO_RCPTS, shows='M29')
edit('rcpt deleted, other case', 'rcpt- <B@example.test>', shows='M29')
edit('rcpt deleted, other case of the domain', 'rcpt- <b@Example.Test>', shows='M29')
edit('rcpt deleted, none left', 'rcpt- <b@example.test>', shows='M29')
edit('rcpt deleted without brackets', 'rcpt- b@example.test', client=TWO_RCPTS, shows='M29')
edit('rcpt deleted that is not there', 'rcpt- <none@example.test>', shows='M29')
edit('rcpt added', 'rcpt+ <c@example.test>', shows='M30')
edit('nobody added', 'rcpt+ <>', shows='M30')
edit('rcpt added without brackets', 'rcpt+ c@example.test', shows='M30')
edit('rcpt added twice', 'rcpt+ <c@example.test>', 'rcpt+ <c@example.test>', shows='M30')
edit('rcpt added that is there', 'rcpt+ <b@example.test>', shows='M30')
edit('rcpt added, then deleted', 'rcpt+ <c@example.test>', 'rcpt- <c@example.test>', shows='M29 M30')
edit('rcpt added with parameters', 'rcpt+ <c@example.test> NOTIFY=NEVER', shows='M30')
edit('rcpt added with odd parameters', 'rcpt+ <c@example.test> SIZE=3 NONSENSE', shows='M30')
edit('rcpt deleted as it was told, a dot at its end', 'rcpt- <c@example.test.>', client=ENVELOPE + 'RCPT TO:<c@example.test.>\n' + CONTENT, shows='M29')
edit('rcpt deleted as it was told, in quotes', 'rcpt- <"c d"@example.test>', client=ENVELOPE + 'RCPT TO:<"c d"@example.test>\n' + CONTENT, shows='M29')
edit('rcpt deleted, needless quotes', 'rcpt- <"c"@example.test>', client=TWO_RCPTS, shows='M29')
edit('rcpt deleted, without its needless quotes', 'rcpt- <c@example.test>', client=ENVELOPE + 'RCPT TO:<"c"@example.test>\n' + CONTENT, shows='M29')
edit('rcpt added with a name', frame('+"C, of Test" <c@example.test> (who)\0'), shows='M30')
edit('rcpt added with bad parameters', 'rcpt+ <c@example.test> NOTIFY=WHY ORCPT=x', shows='M30')
edit('sender changed', 'from <new@example.net>', shows='M31')
edit('sender changed, with a name', frame('eNew <new@example.net>\0'), shows='M31')
edit('sender changed with bad parameters', 'from <new@example.net> RET=WHY ENVID=', shows='M31')
edit('sender changed, no brackets', 'from new@example.net', shows='M31')
edit('sender changed, no domain', 'from <new>', shows='M31')
edit('sender made null', 'from <>', shows='M31')
edit('sender changed with parameters', 'from <new@example.net> RET=HDRS ENVID=z', shows='M31')
edit('sender changed with odd parameters', 'from <new@example.net> SIZE=3 NONSENSE', shows='M31')
edit('sender changed twice', 'from <new@example.net>', 'from <newer@example.net>', shows='M31')
for _name, _edit, _shows in (('add', 'add "X-A: b"', 'M24'), ('insert', 'insert 0 "X-A: b"', 'M25'), ('change', 'change 1 "Subject: b"', 'M26'),
                             ('body', 'body "b\\r\\n"', 'M28'), ('rcpt deleted', 'rcpt- <b@example.test>', 'M29'),
                             ('rcpt added', 'rcpt+ <c@example.test>', 'M30'), ('sender changed', 'from <x@example.net>', 'M31')):
    edit(_name + ', not negotiated', _edit, shows=_shows + ' M41', settings={'actions': '0'})
for _event in ('CONNECT', 'HELO', 'MAIL', 'RCPT', 'DATA', 'HEADER', 'EOH', 'BODY'):
    case('edit at ' + _event.lower(), MAIL, 'M41', m0=[_event + ' -> add "X-A: b" ; continue'])
case('edits then reject', ENVELOPE + CONTENT, 'M33', m0=['EOM -> add "X-A: b" ; reject'])
case('edits then accept', ENVELOPE + CONTENT, 'M32', m0=['EOM -> add "X-A: b" ; accept'])
case('edits then discard', ENVELOPE + CONTENT, 'M35', m0=['EOM -> add "X-A: b" ; discard'])

# ---- verdicts (M32-M40) ----

case('accepted, then another', ENVELOPE + CONTENT + NEXT + CONTENT + 'QUIT\n', 'M32', m0=['MAIL <a@* -> accept'])
case('refused at connect, then everything', 'EHLO client.example.net\nNOOP\nVRFY b\nFROB\nRSET\n' + NEXT + 'DATA\nHELO x.test\nQUIT\n', 'M33 M34', 'two',
     m0=['CONNECT -> reply "550 5.7.9 own words"'])
case('deferred at connect, then everything', 'EHLO client.example.net\nNOOP\nVRFY b\nFROB\nRSET\n' + NEXT + 'DATA\nHELO x.test\nQUIT\n', 'M33 M34', 'two',
     m0=['CONNECT -> reply "450 4.7.9 later"'])
case('refused at helo, then everything', 'EHLO client.example.net\nNOOP\nVRFY b\nFROB\nRSET\n' + NEXT + 'DATA\nHELO x.test\nQUIT\n', 'M33 M34', 'two',
     m0=['HELO -> reply "550 5.7.9 own words"'])
case('deferred at helo, then everything', 'EHLO client.example.net\nNOOP\nVRFY b\nFROB\nRSET\n' + NEXT + 'DATA\nHELO x.test\nQUIT\n', 'M33 M34', 'two',
     m0=['HELO -> tempfail'])
case('mail refused, then another', 'EHLO client.example.net\nMAIL FROM:<bad@example.net>\nMAIL FROM:<a@example.net>\nRCPT TO:<b@example.test>\n'
     + CONTENT, 'M33', m0=['MAIL <bad@*> -> reject'])
case('discarded at mail, another milter', MAIL, 'M35', 'two', m0=['MAIL <a@* -> discard'])
case('discarded at rcpt, two recipients', TWO_RCPTS + NEXT + CONTENT + 'QUIT\n', 'M35', 'two', m1=['RCPT <c@* -> discard'])
case('discarded at data', TWO_RCPTS + NEXT + 'QUIT\n', 'M35', 'two', m0=['DATA -> discard'])
case('reply of several lines', MAIL, 'M37', m0=['MAIL -> reply "550-5.7.1 one\\r\\n550 5.7.1 two"'])
case('reply with percents', MAIL, 'M37', m0=['MAIL -> reply "550 5.7.1 100%% of 5%"'])
case('reply without enhanced code', MAIL, 'M37', m0=['MAIL -> reply "550 plain"'])
case('reply of a code alone', MAIL, 'M37', m0=['MAIL -> reply "550"'])
case('reply 521', MAIL, 'M37', m0=['MAIL -> reply "521 5.7.1 closing"'])
case('reply 452', MAIL, 'M37', m0=['RCPT -> reply "452 4.5.3 later"'])
case('reply with a 2xx code', MAIL, 'M37', m0=['MAIL -> reply "250 2.0.0 no"'])
case('reply with a 3xx code', MAIL, 'M37', m0=['MAIL -> reply "354 go on"'])
case('reply with no code', MAIL, 'M37', m0=['MAIL -> reply "hello"'])
case('reply 550 with 4.x', MAIL, 'M37', m0=['MAIL -> reply "550 4.7.1 odd"'])
case('reply of two codes', MAIL, 'M37', m0=['MAIL -> reply "550-5.7.1 one\\r\\n451 4.7.1 two"'])
case('reply without a NUL', MAIL, 'M40 B18', m0=['MAIL -> raw 00000014' + b'y550 5.7.1 own words'.hex()])
case('all recipients refused by the milter', ENVELOPE + 'DATA\nMAIL FROM:<x@example.net>\nRSET\n' + NEXT + 'QUIT\n', 'M38', m0=['RCPT -> reject'])
case('one recipient refused by the milter', TWO_RCPTS + 'QUIT\n', 'M38', m0=['RCPT <b@*> -> reject'])
case('data refused, then more', ENVELOPE + 'DATA\nMAIL FROM:<x@example.net>\nRCPT TO:<c@example.test>\nDATA\nRSET\n' + NEXT + 'QUIT\n', 'M38',
     m0=['DATA -> reject'])
case('quarantined', TWO_RCPTS + NEXT + CONTENT + 'QUIT\n', 'M39 B1', 'two', m0=['EOM -> quarantine "own words" ; continue'])
case('quarantined by the second', ENVELOPE + CONTENT, 'M39', 'two', m1=['EOM -> quarantine "own words" ; continue'])
case('quarantined and accepted', ENVELOPE + CONTENT, 'M39', 'two', m0=['EOM -> quarantine "own words" ; accept'])
case('quarantined and refused', ENVELOPE + CONTENT, 'M39', 'two', m0=['EOM -> quarantine "own words" ; reject'])
case('edited and quarantined', ENVELOPE + CONTENT, 'M39 B1', 'two', m0=['EOM -> add "X-Scan: bad" ; quarantine "own words" ; continue'],
     m1=['EOM -> add "X-Signed: yes" ; continue'])
case('quarantine at mail', MAIL, 'M39', 'two', m0=['MAIL -> quarantine "own words" ; continue'])
case('extra bytes after a verdict', MAIL, 'M40', m0=['MAIL -> raw 0000000363787a'])
case('extra bytes after an edit', MAIL, 'M40', m0=['EOM -> raw 000000082d3c623e00787a00 ; continue'])

# ---- skip and progress ----

for _event in ('CONNECT', 'HELO', 'MAIL', 'RCPT', 'DATA', 'HEADER', 'EOH', 'BODY', 'EOM'):
    case('skip at %s, twice' % _event.lower(), TWO_RCPTS.replace('\nline one\n', '\n' + ('0123456789' * 7 + '\n') * 1000) + NEXT + CONTENT + 'QUIT\n',
         'M4', settings={'steps': '0x400'}, m0=[_event + ' -> skip'])
case('progress, then continue', MAIL, 'M43', m0=['EOM -> progress ; progress ; continue', 'MAIL -> progress ; continue'])
case('progress at every event', UNKNOWN_FIRST, 'M43', m0=[e + ' -> progress ; continue' for e, _ in STAGES.values()])

# ---- several milters (M12, M19) ----

case('two milters', MAIL, 'M19', 'two')
case('three milters', MAIL, 'M19', 'three')
case('three milters, two transactions', TWO_RCPTS + NEXT + CONTENT + 'QUIT\n', 'M19', 'three')
for _stage, (_event, _client) in STAGES.items():
    case('second of three rejects at ' + _stage, _client, 'M12 M33', 'three', m1=[_event + ' -> reject'])
    case('first of two accepts at ' + _stage, _client, 'M32' + (' B17' if _stage == 'unknown' else ''),
         'panic two' if _stage == 'unknown' else 'two', m0=[_event + ' -> accept'])
case('first discards at eom', MAIL, 'M35', 'two', m0=['EOM -> discard'])
case('second discards at eom', MAIL, 'M35', 'two', m1=['EOM -> discard'])
edit('second sees what the first added', 'add "X-New: 1"', 'insert 0 "X-Top: 2"', setup='two', shows='M19')
edit('second sees the new body', 'body "new\\r\\nbody\\r\\n"', setup='two', shows='M19')
edit('line end added for the second', 'body "new body"', setup='two', shows='M19 M28')
edit('second sees the header changed', 'change 1 "X-Twice: "', 'change 1 "SUBJECT: new"', setup='two', shows='M19 M26')
case('second changes what the first added', ENVELOPE + CONTENT, 'M19 M26', 'three', m0=['EOM -> add "X-New: 1" ; continue'],
     m1=['EOM -> change 1 "X-New: 2" ; continue'])
case('each adds on top', ENVELOPE + CONTENT, 'M19 M25', 'three', **{m: ['EOM -> insert 0 "X-Top: %s" ; continue' % m] for m in ('m0', 'm1', 'm2')})
case('each replaces the body', ENVELOPE + CONTENT, 'M19 M28', 'three', **{m: ['EOM -> body "of %s\\r\\n" ; continue' % m] for m in ('m0', 'm1', 'm2')})
case('second deletes the recipient the first added', ENVELOPE + CONTENT, 'M19 M30', 'two', m0=['EOM -> rcpt+ <c@example.test> ; continue'],
     m1=['EOM -> rcpt- <c@example.test> ; continue'])
case('first edits, second rejects', ENVELOPE + CONTENT, 'M19', 'two', m0=['EOM -> add "X-New: 1" ; continue'], m1=['EOM -> reject'])
case('second wants no header', MAIL, 'M4 M19', 'two', each={'m1': {'steps': '0x60'}})
case('versions 2 and 6', UNKNOWN_FIRST, 'M2 M19', 'two', each={'m0': {'version': '2', 'steps': '0', 'actions': '0x1f'}})

# ---- failures: each kind, each action (M41-M43) ----

FAILURES = {
    'closes at negotiation': ('NEG', 'close'), 'closes at connect': ('CONNECT', 'close'), 'closes at mail': ('MAIL', 'close'),
    'closes at eom': ('EOM', 'close'), 'half a frame at mail': ('MAIL', 'raw 000000087935 ; close'), 'half a frame at eom': ('EOM', 'raw 000000087935 ; close'),
    'nonsense at mail': ('MAIL', 'text "HTTP/1.1 400 Bad Request\\r\\n\\r\\n"'), 'unknown reply at mail': ('MAIL', 'raw 000000015a'),
    'oversized at mail': ('MAIL', 'raw ffffffff'), 'no length at mail': ('MAIL', 'raw 00000000'), 'edit at mail': ('MAIL', 'add "X-A: b" ; continue'),
    'edit without sense at eom': ('EOM', 'change 1 ": new" ; continue'), 'reply without code at mail': ('MAIL', 'reply "hello"'),
    'reply without code at eom': ('EOM', 'reply "hello"'), 'closes after edits': ('EOM', 'add "X-A: b" ; close'),
}
for _setup, _options in SETUPS.items():
    if _options.timeout:
        case('hangs at mail, ' + _options.action, MAIL, 'M43 M41 B2', _setup, m0=['MAIL <a@* -> hang'])
        case('hangs at eom, ' + _options.action, MAIL, 'M43 M41 B2', _setup, m0=['EOM -> hang'])
    elif _options.gone:
        case('not there, ' + _options.action, ENVELOPE + CONTENT + NEXT + CONTENT + 'QUIT\n', 'M41 M42 B2', _setup)
    elif _setup == _options.action:
        for _name, (_event, _do) in FAILURES.items():
            case('%s, %s' % (_name, _setup), ENVELOPE + CONTENT + NEXT + CONTENT + 'QUIT\n', 'M41 M42 B2 B4' if 'closes at mail' in _name else 'M41',
                 _setup, m0=[_event + ' -> ' + _do])
