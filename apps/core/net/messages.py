"""HTTP messages: headers, the request's bytes, the response."""

import base64
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from apps.core.net.certificates import PeerCertificate
from apps.core.net.errors import InvalidTarget, Phases
from apps.core.net.hosts import Target

HeadersInput = Mapping[str, str] | Iterable[tuple[str, str]] | None

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*\Z")
_CHARSET = re.compile(r"charset=[\"']?([\w.:-]+)", re.IGNORECASE)
# Set here and nowhere else: a caller that sets them could desynchronise the message's framing.
_FRAMING = {"content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer", "expect"}
# What may follow a redirect to another origin. A list of what may, because a credential can have any name.
_HARMLESS = {"accept", "accept-language", "accept-encoding", "user-agent", "cache-control", "pragma", "range"}


class Headers:
    """Response headers: case-insensitive, repeated ones kept."""

    __slots__ = ("_pairs",)

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        self._pairs = [(name.lower(), value) for name, value in pairs]

    def get(self, name: str, default: str = "") -> str:
        """Return the first value of that name."""
        wanted = name.lower()
        return next((value for key, value in self._pairs if key == wanted), default)

    def get_all(self, name: str) -> list[str]:
        """Return every value of that name, in order."""
        wanted = name.lower()
        return [value for key, value in self._pairs if key == wanted]

    def items(self) -> list[tuple[str, str]]:
        """Return name (lower case) and value of each header line, in order."""
        return list(self._pairs)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and any(key == name.lower() for key, _ in self._pairs)

    def __getitem__(self, name: str) -> str:
        if name not in self:
            raise KeyError(name)
        return self.get(name)

    def __iter__(self) -> Iterator[str]:
        return iter(dict(self._pairs))

    def __len__(self) -> int:
        return len(self._pairs)

    def __repr__(self) -> str:
        return f"Headers({self._pairs!r})"


@dataclass(slots=True)
class Response:
    """An answer, the body as far as it was read.

    Attributes:
        body: decoded from gzip or deflate, at most `max_body_bytes`.
        truncated: the body goes on after what was read.
        certificate: of the last hop; None for plain http.
        redirects: the URLs that were followed, in order.
        url: what answered, without user name and password.
    """

    status: int
    reason: str
    headers: Headers
    body: bytes
    truncated: bool
    phases: Phases
    certificate: PeerCertificate | None
    remote_ip: str
    url: str
    http_version: str = "1.1"
    redirects: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300

    def text(self) -> str:
        """Return the body as text, by the charset it names, else UTF-8; what can't be read is replaced."""
        match = _CHARSET.search(self.headers.get("content-type"))
        try:
            return self.body.decode(match.group(1) if match else "utf-8", errors="replace")
        except LookupError:
            return self.body.decode(errors="replace")


def read_headers(headers: HeadersInput) -> list[tuple[str, str]]:
    """Check header names and values and return them as pairs.

    Raises:
        InvalidTarget: a name or value can't be sent, or the header is not the caller's to set.
    """
    if headers is None:
        return []
    pairs = list(headers.items() if isinstance(headers, Mapping) else headers)
    for name, value in pairs:
        if not _TOKEN.match(name):
            raise InvalidTarget(f"“{name}” is not a header name.")
        if not _VALUE.match(value):
            raise InvalidTarget(f"The value of the header {name} contains a line break or a control character.")
        if name.lower() in _FRAMING:
            raise InvalidTarget(f"The header {name} is set by the platform itself.")
    return pairs


def without_credentials(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return what may be sent to another origin."""
    return [(name, value) for name, value in headers if name.lower() in _HARMLESS]


def request_bytes(method: str, target: Target, headers: list[tuple[str, str]], body: bytes) -> bytes:
    """Return a whole HTTP/1.1 request that asks the server to close afterwards.

    Raises:
        InvalidTarget: the method is not a token.
    """
    if not _TOKEN.match(method):
        raise InvalidTarget(f"“{method}” is not an HTTP method.")
    given = {name.lower() for name, _ in headers}
    lines = [f"{method} {target.path} HTTP/1.1"]
    if "host" not in given:
        lines.append(f"Host: {target.host_header}")
    if "user-agent" not in given:
        lines.append("User-Agent: Watchkeeper")
    if "accept" not in given:
        lines.append("Accept: */*")
    if "accept-encoding" not in given:
        lines.append("Accept-Encoding: gzip, deflate")
    if target.username is not None and "authorization" not in given:
        pair = f"{target.username}:{target.password}".encode()
        lines.append(f"Authorization: Basic {base64.b64encode(pair).decode()}")
    lines += [f"{name}: {value}" for name, value in headers]
    if body or method in ("POST", "PUT", "PATCH"):
        lines.append(f"Content-Length: {len(body)}")
    lines.append("Connection: close\r\n\r\n")
    # Header values outside Latin-1 go as UTF-8, which is what servers that accept them at all expect.
    return "\r\n".join(lines).encode("utf-8" if not "".join(lines).isascii() else "ascii") + body
