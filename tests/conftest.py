"""For all tests over sockets: finds tests/lib, collects *.smtp dialogues."""
import os
import shutil
import sys
import tempfile

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), 'lib'))

from gp.dialogue import Dialogue, Failure  # noqa: E402


@pytest.fixture
def folder():
    """A work folder with a short path: a unix socket's name is limited to 107 bytes."""
    path = tempfile.mkdtemp(prefix='gp.')
    os.chmod(path, 0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope='module')
def place():
    """The same for all tests of a module, for daemons they share."""
    path = tempfile.mkdtemp(prefix='gp.')
    os.chmod(path, 0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


def pytest_collect_file(parent, file_path):
    if file_path.suffix == '.smtp':
        return DialogueFile.from_parent(parent, path=file_path)
    return None


class DialogueFile(pytest.File):
    def collect(self):
        yield DialogueItem.from_parent(self, name=self.path.stem)


class DialogueItem(pytest.Item):
    def runtest(self):
        path = tempfile.mkdtemp(prefix='gp.')
        os.chmod(path, 0o755)
        try:
            Dialogue(str(self.path), path).play()
        finally:
            shutil.rmtree(path, ignore_errors=True)

    def repr_failure(self, excinfo):
        return str(excinfo.value) if isinstance(excinfo.value, Failure) else super().repr_failure(excinfo)

    def reportinfo(self):
        return self.path, 0, self.path.stem
