"""Forms of the console: plain forms over services. What a service refuses is shown at the field it names."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from django import forms

from apps.core.errors import DomainError, Invalid
from apps.core.fields import MASK
from apps.core.runtime_settings import parse_duration


def spoken_duration(seconds: float | None) -> str:
    """Return seconds as a person writes them: "45s", "5m", "1h30m", "7d"."""
    if seconds is None:
        return ""
    left, text = int(seconds), ""
    if left != seconds:
        return f"{seconds:g}s"
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        amount, left = divmod(left, size)
        if amount:
            text += f"{amount}{unit}"
    return text or "0s"


class DurationField(forms.CharField):
    """Seconds, written as "30s", "5m", "1h30m" or a plain number."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.widget.attrs.setdefault("placeholder", "30s, 5m, 1h30m")
        self.widget.attrs.setdefault("class", "wk-short")

    def to_python(self, value: Any) -> Any:
        """Return whole seconds where they are whole."""
        text = super().to_python(value)
        if not text:
            return None
        try:
            seconds = parse_duration(text)
        except ValueError as error:
            raise forms.ValidationError(str(error).capitalize() + ".") from error
        return int(seconds) if seconds == int(seconds) else seconds

    def prepare_value(self, value: Any) -> Any:
        """Return what the box shows."""
        return spoken_duration(value) if isinstance(value, int | float) else value


class WordsField(forms.CharField):
    """Words apart by commas, as a list."""

    def __init__(self, *, lines: bool = False, **kwargs: Any) -> None:
        if lines:
            kwargs.setdefault("widget", forms.Textarea(attrs={"rows": 4}))
        self.lines = lines
        super().__init__(**kwargs)

    def to_python(self, value: Any) -> Any:
        """Return the words without their blanks, each once, in order."""
        text = super().to_python(value) or ""
        words = (word.strip() for word in (text.splitlines() if self.lines else text.replace("\n", ",").split(",")))
        return list(dict.fromkeys(word for word in words if word))

    def prepare_value(self, value: Any) -> Any:
        """Return what the box shows."""
        if isinstance(value, list | tuple):
            return ("\n" if self.lines else ", ").join(str(word) for word in value)
        return value


def _any_of(whens: Sequence[str]) -> str:
    """Return the condition that holds while one of "field=a|b" does; "" where they ask different fields."""
    firsts = [when.partition("&")[0] for when in whens]
    names = {when.partition("=")[0] for when in firsts}
    values = dict.fromkeys(value for when in firsts for value in when.partition("=")[2].split("|"))
    return f"{names.pop()}={'|'.join(values)}" if len(names) == 1 else ""


class ConsoleForm(forms.Form):
    """Base of the console's forms.

    `groups` names the parts of the page: (title, hint, field names); a group whose title starts with "…" is folded
    until it is opened or holds an error. `service_names` maps a name in a service's refusal to the field that shows it.
    A field with `when` ("kind=weekly|cron&all=on") is shown while that holds; one with `sealed` says how to keep what
    is stored once something is.
    """

    groups: ClassVar[Sequence[tuple[str, str, Sequence[str]]]] = ()
    service_names: ClassVar[Mapping[str, str]] = {}
    #: The zone of its moments; "" where they are written in a zone of their own.
    zone = ""
    #: Whether its moments are written in the reader's zone.
    in_readers_zone = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("label_suffix", "")
        super().__init__(*args, **kwargs)
        for name, field in self.fields.items():
            if getattr(field, "sealed", False) and MASK in str(self.initial.get(name, "")):
                field.help_text = f"{field.help_text} {MASK} keeps what is stored.".strip()
            if isinstance(field.widget, forms.NumberInput):
                field.widget.attrs.setdefault("class", "wk-short")
            if isinstance(field.widget, forms.PasswordInput):
                field.widget.attrs.setdefault("autocomplete", "new-password")

    def parts(self) -> list[dict[str, Any]]:
        """Return the groups with their bound fields; fields of no group come first."""
        named = {name for _, _, names in self.groups for name in names}
        rest = [self[name] for name in self.fields if name not in named and not self[name].is_hidden]
        found: list[dict[str, Any]] = [{"title": "", "hint": "", "fields": rest, "folded": False}] if rest else []
        for title, hint, names in self.groups:
            fields = [self[name] for name in names if name in self.fields]
            if fields:
                wrong = any(field.errors for field in fields)
                whens = [getattr(field.field, "when", "") for field in fields]
                found.append(
                    {
                        # A part whose fields all depend on the same choice is shown while one of them is.
                        "when": _any_of(whens) if all(whens) else "",
                        "title": title.lstrip("…"),
                        "hint": hint,
                        "fields": fields,
                        "foldable": title.startswith("…"),
                        "open": wrong,
                    }
                )
        return found

    def refuse(self, error: DomainError) -> None:
        """Show a service's refusal: at the field where it names one, else above the form."""
        if not isinstance(error, Invalid):
            self.add_error(None, error.detail)
            return
        for name, texts in error.problems.items():
            field = self.service_names.get(name, name)
            if field not in self.fields:
                field = self.service_names.get(name.partition(".")[0], name.replace(".", "_"))
            for text in texts:
                sentence = text[:1].upper() + text[1:]
                sentence += "" if sentence.endswith((".", "!", "?")) else "."
                if field in self.fields:
                    self.add_error(field, sentence)
                else:
                    self.add_error(None, f"{name}: {sentence}" if name else sentence)


def choices(values: Iterable[tuple[str, str]], *, empty: str | None = None) -> list[tuple[str, str]]:
    """Return options, led by an empty one where `empty` says how it reads."""
    return ([("", empty)] if empty is not None else []) + list(values)
