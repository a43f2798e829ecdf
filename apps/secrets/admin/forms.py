"""Forms of the vault. What somebody typed as a value never comes back to the page, not even with an error."""

from typing import Any, ClassVar

from django import forms

from apps.core.admin.forms import ConsoleForm, DurationField
from apps.secrets.generation import ALPHABETS, ED25519, LEAST_LENGTH, MOST_LENGTH, RANDOM, RSA, RSA_BITS
from apps.secrets.models import Secret

_LOCAL = "%Y-%m-%dT%H:%M"
TYPED, AS_BEFORE = "typed", "as_before"
_SOURCES = (
    (TYPED, "I have it: paste it below"),
    (RANDOM, "Make a random one"),
    (ED25519, "Make an SSH key pair (Ed25519)"),
    (RSA, "Make an SSH key pair (RSA)"),
)
_ALPHABET_WORDS = {
    "letters_digits": "Letters and digits",
    "readable": "Letters and digits that can't be confused",
    "symbols": "Letters, digits and symbols",
    "hex": "Hexadecimal",
    "digits": "Digits",
}


class BlindArea(forms.Textarea):
    """A box for several lines that never shows what it was given."""

    def get_context(self, name: str, value: Any, attrs: dict[str, Any] | None) -> dict[str, Any]:
        """Return the box, empty."""
        return super().get_context(name, None, attrs)


class ValueField(forms.CharField):
    """A secret as it was typed; only the line ends of browsers become those of files."""

    def __init__(self, **kwargs: Any) -> None:
        attrs = {"rows": 3, "class": "wk-mono", "autocomplete": "off", "spellcheck": "false", "autocapitalize": "none"}
        super().__init__(required=False, strip=False, widget=BlindArea(attrs=attrs), **kwargs)

    def to_python(self, value: Any) -> Any:
        """Return the text with the line ends of files."""
        text = super().to_python(value)
        return text.replace("\r\n", "\n") if text else text


def _moment(help_text: str) -> forms.DateTimeField:
    widget = forms.DateTimeInput(attrs={"type": "datetime-local", "class": "wk-short"}, format=_LOCAL)
    return forms.DateTimeField(required=False, label="Ends", help_text=help_text, widget=widget)


class _ValueForm(ConsoleForm):
    """Where a value comes from."""

    source = forms.ChoiceField(choices=_SOURCES, label="Where it comes from")
    value = ValueField(
        label="The value",
        max_length=65_536,
        help_text="Kept exactly as it is, at least 4 characters. It is not shown again unless you ask for it.",
    )
    length = forms.IntegerField(
        required=False, initial=32, min_value=LEAST_LENGTH, max_value=MOST_LENGTH, help_text="In characters."
    )
    alphabet = forms.ChoiceField(
        required=False, choices=[(name, _ALPHABET_WORDS[name]) for name in ALPHABETS], label="Made of"
    )
    bits = forms.TypedChoiceField(
        required=False, choices=[(bits, f"{bits} bits") for bits in RSA_BITS], coerce=int, initial=3072, label="Size"
    )
    in_readers_zone = True
    service_names: ClassVar = {
        "generate.length": "length",
        "generate.alphabet": "alphabet",
        "generate.bits": "bits",
        "generate.kind": "source",
    }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, when in (("value", TYPED), ("length", RANDOM), ("alphabet", RANDOM), ("bits", RSA)):
            self.fields[name].when = f"source={when}"  # type: ignore[attr-defined]
            self.fields[name].asked = True  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        """Ask for the value where it is to be typed."""
        values = super().clean() or {}
        if values.get("source") == TYPED and not values.get("value") and "value" not in self.errors:
            self.add_error("value", "Paste the value, or choose above to have one made.")
        return values


def value_given(data: dict[str, Any]) -> dict[str, Any]:
    """Return what the service takes of the value's fields."""
    source = data["source"]
    if source == TYPED:
        return {"value": data["value"]}
    if source == RANDOM:
        length = data.get("length")
        return {"generate": {"kind": RANDOM, "length": 32 if length is None else length, "alphabet": data["alphabet"]}}
    if source == RSA:
        return {"generate": {"kind": RSA, "bits": data.get("bits") or 3072}}
    return {"generate": {"kind": ED25519}} if source == ED25519 else {}


class _AboutForm(ConsoleForm):
    """What a secret is."""

    name = forms.CharField(max_length=100, help_text="By it you choose the secret elsewhere, e.g. “deploy key of web”.")
    category = forms.ChoiceField(choices=Secret.Category.choices)
    description = forms.CharField(
        required=False, max_length=500, help_text="What it opens, where it came from. Not a place for the value."
    )
    expires_at = _moment("Empty: it has no end. You are told before, as the settings say.")
    grace_s = DurationField(
        required=False,
        label="Former value readable for",
        help_text="After a rotation, so that what still uses it goes on. Empty: as the settings say; 0: wiped at once.",
    )
    in_readers_zone = True


class SecretForm(_AboutForm):
    """A secret that is there."""

    groups = (("Secret", "", ("name", "category", "description")), ("Its end", "", ("expires_at", "grace_s")))


class NewSecretForm(_AboutForm, _ValueForm):
    """A new secret."""

    groups = (
        ("Secret", "", ("name", "category", "description")),
        ("Value", "", ("source", "value", "length", "alphabet", "bits")),
        ("Its end", "", ("expires_at", "grace_s")),
    )


class RotateForm(_ValueForm):
    """A new value."""

    expires_at = _moment("Of the new value. Empty: it has no end.")
    groups = (("New value", "", ("source", "value", "length", "alphabet", "bits")), ("Its end", "", ("expires_at",)))

    def __init__(self, *args: Any, as_before: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if as_before:
            field: Any = self.fields["source"]
            field.choices = [(AS_BEFORE, f"Make one as before: {as_before}"), *_SOURCES]


class RevealForm(ConsoleForm):
    """The person again, before a value is shown."""

    password = forms.CharField(
        label="Your password",
        strip=False,
        max_length=1024,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password", "autofocus": True}),
    )
    code = forms.CharField(
        label="Code of your authenticator app",
        max_length=32,
        widget=forms.TextInput(attrs={"autocomplete": "one-time-code", "class": "wk-short"}),
    )

    def __init__(self, *args: Any, with_code: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not with_code:
            del self.fields["code"]
