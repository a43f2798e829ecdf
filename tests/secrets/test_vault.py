"""The vault as a whole: its key replaced while everything runs, everything sealed anew, the drill."""

import io
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone

from apps.core import crypto
from apps.core.care import vault
from apps.core.care.doctor import FAILED, FINE, NOTICE, examine
from apps.core.care.vault import count_by_key, left_to_reseal, reseal_everything, totals_by_key
from apps.core.conditions import lasting_condition
from apps.core.models import Canary, Event
from apps.core.principals import system
from apps.monitors.models import Endpoint
from apps.secrets.models import SecretVersion, VaultDrill
from apps.secrets.services import drill_vault, keys
from apps.secrets.services.vault import drill_is_due
from config import keys as key_files
from tests.factories.monitors import make_endpoint
from tests.factories.secrets import make_secret

pytestmark = pytest.mark.django_db


@pytest.fixture
def key_file(tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation that keeps its key in a file, with values of several apps."""
    settings.VAULT_KEY = settings.VAULT_KEY_AT_START = key_files.load_or_create(tmp_path, "vault_key")
    settings.VAULT_KEYS_OLD, settings.VAULT_KEY_FILE = [], tmp_path / "keys" / "vault_key"
    monkeypatch.setattr(keys, "TAKEN_AFTER_S", 0)
    Canary.objects.update_or_create(id=1, defaults={"token": crypto.make_canary()})
    for number in range(7):
        make_secret(f"s{number}", value=f"value-{number}")
    endpoint = make_endpoint()
    endpoint.headers = '{"X-Key": "of an endpoint"}'
    endpoint.save()
    return tmp_path / "keys" / "vault_key"


def manage(*arguments: str) -> tuple[int, str]:
    """Return the exit code of `manage.py vault` and what it says."""
    out = io.StringIO()
    try:
        call_command("vault", *arguments, stdout=out)
    except SystemExit as ended:
        return (0 if not ended.code else 1), out.getvalue() + str(ended.code or "")
    return 0, out.getvalue()


def values() -> list[str]:
    return [row.value for row in SecretVersion.objects.order_by("secret__name")]


def said_about(check: str) -> list[tuple[str, str]]:
    return [(one.status, one.sentence) for one in examine() if one.check == check]


def test_new_key_takes_over_while_values_of_all_apps_stay_open(key_file: Path, settings: Any) -> None:
    before = values()
    former = crypto.current_key_id()
    code, said = manage("rekey", "--new-key")
    assert code == 0, said
    assert "(100 %)" in said and "vault retire" in said
    # This process was not started anew: it still has the former key in its settings.
    assert settings.VAULT_KEY == settings.VAULT_KEY_AT_START
    current = crypto.current_key_id()
    assert current != former
    assert set(totals_by_key()) == {current}
    assert values() == before
    assert json.loads(Endpoint.objects.get().headers) == {"X-Key": "of an endpoint"}
    assert crypto.check_canary(Canary.objects.get().token)
    assert key_file.stat().st_mode & 0o077 == 0
    assert key_file.with_name("vault_keys_old").stat().st_mode & 0o077 == 0
    facts = Event.objects.filter(name__in=["vault.key_replaced", "vault.rekeyed"]).order_by("id")
    assert [(fact.name, fact.data["key_id"]) for fact in facts] == [
        ("vault.key_replaced", current),
        ("vault.rekeyed", current),
    ]
    assert manage("retire") == (0, f"Retired: {former}. Running processes forget them at their next start.\n")
    assert not key_file.with_name("vault_keys_old").exists()


def test_run_that_was_stopped_is_taken_up_and_both_keys_count_meanwhile(
    key_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = values()
    keys.replace_key(actor=system("test"))
    total = left_to_reseal()
    monkeypatch.setattr(vault, "BATCH", 2)

    def stop(column: str, done: int, total: int) -> None:
        if column == "secrets_secretversion.value":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reseal_everything(progress=stop)
    half = count_by_key()["secrets_secretversion.value"]
    assert sorted(half.values()) == [2, 5]
    assert values() == before
    code, said = manage("rekey", "--new-key")
    assert code == 1 and "finish that first" in said
    assert manage("retire")[0] == 1
    assert f"{left_to_reseal()} values are not sealed with the present key" in manage("status")[1]
    assert "still have a former vault key" in said_about("sealed values")[0][1]
    assert manage("rekey")[0] == 0
    assert (left_to_reseal(), values(), total > 7) == (0, before, True)
    assert said_about("sealed values")[0][0] == FINE


def test_value_that_somebody_changes_meanwhile_is_theirs(key_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys.replace_key(actor=system("test"))
    write = vault._write

    def changed_first(column: Any, fresh: Any) -> int:
        if column.name == "secrets_secretversion.value":
            row = SecretVersion.objects.get(secret__name="s3")
            row.value = "changed meanwhile"
            row.save()
        return write(column, fresh)

    monkeypatch.setattr(vault, "_write", changed_first)
    assert manage("rekey")[0] == 0
    assert values()[3] == "changed meanwhile"


def test_key_of_the_environment_is_replaced_by_two_variables(key_file: Path, settings: Any) -> None:
    settings.VAULT_KEY_FILE = None
    code, said = manage("rekey", "--new-key")
    assert code == 1 and "VAULT_KEYS_OLD of every process" in said
    before, former = values(), settings.VAULT_KEY
    settings.VAULT_KEY, settings.VAULT_KEYS_OLD = crypto.generate_key(), [former]
    assert manage("rekey")[0] == 0
    assert "take them out of VAULT_KEYS_OLD" in manage("retire")[1]
    settings.VAULT_KEYS_OLD = []
    assert values() == before


def test_key_that_is_missing_is_named_and_nothing_else_is_held_up(key_file: Path, settings: Any) -> None:
    lost = crypto.current_key_id()
    settings.VAULT_KEY_FILE, settings.VAULT_KEY = None, crypto.generate_key()
    Canary.objects.update(token=crypto.make_canary())
    fine = make_secret("fine", value="still there")
    code, said = manage("rekey")
    assert code == 1
    assert f"sealed with the vault key {lost}" in said and "8 could not be" in said
    assert SecretVersion.objects.get(secret=fine).value == "still there"
    assert f"7 with {lost} (not configured: they do not open)" in manage("status")[1]
    assert json.loads(manage("status", "--json")[1])["columns"]["secrets_secretversion.value"][lost] == 7


def test_drill_tells_once_what_does_not_open_and_once_when_it_does_again(key_file: Path, settings: Any) -> None:
    assert said_about("vault drill")[0][0] == NOTICE
    assert drill_is_due(timezone.now())
    assert manage("drill")[0] == 0
    assert said_about("vault drill")[0][0] == FINE
    assert not drill_is_due(timezone.now() + timedelta(days=29))
    assert drill_is_due(timezone.now() + timedelta(days=31))
    row = SecretVersion.objects.get(secret__name="s1")
    other = SecretVersion.objects.values_list("value", flat=True).get(secret__name="s2")
    SecretVersion.objects.filter(pk=row.pk).update(value=other)  # a value of another row
    for _ in range(2):
        assert "did not" in manage("drill")[1]
    assert Event.objects.filter(name="system.alert").count() == 1
    found = lasting_condition("vault:drill")
    assert found is not None and f"secrets_secretversion.value of {row.pk}" in found.message
    assert said_about("vault drill")[0][0] == FAILED
    assert drill_is_due(timezone.now() + timedelta(days=2))
    SecretVersion.objects.filter(pk=row.pk).update(value="")
    assert drill_vault().broken == 0
    assert lasting_condition("vault:drill") is None
    assert VaultDrill.objects.count() == 4
