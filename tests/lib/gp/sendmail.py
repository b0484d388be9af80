"""Debian's Sendmail, unpacked under build/ and started with a private configuration: the peer to compare compat = sendmail with."""
from .fixtures import Fixture, unpacked


class Sendmail(Fixture):
    """Sends all mail to the SMTP server at port HOP; DOORS are sendmail.cf lines with listening ports and filters."""

    def __init__(self, folder, hop, doors):
        super().__init__('sendmail', folder, FX_ROOT=unpacked('sendmail', 'usr/libexec/sendmail/sendmail'), FX_HOP=hop, FX_DOORS=doors)
