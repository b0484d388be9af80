"""Tables and keys picked by hand: (name, kind, what the file or the name holds, keys)."""

# Asked of every table.
POOL = ['user@example.org', 'USER@EXAMPLE.ORG', 'User@Example.Org', 'user+ext@example.org', 'user', 'USER', 'user+ext', '@example.org', 'example.org',
        '.example.org', 'sub.example.org', 'a b', 'no@where.test', '192.0.2.1', '192.0.2', '2001:db8::1', '2001:DB8::1', '2001:db8:0:0:0:0:0:1', '::ffff:192.0.2.1',
        '10.0.0.1', '*', '#', 'x' * 300, 'jos\u00e9@example.org', 'JOS\u00c9@example.org', 'xn--bcher-kva.example', 'b\u00fccher.example', 'B\u00dcCHER.EXAMPLE',
        '"a b"@example.org', 'a\\ b', 'key:', 'empty', ' leading', 'trailing ', 'tab\tin', '<>', 'dup', 'DUP']

LINES = r'''# comment
user@example.org one

   # indented comment
@example.org	two  words	and tab
.example.org  dot
example.org a,
	b,
# within
   c
user  local
dup 1
DUP 2
"a b"@example.org quoted
a\ b backslash
key: colon
lonely
'''
FILES = ('texthash', 'hash', 'btree', 'lmdb', 'cdb', 'cidr', 'pcre', 'regexp')
KEYED = ('texthash', 'hash', 'btree', 'lmdb', 'cdb')


def keyed(name, text, keys=()):
    return [('%s-%s' % (kind, name), kind, text, list(keys)) for kind in KEYED]


CASES = [
    *keyed('lines', LINES),
    *keyed('crlf', LINES.replace('\n', '\r\n')),
    *keyed('no-newline-at-end', 'user one\nexample.org two'),
    *keyed('nothing', ''),
    *keyed('only-comments', '# a\n  # b\n\n'),
    *keyed('begins-with-blank', ' user one\nexample.org two\n'),
    *keyed('continued-comment', 'user one\n# a\n  b\n'),
    *keyed('blank-line-within', 'user one\n\n   two\n   \n\tthree\n'),
    *keyed('long', 'user %s\n%s longkey\n' % ('v' * 20000, 'x' * 300)),
    *keyed('many', ''.join('key%d value%d\n' % (i, i) for i in range(3000)), ['key%d' % i for i in range(0, 3100, 61)]),
    *keyed('unicode', 'jos\u00e9@example.org e\u0301 \u00e9\nb\u00fccher.example caf\u00e9\nxn--bcher-kva.example ace\n'),
    *keyed('unicode-upper', 'JOS\u00c9@Example.ORG upper\nB\u00dcCHER.EXAMPLE CAF\u00c9\n\u03a3\u03a3 sigma\nSTRASSE one\n\u0130x dotted\n', ['\u03c3\u03c3', '\u03c3\u03c2', '\u03a3\u03a3', 'stra\u00dfe', 'STRA\u1e9eE', 'i\u0307x']),
    *keyed('latin1', b'user one\njos\xe9 bad\nexample.org tw\xf6\nlast three\n', ['last']),
    *keyed('quotes', '"user one\nuser" two\n"a"b c\n"a b"@example.org d\n"tab\tin" e\na\\"b f\n"x\\"y z" g\n"" empty\n', ['"a"b', '"tab\tin"', 'a\\"b', '"x\\"y z"', '""', 'user"']),
    *keyed('backslashes', 'a\\ b c d\nx\\\\ y\nend\\\n', ['a\\ b', 'x\\\\', 'end\\', 'end']),
    *keyed('vertical-space', 'user\vone\nexample.org\ftwo\n10.0.0.1 \v three \f\n'),
    *keyed('values', 'user $1 ${2} %s {x}\nexample.org "quoted value"\nkey: #nocomment\nempty ""\n* star\n<> null\n# # hash\n'),
    *keyed('colon', 'user: one\nexample.org : two\n'),

    ('cidr-forms', 'cidr', '''192.0.2.0/24 net
192.0.2.1 host
2001:db8::/32 six
[2001:db9::]/32 bracket
[2001:dba::1/128] inside
[2001:dbb::1] alone
10.0.0.0/8 ten
0.0.0.0/0 all
::/0 all6
''', ['2001:db9::7', '2001:dba::1', '2001:dba::2', '2001:dbb::1', '192.0.2.255', '192.0.3.0', '::', '::1', '0.0.0.0', '255.255.255.255', '010.0.0.1', '1.2.3', '1.2.3.4.5', '2001:db8::g',
          '[2001:db8::1]', '10.0.0.1/8', ' 10.0.0.1', '1.2.3.256', '0x0a.0.0.1', 'fe80::1%eth0', '::192.0.2.1', '2001:db8::192.0.2.1']),
    ('cidr-wrong', 'cidr', '''192.0.2.1/24 hostbits
192.0.2.0/33 toolong
192.0.2.0/ nothing
192.0.2.0/x letters
192.0.2.0/-1 negative
10.0.0/8 short
10.0.0.0/08 zero
[10.0.0.0/8 open
10.0.0.0]/8 close
[2001:db8::]32 glued
2001:db8::/129 toolong6
2001:db8::1/64 hostbits6
192.0.2.1
  continued nothing
x y
10.1.0.0/16 sixteen
''', ['192.0.2.7', '10.9.9.9', '10.1.2.3', '2001:db8::9']),
    ('cidr-mapped', 'cidr', '::ffff:192.0.2.0/120 mapped\n::ffff:0:0/96 allmapped\n192.0.2.1 plain\n', ['::ffff:192.0.2.1', '::ffff:192.0.3.1', '::FFFF:c000:0201']),
    ('cidr-if', 'cidr', '''if 10.0.0.0/8
if !10.1.0.0/16
10.2.0.0/16 two
10.1.0.0/16 never
endif
10.1.1.0/24 one
ENDIF
If 192.0.2.0/24
!192.0.2.1 other
EndIf
!10.0.0.0/8 notten
!!10.3.0.0/16 three
! 10.4.0.0/16 blank
''', ['10.2.1.1', '10.1.1.1', '10.1.2.1', '10.3.1.1', '10.4.0.1', '192.0.2.2', '192.0.2.1', '11.1.1.1']),
    ('cidr-if-wrong', 'cidr', 'endif\nif 10.0.0.0/8 x\n10.1.0.0/16 a\nendif x\nendif\nif 10.0.0.0/8\n10.2.0.0/16 b\nif\nelse\nif10.0.0.0/8\n10.0.0.0/8 end\n', ['10.1.0.1', '10.2.0.1', '10.3.0.1', '11.0.0.1']),
    ('cidr-crlf', 'cidr', '192.0.2.0/24 net\r\n10.0.0.0/8 ten\r\n', []),
    ('cidr-continued', 'cidr', '192.0.2.0/24\n one\n\ttwo\n10.0.0.0/8 a\n# c\n  b\n', []),
    ('cidr-nothing', 'cidr', '', []),
    ('cidr-each-length', 'cidr', ''.join('%s/%d p%d\n' % ('.'.join(str((0xc0a8d5aa >> (32 - n) << (32 - n) if n else 0) >> s & 255) for s in (24, 16, 8, 0)), n, n) for n in range(32, -1, -1)),
     ['192.168.213.%d' % i for i in range(160, 176)] + ['192.168.212.0', '192.169.0.0', '193.0.0.0', '128.0.0.0', '127.0.0.0']),
]

PATTERNS = r'''# both kinds
/^user@example\.org$/ exact
!/@/ noat
/^(.*)\+(.*)@(.*)$/ $1@$3 ext=$2 ${1}x $(2)y $$ $$1
/^jos/ utf
if /example/
if !/sub/
/^@(.*)/ domain $1
/^\.(.*)/ dot ${1}
endif
/^(s)ub/	sub$1
endif
/^a b$/ blank
|^192\.0\.2\.| pipe
/^(a)|(b)/ groups [$1][$2]
/x{300}/ long
/^$/ emptykey
'''
WRONG = r'''/(/ unclosed
/x{/ brace
/user/ value $1
/user$/ $
/user$/ ${1
/user$/ $0
!/nothing/ $1
/(user)$/ ${} $a
/^user/z badflag
/noslash value
no pattern
if
if /x
endif /x/
endif
if /user/ trailing
/user@/ found
endif
/^example\.org$/
  continued
  /user/ indented
//i emptypattern
/(a)(b)(c)/ $4
/last/ last
'''
FLAGS = {
    'pcre': ['', 'i', 'm', 's', 'x', 'A', 'E', 'U', 'X', 'ii', 'im', 'xi', 'iU', 'q', 'I', 'i x'],
    'regexp': ['', 'i', 'm', 'x', 'ii', 'im', 'xi', 'X', 's'],
}
MANY_LINES = ['', 'm', 's', 'E']          # flags that matter to keys of several lines
SHOWN = [('^user@', 'USER'), ('^(u.*?)(s.*)$', '<$1><$2>'), ('us er', 'blank'), ('ser', 'ser'), ('user$', 'end'), ('u(s|S)er', '$1'), ('a.b', 'dot')]

for engine in ('pcre', 'regexp'):
    CASES += [
        (engine + '-patterns', engine, PATTERNS, ['a', 'b', 'ab', 'cab', 'x', 'sub@example.org', 'q+r+s@example.org']),
        (engine + '-wrong', engine, WRONG, ['last', 'x{', 'abc', 'z@user', '(', 'noslash', 'if']),
        (engine + '-crlf', engine, '/^user@/ one\r\n/^a b$/ two\r\nif /example/\r\n/^@/ at\r\nendif\r\n', []),
        (engine + '-nothing', engine, '', []),
        (engine + '-if-open', engine, '/^user@/ one\nif /exam/\n/^@/ at\n', []),
        (engine + '-if-nested', engine, 'if /a/\nif /b/\n/c/ abc\nendif\n/d/ ad\nif !/b/\n/e/ ae\nendif\nendif\n/e/ e\nIF /z/\nENDIF\nIf!/q/\n/y/ notq\nEndif\n',
         ['abc', 'abd', 'ad', 'ae', 'abe', 'e', 'qy', 'y', 'abcde']),
        (engine + '-delimiters', engine, ',^user@,  comma\n;^@; semi\n|example| pipe\n"^a b"quoted\n!"^no"!x\n_user_ under\n%s% percent\n[user] bracket\n', []),
        (engine + '-escaped', engine, '/a\\/b/ slash\n/\\\\/ backslash\n/^\\.ex/ dot\n', ['a/b', 'a\\b', '.example.org']),
        (engine + '-backslash-at-end', engine, '/^user@example.org$\\', []),
        (engine + '-continued', engine, '/^user/\n  continued\n  /value/\n/^@/ at\n# c\n  more\n', []),
        (engine + '-dollars', engine, '/^(u)(s)(e)(r)(@)(e)(x)(a)(m)(p)(l)(e)(.)/ $1$2$3$10$11$12 ${10}0 $(1)1 $1_ ${1}_$$$1$$\n/^(a) (b)$/ $2$1\n', []),
        (engine + '-optional-groups', engine, '/^(x)?(user)(y)?$/ [$1][$2][$3]\n/^((a)|(e))/ [$1][$2][$3]\n', []),
        (engine + '-utf8', engine, '/^jos.@/ one\n/^b.{2}cher/ two\n/\u00c9/ three\n/^.\u00fc/ four\n', ['\u00c9', '\u00e9', 'b\u00fc']),
        (engine + '-negated', engine, '!/user/ notuser\n!!/user/ double\n! /x/ blank\n', []),
        (engine + '-blanks', engine, '/a b/ one\n/\\s/ two\n/ lead/ three\n/^tab\t/ four\n', []),
    ]
    for i, flags in enumerate(FLAGS[engine]):
        CASES.append(('%s-flags-%s' % (engine, flags.replace(' ', '_') or 'none'), engine, ''.join('/%s/%s %s\n' % (p, flags, v) for p, v in SHOWN),
                      ['us er', 'uSer', 'a.b', 'auser'] + (['user\n', 'a\nb', 'x\nuser'] if flags in MANY_LINES else [])))
CASES += [
    ('regexp-two', 'regexp', '/user/!/example/ one\n/user/i!/EXAMPLE/i two\n/(user)/!/(x)/ $1\n!/a/!/b/ three\n', ['auser', 'b', 'c']),
    ('pcre-features', 'pcre', r'''/^(?<n>us)er/ named $1
/(?i)EXAM(?-i)ple/ inline
/^(?=a)a\x20b/ look
/^(\w+)\.\1/ back $1
/\d{2,3}\.\d+/ digits
/^(?:x{3})+$/ three
/(?#comment)^key:/ remark
/\Q*\E/ star
''', ['a.a', 'user', '10.2']),

    ('static-text', 'static', 'some text', []),
    ('static-two-braces', 'static', '{a}{b}', []),
    ('static-crossed-braces', 'static', '{a}}', []),
    ('static-braces', 'static', '{ some text }', []),
    ('static-braces-then', 'static', '{a} b', []),
    ('static-empty-braces', 'static', '{}', []),
    ('static-empty', 'static', '', []),
    ('static-unclosed', 'static', '{a', []),
    ('static-colon', 'static', 'a:b', []),
    ('static-utf8', 'static', 'jos\u00e9', []),
    ('unionmap-two', 'unionmap', '{inline:{user=a, dup=b}, inline:{user=c, example.org=d}}', []),
    ('unionmap-static', 'unionmap', '{static:x,inline:{user=y}}', []),
    ('unionmap-one', 'unionmap', '{inline:{user=y}}', []),
    ('unionmap-nothing', 'unionmap', '{}', []),
    ('unionmap-wrong', 'unionmap', '{static:x, nonesuch:y}', []),
    ('unionmap-nested', 'unionmap', '{unionmap:{static:a, inline:{user=b}}, pipemap:{inline:{user=k}, inline:{k=v}}}', []),
    ('pipemap-two', 'pipemap', '{inline:{user=k, dup=l}, inline:{k=v}}', []),
    ('pipemap-static', 'pipemap', '{static:user, inline:{user=y}}', []),
    ('pipemap-upper', 'pipemap', '{inline:{user=USER}, inline:{user=y}}', []),
    ('pipemap-unclosed', 'pipemap', '{static:user', []),
    ('randmap-one', 'randmap', '{only}', []),
    ('randmap-alike', 'randmap', '{same, same}', []),
    ('randmap-nothing', 'randmap', '{}', []),
    ('environ', 'environ', 'x', ['MAIL_CONFIG', 'PATH', 'nonesuch']),
    ('fail', 'fail', 'x', []),
    ('debug', 'debug', 'inline:{user=y}', []),
    ('inline-simple', 'inline', '{user=one, example.org=two}', []),
    ('inline-braces', 'inline', '{ {user = one two, three}, {a b = c}, example.org=x }', []),
    ('inline-nested', 'inline', '{ {user = {x}}, {DUP = 1} {dup = 2} }', []),
    ('inline-empty-value', 'inline', '{user=, example.org=x}', []),
    ('inline-no-key', 'inline', '{=x, user=y}', []),
    ('inline-nothing', 'inline', '{}', []),
    ('inline-blank', 'inline', '{ }', []),
    ('inline-unclosed', 'inline', '{user=x', []),
    ('inline-unopened', 'inline', 'user=x', []),
    ('inline-then', 'inline', '{user=x} y', []),
    ('inline-equals', 'inline', '{user=a=b, {a b = c = d}}', []),
    ('inline-blanks', 'inline', '{user=one\texample.org=two\n*=three}', []),
    ('inline-upper', 'inline', '{USER=one, JOS\u00c9@example.org=two}', []),
    ('inline-commas', 'inline', '{,,user=one,,,example.org=two,}', []),
    ('inline-list', 'inline', '{user, example.org}', []),
    ('inline-half-list', 'inline', '{user=1, example.org}', []),
]

# Files that are written out in the name of the table (Postfix 3.7).
WITHIN = {
    'pcre': ['{{/^(us)er/ got $1}, {/./ other}}', '{ {/^user/i a b} , {/^USER/ ${0} } }', '{{/^user@/ a}}', '{{/^user@/\n a}}', '{{if /user/} {/@/ yes} {endif} {/./ any}}',
             '{{/x{3}/ x},{!/@/ no}}', '{,{# comment},,{/a/ x}, ,}', '{}', '{{}}', '{{/(/ x} {/user/ y}}', '{{/user/ x}, {/./ y}z}', '{{/user/ x}} z', '{{/user/ x}', '{/user/ x}',
             '{{/user/ x}}}', '{{/us\\}er/ x}}'],
    'regexp': ['{{/^(us)er/ got $1}, {/./ other}}', '{{/^user/!/@/ local} {/./ any}}', '{{/x{3}/ x}}', '{{if /user/} {/@/ yes} {endif}}', '{/user/ x}'],
    'cidr': ['{{192.0.2.0/24 net}, {2001:db8::/32 six}}', '{{!10.0.0.0/8 other}}', '{{if 192.0.2.0/24}, {192.0.2.1 one}, {endif}, {0.0.0.0/0 all}}', '{192.0.2.1 x}', '{{192.0.2.1}}'],
    'texthash': ['{{user x}}'], 'hash': ['{{user x}}'], 'lmdb': ['{{user x}}'], 'cdb': ['{{user x}}'],
}
for kind, texts in WITHIN.items():
    CASES += [('%s-within-%d' % (kind, i), kind + ':', text, ['x{3}', 'xxx', 'us}er']) for i, text in enumerate(texts)]
