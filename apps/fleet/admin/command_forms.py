"""Forms of commands: on one server, and on many."""

from typing import Any, ClassVar

from django import forms

from apps.core.admin.forms import ConsoleForm
from apps.core.models import Tag
from apps.fleet.admin.ssh_form import CommandForm
from apps.fleet.services.batches import HOSTS_MOST, PARALLEL

TAGS, SERVERS, ALL = "tags", "servers", "all"


class SecretsField(forms.CharField):
    """Variables that are secrets of the vault, a line each: NAME = name of the secret."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("required", False)
        kwargs.setdefault("label", "Variables from the vault")
        kwargs.setdefault("widget", forms.Textarea(attrs={"rows": 2, "class": "wk-mono", "spellcheck": "false"}))
        kwargs.setdefault(
            "help_text",
            "A line each, such as <code>TOKEN = deploy token</code>: variable, then the secret's name. Its value is "
            "read when the command runs and masked in the output.",
        )
        super().__init__(**kwargs)

    def to_python(self, value: Any) -> Any:
        """Return variable -> name of its secret."""
        found = {}
        for line in (super().to_python(value) or "").splitlines():
            name, sign, secret = (part.strip() for part in line.partition("="))
            if not name and not secret:
                continue
            if not sign or not name or not secret:
                raise forms.ValidationError(f"“{line.strip()[:80]}” is no line of the kind NAME = name of the secret.")
            found[name] = secret
        return found

    def prepare_value(self, value: Any) -> Any:
        """Return what the box shows."""
        if isinstance(value, dict):
            return "\n".join(f"{name} = {secret}" for name, secret in value.items())
        return value


class ServerCommandForm(CommandForm):
    """A command for a server."""

    server = forms.ChoiceField(label="On", help_text="Servers that have a host agent or an SSH connection.")
    env_secrets = SecretsField()
    groups: ClassVar = (("…Variables", "secrets of the vault", ("env_secrets",)),)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.order_fields(["server", "command", "timeout_s", "sudo"])


class BatchForm(CommandForm):
    """A command for many servers."""

    on = forms.ChoiceField(
        label="On",
        choices=[(TAGS, "Servers with a tag"), (SERVERS, "Servers by name"), (ALL, "All servers")],
        initial=TAGS,
    )
    tags = forms.MultipleChoiceField(
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="Servers that have all of the tags you tick.",
    )
    servers = forms.MultipleChoiceField(
        required=False, widget=forms.CheckboxSelectMultiple, help_text="They get their turn in this order."
    )
    parallel = forms.CharField(
        required=False,
        max_length=8,
        initial=str(PARALLEL),
        label="At a time",
        widget=forms.TextInput(attrs={"class": "wk-short"}),
        help_text="Servers at once: a number, or a share such as 10%.",
    )
    canary = forms.CharField(
        required=False,
        max_length=8,
        label="Try first on",
        widget=forms.TextInput(attrs={"class": "wk-short"}),
        help_text="A number of servers or a share of them. The rest follows only if it succeeded on these.",
    )
    stop_after_failures = forms.CharField(
        required=False,
        max_length=8,
        label="Stop after failures",
        widget=forms.TextInput(attrs={"class": "wk-short"}),
        help_text="A number or a share of the servers; from then on no other one is begun. Empty: never.",
    )
    env_secrets = SecretsField()
    groups: ClassVar = (
        ("Command", "", ("command", "timeout_s", "sudo")),
        ("Servers", "you see them before anything runs", ("on", "tags", "servers")),
        ("Pace", "", ("canary", "parallel", "stop_after_failures")),
        ("…Variables", "secrets of the vault", ("env_secrets",)),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        fields: Any = self.fields
        fields["tags"].choices = [
            (name, name)
            for name in Tag.objects.filter(servers__isnull=False).distinct().values_list("name", flat=True)[:HOSTS_MOST]
        ]
        if not fields["tags"].choices:
            fields["on"].choices = [choice for choice in fields["on"].choices if choice[0] != TAGS]
            fields["on"].initial = SERVERS
        for name in (TAGS, SERVERS):
            fields[name].when = f"on={name}"
            fields[name].asked = True

    def clean(self) -> dict[str, Any]:
        """Demand what the choice asks for."""
        data: dict[str, Any] = super().clean() or {}
        on = data.get("on")
        if on in (TAGS, SERVERS) and not data.get(on) and on not in self.errors:
            self.add_error(on, "Tick at least one.")
        return data


class ChangeLimitForm(ConsoleForm):
    """How many servers may be under change at once."""

    tag = forms.ChoiceField(required=False, label="Of", help_text="The servers that are counted.")
    hosts_most = forms.IntegerField(
        required=False, min_value=1, max_value=100_000, label="Servers at most", help_text="At the same time."
    )
    percent_most = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=100,
        label="Percent at most",
        help_text="Of these servers, never less than one. Where both are given the smaller counts.",
    )
    enabled = forms.BooleanField(required=False, initial=True)
    groups: ClassVar = (("Limit", "every command draws from it", ("tag", "hosts_most", "percent_most", "enabled")),)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field: Any = self.fields["tag"]
        names = set(Tag.objects.filter(servers__isnull=False).values_list("name", flat=True))
        if self.initial.get("tag"):
            names.add(self.initial["tag"])
        field.choices = [("", "All servers"), *((name, f"Servers tagged {name}") for name in sorted(names))]
