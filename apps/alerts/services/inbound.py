"""A post to the address of a source: whose is it, is it one too many, what does it say, what became of it."""

from typing import Any
from uuid import UUID

from django.db.models import F
from django.utils import timezone

from apps.accounts.hashing import hash_secret
from apps.alerts.inbound import Batch, Incoming, kinds, read_json
from apps.alerts.models import Alert, AlertSource, AlertSourceState
from apps.alerts.services.receiving import ENDED, OPENED, Outcome, subject_id_of, take_batch
from apps.core import runtime_settings
from apps.core.api.throttling import windows
from apps.core.errors import DomainError, Invalid, NotFound, TooLarge, TooMany
from apps.core.principals import Principal

BODY_MOST = 1024 * 1024
#: Posts to unknown tokens that one address may send a minute.
UNKNOWN_MOST = 60

runtime_settings.declare(
    "limits", "alert_posts_per_minute", "int", 600, "Posts of alerts a minute from one source.", least=1,
    most=1_000_000,
)  # fmt: skip


def receive_post(*, token: str, body: bytes, address: str) -> Outcome:
    """Take a post of a source. What is counted in the outcome is on the disk when this returns.

    Args:
        token: as it came, from the path or the header.
        address: of the sender.

    Raises:
        NotFound: no source that is enabled has this token (404).
        TooMany: over the source's limit, or too many unknown tokens from an address (429).
        TooLarge: the body is over 1 MiB (413).
        DomainError: the body is not JSON (400).
        Invalid: it is not what the source's system posts, or no alert of it can be taken (422).

    Emits: what `take_batch` emits.
    """
    source: AlertSource | None = AlertSource.objects.filter(digest=hash_secret(token), enabled=True).first()
    now = windows.clock()
    if source is None:
        count, reset = windows.hit(f"alert-source-unknown:{address}", now)
        if count > UNKNOWN_MOST:
            raise TooMany(
                "Too many posts to unknown sources; check the address.", retry_after_s=max(1, int(reset - now))
            )
        raise NotFound("There is no such source of alerts. Check the token; it may have been replaced.")
    count, reset = windows.hit(f"alert-source:{source.pk}", now)
    if count > runtime_settings.get("limits.alert_posts_per_minute"):
        raise TooMany(
            "Too many posts from this source; let it group its alerts, or raise limits.alert_posts_per_minute.",
            retry_after_s=max(1, int(reset - now)),
        )
    try:
        if len(body) > BODY_MOST:
            raise TooLarge(f"A post has at most {BODY_MOST} bytes; send fewer alerts at once.")
        batch = kinds[source.kind].read(read_json(body), source.mapping)
        if batch.problems and not batch.alerts and not batch.ignored:
            raise Invalid(
                {
                    ".".join(filter(None, ("alerts", str(one.index), one.field))): one.message
                    for one in batch.problems[:100]
                }
            )
    except DomainError as error:
        _note(source, address, error=str(error) if isinstance(error, Invalid) else error.detail)
        raise
    outcome = take_batch(source, batch)
    _note(source, address, outcome=outcome)
    return outcome


def _note(source: AlertSource, address: str, *, outcome: Outcome | None = None, error: str = "") -> None:
    """Write down what arrived; one statement, so that posts at one moment don't lose each other's counts."""
    now = timezone.now()
    counts = outcome.counts if outcome else {}
    changes: dict[str, Any] = {
        "posts": F("posts") + 1,
        "opened": F("opened") + counts.get(OPENED, 0),
        "resolved": F("resolved") + counts.get(ENDED, 0),
        "last_received_at": now,
        "last_address": address[:64],
        "last_error": (error or (outcome.error if outcome else ""))[:500],
    }
    if outcome is not None:
        answer = outcome.as_dict()
        changes["last_outcome"] = {**answer, "errors": answer["errors"][:10], "at": now.isoformat()}
    if changes["last_error"]:
        changes["last_error_at"] = now
    AlertSourceState.objects.filter(source=source).update(**changes)


def try_source(*, source_id: UUID | str, actor: Principal) -> dict[str, Any]:
    """Open an alert of a source and resolve it, the way a post would; people are told as of any other.

    Returns:
        `alert_id`, `opened` and `resolved`, and `told` with `reason`: whether people were told, and if not, why not.

    Raises:
        NotFound: no such source (404).

    Emits: what `open_alert` and `clear_alert` emit.

    Source: POST /api/v1/alerts/sources/{id}/test.
    """
    source: AlertSource | None = AlertSource.objects.visible_to(actor).filter(pk=source_id).first()
    if source is None:
        raise NotFound("There is no such source of alerts.")
    said: dict[str, Any] = {
        "fingerprint": "watchkeeper:test",
        "kind": "test",
        "name": f"Test of {source.name}"[:255],
        "severity": source.default_level,
        "level": source.default_level,
        "labels": {"test": "yes", "asked_by": actor.name[:200]},
    }
    opened = take_batch(source, Batch([Incoming(**said, message="A test alert; it ends at once.", is_firing=True)]))
    row = source.received.get(subject_id=subject_id_of(source, said["fingerprint"]))
    assert row.alert_id is not None
    alert = Alert.objects.get(id=row.alert_id)
    told, reason = alert.is_told, alert.muted_reason
    ended = take_batch(source, Batch([Incoming(**said, message="The test is over.", is_firing=False)]))
    return {
        "alert_id": alert.id,
        "opened": opened.counts[OPENED] == 1,
        "resolved": ended.counts[ENDED] == 1,
        "level": alert.level,
        "told": told,
        "reason": reason,
    }
