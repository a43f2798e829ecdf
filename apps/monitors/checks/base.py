"""What every check type takes and gives."""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any, ClassVar, TypeVar
from uuid import UUID

from django.db import close_old_connections

from apps.core.net import NetError, PeerCertificate, Phases, TlsError
from apps.core.registries import Registry
from apps.monitors.checks.options import Option, complete_options
from apps.monitors.states.endpoints import DEGRADED, DOWN, UNKNOWN, UP

log = logging.getLogger(__name__)

ERROR_LENGTH = 300
NO_OPTIONS: Mapping[str, Any] = MappingProxyType({})

#: For clients that only block (engines' libraries, SSH): as many as there may be checks at once, so that none waits for
#: one that hangs.
_threads = ThreadPoolExecutor(400, thread_name_prefix="check")


@dataclass(frozen=True, slots=True)
class CheckConfig:
    """An endpoint as its checks need it: parsed once for each revision.

    Args:
        expected_status: ranges of status codes, both ends included.
        json_path: keys and indices; empty: nothing is asserted.
        json_value: what must stand there; None: anything.
        options: those of the type, complete, secrets in plain text, as `CheckType.prepare` left them.
        inverse: it is expected not to answer.
        fault: why the endpoint can't be checked at all, e.g. its headers are sealed with a key that is missing.
        newer_than: an answer that is kept from before this does not count: the endpoint was changed, or somebody wants
            to know now.
    """

    endpoint_id: UUID
    num: int
    revision: int
    name: str
    endpoint_type: str
    target: str
    interval_s: int
    timeout_s: float
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    expected_status: tuple[tuple[int, int], ...] = ((200, 299),)
    keyword: str = ""
    keyword_absent: str = ""
    json_path: tuple[str | int, ...] = ()
    json_value: Any = None
    max_redirects: int = 5
    tls_verify: bool = True
    ca_pem: str = ""
    degraded_over_ms: int | None = None
    options: Mapping[str, Any] = field(default_factory=lambda: NO_OPTIONS)
    inverse: bool = False
    fault: str = ""
    newer_than: datetime | None = None


@dataclass(frozen=True, slots=True)
class CertificateSeen:
    """The certificate a check met on the way.

    Args:
        problem: "", "expired", "name_mismatch" or "untrusted".
        message: the problem in plain words.
    """

    certificate: PeerCertificate | None
    problem: str = ""
    message: str = ""


@dataclass(slots=True)
class CheckOutcome:
    """What a check found. `unknown` says nothing about the target: the platform could not check, or not to the end."""

    status: str
    latency_ms: float | None = None
    phases: Phases = field(default_factory=Phases)
    status_code: int | None = None
    error: str = ""
    certificate: CertificateSeen | None = None
    is_timeout: bool = False
    registration: Mapping[str, Any] | None = None  # of the domain that was asked about
    warn_day: int | None = None  # of the days set, the last that is passed before its end; 0: none; None: not known


class CheckType(ABC):
    """A kind of check.

    Attributes:
        label: how a person calls it.
        target_help: what the target looks like; "" where there is none.
        columns: which of the endpoint's own columns it minds, beside those that all have; forms show these.
        fields: its options.
        takes_results: results are sent in; `run` is called when they stay out.
        minds_latency: a slow answer is degraded; of what answers nothing there is none.
    """

    label: ClassVar[str]
    target_help: ClassVar[str] = "host:port, for example db.example.org:5432"
    columns: ClassVar[frozenset[str]] = frozenset()
    fields: ClassVar[tuple[Option, ...]] = ()
    takes_results: ClassVar[bool] = False
    minds_latency: ClassVar[bool] = True

    def problems(self, values: Mapping[str, Any]) -> dict[str, str]:
        """Return what is wrong with an endpoint's values, field -> sentence; called before it is written.

        `values["options"]` is complete and each option is right by itself.
        """
        return {}

    def prepare(self, options: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the options as `run` wants them: parsed once for each revision, not at each check."""
        return options

    @abstractmethod
    def address(self, target: str) -> tuple[str, int]:
        """Return host and port of a target that was found right."""

    @abstractmethod
    async def run(self, config: CheckConfig) -> CheckOutcome:
        """Check once; never raises for anything the target does."""

    def ready_options(self, stored: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return complete, prepared, unchangeable options."""
        return MappingProxyType(dict(self.prepare(complete_options(self.fields, stored))))


check_types: Registry[CheckType] = Registry("check type")
T = TypeVar("T")


def register(name: str) -> Any:
    """Register a class as the check type `name`."""

    def add(cls: type[T]) -> type[T]:
        check_types.register(name, cls())  # type: ignore[arg-type]
        return cls

    return add


async def run_check(config: CheckConfig) -> CheckOutcome:
    """Check an endpoint once. Whatever goes wrong on our side is `unknown`, never `down`."""
    kind = check_types.get(config.endpoint_type)
    fault = config.fault or ("" if kind else f"There is no check of the type {config.endpoint_type}.")
    if kind is None or fault:
        return CheckOutcome(status=UNKNOWN, error=fault)
    if not config.options and kind.fields:  # made by hand, without a row
        config = replace(config, options=kind.ready_options({}))
    try:
        return await kind.run(config)
    except Exception as error:
        log.exception("the check of endpoint %s failed by itself", config.num)
        return CheckOutcome(status=UNKNOWN, error=f"The check itself failed: {type(error).__name__}.")


def as_expected(config: CheckConfig, outcome: CheckOutcome) -> CheckOutcome:
    """Turn the outcome round where the endpoint is expected not to answer. What could not be checked stays unknown.

    Call it last, when it is settled whose fault a silence is.
    """
    if not config.inverse:
        return outcome
    if outcome.status == DOWN:
        outcome.status, outcome.error = UP, ""
    elif outcome.status in (UP, DEGRADED):
        outcome.status, outcome.error = DOWN, "It answers, and this monitor expects it not to."
    return outcome


async def in_thread(function: Callable[..., Any], *args: Any) -> Any:
    """Run blocking `function` in the checks' bounded pool, its database connection closed afterwards."""

    def call() -> Any:
        try:
            return function(*args)
        finally:
            close_old_connections()

    return await asyncio.get_running_loop().run_in_executor(_threads, call)


def judged(config: CheckConfig, outcome: CheckOutcome) -> CheckOutcome:
    """Turn `up` into `degraded` where the answer took longer than the endpoint allows."""
    limit, latency = config.degraded_over_ms, outcome.latency_ms
    if outcome.status == UP and limit is not None and latency is not None and latency > limit:
        outcome.status = DEGRADED
        outcome.error = f"It answered in {latency:.0f} ms; more than {limit} ms counts as degraded."
    return outcome


_CERTIFICATE_PROBLEMS = {
    "expired": "expired",
    "name_mismatch": "name_mismatch",
    "not_yet_valid": "untrusted",
    "self_signed": "untrusted",
    "unknown_ca": "untrusted",
    "revoked": "untrusted",
    "weak": "untrusted",
    "untrusted": "untrusted",
}


def certificate_problem(error: TlsError) -> CertificateSeen | None:
    """Return the certificate behind a TLS error; None where the error is not about one."""
    problem = _CERTIFICATE_PROBLEMS.get(error.reason)
    return CertificateSeen(error.certificate, problem, error.message) if problem else None


def failed(error: NetError) -> CheckOutcome:
    """Return the outcome of a check that ended with an error of the network.

    What the platform refuses or can't do itself is `unknown`: it says nothing about the target.
    """
    ours = error.ours or error.kind in ("refused", "invalid")
    certificate = None
    if isinstance(error, TlsError):
        ours = ours or error.reason in ("bad_options", "client_certificate")
        certificate = certificate_problem(error)
    return CheckOutcome(
        status=UNKNOWN if ours else DOWN,
        phases=error.phases,
        error=error.message[:ERROR_LENGTH],
        certificate=certificate,
        is_timeout=error.kind == "timeout",
    )
