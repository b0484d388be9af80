"""The same client against Debian's Postfix and against gatepost, the same recording parties behind both."""
import os
import shutil
import tempfile

import pytest

MEMORY, ROOM = '/dev/shm', 256 << 20


def memory():
    """A file system without a disk, or None.  Postfix syncs every message; on a disk that others write to each took seconds, and once more than a test
    waits for an answer."""
    try:
        fs = os.statvfs(MEMORY)
        return MEMORY if fs.f_bavail * fs.f_frsize > ROOM else None
    except OSError:
        return None


@pytest.fixture(scope='module')
def place():
    path = tempfile.mkdtemp(prefix='gp.', dir=memory())
    os.chmod(path, 0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)
