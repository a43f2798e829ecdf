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
    "agents": ("Host agents", ""),
    "commands": ("Commands", ""),
    "terminal": ("Terminals", ""),
    "secrets": ("Vault", "When you are told of ends, and how long former values stay"),
    "limits": ("Rate limits", "What is taken from one sender, by role or by kind"),
    "statuspage": ("Status pages", ""),
    "outside_heartbeat": (
        "Outside heartbeat",
        "Who watches the watchkeeper: a service elsewhere is pinged only while alerting works here, and tells you when "
        "the pings stay out",
    ),
}
#: What a setting is called where its key does not say it.
LABELS: Mapping[str, str] = {
    "outside_heartbeat.url": "Ping address",
    "outside_heartbeat.interval": "Every",
    "security.mfa_required_roles": "Roles that need a second step",
}
#: Words of keys as people say them: what a figure is counted in goes behind the rest.
_UNITS: Mapping[str, str] = {"mib": "MiB", "bytes": "bytes", "days": "days", "percent": "%"}
_SAID: Mapping[str, str] = {
    "1m": "by the minute", "5m": "by five minutes", "1h": "by the hour", "1d": "by the day",
}  # fmt: skip


def field_name(setting: Setting) -> str:
    """Return the name of a setting's field."""
    return setting.name.replace(".", "__")


def _removal(setting: Setting) -> str:
    return f"{field_name(setting)}__remove"


def _label(setting: Setting) -> str:
    if setting.name in LABELS:
        return LABELS[setting.name]
    parts = setting.key.removesuffix("_s").split("_")
    units = [part for part in parts if part in _UNITS] if setting.kind in ("int", "list") else []
    said = " ".join(_SAID.get(part, part) for part in parts if part not in units).capitalize()
    return f"{said} ({_UNITS[units[0]]})" if units else said


def _help(setting: Setting) -> str:
    if setting.secret:
        kept = " One is stored; leave this empty to keep it." if runtime_settings.get(setting.name) else ""
        return f"{setting.description}{kept}"
    default = spoken_duration(setting.default) if setting.kind == "duration" else setting.default
    if setting.kind == "bool":
        default = "on" if setting.default else "off"
    if setting.kind == "list":
        default = ", ".join(setting.default) or "none"
    text = "" if setting.kind == "bool" else setting.description
    return f"{text} Default: {default if default != '' else 'empty'}.".strip()


def _field(setting: Setting) -> forms.Field:
    label = setting.description.rstrip(".") if setting.kind == "bool" else _label(setting)
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
        hint = "stored, not shown" if runtime_settings.get(setting.name) else ""
        attributes = {"placeholder": hint, "autocomplete": "new-password"}
        return forms.CharField(**common, widget=forms.PasswordInput(attrs=attributes))
    return forms.CharField(**common)


def _limits(setting: Setting) -> dict[str, Any]:
    return {key: value for key, value in (("min", setting.least), ("max", setting.most)) if value is not None}


def form_of(categories: Iterable[str], *, extra: Mapping[str, forms.Field] | None = None) -> type[ConsoleForm]:
    """Return a form over all settings of these categories, one group each."""
    wanted = list(categories)
    settings = [setting for _, setting in runtime_settings.declared.items() if setting.category in wanted]
    fields: dict[str, Any] = {}
    for setting in settings:
        fields[field_name(setting)] = _field(setting)
        if setting.secret and runtime_settings.get(setting.name):
            fields[_removal(setting)] = forms.BooleanField(
                label=f"Remove the stored {_label(setting).lower()}", required=False
            )
    fields.update(extra or {})
    groups = []
    for category in wanted:
        title, hint = TITLES.get(category, (category.replace("_", " ").capitalize(), ""))
        names_here = [(field_name(one), _removal(one)) for one in settings if one.category == category]
        groups.append((title, hint, [name for pair in names_here for name in pair if name in fields]))
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
        if setting.secret and data.get(_removal(setting)):
            value = setting.default
        elif setting.secret and not value:
            continue
        if value != runtime_settings.get(setting.name):
            found[setting.name] = value
    return found
