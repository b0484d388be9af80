"""Scripts and messages through our Sieve engine (tests/tools/sieve_run.c) and through Pigeonhole (sieve-test of dovecot-sieve): the same tests
hold, strings have the same values, the same actions are done, the same scripts are refused.

DIFFERENT lists what we mean to do otherwise, each with its reason.
"""
import os
import random
import re
import subprocess

import pytest

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
OURS = os.path.join(TOP, 'build', 'sanitize', 'tools', 'sieve_run')
SENDER, RECIPIENT = 'sender+ext@Example.org', '"odd one"@rcpt.example.com'

MESSAGES = {
    'plain': b'''From: Stuart <stuart@example.com>
To: tom@example.net, "Nico, N." <nico@sub.example.net>
Cc: friends: a@friends.example, b@friends.example;
Subject: Frop!
X-Number: 0015 apples
X-Empty:
X-Twice: first
X-Twice: second
Date: Mon, 1 Jan 2024 10:00:00 +0100

Body.
''',
    'odd': b'''From: "quoted \\"local\\" name"@example.com
To: (comment) tom (another (nested)) @ example . net (end), <@relay.example:route@example.org>
Sender: =?utf-8?q?J=C3=B6rg?= <joerg@example.de>
Cc: undisclosed-recipients:;
Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?= =?iso-8859-1?q?_aus?=
 =?utf-8?b?S8O2bG4=?= and
 	folded
X-Number: -3
X-Twice: *literal?\\stars*
X-Number: 99999999999999999999

''',
    'empty': b'''From: x@y.example

''',
    'koi8': b'''From: a@example.org
Subject: =?koi8-r?b?8NLJ18XU?= =?windows-1252?q?_=80?= =?bogus?q?x?= =?utf-8?x?y?=
X-Number: 15
X-Twice: =?utf-8?q?unfinished

text
''',
}

REQUIRE = ['envelope', 'variables', 'relational', 'comparator-i;ascii-numeric', 'encoded-character']
NUMERIC = ':comparator "i;ascii-numeric"'

TESTS = [
    # RFC 5228 section 5
    'true', 'false', 'not true', 'allof(true, not false)', 'anyof(false, false)', 'exists "subject"', 'exists ["From", "x-twice"]',
    'exists "X-Empty"', 'exists "nothing"', 'size :over 100', 'size :under 1K', 'size :over 0', 'not anyof(exists "cc", exists "subject")',
    # header
    'header "subject" "frop!"', 'header :is "subject" "Frop"', 'header :contains "subject" "ROP"', 'header :contains "subject" ""',
    'header :comparator "i;octet" :contains "subject" "ROP"', 'header :comparator "i;octet" :is "subject" "Frop!"',
    'header :is "x-empty" ""', 'header :contains "x-empty" ""', 'header :matches "x-empty" "*"', 'header :matches "x-empty" "?*"',
    'header :is "nothing" ""', 'header :contains ["nothing", "x-twice"] ["zzz", "cond"]', 'header :is "x-twice" "second"',
    'header :matches "subject" "F*p?"', 'header :matches "subject" "f??p!"', 'header :matches "subject" "*r*o*"',
    'header :matches "subject" ""', 'header :matches "subject" "*"', 'header :matches "x-twice" "\\\\*literal\\\\?\\\\\\\\stars\\\\*"',
    'header :matches "x-twice" "\\\\*liter*"', 'header :matches "x-twice" "?literal??stars?"', 'header :comparator "i;octet" :matches "subject" "f*"',
    'header :is "subject" "Grüße ausKöln and  \tfolded"', 'header :is "subject" "Grüße ausKöln and \tfolded"', 'header :contains "subject" "Köln"',
    'header :is "subject" "Привет €=?bogus?q?x?= =?utf-8?x?y?="', 'header :contains "subject" "Привет"', 'header :contains "subject" "€"',
    'header :contains "subject" "=?bogus?q?x?="', 'header :is "x-twice" "=?utf-8?q?unfinished"',
    # address
    'address "from" "stuart@example.com"', 'address :domain "from" "EXAMPLE.com"', 'address :localpart "from" "Stuart"', 'address :all "from" "Stuart"',
    'address :contains "from" "stu"', 'address :all :is "to" "nico@sub.example.net"', 'address :domain :matches "to" "*.example.net"',
    'address :localpart :is "cc" "b"', 'address :all :is ["bcc", "cc", "to"] "a@friends.example"', 'address :domain "cc" "friends.example"',
    'address :localpart :is "from" "quoted \\"local\\" name"', 'address :all :is "to" "tom@example.net"', 'address :all :is "to" "route@example.org"',
    'address :domain "to" "relay.example"', 'address :all "sender" "joerg@example.de"', 'address :localpart :contains "cc" "undisclosed"',
    'address :comparator "i;octet" :is :domain "from" "EXAMPLE.com"',
    # envelope
    'envelope "from" "sender+ext@example.org"', 'envelope :domain "from" "example.org"', 'envelope :localpart "from" "SENDER+ext"',
    'envelope :localpart :is "to" "odd one"', 'envelope :domain :is ["from", "to"] "rcpt.example.com"', 'envelope :all :contains "to" "odd one"',
    # RFC 5231
    'header :value "eq" %s "x-number" "15"' % NUMERIC, 'header :value "ge" %s "x-number" "15"' % NUMERIC, 'header :value "gt" %s "x-number" "15"' % NUMERIC,
    'header :value "lt" %s "x-number" "16"' % NUMERIC, 'header :value "le" %s "x-number" "14"' % NUMERIC, 'header :value "ne" %s "x-number" "15"' % NUMERIC,
    'header :value "gt" %s "x-number" "99999999999999999998"' % NUMERIC, 'header %s :is "x-number" "00015"' % NUMERIC,
    'header :value "gt" "subject" "a"', 'header :value "lt" "subject" "z"', 'header :value "eq" "x-twice" ["FIRST", "second"]',
    'header :count "eq" %s "x-twice" "2"' % NUMERIC, 'header :count "ge" %s ["x-twice", "subject", "nothing"] "3"' % NUMERIC,
    'header :count "eq" %s "nothing" "0"' % NUMERIC, 'address :count "gt" %s "to" "1"' % NUMERIC, 'address :count "eq" %s ["to", "cc"] "4"' % NUMERIC,
    'address :count "eq" %s "cc" "0"' % NUMERIC, 'envelope :count "eq" %s ["from", "to"] "2"' % NUMERIC,
    # RFC 5229
    'string "a" "A"', 'string :matches "abc" "a*c"', 'string :is ["x", "y"] ["z", "Y"]', 'string :count "eq" %s ["a", "", "b"] "2"' % NUMERIC,
    'string :is "${unset}" ""', 'string :contains "${unset}x" ""',
]

# What the strings are, once the commands before them were done.
STRINGS = [
    ('', '${unset}'), ('', '${}'), ('', '$'), ('', '${a'), ('', '${a b}'), ('', '$${x}$'), ('', '${${x}}'), ('set "a" "1";', '${A}${a}'),
    ('set "a" "${hex:24}{b}"; set "b" "B";', '${a}'), ('', '${hex:41 42}'), ('', '${hex:4}'), ('', '${hex:}'), ('', '${hex:4142}'), ('', '${unicode:263a 41}'),
    ('', '${unicode: 20AC }'), ('', '${UNICODE:000041}'), ('', '${unicode:xyz}'), ('', '${hex:5c}${hex:22}'),
    ('set :lower "a" "AbC dÄ";', '${a}'), ('set :upper "a" "AbC dä";', '${a}'), ('set :upperfirst :lower "a" "aBC";', '${a}'),
    ('set :lowerfirst "a" "ABC";', '${a}'), ('set :length "a" "Grüße €";', '${a}'), ('set :length "a" "";', '${a}'),
    ('set :quotewildcard "a" "a*b?c\\\\d";', '${a}'), ('set :length :quotewildcard "a" "*?";', '${a}'), ('set :upperfirst :lower :length "a" "xYz";', '${a}'),
    ('set "a" "x"; set "a" "${a}${a}"; set "a" "${a}${a}";', '${a}'),
    ('if header :matches "subject" "*" {}', '${0}|${1}'), ('if header :matches "from" "*<*@*>*" {}', '${1}|${2}|${3}|${4}|${5}'),
    ('if string :matches "a.b.c.d" "*.*" {}', '${1}|${2}'), ('if string :matches "a.b.c.d" "*.?.*" {}', '${1}|${2}|${3}'),
    ('if string :matches "frop.......frop.........frop...." "?*??frop*?*" {}', '${1}|${2}|${3}|${4}|${5}|${6}|${7}'),
    ('if string :matches "abcabcd" "*abcd" {}', '${1}'), ('if string :matches "aXbxc" "*x*" {}', '${1}|${2}'),
    ('if string :matches :comparator "i;octet" "aXbxc" "*x*" {}', '${1}|${2}'), ('if string :matches "a*b" "a\\\\**" {}', '${1}'),
    ('if string :matches "abc" "*" {} if string :matches "x" "y*" {}', '${1}'), ('if not string :matches "ab" "a?" {}', '${0}${1}'),
    ('if string :matches "ab" ["x*", "a*"] {}', '${1}'), ('if address :matches "from" "*@*" {}', '${1}|${2}'),
    ('if envelope :matches "from" "*+*@*" {}', '${1}|${2}|${3}'), ('if string :matches "a" "?" {}', '${01}${001}'),
    ('if string :matches "0123456789abcdef" "????????????????" {}', '${16}${15}${10}${9}${1}'),
]

ACTIONS = [
    'keep;', 'discard;', '', 'stop; discard;', 'keep; discard;', 'discard; keep;', 'redirect "a@example.org";', 'redirect "a@example.org"; keep;',
    'redirect "a@example.org"; redirect "b@example.org";', 'if true { discard; } else { keep; }', 'if false { discard; } elsif true { redirect "c@example.org"; }',
    'if false {} elsif false { discard; } else { redirect "d@example.org"; stop; } discard;', 'if true { if false { keep; } else { stop; } } discard;',
    'set "a" "x"; if string "${a}" "x" { redirect "${a}@example.org"; }', 'REJECT "no";', 'REJECT text:\n..no\nmore\n.\n;',
    'REJECT text: # comment\nno\n.\n;', '# comment\nkeep /* inline */ ; # end', 'redirect text:\nx@example.org\n.\n;',
]

# Refused, or taken, by both.
SCRIPTS = [
    'keep', 'keep;;', 'if true { keep; ', 'if keep { stop; }', 'else { keep; }', 'if true {} else {} else {}', 'elsif true {}', 'require "nosuch";', 'keep; require "envelope";',
    'if { keep; }', 'if true; ', 'if not (true) {}', 'if anyof true {}', 'if anyof () {}', 'if size 10 {}', 'if size :over "10" {}', 'if size :over 1 :under 2 {}',
    'if size :over 10M {}', 'if size :over 10X {}', 'redirect;', 'redirect 5;', 'redirect ["a@b.example"];', 'redirect "a@b.example" "c@d.example";', 'keep "x";',
    'if header "a" {}', 'if header "a" :is "b" {}', 'if header :is :contains "a" "b" {}', 'if header :nosuch "a" "b" {}', 'if header :comparator "i;nosuch" "a" "b" {}',
    'if header :comparator "i;octet" "a" "b" {}', 'if header :comparator ["i;octet"] "a" "b" {}', 'if header :localpart "a" "b" {}', 'if address :all :domain "to" "b" {}',
    'if address "subject" "b" {}', 'if header 3 "b" {}', 'if header ["a" "b"] "c" {}', 'if header ["a",] "c" {}', 'if header [] "c" {}', 'if header "" "c" {}',
    'redirect "unfinished', 'redirect text:\nunfinished\n', '/* unfinished', 'keep; %', 'stop "x";', 'discard { keep; }', 'if true keep;', 'if (true) { keep; }',
    'if not not true { keep; }', 'if allof(true, allof(false, not true)) { keep; }', 'KEEP; If True { Stop; }', 'keep;\r\nstop;', 'if header :IS "a" "b" { stop; }',
    'if header :contains :comparator "i;octet" "a" "b" { keep; }', 'if :is header "a" "b" {}', 'keep :nosuch;', 'if true { require "envelope"; }', 'if true {{ keep; }}',
]
REQUIRED = [
    ('variables', 'set "a" "b";'), ('', 'set "a" "b";'), ('variables', 'set "1" "b";'), ('variables', 'set "a b" "c";'), ('variables', 'set "${a}" "c";'), ('variables', 'set :nosuch "a" "b";'),
    ('variables', 'set :lower :upper "a" "b";'), ('variables', 'set :lower :length "a" "b";'), ('variables', 'set "a" ["b"];'), ('variables', 'set "a";'), ('variables', 'set "a.b" "c";'),
    ('variables', 'redirect "${nosuch.a}@b.example";'), ('variables', 'set "a" "${1}";'), ('', 'if envelope "from" "a" {}'), ('envelope', 'if envelope "from" "a" {}'), ('envelope', 'if envelope "nosuch" "a" {}'),
    ('', 'if header :value "gt" "a" "b" {}'), ('relational', 'if header :value "gt" "a" "b" {}'), ('relational', 'if header :value "nosuch" "a" "b" {}'), ('relational', 'if header :value "a" "b" {}'),
    ('relational', 'if header :count 5 "a" "b" {}'), ('relational', 'if header :comparator "i;ascii-numeric" "a" "b" {}'), ('comparator-i;ascii-numeric', 'if header :comparator "i;ascii-numeric" "a" "b" {}'),
    ('comparator-i;ascii-numeric', 'if header :contains :comparator "i;ascii-numeric" "a" "b" {}'), ('comparator-i;octet', 'keep;'), ('encoded-character', 'redirect "${unicode:110000}@b.example";'),
    ('encoded-character', 'redirect "${unicode:d800}@b.example";'), ('', 'if string "a" "b" {}'), ('variables', 'if string :domain "a" "b" {}'),
]

# (what, on which message): why we do otherwise.
CASEMAP = 'RFC 5229 leaves the default comparator as it is in RFC 5228: i;ascii-casemap. They take i;octet for string'
UNKNOWN = 'RFC 5228 section 2.7.2: a word in an unknown character set may be taken as it stands. They drop its frame'
DIFFERENT = {
    ('string "a" "A"', None): CASEMAP,
    ('string :is ["x", "y"] ["z", "Y"]', None): CASEMAP,
    (('if string :matches "aXbxc" "*x*" {}', '${1}|${2}'), None): CASEMAP,
    ('header :contains "subject" "=?bogus?q?x?="', 'koi8'): UNKNOWN,
    (('if header :matches "subject" "*" {}', '${0}|${1}'), 'koi8'): UNKNOWN,
    ('address :count "eq" :comparator "i;ascii-numeric" "cc" "0"', 'odd'): 'an empty group has no address. They count it as one',
    ('require ["variables"];\nredirect "${nosuch.a}@b.example";', 'plain'): 'an unknown namespace is a mistake. They complain, and run the script all the same',
}


class Both:
    """Runs a script through both engines."""

    def __init__(self, folder):
        self.folder = folder
        self.files = 0
        subprocess.run(['make', '-s', 'SANITIZE=1', 'tools'], cwd=TOP, check=True, stdout=subprocess.DEVNULL)
        self.config = self.write('dovecot.conf', ('''mail_uid = nobody
mail_gid = nogroup
first_valid_uid = 1
log_path = /dev/stderr
mail_location = maildir:%s/mail
plugin {
  sieve_max_redirects = 100
}
''' % folder).encode())
        os.chmod(folder, 0o777)
        self.messages = {name: self.write(name + '.eml', text.replace(b'\n', b'\r\n')) for name, text in MESSAGES.items()}

    def write(self, name, content):
        path = os.path.join(self.folder, name)
        with open(path, 'wb') as f:
            f.write(content)
        return path

    def message(self, text):
        self.files += 1
        name = 'm%d' % self.files
        self.messages[name] = self.write(name + '.eml', text)
        return name

    def script(self, text):
        self.files += 1
        return self.write('s%d.sieve' % self.files, text.encode())

    def ours(self, text, message):
        """Actions, sorted; None when the script was refused."""
        path = self.script(text.replace('REJECT', 'ereject').replace('"REFUSE"', '"ereject"'))
        p = subprocess.run([OURS, '-f', SENDER, '-r', RECIPIENT, path, self.messages[message]], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=30)
        assert p.returncode in (0, 1), p.stderr.decode()
        if p.returncode == 1:
            return None
        lines = re.sub('[\x00-\x09\x0b-\x1f]|(?<=\r)\n', '?', p.stdout.decode('utf-8', 'replace')).rstrip('\n').split('\n')
        actions = sorted({line.replace('??', '').strip() if line.startswith('redirect') else line for line in lines if line not in ('keep', 'implicit keep')})
        return actions + (['keep'] if 'keep' in lines or 'implicit keep' in lines else [])

    def theirs(self, text, message):
        path = self.script(text.replace('REJECT', 'reject').replace('"REFUSE"', '"reject"'))
        p = subprocess.run(['sieve-test', '-c', self.config, '-f', SENDER, '-r', RECIPIENT, path, self.messages[message]],
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=30)
        said = p.stdout.decode('utf-8', 'replace')
        if 'failed to compile' in said:
            return None
        assert 'final result' in said, said
        actions = set()
        for line in re.findall(r'^ \* (.*)|^ *(\(none\))', said, re.M):
            line = line[0]
            if line.startswith('redirect message to: '):
                actions.add('redirect ' + line[len('redirect message to: '):].strip('<>'))
            elif line.startswith('reject message with reason: '):
                actions.add('ereject ' + line[len('reject message with reason: '):])
            elif line.startswith('store message in folder: INBOX'):
                actions.add('~keep')
            elif line:
                actions.add(line)
        return [a.lstrip('~') for a in sorted(actions)]


@pytest.fixture(scope='module')
def both(place):
    return Both(place)


def quoted(text):
    return '"%s"' % text.replace('\\', '\\\\').replace('"', '\\"')


def requires(names=()):
    names = list(names)
    return 'require [%s];\n' % ', '.join(quoted(n) for n in names) if names else ''


def expected_difference(what, message):
    return DIFFERENT.get((what, message)) or DIFFERENT.get((what, None))


@pytest.mark.parametrize('message', MESSAGES)
def test_tests(both, message):
    """Forty at a time: which of them hold is written into the reason of a refusal."""
    differ = []
    for start in range(0, len(TESTS), 40):
        batch = TESTS[start:start + 40]
        script = requires(REQUIRE + ['REFUSE'])
        script += ''.join('if %s { set "r" "${r}1"; } else { set "r" "${r}0"; }\n' % t for t in batch) + 'REJECT "${r}";\n'
        ours, theirs = both.ours(script, message), both.theirs(script, message)
        assert ours is not None and theirs is not None, (ours, theirs)
        bits = [list(a[0].split()[1]) for a in (ours, theirs)]
        assert len(bits[0]) == len(bits[1]) == len(batch)
        differ += ['%s: we say %s' % (t, a) for t, a, b in zip(batch, *bits) if (a != b) != bool(expected_difference(t, message))]
    assert not differ, '\n'.join(differ)


@pytest.mark.parametrize('message', MESSAGES)
def test_strings(both, message):
    differ = []
    for before, text in STRINGS:
        script = requires(REQUIRE + ['REFUSE']) + before + ' REJECT "[%s]";\n' % text
        ours, theirs = both.ours(script, message), both.theirs(script, message)
        if (ours != theirs) != bool(expected_difference((before, text), message)):
            differ.append('%s %s: %s instead of %s' % (before, text, ours, theirs))
    assert not differ, '\n'.join(differ)


def test_actions(both):
    differ = []
    for action in ACTIONS:
        script = requires(REQUIRE + ['REFUSE']) + action
        ours, theirs = both.ours(script, 'plain'), both.theirs(script, 'plain')
        if (ours != theirs) != bool(expected_difference(action, 'plain')):
            differ.append('%s: %s instead of %s' % (action, ours, theirs))
    assert not differ, '\n'.join(differ)


def test_refused_scripts(both):
    differ = []
    for script in SCRIPTS + [requires([name] if name else []) + text for name, text in REQUIRED]:
        ours, theirs = both.ours(script, 'plain') is None, both.theirs(script, 'plain') is None
        if (ours != theirs) != bool(expected_difference(script, 'plain')):
            differ.append('%s: we %s it' % (script, 'refuse' if ours else 'take'))
    assert not differ, '\n'.join(differ)


def as_regex(pattern):
    """RFC 5229 section 3.2: each wildcard takes as little as it can, the first one first: what a regular expression calls lazy."""
    pieces = re.findall(r'\\.|.', pattern, re.S)
    return re.compile(''.join({'*': '(.*?)', '?': '(.)'}.get(p, re.escape(p[-1])) for p in pieces), re.S)


def test_random_wildcards(both):
    """What matches, and what each wildcard took.  Here Python's re is asked: Pigeonhole matches "?a*" with "aba" (and "*?*" not with "a")."""
    pick = random.Random(5229)
    pairs = [(''.join(pick.choices('aab*', k=pick.randint(0, 12))), ''.join(pick.choices(['a', 'b', '*', '*', '?', '\\*'], k=pick.randint(0, 7)))) for _ in range(3000)]
    pairs += [(''.join(pick.choices('ab', k=16)), '*'.join(pick.choices(['a', 'b', 'ab', '?', ''], k=6))) for _ in range(1000)]
    differ, matched = [], 0
    for start in range(0, len(pairs), 1000):
        batch = pairs[start:start + 1000]
        script = requires(REQUIRE)
        script += ''.join('if string :comparator "i;octet" :matches %s %s { redirect "%d=${1}|${2}|${3}|${4}|${5}|${6}|${7}"; }\n' % (quoted(v), quoted(p), i)
                          for i, (v, p) in enumerate(batch))
        ours = dict(line.split(' ', 1)[1].split('=', 1) for line in both.ours(script, 'plain') if line != 'keep')
        for i, (value, pattern) in enumerate(batch):
            found = as_regex(pattern).fullmatch(value)
            taken = '|'.join((list(found.groups()) + [''] * 7)[:7]) if found else None
            matched += found is not None
            if ours.get(str(i)) != taken:
                differ.append('%r against %r: %s instead of %s' % (pattern, value, ours.get(str(i)), taken))
    assert not differ, '\n'.join(differ)
    assert 500 < matched < 3500


def test_random_encoded_words(both):
    pick = random.Random(2047)
    tokens = ['=?utf-8?q?a_b?=', '=?utf-8?q?=C3=A4?=', '=?iso-8859-1?q?=E4?=', '=?utf-8?b?w6Q=?=', '=?US-ASCII*en?Q?c?=', ' ', ' ', '  ', '\r\n ', 'x', 'yz', '(', '=']
    differ = []
    for _ in range(30):
        value = 'v' + ''.join(pick.choices(tokens, k=pick.randint(1, 9))) + 'w'
        message = both.message(('From: a@example.org\r\nX-Value: %s\r\n\r\n' % value).encode())
        script = requires(REQUIRE + ['REFUSE']) + 'if header :matches "x-value" "*" { REJECT "[${1}]"; }'
        ours, theirs = both.ours(script, message), both.theirs(script, message)
        if ours != theirs:
            differ.append('%r: %s instead of %s' % (value, ours, theirs))
    assert not differ, '\n'.join(differ)


def test_random_addresses(both):
    """Lists as RFC 5322 allows them: how many there are, and the parts of the first."""
    pick = random.Random(5322)
    blanks = ['', '', ' ', '\r\n ', ' (comment) ', '(a (nested) \\) b)']
    boxes = ['a@b.example', '<c@d.example>', 'Name <e@f.example>', '"Q, q" <g@h.example>', '"i j"@k.example', '<@r.example,@s.example:l@m.example>',
             'n (c) @ o . example', 'p.q+r@[192.0.2.1]', '=?utf-8?q?N?= <t@u.example>', 'A. B. "c" D <v@w.example>']
    differ = []
    for _ in range(30):
        items = [pick.choice(blanks) + pick.choice(boxes) + pick.choice(blanks) for _ in range(pick.randint(1, 5))]
        if pick.random() < 0.3:
            items[-1] = 'group: ' + items[-1] + ';'
        message = both.message(('From: a@example.org\r\nTo: %s\r\n\r\n' % ','.join(items)).encode())
        script = requires(REQUIRE + ['REFUSE'])
        script += ''.join('if address :count "eq" %s "to" "%d" { set "n" "%d"; }\n' % (NUMERIC, n, n) for n in range(8))
        script += ''.join('if address :%s :matches "to" "*" { set "%s" "${1}"; }\n' % (part, part) for part in ('all', 'localpart', 'domain'))
        script += 'REJECT "[${n}|${all}|${localpart}|${domain}]";'
        ours, theirs = both.ours(script, message), both.theirs(script, message)
        if ours != theirs:
            differ.append('%r: %s instead of %s' % (items, ours, theirs))
    assert not differ, '\n'.join(differ)
