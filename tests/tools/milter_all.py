#!/usr/bin/python3
"""A filter on python3-milter that does what it is told: milter_all.c again, with the same words on the control connection.

    milter_all.py CONTROL

What the module does by itself it does here too: its negotiation (decorators, masks), its check of what was negotiated before it asks
libmilter, its bytes and strings.  The settings that come with "setup" choose among its ways: `noreply` and `nocallback` name the callbacks that are
decorated, `protocols` the masks to enable.
"""
import json
import os
import socket
import struct
import sys
import threading

import Milter
import milter

CALLBACKS = ['connect', 'hello', 'envfrom', 'envrcpt', 'data', 'header', 'eoh', 'body', 'unknown']
VERDICTS = {'continue': Milter.CONTINUE, 'accept': Milter.ACCEPT, 'reject': Milter.REJECT, 'tempfail': Milter.TEMPFAIL,
            'discard': Milter.DISCARD, 'skip': Milter.SKIP}
CALLED, LOCK = set(), threading.Lock()


def text(value):
    return value.decode('utf-8', 'surrogateescape') if isinstance(value, bytes) else value


class Control:
    def __init__(self):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(sys.argv[1])

    def put(self, fields):
        fields = [f if isinstance(f, bytes) else f.encode('utf-8', 'surrogateescape') for f in fields]
        self.socket.sendall(struct.pack('>I', len(fields)) + b''.join(struct.pack('>I', len(f)) + f for f in fields))

    def exactly(self, n):
        data = b''
        while len(data) < n:
            got = self.socket.recv(n - len(data))
            if not got:
                raise EOFError
            data += got
        return data

    def get(self):
        count, = struct.unpack('>I', self.exactly(4))
        return [self.exactly(struct.unpack('>I', self.exactly(4))[0]) for _ in range(count)]

    def obey(self, perform):
        """Does what it is told until that is to return: what to return."""
        while True:
            name, *args = [a if i else text(a) for i, a in enumerate(self.get())]
            if name == 'return':
                return [text(a) for a in args]
            with LOCK:
                CALLED.add(name)
            self.put(sorted(CALLED) if name == 'calls' else perform(name, args))


class Filter(Milter.Base):
    """A session."""

    def __init__(self):
        self.control = Control()

    def tell(self, *event):
        self.control.put(event)
        try:
            word, = self.control.obey(self.perform)
        except EOFError:
            return Milter.TEMPFAIL
        return VERDICTS[word]

    def perform(self, name, args):
        if name == 'smfi_getsymval':
            value = self.getsymval(text(args[0]))
            return [] if value is None else [text(value)]
        try:
            result = getattr(self, name.replace('smfi_', 'do_'))(*(args if name == 'smfi_replacebody' else map(text, args)))
        except (Milter.DisabledAction, milter.error, ValueError, TypeError) as e:
            print(name, repr(e), file=sys.stderr)
            return ['-1']
        return ['0' if result in (None, 0) else str(result)]

    # libmilter's names for the module's methods

    def do_setreply(self, code, enhanced, words):
        return self.setreply(code, enhanced or None, words)

    def do_setmlreply(self, code, enhanced, *words):
        return self.setreply(code, enhanced or None, *words)

    def do_addheader(self, name, value):
        return self.addheader(name, value)

    def do_insheader(self, index, name, value):
        return self.addheader(name, value, int(index))

    def do_chgheader(self, name, index, value):
        return self.chgheader(name, int(index), value)

    def do_chgfrom(self, sender, params=None):
        return self.chgfrom(sender, params)

    def do_addrcpt(self, rcpt):
        return self.addrcpt(rcpt)

    def do_addrcpt_par(self, rcpt, params):
        return self.addrcpt(rcpt, params)

    def do_delrcpt(self, rcpt):
        return self.delrcpt(rcpt)

    def do_replacebody(self, piece):
        return self.replacebody(piece)

    def do_quarantine(self, why):
        return self.quarantine(why)

    def do_progress(self):
        return self.progress()

    def do_setsymlist(self, stage, names):
        return self._ctx.setsymlist(int(stage), names)  # Base's own, and the decorator symlist, hand it bytes, which Python 3 refuses

    def do_stop(self):
        return milter.stop()

    # callbacks

    def negotiate(self, opts):
        self.control.put(['NEG', '%#x %#x' % (opts[0], opts[1])])
        word, *asked = self.control.obey(self.perform)
        answer = super().negotiate(opts)                # the masks of noreply, nocallback and enable_protocols
        if word == 'all_opts':
            return Milter.ALL_OPTS
        if int(asked[0], 0) != opts[0]:
            opts[0] = self._actions = int(asked[0], 0)
        return answer

    def connect(self, host, family, address):
        if family == socket.AF_UNIX:
            return self.tell('CONNECT', host, 'L', '0', address)
        if family in (socket.AF_INET, socket.AF_INET6):
            return self.tell('CONNECT', host, '4' if family == socket.AF_INET else '6', str(address[1]), address[0])
        return self.tell('CONNECT', host, 'U')

    def hello(self, name):
        return self.tell('HELO', name)

    def envfrom(self, *words):
        return self.tell('MAIL', *words)

    def envrcpt(self, *words):
        return self.tell('RCPT', *words)

    def data(self):
        return self.tell('DATA')

    def header(self, name, value):
        return self.tell('HEADER', name, value)

    def eoh(self):
        return self.tell('EOH')

    def body(self, piece):
        return self.tell('BODY', piece)

    def unknown(self, line):
        return self.tell('UNKNOWN', line)

    def eom(self):
        return self.tell('EOM')

    def abort(self):
        return self.tell('ABORT')

    def close(self):
        result = self.tell('CLOSE')
        self.control.socket.close()
        return result


def decorated(settings):
    """Filter, with the decorators that the settings name."""
    methods = {}
    for name in CALLBACKS:
        method = getattr(Filter, name)

        def own(self, *args, method=method):            # decorators mark the function: each class needs its own
            return method(self, *args)
        own.__name__ = name
        if name in settings.get('noreply', ()):
            own = Milter.noreply(own)
        if name in settings.get('nocallback', ()):
            own = Milter.nocallback(own)
        methods[name] = own
    made = type('Decorated', (Filter,), methods)
    for mask in settings.get('protocols', ()):
        made = Milter.enable_protocols(made, getattr(Milter, mask))
    return made


def main():
    control = Control()
    setup = {}

    def begin(name, args):
        if name == 'setup':
            setup.update(json.loads(args[0]))
        else:
            getattr(milter, name.replace('smfi_', ''))(int(args[0]))
        return ['0']
    control.put(['BEGIN'])
    control.obey(begin)
    Milter.factory = decorated(setup)
    if 'flags' in setup:
        Milter.set_flags(int(setup['flags'], 0))
    os.umask(0)
    Milter.runmilter('gatepost-all', setup['socket'], timeout=int(setup.get('timeout', 0)))


if __name__ == '__main__':
    main()
