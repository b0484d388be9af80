"""gatepost milter-test before real filters: rspamd (a protocol engine of its own), OpenDKIM (libmilter), python3-milter."""
import json
import os
import re
import subprocess

import pytest

from gp.beside import GTUBE, daemon, message
from gp.fixtures import Fixture
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


SCRIPT = {
    'negotiate': {'symlist': {'mail': 'i {mail_addr}'}},
    'header': {'match': '^X-Bad: ', 'reply': ['554', '5.6.0', 'a bad header']},
    'rcpt': {'match': 'nobody@', 'reply': 'reject'},
    'body': 'skip',
    'eom': {'do': [['progress'], ['addheader', 'X-New', 'caf\u00e9'], ['chgheader', 'Subject', 1, 'new'], ['addrcpt', '<c@example.org>'],
                   ['chgfrom', '<>'], ['replacebody', 'new\r\n'], ['quarantine', 'why not']], 'reply': 'accept'},
}


@pytest.mark.parametrize('compat', ['full', 'postfix', 'sendmail'])
def test_libmilter_is_shown_and_found_again(folder, compat):
    """A filter on libmilter, in python3-milter; one that refuses in the midst of what is sent together, too."""
    os.mkdir(folder + '/scripted-milter')
    with open(folder + '/scripted-milter/script.json', 'w') as f:
        json.dump(SCRIPT, f)
    with Fixture('scripted-milter', folder) as f:
        code, out, err = run(folder, '--compat', compat, '--to', 'nobody@example.org', '--to', 'b@example.org', '--record', 'r', f.endpoint)
        assert (code, err) == (0, ''), out
        shown = re.sub(r'  \[.*', '', re.sub(r'^ *[\d.]+ ms ', '', out, flags=re.M))
        for line in ('                   macros at MAIL: i {mail_addr}', '<- reject', 'S: 550 5.7.1 Command rejected', '<- skip', '<- progress',
                     '<- addheader X-New: caf\u00e9', '<- chgheader 1 Subject: new', '<- addrcpt <c@example.org>', '<- chgfrom <>',
                     '<- replbody 5 bytes: new\\r\\n', '<- quarantine why not', '<- accept', '+MAIL FROM:<>', '+RCPT TO:<c@example.org>',
                     '+Subject: new', '+X-New: caf\u00e9', '+new', 'to be held: why not'):
            assert '\n%s\n' % line in shown, (line, out)
        again = run(folder, '--replay', 'r', f.endpoint)
        assert again[0] == 0 and re.search(r'\nthe milter answered as recorded: \d+ answers\n$', again[1]), again
        code, out, _ = run(folder, '--compat', compat, '--header', 'X-Bad: 1', '--header', 'X-More: 1', '--record', 'r', f.endpoint)
        assert code == 0 and '\nS: 554 5.6.0 a bad header\n' in out
        again = run(folder, '--replay', 'r', f.endpoint)
        assert again[0] == 0, again
