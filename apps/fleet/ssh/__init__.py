"""SSH: connections, host keys, commands. No models here: services say what to reach and with what."""

from apps.fleet.ssh.connecting import Hop, Session, connect
from apps.fleet.ssh.errors import Reason, SshFault
from apps.fleet.ssh.keys import HostKey, KeyFault, load_private_key, parse_host_key
from apps.fleet.ssh.pool import Pool, pool
from apps.fleet.ssh.running import run

__all__ = [
    "Hop",
    "HostKey",
    "KeyFault",
    "Pool",
    "Reason",
    "Session",
    "SshFault",
    "connect",
    "load_private_key",
    "parse_host_key",
    "pool",
    "run",
]
