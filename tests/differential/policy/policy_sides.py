"""Debian's Postfix and gatepost, each with a recording policy server before it and recording next hops behind it."""
import glob
import os
import re
from collections import namedtuple

from gp.actors import Actor, Gone, Hop, Policy
from gp.postfix import Postfix
from gp.server import Gatepost, free_port, wait_for
from gp.smtp import Smtp

LISTS = ['client', 'helo', 'sender', 'recipient', 'data', 'end_of_data']
# Postfix's restriction lists: lines of main.cf; and the same as a script: {stage: block}
Setup = namedtuple('Setup', 'main blocks')


def asking(*lists):
    return ''.join('smtpd_%s_restrictions = check_policy_service {p}\n' % l for l in lists)


OURS = 'if envelope :domain "to" "example.test" { policy "p"; deliver "hop"; }'
SETUPS = {
    'rcpt': Setup(asking('recipient'), {'rcpt': OURS}),
    # each list when its command comes
    'all': Setup('smtpd_delay_reject = no\n' + asking(*LISTS),
                 {'connect': 'policy "p";', 'ehlo': 'policy "p";', 'mail': 'policy "p";', 'rcpt': OURS, 'data': 'policy "p";', 'message': 'policy "p";'}),
    # the first three at each RCPT; each asks in other words, or it would be asked once here (better 2)
    'delayed': Setup(''.join('smtpd_%s_restrictions = check_policy_service {{ {p}, policy_context=%s }}\n' % (l, l) for l in LISTS[:4]),
                     {'rcpt': 'policy "client"; policy "helo"; policy "sender";' + OURS.replace('"p"', '"recipient"')}),
    # two answers of one list
    'twice': Setup('smtpd_recipient_restrictions = check_policy_service {{ {p}, policy_context=sender }}, '
                   'check_policy_service {{ {p}, policy_context=recipient }}\n',
                   {'rcpt': OURS.replace('policy "p"', 'policy "sender"; policy "recipient"')}),
}
# where AUTH is offered: only then does Postfix take MAIL's AUTH=
SETUPS['sasl'] = Setup(SETUPS['all'].main + 'smtpd_sasl_auth_enable = yes\nsmtpd_sasl_type = dovecot\nsmtpd_sasl_path = unix:{auth}\n', SETUPS['all'].blocks)
MAIN = '''inet_protocols = all
smtpd_soft_error_limit = 100
smtpd_error_sleep_time = 0
smtpd_relay_restrictions = reject_unauth_destination
smtpd_tls_security_level = none
recipient_delimiter = +
message_size_limit = 1000000
virtual_transport = lmtp:unix:{hop}
'''
CONF = '''hostname = "mx.example.test"
spool = "%(folder)s/spool"
workers = 1
dns { enabled = false }
policy p { socket = "%(p)s" compat = postfix }
%(contexts)s
next_hop hop { lmtp = "%(hop)s" }
listener mx { address = {"127.0.0.1:%(port)d"} script = "mx.sieve" xclient = {"127.0.0.0/8"} vrfy = ask size_max = 1000000 }
'''
# What a policy server's answer may make gatepost say.
ALLOWED = ['event=policy', 'event=gate', 'event=script', 'event=added_recipient']


class Auth(Actor):
    """What Dovecot says to a client of its auth socket; nobody logs in."""

    def handle(self, c):
        c.sendall(b'VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nSPID\t1\nCUID\t1\nCOOKIE\t00000000000000000000000000000000\nDONE\n')
        while c.recv(65536):
            pass
        raise Gone


class Side:
    def __init__(self, folder, setup):
        os.makedirs(folder)
        os.chmod(folder, 0o755)
        self.folder = folder
        self.policy, self.hop, self.filter = Policy('p', folder), Hop('hop', folder, lmtp=True), Hop('filter', folder, lmtp=True)
        for actor in (self.policy, self.hop, self.filter):
            os.chmod(actor.endpoint[5:], 0o777)
        self.port, self.close = self.start(setup)

    def begin(self, rules):
        self.policy.rules.clear()
        for r in rules:
            self.policy.rule(r.replace('FILTER {filter}', 'FILTER lmtp:' + self.filter.endpoint))
        for actor in (self.policy, self.hop, self.filter):
            with actor.changed:
                actor.events.clear()
        for hop in (self.hop, self.filter):
            hop.messages.clear()
            hop.envelopes.clear()
        self.held_before = len(self.held())

    def delivered(self):
        """[(next hop, sender, recipients, fields on top that are no trace of ours)], and how many were held."""
        self.settle()
        got = [(name, sender, sorted(rcpts), self.fields(data)) for name, hop in (('hop', self.hop), ('filter', self.filter))
               for (sender, rcpts), data in zip(hop.envelopes, hop.messages)]
        return sorted(got), len(self.held()) - self.held_before

    @staticmethod
    def fields(data):
        head = data.decode('utf-8', 'surrogateescape').split('\r\n\r\n')[0]
        return [l for l in head.split('\r\n') if not re.match(r'Received:|\t|Message-Id:|Date:|From:|To:|Return-Path:', l)]


class PostfixSide(Side):
    def start(self, setup):
        auth = Auth('auth', self.folder)
        os.chmod(auth.endpoint[5:], 0o777)
        self.server = Postfix(self.folder, MAIN.format(hop=self.hop.endpoint[5:]) + SETUPS[setup].main.format(p=self.policy.endpoint, auth=auth.endpoint[5:]))
        self.server.__enter__()
        return self.server.port, self.server.__exit__

    def queue(self, *names):
        return [p for n in names for p in glob.glob('%s/queue/%s/*' % (self.server.folder, n)) if os.path.isfile(p)]

    def held(self):
        return self.queue('hold')

    def settle(self):
        """It delivers when it has answered."""
        wait_for(lambda: not self.queue('incoming', 'active'), 'Postfix to deliver')


class GatepostSide(Side):
    def start(self, setup):
        port = free_port()
        contexts = ''.join('policy %s { socket = "%s" compat = postfix policy_context = "%s" }\n' % (l, self.policy.endpoint, l) for l in LISTS[:4])
        self.server = Gatepost(self.folder, {
            'gatepost.conf': CONF % {'folder': self.folder, 'p': self.policy.endpoint, 'contexts': contexts, 'hop': self.hop.endpoint, 'port': port},
            'mx.sieve': 'require ["envelope", "vnd.gatepost.mta"];\n' + ''.join('stage "%s" { %s }\n' % b for b in SETUPS[setup].blocks.items())},
            allowed=ALLOWED)
        return port, self.server.close

    def held(self):
        return [p for p in glob.glob(self.folder + '/spool/hold/*.json')]

    def settle(self):
        pass


# ---- the client ----

def content_of(lines):
    """Up to the dot, and what is left."""
    dot = lines.index('.')
    return ''.join(l + '\r\n' for l in lines[:dot]), lines[dot + 1:]


class Client:
    """Plays a script: commands line by line, " | " between those that are sent in one write.  DATA is followed by its content and a dot, sent if it may
    be; so is BDAT (its LAST at the end of the line), which is sent with its content, without the dot, at once."""

    def __init__(self, connection):
        self.c, self.heard = connection, []

    def listen(self, said):
        code, texts = self.c.reply()
        self.heard.append((said, code, self.normal(said, code, texts)))
        return code

    @staticmethod
    def normal(said, code, texts):
        if said in ('dot', 'BDAT') and code == 250:
            return 'taken'
        if said in ('greeting', 'EHLO', 'HELO', 'XCLIENT', 'DATA') and not any('rejected' in t for t in texts):
            return ''
        return texts[-1] if texts else ''

    def play(self, script):
        lines = script.split('\n')[:-1]
        code = self.listen('greeting')
        while lines and code is not None:
            line = lines.pop(0)
            if line.startswith('BDAT'):
                content, lines = content_of(lines)
                self.c.send('BDAT %d%s\r\n%s' % (len(content.encode()), line[4:], content))
                code = self.listen('BDAT')
                continue
            together = line.split(' | ')
            self.c.send(''.join(l + '\r\n' for l in together))
            for l in together:
                code = self.listen(l.split(' ')[0].upper()) if code is not None else None
            if together[-1] == 'DATA':
                content, lines = content_of(lines)
                if code == 354:
                    self.c.send(content + '.\r\n')
                    code = self.listen('dot')


NEWER = re.compile(r' tls_sni=[^ ]*| compatibility_level=[^ ]*| mail_version=.*')       # than Debian's Postfix 3.7: 3.12 and 3.8 brought these


class Names:
    """What must differ, called by its number: so it is still seen whether two are the same."""

    def __init__(self, client_port, server_port):
        self.ports, self.ids = {str(client_port): 'CLIENT', str(server_port): 'SERVER'}, {}

    def of_id(self, m):
        return '%s=%s' % (m[1], self.ids.setdefault(m[0], '#%d' % (1 + sum(k.startswith(m[1]) for k in self.ids))))

    def normal(self, event):
        # Postfix 3.7 says XCLIENT where its manual knows of CONNECT only
        event = re.sub(r'^XCLIENT (.*?)protocol_state=XCLIENT', r'CONNECT \1protocol_state=CONNECT', event)
        event = re.sub(r'\b(client_port|server_port)=(\d+)', lambda m: '%s=%s' % (m[1], self.ports.get(m[2], m[2])), event)
        return NEWER.sub('', re.sub(r'\b(queue_id|instance)=\w[^ ]*', self.of_id, event))


def play(side, script, rules):
    """What the client heard, what the server was asked, what was delivered or held."""
    side.begin(rules)
    with Smtp(side.port, greet=False) as c:
        client = Client(c)
        client.play(script)
        own = c.socket.getsockname()[1]
        names = Names(own, side.port)
    # What the connection asked by which Postfix was found to have started may come late.
    mine = re.compile(r' client_port=(?:%d|4711|unknown) ' % own)
    with side.policy.changed:
        asked = [names.normal(e) for e in side.policy.events if mine.search(e)]
    return client.heard, asked, side.delivered()
