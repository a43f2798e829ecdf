"""Drive routing and sending step by step, in the test's own thread."""

from datetime import timedelta

from django.utils import timezone

from apps.core.models import Event
from apps.core.net import run_sync
from apps.notifications.models import Delivery
from apps.notifications.services import sending
from apps.notifications.services.routing import route


def tell(*facts: Event) -> None:
    """Route facts as the reader does."""
    for fact in facts:
        route(fact)


def send_once(limit: int = 64) -> list[sending.Result]:
    """Claim what is due, send it, record it; returns the results."""
    results = [run_sync(sending.send(job)) for job in sending.claim_due(limit)]
    if results:
        sending.record_results(results)
    return results


def send_all(rounds: int = 50) -> int:
    """Send until nothing is due; returns how many attempts were made."""
    total = 0
    for _ in range(rounds):
        made = len(send_once())
        if not made:
            return total
        total += made
    raise AssertionError("there is no end of deliveries")


def let_time_pass() -> None:
    """Make every open delivery due now, as if its wait were over."""
    Delivery.objects.filter(next_attempt_at__isnull=False).update(next_attempt_at=timezone.now() - timedelta(seconds=1))


def lose_leases() -> None:
    """Let all leases have run out, as after the death of their worker."""
    Delivery.objects.filter(lease_until__isnull=False).update(lease_until=timezone.now() - timedelta(seconds=1))
