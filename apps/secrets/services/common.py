"""What the services of the vault share."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime

from apps.core import runtime_settings
from apps.core.errors import Invalid, NotFound, PreconditionFailed
from apps.core.events import Subject, emit
from apps.core.ids import new_id
from apps.core.masking import LEAST
from apps.core.principals import Principal
from apps.core.runtime_settings import parse_duration
from apps.secrets.generation import DEFAULT, Made, cleaned_generator, make, public_part_of
from apps.secrets.models import Secret, SecretVersion

VALUE_MOST = 65_536
GRACE_MOST_S = 90 * 86_400
FIELDS = ("name", "category", "description", "expires_at", "grace_s")


def locked_secret(secret_id: UUID | str, actor: Principal, expected_revision: int | None = None) -> Secret:
    """Return the row of a secret, locked.

    Raises:
        NotFound: no such secret (404). PreconditionFailed: it was changed since it was read (412).
    """
    secret: Secret | None = Secret.objects.select_for_update().visible_to(actor).filter(pk=secret_id).first()
    if secret is None:
        raise NotFound("There is no such secret.")
    if expected_revision is not None and secret.revision != expected_revision:
        raise PreconditionFailed("Somebody changed this secret since you read it.")
    return secret


def visible_secret(secret_id: UUID | str, actor: Principal) -> Secret:
    """Return a secret without its values.

    Raises:
        NotFound: no such secret (404).
    """
    secret: Secret | None = Secret.objects.visible_to(actor).filter(pk=secret_id).first()
    if secret is None:
        raise NotFound("There is no such secret.")
    return secret


def shown(secret: Secret) -> dict[str, Any]:
    """Return what the audit trail keeps of a secret."""
    found = {name: getattr(secret, name) for name in FIELDS}
    found["expires_at"] = secret.expires_at.isoformat() if secret.expires_at else None
    return found


def facts_of(secret: Secret) -> dict[str, Any]:
    """Return what every event about a secret tells."""
    return {
        "secret_id": str(secret.pk),
        "name": secret.name,
        "category": str(secret.category),
        "version": secret.version,
    }


def tell(
    name: str,
    secret: Secret,
    actor: Principal,
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    level: str = "info",
    note: str = "",
    **data: Any,
) -> None:
    """Emit an event about a secret."""
    emit(
        name,
        subject=Subject("secret", str(secret.pk), secret.name),
        actor=actor,
        data={**facts_of(secret), **data},
        before=before,
        after=after,
        level=level,
        note=note,
    )


def new_version(secret: Secret, made: Made, actor: Principal) -> SecretVersion:
    """Write the value as the secret's current version."""
    version = SecretVersion(
        id=new_id(),
        secret=secret,
        number=secret.version,
        value=made.value,
        public_part=made.public,
        created_by=actor.name[:255],
    )
    version.save(force_insert=True)
    return version


def grace_of(secret: Secret) -> timedelta:
    """Return how long a former value of the secret stays readable."""
    seconds = secret.grace_s if secret.grace_s is not None else runtime_settings.get("secrets.grace")
    return timedelta(seconds=seconds)


def made_value(
    *, value: str | None, generate: Mapping[str, Any] | None, former: Mapping[str, Any], comment: str
) -> tuple[Made, dict[str, Any]]:
    """Return a value, the one given or one that is made, and how it is made again.

    Args:
        former: how the present value was made; empty where a person gave it or there is none.

    Raises:
        Invalid: both or a wrong one is given (422).
    """
    if value is not None and generate is not None:
        raise Invalid({"value": "give a value or have one generated, not both"})
    if value is not None:
        text = cleaned_value(value)
        return Made(text, public_part_of(text, comment)), {}
    generator = cleaned_generator(generate) if generate is not None else dict(former or DEFAULT)
    return make(generator, comment=comment), generator


def cleaned_value(value: Any) -> str:
    """Return a value as it was given.

    Raises:
        Invalid: no text, too short to be masked in what programs print, or too long (422).
    """
    if not isinstance(value, str):
        raise Invalid({"value": "give a text"})
    if len(value.strip()) < LEAST:
        raise Invalid({"value": f"give at least {LEAST} characters; a shorter value can't be masked in output"})
    if len(value.encode(errors="surrogatepass")) > VALUE_MOST:
        raise Invalid({"value": f"give at most {VALUE_MOST // 1024} KiB"})
    if "\0" in value or any(0xD800 <= ord(letter) <= 0xDFFF for letter in value):
        raise Invalid({"value": "holds a character that can't be kept (NUL or half a pair)"})
    return value


def apply(secret: Secret, values: Mapping[str, Any]) -> None:
    """Put checked values into the row.

    Raises:
        Invalid: some are wrong (422).
    """
    problems = {name: "is not a field of a secret" for name in values if name not in FIELDS}
    if "name" in values:
        secret.name = _name(secret, values["name"], problems)
    if "category" in values:
        if values["category"] not in Secret.Category.values:
            problems["category"] = f"give one of {', '.join(Secret.Category.values)}"
        else:
            secret.category = values["category"]
    if "description" in values:
        text = values["description"] if values["description"] is not None else ""
        if not isinstance(text, str) or len(text) > 500 or "\0" in text:
            problems["description"] = "give a text of at most 500 characters"
        else:
            secret.description = text.strip()
    if "expires_at" in values:
        end = _end(values["expires_at"], problems)
        if end != secret.expires_at:
            secret.told = Secret.Told.NOTHING
            if end is not None and end <= timezone.now():
                problems["expires_at"] = "lies in the past; give a later time, or null for no end"
        secret.expires_at = end
    if "grace_s" in values:
        secret.grace_s = _grace(values["grace_s"], problems)
    if problems:
        raise Invalid(problems)


def _name(secret: Secret, given: Any, problems: dict[str, str]) -> str:
    name = given.strip() if isinstance(given, str) else ""
    if not name or len(name) > 100 or any(ord(letter) < 32 or 0xD800 <= ord(letter) <= 0xDFFF for letter in name):
        problems["name"] = "give one line of 1 to 100 characters"
    elif Secret.objects.filter(name=name).exclude(pk=secret.pk).exists():
        problems["name"] = "another secret has this name"
    return name


def _end(given: Any, problems: dict[str, str]) -> datetime | None:
    if given is None or given == "":
        return None
    moment = given if isinstance(given, datetime) else _moment_of(given)
    if moment is None:
        problems["expires_at"] = "give a time such as 2030-01-31T10:00:00Z, or null"
        return None
    return moment


def _moment_of(given: Any) -> datetime | None:
    text = given.strip() if isinstance(given, str) else ""
    try:
        moment = parse_datetime(text)
        day = None if moment else parse_date(text)
    except ValueError:
        return None
    if moment is None and day is not None:
        moment = datetime(day.year, day.month, day.day)
    # As everywhere in the API a time without an offset is UTC.
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment


def _grace(given: Any, problems: dict[str, str]) -> int | None:
    if given is None or given == "":
        return None
    try:
        seconds = int(parse_duration(given))
    except (ValueError, OverflowError) as error:
        problems["grace_s"] = str(error) or "give seconds or a text such as 12h"
        return None
    if not 0 <= seconds <= GRACE_MOST_S:
        problems["grace_s"] = "must lie between 0 and 90 days"
        return None
    return seconds
