"""Canaries: secrets are planted, used, rotated and shown; then they are looked for wherever they must not be."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.urls import reverse

from apps.core.events.sequencer import sequence_events
from apps.core.logs import JsonFormatter
from apps.core.masking import Masker
from apps.core.models import Event
from apps.secrets.models import Secret
from apps.secrets.services import read_for_use
from tests.factories.accounts import PASSWORD, client_of, make_user, principal
from tests.support.console import console_of

pytestmark = pytest.mark.django_db
BY_API, BY_FORM = "canary/of+the api=1", "canary 'of' \"the\" form$2"
ROTATED, CHANGED, REFUSED = "canary-of-a-rotation-3", "canary-of-a-change-4", "canary-of-a-refusal-5"
CANARIES = (BY_API, BY_FORM, ROTATED, CHANGED, REFUSED)
URL = "/api/v1/secrets"


@pytest.fixture
def log_lines() -> Iterator[io.StringIO]:
    """What is logged at any level, as it would be written."""
    lines = io.StringIO()
    handler = logging.StreamHandler(lines)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield lines
    root.removeHandler(handler)
    root.setLevel(level)


def dump() -> str:
    """Return every row of every table as text."""
    parts = []
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names():
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            parts += [f"{table}: {_plain(value)}" for row in cursor.fetchall() for value in row]
    return "\n".join(parts)


def _plain(value: Any) -> str:
    # As it stands: what Python writes around it would be one more form.
    return bytes(value).decode(errors="replace") if isinstance(value, bytes | memoryview) else str(value)


def leaks(text: str) -> list[str]:
    """Return the places where a canary stands, in any form."""
    data = text.encode(errors="replace")
    return [text[max(0, begin - 60) : end + 20] for begin, end in Masker(CANARIES).spans(data)]


def plant(api: Any, console: Any) -> list[str]:
    """Put canaries into the vault on every way there is; return all answers but those that show a value."""
    answers = []
    made = api.post(URL, {"name": "by api", "value": BY_API}, format="json", headers={"Idempotency-Key": "7"})
    url = f"{URL}/{made.data['id']}"
    form = {"name": "by form", "category": "token", "source": "typed", "alphabet": "hex", "bits": "3072"}
    answers += [made, console.post(reverse("admin:secrets_secret_add"), {**form, "value": BY_FORM}, follow=True)]
    answers.append(console.post(reverse("admin:secrets_secret_add"), {**form, "value": REFUSED}))  # the name is taken
    answers.append(api.post(URL, {"name": "by api", "value": REFUSED, "category": "?"}, format="json"))
    answers.append(api.post(f"{url}/rotate", {"value": ROTATED, "generate": 5}, format="json"))
    answers.append(api.post(f"{url}/rotate", {"value": ROTATED}, format="json"))
    answers.append(api.put(url, {"value": CHANGED}, format="json"))
    answers.append(api.put(url, {"value": {"deep": REFUSED}}, format="json"))
    for path in (URL, url, f"{URL}/expiring", "/api/v1/audit", "/api/v1/audit/export?format=csv", "/api/v1/schema"):
        answers.append(api.get(path))
    for secret in Secret.objects.all():
        for view in ("detail", "change", "rotate", "reveal", "delete"):
            answers.append(console.get(reverse(f"admin:secrets_secret_{view}", args=[secret.pk])))
    return [
        b"".join(one).decode() if getattr(one, "streaming", False) else one.content.decode() for one in answers
    ]  # fmt: skip


def test_canary_stands_nowhere_but_where_it_was_asked_for(log_lines: io.StringIO, tmp_path: Any) -> None:
    user = make_user("admin")
    api, console = client_of(user), console_of(user)
    answers = plant(api, console)
    assert not leaks("\n".join(answers))
    shown = 0
    for secret in Secret.objects.all():
        value = read_for_use(secret_id=secret.pk, purpose="a test", actor=principal("admin", user))
        assert value in CANARIES
        assert value == api.get(f"{URL}/{secret.pk}?reveal=true").data["value"]
        page = console.post(reverse("admin:secrets_secret_reveal", args=[secret.pk]), {"password": PASSWORD})
        shown += page.status_code == 200
    assert shown == 2
    try:
        raise RuntimeError("a failure beside the vault")
    except RuntimeError:
        logging.getLogger("apps.secrets").exception("with %r and %r", Secret.objects.first(), Masker(CANARIES))
    sequence_events()
    call_command("vault", "status", stdout=(said := io.StringIO()))
    call_command("vault", "drill", stdout=said)
    assert Event.objects.filter(name="secret.revealed").count() == 4
    assert not leaks(dump())
    assert "a failure beside the vault" in log_lines.getvalue()
    assert not leaks(log_lines.getvalue() + said.getvalue())


def test_search_bites_on_a_canary_in_a_row() -> None:
    Event.objects.create(name="x", subject_kind="x", subject_id="x", data={"left": json.dumps({"a": BY_FORM})})
    assert len(leaks(dump())) == 1
