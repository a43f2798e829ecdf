"""How the console says what happened."""

import pytest

from apps.core.admin.words import happening, spaced
from apps.core.events import catalogue
from tests.factories.notifications import make_fact
from tests.support.console import console_as


@pytest.mark.parametrize("name", list(catalogue))
def test_every_event_is_said_in_a_few_plain_words(name: str) -> None:
    words = happening(name)
    assert words[0].isupper() and " " in words and len(words) <= 110
    assert not set(words) & set("`_.")


def test_name_outside_of_the_catalogue_is_said_as_it_is() -> None:
    assert (happening("test"), happening("thing.went_away")) == ("Test", "Thing went away")


def test_patterns_say_what_they_take() -> None:
    assert (happening("*"), happening("alert.*")) == ("Everything that happens", "Everything of the family “alert”")


@pytest.mark.django_db
def test_audit_trail_says_what_happened_and_names_the_event() -> None:
    row = make_fact("status.group_created")
    for path in ("/admin/core/event/", f"/admin/core/event/{row.pk}/"):
        page = console_as("admin").get(path).content.decode()
        assert "A group of components was added" in page and "status.group_created" in page


def test_names_of_code_are_spaced_and_short_words_written_large() -> None:
    assert (spaced("ssh_connection"), spaced("status_page")) == ("SSH connection", "status page")


@pytest.mark.django_db
def test_settings_are_named_as_people_say_them() -> None:
    page = console_as("admin").get("/admin/settings/").content.decode()
    for label in ("Logs per server (MiB)", "Check results (bytes)", "Samples by the hour", "Heartbeat days"):
        assert f">{label}<" in page or f">{label} <" in page, label
    assert "Logs mib" not in page
