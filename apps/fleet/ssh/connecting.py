"""From nothing to a signed-in connection, hop by hop. No credential leaves before the host key was recognised."""

import logging
import os
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, ClassVar

import paramiko
from paramiko.channel import Channel
from paramiko.common import MSG_CHANNEL_REQUEST

from apps.core.masking import Masker
from apps.core.net import NetError, OutboundRefused, Purpose, check_host, open_socket
from apps.fleet.ssh.errors import Reason, SshFault
from apps.fleet.ssh.keys import HostKey, KeyFault, load_private_key, parse_host_key

# All that goes wrong comes back as a fault; the library would log each with a trace besides.
logging.getLogger("paramiko").setLevel(logging.CRITICAL)

CONNECT, HANDSHAKE, HOST_KEY, SIGN_IN = "connect", "handshake", "host key", "sign in"
AGENT_KEYS_MOST = 5  # sshd takes six attempts by default
#: Time for the other side to prove itself and us to sign in, each; slow machines hash and look names up for long.
HANDSHAKE_S, SIGN_IN_S = 15.0, 20.0


@dataclass(frozen=True, slots=True)
class Hop:
    """One machine on the way, with what signs in there.

    Args:
        pinned: its host key, "type base64"; "" where none is known yet.
    """

    id: str
    name: str
    hostname: str
    port: int
    username: str
    auth_method: str
    pinned: str = ""
    password: str = field(default="", repr=False)
    private_key: str = field(default="", repr=False)
    passphrase: str = field(default="", repr=False)
    timeout_s: float = 10.0
    keepalive_s: int = 30


@dataclass(frozen=True, slots=True)
class Phase:
    """A step of a connection and how long it took."""

    hop: str
    phase: str
    ms: float


def _hear_request(channel: Channel, m: Any) -> None:
    """Note by which signal a command ended, which the library passes over; leave all else to it."""
    place = m.packet.tell()
    if m.get_text() == "exit-signal":
        m.get_boolean()
        channel.exit_signal = m.get_text()
        channel.status_event.set()
        return
    m.packet.seek(place)
    Channel._handle_request(channel, m)


class _Transport(paramiko.Transport):
    """A transport whose channels hear of signals."""

    # Ciphers that authenticate by themselves first: they spare a digest of each packet.
    _preferred_ciphers = tuple(sorted(paramiko.Transport._preferred_ciphers, key=lambda name: "-gcm@" not in name))
    _channel_handler_table: ClassVar[dict[int, Any]] = {
        **paramiko.Transport._channel_handler_table,
        MSG_CHANNEL_REQUEST: _hear_request,
    }


@dataclass(slots=True)
class Session:
    """A signed-in connection through its jump hosts; the last transport reaches the target.

    Args:
        offered: host key of each hop, in order.
    """

    transports: list[paramiko.Transport]
    offered: list[HostKey]
    phases: list[Phase]
    masker: Masker  # of what signed in on the way

    @property
    def transport(self) -> paramiko.Transport:
        """Return the transport of the target."""
        return self.transports[-1]

    @property
    def server_version(self) -> str:
        """Return what the target calls itself."""
        return str(self.transport.remote_version or "").removeprefix("SSH-2.0-")[:255]

    def is_alive(self) -> bool:
        """Return whether every hop still stands, as far as is known."""
        return all(one.is_active() and one.is_authenticated() for one in self.transports)

    def close(self) -> None:
        """End it, from the target back."""
        for transport in reversed(self.transports):
            transport.close()


def connect(chain: Sequence[Hop], *, pin_target: bool = False) -> Session:
    """Connect through the hops to the last of them. Blocks.

    Args:
        chain: jump hosts from the outermost on, then the target.
        pin_target: whether a target without a pinned key is taken at its word; jump hosts never are.

    Raises:
        SshFault: what went wrong, where and in which phase.
    """
    values = tuple(value for hop in chain for value in (hop.password, hop.private_key, hop.passphrase) if value)
    session = Session([], [], [], _masker_of(values))
    try:
        for place, hop in enumerate(chain):
            is_target = place == len(chain) - 1
            _add_hop(session, hop, accepts_unknown=pin_target and is_target)
    except BaseException:
        session.close()
        raise
    return session


@lru_cache(maxsize=32)
def _masker_of(values: tuple[str, ...]) -> Masker:
    """Return what masks these; to make it for a private key costs four times as much as to sign in with it."""
    return Masker(values)


def _add_hop(session: Session, hop: Hop, *, accepts_unknown: bool) -> None:
    begun = time.monotonic()
    wire = _wire(session, hop)
    begun = _note(session, hop, CONNECT, begun)
    transport = _Transport(wire)
    session.transports.append(transport)
    transport.daemon = True
    transport.banner_timeout = transport.handshake_timeout = HANDSHAKE_S
    transport.auth_timeout = SIGN_IN_S
    _prefer(transport, hop.pinned)
    try:
        transport.start_client(timeout=HANDSHAKE_S)
        offered_key = transport.get_remote_server_key()
    except (paramiko.SSHException, OSError, EOFError) as error:
        detail = str(error) or "it broke off"
        raise _fault(hop, Reason.HANDSHAKE, HANDSHAKE, f"no SSH session came about: {detail}") from error
    begun = _note(session, hop, HANDSHAKE, begun)
    offered = HostKey(offered_key.get_name(), offered_key.get_base64())
    session.offered.append(offered)
    _recognise(hop, offered, accepts_unknown=accepts_unknown)
    begun = _note(session, hop, HOST_KEY, begun)
    _sign_in(transport, hop)
    _note(session, hop, SIGN_IN, begun)
    if hop.keepalive_s:
        transport.set_keepalive(hop.keepalive_s)


def _note(session: Session, hop: Hop, phase: str, begun: float) -> float:
    now = time.monotonic()
    session.phases.append(Phase(hop.name, phase, round((now - begun) * 1000, 1)))
    return now


def _fault(hop: Hop, reason: Reason, phase: str, detail: str, *, offered: str = "") -> SshFault:
    sentence = detail if detail.endswith((".", "!", "?")) else f"{detail}."
    return SshFault(
        reason, phase, f"{hop.name} ({hop.hostname}:{hop.port}): {sentence}", hop_id=hop.id, offered=offered
    )


def _wire(session: Session, hop: Hop) -> Any:
    try:
        if not session.transports:
            connection = open_socket(hop.hostname, hop.port, purpose=Purpose.PROBE, timeout_s=hop.timeout_s)
            # A peer that vanished is noticed although nothing is being read from it.
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 30_000)
            return connection
        check_host(hop.hostname, hop.port, Purpose.PROBE)
        return session.transport.open_channel(
            "direct-tcpip", (hop.hostname, hop.port), ("127.0.0.1", 0), timeout=hop.timeout_s
        )
    except OutboundRefused as error:
        raise _fault(hop, Reason.REFUSED_HERE, CONNECT, str(error)) from error
    except NetError as error:
        reason = Reason.TIMEOUT if "within" in str(error) else Reason.UNREACHABLE
        raise _fault(hop, reason, CONNECT, str(error)) from error
    except paramiko.ChannelException as error:
        raise _fault(
            hop, Reason.UNREACHABLE, CONNECT, f"the jump host before it could not connect there ({error.text})"
        ) from error
    except (paramiko.SSHException, OSError, EOFError) as error:
        raise _fault(hop, Reason.UNREACHABLE, CONNECT, f"not reached through the jump host ({error})") from error


def _prefer(transport: paramiko.Transport, pinned: str) -> None:
    """Ask first for the kind of key that is pinned, so that a machine with several shows the one we know."""
    if not pinned:
        return
    known = parse_host_key(pinned).type
    wanted = ("rsa-sha2-512", "rsa-sha2-256") if known == "ssh-rsa" else (known,)
    options = transport.get_security_options()
    mine = [name for name in wanted if name in options.key_types]
    options.key_types = [*mine, *(name for name in options.key_types if name not in mine)]


def _recognise(hop: Hop, offered: HostKey, *, accepts_unknown: bool) -> None:
    if not hop.pinned:
        if accepts_unknown:
            return
        raise _fault(
            hop,
            Reason.HOST_KEY_PENDING,
            HOST_KEY,
            f"its host key {offered.fingerprint} is not pinned yet; test this connection first, which pins it",
            offered=offered.text,
        )
    pinned = parse_host_key(hop.pinned)
    if pinned != offered:
        raise _fault(
            hop,
            Reason.HOST_KEY_CHANGED,
            HOST_KEY,
            f"its host key has changed: pinned is {pinned.fingerprint}, offered is {offered.fingerprint} "
            f"({offered.type}). Nothing was sent to it. Somebody may stand in between; if the machine was set up "
            "anew, compare the fingerprint there and accept the new key",
            offered=offered.text,
        )


def _sign_in(transport: paramiko.Transport, hop: Hop) -> None:
    try:
        if hop.auth_method == "password":
            left = transport.auth_password(hop.username, hop.password)
        elif hop.auth_method == "key":
            left = transport.auth_publickey(hop.username, load_private_key(hop.private_key, hop.passphrase))
        else:
            left = _sign_in_by_agent(transport, hop)
    except KeyFault as error:
        raise _fault(hop, Reason.REFUSED_HERE, SIGN_IN, f"the private key can't be used: {error}") from error
    except paramiko.BadAuthenticationType as error:
        allowed = ", ".join(error.allowed_types) or "nothing that is known here"
        detail = f"it doesn't take a {_METHODS[hop.auth_method]} for {hop.username}; it takes {allowed}"
        raise _fault(hop, Reason.SIGN_IN, SIGN_IN, detail) from error
    except paramiko.AuthenticationException as error:
        slow = "timeout" in str(error).lower()
        detail = (
            f"it gave no answer to the sign-in of {hop.username} within {SIGN_IN_S:g} s"
            if slow
            else f"it refused the {_METHODS[hop.auth_method]} of {hop.username}"
        )
        raise _fault(hop, Reason.TIMEOUT if slow else Reason.SIGN_IN, SIGN_IN, detail) from error
    except (paramiko.SSHException, OSError, EOFError) as error:
        raise _fault(hop, Reason.BROKEN, SIGN_IN, f"the connection broke off during the sign-in ({error})") from error
    if left:
        raise _fault(hop, Reason.SIGN_IN, SIGN_IN, f"it wants one more step after this one: {', '.join(left)}")


_METHODS = {"password": "password", "key": "private key", "agent": "keys of the SSH agent"}


def _sign_in_by_agent(transport: paramiko.Transport, hop: Hop) -> list[str]:
    if not os.environ.get("SSH_AUTH_SOCK"):
        raise _fault(
            hop, Reason.REFUSED_HERE, SIGN_IN, "no SSH agent is there; start the platform with SSH_AUTH_SOCK set"
        )
    agent = paramiko.Agent()
    try:
        keys = agent.get_keys()[:AGENT_KEYS_MOST]
        if not keys:
            raise _fault(
                hop, Reason.REFUSED_HERE, SIGN_IN, "the SSH agent holds no key, or doesn't answer; ssh-add one"
            )
        for place, key in enumerate(keys):
            try:
                return list(transport.auth_publickey(hop.username, key))
            except paramiko.BadAuthenticationType:
                raise
            except paramiko.AuthenticationException:
                if place == len(keys) - 1 or not transport.is_active():
                    raise
    finally:
        agent.close()
    return []
