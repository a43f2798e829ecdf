"""The form of an endpoint monitor."""

from typing import Any

from django import forms

from apps.core.admin.forms import ConsoleForm, DurationField, WordsField
from apps.core.fields import MASK


class EndpointForm(ConsoleForm):
    """What people set of an endpoint monitor."""

    endpoint_type = forms.ChoiceField(
        label="What to check",
        choices=[("http", "A web address"), ("tcp", "A TCP port"), ("tls", "A TLS service and its certificate")],
    )
    target = forms.CharField(max_length=2048, help_text="https://shop.example.org/health, or host:port.")
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
    timeout_s = DurationField(
        required=False, label="Time-out", help_text="10 s where empty, never longer than the interval."
    )
    method = forms.ChoiceField(
        choices=[(verb, verb) for verb in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")], initial="GET"
    )
    headers = WordsField(
        required=False,
        lines=True,
        help_text="One “Name: value” a line. Values are sealed; ••• or *** keeps the value that is stored.",
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

    groups = (
        ("What", "", ("endpoint_type", "target", "name", "interval_s", "tags")),
        (
            "When is it up?",
            "",
            ("expected_status", "keyword", "failure_threshold", "recovery_threshold", "degraded_over_ms"),
        ),
        ("…More conditions", "forbidden text, a value in JSON", ("keyword_absent", "json_path", "json_value")),
        (
            "…The request",
            "method, headers, body, time-out",
            ("timeout_s", "method", "headers", "body", "max_redirects"),
        ),
        ("…The certificate", "verification and warnings", ("tls_verify", "cert_warn_days", "ca_pem")),
        ("…Notes", "", ("description",)),
    )
    _web = (
        "expected_status",
        "keyword",
        "keyword_absent",
        "json_path",
        "json_value",
        "method",
        "headers",
        "body",
        "max_redirects",
    )
    _encrypted = ("tls_verify", "cert_warn_days", "ca_pem")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in self._web:
            self.fields[name].when = "endpoint_type=http"  # type: ignore[attr-defined]
        for name in self._encrypted:
            self.fields[name].when = "endpoint_type=http|tls"  # type: ignore[attr-defined]

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
