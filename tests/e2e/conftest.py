"""The order of the long tests, and what their installations begin with."""

import fcntl
import json
import os
from dataclasses import asdict

import pytest

from tests.support.processes import Admin, Template, make_template


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the kills: they take as long as several other files, and at the end nobody would run beside them."""
    items.sort(key=lambda item: "test_kills" not in item.nodeid)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Template:
    """A folder that is ready, made once for all processes of the run. First starts have tests of their own."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    data_dir, known = shared / "template" / "data", shared / "template" / "admin.json"
    data_dir.parent.mkdir(exist_ok=True)
    with (shared / "template" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not known.exists():
            known.write_text(json.dumps(asdict(make_template(data_dir).admin)))
    return Template(data_dir=data_dir, admin=Admin(**json.loads(known.read_text())))
