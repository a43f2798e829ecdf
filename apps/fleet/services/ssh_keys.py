"""Test SSH connections, and what becomes of the host keys they meet."""

import time
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from apps.core.errors import Conflict, DomainError
from apps.core.events import Subject, emit
from apps.core.principals import Principal, system
from apps.fleet.models import SshConnection, SshConnectionState
from apps.fleet.selectors.ssh import chain_of, find_connection, way_of
from apps.fleet.services.ssh_connections import facts_of, subject_of
from apps.fleet.ssh import Reason, SshFault, connect, pool
from apps.fleet.ssh.keys import fingerprint_of
from apps.fleet.states import HostKeyState, Verdict


@dataclass(slots=True)
class TestReport:
    """What a test found.

    Args:
        phases: (machine, phase, ms) of every step that went well.
        phase: where it stopped; "" where all went well.
        pinned_now: whether this test pinned the host key.
    """

    __test__ = False

    ok: bool
    latency_ms: float
    server_version: str = ""
    host_key_fingerprint: str = ""
    offered_fingerprint: str = ""
    pinned_now: bool = False
    reason: str = ""
    phase: str = ""
    error: str = ""
    phases: list[dict[str, Any]] = field(default_factory=list)


def test_connection(*, actor: Principal, connection_id: UUID | str) -> TestReport:
    """Connect and sign in, on a fresh connection. Pins the host key on first use; a changed one is refused. Blocks.

    Not to be called inside a transaction.

    Raises:
        NotFound: no such connection (404).

    Emits: ssh_connection.tested; ssh_connection.host_key_pinned on first use, ssh_connection.host_key_changed and
        system.alert where another key is offered.

    Source: contract row POST /ssh-connections/{id}/test.
    """
    row = find_connection(connection_id, actor)
    begun = time.monotonic()
    offered = ""
    report = TestReport(False, 0.0)
    try:
        session = connect(way_of(chain_of(row), actor=actor), pin_target=True)
    except SshFault as fault:
        report.reason, report.phase, report.error = str(fault.reason), fault.phase, fault.detail
        note_fault(fault)
    except DomainError as error:
        report.reason, report.phase, report.error = str(Reason.REFUSED_HERE), "sign in", error.detail
    else:
        report.ok, report.server_version, offered = True, session.server_version, session.offered[-1].text
        report.phases = [{"host": one.hop, "phase": one.phase, "ms": one.ms} for one in session.phases]
        session.close()
    report.latency_ms = round((time.monotonic() - begun) * 1000, 1)
    _note_test(row, report, offered, actor)
    return report


test_connection.__test__ = False  # type: ignore[attr-defined]


def _note_test(row: SshConnection, report: TestReport, offered: str, actor: Principal) -> None:
    with transaction.atomic():
        state = SshConnectionState.objects.select_for_update().get(pk=row.pk)
        if report.ok and not state.host_key:
            state.host_key, state.host_key_state = offered, HostKeyState.PINNED
            state.pinned_at, state.pinned_by = timezone.now(), actor.name[:150]
            report.pinned_now = True
        if report.ok and state.host_key == offered and state.offered_key:
            # The machine shows the key again that we know.
            state.host_key_state, state.offered_key, state.offered_at = HostKeyState.PINNED, "", None
        state.last_tested_at = timezone.now()
        state.last_result = Verdict.OK if report.ok else Verdict.FAILED
        state.last_phase, state.last_error = report.phase, report.error
        state.latency_ms = report.latency_ms if report.ok else None
        state.server_version = report.server_version or state.server_version
        state.save()
        report.host_key_fingerprint = fingerprint_of(state.host_key)
        report.offered_fingerprint = fingerprint_of(state.offered_key)
        emit(
            "ssh_connection.tested",
            subject=subject_of(row),
            actor=actor,
            data={**facts_of(row), "ok": report.ok, "phase": report.phase, "error": report.error},
            level="info" if report.ok else "warning",
        )
        if report.pinned_now:
            emit(
                "ssh_connection.host_key_pinned",
                subject=subject_of(row),
                actor=actor,
                data={**facts_of(row), "fingerprint": report.host_key_fingerprint},
            )


def note_fault(fault: SshFault) -> None:
    """Keep a host key that was refused, and tell of it once.

    Emits: ssh_connection.host_key_changed and system.alert, once for each key that is offered.
    """
    if fault.reason != Reason.HOST_KEY_CHANGED:
        return
    with transaction.atomic():
        state = SshConnectionState.objects.select_for_update().filter(connection_id=UUID(fault.hop_id)).first()
        if state is None or state.offered_key == fault.offered:
            return
        row = SshConnection.objects.get(pk=fault.hop_id)
        state.host_key_state, state.offered_key, state.offered_at = HostKeyState.CHANGED, fault.offered, timezone.now()
        state.save(update_fields=["host_key_state", "offered_key", "offered_at"])
        emit(
            "ssh_connection.host_key_changed",
            subject=subject_of(row),
            actor=system("ssh"),
            level="critical",
            data={
                **facts_of(row),
                "pinned": fingerprint_of(state.host_key),
                "offered": fingerprint_of(state.offered_key),
            },
        )
        emit(
            "system.alert",
            subject=Subject("platform", f"ssh-host-key:{row.pk}", "SSH host key changed"),
            actor=system("ssh"),
            level="critical",
            data={"title": f"The SSH host key of {row.name} has changed", "message": fault.detail, "level": "critical"},
        )


def accept_host_key(*, actor: Principal, connection_id: UUID | str, fingerprint: str) -> SshConnection:
    """Pin the key that was offered and refused, by explicit decision of a person.

    Args:
        fingerprint: of the key that the person has compared, as the console and the alert show it.

    Raises:
        NotFound: no such connection (404).
        Conflict: no other key was offered, or meanwhile a third one was (409).

    Emits: ssh_connection.host_key_accepted

    Source: POST /ssh-connections/{id}/accept-host-key.
    """
    with transaction.atomic():
        row = find_connection(connection_id, actor)
        state = SshConnectionState.objects.select_for_update().get(pk=row.pk)
        if not state.offered_key:
            raise Conflict("No other host key was offered; there is nothing to accept.", code="no_offered_key")
        offered, pinned = fingerprint_of(state.offered_key), fingerprint_of(state.host_key)
        if fingerprint.strip() != offered:
            raise Conflict(
                f"The key that was offered last is {offered}; compare that one.", code="other_key_offered"
            )  # fmt: skip
        state.host_key, state.host_key_state = state.offered_key, HostKeyState.PINNED
        state.pinned_at, state.pinned_by = timezone.now(), actor.name[:150]
        state.offered_key, state.offered_at = "", None
        state.save()
        emit(
            "ssh_connection.host_key_accepted",
            subject=subject_of(row),
            actor=actor,
            level="warning",
            data={**facts_of(row), "fingerprint": offered, "former": pinned},
            before={"host_key_fingerprint": pinned},
            after={"host_key_fingerprint": offered},
        )
        transaction.on_commit(lambda: pool.retire(str(row.pk)))
    return find_connection(connection_id, actor)
