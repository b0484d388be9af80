"""The server as a process: its configuration, its master and its workers."""
import os
import subprocess

import pytest

from gp.server import BINARY
from gp.maildir import SCRIPT


@pytest.fixture
def gatepost(folder):
    """Runs a command in a folder with a spool, a place for mail, and the script mx.sieve."""
    os.mkdir(os.path.join(folder, 'spool'))
    os.makedirs(os.path.join(folder, 'mail/example.org'))
    with open(os.path.join(folder, 'mx.sieve'), 'w') as f:
        f.write(SCRIPT)

    def run(*words, conf=None, **files):
        if conf is not None:
            files['g.conf'] = conf
        for name, text in files.items():
            with open(os.path.join(folder, name), 'w') as f:
                f.write(text)
        return subprocess.run([BINARY, *words], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60, check=False)

    run.folder = folder
    return run
