"""A certification authority for tests, and what it signs."""
import os
import subprocess

KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']


def openssl(*args):
    subprocess.run(['openssl', *args], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=30)


class Authority:
    """.pem is its own certificate; all its files are in FOLDER."""

    def __init__(self, folder, name):
        self.folder, self.name = folder, name
        os.makedirs(folder, exist_ok=True)
        self.pem, self.key = self.path(name, 'pem'), self.path(name, 'key')
        openssl('req', '-x509', *KEY, '-days', '2', '-subj', '/CN=Authority ' + name, '-keyout', self.key, '-out', self.pem)

    def path(self, name, kind):
        return os.path.join(self.folder, '%s.%s' % (name, kind))

    def sign(self, name, alternative):
        """(key, certificate) for CN=NAME, with a subjectAltName as in IP:127.0.0.1."""
        key, csr, pem, more = (self.path('%s-%s' % (self.name, name), kind) for kind in ('key', 'csr', 'pem', 'ext'))
        with open(more, 'w') as f:
            f.write('subjectAltName = %s\n' % alternative)
        openssl('req', *KEY, '-subj', '/CN=' + name, '-keyout', key, '-out', csr)
        openssl('x509', '-req', '-in', csr, '-CA', self.pem, '-CAkey', self.key, '-CAcreateserial', '-days', '2', '-extfile', more, '-out', pem)
        return key, pem
