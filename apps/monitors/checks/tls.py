"""Whether a TLS service completes the handshake, with a certificate that holds."""

from collections.abc import Mapping
from typing import Any

from apps.core.net import NetError, Purpose, tls
from apps.monitors.checks.base import (
    ERROR_LENGTH,
    CertificateSeen,
    CheckConfig,
    CheckOutcome,
    CheckType,
    certificate_problem,
    failed,
    judged,
    register,
)
from apps.monitors.checks.common import (
    CLIENT_CERT,
    CLIENT_KEY,
    ENCRYPTED,
    IP_FAMILY,
    SERVER_NAME,
    client_certificate,
    client_certificate_problems,
    family_of,
)
from apps.monitors.checks.targets import address_problem, parse_address
from apps.monitors.states.endpoints import DOWN, UP

DEFAULT_PORT = 443


@register("tls")
class TlsCheck(CheckType):
    """One handshake. With `tls_verify` off the certificate is read but not judged."""

    label = "A TLS service and its certificate"
    target_help = "example.org or example.org:8443"
    columns = ENCRYPTED
    fields = (SERVER_NAME, IP_FAMILY, CLIENT_CERT, CLIENT_KEY)

    def problems(self, values: Mapping[str, Any]) -> dict[str, str]:
        """Return what is wrong with the address and the client certificate."""
        found = client_certificate_problems(values["options"])
        problem = address_problem(values["target"], DEFAULT_PORT)
        return {**found, "target": problem} if problem else found

    def prepare(self, options: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return family and client certificate."""
        return {**options, "family": family_of(options), "certificate": client_certificate(options)}

    def address(self, target: str) -> tuple[str, int]:
        """Return host and port; 443 where none is given."""
        return parse_address(target, DEFAULT_PORT)

    async def run(self, config: CheckConfig) -> CheckOutcome:
        """Do the handshake once."""
        options = config.options
        try:
            host, port = parse_address(config.target, DEFAULT_PORT)
            seen = await tls.handshake(
                host,
                port,
                options["server_name"],
                Purpose.PROBE,
                config.timeout_s,
                config.tls_verify,
                ca_pem=config.ca_pem or None,
                client_cert=options["certificate"],
                family=options["family"],
            )
        except NetError as error:
            return failed(error)
        outcome = CheckOutcome(
            status=UP,
            latency_ms=seen.phases.total_ms,
            phases=seen.phases,
            certificate=CertificateSeen(seen.certificate),
        )
        if seen.verify_error is not None:
            outcome.status, outcome.error = DOWN, seen.verify_error.message[:ERROR_LENGTH]
            outcome.certificate = certificate_problem(seen.verify_error) or outcome.certificate
            if outcome.certificate and outcome.certificate.certificate is None:
                outcome.certificate = CertificateSeen(
                    seen.certificate, outcome.certificate.problem, outcome.certificate.message
                )
        return judged(config, outcome)
