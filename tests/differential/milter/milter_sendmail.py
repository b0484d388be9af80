"""Doors of Debian's Sendmail, beside those of gatepost under compat = sendmail."""
import fnmatch
import glob
import os
import re
import threading

from gp.actors import Hop
from gp.sendmail import Sendmail
from milter_sides import Side, mail_lines

# The macros name the host's own parts, and Sendmail finds 127.0.0.1 in /etc/hosts.
ALIKE = [(re.compile(p), to) for p, to in [
    (r'\{mail_mailer\}=[^ ]+', '{mail_mailer}=MAILER'),
    (r'^CONNECT localhost 4 ', 'CONNECT [127.0.0.1] 4 '),
    (r'_=(localhost|unknown) \[127', '_=[127'),
    (r'\{client_(name|ptr)\}=(localhost|unknown)', r'{client_\1}=NAME'),
    (r'\{client_resolve\}=(OK|FAIL)', '{client_resolve}=WORD'),
    (r'\{if_name\}=[^ ]+', '{if_name}=NAME'),
    # one that Sendmail has made itself
    (r' \{msg_id\}=<[^>]*@mx\.example\.test>', ''),
]]


def alike(line):
    for pattern, to in ALIKE:
        line = pattern.sub(to, line)
    return line


def comparable(name, record):
    """A RECORD of the case NAME without what is each server's own: the words of a reply, and ABORT where nothing was begun or all is over.
    Sendmail says it when RSET breaks a message off; gatepost also at a refusal and when the client leaves, of which libmilter makes the
    same call of xxfi_abort() by itself."""
    aborts = name in ABORTS
    return {'heard': [' '.join(h.split(' ')[:2]) for h in record['heard']], 'mails': record['mails'],
            'told': [[[alike(e) for e in c if aborts or e != 'ABORT'] for c in m] for m in record['told']]}


SAME = ['plain', 'version [2-6]', 'no actions', 'symlist connect*', 'symlist helo*', 'symlist mail*', 'symlist rcpt*', 'symlist data*',
        'symlist with an unknown macro', 'step NO*', 'step NR_*', 'step all*', 'two recipients', 'null sender', 'case of addresses', 'helo, *',
        'parameters*', 'paths without brackets', 'too many recipients', 'no header', 'header without space', 'header spaces kept', 'header folded oddly',
        'Received of others', 'body of *', 'body cut *', 'add', 'add folded', 'add empty', 'add, leading*', 'insert 0', 'insert 1', 'change', 'change ?',
        'change respells the name', 'change what *', 'delete', 'delete ?', 'delete what *', 'body', 'body in two', 'body with*', 'rcpt deleted*',
        'rcpt added', 'rcpt added that is there', 'sender made null', 'edits then *', 'mail: *', 'data: *', 'eom: *', 'quarantined*', 'edited and quarantined',
        'discarded at *', 'skip at body, twice', 'two milters', 'first of two accepts at mail', 'first of two accepts at body', 'second sees *',
        'its own Message-Id', 'two transactions', 'rset after mail', 'rset at once', 'second ehlo at once', 'quit at once', 'quit after ehlo']
# Where gatepost means to differ from Sendmail, or Sendmail from what it says.
REASONS = {
    'shutdown': 'Sendmail 8.17 takes "shutdown" for no answer at all and forgets the filter.',
    'skip': 'SKIP means more chunks of the body to Sendmail; what it makes of it elsewhere no filter wants.',
    'spelling': 'Needless quotes and a dot behind the domain make no other address; Sendmail keeps them apart.',
    'lost': 'A filter that failed is had back (B4), and the refusal is said at once; Sendmail says it one command later.',
}
DIFFERENT = {
    'spelling': ['rcpt deleted*needless quotes', 'rcpt deleted as it was told, a dot at its end'],
    'shutdown': ['*: shutdown'], 'skip': ['mail: skip', 'data: skip', 'eom: skip'], 'lost': ['*: conn_fail', 'rcpt deleted, not negotiated'],
}


def among(name, globs):
    return any(fnmatch.fnmatchcase(name, g) for g in globs)


def reason(name):
    return next((key for key, globs in DIFFERENT.items() if among(name, globs)), None)


ABORTS = ['two transactions', 'rset after mail', 'rset at once', 'second ehlo at once', 'quit at once', 'quit after ehlo']


class SendmailSide(Side):
    KIND = 'inet'       # Sendmail takes no unix socket below a folder that everybody may write to, as /tmp is
    server = hop = None
    turn = threading.Lock()     # one next hop and one queue serve all doors

    @classmethod
    def begin_server(cls, folder, sides):
        with open(folder + '/key.pem', 'rb') as key, open(folder + '/key0.pem', 'wb', opener=lambda *a: os.open(*a, 0o600)) as copy:
            copy.write(key.read())      # Sendmail refuses one that others may read
        cls.hop = Hop('peer-hop', folder, lmtp=False, kind='inet')
        cls.server = Sendmail(folder, cls.hop.endpoint.rsplit(':', 1)[1], ''.join(s.door() for s in sides) + (
            'O ServerCertFile=%(folder)s/cert.pem\nO ServerKeyFile=%(folder)s/key0.pem\n' % {'folder': folder}))
        return cls.server.__enter__()

    def door(self):
        names = ['m%dp%d' % (i, self.port) for i in range(len(self.milters))]
        return 'O DaemonPortOptions=Name=p%d, Addr=127.0.0.1, Port=%d, I=%s\n' % (self.port, self.port, ';'.join(names)) + ''.join(
            'X%s, S=%s@127.0.0.1, F=T, T=C:30s;S:10s;R:10s;E:30s\n' % (n, m.endpoint.replace('127.0.0.1:', '')) for n, m in zip(names, self.milters))

    def run(self, name, case):
        with self.turn:
            return super().run(name, case)

    def begin(self):
        self.hop.messages.clear()
        self.hop.envelopes.clear()

    def mails(self, ids):
        """Sendmail delivers before it answers; what it quarantines stays in its queue."""
        found = []
        for path in glob.glob(self.server.folder + '/queue/hf*'):
            found.append(('held',))
            os.unlink(path)
        return found + [mail_lines(sender, rcpt, m.replace(b'\r\n', b'\n')) for m, (sender, rcpts) in zip(self.hop.messages, self.hop.envelopes)
                        for rcpt in rcpts]
