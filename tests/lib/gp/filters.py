"""Filters on the real libraries, libmilter and python3-milter, as actors.

The program (tests/tools/milter_all.c, milter_all.py) is a process with threads of its own; it asks here what to do in each callback, so that
the rules of a dialogue drive it as they drive gp.actors.Milter, and what is recorded looks the same.
"""
import json
import os
import re
import socket
import struct
import subprocess

from .actors import Actor, Milter, exactly, unescape
from .server import TOP, free_port, wait_for

# What a filter that left out no callback may hear of one session: each message in its order, xxfi_close exactly once and last.  The second
# session of a connection begins without a negotiation.
MESSAGE = r'MAIL (?:(?:RCPT|UNKNOWN) )*(?:DATA (?:UNKNOWN )*)?(?:HEADER )*(?:EOH )?(?:BODY )*(?:EOM |ABORT )?'
LEGAL = re.compile(r'(?:NEG )?(?:CONNECT (?:HELO |UNKNOWN |ABORT |%s)*)?CLOSE' % MESSAGE)


class Filter(Actor):
    """Actions: those of Milter's that libmilter can do, `get NAMES` (records GOT i=... {x}, without = when it is not known), `symlist STAGE NAMES`
    (at NEG), `setreply "450 4.7.1 text"` (the verdict comes after it), `fails ACTION` (it must fail), `tell WORD` (records it), `piece N text`
    (N times, a piece of the new body), `stop`, `crash`.  Settings: actions, steps, without (callbacks), timeout, backlog, debug, datasize."""
    PROGRAM = [os.path.join(TOP, 'build/sanitize/tools/milter_all')]
    VERDICTS = ('continue', 'accept', 'reject', 'tempfail', 'discard', 'skip', 'noreply', 'all_opts')

    def __init__(self, name, folder, kind='unix'):
        super().__init__(name, folder)
        self.control, self.process = self.endpoint[5:], None
        self.sessions, self.errors = [], []
        if kind == 'unix':
            self.endpoint = 'unix:%s/%s.milter' % (folder, name)
            self.setconn = self.endpoint
        else:
            port = free_port()
            self.endpoint, self.setconn = 'inet:127.0.0.1:%d' % port, 'inet:%d@127.0.0.1' % port
        self.output = '%s/%s.log' % (folder, name)
        self.ready = False

    # -- the process

    def start(self):
        """Returns when it listens."""
        with open(self.output, 'wb') as out:
            self.process = subprocess.Popen(self.PROGRAM + [self.control], stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        wait_for(self.listens, '%s to listen' % self.name)
        return self

    def listens(self):
        assert self.process.poll() is None, '%s ended:\n%s' % (self.name, open(self.output).read())
        return self.ready

    def stop_listening(self):
        if self.process:
            self.process.kill()
            self.process.wait()
        super().stop_listening()

    def settle(self):
        """Returns when every session has come to its end."""
        wait_for(lambda: self.process.poll() is not None or all(s[-1] == 'CLOSE' for s in self.sessions), '%s: CLOSE' % self.name)

    def finish(self):
        """To be called when gatepost has ended: did all go as libmilter promises?"""
        self.settle()
        whole = not self.settings.get('without') and int(self.settings.get('steps', '0'), 0) & 0x37f == 0 and self.process.poll() is None
        for s in self.sessions:
            assert not whole or LEGAL.fullmatch(' '.join(s)), '%s heard %s' % (self.name, s)
        assert not self.errors, '%s: %s' % (self.name, '\n'.join(self.errors))

    def begin(self, c):
        s = self.settings
        self.must(c, 'smfi_setconn', self.setconn)
        for name in ('timeout', 'backlog', 'debug'):
            if name in s:
                self.must(c, {'debug': 'smfi_setdbg'}.get(name, 'smfi_set' + name), s[name])
        if 'datasize' in s:
            self.call(c, 'smfi_setmaxdatasize', s['datasize'])
        self.must(c, 'smfi_version')
        self.must(c, 'smfi_register', 'gatepost-all', s.get('actions', '0x1ff'), *s.get('without', '').split())
        self.must(c, 'smfi_opensocket', 'remove')
        self.put(c, 'return', 'continue')
        self.ready = True

    # -- the control connection

    @staticmethod
    def put(c, *fields):
        fields = [f if isinstance(f, bytes) else str(f).encode('utf-8', 'surrogateescape') for f in fields]
        c.sendall(struct.pack('>I', len(fields)) + b''.join(struct.pack('>I', len(f)) + f for f in fields))

    @staticmethod
    def get(c):
        count, = struct.unpack('>I', exactly(c, 4))
        return [exactly(c, struct.unpack('>I', exactly(c, 4))[0]) for _ in range(count)]

    def call(self, c, *fields):
        self.put(c, *fields)
        return [f.decode('utf-8', 'surrogateescape') for f in self.get(c)]

    def must(self, c, *fields):
        got = self.call(c, *fields)
        if got != ['0']:
            self.errors.append('%s returned %s' % (' '.join(map(str, fields))[:200], got))

    def handle(self, c):
        mine = []
        while True:
            event, *data = self.get(c)
            event = event.decode()
            if event == 'BEGIN':
                self.begin(c)
                continue
            line = self.describe(event, data)
            self.record(line)
            if not mine:
                self.sessions.append(mine)
            mine.append(event)
            self.perform(c, self.find(line, ['negotiate' if event == 'NEG' else 'continue']))

    def record(self, line):
        if line != 'EOF':                       # of the control connection: CLOSE has said so
            super().record(line)

    def describe(self, event, data):
        words = [d.decode('latin-1') for d in data]
        if event == 'NEG':
            self.offered = words[0].split()
        if event == 'HEADER':
            return 'HEADER %s:%s' % tuple(words)
        if event == 'BODY':
            return 'BODY %d %s' % (len(words[0]), words[0][:200])
        return ' '.join([event] + words).rstrip(' ')

    # -- actions

    def reply(self, c, word, rest):
        text = unescape(rest.strip('"'))
        if word in self.VERDICTS:
            self.put(c, 'return', word)
        elif word == 'negotiate':
            if 'steps' in self.settings or 'actions' in self.settings:
                self.put(c, 'return', 'continue', self.settings.get('actions', self.offered[0]), self.settings.get('steps', '0'))
            else:
                self.put(c, 'return', 'all_opts')
        elif word == 'reply':
            self.set_reply(c, text)
            self.put(c, 'return', 'tempfail' if text.startswith(b'4') else 'reject')
        elif word == 'setreply':
            self.set_reply(c, text)
        elif word == 'get':
            values = [(n, self.call(c, 'smfi_getsymval', n)) for n in rest.split()]
            self.record(' '.join(['GOT'] + [n + '=' + v[0] if v else n for n, v in values]))
        elif word == 'fails':
            result = self.call(c, *self.arguments(*rest.partition(' ')[::2]))
            if result != ['-1']:
                self.errors.append('%s returned %s' % (rest, result))
        elif word == 'calls':
            self.record(' '.join(['CALLED'] + self.call(c, 'calls')))
        elif word == 'tell':
            self.record(rest)
        elif word == 'stop':
            self.must(c, 'smfi_stop')
        elif word == 'crash':
            self.process.kill()
        elif word == 'piece':
            count, _, piece = rest.partition(' ')
            for _ in range(int(count)):
                self.must(c, 'smfi_replacebody', unescape(piece.strip('"')))
        else:
            self.must(c, *self.arguments(word, rest))

    def set_reply(self, c, text):
        self.must(c, *self.reply_arguments(text))

    @staticmethod
    def reply_arguments(text):
        """Of smfi_setreply, or of smfi_setmlreply when there are several lines."""
        lines = text.split(b'\r\n')
        code, enhanced = lines[0][:3], re.match(rb'[245]\.\d+\.\d+ ', lines[0][4:])
        enhanced = enhanced[0] if enhanced else b''
        texts = [l[4 + len(enhanced):] if l[4:].startswith(enhanced) else l[4:] for l in lines]
        return ['smfi_setmlreply' if len(texts) > 1 else 'smfi_setreply', code, enhanced.strip()] + texts

    def arguments(self, word, rest):
        text = unescape(rest.strip('"'))
        if word in ('setreply', 'reply'):
            return self.reply_arguments(text)
        if word == 'symlist':
            stage, _, names = rest.partition(' ')
            return 'smfi_setsymlist', Milter.SYMLIST.index(stage), names.strip('"')
        if word in ('insert', 'change'):
            index, _, text = rest.partition(' ')
            text = unescape(text.strip('"'))
        name, _, value = text.partition(b':')
        value = value[1:] if value.startswith(b' ') else value
        address, _, parameters = text.partition(b' ')
        calls = {
            'add': ['smfi_addheader', name, value],
            'insert': ['smfi_insheader', rest.partition(' ')[0], name, value],
            'change': ['smfi_chgheader', name, rest.partition(' ')[0], value],
            'rcpt+': ['smfi_addrcpt_par', address, parameters] if parameters else ['smfi_addrcpt', address],
            'rcpt-': ['smfi_delrcpt', text],
            'from': ['smfi_chgfrom', address] + ([parameters] if parameters else []),
            'body': ['smfi_replacebody', text],
            'quarantine': ['smfi_quarantine', text],
            'progress': ['smfi_progress'],
        }
        if word not in calls:
            raise AssertionError('%s: unknown action %s %s' % (self.name, word, rest))
        return calls[word]


class PyFilter(Filter):
    """python3-milter's.  Its ways of saying what it wants are decorators; settings: noreply, nocallback (names of the module's methods), protocols
    (P_RCPT_REJ, P_HDR_LEADSPC), actions, timeout, backlog, debug."""
    PROGRAM = ['/usr/bin/python3', os.path.join(TOP, 'tests/tools/milter_all.py')]

    def begin(self, c):
        s = self.settings
        for name in ('backlog', 'debug'):
            if name in s:
                self.must(c, {'debug': 'smfi_setdbg'}.get(name, 'smfi_set' + name), s[name])
        setup = {n: s[n].split() for n in ('noreply', 'nocallback', 'protocols') if n in s}
        setup.update({n: s[n] for n in ('timeout',) if n in s}, socket=self.setconn)
        if 'actions' in s:
            setup['flags'] = s['actions']
        self.must(c, 'setup', json.dumps(setup))
        self.put(c, 'return', 'continue')

    def listens(self):
        super().listens()
        return self.accepts()

    def accepts(self):
        """runmilter() says nothing when it listens."""
        kind, _, where = self.endpoint.partition(':')
        with socket.socket(socket.AF_UNIX if kind == 'unix' else socket.AF_INET) as s:
            try:
                s.connect(where if kind == 'unix' else ('127.0.0.1', int(where.rpartition(':')[2])))
                return True
            except OSError:
                return False
