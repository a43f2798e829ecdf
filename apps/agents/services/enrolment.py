"""Enrolment: a host asks with a token and a key it proves to hold; somebody compares the fingerprint and lets it in."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.accounts.hashing import hash_secret
from apps.agents.keys import KeyFault, PublicKey, read_csr
from apps.agents.models import AgentCertificate, EnrolmentRequest, EnrolmentToken, HostAgent
from apps.agents.services.authority import authority
from apps.agents.services.common import locked, move_registration
from apps.agents.services.letting_in import let_in
from apps.agents.states import ENROLMENT, Enrolment, Registration
from apps.core import runtime_settings
from apps.core.errors import Conflict, Forbidden, Invalid, NotFound
from apps.core.events import Subject, emit
from apps.core.ids import new_secret
from apps.core.principals import Principal, system

WAITING_MOST = 1000
_HOSTNAME = re.compile(r"^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,251}[A-Za-z0-9])?$")
_WORD = re.compile(r"^[A-Za-z0-9._-]{0,32}$")


@dataclass(frozen=True, slots=True)
class Enrolled:
    """A request that was taken, and the token with which its host asks how it stands."""

    request: EnrolmentRequest
    poll_token: str


@dataclass(frozen=True, slots=True)
class Standing:
    """How a request stands; `certificate` and `authority` are PEM once it is approved."""

    request: EnrolmentRequest
    certificate: str = ""
    authority: str = ""


def enroll(
    *, csr: str, token: str = "", name: str = "", hostname: str = "", architecture: str = "", os: str = "",
    address: str = "",
) -> Enrolled:  # fmt: skip
    """Take a host's request to be let in. Of the CSR its key alone is used.

    One that is repeated with the same key and token counts once, so that a host which crashed may ask again. The key
    of an agent that is approved needs no token: such a host comes back after its certificate has ended.

    Args:
        token: an enrolment token; "" for a host that comes back.
        name: what people will call it; the host name where empty.
        address: where it asks from.

    Raises:
        Invalid: a value is malformed (422).
        Forbidden: the token is unknown, has ended or is used up, or the host was refused (403).
        Conflict: too many hosts wait, or the key is another agent's (409).

    Emits: agent.pending, or agent.enrolled where it is let in at once.

    Source: contract row POST /agents/enroll.
    """
    key, said = _checked(csr=csr, name=name, hostname=hostname, architecture=architecture, os=os)
    authority()  # made before any lock is held
    poll_token = new_secret()
    try:
        with transaction.atomic():
            row, is_new = _request_of(key, said, token, address)
            row.poll_token_hash = hash_secret(poll_token)
            if not is_new:
                # Nothing else of it: somebody may be deciding about it at this moment.
                row.save(update_fields=["poll_token_hash"])
                return Enrolled(row, poll_token)
            if row.agent is not None:  # it may have been revoked since it was read
                row.agent = locked(row.agent)
            is_let_in = _is_let_in_at_once(row)
            if not is_let_in:
                _want_room()
            row.save(force_insert=True)
            if is_let_in:
                let_in(row, actor=system("agents"), how="token" if row.token_id else "key")
            else:
                _tell("agent.pending", row, system("agents"))
    except IntegrityError as error:  # the same key asked twice at the same time
        raise Conflict("This key asks a second time at once; try again.", code="asked_twice") from error
    return Enrolled(row, poll_token)


def enrolment_status(*, poll_token: str) -> Standing:
    """Return how the request with this poll token stands.

    Raises:
        NotFound: no such request, or it asked again and has a newer token (404).

    Source: contract row POST /agents/enroll/status.
    """
    rows = EnrolmentRequest.objects.select_related("agent__server", "certificate")
    row = rows.filter(poll_token_hash=hash_secret(poll_token)).first()
    if row is None:
        raise NotFound("No request has this poll token; enrol again.")
    if row.status != Enrolment.APPROVED or row.agent is None:
        return Standing(row)
    if row.certificate is None or row.certificate.revoked_at or not row.agent.is_approved:
        return Standing(EnrolmentRequest(id=row.id, status=Enrolment.REJECTED, reason="The agent was revoked."))
    return Standing(row, row.certificate.pem, authority().certificate)


def approve_request(*, actor: Principal, request_id: UUID | str, name: str = "") -> HostAgent:
    """Let a waiting host in: its agent and server are made where they are new, and its key gets a certificate.

    Args:
        name: what to call it; "" for the name it gave.

    Raises:
        NotFound: no such request (404). Conflict: it does not wait any more (409).

    Emits: agent.approved, agent.enrolled; server.created where the server is new.

    Source: contract row POST /agents/pending/{id}/approve.
    """
    authority()
    with transaction.atomic():
        row = _locked(request_id)
        ENROLMENT.check(row.status, Enrolment.APPROVED)
        if name.strip():
            row.name = name.strip()[:200]
        agent = let_in(row, actor=actor, how="person")
        _tell("agent.approved", row, actor, by=actor.name)
    return agent


def reject_request(*, actor: Principal, request_id: UUID | str, reason: str = "") -> EnrolmentRequest:
    """Refuse a waiting host. Nothing is left of it but this row and the audit trail.

    Raises:
        NotFound: no such request (404). Conflict: it does not wait any more (409).

    Emits: agent.rejected; agent.status where it asked for an agent that was added by hand

    Source: contract row POST /agents/pending/{id}/reject.
    """
    with transaction.atomic():
        row = _locked(request_id)
        ENROLMENT.check(row.status, Enrolment.REJECTED)
        row.status, row.decided_at, row.decided_by = Enrolment.REJECTED, timezone.now(), actor.name[:255]
        row.reason = reason.strip()[:200]
        row.save()
        _tell("agent.rejected", row, actor, by=actor.name, reason=row.reason)
        if row.agent is not None and row.agent.registration == Registration.PENDING:
            move_registration(locked(row.agent), Registration.REJECTED, actor)
    return row


def end_stale_requests(*, now: datetime | None = None) -> int:
    """End the requests that nobody decided within `agents.waiting_keep`; returns how many."""
    now = now or timezone.now()
    border = now - timedelta(seconds=runtime_settings.get("agents.waiting_keep"))
    stale = EnrolmentRequest.objects.filter(status=Enrolment.PENDING, requested_at__lt=border)
    return stale.update(status=Enrolment.EXPIRED, decided_at=now, reason="Nobody decided in time.")


def prune_enrolments(limit: int) -> int:
    """Delete at most `limit` decided requests, ended tokens and ended certificates past their keep time."""
    border = timezone.now() - timedelta(seconds=runtime_settings.get("retention.enrolments"))
    gone = 0
    for rows in (
        EnrolmentRequest.objects.exclude(status=Enrolment.PENDING).filter(decided_at__lt=border),
        EnrolmentToken.objects.filter(expires_at__lt=border),
        AgentCertificate.objects.filter(not_after__lt=border),
    ):
        ids = list(rows.order_by().values_list("pk", flat=True)[: max(0, limit - gone)])
        rows.model._default_manager.filter(pk__in=ids).delete()
        gone += len(ids)
    return gone


# --- rules ---------------------------------------------------------------------------------------------------------


def _checked(**given: str) -> tuple[PublicKey, dict[str, str]]:
    problems: dict[str, str] = {}
    said = {name: given[name].strip() for name in ("hostname", "architecture", "os")}
    said["name"] = given["name"].strip() or said["hostname"]
    if not _HOSTNAME.match(said["hostname"]):
        problems["hostname"] = "give the host's name: at most 253 letters, digits, dots and hyphens"
    if not said["name"].isprintable() or len(said["name"]) > 200:
        problems["name"] = "use at most 200 printable characters"
    if not _WORD.match(said["architecture"]):
        problems["architecture"] = "use at most 32 letters, digits, dots and hyphens"
    if not said["os"].isprintable() or len(said["os"]) > 200:
        problems["os"] = "use at most 200 printable characters"
    key = PublicKey("", "")
    try:
        key = read_csr(given["csr"])
    except KeyFault as fault:
        problems["csr"] = str(fault)
    if problems:
        raise Invalid(problems)
    return key, said


def _request_of(key: PublicKey, said: dict[str, str], token: str, address: str) -> tuple[EnrolmentRequest, bool]:
    """Return the request of this key, and whether it is new. Call it in a transaction."""
    known: HostAgent | None = HostAgent.objects.current().filter(fingerprint=key.fingerprint).first()
    if not token:
        if known is None or known.registration != Registration.APPROVED:
            raise Forbidden(
                "Give an enrolment token: somebody makes one in the console under “Add a host”.",
                code="enrolment_token_needed",
            )
        former = EnrolmentRequest.objects.filter(fingerprint=key.fingerprint, agent=known)
        latest = former.order_by("-requested_at", "-id").first()
        if latest is not None and (latest.status == Enrolment.PENDING or _is_fresh(latest)):
            return latest, False
        return _new(key, said, address, agent=known), True
    row = EnrolmentToken.objects.select_for_update(of=("self",)).filter(token_hash=hash_secret(token)).first()
    if row is None:
        raise Forbidden("This enrolment token is not known; it may have been removed.", code="enrolment_token_unknown")
    again = row.requests.filter(fingerprint=key.fingerprint).order_by("-requested_at").first()
    if again is not None:
        if again.status == Enrolment.REJECTED:
            raise Forbidden("This host was refused.", code="enrolment_refused")
        if again.status == Enrolment.PENDING or _still_counts(again):
            return again, False
    now = timezone.now()
    if row.expires_at <= now:
        raise Forbidden("This enrolment token has ended; make another one.", code="enrolment_token_ended")
    if row.used >= row.max_uses:
        raise Forbidden("This enrolment token is used up; make another one.", code="enrolment_token_used")
    if row.agent is not None and known is not None and known.pk != row.agent_id:
        raise Conflict(
            "The key of this host belongs to another agent: it is a copy of that host. Remove the agent's state folder "
            "there, so that it makes a key of its own.",
            code="key_taken",
        )
    row.used, row.last_used_at = row.used + 1, now
    row.save(update_fields=["used", "last_used_at"])
    EnrolmentRequest.objects.filter(fingerprint=key.fingerprint, status=Enrolment.PENDING).update(
        status=Enrolment.EXPIRED, decided_at=now, reason="It asked again with another token."
    )
    return _new(key, said, address, agent=row.agent or known, token=row), True


def _new(
    key: PublicKey, said: dict[str, str], address: str, *, agent: HostAgent | None, token: EnrolmentToken | None = None
) -> EnrolmentRequest:
    return EnrolmentRequest(
        **said,
        public_key=key.pem,
        fingerprint=key.fingerprint,
        address=address[:45],
        agent=agent,
        token=token,
        token_name=token.name if token else "",
        tags=token.tags if token else [],
    )


def _want_room() -> None:
    if EnrolmentRequest.objects.filter(status=Enrolment.PENDING).count() >= WAITING_MOST:
        raise Conflict("Too many hosts wait for approval already.", code="too_many_waiting")


def _still_counts(row: EnrolmentRequest) -> bool:
    certificate, agent = row.certificate, row.agent
    return bool(
        row.status == Enrolment.APPROVED
        and agent
        and agent.is_approved
        and agent.fingerprint == row.fingerprint
        and certificate
        and not certificate.revoked_at
        and certificate.not_after > timezone.now()
    )


def _is_fresh(row: EnrolmentRequest) -> bool:
    """Return whether the certificate that was given has most of its life ahead: no new one is needed."""
    if not _still_counts(row) or row.certificate is None:
        return False
    life = row.certificate.not_after - row.certificate.not_before
    return row.certificate.not_after - timezone.now() > life / 2


def _is_let_in_at_once(row: EnrolmentRequest) -> bool:
    """Return whether nobody has to look: by its token, or as an approved host that comes back soon enough."""
    agent = row.agent
    if agent is not None and agent.fingerprint == row.fingerprint:
        if agent.registration != Registration.APPROVED:
            return False  # a key that was revoked once is looked at by a person
        if _came_back_soon(agent):
            return True
    if row.token is None:
        return False
    return row.token.pre_approved or bool(agent is not None and row.token.agent_id and agent.is_preapproved)


def _came_back_soon(agent: HostAgent) -> bool:
    within = int(runtime_settings.get("agents.return_within"))
    last = agent.certificates.filter(fingerprint=agent.fingerprint, revoked_at=None).order_by("-not_after").first()
    return last is not None and within > 0 and timezone.now() < last.not_after + timedelta(seconds=within)


def _locked(request_id: UUID | str) -> EnrolmentRequest:
    rows = EnrolmentRequest.objects.select_related("agent__server", "token").select_for_update(of=("self",))
    row: EnrolmentRequest | None = rows.filter(pk=request_id).first()
    if row is None:
        raise NotFound("There is no such request.")
    return row


def _tell(name: str, row: EnrolmentRequest, actor: Principal, **more: Any) -> None:
    agent = row.agent
    emit(
        name,
        subject=Subject("enrolment_request", str(row.pk), row.name),
        actor=actor,
        data={
            "request_id": str(row.pk),
            "agent_id": agent.slug if agent else None,
            "server_id": str(agent.server_id) if agent else None,
            "name": row.name,
            "hostname": row.hostname,
            "fingerprint": row.fingerprint,
            "address": row.address,
            **more,
        },
    )
