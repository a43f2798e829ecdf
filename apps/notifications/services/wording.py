"""The words of a message: those of its rule's or channel's template, or the default ones."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from apps.core.events import Subject, emit
from apps.core.principals import system
from apps.notifications.models import Channel, Rule
from apps.notifications.templating import MOST_BODY, MOST_TITLE, BadTemplate, rendered, values_of


def words_for(payload: Mapping[str, Any], rule: Rule | None, channel: Channel) -> dict[str, Any]:
    """Return a message's payload in the words of the rule, else of the channel, else as it is.

    A template that can't be used is told once and shown at its rule or channel; the message leaves with the default
    words. Call it in a transaction.

    Emits:
        system.alert, where a template turns out to be bad.
    """
    worded = dict(payload)
    values: dict[str, str] | None = None
    for field, key, most in (("title_template", "title", MOST_TITLE), ("body_template", "message", MOST_BODY)):
        owner = next((one for one in (rule, channel) if one is not None and getattr(one, field)), None)
        if owner is None:
            continue
        values = values_of(payload) if values is None else values
        try:
            text = rendered(getattr(owner, field), values, most=most)
        except BadTemplate as error:
            _tell_bad(owner, f"{field.replace('_', ' ')}, {error}")
            continue
        if text:
            worded[key] = " ".join(text.split()) if key == "title" else text
    return worded


def _tell_bad(owner: Rule | Channel, why: str) -> None:
    model: Any = type(owner)
    reason = why[:300]
    # One that is told already is not told with every message.
    if not model.objects.filter(pk=owner.pk, template_error="").update(template_error=reason):
        return
    owner.template_error = reason
    kind = "rule" if isinstance(owner, Rule) else "channel"
    number: UUID = owner.id
    emit(
        "system.alert",
        subject=Subject(kind, str(number), owner.name),
        actor=system("notifications"),
        level="warning",
        data={
            "title": f"A template of the {kind} “{owner.name}” can't be used",
            "message": f"{reason}. Messages leave with the default text until it is put right.",
            "level": "warning",
        },
    )
