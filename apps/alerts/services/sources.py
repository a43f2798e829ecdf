"""Sources of alerts: other systems that may post theirs."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db import transaction

from apps.accounts.hashing import hash_secret
from apps.alerts.inbound import kinds
from apps.alerts.inbound.generic import mapping_problems
from apps.alerts.models import AlertSource, AlertSourceState, ReceivedAlert
from apps.alerts.services.alerts import clear_alert
from apps.alerts.services.receiving import EXTERNAL
from apps.alerts.states import LEVELS
from apps.core.errors import Invalid, NotFound, PreconditionFailed
from apps.core.events import Subject, emit
from apps.core.fields import MASK
from apps.core.ids import new_secret
from apps.core.principals import Principal
from apps.core.runtime_settings import parse_duration

FIELDS = ("name", "enabled", "default_level", "tags", "tag_labels", "mapping", "resolve_after_s")
#: Alerts of systems that never say "over" end after this long without news, where people don't choose.
FORGET_AFTER_S = 86_400
LEAST_S, LONGEST_S = 60, 366 * 86_400
PORTION = 50


def create_source(*, actor: Principal, values: Mapping[str, Any]) -> tuple[AlertSource, str]:
    """Add a source of alerts.

    Args:
        values: `name` and `kind`; `enabled`, `default_level`, `tags`, `tag_labels`, `mapping` (generic alone),
            `resolve_after_s` (seconds without news, or "2h"; null: alerts end when the sender says so).

    Returns:
        The source and its token, which is not kept.

    Raises:
        Invalid: a value is wrong, or the name is taken (422).

    Emits: alert_source.created.

    Source: POST /api/v1/alerts/sources.
    """
    kind = str(values.get("kind") or "")
    if kind not in kinds:
        raise Invalid({"kind": f"give one of {', '.join(AlertSource.Kind.values)}"})
    source = AlertSource(kind=kind)
    defaults = {
        "name": "",
        "default_level": kinds[kind].default_level,
        "resolve_after_s": None if kinds[kind].sends_resolved else FORGET_AFTER_S,
    }
    _apply(source, {**defaults, **{name: value for name, value in values.items() if name != "kind"}})
    token = _give_token(source)
    with transaction.atomic():
        source.save(force_insert=True)
        AlertSourceState.objects.create(source=source)
        _emit("created", source, actor, after={**_shown(source), "kind": kind, "token": MASK})
    return source, token


def update_source(
    *, source_id: UUID | str, actor: Principal, values: Mapping[str, Any], expected_revision: int | None = None
) -> AlertSource:
    """Change a source; what it opened stays open.

    Raises:
        NotFound: no such source (404).
        PreconditionFailed: it was changed since it was read (412).
        Invalid: a value is wrong; another kind is another source (422).

    Emits: alert_source.updated, where something changed.

    Source: PUT /api/v1/alerts/sources/{id}.
    """
    with transaction.atomic():
        source = _locked(source_id, actor, expected_revision)
        before = _shown(source)
        if values.get("kind", source.kind) != source.kind:
            raise Invalid({"kind": "stays what it is; add another source for the other system"})
        _apply(source, {name: value for name, value in values.items() if name != "kind"})
        after = _shown(source)
        changed = [name for name in FIELDS if before[name] != after[name]]
        if changed:
            source.revision += 1
            source.save()
            _emit("updated", source, actor, {n: before[n] for n in changed}, {n: after[n] for n in changed})
    return source


def rotate_token(*, source_id: UUID | str, actor: Principal) -> tuple[AlertSource, str]:
    """Give a source another token; the old one answers 404 at once.

    Returns:
        The source and its new token, which is not kept.

    Raises:
        NotFound: no such source (404).

    Emits: alert_source.token_rotated.

    Source: POST /api/v1/alerts/sources/{id}/rotate-token.
    """
    with transaction.atomic():
        source = _locked(source_id, actor, None)
        token = _give_token(source)
        source.revision += 1
        source.save(update_fields=["digest", "token_hint", "revision", "updated_at"])
        _emit("token_rotated", source, actor, {"token": MASK}, {"token": MASK})
    return source, token


def delete_source(*, source_id: UUID | str, actor: Principal, expected_revision: int | None = None) -> None:
    """Remove a source. Its alerts that are open are resolved: nobody would ever say that they are over.

    Short transactions: first nothing more is taken, then the alerts end, then the source goes.

    Raises:
        NotFound: no such source (404).
        PreconditionFailed: it was changed since it was read (412).

    Emits: alert_source.deleted, and alert.resolved, one an alert.

    Source: DELETE /api/v1/alerts/sources/{id}.
    """
    with transaction.atomic():
        source = _locked(source_id, actor, expected_revision)
        AlertSource.objects.filter(pk=source.pk).update(enabled=False)
    while subjects := list(source.received.order_by("id").values_list("subject_id", flat=True)[:PORTION]):
        with transaction.atomic():
            for subject_id in subjects:
                clear_alert(
                    source=EXTERNAL, kind="", subject_id=subject_id, actor=actor, note="Its source was removed."
                )
            ReceivedAlert.objects.filter(subject_id__in=subjects).delete()
    with transaction.atomic():
        source = _locked(source_id, actor, None)
        _emit("deleted", source, actor, before=_shown(source))
        source.delete()


def _give_token(source: AlertSource) -> str:
    token = f"wka_{new_secret(24)}"
    source.digest, source.token_hint = hash_secret(token), token[-4:]
    return token


def _locked(source_id: UUID | str, actor: Principal, expected_revision: int | None) -> AlertSource:
    source: AlertSource | None = AlertSource.objects.select_for_update().visible_to(actor).filter(pk=source_id).first()
    if source is None:
        raise NotFound("There is no such source of alerts.")
    if expected_revision is not None and source.revision != expected_revision:
        raise PreconditionFailed("Somebody changed this source since you read it.")
    return source


def _shown(source: AlertSource) -> dict[str, Any]:
    return {name: getattr(source, name) for name in FIELDS}


def _emit(
    verb: str,
    source: AlertSource,
    actor: Principal,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    emit(
        f"alert_source.{verb}",
        subject=Subject("alert_source", str(source.pk), source.name),
        actor=actor,
        data={"alert_source_id": str(source.pk), "name": source.name, "kind": source.kind},
        before=before,
        after=after,
    )


# --- checking what people gave -------------------------------------------------------------------------------------


def _apply(source: AlertSource, values: Mapping[str, Any]) -> None:
    problems: dict[str, str] = {name: "is not a field of a source" for name in values if name not in FIELDS}
    if "name" in values:
        source.name = _name(source, values["name"], problems)
    if "enabled" in values:
        if not isinstance(values["enabled"], bool):
            problems["enabled"] = "give true or false"
        else:
            source.enabled = values["enabled"]
    if "default_level" in values:
        if values["default_level"] not in LEVELS:
            problems["default_level"] = f"give one of {', '.join(LEVELS)}"
        else:
            source.default_level = values["default_level"]
    for field, most in (("tags", 64), ("tag_labels", 128)):
        if field in values:
            words = values[field]
            if (
                not isinstance(words, list)
                or len(words) > 20
                or not all(isinstance(word, str) and 0 < len(word.strip()) <= most for word in words)
            ):
                problems[field] = f"give a list of at most 20 words of 1 to {most} characters"
            else:
                setattr(source, field, list(dict.fromkeys(word.strip() for word in words)))
    if "mapping" in values:
        mapping = values["mapping"] or {}
        if mapping and source.kind != AlertSource.Kind.GENERIC:
            problems["mapping"] = f"is for the generic kind alone; {source.get_kind_display()} posts one known shape"
        else:
            problems |= mapping_problems(mapping)
            source.mapping = mapping
    if "resolve_after_s" in values:
        source.resolve_after_s = _seconds(values["resolve_after_s"], problems)
    if problems:
        raise Invalid(problems)


def _name(source: AlertSource, given: Any, problems: dict[str, str]) -> str:
    name = given.strip() if isinstance(given, str) else ""
    if not name or len(name) > 100 or any(ord(letter) < 32 for letter in name):
        problems["name"] = "give one line of 1 to 100 characters"
    elif AlertSource.objects.filter(name=name).exclude(pk=source.pk).exists():
        problems["name"] = "another source has this name"
    return name


def _seconds(given: Any, problems: dict[str, str]) -> int | None:
    if given is None or given == "" or given == 0:
        return None
    try:
        seconds = int(parse_duration(given))
    except (ValueError, OverflowError) as error:
        problems["resolve_after_s"] = str(error) or "give seconds or a text such as 12h"
        return None
    if not LEAST_S <= seconds <= LONGEST_S:
        problems["resolve_after_s"] = "must lie between 1 minute and 366 days"
        return None
    return seconds
