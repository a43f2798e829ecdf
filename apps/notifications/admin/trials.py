"""Forms that try rules and words on an alert of the past, or on one that is made up."""

from typing import Any

from django import forms

from apps.core.admin.forms import ConsoleForm, WordsField
from apps.core.models import Event
from apps.notifications import selectors
from apps.notifications.admin.common import LEVELS, SOURCES
from apps.notifications.routing import FactLike
from apps.notifications.templating import MOST_BODY, MOST_TITLE
from apps.notifications.texts import text_of

_EVENTS = [
    ("alert.opened", "An alert opens"),
    ("alert.escalated", "It gets worse"),
    ("alert.acknowledged", "Somebody acknowledges it"),
    ("alert.resolved", "It ends"),
]


def _past() -> list[tuple[str, str]]:
    rows = selectors.recent_facts()
    return [
        ("", "None: make one up"),
        *((str(row.seq), f"{row.at:%d %b %H:%M} · {text_of(row).title}") for row in rows),
    ]


class RoutingTrialForm(ConsoleForm):
    """What happens."""

    past = forms.ChoiceField(required=False, label="An alert of the past")
    event = forms.ChoiceField(choices=_EVENTS, label="Or make one up")
    level = forms.ChoiceField(choices=LEVELS, required=False)
    source = forms.ChoiceField(choices=SOURCES, required=False, label="About")
    name = forms.CharField(required=False, max_length=200, initial="web-1", help_text="What it is about.")
    tags = WordsField(required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["past"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = _past()

    def fact(self) -> FactLike:
        """Return the alert that was chosen or described."""
        data = self.cleaned_data
        return _chosen(data.get("past", "")) or selectors.made_fact(
            event=data["event"],
            level=data["level"] or "critical",
            source=data["source"] or "endpoint",
            subject={"kind": data["source"] or "endpoint", "id": data["name"], "name": data["name"]},
            tags=data["tags"],
        )


class WordsTrialForm(ConsoleForm):
    """Templates and what they are tried on."""

    past = forms.ChoiceField(required=False, label="Try on", help_text="An alert of the past, or a made-up one.")
    title_template = forms.CharField(required=False, max_length=MOST_TITLE, label="Title")
    body_template = forms.CharField(
        required=False,
        max_length=MOST_BODY,
        label="Text",
        widget=forms.Textarea(attrs={"rows": 6, "class": "wk-mono"}),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["past"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = _past()

    def fact(self) -> FactLike:
        """Return the alert that was chosen, or one made up."""
        return _chosen(self.cleaned_data.get("past", "")) or selectors.made_fact(
            subject={"kind": "endpoint", "id": "web-1", "name": "web-1"}, message="web-1 does not answer", tags=["prod"]
        )


def _chosen(seq: str) -> Event | None:
    return Event.objects.filter(seq=int(seq)).first() if seq.isdigit() else None
