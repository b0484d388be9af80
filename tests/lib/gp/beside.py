"""Real filters behind gatepost and behind Debian's Postfix: the same messages to both, what the client hears and what is delivered."""
import glob
import os
import re
import subprocess
import tempfile
from email.utils import formatdate

import pytest

from .actors import Hop
from .fixtures import Fixture
from .postfix import Postfix
from .server import BINARY, PATIENCE, Gatepost, free_port, wait_for
from .smtp import Smtp

GTUBE = 'XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X'
DATE = formatdate()                         # filters hold an old one, or one to come, against a message
HEAD = 'From: a@example.test\nTo: b@example.test\nDate: ' + DATE + '\nMessage-Id: <%s@example.test>\n'


def message(subject, body='Some text.\n'):
    """Bytes as the wire has them; its own Message-Id, so that no two are the same."""
    message.count = getattr(message, 'count', 0) + 1
    return (HEAD % message.count + 'Subject: %s\n\n%s' % (subject, body)).replace('\n', '\r\n').encode()


def daemon(name, kind='unix', **env):
    """A pytest fixture: the daemon, started once for all tests of a module."""
    @pytest.fixture(scope='module')
    def fixture(place):
        with Fixture(name, subfolder(place), kind, **env) as f:
            yield f
    return fixture


def subfolder(place):
    """A new one, open to the users that daemons become."""
    folder = tempfile.mkdtemp(dir=place)
    os.chmod(folder, 0o755)
    return folder


class Ours(Gatepost):
    """gatepost with MILTERS (endpoints, in order) before a next hop that keeps what it gets; OPTIONS go into each milter's section.
    HOP is what the next hop speaks: lmtp, smtp, bdat (SMTP with CHUNKING) or maildir."""

    def __init__(self, folder, milters, options='', allowed=(), hop='lmtp'):
        self.port, self.maildir = free_port(), os.path.join(folder, 'maildir')
        self.hop = Hop('hop', folder, lmtp=hop == 'lmtp')
        if hop == 'bdat':
            self.hop.settings['caps'] = Hop.CAPS + ', CHUNKING, BINARYMIME'
        way = 'maildir = "%s"' % self.maildir if hop == 'maildir' else '%s = "%s"' % ('lmtp' if hop == 'lmtp' else 'smtp', self.hop.endpoint)
        sections = ''.join('milter m%d { socket = "%s" %s }\n' % (i, e, options) for i, e in enumerate(milters))
        super().__init__(folder, allowed=allowed, files={
            'gatepost.conf': '''hostname = "mx.example.test"
spool = "%s/spool"
workers = 1
dns { enabled = false }
%snext_hop hop { %s }
listener mx { address = "127.0.0.1:%d" script = "mx.sieve" xclient = {"127.0.0.0/8"} }
''' % (folder, sections, way, self.port),
            'mx.sieve': '''require ["envelope", "vnd.gatepost.mta"];
stage "connect" { milter [%s]; }
stage "rcpt" { if envelope :domain "to" "example.test" { deliver "hop"; } }
''' % ', '.join('"m%d"' % i for i in range(len(milters)))})

    def raw(self):
        """The delivered messages with CR LF, as a next hop further on would get them."""
        kept = sorted(glob.glob(self.maildir + '/new/*'), key=os.path.getmtime)
        return self.hop.messages + [open(p, 'rb').read().replace(b'\n', b'\r\n') for p in kept]

    def mails(self):
        return [m.replace(b'\r\n', b'\n') for m in self.raw()]

    def hold(self, *words):
        """What `gatepost hold WORDS` prints."""
        return subprocess.run([BINARY, '-c', self.config, 'hold', *words], check=True, stdout=subprocess.PIPE, cwd=self.folder, timeout=PATIENCE,
                              env=dict(os.environ, ASAN_OPTIONS='detect_leaks=1')).stdout


class Theirs(Postfix):
    def __init__(self, folder, milters):
        super().__init__(folder, 'local_header_rewrite_clients =\nsmtpd_milters = ' + ' '.join(milters))

    TRACE = rb'\A(?:(?:Return-Path|X-Original-To|Delivered-To): .*\n)*'

    def mails(self):
        return [re.sub(self.TRACE, b'', m) for m in super().mails()]

    def envelopes(self):
        """Of each message: (sender, [recipient]) as a next hop would be told."""
        fields = [dict(f.split(': ') for f in re.match(self.TRACE, m)[0].decode().splitlines()) for m in super().mails()]
        return [(f['Return-Path'], ['<%s>' % f['Delivered-To']]) for f in fields]


def say(server, content, client=None, login=None, helo='client.example.net', sender='a@example.test', to=('b@example.test',)):
    """The reply to a message, CONTENT as the wire has it, or to what was refused before, if not a recipient before the last:
    (code, text).  CLIENT: the address to come from, LOGIN: who it is."""
    lines = ['EHLO ' + helo]
    if client:
        lines += ['XCLIENT ADDR=%s NAME=[UNAVAILABLE]%s' % (client, ' LOGIN=' + login if login else ''), 'EHLO ' + helo]
    lines += ['MAIL FROM:<%s>' % sender] + ['RCPT TO:<%s>' % r for r in to] + ['DATA']
    with Smtp(server.port) as c:
        for line, after in zip(lines, lines[1:] + ['']):
            c.send(line + '\r\n')
            code, text = c.reply()
            if code >= 400 and not (line.startswith('RCPT') and after.startswith('RCPT')):
                break
        else:
            c.send(stuffed(content) + b'.\r\n')
            code, text = c.reply()
        c.cmd('QUIT', 221)
        return code, re.sub('queued as .*|^2.0.0 .*', 'taken', '\n'.join(text))


def stuffed(content):
    return re.sub(rb'(?m)^\.', b'..', content)


def fields(mail, name):
    """The values of all fields NAME, unfolded; they begin where the header does."""
    head = mail.replace(b'\r\n', b'\n').split(b'\n\n')[0].replace(b'\n\t', b' ').replace(b'\n ', b' ')
    return [f.split(b': ', 1)[1] for f in head.split(b'\n') if f.lower().startswith(name.encode().lower() + b': ')]


def fold(mail):
    """A delivered message without what differs between any two: the host's trace field and name, ids, times, signatures."""
    head, _, body = mail.partition(b'\n\n')
    varying = [rb'^Received: from .*', rb'^DKIM-Filter: .*', rb'\bi?d=[0-9A-Fa-f.]+\b', rb'\bt=\d+', rb'\bb=[^;]*',
               rb'\w{3}, \d+ \w{3} \d{4} [\d:]+ [+-]\d{4}', rb'----=_[\w.=]+', rb'\((?:Postfix|gatepost) [\d.]+']
    if b'----=_' in body:                       # a boundary made of the time of day
        varying.append(rb'\bbh=[^;]*')
    own = re.search(rb'\bid ([\w.]+)', head)
    head = head.replace(own[1], b'~') if own else head
    fields = re.sub(rb'\n[ \t]+', b' ', head).split(b'\n')
    text = b'\n'.join(f for f in fields if not f.startswith(b'Received: from '))
    for v in varying:
        text, body = re.sub(v, b'~', text, flags=re.M), re.sub(v, b'~', body, flags=re.M)
    return re.sub(rb'[ \t]+', b' ', text), body


def both(place, milters, contents):
    """Plays CONTENTS (messages, or what say() takes as a dict) to both servers: of each the replies, and what was delivered as
    (message, envelope)."""
    contents = [c if isinstance(c, dict) else {'content': c} for c in contents]
    folder = subfolder(place)
    for kind in 'pg':
        os.mkdir(os.path.join(folder, kind), 0o755)
    with Theirs(folder + '/p', milters) as theirs:
        heard = [say(theirs, **c) for c in contents]
        with Ours(folder + '/g', milters, 'compat = postfix') as ours:
            own = [say(ours, **c) for c in contents]
            mine = list(zip(ours.mails(), ours.hop.envelopes))
        wait_for(lambda: len(theirs.mails()) >= len(mine), 'Postfix to deliver as much')
        return heard, own, list(zip(theirs.mails(), theirs.envelopes())), mine


def equal(place, milters, contents):
    """The same for the client and for who gets the mail, whichever server: the replies, the messages gatepost delivered."""
    heard, own, theirs, mine = both(place, milters, contents)
    assert own == heard, 'gatepost: %s\nPostfix:  %s' % (own, heard)
    assert len(mine) == len(theirs)
    for (mail, to), (other, to_other) in zip(mine, theirs):
        assert (fold(mail), to) == (fold(other), to_other), 'gatepost: %s\nPostfix:  %s' % ((to, mail), (to_other, other))
    return own, [m for m, _ in mine]
