"""The form of an endpoint monitor: what all types have, and what each type declares."""

from collections.abc import Iterable, Mapping
from typing import Any

from django import forms
from django.db.models import Q
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from apps.core.admin.forms import ConsoleForm, DurationField, WordsField
from apps.core.errors import DomainError, Invalid
from apps.core.fields import MASK
from apps.monitors.checks import Option, check_types
from apps.monitors.models import Endpoint
from apps.monitors.services.endpoint_results import CheckRun
from apps.monitors.services.endpoint_rules import DEFAULTS

_COLUMNS = tuple(dict.fromkeys(name for _, kind in check_types.items() for name in sorted(kind.columns)))
_FIRST = ("http", "tcp", "icmp", "dns", "tls", "push", "group")
_OFFERED_MOST = 1000


class Tried(DomainError):
    """Tell the form that it was tried out and not to be saved."""

    def __init__(self, run: CheckRun) -> None:
        super().__init__("It was tried out.")
        self.run = run


class MembersField(forms.MultipleChoiceField):
    """Endpoints by name; the service says what is wrong with a choice."""

    widget = forms.SelectMultiple(attrs={"size": 8})

    def offer(self, chosen: Iterable[str]) -> None:
        """Offer the first thousand by name, and those that are chosen."""
        first = Endpoint.objects.order_by("name", "id").values_list("pk", "name")
        rows = dict(first[:_OFFERED_MOST])
        rows.update(first.filter(Q(pk__in=[one for one in chosen if one])))
        self.choices = [(str(pk), name) for pk, name in rows.items()]

    def valid_value(self, value: Any) -> bool:
        """Leave it to the service."""
        return True


def ordered_types() -> list[tuple[str, str]]:
    """Return the check types and what they are called, those that most want first."""
    rest = sorted((kind for kind in check_types if kind not in _FIRST), key=lambda kind: check_types[kind].label)
    return [(kind, check_types[kind].label) for kind in (*_FIRST, *rest) if kind in check_types]


def option_field(one: Option) -> forms.Field:
    """Return the form field of an option."""
    common: dict[str, Any] = {"label": one.label, "help_text": one.help, "required": False}
    field = _option_field(one, common)
    field.sealed = one.secret  # type: ignore[attr-defined]
    return field


def _option_field(one: Option, common: dict[str, Any]) -> forms.Field:
    if one.kind == "boolean":
        return forms.BooleanField(**common, initial=bool(one.default))
    if one.kind == "integer":
        return forms.IntegerField(**common, min_value=one.least, max_value=one.most, initial=one.default)
    if one.kind == "choice":
        return forms.ChoiceField(**common, choices=one.choices, initial=one.default)
    if one.kind == "texts":
        return WordsField(
            **{**common, "help_text": one.help.replace("apart by commas", "one a line")},
            lines=True,
            widget=forms.Textarea(attrs={"rows": 2, "placeholder": one.placeholder}),
        )
    if one.kind == "endpoints":
        return MembersField(**common)
    attributes = {"placeholder": one.placeholder, "autocomplete": "off"}
    if one.kind in ("lines", "certificates", "key"):
        return forms.CharField(**common, strip=False, widget=forms.Textarea(attrs={"rows": 3, **attributes}))
    if one.secret:
        attributes["autocomplete"] = "new-password"
        return forms.CharField(**common, strip=False, widget=forms.PasswordInput(render_value=True, attrs=attributes))
    return forms.CharField(
        **common, initial=one.default, max_length=one.most, strip=False, widget=forms.TextInput(attrs=attributes)
    )


def _option_fields() -> tuple[dict[str, forms.Field], list[str], list[str]]:
    """Return the fields of all types' options, the names of the usual and of the rare ones."""
    fields: dict[str, forms.Field] = {}
    usual: list[str] = []
    rare: list[str] = []
    for kind, _ in ordered_types():
        for one in check_types[kind].fields:
            field = option_field(one)
            field.when = f"endpoint_type={kind}"  # type: ignore[attr-defined]
            if one.when:
                field.when += f"&opt_{kind}_{one.when}"  # type: ignore[attr-defined]
            field.only_for = check_types[kind].label  # type: ignore[attr-defined]
            # It is not optional for its type, though the form of all types can't demand it.
            field.asked = one.required or one.kind == "choice"  # type: ignore[attr-defined]
            fields[f"opt_{kind}_{one.name}"] = field
            (rare if one.is_rare else usual).append(f"opt_{kind}_{one.name}")
    return fields, usual, rare


def _target_help(kinds: Iterable[str]) -> SafeString:
    """Return what a target looks like, each type's words shown while it is chosen."""
    by_words: dict[str, list[str]] = {}
    for kind in kinds:
        by_words.setdefault(check_types[kind].target_help, []).append(kind)
    return format_html_join(
        " ",
        '<span data-when="endpoint_type={}">{}</span>',
        (("|".join(using), words) for words, using in by_words.items()),
    )


class _EndpointForm(ConsoleForm):
    """What people set of every endpoint monitor."""

    endpoint_type = forms.ChoiceField(label="What to check", choices=ordered_types)
    target = forms.CharField(max_length=2048, required=False)
    name = forms.CharField(max_length=255, required=False, help_text="Made from the target where empty.")
    interval_s = DurationField(label="Every", initial=60, help_text="At least 5 s.")
    tags = WordsField(required=False, help_text="Apart by commas.")
    expected_status = forms.CharField(
        required=False, initial="2xx", help_text="Codes and ranges that count as up: 2xx, 301, 400-404."
    )
    keyword = forms.CharField(required=False, label="Must contain", help_text="A text that the answer must contain.")
    keyword_absent = forms.CharField(required=False, label="Must not contain")
    json_path = forms.CharField(
        required=False, label="JSON path", help_text="Place in a JSON answer, e.g. data.items[0].state."
    )
    json_value = forms.CharField(required=False, label="JSON value", help_text="What must stand there.")
    failure_threshold = forms.IntegerField(
        initial=1, min_value=1, max_value=100, label="Failures before it counts as down"
    )
    recovery_threshold = forms.IntegerField(
        initial=1, min_value=1, max_value=100, label="Successes before it counts as up"
    )
    degraded_over_ms = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=60_000,
        label="Degraded over (ms)",
        help_text="Slower answers count as degraded.",
    )
    inverse = forms.BooleanField(
        required=False, label="Upside-down: it is down while it answers", help_text="For what must not be reachable."
    )
    timeout_s = DurationField(
        required=False, label="Time-out", help_text="10 s where empty, never longer than the interval."
    )
    method = forms.ChoiceField(
        choices=[(verb, verb) for verb in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")], initial="GET"
    )
    headers = WordsField(
        required=False,
        lines=True,
        help_text="One “Name: value” a line. The values are kept sealed.",
    )
    body = forms.CharField(required=False, widget=forms.Textarea(attrs={"rows": 3}))
    max_redirects = forms.IntegerField(initial=5, min_value=0, max_value=20, label="Redirects followed")
    tls_verify = forms.BooleanField(required=False, initial=True, label="Verify the certificate")
    cert_warn_days = WordsField(
        required=False,
        initial=[30, 14, 7, 3, 1],
        label="Warn before the certificate ends",
        help_text="Days, apart by commas.",
    )
    ca_pem = forms.CharField(
        required=False,
        label="Own CA",
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="PEM; trusted for this check alone.",
    )
    description = forms.CharField(required=False, widget=forms.Textarea(attrs={"rows": 3}))

    #: What a trial found, where the form was only tried out.
    trial: CheckRun | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        kinds = check_types.items()
        if self.initial.get("headers"):
            self.fields["headers"].help_text += f" {MASK} keeps the value that is stored."
        for name in _COLUMNS:
            using = [kind for kind, check in kinds if name in check.columns]
            self.fields[name].when = f"endpoint_type={'|'.join(using)}"  # type: ignore[attr-defined]
            self.fields[name].only_for = ", ".join(check_types[kind].label for kind in using)  # type: ignore[attr-defined]
        timed = [kind for kind, check in kinds if check.minds_latency]
        self.fields["degraded_over_ms"].when = f"endpoint_type={'|'.join(timed)}"  # type: ignore[attr-defined]
        reached = [kind for kind, check in kinds if check.target_help]
        self.fields["target"].when = f"endpoint_type={'|'.join(reached)}"  # type: ignore[attr-defined]
        self.fields["target"].asked = True  # type: ignore[attr-defined]
        self.fields["target"].help_text = _target_help(reached)
        for name, field in self.fields.items():
            if isinstance(field, MembersField):
                chosen = self.data.getlist(name) if self.is_bound and hasattr(self.data, "getlist") else []
                field.offer([*chosen, *self.initial.get(name, ())])

    def refuse(self, error: DomainError) -> None:
        """Show what a service refuses at its field, and what a trial found below the form."""
        if isinstance(error, Tried):
            self.trial = error.run
            return
        if isinstance(error, Invalid):
            kind = self.cleaned_data.get("endpoint_type", "")
            named = {name.replace("options.", f"opt_{kind}_"): texts for name, texts in error.problems.items()}
            error = Invalid(named)
        super().refuse(error)

    def trial_phases(self) -> list[tuple[str, float]]:
        """Return where a trial's time went."""
        if self.trial is None:
            return []
        phases = self.trial.outcome.phases
        named = (
            ("Name lookup", phases.dns_ms),
            ("Connecting", phases.connect_ms),
            ("TLS", phases.tls_ms),
            ("First byte", phases.first_byte_ms),
        )
        return [(name, ms) for name, ms in named if ms is not None]

    def clean_headers(self) -> dict[str, str]:
        """Return the lines as a mapping."""
        found: dict[str, str] = {}
        for line in self.cleaned_data["headers"]:
            name, colon, value = line.partition(":")
            if not colon or not name.strip():
                raise forms.ValidationError(f"“{line[:60]}” is not of the form “Name: value”.")
            found[name.strip()] = MASK if value.strip() in ("•••", MASK) else value.strip()
        return found

    def clean_cert_warn_days(self) -> list[int]:
        """Return whole days."""
        try:
            return [int(day) for day in self.cleaned_data["cert_warn_days"]]
        except ValueError:
            raise forms.ValidationError("Give whole days, e.g. 30, 14, 7.") from None

    def clean_json_value(self) -> Any:
        """Return the value in the type it reads as."""
        text = self.cleaned_data["json_value"]
        if text == "":
            return None
        if text in ("true", "false"):
            return text == "true"
        try:
            return float(text) if "." in text else int(text)
        except ValueError:
            return text


_fields, _usual, _rare = _option_fields()
_groups = (
    ("What", "", ("endpoint_type", "target", "name", "interval_s", "tags")),
    ("What is asked", "", _usual),
    (
        "When is it up?",
        "",
        ("expected_status", "keyword", "failure_threshold", "recovery_threshold", "degraded_over_ms"),
    ),
    ("…More conditions", "forbidden text, a value in JSON", ("keyword_absent", "json_path", "json_value")),
    ("…The request", "method, headers, body", ("method", "headers", "body", "max_redirects")),
    ("…The connection", "protocol, names, client certificates, proxy", _rare),
    ("…The certificate", "verification and warnings", ("tls_verify", "cert_warn_days", "ca_pem")),
    ("…Time-out, upside-down, notes", "", ("timeout_s", "inverse", "description")),
)
EndpointForm: type[_EndpointForm] = type(
    "EndpointForm", (_EndpointForm,), {**_fields, "groups": _groups, "__doc__": "What people set of a monitor."}
)


def values_from(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the service takes from the form's values: only what the chosen type minds."""
    values = {name: value for name, value in data.items() if name in DEFAULTS}
    kind = check_types[values["endpoint_type"]]
    if not kind.target_help:
        values["target"] = ""
    options = {one.name: data.get(f"opt_{values['endpoint_type']}_{one.name}") for one in kind.fields}
    values["options"] = {name: None if value in ("", []) else value for name, value in options.items()}
    values["name"] = values["name"] or values["target"].split("://")[-1].rstrip("/")[:255]
    return values


def shown_options(endpoint_type: str, options: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what was set of the options, as a page says it: (label, value); secrets masked."""
    kind = check_types.get(endpoint_type)
    found = []
    for one in kind.fields if kind else ():
        value = options.get(one.name)
        if one.kind == "endpoints" or value in (None, "", [], False) or value == one.default:
            continue
        text = str(value)
        if one.kind == "choice":
            text = dict(one.choices).get(value, text)
        elif one.kind == "boolean":
            text = "yes"
        elif one.kind == "texts":
            text = ", ".join(value)
        elif one.kind in ("certificates", "key"):
            text = "given"
        found.append((one.label, MASK if one.secret else text))
    return found
