"""Rate limits per principal by its highest role. Counted in this process: no store can make a request wait or fail."""

import threading
import time
from collections.abc import Callable
from typing import Any

from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from apps.core import context, runtime_settings
from apps.core.api.callers import caller_of

WINDOW_S = 60

for _role, _limit in (("viewer", 100), ("operator", 500), ("admin", 1000), ("anonymous", 120), ("login", 10)):
    runtime_settings.declare(
        "limits", f"{_role}_per_minute", "int", _limit, f"Requests a minute for {_role}.", least=1, most=1_000_000
    )


class _Windows:
    """Fixed windows of a minute: key -> (window, count)."""

    def __init__(self) -> None:
        self.clock: Callable[[], float] = time.time  # a test that counts holds it still
        self._lock = threading.Lock()
        self._counts: dict[str, tuple[int, int]] = {}

    def hit(self, key: str, now: float) -> tuple[int, int]:
        """Count one request; returns (count in this window, epoch second at which the window ends)."""
        window = int(now // WINDOW_S)
        with self._lock:
            if len(self._counts) > 50_000:
                self._counts = {k: v for k, v in self._counts.items() if v[0] == window}
            start, count = self._counts.get(key, (window, 0))
            count = count + 1 if start == window else 1
            self._counts[key] = (window, count)
        return count, (window + 1) * WINDOW_S

    def clear(self) -> None:
        """Forget all counts."""
        with self._lock:
            self._counts.clear()


windows = _Windows()


class PrincipalThrottle(BaseThrottle):
    """A minute's budget per caller. A view's `throttle_scope` names another budget; "none" lifts it."""

    def allow_request(self, request: Request, view: Any) -> bool:
        """Return whether the request is within its budget; the figures go into the answer's headers."""
        scope = getattr(view, "throttle_scope", "")
        principal = caller_of(request)
        if scope == "none" or (principal is not None and getattr(request, "auth", None) == "cookie"):
            return True
        if scope == "login" or principal is None:
            scope = scope or "anonymous"
            key = f"{scope}:{context.current().address or request.META.get('REMOTE_ADDR', '')}"
        else:
            scope = principal.role if principal.role in ("viewer", "operator", "admin") else "operator"
            key = principal.pk
        limit = int(runtime_settings.get(f"limits.{scope}_per_minute"))
        now = windows.clock()
        count, reset = windows.hit(key, now)
        self.reset_in = reset - now
        underlying = request._request
        underlying.rate_limit = (limit, max(0, limit - count), reset)  # type: ignore[attr-defined]
        return count <= limit

    def wait(self) -> float:
        """Return seconds until the window ends."""
        return max(1.0, self.reset_in)
