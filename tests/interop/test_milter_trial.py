"""gatepost milter-test before real filters: rspamd (a protocol engine of its own), OpenDKIM (libmilter), python3-milter."""
import os
import re
import subprocess

import pytest

from gp.beside import GTUBE, daemon, message
from gp.server import BINARY

rspamd_inet, opendkim = daemon('rspamd', 'inet'), daemon('opendkim')


def run(folder, *words, **files):
    for name, text in files.items():
        with open(os.path.join(folder, name), 'wb') as f:
            f.write(text)
    done = subprocess.run([BINARY, 'milter-test', *words], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120, check=False)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def test_rspamd_refuses(folder, rspamd_inet):
    code, out, err = run(folder, '--eml', 'm', '--record', 'r', '--from', 'a@example.test', rspamd_inet.endpoint, m=message('plain', GTUBE + '\n'))
    assert (code, err) == (0, '')
    assert re.search(r'^ *[\d.]+ ms <- replycode 554 5\.7\.1 Gtube pattern  \[EOM, [\d.]+ ms\]$', out, re.M)
    assert '\nS: 554 5.7.1 Gtube pattern\n' in out
    # It said that it answers nothing before the end of the message, and so it is shown.
    assert re.search(r'<- negotiate version 6\n.*\n +protocol: .*NR_HDR.*NR_BODY', out)
    assert len(re.findall('ms <- ', out)) == 2
    code, out, err = run(folder, '--replay', 'r', rspamd_inet.endpoint)
    assert (code, err) == (0, '') and out.endswith('\nthe milter answered as recorded: 2 answers\n')


def test_rspamd_edits(folder, rspamd_inet):
    code, out, err = run(folder, '--eml', 'm', '--output', 'o', rspamd_inet.endpoint, m=message('fx-rewrite'))
    assert (code, err) == (0, '')
    assert re.search(r'<- chgheader 1 Subject: \*\*\* SPAM \*\*\* fx-rewrite$', out, re.M)
    assert re.search(r'^-Subject: fx-rewrite\n\+Subject: \*\*\* SPAM \*\*\* fx-rewrite$', out, re.M)
    assert 'S: 250 2.0.0 Ok: taken by milter-test\n' in out
    with open(os.path.join(folder, 'o'), 'rb') as f:
        assert b'\r\nSubject: *** SPAM *** fx-rewrite\r\n' in f.read()


def test_rspamd_quarantines(folder, rspamd_inet):
    code, out, _ = run(folder, '--eml', 'm', rspamd_inet.endpoint, m=message('fx-quarantine'))
    assert code == 0 and '<- quarantine ' in out and '\nto be held: ' in out


@pytest.mark.parametrize('compat', ['full', 'postfix', 'sendmail'])
def test_opendkim_signs(folder, opendkim, compat):
    """What it made verifies, and the recording tells the same to the same filter."""
    code, out, err = run(folder, '--compat', compat, '--eml', 'm', '--output', 'signed', '--record', 'r', '--client', '127.0.0.1', opendkim['sign'],
                         m=message('sign me'))
    assert (code, err) == (0, '')
    assert re.search(r'<- insheader 0 DKIM-Signature:  ?v=1; a=rsa-sha256;', out) and re.search(r'^\+DKIM-Signature: v=1', out, re.M), out
    code, out, err = run(folder, '--compat', compat, '--eml', 'signed', '--client', '192.0.2.7', opendkim['verify'])
    assert (code, err) == (0, '')
    assert re.search(r'Authentication-Results: .*\n?.*dkim=pass', out.replace('\\n', '\n').replace('\\t', ' '))
    code, out, err = run(folder, '--replay', 'r', opendkim['verify'])
    assert code == 1 and re.search(r'^-<- insheader 0 DKIM-Signature', out, re.M), out
