"""DKIM as somebody else sees it: python3-dkim (no line in common with OpenDKIM, rspamd or gatepost) and Debian's OpenSSL keys."""
import base64
import subprocess

import dkim


def record(key):
    """The DNS record of the private RSA key in the file KEY."""
    der = subprocess.run(['openssl', 'pkey', '-in', key, '-pubout', '-outform', 'DER'], check=True, stdout=subprocess.PIPE, timeout=20).stdout
    return b'v=DKIM1; k=rsa; p=' + base64.b64encode(der)


def verifies(mail, txt, count=1):
    """True when MAIL has COUNT signatures and all of them are good; TXT: the DNS record of every selector."""
    checker = dkim.DKIM(mail)
    found = sum(name.lower() == b'dkim-signature' for name, _ in checker.headers)
    assert found == count, '%d signatures' % found
    try:
        return all(checker.verify(idx=i, dnsfunc=lambda name, timeout=5: txt) for i in range(count))
    except dkim.ValidationError:
        return False
