"""gatepost check: each mistake with its file, its line and a sentence; exit codes of sysexits(3)."""
import os
import socket
import subprocess
import threading

import pytest

from gp.maildir import CONF, SCRIPT
from gp.server import BINARY, Gatepost, free_port

# The last of these lines is where most mistakes below are made.
HEAD = '''hostname = "mx.test"
spool = "spool"
next_hop here { maildir = "mail/%d/%n" }
'''
LISTENER = 'listener mx { address = "127.0.0.1:0" script = "mx.sieve" }\n'

MISTAKES = [
    ('workers = many', '4: workers is a number from 1 to 256, not "many"'),
    ('workers = 0', '4: workers is a number from 1 to 256, not "0"'),
    ('worker = 2', '4: unknown setting worker; did you mean workers?'),
    ('hostname = "again"', '4: hostname is set twice, first on line 1'),
    ('proxy amavis { smtp = "127.0.0.1:10024" }', '4: proxy is not in this version (0.1)'),
    ('queue { store = "file:/x" }', '4: queue is not in this version (0.1)'),
    ('admin { address = "127.0.0.1:8025" }', '4: admin is not in this version (0.1)'),
    ('next_hop mx { mx = true }', '4: mx is not in this version (0.1)'),
    ('log { level = loud }', '4: level is one of error, warning, notice, info, debug; not "loud"'),
    ('log {\n\ttarget = "file:/x"\n}', '5: log target "file:/x" is neither stderr nor syslog:FACILITY'),
    ('dns {\n trust_anchor = "none.key" }', '4: dns: *none.key*'),
    ('dns { hosts = "none.hosts" }', '4: dns: *none.hosts*'),
    ('user = "nobody-of-that-name"', '4: there is no user called nobody-of-that-name'),
    ('group = "nogroup"', '4: group has no effect without user'),
    ('tls { certificate = "none.pem" }', '4: tls needs both a certificate and its key: key is missing'),
    ('tls {\n certificate = "none.pem"\n key = "none.pem" }', '5: *none.pem*'),
    ('milter m { }', '4: milter m has no socket'),
    ('milter m { socket = "ient:x:1" }', '4: socket "ient:x:1": *'),
    ('milter m { socket = "inet:127.0.0.1:1"\n on_failure = acept }',
     '5: on_failure is one of continue, accept, tempfail, reject, hold, disconnect; not "acept"; did you mean accept?'),
    ('milter m { socket = "inet:127.0.0.1:1" on_failure { stage "rpct" { } } }', '4: there is no stage "rpct"; did you mean rcpt?'),
    ('milter m { socket = "inet:127.0.0.1:1" on_failure { timout = accept } }', '4: unknown setting timout in on_failure; did you mean timeout?'),
    ('milter m { socket = "inet:127.0.0.1:1" protocol = 7 }', '4: protocol is a number from 2 to 6, not "7"'),
    ('milter m { socket = "inet:127.0.0.1:1" }\npolicy m { socket = "inet:127.0.0.1:2" }', '5: policy m: the name is taken by another gate'),
    ('milter m { socket = "inet:127.0.0.1:1" }\n\nmilter m { socket = "inet:127.0.0.1:2" }', '6: "m" is defined twice'),
    ('milter "a b" { socket = "inet:127.0.0.1:1" }', '4: "a b" is not a name: letters, digits, "-", "_" and "." make one'),
    ('policy p { socket = "inet:127.0.0.1:1" command_timeout = soon }', '4: command_timeout is a time such as 30s, 250ms, 5m or 1h, not "soon"'),
    ('policy p { socket = "unix:private/policyd-spf" }', '4: socket "unix:private/policyd-spf": the path of a unix socket begins with "/"; *'
     'most likely unix:/var/spool/postfix/private/policyd-spf'),
    ('milter m { socket = "unix:opendkim/sock" }', '4: socket "unix:opendkim/sock": the path of a unix socket begins with "/"; *'),
    ('next_hop h { lmtp = "unix:private/lmtp" }', '4: lmtp "unix:private/lmtp": the path of a unix socket begins with "/"; *'),
    ('policy p { socket = "inet:127.0.0.1:1" retry_delay = never }', '4: retry_delay is a time *'),
    ('policy p { socket = "exec:/bin/cat" user = "policyd-of-nobody" }', '4: there is no user called policyd-of-nobody'),
    ('policy p { socket = "exec:/bin/cat" }', '4: policy p runs a command, so it needs a user to run it as'),
    ('policy p { socket = "exec:/usr/bin/policyd-of-nobody" user = "nobody" }', '4: the command /usr/bin/policyd-of-nobody: No such file or directory'),
    ('policy p { socket = "exec:/etc/passwd" user = "nobody" }', '4: the command /etc/passwd: Permission denied'),
    ('table t { }', '4: table t has no map'),
    ('table t { map = "quux:x" }', '4: table t: *quux*'),
    ('table t { map = "texthash:missing" }', '4: table t: *missing*'),
    ('table t { map = "pcre:missing.pcre" }', '4: table t: *missing.pcre*'),
    ('next_hop h { }', '4: next_hop h is of no kind: lmtp, smtp or maildir is missing'),
    ('next_hop h { lmtp = "unix:/x" smtp = "127.0.0.1:25" }', '4: next_hop h is of one kind: lmtp or smtp'),
    ('next_hop h { maildir = "/x/%q" }', '4: next_hop h: *%q*'),
    ('next_hop h { maildir = "/x"\n tls = may }', '5: tls means nothing for a next hop of kind maildir'),
    ('next_hop h { lmtp = "unix:/x"\n existing_only = yes }', '5: existing_only means nothing for a next hop of kind lmtp'),
    ('listener b { address = "mx.test:25" script = "mx.sieve" }', '4: address "mx.test:25" is not IP:PORT, [IPv6]:PORT or unix:PATH'),
    ('listener b { address = "127.0.0.1:65536" script = "mx.sieve" }', '4: address "127.0.0.1:65536" is not IP:PORT, [IPv6]:PORT or unix:PATH'),
    ('listener b { script = "mx.sieve" }', '4: listener b has no address'),
    ('listener b { address = "127.0.0.1:0" }', '4: listener b has no script: what happens to its mail?'),
    ('listener b { address = {"127.0.0.1:77",\n"127.0.0.1:77"} script = "mx.sieve" }', '5: address "127.0.0.1:77" is used twice, first on line 4'),
    ('listener b { address = "127.0.0.1:0" script = "no.sieve" }', '4: script *no.sieve: No such file or directory'),
    ('listener b { address = "127.0.0.1:0" script = "mx.sieve" tls = offer }',
     '4: tls = offer needs a certificate: tls { certificate = ... key = ... }'),
    ('listener b { address = "127.0.0.1:0" script = "mx.sieve" xclient = "10.0.0.1/8" }', '4: xclient "10.0.0.1/8": *'),
    ('listener b { address = "127.0.0.1:0" script = "mx.sieve" auth = "dovecot:/x" }', '4: auth is not in this version (0.1)'),
    ('listener b { address = "127.0.0.1:0" script = "mx.sieve" bare_newline = keep }', '4: bare_newline is one of reject, normalize; not "keep"'),
    ('listener b { address = "127.0.0.1:0"\n script = "relay.sieve" }', '4: listener b is an open relay: *'),
    ('listener b {\n', '4: the brace opened here is never closed'),
]
FILES = {'relay.sieve': 'require "vnd.gatepost.mta";\nstage "rcpt" { deliver "here"; }\n'}


def fits(pattern, text):
    first, *rest = pattern.split('*')
    if not text.startswith(first):
        return False
    at = len(first)
    for part in rest:
        at = text.find(part, at)
        if at < 0:
            return False
        at += len(part)
    return '*' in pattern or at == len(text)


@pytest.mark.parametrize('text,said', MISTAKES, ids=[m[0].split('\n')[0][:40] for m in MISTAKES])
def test_a_mistake_is_told_with_its_line(gatepost, text, said):
    done = gatepost('-c', 'g.conf', 'check', conf=HEAD + text + '\n' + LISTENER, **FILES)
    assert done.returncode == os.EX_CONFIG
    assert fits('g.conf:' + said, done.stderr.rstrip('\n')), done.stderr
    assert done.stdout == ''


def test_every_mistake_is_told_at_once(gatepost):
    done = gatepost('-c', 'g.conf', 'check', conf=HEAD + 'workers = x\nmilter m { }\ntable t { }\n' + LISTENER)
    assert [line.split(':')[1] for line in done.stderr.splitlines()] == ['4', '5', '6']


def test_a_mistake_in_a_script_is_told_with_its_place(gatepost):
    done = gatepost('-c', 'g.conf', 'check', conf=HEAD + LISTENER,
                    **{'mx.sieve': 'require "vnd.gatepost.mta";\nstage "rcpt" { deliver "hare"; }\n'})
    assert done.returncode == os.EX_CONFIG
    assert '/mx.sieve:2:24: ' in done.stderr and 'hare' in done.stderr and 'here' in done.stderr


def test_nothing_to_listen_on(gatepost):
    assert gatepost('-c', 'g.conf', 'check', conf=HEAD).stderr == 'g.conf: there is no listener: "listener mx { address = ... script = ... }"\n'


def test_a_missing_file(gatepost):
    done = gatepost('-c', 'none.conf', 'check')
    assert done.returncode == os.EX_NOINPUT
    assert done.stderr == 'none.conf: cannot be read: No such file or directory\n'


def test_no_spool(gatepost):
    done = gatepost('-c', 'g.conf', 'check', conf=(HEAD + LISTENER).replace('"spool"', '"nowhere"'))
    assert done.returncode == os.EX_CONFIG
    assert done.stderr.startswith('g.conf:2: spool ') and done.stderr.endswith('/nowhere: No such file or directory\n')


def test_the_default_spool_is_nobodys_line(gatepost):
    if os.path.exists('/var/spool/gatepost'):
        pytest.skip('this machine has one')
    done = gatepost('-c', 'g.conf', 'check', conf=(HEAD + LISTENER).replace('spool = "spool"', ''))
    assert done.stderr == 'g.conf: spool /var/spool/gatepost: No such file or directory\n'


def test_all_is_well(gatepost):
    done = gatepost('-c', 'g.conf', 'check', conf=CONF % dict(workers=1, port=0))
    assert (done.returncode, done.stdout, done.stderr) == (0, 'g.conf: ok\n', '')


def test_from_another_folder(gatepost, tmp_path):
    gatepost('version', conf=CONF % dict(workers=1, port=0))
    done = subprocess.run([BINARY, '-c', gatepost.folder + '/g.conf', 'check'], cwd=tmp_path, stdout=subprocess.PIPE, timeout=60, check=False)
    assert done.returncode == 0


def test_a_port_in_use(gatepost):
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        s.listen()
        port = s.getsockname()[1]
        for command in 'check', 'serve':
            done = gatepost('-c', 'g.conf', command, conf=CONF % dict(workers=1, port=port))
            assert done.returncode == os.EX_UNAVAILABLE
            assert done.stderr == 'g.conf:5: address "127.0.0.1:%d": Address already in use (another server listens there)\n' % port


def test_while_the_server_runs(gatepost):
    port = free_port()
    with Gatepost(gatepost.folder, {'gatepost.conf': CONF % dict(workers=1, port=port), 'mx.sieve': SCRIPT}) as server:
        done = gatepost('-c', 'gatepost.conf', 'check')
        assert (done.returncode, done.stdout) == (0, 'gatepost.conf: ok\n')
        assert done.stderr == 'the addresses were not tried: process %d serves with this spool\n' % server.process.pid
        second = gatepost('-c', 'g.conf', 'serve', conf=CONF % dict(workers=1, port=free_port()))
        assert second.returncode == os.EX_UNAVAILABLE
        assert second.stderr.endswith('process %d serves with it already\n' % server.process.pid)


@pytest.mark.parametrize('words', [[], ['quux'], ['-x'], ['serve', '-q'], ['check', 'x'], ['version', 'x'], ['-c']], ids=' '.join)
def test_usage(gatepost, words):
    done = gatepost(*words)
    assert done.returncode == os.EX_USAGE
    assert 'usage: gatepost' in done.stderr


def test_version(gatepost):
    done = gatepost('version')
    assert (done.returncode, done.stdout) == (0, 'gatepost 0.1\n')


# The root's key signing key of 2017, as DS.
ROOT_DS = '. IN DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D\n'
UNSIGNED = 'dns: the resolver\'s answers do not validate: let it pass DNSSEC signatures on, or set trust_anchor = ""\n'
SILENT = 'dns: no resolver answers: names cannot be looked up now\n'


def answer_unsigned(sock):
    """A resolver to which every name has one NS record, a.test, and nothing is signed."""
    while True:
        query, peer = sock.recvfrom(4096)
        if not query:
            return
        question = query[12:query.index(0, 12) + 5]
        record = question[:-4] + b'\0\2\0\1\0\0\1\0\0\x08\1a\4test\0'
        sock.sendto(query[:2] + b'\x81\x80\0\1\0\1\0\0\0\0' + question + record, peer)


@pytest.mark.parametrize('answers, anchor, note', [(True, '', ''), (True, 'root.ds', UNSIGNED), (False, '', SILENT)], ids=['ok', 'unsigned', 'silent'])
def test_the_resolver_is_asked(gatepost, answers, anchor, note):
    with open(os.path.join(gatepost.folder, 'root.ds'), 'w') as f:
        f.write(ROOT_DS)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(('127.0.0.1', 0))
        port = sock.getsockname()[1]
        resolver = threading.Thread(target=answer_unsigned, args=(sock,))
        if answers:
            resolver.start()
        conf = HEAD + LISTENER + 'dns { servers = "127.0.0.1@%d" trust_anchor = "%s" }\n' % (port, anchor)
        done = gatepost('-c', 'g.conf', 'check', conf=conf)
        if answers:
            sock.sendto(b'', ('127.0.0.1', port))
            resolver.join()
    assert (done.returncode, done.stdout, done.stderr) == (0, 'g.conf: ok\n', note)
