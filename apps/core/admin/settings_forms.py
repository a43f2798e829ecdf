"""Forms made from the declared runtime settings."""

from collections.abc import Iterable, Mapping
from typing import Any

from django import forms

from apps.core import runtime_settings
from apps.core.admin.forms import ConsoleForm, DurationField, WordsField, spoken_duration
from apps.core.runtime_settings import Setting

#: category -> (title, hint)
TITLES: Mapping[str, tuple[str, str]] = {
    "general": ("General", ""),
    "metrics": ("Metrics", "How often figures are taken"),
    "retention": ("Keeping data", "How long each kind is kept; the rest is removed by itself"),
    "security": ("Signing in", ""),
    "password_policy": ("Passwords", "Enforced wherever a password is set"),
    "rate_limits": ("Rate limits", "Requests a minute"),
}


def field_name(setting: Setting) -> str:
    """Return the name of a setting's field."""
    return setting.name.replace(".", "__")


def _help(setting: Setting) -> str:
    default = spoken_duration(setting.default) if setting.kind == "duration" else setting.default
    if setting.kind == "bool":
        default = "on" if setting.default else "off"
    if setting.kind == "list":
        default = ", ".join(setting.default) or "none"
    text = "" if setting.kind == "bool" else setting.description
    return f"{text} Default: {default if default != '' else 'empty'}.".strip()


def _field(setting: Setting) -> forms.Field:
    label = (
        setting.description.rstrip(".")
        if setting.kind == "bool"
        else setting.key.removesuffix("_s").replace("_", " ").capitalize()
    )
    common: dict[str, Any] = {
        "label": label,
        "help_text": _help(setting),
        "required": setting.kind in ("int", "float", "duration"),
    }
    if setting.kind == "bool":
        return forms.BooleanField(**common)
    if setting.kind == "int":
        return forms.IntegerField(**common, widget=forms.NumberInput(attrs=_limits(setting)))
    if setting.kind == "float":
        return forms.FloatField(**common, widget=forms.NumberInput(attrs={**_limits(setting), "step": "any"}))
    if setting.kind == "duration":
        return DurationField(**common)
    if setting.kind == "list":
        if setting.choices:
            return forms.MultipleChoiceField(
                **common, choices=[(one, one) for one in setting.choices], widget=forms.CheckboxSelectMultiple
            )
        return WordsField(**common)
    if setting.choices:
        return forms.ChoiceField(**common, choices=[(one, one) for one in setting.choices])
    if setting.secret:
        return forms.CharField(**common, widget=forms.PasswordInput(attrs={"placeholder": "unchanged"}))
    return forms.CharField(**common)


def _limits(setting: Setting) -> dict[str, Any]:
    return {key: value for key, value in (("min", setting.least), ("max", setting.most)) if value is not None}


def form_of(categories: Iterable[str], *, extra: Mapping[str, forms.Field] | None = None) -> type[ConsoleForm]:
    """Return a form over all settings of these categories, one group each."""
    wanted = list(categories)
    settings = [setting for _, setting in runtime_settings.declared.items() if setting.category in wanted]
    fields: dict[str, Any] = {field_name(setting): _field(setting) for setting in settings}
    fields.update(extra or {})
    groups = []
    for category in wanted:
        title, hint = TITLES.get(category, (category.replace("_", " ").capitalize(), ""))
        groups.append((title, hint, [field_name(setting) for setting in settings if setting.category == category]))
    names = {setting.name: field_name(setting) for setting in settings}
    names |= {setting.key: field_name(setting) for setting in settings}
    return type("SettingsForm", (ConsoleForm,), {**fields, "groups": groups, "service_names": names})


def values_now(form: type[ConsoleForm]) -> dict[str, Any]:
    """Return what is in force, for the form."""
    found: dict[str, Any] = {}
    for _, setting in runtime_settings.declared.items():
        if field_name(setting) in form.base_fields and not setting.secret:
            found[field_name(setting)] = runtime_settings.get(setting.name)
    return found


def changed_values(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return "category.key" -> value of what differs from what is in force."""
    found: dict[str, Any] = {}
    for _, setting in runtime_settings.declared.items():
        name = field_name(setting)
        if name not in data:
            continue
        value = data[name]
        if setting.secret and not value:
            continue
        if value != runtime_settings.get(setting.name):
            found[setting.name] = value
    return found
