"""Environment of a test run, set before Django reads its settings (a pytest plugin, see pyproject.toml)."""

import base64
import gc
import os
import shutil
import tempfile
from pathlib import Path

import pytest

# Nothing that is loaded until the tests begin is garbage.
gc.disable()

_worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
_folder = Path(tempfile.mkdtemp(prefix=f"wk-test-{_worker}-"))

os.environ.update(
    WATCHKEEPER_TESTING="on",
    DATA_DIR=str(_folder),
    SECRET_KEY="a-key-of-the-test-run-that-is-long-enough-for-hs256-signatures",
    VAULT_KEY=base64.b64encode(b"0123456789abcdef0123456789abcdef").decode(),
    REDIS_PREFIX=f"wk-test-{_worker}-{os.getpid()}",
)
os.environ.setdefault("DATABASE_URL", f"sqlite:///{_folder}/watchkeeper.sqlite3")


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop() -> None:
    """Take what was loaded out of the collector's sight; walking it over and over costs a tenth of the run."""
    gc.collect()
    gc.freeze()
    gc.enable()
    gc.set_threshold(20_000, 20, 50)


def pytest_unconfigure() -> None:
    """Leave nothing of the run behind."""
    shutil.rmtree(_folder, ignore_errors=True)
