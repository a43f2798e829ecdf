"""Who asks, from where: facts of the current request that events and logs carry."""

from contextvars import ContextVar
from typing import NamedTuple


class RequestContext(NamedTuple):
    """Facts of one request. `address` is the client's, behind trusted proxies too."""

    request_id: str = ""
    address: str = ""
    user_agent: str = ""


_NOBODY = RequestContext()
_current: ContextVar[RequestContext] = ContextVar("request_context", default=_NOBODY)


def current() -> RequestContext:
    """Return the facts of the request that runs now; empty outside of one."""
    return _current.get()


def enter(context: RequestContext) -> None:
    """Make `context` the current one for this task or thread."""
    _current.set(context)
