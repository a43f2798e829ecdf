"""Imports go downward only, and are never hidden in functions."""

from tests.architecture.layers import LAYERS, ROOT, modules, violations


def test_apps_import_from_lower_layers_only() -> None:
    found = {
        str(path.relative_to(ROOT)): bad
        for app, path in modules()
        if (bad := violations(app, path.read_text(), is_loader=path.name == "apps.py"))
    }
    assert not found, found


def test_every_app_has_a_layer() -> None:
    assert {app for app, _ in modules()} <= set(LAYERS)


def test_rule_bites_on_upward_sideways_and_hidden_imports() -> None:
    assert violations("fleet", "from apps.alerts.models import Alert")
    assert violations("fleet", "import apps.notifications.services")
    assert violations("alerts", "def f():\n    from apps.fleet.models import Server\n")
    assert not violations("alerts", "from apps.fleet.models import Server\nfrom apps.alerts import states\n")
    assert not violations("alerts", "def ready(self):\n    from apps.alerts import tasks\n", is_loader=True)
