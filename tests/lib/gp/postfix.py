"""Debian's Postfix, unpacked under build/ and started with a private configuration: the peer to compare with."""
import fcntl
import glob
import os
import subprocess

from .fixtures import Fixture
from .server import TOP

ROOT = os.path.join(TOP, 'build/postfix')


def unpack():
    """Fetches and unpacks it once: the folder."""
    os.makedirs(ROOT, exist_ok=True)
    with open(ROOT + '.lock', 'w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(ROOT + '/usr/lib/postfix/postfix-ldap.so'):     # the last one
            subprocess.run(['sh', os.path.join(TOP, 'tests/fixtures/postfix.sh'), 'extract', ROOT], check=True, timeout=120,
                           stdout=subprocess.DEVNULL)
    return ROOT


class Postfix(Fixture):
    """Mail for example.test lands in .mails(); MAIN holds further main.cf lines."""

    def __init__(self, folder, main='', master=''):
        super().__init__('postfix', folder, FX_ROOT=unpack(), FX_MAIN=main, FX_MASTER=master)

    @property
    def port(self):
        return int(self.endpoint.rsplit(':', 1)[1])

    def mails(self):
        return [open(p, 'rb').read() for p in sorted(glob.glob(self.folder + '/mail/box/new/*'), key=os.path.getmtime)]

    def log(self):
        with open(self.folder + '/mail.log') as f:
            return f.read()
