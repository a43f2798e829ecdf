"""All outbound traffic: who may be reached (policy), how names become addresses, HTTP, TCP and TLS.

Nothing else in the platform opens a connection to another machine. `http.request`, `tcp.connect` and `tls.handshake`
are for event loops, `request_sync` and `open_socket` for threads.
"""

from apps.core.net.certificates import PeerCertificate
from apps.core.net.errors import (
    ConnectError,
    DnsError,
    InvalidTarget,
    LocalError,
    NetError,
    NetTimeout,
    OutboundRefused,
    Phases,
    ProtocolError,
    ProxyError,
    TlsError,
    TooLarge,
)
from apps.core.net.http import Proxy, request
from apps.core.net.messages import Headers, Response
from apps.core.net.policy import Purpose, check_address, check_host, check_unix_path, check_url
from apps.core.net.resolve import Address, resolve, resolve_sync
from apps.core.net.sync import open_socket, request_sync, run_sync
from apps.core.net.talk import Talk, converse

__all__ = [
    "Address",
    "ConnectError",
    "DnsError",
    "Headers",
    "InvalidTarget",
    "LocalError",
    "NetError",
    "NetTimeout",
    "OutboundRefused",
    "PeerCertificate",
    "Phases",
    "ProtocolError",
    "Proxy",
    "ProxyError",
    "Purpose",
    "Response",
    "Talk",
    "TlsError",
    "TooLarge",
    "check_address",
    "check_host",
    "check_unix_path",
    "check_url",
    "converse",
    "open_socket",
    "request",
    "request_sync",
    "resolve",
    "resolve_sync",
    "run_sync",
]
