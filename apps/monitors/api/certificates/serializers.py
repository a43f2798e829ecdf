"""Certificate monitors as the API shows and takes them."""

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from apps.monitors.api.endpoints.serializers import DurationField
from apps.monitors.models import CertificateCheck, CertificateMonitor
from apps.monitors.models.endpoints import WARN_DAYS
from apps.monitors.selectors.certificates import days_left, verdicts
from apps.monitors.selectors.endpoints import from_ms
from apps.monitors.services.certificate_results import revocation_word
from apps.monitors.states.certificates import NAMES, STATUSES


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "A web server", value={"hostname": "shop.example.org", "warn_days": [30, 14, 7]}, request_only=True
        )
    ]
)
class CertificateWriteSerializer(serializers.Serializer[Any]):
    """What a caller may set. Fields that are left out keep their value; on creation they get their default."""

    hostname = serializers.CharField(required=False, help_text="name or address, without https://")
    port = serializers.IntegerField(required=False, help_text="443; with STARTTLS 25 (smtp) or 143 (imap)")
    server_name = serializers.CharField(
        required=False, allow_blank=True, help_text="the name to ask for and to compare; the host's where empty"
    )
    starttls = serializers.ChoiceField(choices=CertificateMonitor.STARTTLS, required=False)
    ca_pem = serializers.CharField(required=False, allow_blank=True, help_text="trust these, not the system's CAs")
    warn_days = serializers.ListField(
        child=serializers.IntegerField(), required=False, help_text=f"days before the end; {list(WARN_DAYS)}"
    )
    interval = DurationField(required=False, source="interval_s", help_text="s or a text such as 6h; 5m..7d")
    enabled = serializers.BooleanField(required=False, help_text="false pauses, true resumes")
    tags = serializers.ListField(child=serializers.CharField(), required=False)

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        """Take the other names in use for interval and warning days too."""
        if isinstance(data, dict):
            data = dict(data)
            for other, name in (
                ("interval_s", "interval"),
                ("check_interval_seconds", "interval"),
                ("warning_thresholds", "warn_days"),
                ("domain", "hostname"),
            ):
                if other in data:
                    data.setdefault(name, data.pop(other))
        values: dict[str, Any] = super().to_internal_value(data)
        return values


class CertificateCheckSerializer(serializers.Serializer[CertificateCheck]):
    """One check."""

    at = serializers.SerializerMethodField()
    status = serializers.SerializerMethodField()
    subject = serializers.CharField()
    issuer = serializers.CharField()
    not_before = serializers.DateTimeField(allow_null=True)
    not_after = serializers.DateTimeField(allow_null=True)
    days_left = serializers.SerializerMethodField(help_text="at the time of the check")
    fingerprint = serializers.CharField(help_text="SHA-256, hex")
    chain_valid = serializers.BooleanField(allow_null=True)
    hostname_valid = serializers.BooleanField(allow_null=True)
    revocation = serializers.CharField(help_text="good, revoked, unknown; empty where it was not asked")
    error = serializers.CharField()

    @extend_schema_field(OpenApiTypes.DATETIME)
    def get_at(self, check: CertificateCheck) -> str:
        """Return when the check began."""
        return from_ms(check.at).isoformat().replace("+00:00", "Z")

    @extend_schema_field({"type": "string", "enum": list(STATUSES)})
    def get_status(self, check: CertificateCheck) -> str:
        """Return what it found."""
        return NAMES[check.status]

    @extend_schema_field({"type": ["number", "null"]})
    def get_days_left(self, check: CertificateCheck) -> float | None:
        """Return the days that were left."""
        if check.not_after is None:
            return None
        return round((check.not_after - from_ms(check.at)).total_seconds() / 86_400, 2)


class CertificateMonitorSerializer(serializers.Serializer[CertificateMonitor]):
    """A certificate monitor with what was found last."""

    id = serializers.UUIDField()
    hostname = serializers.CharField()
    port = serializers.IntegerField()
    server_name = serializers.CharField()
    starttls = serializers.ChoiceField(choices=CertificateMonitor.STARTTLS)
    source = serializers.ChoiceField(choices=CertificateMonitor.SOURCES)  # type: ignore[assignment]
    endpoint_id = serializers.UUIDField(allow_null=True, help_text="whose checks see it")
    endpoint_name = serializers.SerializerMethodField()
    enabled = serializers.BooleanField()
    interval = serializers.IntegerField(source="interval_s", help_text="s")
    warn_days = serializers.ListField(child=serializers.IntegerField())
    ca_pem = serializers.CharField()
    tags = serializers.SerializerMethodField()
    status = serializers.ChoiceField(choices=STATUSES, source="state.status")
    since = serializers.DateTimeField(source="state.since")
    alert_state = serializers.SerializerMethodField()
    subject = serializers.CharField(source="state.subject")
    issuer = serializers.CharField(source="state.issuer")
    not_before = serializers.SerializerMethodField()
    not_after = serializers.DateTimeField(source="state.not_after", allow_null=True)
    days_left = serializers.SerializerMethodField()
    chain_valid = serializers.SerializerMethodField()
    hostname_valid = serializers.SerializerMethodField()
    revocation = serializers.SerializerMethodField()
    fingerprint = serializers.CharField(source="state.fingerprint", help_text="SHA-256, hex")
    last_error = serializers.CharField(source="state.last_error")
    last_check_at = serializers.DateTimeField(source="state.last_check_at", allow_null=True)
    next_check_at = serializers.DateTimeField(source="state.next_check_at", allow_null=True)
    revision = serializers.IntegerField()
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()

    def _facts(self, monitor: CertificateMonitor) -> dict[str, Any]:
        return monitor.state.facts or {}

    @extend_schema_field({"type": ["string", "null"]})
    def get_endpoint_name(self, monitor: CertificateMonitor) -> str | None:
        """Return the name of the endpoint whose checks see it."""
        return monitor.endpoint.name if monitor.endpoint else None

    @extend_schema_field({"type": "array", "items": {"type": "string"}})
    def get_tags(self, monitor: CertificateMonitor) -> list[str]:
        """Return its tags, or those of the endpoint that sees it."""
        return monitor.tag_names()

    @extend_schema_field({"type": "string", "enum": ["normal", "alerting"]})
    def get_alert_state(self, monitor: CertificateMonitor) -> str:
        """Return whether people were told and the recovery has not come yet."""
        return "alerting" if monitor.state.told else "normal"

    @extend_schema_field({"type": ["string", "null"], "format": "date-time"})
    def get_not_before(self, monitor: CertificateMonitor) -> str | None:
        """Return when it begins."""
        return self._facts(monitor).get("not_before")

    @extend_schema_field({"type": ["number", "null"]})
    def get_days_left(self, monitor: CertificateMonitor) -> float | None:
        """Return the days left now, negative after its end."""
        return days_left(monitor)

    @extend_schema_field({"type": ["boolean", "null"]})
    def get_chain_valid(self, monitor: CertificateMonitor) -> bool | None:
        """Return whether the chain is trusted here; null: not looked at."""
        return self._facts(monitor).get("chain_valid")

    @extend_schema_field({"type": ["boolean", "null"]})
    def get_hostname_valid(self, monitor: CertificateMonitor) -> bool | None:
        """Return whether it is for this name; null: not looked at."""
        return self._facts(monitor).get("hostname_valid")

    @extend_schema_field({"type": "string", "enum": ["good", "revoked", "unknown"]})
    def get_revocation(self, monitor: CertificateMonitor) -> str:
        """Return what OCSP and CRL together say."""
        return revocation_word(monitor.state.facts)


class ChainLinkSerializer(serializers.Serializer[Any]):
    """One certificate of the chain that the server sends, its own first."""

    position = serializers.IntegerField()
    subject = serializers.CharField()
    issuer = serializers.CharField()
    not_before = serializers.DateTimeField()
    not_after = serializers.DateTimeField()
    fingerprint_sha256 = serializers.CharField()


class RevocationAnswerSerializer(serializers.Serializer[Any]):
    """What the issuer said."""

    status = serializers.CharField(help_text="good, revoked or unknown")
    message = serializers.CharField()
    at = serializers.DateTimeField(help_text="when it was asked")


class VerdictSerializer(serializers.Serializer[Any]):
    """One sentence about the certificate."""

    topic = serializers.CharField(help_text="validity, chain, name, ocsp, crl or error")
    status = serializers.CharField(help_text="ok, warn, crit or unknown")
    text = serializers.CharField()


class CertificateDetailSerializer(CertificateMonitorSerializer):
    """A certificate monitor with everything that is known."""

    sans = serializers.SerializerMethodField()
    serial = serializers.SerializerMethodField()
    signature_algorithm = serializers.SerializerMethodField()
    key_type = serializers.SerializerMethodField()
    tls_version = serializers.SerializerMethodField()
    chain = serializers.SerializerMethodField()
    ocsp = serializers.SerializerMethodField()
    crl = serializers.SerializerMethodField()
    verdicts = serializers.SerializerMethodField()
    latest_check = serializers.SerializerMethodField()

    @extend_schema_field({"type": "array", "items": {"type": "string"}})
    def get_sans(self, monitor: CertificateMonitor) -> list[str]:
        """Return the names and addresses it is for."""
        return list(self._facts(monitor).get("sans", []))

    def get_serial(self, monitor: CertificateMonitor) -> str:
        """Return the serial number, hex."""
        return str(self._facts(monitor).get("serial", ""))

    def get_signature_algorithm(self, monitor: CertificateMonitor) -> str:
        """Return how it was signed."""
        return str(self._facts(monitor).get("signature_algorithm", ""))

    def get_key_type(self, monitor: CertificateMonitor) -> str:
        """Return kind and size of its key."""
        return str(self._facts(monitor).get("key_type", ""))

    def get_tls_version(self, monitor: CertificateMonitor) -> str:
        """Return the TLS version agreed on."""
        return str(self._facts(monitor).get("tls_version", ""))

    @extend_schema_field(ChainLinkSerializer(many=True))
    def get_chain(self, monitor: CertificateMonitor) -> list[dict[str, Any]]:
        """Return what the server sends, its own certificate first."""
        return list(self._facts(monitor).get("chain", []))

    @extend_schema_field(RevocationAnswerSerializer(allow_null=True))
    def get_ocsp(self, monitor: CertificateMonitor) -> dict[str, Any] | None:
        """Return what the OCSP responder said; null: not asked."""
        return (self._facts(monitor).get("revocation") or {}).get("ocsp")

    @extend_schema_field(RevocationAnswerSerializer(allow_null=True))
    def get_crl(self, monitor: CertificateMonitor) -> dict[str, Any] | None:
        """Return what the revocation list said; null: not looked up."""
        return (self._facts(monitor).get("revocation") or {}).get("crl")

    @extend_schema_field(VerdictSerializer(many=True))
    def get_verdicts(self, monitor: CertificateMonitor) -> list[dict[str, str]]:
        """Return what was found, in sentences."""
        return verdicts(monitor)

    @extend_schema_field(CertificateCheckSerializer(allow_null=True))
    def get_latest_check(self, monitor: CertificateMonitor) -> dict[str, Any] | None:
        """Return the last check."""
        check = self.context.get("latest_check")
        return dict(CertificateCheckSerializer(check).data) if check else None
