"""The same client against Debian's Postfix and against gatepost, the same recording parties behind both."""
import os
import shutil
import tempfile

import pytest


@pytest.fixture(scope='module')
def place():
    path = tempfile.mkdtemp(prefix='gp.')
    os.chmod(path, 0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)
