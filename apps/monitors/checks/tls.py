"""Whether a TLS service completes the handshake, with a certificate that holds."""

from collections.abc import Mapping
from typing import Any

from apps.core.net import NetError, Purpose, tls
from apps.monitors.checks.base import (
    ERROR_LENGTH,
    CertificateSeen,
    CheckConfig,
    CheckOutcome,
    certificate_problem,
    failed,
    judged,
    register,
)
from apps.monitors.checks.targets import address_problem, parse_address
from apps.monitors.states.endpoints import DOWN, UP

DEFAULT_PORT = 443


@register("tls")
class TlsCheck:
    """One handshake. With `tls_verify` off the certificate is read but not judged."""

    def problems(self, values: Mapping[str, Any]) -> dict[str, str]:
        """Return what is wrong with the address."""
        problem = address_problem(values["target"], DEFAULT_PORT)
        return {"target": problem} if problem else {}

    def address(self, target: str) -> tuple[str, int]:
        """Return host and port; 443 where none is given."""
        return parse_address(target, DEFAULT_PORT)

    async def run(self, config: CheckConfig) -> CheckOutcome:
        """Do the handshake once."""
        try:
            host, port = parse_address(config.target, DEFAULT_PORT)
            seen = await tls.handshake(
                host, port, "", Purpose.PROBE, config.timeout_s, config.tls_verify, ca_pem=config.ca_pem or None
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
