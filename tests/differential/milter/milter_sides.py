"""The two servers and what stands around them: one Postfix, one gatepost, and for each set-up of milters a door in each of them.

A Side is one door (Postfix's, or gatepost's in one of its three modes) with recording milters of its own behind it; play() is the client.
A record of one case is what the client heard, what each milter was told connection by connection, and what was delivered.
"""
import os
import re
import ssl
import subprocess
import threading
import zlib

from gp.actors import Hop, Milter
from gp.postfix import Postfix
from gp.server import Gatepost, free_port, wait_for
from gp.smtp import Smtp

MODES = ['postfix', 'sendmail', 'full']
POSTFIX_ACTION = {'disconnect': 'shutdown', 'hold': 'quarantine'}


class Setup:
    """The milters of a door: how many, how their failure is taken, seconds until one is slow, whether the first is there at all, and whose
    header fields Postfix completes."""

    def __init__(self, action='tempfail', count=1, timeout=None, gone=False, rewrite=''):
        self.action, self.count, self.timeout, self.gone, self.rewrite = action, count, timeout, gone, rewrite


SLOW = 5
# A door at which Postfix panics is closed by its master for a while.
SETUPS = {'one': Setup(), 'two': Setup(count=2), 'three': Setup(count=3), 'panic one': Setup(), 'panic two': Setup(count=2),
          'local': Setup(rewrite='static:all')}
for _action in ('tempfail', 'accept', 'reject', 'hold', 'disconnect'):
    SETUPS[_action] = Setup(_action, 2)
    SETUPS['slow ' + _action] = Setup(_action, 2, timeout=SLOW)
    SETUPS['gone ' + _action] = Setup(_action, 2, gone=True)

# What must differ between two servers, or between two runs of one.
NORMAL = [(re.compile(p), to) for p, to in [
    (r'\bi=[^ ]+', 'i=ID'),
    (r'\bv=.*?(?= _=| \{|$)', 'v=VERSION'),
    (r'^(CONNECT .* 4) (?!4711 )\d+ ', r'\1 PORT '),
    (r'\{(client|daemon)_port\}=(?!4711\b)\d+', r'{\1_port}=PORT'),
    (r'@@\w+', '@@'),
    (r'^((?:HEADER )?(?:Resent-)?(?:Message-Id: ?<|Date: ?)).*', r'\1...'),
    # what delivers a message is named by the host: "virtual" there, an LMTP next hop here
    (r'\{rcpt_mailer\}=(?!error)[^ ]+', '{rcpt_mailer}=MAILER'),
    # who listens is named by the host: "smtpd" or a host name
    (r'\{daemon_name\}=[^ ]+', '{daemon_name}=DAEMON'),
]]


def normal(line):
    for pattern, to in NORMAL:
        line = pattern.sub(to, line)
    return line


def short(text, most=100):
    """TEXT, or how it begins, its length and check sum."""
    return text if len(text) <= most else '%s... (%d, %08x)' % (text[:20], len(text), zlib.crc32(text.encode('latin-1')))


class Recorder(Milter):
    """Keeps a list of its own for each connection."""

    def __init__(self, name, folder, pipelined, kind):
        self.here, self.conversations, self.pipelined = threading.local(), [], pipelined
        super().__init__(name, folder, kind)
        if kind == 'unix':
            os.chmod(self.endpoint[5:], 0o777)

    def handle(self, c):
        self.here.lines = []
        self.conversations.append(self.here.lines)
        super().handle(c)

    def record(self, line):
        if line == 'EOF' and not hasattr(self.here, 'lines'):
            return
        self.here.lines.append(line)

    def perform(self, c, actions):
        # What a filter under compat = full still hears when it has decided in the midst of the content is a matter of chance.
        decides = not set(a.split(' ')[0] for a in actions) <= {'continue', 'progress', 'skip', 'silent', 'wait'}
        last = self.here.lines[-1].split(' ')[0]
        if self.pipelined and decides and last in ('HEADER', 'EOH', 'BODY'):
            self.here.lines = []
        super().perform(c, actions)

    def describe(self, letter, data):
        """Each string of MAIL and RCPT by itself, and a NUL that is missing or too many."""
        text = data.decode('latin-1')
        if letter == 'B':
            return 'BODY %s' % short(text)
        if letter == 'L':
            name, value, *rest = text.split('\0')
            return 'HEADER %s:%s%s' % (short(name), short(value), '' if rest == [''] else ' and %r' % rest)
        line = super().describe(letter, data)
        if letter in 'MR':
            line = '%s %s' % (self.EVENTS[letter], ' | '.join(text.split('\0')[:-1]))
        ends = text.endswith('\0') == (letter in 'CHMRU')
        return line if ends else line + ' (NUL)'

    def arm(self, rules, settings):
        self.rules.clear()
        self.settings = settings
        for r in rules:
            self.rule(r)
        self.conversations.clear()

    def told(self):
        """[[line]]: what each connection was told."""
        wait_for(lambda: not self.open, 'the connections to milter %s to end' % self.name)
        return [[normal(e) for e in lines] for lines in self.conversations]


class Side:
    """A door."""
    KIND = 'unix'       # of the sockets of its milters

    def __init__(self, folder, setup, mark):
        os.makedirs(folder)
        os.chmod(folder, 0o755)
        self.setup, self.mark, self.port = SETUPS[setup], mark, free_port()
        self.milters = [Recorder('m%d' % i, folder, mark == 'full', self.KIND) for i in range(self.setup.count)]
        if self.setup.gone:
            self.milters[0].stop_listening()

    def run(self, name, case):
        """What came of CASE, whose NAME makes its message another than all before."""
        for i, m in enumerate(self.milters):
            m.arm(case['rules'].get('m%d' % i, []), dict(case['settings'].get('m%d' % i, case['settings'].get('', {}))))
        self.begin()
        client = case['client'].replace('\nSubject: one\n', '\nSubject: one, %s@@%s\n' % (name, self.mark))
        heard = play(self.port, client)
        self.check_ids([h[4] for h in heard if h[4]])
        told = [m.told() for m in self.milters]
        return {'heard': [normal(' '.join(map(str, h[:4]))).rstrip() for h in heard], 'told': told,
                'mails': sorted(self.mails([h[4] for h in heard if h[4]]))}

    def check_ids(self, ids):
        """A filter that is told `i` at the end of a message is told what the client is."""
        for m in self.milters:
            said = set(re.findall(r'^MACROS E (?:.* )?i=(\S+)', '\n'.join(l for lines in m.conversations for l in lines), re.M))
            assert len(said) != len(ids) or said == set(ids), (ids, said)

    def begin(self):
        pass

    def close(self):
        for m in self.milters:
            m.close()


def mail_lines(sender, rcpt, content):
    """A delivered message as text lines, without our own Received field."""
    content = re.sub(rb'Received: from .*?\r?\n(?![ \t])', b'', content, count=1, flags=re.S)
    head, _, body = content.partition(b'\n\n')
    lines = (head + b'\n').decode('latin-1').split('\n')[:-1] + [''] + [body.decode('latin-1')]
    return ('%s for %s' % (sender, rcpt),) + tuple(normal(short(l.replace('\r', '\\r').replace('\n', '\\n'), 200)) for l in lines)


class PostfixSide(Side):
    server = None       # shared by all

    @classmethod
    def begin_server(cls, folder, sides):
        cls.server = Peer(folder, sides)
        return cls.server.__enter__()

    def service(self):
        """The door in master.cf."""
        s, timeout = self.setup, ''
        if s.timeout:
            timeout = ', ' + ', '.join('%s_timeout=%ds' % (k, s.timeout) for k in ('command', 'content'))
        milters = ' '.join('{%s%s}' % (m.endpoint, timeout) for m in self.milters)
        return '127.0.0.1:%d inet n - n - - smtpd\n -o {smtpd_milters=%s}\n -o milter_default_action=%s\n -o local_header_rewrite_clients=%s\n' % (
            self.port, milters, POSTFIX_ACTION.get(s.action, s.action), s.rewrite)

    def mails(self, ids):
        """What became of the messages taken under IDS; Postfix delivers after its reply, a file a recipient."""
        found = []
        for i in ids:
            wait_for(lambda i=i: self.server.queue_of(i) in (None, 'hold'), 'Postfix to be rid of ' + i)
            if self.server.queue_of(i) == 'hold':
                found.append(('held',))
        for m in self.server.mails():
            if not any(re.search(rb'with \w+ id %s\b' % i.encode(), m) for i in ids):
                continue
            head = re.match(rb'(?:(?:Return-Path|X-Original-To|Delivered-To): .*\n)*', m)[0]
            found.append(mail_lines(re.search(rb'Return-Path: (.*)\n', head)[1].decode(),
                                    '<%s>' % re.search(rb'Delivered-To: (.*)\n', head)[1].decode(), m[len(head):]))
        return found


class Peer(Postfix):
    """Debian's Postfix, with a door for each set-up."""

    def __init__(self, folder, sides):
        super().__init__(folder, main='''service_throttle_time = 1s
inet_protocols = all
smtpd_delay_reject = yes
smtpd_soft_error_limit = 100
smtpd_error_sleep_time = 0
smtpd_recipient_limit = 3
smtpd_client_connection_count_limit = 0
smtpd_data_restrictions = check_sender_access inline:{{data@refused.test = 550 5.7.1 not with us}}
smtpd_end_of_data_restrictions = check_sender_access inline:{{end@refused.test = 550 5.7.1 not like this}}
smtpd_tls_cert_file = %(folder)s/cert.pem
smtpd_tls_key_file = %(folder)s/key.pem
smtpd_tls_security_level = may
smtp_tls_security_level = none
header_size_limit = 60000
virtual_mailbox_limit = 0
''' % {'folder': folder}, master=''.join(s.service() for s in sides))

    def queue_of(self, queue_id):
        """Where the message is, in the order it goes through; None: delivered or thrown away."""
        return next((q for q in ('incoming', 'active', 'deferred', 'hold') if os.path.exists('%s/queue/%s/%s' % (self.folder, q, queue_id))), None)


class GatepostSide(Side):
    spool = None        # shared by all

    def __init__(self, folder, setup, mode):
        super().__init__(folder, setup, mode)
        self.mode, self.key = mode, '%s_%s' % (setup.replace(' ', '_'), mode)
        self.hop = Hop('hop', folder, lmtp=True)

    def config(self):
        s = self.setup
        timeout = 'command_timeout = %ds content_timeout = %ds ' % (s.timeout, s.timeout) if s.timeout else ''
        return ''.join('milter m%d_%s { socket = "%s" on_failure = %s compat = %s keep = 0 %s}\n' % (i, self.key, m.endpoint, s.action, self.mode, timeout)
                       for i, m in enumerate(self.milters)) + '''next_hop hop_%(key)s { lmtp = "%(hop)s" }
listener %(key)s { address = {"127.0.0.1:%(port)d"} script = "%(key)s.sieve" rcpt_max = 3 xclient = {"127.0.0.0/8"} }
''' % {'key': self.key, 'hop': self.hop.endpoint, 'port': self.port}

    def script(self):
        milters = ', '.join('"m%d_%s"' % (i, self.key) for i in range(len(self.milters)))
        return '''require ["envelope", "ereject", "vnd.gatepost.mta"];
stage "connect" { milter [%s]; }
stage "rcpt" { if envelope :domain "to" "example.test" { deliver "hop_%s"; } }
%sstage "data" { if envelope "from" "data@refused.test" { ereject "not with us"; } }
stage "message" { if envelope "from" "end@refused.test" { ereject "not like this"; } }
''' % (milters, self.key, 'stage "mail" { complete; }\n' if self.setup.rewrite else '')

    def begin(self):
        self.hop.messages.clear()
        self.hop.envelopes.clear()

    def mails(self, ids):
        held = os.listdir(self.spool + '/hold') if os.path.exists(self.spool + '/hold') else []
        return [('held',) for i in ids if any(name.startswith(i + '.') for name in held)] + [
            mail_lines(sender, rcpt, m.replace(b'\r\n', b'\n')) for m, (sender, rcpts) in zip(self.hop.messages, self.hop.envelopes) for rcpt in rcpts]

    def close(self):
        super().close()
        self.hop.close()


class World:
    """Both servers with all their doors, as long as the block lasts.  THEIRS is the class of the other server's doors."""

    def __init__(self, folder, setups, theirs=PostfixSide, modes=tuple(MODES)):
        subprocess.run(['openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=mx.example.test', '-keyout',
                        folder + '/key.pem', '-out', folder + '/cert.pem'], check=True, stderr=subprocess.DEVNULL)
        os.chmod(folder + '/key.pem', 0o644)
        self.folder, self.sides = folder, {}
        for n, setup in enumerate(setups):
            self.sides[setup, 'peer'] = theirs('%s/d%d' % (folder, n), setup, 'peer')
            for mode in modes:
                self.sides[setup, mode] = GatepostSide('%s/%s%d' % (folder, mode[0], n), setup, mode)

    def __enter__(self):
        ours = [s for s in self.sides.values() if isinstance(s, GatepostSide)]
        theirs = [s for s in self.sides.values() if s not in ours]
        self.peer = type(theirs[0]).begin_server(self.folder, theirs)
        GatepostSide.spool = self.folder + '/spool'
        files = {s.key + '.sieve': s.script() for s in ours}
        files['gatepost.conf'] = 'hostname = "mx.example.test"\nspool = "%(top)s/spool"\nworkers = 1\ndns { enabled = false }\n' \
            'tls { certificate = "%(top)s/cert.pem" key = "%(top)s/key.pem" }\n' % {'top': self.folder}
        files['gatepost.conf'] += ''.join(s.config() for s in ours)
        self.gatepost = Gatepost(self.folder, files, allowed=['event=gate', 'gate=m', 'milter'])
        for s in self.sides.values():
            with Smtp(s.port, greet=False) as c:
                c.reply()
        return self

    def __exit__(self, *exc):
        self.peer.__exit__()
        try:
            self.gatepost.__exit__(*(exc if exc[0] else (None, None, None)))
        finally:
            for s in self.sides.values():
                s.close()


def play(port, script):
    """What the client hears, line by line of SCRIPT: (command, code, enhanced code, own words of a milter, queue id)."""
    heard, lines = [], script.split('\n')[:-1]

    def listen(said):
        code, texts = c.reply()
        enhanced = (re.match(r'[245]\.\d+\.\d+', texts[-1]) or [''])[0] if texts else ''
        # (What Postfix finds in its memory behind a text without a NUL is not for a comparison.)
        own = [re.sub(r'[^ -~].*', '...', t) for t in texts if re.search(r'own words|later|closing|one|two|%|plain|odd', t) and said not in ('greeting', 'EHLO', 'HELO')]
        taken = re.search(r'queued as ([\w.]+)', ' '.join(texts))
        heard.append((said, code, enhanced, ' / '.join(own) if code and code >= 400 else '', taken[1] if taken else None))
        return code

    with Smtp(port, greet=False) as c:
        code = listen('greeting')
        while lines and code is not None:
            line = lines.pop(0)
            if line.startswith('BDAT'):
                line, _, chunk = line.partition('|')
                size = int(line.split()[1])
                while len(chunk.encode()) < size:
                    chunk += '\n' + lines.pop(0)
                c.send(line.encode() + b'\r\n' + chunk.encode()[:size])
            else:
                c.send(line + '\r\n')
            code = listen(line.split(' ')[0])
            if line == 'STARTTLS' and code == 220:
                trust = ssl.create_default_context()
                trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
                c.socket = trust.wrap_socket(c.socket)
            if line == 'DATA':
                content = lines[:lines.index('.') + 1] if '.' in lines else []
                if code == 354:
                    c.send(''.join(l + '\r\n' for l in content).encode())
                    code = listen('dot')
                lines = lines[len(content):]
    return heard
