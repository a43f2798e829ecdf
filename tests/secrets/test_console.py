"""The vault in the console."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from apps.core.models import Event
from apps.secrets import references
from apps.secrets.models import Secret, SecretVersion, VaultDrill
from tests.factories.accounts import PASSWORD, make_user
from tests.factories.secrets import make_secret
from tests.support.console import console_as, console_of

pytestmark = pytest.mark.django_db
LIST = "/admin/secrets/secret/"
FORM = {"name": "deploy", "category": "ssh_key", "source": "typed", "alphabet": "hex", "bits": "3072"}


def page(answer: Any) -> str:
    return answer.content.decode()


def url(view: str, secret: Secret) -> str:
    return reverse(f"admin:secrets_secret_{view}", args=[secret.pk])


def test_secret_is_added_as_typed_and_a_refused_form_forgets_the_value() -> None:
    admin = console_as("admin")
    assert "The vault is empty" in page(admin.get(LIST))
    assert "Paste the value" in page(admin.post(f"{LIST}add/", FORM))
    wrong = admin.post(f"{LIST}add/", {**FORM, "name": "", "value": "line one\r\nline two\r\n"})
    assert (wrong.status_code, "line one" in page(wrong)) == (422, False)
    admin.post(f"{LIST}add/", {**FORM, "value": "line one\r\nline two\r\n", "grace_s": "2h"})
    assert SecretVersion.objects.get().value == "line one\nline two\n"
    assert Secret.objects.get().grace_s == 7200


def test_key_pair_is_made_and_its_public_part_shown_to_be_copied() -> None:
    admin = console_as("admin")
    shown = admin.post(f"{LIST}add/", {**FORM, "source": "ed25519"}, follow=True)
    assert SecretVersion.objects.get().public_part in page(shown)
    assert "PRIVATE KEY" not in page(shown)
    assert "an Ed25519 key pair" in page(shown)


def test_list_and_page_say_ends_and_users_in_words_with_the_same_queries(monkeypatch: pytest.MonkeyPatch) -> None:
    now = timezone.now()
    secret = make_secret("certificate", expires_at=now + timedelta(days=3, minutes=1), description="of the shop")
    monkeypatch.setattr(references.finders, "_items", {})
    references.register("server", lambda ids: [(key, "server", "7", "web-1") for key in ids if key == secret.pk])
    admin = console_as("admin")
    text = page(admin.get(LIST))
    assert "ends in 3 d" in text and "web-1" in text
    detail = page(admin.get(url("detail", secret)))
    assert "This secret ends" in detail and "web-1" in detail and "Current" in detail
    assert "in use by web-1" in page(admin.get(url("delete", secret)))
    refused = admin.post(url("delete", secret))
    assert (refused.status_code, "“certificate” is in use by web-1" in page(refused)) == (409, True)
    with CaptureQueriesContext(connection) as few:
        admin.get(LIST)
    for _ in range(8):
        make_secret()
    with CaptureQueriesContext(connection) as many:
        admin.get(LIST)
    assert len(many) == len(few)
    Secret.objects.filter(pk=secret.pk).update(expires_at=now - timedelta(hours=5))
    assert "ended 5 h ago" in page(admin.get(LIST))
    changed = admin.post(url("change", secret), {"name": "certificate", "category": "token", "description": "x",
                                                 "expires_at": "", "grace_s": ""})  # fmt: skip
    assert changed.status_code == 302
    secret.refresh_from_db()
    assert (secret.category, secret.expires_at) == ("token", None)


def test_value_is_shown_after_the_password_alone_and_noted() -> None:
    user = make_user("admin")
    secret, admin = make_secret(value="<b>hidden words</b>"), console_of(user)
    button: Any = admin.post(reverse("admin:secrets_secret_do", args=[secret.pk, "reveal"]))
    assert button.url == url("reveal", secret)
    ask = page(admin.get(url("reveal", secret)))
    assert "Your password" in ask and "authenticator" not in ask
    wrong = admin.post(url("reveal", secret), {"password": "not it"})
    assert (wrong.status_code, "hidden words" in page(wrong)) == (422, False)
    assert not Event.objects.filter(name="secret.revealed").exists()
    shown = admin.post(url("reveal", secret), {"password": PASSWORD})
    assert "&lt;b&gt;hidden words&lt;/b&gt;" in page(shown)
    assert "no-store" in shown["Cache-Control"]
    assert Event.objects.get(name="secret.revealed").actor["id"] == str(user.id)


def test_rotation_by_form_and_the_timeline_leads_to_the_former_value() -> None:
    secret, admin = make_secret(value=None, generate={"length": 16, "alphabet": "hex"}), console_as("admin")
    first = SecretVersion.objects.get().value
    assert "Make one as before: 16 random characters (64 bits)" in page(admin.get(url("rotate", secret)))
    admin.post(url("rotate", secret), {"source": "as_before", "bits": "3072", "alphabet": "hex"})
    admin.post(url("rotate", secret), {"source": "typed", "value": "mine", "bits": "3072", "alphabet": "hex"})
    values = list(SecretVersion.objects.order_by("number").values_list("number", flat=True))
    assert values == [1, 2, 3]
    detail = page(admin.get(url("detail", secret)))
    assert "Still readable" in detail and f"{url('reveal', secret)}?version=1" in detail
    assert first in page(admin.post(f"{url('reveal', secret)}?version=1", {"password": PASSWORD}))
    bad = admin.post(url("rotate", secret), {"source": "typed", "value": "abc", "bits": "3072", "alphabet": "hex"})
    assert "ive at least 4 characters" in page(bad)


def test_rights_and_a_failed_drill_stand_on_the_page() -> None:
    secret = make_secret()
    operator = console_as("operator")
    assert [operator.get(path).status_code for path in (LIST, url("detail", secret), url("reveal", secret))] == [
        403
    ] * 3
    reader = console_of(make_user("vault readers", permissions=["secrets:view"]))
    detail = page(reader.get(url("detail", secret)))
    assert "Show value" not in detail and "/do/rotate/" not in detail
    assert reader.get(url("rotate", secret)).status_code == 403
    VaultDrill.objects.create(opened=3, broken=1, told="a.b of 7: wrong key")
    assert "1 sealed values did not open" in page(reader.get(LIST))
    assert console_as("anonymous").get(LIST).status_code == 302
