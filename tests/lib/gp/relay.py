"""Servers that pass on what they take to one next hop, which says for whom it was: to compare how addresses are rewritten."""
import re

from .actors import Hop
from .beside import message
from .postfix import Postfix
from .server import Gatepost, free_port, wait_for
from .smtp import Smtp


class Relay:
    def __init__(self, folder):
        self.hop = Hop('hop', folder, lmtp=False, kind='inet')

    def forget(self):
        self.hop.events.clear()
        self.hop.messages.clear()

    def seen(self, at_least=1):
        """What came since, once so many recipients have: {(sender, recipient, ORCPT)}."""
        wait_for(lambda: self.hop.messages and len(self.told()) >= at_least, 'mail for %d recipients' % at_least)
        return self.told()

    def told(self):
        told, sender = set(), None
        for line in list(self.hop.events):
            path = re.search(r'<(.*?)>', line)
            if line.startswith('MAIL'):
                sender = path[1]
            elif line.startswith('RCPT'):
                orcpt = re.search(r' ORCPT=(\S+)', line)
                told.add((sender, path[1], orcpt and orcpt[1]))
        return told

    def send(self, sender, rcpt, params=''):
        """The code at RCPT, or after the dot."""
        self.forget()
        with Smtp(self.port) as c:
            c.cmd('EHLO client.example.net', 250)
            c.cmd('MAIL FROM:<%s>' % sender, 250)
            c.send('RCPT TO:<%s>%s\r\n' % (rcpt, params))
            code, _ = c.reply()
            if code == 250:
                c.cmd('DATA', 354)
                c.send(message('one') + b'.\r\n')
                code, _ = c.reply()
            return code


class OurRelay(Relay):
    """gatepost with TABLES (name: map) and a script, whose next hops are all the one."""

    def __init__(self, folder, tables, script, allowed=()):
        super().__init__(folder)
        self.port = free_port()
        lines = ['table %s { map = "%s" }\n' % t for t in tables.items()]
        lines += ['next_hop %s { smtp = "%s" }\n' % (name, self.hop.endpoint) for name in ('dovecot', 'out')]
        self.server = Gatepost(folder, {'mx.sieve': script, 'gatepost.conf': '''hostname = "mx.example.org"
spool = "%s/spool"
workers = 1
dns { enabled = false }
%slistener mx { address = "127.0.0.1:%d" script = "mx.sieve" }
''' % (folder, ''.join(lines), self.port)}, allowed=allowed)


class TheirRelay(Relay):
    """Debian's Postfix for example.org; MAIN holds further main.cf lines, MASTER master.cf lines."""

    def __init__(self, folder, main, master=''):
        super().__init__(folder)
        hop = 'smtp:[127.0.0.1]:' + self.hop.endpoint.rsplit(':', 1)[1]
        self.server = Postfix(folder, 'myorigin = example.org\nvirtual_mailbox_domains = example.org\nrecipient_delimiter = +\n'
                              'virtual_transport = %s\ndefault_transport = %s\n%s' % (hop, hop, main), master)

    @property
    def port(self):
        return self.server.port
