"""Forms of SSH connections. What somebody typed as a credential never comes back to the page."""

from typing import Any, ClassVar

from django import forms

from apps.core.admin.forms import ConsoleForm, choices
from apps.fleet.models import SshConnection
from apps.secrets.admin.forms import ValueField
from apps.secrets.models import Secret

PASTED = "pasted"
_CREDENTIALS = (Secret.Category.PASSWORD, Secret.Category.SSH_KEY, Secret.Category.CREDENTIAL, Secret.Category.GENERAL)
_MOST = 500


def _vault(empty: str) -> Any:
    def offered() -> list[tuple[str, str]]:
        rows = Secret.objects.filter(category__in=_CREDENTIALS).order_by("name").values_list("pk", "name")[:_MOST]
        return choices([(str(key), name) for key, name in rows], empty=empty)

    return offered


def _blind(**kwargs: Any) -> forms.CharField:
    return forms.CharField(required=False, strip=False, max_length=1024, widget=forms.PasswordInput, **kwargs)


class SshConnectionForm(ConsoleForm):
    """How a machine is reached."""

    name = forms.CharField(max_length=100, help_text="As people call it, e.g. “web 1 as deploy”.")
    hostname = forms.CharField(max_length=255, label="Host name or address")
    port = forms.IntegerField(min_value=1, max_value=65535, initial=22)
    username = forms.CharField(max_length=64, label="User on that machine")
    description = forms.CharField(required=False, max_length=2000, widget=forms.Textarea(attrs={"rows": 2}))
    auth_method = forms.ChoiceField(
        label="Sign in by", choices=SshConnection.Auth.choices, initial=SshConnection.Auth.KEY
    )  # fmt: skip
    secret_id = forms.ChoiceField(
        required=False,
        label="Credential",
        choices=_vault("Paste it below"),
        help_text="A secret of the vault, or what you paste; that goes into the vault and is not shown again.",
    )
    credential = ValueField(
        label="Password or private key",
        max_length=65_536,
        help_text="A key whole, from “-----BEGIN” to its last line: Ed25519, RSA or ECDSA. "
        "Empty leaves what is chosen above.",
    )
    passphrase = _blind(
        label="Passphrase of the key", help_text="Only where the key has one. Empty leaves it as it is."
    )
    sudo_password = _blind(
        label="Password for sudo",
        help_text="Answers sudo's prompt for commands that run as root. Empty leaves it as it is.",
    )
    jump_host_id = forms.ChoiceField(
        required=False, label="Through a jump host", help_text="Another SSH connection that leads there."
    )
    host_key = forms.CharField(
        required=False,
        max_length=8192,
        widget=forms.Textarea(attrs={"rows": 2, "class": "wk-mono", "spellcheck": "false"}),
        help_text="A line as ssh-keyscan prints it. Empty: the first test pins the key that it meets; "
        "a pinned key stays.",
    )
    connect_timeout_s = forms.IntegerField(min_value=1, max_value=120, initial=10, label="Time to connect (s)")
    keepalive_s = forms.IntegerField(
        min_value=0, max_value=3600, initial=30, label="Keep alive every (s)", help_text="0: never."
    )  # fmt: skip
    groups: ClassVar = (
        ("Machine", "", ("name", "hostname", "port", "username", "description")),
        ("Signing in", "", ("auth_method", "secret_id", "credential", "passphrase")),
        ("Way there", "", ("jump_host_id", "host_key")),
        ("…More", "sudo, times", ("sudo_password", "connect_timeout_s", "keepalive_s")),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        jump: Any = self.fields["jump_host_id"]
        rows = SshConnection.objects.order_by("name").values_list("pk", "name")[:_MOST]
        jump.choices = choices([(str(key), name) for key, name in rows], empty="No: straight there")
        for name, when in (
            ("secret_id", "auth_method=password|key"),
            ("credential", "auth_method=password|key"),
            ("passphrase", "auth_method=key"),
        ):
            self.fields[name].when = when  # type: ignore[attr-defined]
            self.fields[name].asked = name != "passphrase"  # type: ignore[attr-defined]


class CommandForm(ConsoleForm):
    """A command for one machine."""

    command = forms.CharField(
        strip=False,
        max_length=65_536,
        widget=forms.Textarea(attrs={"rows": 3, "class": "wk-mono", "spellcheck": "false", "autocapitalize": "none"}),
        help_text="Goes to the shell over there exactly as you type it.",
    )
    timeout_s = forms.FloatField(min_value=1, max_value=3600, initial=60, label="End it after (s)")
    sudo = forms.BooleanField(required=False, label="Run as root through sudo")
    service_names: ClassVar = {"timeout": "timeout_s"}

    def clean_command(self) -> str:
        """Return the command with the ends of lines that were typed: browsers send others."""
        return str(self.cleaned_data["command"]).replace("\r\n", "\n")
