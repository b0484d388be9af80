"""Plays a tests/dialogue/*.smtp file; its language is described in tests/dialogue/README.md."""
import os
import re
import socket
import ssl
import subprocess

from . import actors, filters
from .actors import glob, unescape
from .server import PATIENCE, Gatepost, free_port

REQUIRE = ('require ["envelope", "extlists", "variables", "relational", "comparator-i;ascii-numeric", "editheader", "ereject", '
           '"vnd.gatepost.mta"];\n')
SCRIPT = 'stage "rcpt" { if envelope :domain "to" ["example.org", "example.net"] { deliver "hop"; } }\n'


class Failure(AssertionError):
    pass


class Client:
    def __init__(self, port, source=None):
        self.socket = socket.create_connection(('127.0.0.1', port), PATIENCE, source_address=(source, 0) if source else None)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.rest, self.content, self.in_data = b'', b'', False

    def send(self, data):
        if self.in_data:
            self.content += data
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass                                # what the server answered shows at the next expectation

    def line(self):
        while b'\n' not in self.rest:
            try:
                got = self.socket.recv(65536)
            except ConnectionResetError:
                got = b''
            except socket.timeout:
                raise Failure('no answer; have %r' % self.rest)
            if not got:
                return None
            self.rest += got
        line, _, self.rest = self.rest.partition(b'\n')
        assert line.endswith(b'\r'), 'reply line without CR: %r' % line
        line = line[:-1].decode('utf-8', 'surrogateescape')
        if line.startswith('354'):
            self.content, self.in_data = b'', True
        elif self.in_data and re.match(r'[245]\d\d ', line):
            self.in_data = False
        return line

    def starttls(self):
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self.socket = context.wrap_socket(self.socket)

    def close(self, reset=False):
        if reset:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b'\1\0\0\0\0\0\0\0')
        self.socket.close()


def parse(path):
    """[(section, [(line number, text)])], the dialogue last."""
    sections = [('title', [])]
    with open(path, encoding='utf-8') as f:
        for n, line in enumerate(f, 1):
            line = line.rstrip('\n')
            head = re.fullmatch(r'\[([a-z_]+(?: [^\]]*)?)\]\s*', line)
            if head and sections[-1][0] != 'dialogue':
                sections.append((head[1], []))
            else:
                sections[-1][1].append((n, line))
    return sections


class Dialogue:
    KINDS = {'milter': lambda n, d, k: actors.Milter(n, d, k), 'libmilter': lambda n, d, k: filters.Filter(n, d, k),
             'pymilter': lambda n, d, k: filters.PyFilter(n, d, k), 'policy': lambda n, d, k: actors.Policy(n, d, k),
             'tcp': lambda n, d, k: actors.TcpTable(n, d, 'inet'), 'socketmap': lambda n, d, k: actors.Socketmap(n, d, k),
             'lmtp': lambda n, d, k: actors.Hop(n, d, True, k), 'smtp': lambda n, d, k: actors.Hop(n, d, False, 'inet')}

    def __init__(self, path, folder):
        self.path, self.folder = path, str(folder)
        self.actors, self.clients, self.blocks = {}, {}, []
        self.texts = {'conf': '', 'listener': '', 'script': '', 'allow': ''}
        self.files, self.dialogue, self.port = {}, [], free_port()
        self.log_at = 0
        for name, lines in parse(path):
            word, _, rest = name.partition(' ')
            if word == 'dialogue':
                self.dialogue = lines
            elif word in self.KINDS:
                self.actor(word, rest, lines)
            elif word == 'file':
                self.files[rest] = '\n'.join(l for _, l in lines) + '\n'
            elif word in self.texts:
                self.texts[word] = '\n'.join(l for _, l in lines) + '\n'
            elif word != 'title':
                raise Failure('%s: unknown section [%s]' % (path, name))
        if not any(isinstance(a, actors.Hop) for a in self.actors.values()):
            self.actor('lmtp', 'hop', [])

    def actor(self, kind, head, lines):
        name, *options = head.split()
        a = self.actors[name] = self.KINDS[kind](name, self.folder, 'inet' if 'inet' in options else 'unix')
        extra = ''
        for _, line in lines:
            line = line.strip()
            if line.startswith('conf:'):
                extra += '\t' + line[5:].strip() + '\n'
            elif '->' in line:
                a.rule(line)
            elif line and not line.startswith('#'):
                key, _, value = line.partition(' ')
                a.settings[key] = value
        where = {'milter': 'milter %s {\n\tsocket = "%s"\n%s}\n', 'policy': 'policy %s {\n\tsocket = "%s"\n%s}\n',
                 'tcp': 'table %s {\n\tmap = "tcp:%s"\n%s}\n', 'socketmap': 'table %s {\n\tmap = "socketmap:%s:' + name + '"\n%s}\n',
                 'libmilter': 'milter %s {\n\tsocket = "%s"\n%s}\n', 'pymilter': 'milter %s {\n\tsocket = "%s"\n%s}\n',
                 'lmtp': 'next_hop %s {\n\tlmtp = "%s"\n%s}\n', 'smtp': 'next_hop %s {\n\tsmtp = "%s"\n%s}\n'}[kind]
        self.blocks.append(where % (name, a.endpoint.replace('inet:', '') if kind == 'tcp' else a.endpoint, extra))

    def substitute(self, text):
        return text.replace('$DIR', self.folder).replace('$PORT', str(self.port))

    def configuration(self):
        script = self.texts['script'] or SCRIPT
        if 'tls' in self.texts['listener'] + self.texts['conf']:
            subprocess.run(['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', '-subj',
                            '/CN=mx.test', '-keyout', self.folder + '/key.pem', '-out', self.folder + '/cert.pem'],
                           check=True, capture_output=True)
        listener = 'listener mx {\n\taddress = {"127.0.0.1:%d"}\n\tscript = "mx.sieve"\n%s}\n' % (self.port, self.texts['listener'])
        if 'listener' in self.texts['conf']:
            listener = ''
        top = ''.join('%s = %s\n' % p for p in (('hostname', '"mx.test"'), ('spool', '"%s/spool"' % self.folder), ('workers', '1'))
                      if not re.search(r'^\s*%s\s*=' % p[0], self.texts['conf'], re.M))
        if 'dns' not in self.texts['conf']:
            top += 'dns { enabled = false }\n'
        return dict({'gatepost.conf': self.substitute(top + self.texts['conf'] + ''.join(self.blocks) + listener),
                     'mx.sieve': self.substitute(script if script.lstrip().startswith('require') else REQUIRE + script)},
                    **{n: self.substitute(t) for n, t in self.files.items()})

    def play(self):
        allowed = [l.strip() for l in self.texts['allow'].split('\n') if l.strip()]
        programs = [a for a in self.actors.values() if isinstance(a, filters.Filter)]
        try:
            for a in programs:
                a.start()
            with Gatepost(self.folder, self.configuration(), allowed, clock=True) as self.server:
                try:
                    for n, line in self.dialogue:
                        self.step(n, line)
                finally:
                    for c in self.clients.values():
                        c.close()
                self.server.stop()
            for a in programs:
                a.finish()
        finally:
            for a in self.actors.values():
                a.close()

    def step(self, n, line):
        if not line.strip() or line.startswith('#'):
            return
        try:
            m = re.match(r'([CS])(\w*)([:|=*])(?: (.*))?$', line)
            if m:
                return self.client_step(m[1], m[2], m[3], m[4] or '')
            m = re.match(r'(\w+)([:~?!>=])(?: (.*))?$', line)
            if m and m[1] in self.actors:
                return self.actor_step(self.actors[m[1]], m[2], m[3] or '')
            m = re.match(r'(\w+)\.(\w+)(?: (.*))?$', line)
            if m and m[1] in self.actors:
                return self.message_step(self.actors[m[1]], m[2], m[3] or '')
            word, _, rest = line.partition(' ')
            if word == 'clock':
                return self.server.advance(float(rest.rstrip('s')))
            if word == 'log':
                _, self.log_at = self.server.log.wait(*rest.split(' & '), start=self.log_at)
                return None
            raise Failure('what is this line?')
        except (AssertionError, OSError) as e:
            raise Failure('%s:%d: %s\n    %s\n%s' % (os.path.relpath(self.path), n, line, e,
                                                    '\n'.join(self.server.log.lines[-15:]))) from None

    def client(self, name, source=None):
        if name not in self.clients:
            self.clients[name] = Client(self.port, source)
        return self.clients[name]

    def client_step(self, side, name, op, text):
        if op == '=' and text.startswith('connect'):
            return self.client(name, text.removeprefix('connect').strip().removeprefix('from ') or None)
        c = self.client(name)
        if side == 'C':
            if op == ':':
                c.send(unescape(text) + b'\r\n')
            elif op == '|':
                c.send(unescape(text))
            elif op == '*':                     # C* COUNT TEXT
                count, _, what = text.partition(' ')
                c.send(unescape(what) * int(count))
            elif text in ('close', 'reset'):
                self.clients.pop(name).close(text == 'reset')
            elif text == 'starttls':
                c.starttls()
            elif text == 'shutdown':
                c.socket.shutdown(socket.SHUT_WR)
            else:
                raise Failure('C= connect, close, reset, shutdown or starttls')
        elif op == ':':
            got = c.line()
            assert got is not None and glob(text, got), 'got %r' % got
        elif op == '*':                         # S* CODE [GLOB in any line]
            code, _, what = text.partition(' ')
            lines = []
            while True:
                got = c.line()
                assert got is not None and got.startswith(code), 'got %r' % got
                lines.append(got[4:])
                if got[3:4] != '-':
                    break
            assert not what or any(glob(what, l) for l in lines), 'got %r' % lines
        else:
            assert text == 'eof', 'S= eof'
            got = c.line()
            assert got is None, 'not closed, but %r' % got
        return None

    @staticmethod
    def actor_step(a, op, text):
        if op in ':~':
            a.expect(text, skip=op == '~')
        elif op == '?':
            a.ever(text)
        elif op == '!':
            a.never(text)
        elif op == '>':
            a.answer(text)
        elif text == 'drop':
            a.drop()
        else:
            assert text == 'down', 'NAME= drop or down'
            a.stop_listening()
            a.drop()

    def message_step(self, a, what, text):
        assert what == 'count' or a.messages, 'no message arrived'
        header, _, body = (a.messages[-1] if a.messages else b'').partition(b'\r\n\r\n')
        fields = re.split(r'\r\n(?![ \t])', header.decode('utf-8', 'surrogateescape'))
        if what == 'count':
            assert len(a.messages) == int(text), 'got %d messages' % len(a.messages)
        elif what == 'has':
            assert any(glob(unescape(text).decode(), f) for f in fields), 'got\n' + '\n'.join(fields)
        elif what == 'lacks':
            assert not any(glob(unescape(text).decode(), f) for f in fields), 'got\n' + '\n'.join(fields)
        elif what == 'field':                   # field N GLOB: the Nth from the top, from 0
            n, _, pattern = text.partition(' ')
            assert glob(unescape(pattern).decode('utf-8', 'surrogateescape'), fields[int(n)]), 'got %r' % fields
        elif what == 'body':
            assert body == unescape(text), 'got %r' % body
        elif what == 'size':
            assert len(a.messages[-1]) == int(text), 'got %d' % len(a.messages[-1])
        elif what == 'same':                    # our trace field aside, it is what client TEXT sent after the last 354
            sent = self.clients[text].content
            sent = re.sub(rb'(^|\r\n)\.', rb'\1', sent[:-5] + b'\r\n' if sent.endswith(b'\r\n.\r\n') else sent)
            got = re.sub(rb'\AReceived: .*?\r\n(?![ \t])', b'', a.messages[-1], flags=re.S)
            assert got == sent, 'sent %r\ngot  %r' % (sent[:400], got[:400])
        else:
            raise Failure('NAME.has lacks field body size count same')
