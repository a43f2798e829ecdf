"""The order of the long tests."""

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the kills: they take as long as several other files, and at the end nobody would run beside them."""
    items.sort(key=lambda item: "test_kills" not in item.nodeid)
