"""The parties around gatepost, played by threads: milters, policy servers, tables, next hops.

Each actor records what it is told as lines of text (its events) and answers by rules, the first that fits:

    EVENT GLOB -> action ; action ; ...

GLOB is matched against the event's line behind its first word, as by fnmatch.  Actions every actor knows:
close (the connection), hang (never answers), wait (answers when the dialogue says so), raw HEX, text "..." (with \\r \\n \\0 \\xNN).
"""
import fnmatch
import re
import socket
import struct
import threading
import time

from .server import PATIENCE


def unescape(text):
    return re.sub(rb'\\(x[0-9a-fA-F]{2}|.)', lambda m: {b'r': b'\r', b'n': b'\n', b't': b'\t', b'0': b'\0'}.get(
        m[1], bytes([int(m[1][1:], 16)]) if len(m[1]) == 3 else m[1]), text.encode('utf-8', 'surrogateescape'))


def glob(pattern, text):
    """fnmatch, where only * is special."""
    return re.fullmatch('.*'.join(re.escape(p) for p in pattern.split('*')), text, re.S) is not None


class Gone(Exception):
    """The connection ended."""


class Actor:
    def __init__(self, name, folder, kind='unix'):
        self.name, self.rules, self.settings = name, [], {}
        self.events, self.seen, self.changed = [], 0, threading.Condition()
        self.answers, self.waits = [], 0        # of events under `wait`: the first answer is the first one's, whoever reads it first
        self.connections = 0
        if kind == 'unix':
            self.listener = socket.socket(socket.AF_UNIX)
            path = '%s/%s.sock' % (folder, name)
            self.listener.bind(path)
            self.endpoint = 'unix:' + path
        else:
            self.listener = socket.socket()
            self.listener.bind(('127.0.0.1', 0))
            self.endpoint = 'inet:127.0.0.1:%d' % self.listener.getsockname()[1]
        self.listener.listen(128)
        self.open, self.closed = [], False
        threading.Thread(target=self.accept, daemon=True).start()

    # -- what the dialogue calls

    def rule(self, text):
        what, _, actions = text.partition('->')
        event, _, pattern = what.strip().partition(' ')
        self.rules.append((event, pattern or '*', [a.strip() for a in actions.split(' ; ')]))

    def expect(self, pattern, skip=False, timeout=PATIENCE):
        """The next event fits PATTERN (SKIP: one of the next does).  MACROS and NEG count only when asked for."""
        end = time.monotonic() + timeout
        quiet = tuple(q for q in ('MACROS', 'NEG') if not pattern.startswith(q))
        with self.changed:
            i = self.seen
            while True:
                while i < len(self.events) and (self.events[i].startswith(quiet) or
                                                skip and not glob(pattern, self.events[i])):
                    i += 1
                if i < len(self.events):
                    got = self.events[i]
                    self.seen = i + 1
                    assert glob(pattern, got), '%s: expected %r, got %r; all:\n%s' % (self.name, pattern, got, '\n'.join(self.events))
                    return got
                left = end - time.monotonic()
                assert left > 0, '%s: no event %r; all:\n%s' % (self.name, pattern, '\n'.join(self.events))
                self.changed.wait(left)

    def ever(self, pattern, timeout=PATIENCE):
        """An event fits PATTERN, wherever it came among those of other connections."""
        end = time.monotonic() + timeout
        with self.changed:
            while not any(glob(pattern, e) for e in self.events):
                left = end - time.monotonic()
                assert left > 0, '%s: no event %r; all:\n%s' % (self.name, pattern, '\n'.join(self.events))
                self.changed.wait(left)

    def never(self, pattern):
        with self.changed:
            bad = [e for e in self.events if glob(pattern, e)]
        assert not bad, '%s: was told %r' % (self.name, bad)

    def answer(self, actions):
        """What the next event under `wait` is answered that has no answer yet, in the order in which they came."""
        with self.changed:
            self.answers.append([a.strip() for a in actions.split(' ; ')])
            self.changed.notify_all()

    def drop(self):
        """Closes every connection."""
        for c in list(self.open):
            try:
                c.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def stop_listening(self):
        self.closed = True
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()

    def close(self):
        self.stop_listening()
        with self.changed:
            self.changed.notify_all()
        self.drop()

    # -- the threads

    def accept(self):
        while not self.closed:
            try:
                c, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            self.open.append(c)
            threading.Thread(target=self.serve, args=(c,), daemon=True).start()

    def serve(self, c):
        try:
            self.handle(c)
        except (Gone, OSError):
            pass
        finally:
            self.record('EOF')
            if c in self.open:
                self.open.remove(c)
            c.close()

    def record(self, line):
        with self.changed:
            self.events.append(line)
            self.changed.notify_all()

    def find(self, line, default):
        event, _, rest = line.partition(' ')
        for e, pattern, actions in self.rules:
            if e == event and glob(pattern, rest):
                return actions
        return default

    def act(self, c, line, default):
        """Does what the rules say about this event."""
        self.record(line)
        self.perform(c, self.find(line, default))

    def perform(self, c, actions):
        for action in actions:
            word, _, rest = action.partition(' ')
            if word == 'close':
                raise Gone
            if word == 'hang':
                while c.recv(65536):
                    pass
                raise Gone
            if word == 'wait':
                self.perform(c, self.wait())
            elif word == 'raw':
                c.sendall(bytes.fromhex(rest))
            elif word == 'text':
                c.sendall(unescape(rest.strip('"')))
            elif word == 'endless':             # until the other side has had enough
                while True:
                    c.sendall(unescape(rest.strip('"')) * 64)
            elif word != 'silent':
                self.reply(c, word, rest)

    def wait(self):
        """What the dialogue answers to this event: nobody else's answer, though others may wait as well."""
        with self.changed:
            turn = self.waits
            self.waits += 1
            self.changed.wait_for(lambda: len(self.answers) > turn or self.closed)
            return self.answers[turn] if len(self.answers) > turn else ['close']

    def handle(self, c):
        raise NotImplementedError

    def reply(self, c, word, rest):
        raise AssertionError('%s: unknown action %s %s' % (self.name, word, rest))


def exactly(c, n):
    data = b''
    while len(data) < n:
        got = c.recv(n - len(data))
        if not got:
            raise Gone
        data += got
    return data


class Milter(Actor):
    """Speaks the milter protocol itself.  Settings: version actions steps symlist.STAGE.

    Actions: continue accept reject tempfail discard skip shutdown progress conn_fail, reply "550 5.7.1 text",
    add "Name: value", insert N "Name: value", change N "Name: value", rcpt+ <a> [args], rcpt- <a>, from <a> [args],
    body "text", quarantine "why"."""
    LETTERS = {'continue': 'c', 'accept': 'a', 'reject': 'r', 'tempfail': 't', 'discard': 'd', 'skip': 's', 'shutdown': '4',
               'progress': 'p', 'conn_fail': 'f'}
    EVENTS = {'C': 'CONNECT', 'H': 'HELO', 'M': 'MAIL', 'R': 'RCPT', 'T': 'DATA', 'L': 'HEADER', 'N': 'EOH', 'B': 'BODY', 'E': 'EOM',
              'U': 'UNKNOWN', 'A': 'ABORT', 'Q': 'QUIT', 'K': 'QUIT_NC'}
    NO_REPLY = {'L': 0x80, 'C': 0x1000, 'H': 0x2000, 'M': 0x4000, 'R': 0x8000, 'T': 0x10000, 'U': 0x20000, 'N': 0x40000, 'B': 0x80000}
    SYMLIST = ['connect', 'helo', 'mail', 'rcpt', 'data', 'eom', 'eoh']

    @staticmethod
    def frame(c, data):
        c.sendall(struct.pack('>I', len(data)) + data)

    def handle(self, c):
        steps = int(self.settings.get('steps', '0'), 0)
        while True:
            size, = struct.unpack('>I', exactly(c, 4))
            data = exactly(c, size)
            letter, data = chr(data[0]), data[1:]
            if letter == 'O':
                self.negotiate(c, data, steps)
            elif letter == 'D':
                pairs = data[1:].decode('latin-1').split('\0')
                cut = ['(cut)'] * (len(pairs) % 2 == 0 or pairs[-1] != '')
                self.record(' '.join(['MACROS', chr(data[0])] + ['%s=%s' % p for p in zip(pairs[0::2], pairs[1::2])] + cut))
            else:
                silent = letter in 'AQK' or steps & self.NO_REPLY.get(letter, 0)
                self.act(c, self.describe(letter, data), ['silent' if silent else 'continue'])
                if letter == 'Q':
                    raise Gone

    def negotiate(self, c, data, steps):
        version, actions, offered = struct.unpack('>III', data[:12])
        answer = struct.pack('>III', int(self.settings.get('version', min(6, version))),
                             int(self.settings.get('actions', str(actions)), 0), steps)
        for stage, names in self.settings.items():
            if stage.startswith('symlist.'):
                number = int(stage[8:]) if stage[8:].isdigit() else self.SYMLIST.index(stage[8:])
                answer += struct.pack('>I', number) + names.encode() + b'\0'
        line = 'NEG %d %#x %#x' % (version, actions, offered) + ''.join(' +' + data[12:].hex() for _ in data[12:13])
        self.record(line)
        self.perform(c, self.find(line, ['O']) if self.find(line, None) else ['raw ' + (struct.pack('>I', len(answer) + 1) + b'O' + answer).hex()])

    def describe(self, letter, data):
        name = self.EVENTS.get(letter, letter)
        if letter == 'C':
            host, _, rest = data.partition(b'\0')
            more = ' %d %s' % (struct.unpack('>H', rest[1:3])[0], rest[3:].rstrip(b'\0').decode('latin-1')) if rest[:1] in (b'4', b'6', b'L') else ''
            return '%s %s %s%s' % (name, host.decode('latin-1'), rest[:1].decode(), more)
        if letter == 'L':
            field, value = data.decode('latin-1').split('\0')[:2]
            return '%s %s:%s' % (name, field, value)
        if letter == 'B':
            return '%s %d %s' % (name, len(data), data[:200].decode('latin-1'))
        return ' '.join([name] + data.decode('latin-1').split('\0')[:-1 if data.endswith(b'\0') else None]).rstrip(' ')

    def reply(self, c, word, rest):
        text = rest.strip('"')
        if word in self.LETTERS:
            return self.frame(c, self.LETTERS[word].encode())
        if word == 'reply':
            return self.frame(c, b'y' + unescape(text) + b'\0')
        if word in ('insert', 'change'):
            index, _, text = rest.partition(' ')
            text = text.strip('"')
        name, _, value = unescape(text).partition(b':')
        value = value[1:] if value.startswith(b' ') else value
        frames = {
            'add': lambda: b'h' + name + b'\0' + value + b'\0',
            'insert': lambda: b'i' + struct.pack('>I', int(index)) + name + b'\0' + value + b'\0',
            'change': lambda: b'm' + struct.pack('>I', int(index)) + name + b'\0' + value + b'\0',
            'rcpt+': lambda: (b'2' if ' ' in text else b'+') + b'\0'.join(unescape(text).split(b' ', 1)) + b'\0',
            'rcpt-': lambda: b'-' + unescape(text) + b'\0',
            'from': lambda: b'e' + b'\0'.join(unescape(text).split(b' ', 1)) + b'\0',
            'body': lambda: b'b' + unescape(text),
            'quarantine': lambda: b'q' + unescape(text) + b'\0',
        }
        if word not in frames:
            return super().reply(c, word, rest)
        return self.frame(c, frames[word]())


class Lines(Actor):
    """An actor that is told lines."""

    def lines(self, c):
        rest = b''
        while True:
            line, lf, more = rest.partition(b'\n')
            if not lf:
                got = c.recv(65536)
                if not got:
                    raise Gone
                rest += got
                continue
            rest = more
            yield line.decode('utf-8', 'surrogateescape').rstrip('\r')


class Policy(Lines):
    """Records `STATE name=value name=value ...`; rules: STATE GLOB -> action TEXT; any access(5) action may stand as it is."""

    def handle(self, c):
        attributes = []
        for line in self.lines(c):
            if line:
                attributes.append(line)
                continue
            state = next((a.split('=', 1)[1] for a in attributes if a.startswith('protocol_state=')), '?')
            self.act(c, state + ' ' + ' '.join(attributes), ['DUNNO'])
            attributes = []

    def reply(self, c, word, rest):
        c.sendall(('action=%s %s' % (word, rest)).rstrip(' ').encode() + b'\n\n')


class TcpTable(Lines):
    """tcp_table: records `get KEY`; rules: get GLOB -> 200 value."""

    def handle(self, c):
        for line in self.lines(c):
            self.act(c, line, ['500 not-found'])

    def reply(self, c, word, rest):
        c.sendall(('%s %s' % (word, rest)).rstrip(' ').encode() + b'\n')


class Socketmap(Actor):
    """socketmap: records `NAME KEY`; rules: NAME GLOB -> OK value."""

    def handle(self, c):
        while True:
            n = b''
            while not n.endswith(b':'):
                n += exactly(c, 1)
            data = exactly(c, int(n[:-1]))
            assert exactly(c, 1) == b','
            self.act(c, data.decode('utf-8', 'surrogateescape'), ['NOTFOUND '])

    def reply(self, c, word, rest):
        data = ('%s %s' % (word, rest)).encode()
        c.sendall(b'%d:%s,' % (len(data), data))


class Reader:
    """Takes an SMTP client's bytes apart."""

    def __init__(self, c):
        self.c, self.rest = c, b''

    def more(self):
        got = self.c.recv(65536)
        if not got:
            raise Gone
        self.rest += got

    def line(self):
        while b'\n' not in self.rest:
            self.more()
        line, _, self.rest = self.rest.partition(b'\n')
        return line.decode('utf-8', 'surrogateescape').rstrip('\r')

    def take(self, n):
        while len(self.rest) < n:
            self.more()
        data, self.rest = self.rest[:n], self.rest[n:]
        return data

    def until_dot(self):
        end, data, start = b'\r\n.\r\n', bytearray(b'\r\n' + self.rest), 0
        while True:
            at = data.find(end, start)
            start = max(0, len(data) - len(end))
            if at >= 0:
                self.rest = bytes(data[at + len(end):])
                return bytes(data[:at + 2]).replace(b'\r\n.', b'\r\n')[2:]
            got = self.c.recv(65536)
            if not got:
                raise Gone
            data += got


class Hop(Actor):
    """An SMTP or LMTP server.  Records the commands as they are, and `MESSAGE n` for n bytes of content; rules by verb, MESSAGE
    for the reply after the dot (LMTP: `MESSAGE <rcpt> -> ...` once for each), CONNECT for the greeting.  Settings: caps."""
    CAPS = 'PIPELINING, 8BITMIME, SIZE, DSN, ENHANCEDSTATUSCODES, SMTPUTF8'

    def __init__(self, name, folder, lmtp, kind='unix'):
        self.lmtp, self.messages, self.envelopes = lmtp, [], []         # an envelope for each message: (sender, [recipients])
        super().__init__(name, folder, kind)

    def handle(self, c):
        self.act(c, 'CONNECT', ['220 hop ready'])
        reader, sender, rcpts, chunks = Reader(c), '', [], b''
        default = {'MAIL': '250 2.1.0 sender ok', 'RCPT': '250 2.1.5 recipient ok', 'DATA': '354 go on', 'QUIT': '221 2.0.0 bye',
                   'EHLO': self.ehlo(), 'LHLO': self.ehlo(), 'BDAT': '250 2.0.0 chunk'}
        while True:
            line = reader.line()
            verb = line.split(' ', 1)[0].upper()
            if verb == 'BDAT':
                chunks += reader.take(int(line.split()[1]))
            self.record(line)
            if verb == 'BDAT' and line.upper().endswith(' LAST'):
                self.content(c, chunks, sender, rcpts)
                rcpts, chunks = [], b''
                continue
            if verb in ('MAIL', 'RSET'):
                sender, rcpts, chunks = self.path(line), [], b''
            refused = verb == 'DATA' and not rcpts
            actions = self.find(line, ['503 5.5.1 no recipients' if refused else default.get(verb, '250 2.0.0 ok')])
            self.perform(c, actions)
            if verb == 'RCPT' and actions[0].startswith('2'):
                rcpts.append(self.path(line))
            if verb == 'DATA' and actions[0].startswith('354'):
                self.content(c, reader.until_dot(), sender, rcpts)
                rcpts = []
            if verb == 'QUIT':
                raise Gone

    def ehlo(self):
        return '\n'.join(['250', 'hop'] + re.split(r' *, *', self.settings.get('caps', self.CAPS)))

    @staticmethod
    def path(line):
        return (re.search(r'<.*?>', line) or [''])[0]

    def content(self, c, data, sender, rcpts):
        with self.changed:
            self.messages.append(data)
            self.envelopes.append((sender, list(rcpts)))
        self.record('MESSAGE %d' % len(data))
        if self.lmtp:
            for r in rcpts:
                self.perform(c, self.find('MESSAGE ' + r, ['250 2.0.0 saved']))
        else:
            self.perform(c, self.find('MESSAGE', ['250 2.0.0 taken']))

    def reply(self, c, word, rest):
        lines = (word + ' ' + rest if rest else word).split('\n')
        if len(lines) > 1:                      # '250\nhop\nCAP...'
            code, lines = lines[0].strip(), lines[1:]
            c.sendall(''.join('%s%s%s\r\n' % (code, ' ' if i == len(lines) - 1 else '-', l) for i, l in enumerate(lines)).encode())
        else:
            c.sendall((lines[0].rstrip(' ') + '\r\n').encode())
