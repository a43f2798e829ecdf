"""The overview: what is wrong first, unknown apart from down, the next step while it is empty."""

import json
from pathlib import Path

import pytest
from django.conf import settings

from apps.core import runtime_settings
from apps.core.admin.words import percent, since, size, spoken
from apps.core.principals import system
from tests.factories.accounts import make_user
from tests.factories.alerts import make_alert
from tests.factories.fleet import make_server
from tests.factories.monitors import make_endpoint, record
from tests.support.console import console_of

pytestmark = pytest.mark.django_db


def overview_of(role: str) -> str:
    return console_of(make_user(role)).get("/admin/").content.decode()


def test_open_alert_stands_before_the_figures_with_its_button() -> None:
    make_alert("critical", name="Shop")
    page = overview_of("operator")
    assert "1 open alert" in page
    assert page.index("Shop") < page.index('id="tiles"')
    assert "/do/acknowledge/" in page
    assert "/do/acknowledge/" not in overview_of("viewer")


def test_calm_installation_says_that_nothing_is_wrong() -> None:
    assert "Nothing is wrong" in overview_of("viewer")


def test_unknown_is_counted_apart_from_down() -> None:
    record(make_endpoint(name="Alpha"), "down")
    make_endpoint(name="Beta")
    make_server("quiet")
    page = " ".join(overview_of("viewer").split())
    assert "<b>1</b> down" in page
    assert page.count("<b>1</b> unknown") == 2


def test_newcomer_is_told_the_next_steps() -> None:
    page = overview_of("admin")
    assert "Add your first monitor" in page
    assert "/admin/monitors/endpoint/add/" in page
    assert "Add your first monitor" not in overview_of("viewer")


def test_overview_says_that_no_role_must_use_a_second_step_until_one_must() -> None:
    page = overview_of("admin")
    assert "Nobody is asked for a second step" in page
    runtime_settings.change_settings(values={"security.mfa_required_roles": ["operator"]}, actor=system("test"))
    runtime_settings.forget()
    assert "Nobody is asked for a second step" not in overview_of("admin")


def test_storage_shows_bytes_per_table_to_admins_alone() -> None:
    assert "Bytes per table" in overview_of("admin")
    assert "Bytes per table" not in overview_of("viewer")


def test_vendored_libraries_are_what_the_manifest_names() -> None:
    vendor = Path(settings.BASE_DIR) / "static" / "vendor"
    libraries = json.loads((vendor / "manifest.json").read_text())
    folders = {path.name for path in vendor.iterdir() if path.is_dir()}
    named = {f"{library['name'].rpartition('/')[2]}-{library['version']}": library for library in libraries}
    assert set(named) == folders
    for folder, library in named.items():
        assert library["integrity"].startswith("sha512-")
        for name in library["files"].values():
            assert (vendor / folder / name).is_file()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.25, "250 ms"), (45, "45 s"), (3 * 60, "3 min"), (3700, "1 h 1 min"), (90000, "1 d 1 h"), (None, "")],
)
def test_durations_read_as_people_say_them(seconds: float | None, text: str) -> None:
    assert spoken(seconds) == text


def test_share_is_never_rounded_up_to_hundred() -> None:
    assert percent(99.9999) == "99.99 %"
    assert percent(100) == "100 %"
    assert percent(None) == "–"


def test_moment_that_never_was_reads_never() -> None:
    assert since(None) == "never"
    assert size(1536) == "1.5 KiB"
