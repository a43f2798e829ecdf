"""Host names and URLs, brought into the one form that policy and connection both use."""

import ipaddress
import re
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import quote, unquote, urlsplit

from apps.core.net.errors import InvalidTarget

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

_HOST = re.compile(r"(?!-)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\Z")
_NUMBER = re.compile(r"(0x[0-9a-f]*|[0-9]+)\Z")
_CONTROL = re.compile(r"[\x00-\x20\x7f]")
_PORTS = {"http": 80, "https": 443}
# Everything RFC 3986 allows in path and query, and "%" because what is escaped already stays as it is.
_SAFE = "/?:@!$&'()*+,;=-._~%[]|^`{}\\\""


@dataclass(frozen=True, slots=True)
class Target:
    """A parsed http or https URL."""

    scheme: str
    host: str  # ASCII, lower case, without brackets and final dot; an address in its canonical form
    port: int
    path: str  # with the query, ready for the request line
    username: str | None = None
    password: str = ""

    @property
    def origin(self) -> tuple[str, str, int]:
        """What credentials are bound to."""
        return self.scheme, self.host, self.port

    @property
    def host_header(self) -> str:
        """Return the value of the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """Return the URL without its user name and password."""
        return f"{self.scheme}://{self.host_header}{self.path}"


@lru_cache(maxsize=8192)
def canonical_host(host: str) -> str:
    """Return a host as the connection will use it: ASCII, lower case, addresses in canonical form.

    The short, octal, decimal and hexadecimal notations of IPv4 (`0x7f.1`, `2130706433`) become dotted quads, as the
    system's resolver would read them: a policy that saw only names would let them through.

    Raises:
        InvalidTarget: it is neither a name nor an address.
    """
    text = host.strip()
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1]
    if ":" in text:
        try:
            address = ipaddress.IPv6Address(text)
        except ValueError as error:
            raise InvalidTarget(f"“{host}” is not an IPv6 address.") from error
        if address.scope_id is not None:
            raise InvalidTarget(f"“{host}” names a network interface; leave the part from % on away.")
        return str(address)
    if not text.isascii():
        try:
            text = text.encode("idna").decode()
        except UnicodeError as error:
            raise InvalidTarget(f"“{host}” is not a host name.") from error
    text = text.lower().removesuffix(".")
    if not text or len(text) > 253 or not _HOST.match(text):
        raise InvalidTarget(f"“{host}” is not a host name.")
    if _NUMBER.match(text.rsplit(".", 1)[-1]):
        return str(_ipv4(text, host))
    return text


def literal_ip(host: str) -> IPAddress | None:
    """Return the address if a canonical host is one, else None."""
    if ":" in host or host[-1:].isdigit():
        try:
            return ipaddress.ip_address(host)
        except ValueError:
            return None
    return None


def check_port(port: int) -> int:
    """Return the port.

    Raises:
        InvalidTarget: it is not between 1 and 65535.
    """
    if not 1 <= port <= 65535:
        raise InvalidTarget(f"{port} is not a port: it must be between 1 and 65535.")
    return port


@lru_cache(maxsize=8192)
def parse_url(url: str) -> Target:
    """Parse an http or https URL.

    Raises:
        InvalidTarget: another scheme, no host, a wrong port.
    """
    text = url.strip()
    if any(ord(char) < 0x20 or ord(char) == 0x7F for char in text):
        raise InvalidTarget("The URL contains control characters.")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise InvalidTarget(f"“{url}” is not a URL: {error}.") from error
    scheme = parts.scheme.lower()
    if scheme not in _PORTS:
        raise InvalidTarget(f"“{url}” is not a URL that starts with http:// or https://.")
    if not parts.hostname:
        raise InvalidTarget(f"“{url}” names no host.")
    # A backslash is a slash to some parsers and part of the name to others; nobody needs it there.
    if "\\" in parts.netloc or _CONTROL.search(parts.netloc):
        raise InvalidTarget(f"“{url}” is not a URL: its host contains characters that hosts can't have.")
    path = quote(parts.path or "/", safe=_SAFE)
    if parts.query:
        path += "?" + quote(parts.query, safe=_SAFE)
    return Target(
        scheme=scheme,
        host=canonical_host(parts.hostname),
        port=check_port(port) if port is not None else _PORTS[scheme],
        path=path,
        username=unquote(parts.username) if parts.username is not None else None,
        password=unquote(parts.password or ""),
    )


def _ipv4(text: str, original: str) -> ipaddress.IPv4Address:
    """Read all notations of inet_aton. Source: WHATWG URL, "IPv4 parser"."""
    problem = InvalidTarget(f"“{original}” is not an IPv4 address.")
    numbers: list[int] = []
    for part in text.split("."):
        if not _NUMBER.match(part):
            raise problem
        try:
            if part.startswith("0x"):
                numbers.append(int(part[2:] or "0", 16))
            elif part.startswith("0") and len(part) > 1:
                numbers.append(int(part, 8))
            else:
                numbers.append(int(part))
        except ValueError as error:
            raise problem from error
    if len(numbers) > 4 or any(number > 255 for number in numbers[:-1]) or numbers[-1] >= 256 ** (5 - len(numbers)):
        raise problem
    value = numbers[-1]
    for index, number in enumerate(numbers[:-1]):
        value += number << (8 * (3 - index))
    return ipaddress.IPv4Address(value)
