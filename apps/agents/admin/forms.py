"""Forms of host agents."""

from datetime import timedelta
from typing import Any, ClassVar

from django import forms
from django.utils import timezone

from apps.agents.models import HostAgent
from apps.core.admin.forms import ConsoleForm, DurationField, WordsField, choices
from apps.fleet.models import Server

_MOST = 500
DAY_S = 86_400


class NewHostForm(ConsoleForm):
    """One host, added before it asks."""

    server = forms.ChoiceField(
        required=False, label="Server", help_text="A new one, or one that is watched already and has no agent."
    )
    name = forms.CharField(
        required=False, max_length=200, help_text="As people call the machine, e.g. “web 1”. Only for a new server."
    )
    tags = WordsField(required=False, help_text="Words apart by commas, e.g. web, production. Only for a new server.")
    service_names: ClassVar = {"slug": "name"}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        server: Any = self.fields["server"]
        free = Server.objects.filter(is_local=False).exclude(pk__in=HostAgent.objects.current().values("server_id"))
        rows = free.order_by("name", "id").values_list("slug", "name")[:_MOST]
        server.choices = choices([(slug, name) for slug, name in rows], empty="A new server")
        for name in ("name", "tags"):
            self.fields[name].when = "server="  # type: ignore[attr-defined]
        for name in ("server", "name"):
            self.fields[name].asked = True  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        """Want a name for a new server."""
        data = super().clean() or {}
        if not data.get("server") and not str(data.get("name") or "").strip():
            self.add_error("name", "Give the new server a name.")
        return data


class HostAgentForm(ConsoleForm):
    """What may be changed of an agent."""

    name = forms.CharField(max_length=200, help_text="The server's name.")
    group = forms.CharField(required=False, max_length=100, help_text="By which workers are told apart.")
    max_agents = forms.IntegerField(
        min_value=0, max_value=1000, initial=5, label="Most LLM agents", help_text="How many may work on this host."
    )


class EnrolmentTokenForm(ConsoleForm):
    """A token for hosts that are to be added."""

    name = forms.CharField(max_length=100, help_text="What it is for, e.g. “rack 4” or “cloud images”.")
    max_uses = forms.IntegerField(
        min_value=1, max_value=10_000, initial=1, label="For how many hosts",
        help_text="One that asks again counts once.",
    )  # fmt: skip
    lasts = DurationField(
        initial=DAY_S, label="Good for", help_text="After that no host can ask with it, e.g. 1d or 2h."
    )
    tags = WordsField(required=False, help_text="Given to the servers that come with it, words apart by commas.")
    pre_approved = forms.BooleanField(
        required=False,
        label="Let these hosts in at once",
        help_text="Nobody compares fingerprints then: whoever has the token may join as a new host. "
        "For images and scripts; keep it short-lived.",
    )
    service_names: ClassVar = {"expires_at": "lasts"}
    groups: ClassVar = (
        ("Hosts", "", ("name", "max_uses", "lasts", "tags")),
        ("…Without asking", "let hosts in at once", ("pre_approved",)),
    )

    def clean(self) -> dict[str, Any]:
        """Turn the length into an end."""
        data = super().clean() or {}
        lasts = data.get("lasts")
        if lasts is not None and lasts <= 366 * DAY_S:
            data["expires_at"] = timezone.now() + timedelta(seconds=lasts)
        elif lasts is not None:
            self.add_error("lasts", "At most a year.")
        return data
