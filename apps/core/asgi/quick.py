"""The shortest way through a web process: requests without a body that an application answers by a callback.

A task, a scope and two messages for each request cost several times what reading a ping does. The protocol here hands
a plain request straight to the application that serves its prefix, once the edge has let it in; whatever is out of the
ordinary (a body, an upgrade, an older HTTP, a request in a pipeline, a refusal) takes the usual way.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from apps.core.asgi.edge import Edge
from apps.core.context import RequestContext

Headers = Sequence[tuple[bytes, bytes]]
#: Takes status, headers and content; to be called once, in the loop's thread, and never before the request is taken.
Reply = Callable[[int, Headers, bytes], None]

_BODILESS = {b"GET": "GET", b"HEAD": "HEAD"}
_UNUSUAL = frozenset((b"content-length", b"transfer-encoding", b"expect", b"upgrade"))


class QuickApplication(Protocol):
    """What can answer plain requests of a prefix."""

    def take(self, method: str, target: bytes, headers: Headers, facts: RequestContext, reply: Reply) -> bool:
        """Take a request and answer it later, or return False: it comes the usual way then."""
        ...


class QuickProtocol(HttpToolsProtocol):
    """HTTP/1.1 as uvicorn speaks it, with the short way for what `Edge.quick` names."""

    # uvicorn declares its own kinds of these; a request on the short way stands in for both.
    app: Any
    cycle: Any

    def on_headers_complete(self) -> None:
        """Begin the request whose head was read."""
        if not self._is_taken():
            super().on_headers_complete()

    def _is_taken(self) -> bool:
        edge, target = self.app, self.url
        if not isinstance(edge, Edge):  # wrapped by a server that decides itself who the client is
            return False
        application = next((app for prefix, app in edge.quick if target.startswith(prefix)), None)
        if application is None or (self.cycle is not None and not self.cycle.response_complete):
            return False
        method = _BODILESS.get(self.parser.get_method())
        if method is None or self.parser.get_http_version() != "1.1" or not self.parser.should_keep_alive():
            return False
        headers = self.headers
        if not _UNUSUAL.isdisjoint([name for name, _ in headers]):
            return False
        facts = edge.admit(self.client[0] if self.client else "", headers)
        if facts is None:
            return False
        cycle = _QuickCycle(self, method, facts)
        before, self.cycle = self.cycle, cycle
        if application.take(method, target, headers, facts, cycle.reply):
            return True
        self.cycle = before
        return False


class _NoEvent:
    @staticmethod
    def set() -> None:
        """Wake nobody: no task waits on the short way."""


class _QuickCycle:
    """One request on the short way, with the attributes by which uvicorn asks after a request."""

    __slots__ = ("disconnected", "facts", "keep_alive", "method", "more_body", "protocol", "response_complete")
    message_event = _NoEvent()

    def __init__(self, protocol: QuickProtocol, method: str, facts: RequestContext) -> None:
        self.protocol, self.method, self.facts = protocol, method, facts
        self.disconnected = self.response_complete = self.more_body = False
        self.keep_alive = True

    def reply(self, status: int, headers: Headers, content: bytes) -> None:
        """Answer in one write."""
        if self.disconnected:
            return
        protocol = self.protocol
        parts = [STATUS_LINE[status]]
        for name, value in protocol.server_state.default_headers:
            parts += (name, b": ", value, b"\r\n")
        for name, value in headers:
            parts += (name, b": ", value, b"\r\n")
        parts += (b"x-request-id: ", self.facts.request_id.encode(), b"\r\n")
        if not self.keep_alive:
            parts.append(b"connection: close\r\n")
        parts.append(b"\r\n")
        if self.method != "HEAD":
            parts.append(content)
        protocol.transport.write(b"".join(parts))
        self.response_complete = True
        if not self.keep_alive:
            protocol.transport.close()
        protocol.on_response_complete()
