"""Has the client got its 250?  Whether the delivered journal takes its next message of the same bytes for a retry (docs/delivery.md, 4)."""
import os
import signal
import socket

import pytest

from gp.actors import Hop
from gp.maildir import SCRIPT
from gp.server import Gatepost, free_port, wait_for
from gp.smtp import Smtp

CONF = '''hostname = "mx.test"
spool = "spool"
workers = 1
dns { enabled = no }
listener mx { address = "127.0.0.1:%d" script = "mx.sieve" }
next_hop here { lmtp = "%s" }
'''
TEXT = b'Subject: the door is open\r\n\r\n'


class Waiting:
    """A server whose next hop takes each message and answers when it is told to; a client that waits for its 250."""

    def __init__(self, folder):
        self.folder, self.hop = folder, Hop('hop', folder, lmtp=True)
        self.hop.rule('MESSAGE * -> wait')
        self.serve()
        self.client = Smtp(self.port)
        # Its kernel takes its time to acknowledge.
        self.client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 0)
        self.send(self.client)

    def serve(self):
        self.port = free_port()
        self.server = Gatepost(self.folder, {'gatepost.conf': CONF % (self.port, self.hop.endpoint), 'mx.sieve': SCRIPT})

    def send(self, client):
        client.cmd('EHLO client.test', 250)
        client.cmd('MAIL FROM:<a@example.net>', 250)
        client.cmd('RCPT TO:<b@example.org>', 250)
        client.cmd('DATA', 354)
        client.send(TEXT + b'.\r\n')
        self.hop.expect('MESSAGE *', skip=True)

    def begin_drain(self):
        self.server.process.send_signal(signal.SIGTERM)
        wait_for(self.refuses, 'the worker to hear of it')

    def refuses(self):
        try:
            socket.create_connection(('127.0.0.1', self.port)).close()
            return False
        except ConnectionRefusedError:
            return True

    def saved(self):
        self.hop.answer('250 2.0.0 saved')

    def noted(self):
        """What the journal has, when the session is over; and whether the same message, sent again, is delivered again."""
        self.server.log.wait('event=disconnect', 'helo=client.test')
        self.server.close()
        path = os.path.join(self.folder, 'spool/journal/delivered')
        text = ''
        if os.path.exists(path):
            with open(path) as f:
                text = f.read()
        self.serve()
        self.hop.rules.clear()
        with Smtp(self.port) as c:
            c.cmd('EHLO client.test', 250)
            c.mail('a@example.net', ['b@example.org'], TEXT)
            c.cmd('QUIT', 221)
        return text.startswith('D '), len(self.hop.messages)

    def close(self):
        self.client.close()
        self.server.close()
        self.hop.close()


@pytest.fixture
def waiting(folder):
    w = Waiting(folder)
    yield w
    w.close()


def test_a_drain_behind_the_250(waiting):
    waiting.begin_drain()
    waiting.saved()
    waiting.client.expect(250)
    waiting.client.expect(421)
    assert waiting.client.reply() == (None, [])
    assert waiting.noted() == (False, 2)


def test_a_drain_and_the_client_is_gone(waiting):
    waiting.begin_drain()
    waiting.client.close()
    waiting.saved()
    assert waiting.noted() == (True, 1)


def test_half_closed_and_reading_on(waiting):
    waiting.client.socket.shutdown(socket.SHUT_WR)
    waiting.saved()
    waiting.client.expect(250)
    assert waiting.noted() == (False, 2)


def test_closed_with_the_250_unread(waiting):
    waiting.saved()
    waiting.client.socket.recv(1, socket.MSG_PEEK)
    waiting.client.close()
    assert waiting.noted() == (True, 1)
