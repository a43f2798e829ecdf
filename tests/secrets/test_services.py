"""Secrets: versions and their grace, uses, ends, references."""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone

from apps.core.errors import Conflict, Invalid, NotFound, TooMany
from apps.core.models import Event
from apps.core.principals import system
from apps.core.runtime_settings import change_settings
from apps.secrets import references
from apps.secrets.models import Secret, SecretUse, SecretVersion
from apps.secrets.services import (
    delete_secret,
    prune_uses,
    read_for_use,
    read_many_for_use,
    reveal_secret,
    rotate_secret,
    tell_of_ends,
    update_secret,
    wipe_former,
)
from apps.secrets.services.rotation import KEPT_VERSIONS
from tests.factories.accounts import principal
from tests.factories.secrets import make_secret

pytestmark = pytest.mark.django_db
ME = system("test")


def names() -> list[str]:
    return list(Event.objects.filter(name__startswith="secret.").order_by("id").values_list("name", flat=True))


def use(secret: Secret, purpose: str = "SSH to web-1", **more: Any) -> str:
    return read_for_use(secret_id=secret.pk, purpose=purpose, actor=ME, **more)


def test_rotation_keeps_the_former_value_for_its_grace_and_then_wipes_it() -> None:
    secret = make_secret(value="first-value", grace_s="1h")
    rotate_secret(secret_id=secret.pk, actor=ME, value="second-value")
    assert use(secret) == "second-value"
    assert use(secret, version=1) == "first-value"
    assert wipe_former() == 0
    SecretVersion.objects.filter(number=1).update(readable_until=timezone.now() - timedelta(seconds=1))
    with pytest.raises(Conflict, match="Version 1 .* no longer readable"):
        use(secret, version=1)
    assert wipe_former() == 1
    former = SecretVersion.objects.get(number=1)
    assert (former.value, former.wiped_at is not None) == ("", True)
    with pytest.raises(NotFound, match="no version 3"):
        use(secret, version=3)
    assert names() == ["secret.created", "secret.rotated", "secret.used"]


def test_rotation_without_grace_wipes_at_once_and_the_timeline_is_bounded() -> None:
    secret = make_secret(grace_s=0)
    for number in range(KEPT_VERSIONS + 3):
        rotate_secret(secret_id=secret.pk, actor=ME, value=f"value-{number}")
    versions = SecretVersion.objects.filter(secret=secret)
    assert versions.count() == KEPT_VERSIONS
    assert [row.value for row in versions if row.value] == [f"value-{KEPT_VERSIONS + 2}"]


def test_value_is_generated_again_as_it_was_and_given_ones_become_random() -> None:
    key = make_secret(value=None, generate={"kind": "ed25519"}, name="deploy key")
    first = SecretVersion.objects.get(secret=key)
    rotate_secret(secret_id=key.pk, actor=ME)
    second = SecretVersion.objects.get(secret=key, number=2)
    assert second.value.startswith("-----BEGIN OPENSSH PRIVATE KEY-----")
    assert second.public_part.startswith("ssh-ed25519 ") and second.public_part.endswith(" deploy-key")
    assert first.public_part != second.public_part
    given = make_secret(value=first.value, name="the same key")
    assert SecretVersion.objects.get(secret=given).public_part.split()[:2] == first.public_part.split()[:2]
    pin = make_secret(value=None, generate={"length": 12, "alphabet": "digits"})
    assert use(pin).isdigit() and len(use(pin)) == 12
    typed = rotate_secret(secret_id=make_secret().pk, actor=ME)
    assert len(use(typed)) == 32


def test_uses_are_counted_each_and_told_once_an_hour_for_a_purpose() -> None:
    secret = make_secret()
    for _ in range(5):
        use(secret)
    use(secret, "backup of db-1")
    secret.refresh_from_db()
    assert (secret.uses, secret.revision) == (6, 1)
    assert {row.purpose: row.times for row in SecretUse.objects.all()} == {"SSH to web-1": 5, "backup of db-1": 1}
    assert names().count("secret.used") == 2
    SecretUse.objects.update(told_at=timezone.now() - timedelta(hours=2), last_at=timezone.now() - timedelta(days=400))
    use(secret)
    told = Event.objects.filter(name="secret.used").order_by("-id").first()
    assert told is not None and told.data["times"] == 6
    assert prune_uses(10) == 1
    assert SecretUse.objects.get().purpose == "SSH to web-1"


def test_secret_in_use_is_not_removed_and_its_users_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    used, free, short = make_secret("used"), make_secret("free"), make_secret("short")
    monkeypatch.setattr(references.finders, "_items", {})
    references.register("ssh_target", lambda ids: [(key, "ssh_target", "7", "web-1") for key in ids if key == used.pk])
    references.register("job", lambda ids: [("job", "8", "nightly")] if short.pk in ids else [])
    with pytest.raises(Conflict, match=r"“used” is in use by web-1 \(ssh target\)") as refused:
        delete_secret(secret_id=used.pk, actor=ME)
    assert refused.value.details["used_by"] == [{"kind": "ssh_target", "id": "7", "name": "web-1"}]
    found = references.users_of([used.pk, free.pk, short.pk])
    assert [[one.name for one in found[row.pk]] for row in (used, free, short)] == [["web-1"], [], ["nightly"]]
    delete_secret(secret_id=free.pk, actor=ME)
    assert not SecretVersion.objects.filter(secret_id=free.pk).exists()
    assert names()[-1] == "secret.deleted"


def test_ends_are_told_once_before_and_once_when_they_come_and_anew_after_a_rotation() -> None:
    now = timezone.now()
    secret = make_secret("certificate", expires_at=now + timedelta(days=10))
    make_secret("later", expires_at=now + timedelta(days=40))
    assert (tell_of_ends(), tell_of_ends()) == (1, 0)
    Secret.objects.filter(pk=secret.pk).update(expires_at=now - timedelta(hours=3))
    assert (tell_of_ends(), tell_of_ends()) == (1, 0)
    told = list(Event.objects.filter(name__in=["secret.expiring", "secret.expired"]).order_by("id"))
    assert [(row.name, row.level) for row in told] == [("secret.expiring", "warning"), ("secret.expired", "critical")]
    assert told[0].data["message"].startswith("The secret “certificate” ends in 9 d 23 h")
    assert "ended 3 h ago" in told[1].data["message"]
    rotated = rotate_secret(secret_id=secret.pk, actor=ME, value="renewed-value")
    assert rotated.expires_at is None
    rotate_secret(secret_id=secret.pk, actor=ME, expires_at=now + timedelta(days=3))
    assert tell_of_ends() == 1


def test_reveals_are_audited_and_limited() -> None:
    secret, person = make_secret(), principal("admin")
    change_settings(values={"secrets.reveals_per_hour": 2}, actor=ME)
    for _ in range(2):
        assert reveal_secret(secret_id=secret.pk, actor=person).value == "correct-horse-battery"
    with pytest.raises(TooMany) as refused:
        reveal_secret(secret_id=secret.pk, actor=person)
    assert 3500 < refused.value.retry_after_s <= 3600
    other_way = replace(person, kind="api_key", id="k", name="a key of theirs")
    with pytest.raises(TooMany):
        reveal_secret(secret_id=secret.pk, actor=other_way)
    assert reveal_secret(secret_id=secret.pk, actor=principal("admin")).number == 1
    assert names().count("secret.revealed") == 3


def test_changes_are_told_with_what_changed_and_never_a_value() -> None:
    secret = make_secret("before", value="the-old-value")
    update_secret(secret_id=secret.pk, actor=ME, values={"name": "after", "value": "the-new-value"})
    update_secret(secret_id=secret.pk, actor=ME, values={"value": "***"})
    assert names() == ["secret.created", "secret.updated", "secret.rotated"]
    changed = Event.objects.get(name="secret.updated")
    assert (changed.audit["before"], changed.audit["after"]) == ({"name": "before"}, {"name": "after"})
    everything = str(list(Event.objects.values()))
    assert "the-old-value" not in everything and "the-new-value" not in everything
    assert use(secret) == "the-new-value"


@pytest.mark.parametrize("value", ["", "abc", "  ab  ", "x" * 65_537, "nul\0nul", 5])
def test_value_that_cant_be_kept_or_masked_is_refused(value: Any) -> None:
    with pytest.raises(Invalid, match="value"):
        make_secret(value=value)


def test_many_uses_are_counted_and_told_as_single_ones_and_what_can_not_be_read_is_left_out() -> None:
    one, two, gone = (
        make_secret(name="one", value="first-value"),
        make_secret(name="two", value="second-value"),
        uuid4(),
    )
    use(one, "SSH to web-1")
    purposes = [(one.pk, "SSH to web-1"), (one.pk, "SSH to web-2"), (two.pk, "SSH to web-1"), (gone, "SSH to web-3")]
    for _ in range(2):
        found = read_many_for_use(wanted=purposes, actor=ME)
    assert found == {
        (one.pk, "SSH to web-1"): "first-value",
        (one.pk, "SSH to web-2"): "first-value",
        (two.pk, "SSH to web-1"): "second-value",
    }
    counted = {(row.secret.name, row.purpose): row.times for row in SecretUse.objects.select_related("secret")}
    assert counted == {("one", "SSH to web-1"): 3, ("one", "SSH to web-2"): 2, ("two", "SSH to web-1"): 2}
    assert dict(Secret.objects.values_list("name", "uses")) == {"one": 5, "two": 2}
    told = Event.objects.filter(name="secret.used").order_by("id").values_list("subject_name", "data__purpose")
    assert list(told) == [("one", "SSH to web-1"), ("one", "SSH to web-2"), ("two", "SSH to web-1")]
