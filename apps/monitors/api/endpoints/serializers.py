"""Endpoint monitors as the API shows and takes them."""

from typing import Any

from django.conf import settings
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from apps.core.api.rows import RowSerializer
from apps.core.crypto import CryptoError
from apps.core.fields import MASK
from apps.core.runtime_settings import parse_duration
from apps.monitors import series
from apps.monitors.checks import check_types
from apps.monitors.checks.domain import facts_of as facts_of_domain
from apps.monitors.checks.domain import known_registration
from apps.monitors.checks.options import complete_options, option_schema
from apps.monitors.models import CheckResult, Endpoint
from apps.monitors.models.endpoints import WARN_DAYS
from apps.monitors.selectors.endpoints import from_ms
from apps.monitors.services.endpoint_certificates import DAY_S, facts_of
from apps.monitors.services.endpoint_configs import headers_of
from apps.monitors.services.endpoint_results import CheckRun
from apps.monitors.states.endpoints import DEGRADED, DOWN, NAMES, STATUSES, UNKNOWN, UP

_UP = {UP: True, DEGRADED: True, DOWN: False, UNKNOWN: None}
_EXAMPLE = {
    "name": "Shop",
    "endpoint_type": "http",
    "target": "https://shop.example.org/health",
    "interval": "30s",
    "timeout": 5,
    "failure_threshold": 2,
    "expected_status": "2xx,301",
    "json_path": "status",
    "json_value": "ok",
    "degraded_over_ms": 800,
    "tags": ["shop", "production"],
}


@extend_schema_field({"oneOf": [{"type": "number"}, {"type": "string", "example": "30s"}]})
class DurationField(serializers.Field[float, Any, Any, Any]):
    """Seconds, or a text such as "30s" or "5m"."""

    def to_internal_value(self, data: Any) -> float:
        """Return seconds."""
        try:
            return parse_duration(data)
        except ValueError as error:
            raise serializers.ValidationError(str(error)) from error

    def to_representation(self, value: Any) -> Any:
        """Return seconds."""
        return value


@extend_schema_field(
    {
        "anyOf": [
            {
                "title": name,
                "type": "object",
                "properties": {one.name: option_schema(one) for one in kind.fields},
            }
            for name, kind in check_types.items()
        ]
    }
)
class OptionsField(serializers.DictField):
    """The options of a check type, as it declares them."""

    child = serializers.JSONField(allow_null=True)


@extend_schema_serializer(examples=[OpenApiExample("An HTTP check", value=_EXAMPLE, request_only=True)])
class EndpointWriteSerializer(serializers.Serializer[Any]):
    """What a caller may set. Fields that are left out keep their value; on creation they get their default."""

    name = serializers.CharField(required=False)
    description = serializers.CharField(required=False, allow_blank=True)
    endpoint_type = serializers.CharField(required=False, help_text=f"one of {', '.join(check_types)}")
    target = serializers.CharField(
        required=False, allow_blank=True, help_text="a URL, host:port or host, as the type needs it"
    )
    enabled = serializers.BooleanField(required=False, help_text="false pauses, true resumes")
    interval = DurationField(required=False, source="interval_s", help_text="s or a text such as 30s; at least 5")
    timeout = DurationField(required=False, source="timeout_s", help_text="s, 1..60, at most the interval")
    failure_threshold = serializers.IntegerField(required=False, help_text="failures in a row before the alert")
    recovery_threshold = serializers.IntegerField(required=False, help_text="successes in a row before the recovery")
    degraded_over_ms = serializers.IntegerField(required=False, allow_null=True)
    method = serializers.CharField(required=False)
    headers = serializers.DictField(
        child=serializers.CharField(allow_blank=True, trim_whitespace=False),
        required=False,
        help_text=f"kept sealed and shown as {MASK}; sending {MASK} keeps the value",
    )
    body = serializers.CharField(required=False, allow_blank=True, trim_whitespace=False)
    expected_status = serializers.CharField(required=False, allow_blank=True, help_text="e.g. 2xx,301,400-404")
    keyword = serializers.CharField(required=False, allow_blank=True, trim_whitespace=False)
    keyword_absent = serializers.CharField(required=False, allow_blank=True, trim_whitespace=False)
    json_path = serializers.CharField(required=False, allow_blank=True, help_text="e.g. data.items[0].status")
    json_value = serializers.JSONField(required=False, allow_null=True, help_text="null: the path must exist")
    max_redirects = serializers.IntegerField(required=False, help_text="0: a redirect is the answer")
    tls_verify = serializers.BooleanField(required=False)
    ca_pem = serializers.CharField(required=False, allow_blank=True, help_text="trust these, not the system's CAs")
    cert_warn_days = serializers.ListField(
        child=serializers.IntegerField(), required=False, help_text=f"days before the end; {list(WARN_DAYS)}"
    )
    options = OptionsField(
        required=False,
        help_text="what the type takes beyond these fields; what is left out stays, null resets to the default",
    )
    inverse = serializers.BooleanField(required=False, help_text="upside-down: it is down while it answers")
    tags = serializers.ListField(child=serializers.CharField(), required=False)

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        """Take `interval_s` and `timeout_s` for `interval` and `timeout` too."""
        if isinstance(data, dict):
            data = dict(data)
            for name in ("interval", "timeout"):
                if f"{name}_s" in data:
                    data.setdefault(name, data.pop(f"{name}_s"))
            for name in ("expected_status", "json_path", "keyword", "keyword_absent", "body", "method", "headers"):
                if data.get(name, "") is None:
                    del data[name]
            if isinstance(data.get("expected_status"), int | list):
                wanted = data["expected_status"]
                data["expected_status"] = ",".join(map(str, wanted if isinstance(wanted, list) else [wanted]))
        values: dict[str, Any] = super().to_internal_value(data)
        return values


class CertificateSerializer(serializers.Serializer[Any]):
    """The certificate that the last check met."""

    subject = serializers.CharField(required=False)
    issuer = serializers.CharField(required=False)
    sans = serializers.ListField(child=serializers.CharField(), required=False)
    not_before = serializers.DateTimeField(required=False)
    not_after = serializers.DateTimeField(required=False)
    days_left = serializers.FloatField(required=False)
    serial = serializers.CharField(required=False)
    fingerprint_sha256 = serializers.CharField(required=False)
    self_signed = serializers.BooleanField(required=False)
    problem = serializers.CharField(help_text="empty, expired, name_mismatch or untrusted")
    error = serializers.CharField(help_text="the problem in plain words")


class RegistrationSerializer(serializers.Serializer[Any]):
    """The registration of the domain that is watched, as its registry told it last."""

    domain = serializers.CharField(help_text="the name as registries know it")
    is_registered = serializers.BooleanField(allow_null=True, help_text="null: the registry has not answered yet")
    expires_at = serializers.DateTimeField(allow_null=True)
    days_left = serializers.IntegerField(allow_null=True, help_text="full days, negative once it has ended")
    registrar = serializers.CharField()
    statuses = serializers.ListField(child=serializers.CharField(), help_text="as RFC 8056 names them")
    answered_at = serializers.DateTimeField(allow_null=True, help_text="when the registry answered last")
    server = serializers.CharField(help_text="host of the RDAP server that was asked")
    error = serializers.CharField(help_text="why the last question got no answer; empty where it got one")


_CERTIFICATE = tuple(CertificateSerializer().get_fields())


class RecentSerializer(serializers.Serializer[Any]):
    """One of the last results."""

    status = serializers.CharField()
    latency_ms = serializers.FloatField(allow_null=True)


class EndpointSerializer(RowSerializer[Endpoint]):
    """An endpoint monitor with its state."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    description = serializers.CharField()
    endpoint_type = serializers.ChoiceField(choices=list(check_types))
    target = serializers.CharField()
    enabled = serializers.BooleanField()
    interval = serializers.IntegerField(source="interval_s", help_text="s")
    timeout = serializers.FloatField(source="timeout_s", help_text="s")
    failure_threshold = serializers.IntegerField()
    recovery_threshold = serializers.IntegerField()
    degraded_over_ms = serializers.IntegerField(allow_null=True)
    method = serializers.CharField()
    headers = serializers.SerializerMethodField()
    body = serializers.CharField()
    expected_status = serializers.CharField()
    keyword = serializers.CharField()
    keyword_absent = serializers.CharField()
    json_path = serializers.CharField()
    json_value = serializers.JSONField(allow_null=True)
    max_redirects = serializers.IntegerField()
    tls_verify = serializers.BooleanField()
    ca_pem = serializers.CharField()
    cert_warn_days = serializers.ListField(child=serializers.IntegerField())
    options = serializers.SerializerMethodField()
    inverse = serializers.BooleanField()
    tags = serializers.SerializerMethodField()
    status = serializers.ChoiceField(choices=STATUSES, source="state.status")
    since = serializers.DateTimeField(source="state.since", help_text="since when it has this status")
    alert_state = serializers.SerializerMethodField()
    consecutive_failures = serializers.IntegerField(source="state.consecutive_failures")
    consecutive_successes = serializers.IntegerField(source="state.consecutive_successes")
    last_check_at = serializers.DateTimeField(source="state.last_check_at", allow_null=True)
    next_check_at = serializers.DateTimeField(source="state.next_check_at", allow_null=True)
    last_response_time_ms = serializers.FloatField(source="state.last_response_time_ms", allow_null=True)
    last_status_code = serializers.IntegerField(source="state.last_status_code", allow_null=True)
    last_error = serializers.CharField(source="state.last_error")
    certificate = serializers.SerializerMethodField()
    recent = serializers.SerializerMethodField()
    uptime_24h = serializers.SerializerMethodField()
    revision = serializers.IntegerField()
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()

    @extend_schema_field({"type": "object", "additionalProperties": {"type": "string"}})
    def get_headers(self, endpoint: Endpoint) -> dict[str, str]:
        """Return the names; values are masked. With a wrong key the monitor can still be shown, without the names."""
        try:
            return dict.fromkeys(headers_of(endpoint), MASK)
        except CryptoError:
            return {MASK: MASK}

    @extend_schema_field(OptionsField)
    def get_options(self, endpoint: Endpoint) -> dict[str, Any]:
        """Return the type's options, complete; secrets are masked as they are stored."""
        kind = check_types.get(endpoint.endpoint_type)
        stored = endpoint.options if isinstance(endpoint.options, dict) else {}
        return complete_options(kind.fields, stored) if kind else {}

    def get_tags(self, endpoint: Endpoint) -> list[str]:
        """Return the tags' names."""
        return sorted(tag.name for tag in endpoint.tags.all())

    @extend_schema_field({"type": "string", "enum": ["normal", "alerting"]})
    def get_alert_state(self, endpoint: Endpoint) -> str:
        """Return whether people were told and the recovery has not come yet."""
        return "alerting" if endpoint.state.is_alerting else "normal"

    @extend_schema_field(CertificateSerializer(allow_null=True))
    def get_certificate(self, endpoint: Endpoint) -> dict[str, Any] | None:
        """Return the certificate with the days it has left now."""
        facts = endpoint.state.certificate
        if not facts:
            return None
        shown = {name: value for name, value in facts.items() if name not in ("address", "handed_on")}
        if facts.get("not_after"):
            ends = serializers.DateTimeField().to_internal_value(facts["not_after"])
            shown["days_left"] = round((ends - self.context["now"]).total_seconds() / DAY_S, 2)
        return shown

    @extend_schema_field(RecentSerializer(many=True))
    def get_recent(self, endpoint: Endpoint) -> list[dict[str, Any]]:
        """Return the last results, oldest first."""
        return [{"status": status, "latency_ms": latency} for status, latency in series.recent(endpoint.state.recent)]

    @extend_schema_field({"type": ["number", "null"]})
    def get_uptime_24h(self, endpoint: Endpoint) -> float | None:
        """Return the uptime of the last 24 h in percent, null without data."""
        figures: dict[int, float | None] = self.context.get("uptime_24h", {})
        return figures.get(endpoint.num)


class UptimeSerializer(serializers.Serializer[Any]):
    """Uptime in percent by window, null without data."""

    def get_fields(self) -> dict[str, Any]:
        """Return a field for each window; their names are no identifiers."""
        return {name: serializers.FloatField(allow_null=True) for name in ("1h", "24h", "7d", "30d", "90d", "1y")}


class LatencySerializer(serializers.Serializer[Any]):
    """Response times of the last 24 h."""

    mean_ms = serializers.FloatField(allow_null=True)
    min_ms = serializers.FloatField(allow_null=True)
    max_ms = serializers.FloatField(allow_null=True)
    p50_ms = serializers.FloatField(allow_null=True)
    p95_ms = serializers.FloatField(allow_null=True)
    p99_ms = serializers.FloatField(allow_null=True)


class PushAddressSerializer(serializers.Serializer[Any]):
    """Where results are sent in. Shown once: only its hash is kept."""

    token = serializers.CharField()
    url = serializers.CharField()
    header = serializers.CharField(help_text="for those who rather send the token in a header, to `/api/v1/push`")


def shown_push(token: str) -> dict[str, str]:
    """Return an address as `PushAddressSerializer` describes it."""
    return {
        "token": token,
        "url": f"{settings.PUBLIC_URL}/api/v1/push/{token}",
        "header": f"X-Push-Token: {token}",
    }


class EndpointDetailSerializer(EndpointSerializer):
    """An endpoint monitor with its figures."""

    uptime = serializers.SerializerMethodField()
    response_time = serializers.SerializerMethodField()
    push = serializers.SerializerMethodField()
    registration = serializers.SerializerMethodField()

    @extend_schema_field(RegistrationSerializer(allow_null=True))
    def get_registration(self, endpoint: Endpoint) -> Any:
        """Return what is known of the domain; null for other types, and before the first question."""
        if endpoint.endpoint_type != "domain":
            return None
        row = known_registration(endpoint.target, self.get_options(endpoint)["rdap_server"])
        return RegistrationSerializer(facts_of_domain(row, self.context["now"])).data if row else None

    @extend_schema_field(PushAddressSerializer(allow_null=True))
    def get_push(self, endpoint: Endpoint) -> dict[str, str] | None:
        """Return the address for results when it is new, this once."""
        token = getattr(endpoint, "push_token", "")
        return shown_push(token) if token else None

    @extend_schema_field(UptimeSerializer)
    def get_uptime(self, endpoint: Endpoint) -> dict[str, float | None]:
        """Return the figures."""
        return dict(self.context["uptime"])

    @extend_schema_field(LatencySerializer)
    def get_response_time(self, endpoint: Endpoint) -> dict[str, float | None]:
        """Return the figures."""
        return dict(self.context["response_time"])


class PhasesSerializer(serializers.Serializer[Any]):
    """Where the time went, in ms; null: the phase did not take place."""

    dns_ms = serializers.FloatField(allow_null=True)
    connect_ms = serializers.FloatField(allow_null=True)
    tls_ms = serializers.FloatField(allow_null=True)
    first_byte_ms = serializers.FloatField(allow_null=True)


class CheckResultSerializer(serializers.Serializer[CheckResult]):
    """A result."""

    at = serializers.SerializerMethodField()
    up = serializers.SerializerMethodField()
    status = serializers.SerializerMethodField()
    manual = serializers.BooleanField(help_text="asked for by a person: not counted")
    latency_ms = serializers.FloatField(allow_null=True)
    status_code = serializers.IntegerField(allow_null=True)
    error = serializers.CharField()
    phases = PhasesSerializer(source="*")

    @extend_schema_field(OpenApiTypes.DATETIME)
    def get_at(self, result: CheckResult) -> str:
        """Return when the check began."""
        return from_ms(result.at).isoformat().replace("+00:00", "Z")

    @extend_schema_field({"type": ["boolean", "null"]})
    def get_up(self, result: CheckResult) -> bool | None:
        """Return whether it answered as it should, slowly or not; null: the platform could not tell."""
        return _UP[NAMES[result.status]]

    @extend_schema_field({"type": "string", "enum": [UNKNOWN, UP, DEGRADED, DOWN]})
    def get_status(self, result: CheckResult) -> str:
        """Return the status."""
        return NAMES[result.status]


class CheckNowSerializer(CheckResultSerializer):
    """The result of a check that was asked for."""

    endpoint_id = serializers.UUIDField()
    registration = RegistrationSerializer(allow_null=True)


class EndpointTrialSerializer(CheckResultSerializer):
    """The result of a configuration that was tried out; nothing of it is stored."""

    endpoint_id = serializers.UUIDField(allow_null=True)
    certificate = CertificateSerializer(allow_null=True)
    registration = RegistrationSerializer(allow_null=True)


def shown_trial(run: CheckRun, *, is_saved: bool) -> dict[str, Any]:
    """Return a trial's result, as `EndpointTrialSerializer` describes it."""
    seen = run.outcome.certificate
    facts = facts_of(seen, ("", 0)) if seen is not None else None
    return {
        **shown_run(run),
        "endpoint_id": str(run.config.endpoint_id) if is_saved else None,
        "certificate": facts and {name: facts[name] for name in _CERTIFICATE if name in facts},
    }


def shown_run(run: CheckRun) -> dict[str, Any]:
    """Return a check that was just made, as `CheckNowSerializer` describes it."""
    outcome = run.outcome

    def rounded(value: float | None) -> float | None:
        return None if value is None else round(value, 2)

    return {
        "endpoint_id": str(run.config.endpoint_id),
        "at": from_ms(run.at_ms).isoformat().replace("+00:00", "Z"),
        "up": _UP[outcome.status],
        "status": outcome.status,
        "manual": True,
        "latency_ms": rounded(outcome.latency_ms),
        "status_code": outcome.status_code,
        "error": outcome.error,
        "phases": {
            name: rounded(getattr(outcome.phases, name)) for name in ("dns_ms", "connect_ms", "tls_ms", "first_byte_ms")
        },
        "registration": RegistrationSerializer(outcome.registration).data if outcome.registration else None,
    }


class DailyUptimeSerializer(serializers.Serializer[Any]):
    """A UTC day."""

    date = serializers.DateField()
    uptime_percent = serializers.FloatField(allow_null=True, help_text="null: no data")
    checks = serializers.IntegerField()
    down = serializers.IntegerField()
