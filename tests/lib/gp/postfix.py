"""Debian's Postfix, unpacked under build/ and started with a private configuration: the peer to compare with."""
import glob
import os

from .fixtures import Fixture, unpacked


def unpack():
    # the file that is unpacked last
    return unpacked('postfix', 'usr/lib/postfix/postfix-ldap.so')


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
