"""What a policy server is told of a session in TLS and of the client's certificate (P10): gatepost beside Debian's Postfix."""
import os
import ssl
import subprocess

import pytest

from gp.actors import Policy
from gp.postfix import Postfix
from gp.server import Gatepost, free_port
from gp.smtp import Smtp

EC = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2', '-utf8']
# {client's certificate: (its subject, who signed it)}
CLIENTS = {
    'trusted': ('/O=Example/CN=client.example.net', 'ca'),
    'signs in its name': ('/CN=Jos\u00e9 A+B=C "d" <e>', 'ca'),
    'no common name': ('/O=Only an organisation', 'ca'),
    'of another authority': ('/CN=stranger', 'other'),
    'signed by itself': ('/CN=alone', None),
    'none': None,
}
COMPARED = ('protocol_state', 'ccert_subject', 'ccert_issuer', 'ccert_fingerprint', 'ccert_pubkey_fingerprint', 'encryption_protocol', 'encryption_cipher',
            'encryption_keysize', 'protocol_name', 'helo_name')


def openssl(*args):
    subprocess.run(['openssl', *args], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=30)


def authority(folder, name):
    openssl('req', '-x509', *EC, '-subj', r'/CN=Authority %s\+1' % name, '-keyout', '%s/%s.key' % (folder, name), '-out', '%s/%s.pem' % (folder, name))


def certificate(folder, name, subject, signer):
    subject = subject.replace('+', r'\+')
    key, pem, csr = ('%s/%s.%s' % (folder, name, e) for e in ('key', 'pem', 'csr'))
    if not signer:
        openssl('req', '-x509', *EC, '-subj', subject, '-keyout', key, '-out', pem)
        return
    openssl('req', *EC, '-subj', subject, '-keyout', key, '-out', csr)
    openssl('x509', '-req', '-in', csr, '-CA', '%s/%s.pem' % (folder, signer), '-CAkey', '%s/%s.key' % (folder, signer), '-CAcreateserial', '-days', '2', '-out', pem)


@pytest.fixture(scope='module')
def keys(place):
    folder = place + '/keys'
    os.makedirs(folder)
    authority(folder, 'ca')
    authority(folder, 'other')
    certificate(folder, 'server', '/CN=mx.example.test', 'ca')
    for name, client in CLIENTS.items():
        if client:
            certificate(folder, name.replace(' ', '-'), *client)
    os.chmod(folder, 0o755)
    return folder


@pytest.fixture(scope='module')
def sides(place, keys):
    folders = {}
    for kind in ('pp', 'gp'):
        folders[kind] = '%s/tls%s' % (place, kind)
        os.makedirs(folders[kind])
        os.chmod(folders[kind], 0o755)
    asked = {kind: Policy('p', folders[kind]) for kind in folders}
    os.chmod(asked['pp'].endpoint[5:], 0o777)
    port = free_port()
    ours = Gatepost(folders['gp'], {
        'gatepost.conf': '''hostname = "mx.example.test"
spool = "%s/spool"
workers = 1
dns { enabled = false }
tls { certificate = "%s/server.pem" key = "%s/server.key" client_ca = "%s/ca.pem" ask_client_certificate = true }
policy p { socket = "%s" }
listener mx { address = {"127.0.0.1:%d"} script = "mx.sieve" tls = offer }
''' % (folders['gp'], keys, keys, keys, asked['gp'].endpoint, port),
        'mx.sieve': 'require ["vnd.gatepost.mta"];\n' + ''.join('stage "%s" { policy "p"; }\n' % s for s in ('connect', 'ehlo', 'mail'))}, allowed=['policy'])
    main = '''smtpd_delay_reject = no
smtpd_client_restrictions = check_policy_service %s
smtpd_helo_restrictions = $smtpd_client_restrictions
smtpd_sender_restrictions = $smtpd_client_restrictions
smtpd_tls_security_level = may
smtpd_tls_cert_file = %s/server.pem
smtpd_tls_key_file = %s/server.key
smtpd_tls_CAfile = %s/ca.pem
smtpd_tls_ask_ccert = yes
smtpd_tls_session_cache_database =
''' % (asked['pp'].endpoint, keys, keys, keys)
    with Postfix(folders['pp'], main) as postfix:
        yield (postfix.port, asked['pp']), (port, asked['gp'])
    ours.close()


def ask(port, policy, keys, name, versions):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = context.maximum_version = versions
    if CLIENTS[name]:
        pem = '%s/%s' % (keys, name.replace(' ', '-'))
        context.load_cert_chain(pem + '.pem', pem + '.key')
    with policy.changed:
        policy.events.clear()
    with Smtp(port) as c:
        c.cmd('EHLO client.example.net', 250)
        c.cmd('STARTTLS', 220)
        c.socket = context.wrap_socket(c.socket, server_hostname='mx.example.test')
        c.cmd('EHLO client.example.net', 250)
        c.cmd('MAIL FROM:<a@example.net>', 250)
        c.cmd('QUIT', 221)
        own = ' client_port=%d ' % c.socket.getsockname()[1]
    with policy.changed:                        # what the start-up's own connection asked may come late
        return [attributes(e) for e in policy.events if own in e]


def attributes(request):
    words = dict(w.split('=', 1) for w in request.split(' ')[1:] if '=' in w)
    return {k: words[k] for k in COMPARED}


# shows: P10
@pytest.mark.parametrize('version', ['TLSv1_2', 'TLSv1_3'])
@pytest.mark.parametrize('name', CLIENTS)
def test_equal(sides, keys, name, version):
    theirs, ours = (ask(port, policy, keys, name, getattr(ssl.TLSVersion, version)) for port, policy in sides)
    assert ours == theirs
    assert [r['protocol_state'] for r in ours] == ['CONNECT', 'EHLO', 'EHLO', 'MAIL']
    assert bool(ours[-1]['ccert_fingerprint']) == (name != 'none')
    assert bool(ours[-1]['ccert_issuer']) == bool(CLIENTS[name] and CLIENTS[name][1] == 'ca')
