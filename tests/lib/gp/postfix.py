"""Debian's Postfix, unpacked under build/ and started with a private configuration: the peer to compare with."""
import glob
import os
import subprocess

from .fixtures import Fixture, unpacked
from .server import PATIENCE


def unpack():
    # the file that is unpacked last
    return unpacked('postfix', 'usr/lib/postfix/postfix-ldap.so')


class Commands:
    """Its commands (postmap, postalias), with a configuration of their own in FOLDER."""

    def __init__(self, folder):
        self.root, self.conf = unpack(), os.path.join(folder, 'postfix')
        os.makedirs(self.conf)
        for name, text in (('main.cf', 'compatibility_level = 3.6\nmail_owner = list\nsetgid_group = irc\ndefault_privs = nobody\n'
                            'queue_directory = /tmp\nmeta_directory = %s\nshlib_directory = %s/usr/lib/postfix\n' % (self.conf, self.root)),
                           ('master.cf', ''), ('dynamicmaps.cf', 'pcre postfix-pcre.so dict_pcre_open\n'
                            'cdb postfix-cdb.so dict_cdb_open mkmap_cdb_open\nlmdb postfix-lmdb.so dict_lmdb_open mkmap_lmdb_open\n')):
            with open(os.path.join(self.conf, name), 'w') as f:
                f.write(text)

    def run(self, command, *args, stdin=b''):
        """Exit code, standard output, standard error output."""
        done = subprocess.run([self.root + '/usr/sbin/' + command, '-c', self.conf, *args], input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              env=dict(os.environ, LD_LIBRARY_PATH=self.root + '/usr/lib/postfix'), timeout=PATIENCE, check=False)
        return done.returncode, done.stdout, done.stderr


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
