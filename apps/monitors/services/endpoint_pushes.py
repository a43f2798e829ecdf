"""Results that are sent in, by whoever holds an endpoint's token."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from apps.core import runtime_settings
from apps.core.api.throttling import windows
from apps.core.errors import Conflict, Invalid, NotFound, TooMany
from apps.core.events import Subject, emit
from apps.core.fields import MASK
from apps.core.principals import Principal
from apps.monitors.checks import CheckOutcome, as_expected, check_types
from apps.monitors.checks.base import ERROR_LENGTH, CheckConfig, judged
from apps.monitors.models import Endpoint
from apps.monitors.services.endpoint_configs import config_of
from apps.monitors.services.endpoint_results import CheckRun, record_results
from apps.monitors.states.endpoints import DEGRADED, DOWN, UP

STATUSES = (UP, DEGRADED, DOWN)
LATENCY_MOST_MS = 86_400_000
_TOKEN_BYTES = 24


@dataclass(frozen=True, slots=True)
class Pushed:
    """What became of a result: `recorded` is False while the endpoint is paused."""

    recorded: bool
    status: str
    next_due_at: datetime | None


def takes_results(endpoint_type: str) -> bool:
    """Return whether results of this type are sent in."""
    kind = check_types.get(endpoint_type)
    return kind is not None and kind.takes_results


def silence_ends(*, interval_s: float, timeout_s: float, after: datetime) -> datetime:
    """Return up to when nothing need come."""
    return after + timedelta(seconds=interval_s + timeout_s)


def new_token() -> tuple[str, str]:
    """Return a token and its hash."""
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    return token, token_hash(token)


def token_hash(token: str) -> str:
    """Return what is kept of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


def renew_push_token(*, endpoint: Endpoint, actor: Principal) -> str:
    """Give an endpoint a new token; the old one ends at once.

    Raises:
        Conflict: nothing is sent in for this type (409).
        NotFound: it was removed meanwhile (404).

    Emits: endpoint.updated.
    """
    with transaction.atomic():
        row = Endpoint.objects.select_for_update().filter(pk=endpoint.pk).first()
        if row is None:
            raise NotFound("There is no such endpoint any more.")
        if not takes_results(row.endpoint_type):
            raise Conflict("Nothing is sent in for this type of monitor, so it has no token.", code="wrong_state")
        token, row.token_hash = new_token()
        row.save(update_fields=["token_hash", "updated_at"])
        emit(
            "endpoint.updated",
            subject=Subject("endpoint", str(row.pk), row.name),
            actor=actor,
            data={"endpoint_id": str(row.pk), "name": row.name},
            tags=[tag.name for tag in row.tags.all()],
            before={"push_token": MASK},
            after={"push_token": MASK},
        )
    return token


def record_push(
    *, token: str, status: str = UP, message: str = "", latency_ms: float | None = None, address: str = ""
) -> Pushed:
    """Record a result that was sent in.

    Args:
        status: "up", "degraded" or "down".
        message: kept where the status is not up.
        address: who sends it; those that guess tokens are slowed down by it.

    Raises:
        NotFound: no endpoint has this token (404).
        TooMany: too many unknown tokens from this address (429).
        Invalid: status or latency is wrong (422).

    Emits: what `record_results` emits.
    """
    endpoint = Endpoint.objects.filter(token_hash=token_hash(token)).first() if token else None
    if endpoint is None or not takes_results(endpoint.endpoint_type):
        _slow_down(address)
        raise NotFound("There is no such push address.")
    problems = {}
    if status not in STATUSES:
        problems["status"] = f"must be one of {', '.join(STATUSES)}"
    if latency_ms is not None and not 0 <= latency_ms <= LATENCY_MOST_MS:
        problems["latency_ms"] = f"must lie in 0..{LATENCY_MOST_MS}"
    if problems:
        raise Invalid(problems)
    for _ in range(2):  # once more where somebody changed it in between
        if not endpoint.enabled:
            return Pushed(False, endpoint_status(endpoint), None)
        run = _run(config_of(endpoint), status, message, latency_ms)
        if record_results([run]):
            return Pushed(True, run.outcome.status, run.due)
        endpoint.refresh_from_db()
    return Pushed(False, endpoint_status(endpoint), None)


def endpoint_status(endpoint: Endpoint) -> str:
    """Return the status an endpoint has now."""
    status: str = endpoint.state.status
    return status


def _run(config: CheckConfig, status: str, message: str, latency_ms: float | None) -> CheckRun:
    now = timezone.now()
    words = "".join(letter if letter.isprintable() else " " for letter in message).strip()[:ERROR_LENGTH]
    fallback = {DOWN: "It was reported as down.", DEGRADED: "It was reported as degraded."}.get(status, "")
    outcome = CheckOutcome(status, latency_ms, error=fallback and (words or fallback))
    outcome.phases.total_ms = latency_ms
    due = silence_ends(interval_s=config.interval_s, timeout_s=config.timeout_s, after=now)
    return CheckRun(config, now, as_expected(config, judged(config, outcome)), due)


def _slow_down(address: str) -> None:
    limit = int(runtime_settings.get("limits.unknown_pings_per_minute"))
    now = windows.clock()
    count, reset = windows.hit(f"unknown-push:{address}", now)
    if count > limit:
        raise TooMany(
            "Too many results for unknown push addresses; check the address.",
            retry_after_s=max(1, round(reset - now)),
        )
