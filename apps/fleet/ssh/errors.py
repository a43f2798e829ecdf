"""What goes wrong on the way to a machine, in sentences that say what to do."""

import enum


class Reason(enum.StrEnum):
    """What went wrong."""

    REFUSED_HERE = "refused_here"  # the outbound policy, or something is missing on our side
    UNREACHABLE = "unreachable"
    TIMEOUT = "timeout"
    HANDSHAKE = "handshake"
    HOST_KEY_PENDING = "host_key_pending"
    HOST_KEY_CHANGED = "host_key_changed"
    SIGN_IN = "sign_in"
    BUSY = "busy"
    CANCELLED = "cancelled"
    RUN = "run"
    BROKEN = "broken"  # the connection ended in the middle


class SshFault(Exception):
    """Something went wrong between us and the machine; what a command answers is no fault.

    Args:
        phase: "connect", "handshake", "host key", "sign in" or "run".
        detail: a sentence for people; never holds a credential.
        hop_id: id of the connection it happened at, which may be a jump host.
        offered: the host key that was offered, "type base64", where the fault is about it.
    """

    def __init__(self, reason: Reason, phase: str, detail: str, *, hop_id: str = "", offered: str = "") -> None:
        super().__init__(detail)
        self.reason, self.phase, self.detail = reason, phase, detail
        self.hop_id, self.offered = hop_id, offered

    @property
    def may_have_run(self) -> bool:
        """Return whether the command was sent, so that nobody knows whether it ran, or how far."""
        return self.reason == Reason.BROKEN and self.phase == "run"
