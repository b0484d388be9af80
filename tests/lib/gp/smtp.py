"""A small SMTP client on plain sockets, for tests that need many sessions or odd bytes."""
import socket

from .server import PATIENCE


class Smtp:
    def __init__(self, port, greet=True, timeout=PATIENCE):
        self.socket = socket.create_connection(('127.0.0.1', port), timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.rest = b''
        if greet:
            self.expect(220)

    def reply(self):
        """(code, all text lines); (None, []) when the server has closed."""
        lines = []
        while True:
            while b'\n' not in self.rest:
                try:
                    got = self.socket.recv(65536)
                except ConnectionResetError:
                    got = b''
                if not got:
                    return None, lines
                self.rest += got
            line, _, self.rest = self.rest.partition(b'\n')
            line = line.decode('utf-8', 'surrogateescape').rstrip('\r')
            lines.append(line[4:])
            if line[3:4] != '-':
                return int(line[:3]), lines

    def expect(self, code):
        got, lines = self.reply()
        assert got == code, 'expected %s, got %s %s' % (code, got, lines)
        return lines

    def send(self, data):
        self.socket.sendall(data if isinstance(data, bytes) else data.encode())

    def cmd(self, line, code):
        self.send(line + '\r\n')
        return self.expect(code)

    def mail(self, sender, recipients, content, code=250):
        """A whole transaction; CONTENT is bytes with CR LF, dots already doubled.  The text of the last reply."""
        self.cmd('MAIL FROM:<%s>' % sender, 250)
        for r in recipients:
            self.cmd('RCPT TO:<%s>' % r, 250)
        self.cmd('DATA', 354)
        self.send(content + b'.\r\n')
        return self.expect(code)

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
