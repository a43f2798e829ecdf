"""TLS contexts, made once per set of options: making one reads every trusted CA and takes over 10 ms."""

import contextlib
import os
import ssl
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Iterator

from apps.core.net.errors import TlsError

ClientCertificate = tuple[str, str]  # certificate chain and private key, both PEM

_LIMIT = 256
_lock = threading.Lock()
_HTTP = ("http/1.1",)
_contexts: OrderedDict[tuple[bool, str | None, ClientCertificate | None, tuple[str, ...]], ssl.SSLContext] = (
    OrderedDict()
)


def context_for(
    *,
    verify: bool = True,
    ca_pem: str | None = None,
    client_cert: ClientCertificate | None = None,
    http: bool = True,
    alpn: tuple[str, ...] = (),
) -> ssl.SSLContext:
    """Return a shared client context.

    Args:
        verify: check chain and name of the peer's certificate.
        ca_pem: trust these certificates, and only these, instead of the system's.
        client_cert: what to show if the peer asks.
        http: offer http/1.1 by ALPN.
        alpn: offer these protocols instead.

    Raises:
        TlsError: `bad_options`: ca_pem or client_cert can't be read.
    """
    key = (verify, ca_pem, client_cert, alpn or (_HTTP if http else ()))
    with _lock:
        context = _contexts.get(key)
        if context is not None:
            _contexts.move_to_end(key)
            return context
    context = _make(*key)
    with _lock:
        _contexts[key] = context
        if len(_contexts) > _LIMIT:
            _contexts.popitem(last=False)
    return context


def _make(
    verify: bool, ca_pem: str | None, client_cert: ClientCertificate | None, alpn: tuple[str, ...]
) -> ssl.SSLContext:
    # Not create_default_context: it writes session keys to SSLKEYLOGFILE, and its strictness differs by version.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if alpn:
        context.set_alpn_protocols(list(alpn))
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif ca_pem is not None:
        try:
            context.load_verify_locations(cadata=ca_pem)
        except (ssl.SSLError, ValueError) as error:
            raise TlsError("The CA certificate given is not a PEM certificate.", reason="bad_options") from error
        # So that an intermediate, or the server's own certificate, can be given as the anchor.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    else:
        context.load_default_certs()
    if client_cert is not None:
        try:
            with as_file(client_cert[0]) as certificate, as_file(client_cert[1]) as key:
                # The password callback keeps OpenSSL from asking on the terminal.
                context.load_cert_chain(certificate, key, password=lambda: "")
        except (ssl.SSLError, ValueError, OSError) as error:
            raise TlsError(
                "The client certificate or its key can't be read: they must be PEM, a pair, and without a password.",
                reason="bad_options",
            ) from error
    return context


@contextlib.contextmanager
def as_file(pem: str) -> Iterator[str]:
    """Offer a text as a file: OpenSSL's Python binding reads keys from files only."""
    if hasattr(os, "memfd_create"):
        handle = os.memfd_create("pem")
        try:
            os.write(handle, pem.encode())
            yield f"/proc/self/fd/{handle}"
        finally:
            os.close(handle)
    else:
        with tempfile.NamedTemporaryFile(suffix=".pem") as file:  # created with mode 0600
            file.write(pem.encode())
            file.flush()
            yield file.name
