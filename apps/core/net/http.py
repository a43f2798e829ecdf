"""An HTTP/1.1 client for checks and deliveries: one connection per request, each phase timed, every hop checked."""

import asyncio
import time
from dataclasses import dataclass, replace
from urllib.parse import urljoin

from apps.core.net.connection import Wire, dial
from apps.core.net.contexts import ClientCertificate, context_for
from apps.core.net.errors import (
    ConnectError,
    DnsError,
    InvalidTarget,
    NetError,
    NetTimeout,
    Phases,
    ProtocolError,
    ProxyError,
)
from apps.core.net.exchange import Exchange
from apps.core.net.hosts import Target, parse_url
from apps.core.net.messages import (
    Headers,
    HeadersInput,
    Response,
    read_headers,
    request_bytes,
    without_credentials,
)
from apps.core.net.policy import Purpose, check_host
from apps.core.net.resolve import resolve

_REDIRECTS = {301, 302, 303, 307, 308}
_WAITING_FOR = {
    "dns": "looking the name up",
    "connect": "connecting",
    "tls": "the TLS handshake",
    "first_byte": "waiting for the answer",
    "body": "reading the answer",
}


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy.

    Args:
        headers: what it is told alone, its credentials among them.
    """

    host: str
    port: int
    headers: tuple[tuple[str, str], ...] = ()


class Progress:
    """How far a request has come: the running phase, its start, and what is measured so far."""

    __slots__ = ("phase", "phases", "remote_ip", "since", "started")

    def __init__(self) -> None:
        # Not the loop's clock: uvloop's has a resolution of 1 ms.
        self.started = self.since = time.perf_counter()
        self.phase = "dns"
        self.phases = Phases()
        self.remote_ip = ""

    def begin(self, phase: str) -> None:
        """Begin a phase now."""
        self.phase = phase
        self.since = time.perf_counter()

    def end(self, until: float | None = None) -> None:
        """End the running phase, now or at a time of `perf_counter`."""
        self.phases.add(self.phase, max(0.0, ((until or time.perf_counter()) - self.since) * 1000))

    def stop(self) -> Phases:
        """Take the total."""
        self.phases.total_ms = (time.perf_counter() - self.started) * 1000
        return self.phases

    def timeout(self, name: str, timeout_s: float) -> NetTimeout:
        """Return the error for a time that ran out in the running phase."""
        return NetTimeout(
            f"{name} did not answer within {timeout_s:g} s; the time ran out while {_WAITING_FOR[self.phase]}."
            if self.phase in ("first_byte", "body")
            else f"{name} was not reached within {timeout_s:g} s; the time ran out during {_WAITING_FOR[self.phase]}.",
            phase=self.phase,
            remote_ip=self.remote_ip,
        )

    def stamp(self, error: NetError) -> None:
        """Put onto an error what was measured."""
        error.phases = self.stop()
        error.remote_ip = error.remote_ip or self.remote_ip


async def request(
    method: str,
    url: str,
    *,
    purpose: Purpose,
    headers: HeadersInput = None,
    body: bytes = b"",
    timeout_s: float = 10.0,
    follow_redirects: bool = False,
    max_redirects: int = 5,
    max_body_bytes: int = 1 << 20,
    tls_verify: bool = True,
    ca_pem: str | None = None,
    client_cert: ClientCertificate | None = None,
    family: int | None = None,
    proxy: Proxy | None = None,
) -> Response:
    """Send one request and read the answer.

    A redirect is checked by the policy like the first address. To another origin go no credentials (of the headers only
    those known to be harmless), no client certificate, and no body: a redirect that would repeat one elsewhere is
    returned instead of followed. Proxies of the environment are ignored.

    Args:
        purpose: the policy for addresses.
        headers: mapping or pairs; framing headers are not the caller's.
        timeout_s: seconds for everything, redirects included.
        max_body_bytes: read at most so much of the decoded body; 0: end after the headers.
        tls_verify: check the certificate.
        ca_pem: PEM certificates to trust instead of the system's.
        client_cert: PEM chain and PEM key to show the server.
        family: `socket.AF_INET` or `AF_INET6` to use only that one.
        proxy: ask this one to reach the target; the policy sees the proxy's address and the target's name.

    Raises:
        ProxyError: the proxy can't be reached, or refuses: it says nothing about the target.
        OutboundRefused, InvalidTarget, DnsError, ConnectError, LocalError, NetTimeout, TlsError, ProtocolError,
        TooLarge: all are NetError, with what was measured until then.
    """
    progress = Progress()
    name = url
    try:
        target = parse_url(url)
        name = target.host
        pairs = read_headers(headers)
        redirects: list[str] = []
        async with asyncio.timeout(timeout_s):
            while True:
                name = target.host
                exchange, wire = await _hop(
                    progress, method, target, pairs, body, purpose, family, timeout_s, max_body_bytes,
                    follow_redirects, tls_verify, ca_pem, client_cert, proxy,
                )  # fmt: skip
                response = _response(exchange, wire, target, progress, redirects)
                following = _next(response, target, method, body) if follow_redirects else None
                if following is None:
                    progress.stop()
                    return response
                if len(redirects) >= max_redirects:
                    raise ProtocolError(f"{name} redirects too often: more than {max_redirects} times.")
                onward, method, keeps_body = following
                if not keeps_body:
                    body = b""
                    pairs = [pair for pair in pairs if not pair[0].lower().startswith("content-")]
                if onward.origin != target.origin:
                    pairs = without_credentials(pairs)
                    client_cert = None
                elif target.username is not None:
                    onward = replace(onward, username=target.username, password=target.password)
                redirects.append(onward.url)
                target = onward
    except TimeoutError as error:
        timeout = progress.timeout(name, timeout_s)
        progress.stamp(timeout)
        raise timeout from error
    except NetError as error:
        progress.stamp(error)
        raise


async def _hop(
    progress: Progress,
    method: str,
    target: Target,
    headers: list[tuple[str, str]],
    body: bytes,
    purpose: Purpose,
    family: int | None,
    timeout_s: float,
    max_body_bytes: int,
    follow_redirects: bool,
    tls_verify: bool,
    ca_pem: str | None,
    client_cert: ClientCertificate | None,
    proxy: Proxy | None,
) -> tuple[Exchange, Wire]:
    """Send the request to one place and read the answer; the connection is closed afterwards."""
    asked = target
    if proxy is not None and target.scheme == "http":
        asked, headers = replace(target, path=target.url), [*headers, *proxy.headers]
    message = request_bytes(method, asked, headers, body)
    context = (
        context_for(verify=tls_verify, ca_pem=ca_pem, client_cert=client_cert) if target.scheme == "https" else None
    )
    if proxy is None:
        wire = await open_wire(progress, target.host, target.port, purpose, family, timeout_s)
    else:
        wire = await _through(proxy, progress, target, purpose, family, timeout_s)
    exchange: Exchange | None = None
    try:
        if context is not None:
            progress.begin("tls")
            await wire.start_tls(context, target.host)
            progress.end()
        exchange = Exchange(
            wire,
            name=target.host,
            method=method,
            max_body_bytes=max_body_bytes,
            stop_at_redirect=follow_redirects,
        )
        progress.begin("first_byte")
        wire.write(message)
        wire.listen(exchange.on_data, exchange.on_end)
        try:
            await exchange.done
        finally:
            if exchange.first_byte_at:
                progress.end(exchange.first_byte_at)
                progress.phase = "body"
        return exchange, wire
    finally:
        wire.close()
        if exchange is not None:
            exchange.release()


async def _through(
    proxy: Proxy, progress: Progress, target: Target, purpose: Purpose, family: int | None, timeout_s: float
) -> Wire:
    """Connect to the proxy and, for TLS, have it connect on to the target. Source: RFC 9110, section 9.3.6."""
    check_host(target.host, target.port, purpose)  # its addresses are for the proxy to find
    try:
        wire = await open_wire(progress, proxy.host, proxy.port, purpose, family, timeout_s)
    except (ConnectError, DnsError) as error:
        raise ProxyError(f"The proxy {proxy.host} can't be reached. {error.message}") from error
    if target.scheme == "http":
        return wire
    try:
        # An answer to CONNECT has no body, as one to HEAD.
        exchange = Exchange(
            wire, name=f"The proxy {proxy.host}", method="HEAD", max_body_bytes=0, stop_at_redirect=False
        )
        place = f"[{target.host}]" if ":" in target.host else target.host
        lines = [f"CONNECT {place}:{target.port} HTTP/1.1", f"Host: {place}:{target.port}"]
        lines += [f"{name}: {value}" for name, value in proxy.headers]
        wire.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        wire.listen(exchange.on_data, exchange.on_end)
        try:
            await exchange.done
        except (ConnectError, ProtocolError) as error:
            raise ProxyError(error.message) from error
        finally:
            wire.on_data = wire.on_end = None
            exchange.release()
        if exchange.status in (502, 503, 504):
            raise ConnectError(
                f"The proxy {proxy.host} could not reach {target.host}: {exchange.status} {exchange.reason}.",
                reason="unreachable",
            )
        if not 200 <= exchange.status < 300:
            raise ProxyError(f"The proxy {proxy.host} refused: {exchange.status} {exchange.reason}.")
    except BaseException:
        wire.close()
        raise
    return wire


async def open_wire(
    progress: Progress, host: str, port: int, purpose: Purpose, family: int | None, timeout_s: float
) -> Wire:
    """Resolve and connect, timing both."""
    progress.begin("dns")
    addresses = await resolve(host, port, purpose, family, timeout_s)
    progress.end()
    progress.begin("connect")
    progress.remote_ip = addresses[0].ip
    wire = await dial(addresses)
    progress.end()
    progress.remote_ip = wire.address.ip
    return wire


def _response(exchange: Exchange, wire: Wire, target: Target, progress: Progress, redirects: list[str]) -> Response:
    return Response(
        status=exchange.status,
        reason=exchange.reason,
        headers=Headers(exchange.headers),
        body=exchange.body,
        truncated=exchange.truncated,
        phases=progress.phases,
        certificate=wire.certificate(),
        remote_ip=wire.address.ip,
        url=target.url,
        http_version=exchange.http_version,
        redirects=redirects,
    )


def _next(response: Response, target: Target, method: str, body: bytes) -> tuple[Target, str, bool] | None:
    """Return where a redirect leads, the method there and whether the body goes along; None: it is the answer."""
    location = response.headers.get("location")
    if response.status not in _REDIRECTS or not location:
        return None
    try:
        onward = parse_url(urljoin(target.url, location))
    except (InvalidTarget, ValueError) as error:
        raise ProtocolError(f"{target.host} redirects to something that is not a URL.") from error
    # User name and password in a Location are the redirecting server's, not the operator's.
    onward = replace(onward, username=None, password="")
    if response.status == 303 and method != "HEAD" or response.status in (301, 302) and method == "POST":
        return onward, "GET", False
    if body and onward.origin != target.origin:
        return None
    return onward, method, True
