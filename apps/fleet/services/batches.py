"""One command on many machines: who is meant, how it goes about them, and its end by hand."""

import base64
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from apps.core import bell
from apps.core.crypto import CryptoError
from apps.core.errors import Conflict, DomainError, Forbidden, Invalid, NotFound, Unavailable
from apps.core.events import Subject, emit
from apps.core.models import Tag
from apps.core.principals import Principal
from apps.fleet.commands import Command
from apps.fleet.executors import executor_of, provided_among
from apps.fleet.models import CommandBatch, CommandRun, Server
from apps.fleet.services.command_inputs import check_may_name_secrets
from apps.fleet.services.commands import check_sudo
from apps.fleet.states import BAD, BATCH, BatchStatus, RunStatus

HOSTS_MOST = 1000
PARALLEL, PARALLEL_MOST = 10, 200
TARGETS_TOLD = 100
#: Which machines of a batch run again.
RETRIES = {
    # Not where it was lost: there it may have done its work, and somebody looks first.
    "failed": (RunStatus.FAILED, RunStatus.TIMED_OUT),
    "unsuccessful": (*BAD, RunStatus.SKIPPED, RunStatus.CANCELLED),
    "all": tuple(RunStatus.values),
}


@dataclass(frozen=True, slots=True)
class Target:
    """A machine that is meant.

    Args:
        executor: how it is reached; "" where it is not.
        problem: why no command can be run there, in a sentence.
    """

    server: Server
    executor: str
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """How a batch goes about its machines: plain numbers of them."""

    parallel: int
    canary: int
    stop_after: int


def find_targets(
    *, actor: Principal, servers: Sequence[str] = (), tags: Sequence[str] = (), everybody: bool = False
) -> tuple[list[Target], str]:
    """Return the machines that are meant and the selection in words.

    Args:
        servers: slugs or ids, in the order in which they get their turn.
        tags: those that have all of these; by name.

    Raises:
        Invalid: nobody is meant, or a name is wrong (422).
    """
    chosen = [name for name, given in (("servers", servers), ("tags", tags), ("all", everybody)) if given]
    if len(chosen) != 1:
        raise Invalid({"servers": "say on which machines: give either servers, or tags, or all"})
    rows = Server.objects.visible_to(actor).select_related("ssh_connection")
    if servers:
        refs = list(dict.fromkeys(servers))
        if len(refs) > HOSTS_MOST:
            raise Invalid({"servers": f"at most {HOSTS_MOST} machines at once"})
        found = _by_refs(rows, refs)
        asked = ", ".join(row.name for row in found[:3]) + (f" and {len(found) - 3} more" if len(found) > 3 else "")
    elif tags:
        names = list(dict.fromkeys(tags))
        known = set(Tag.objects.filter(name__in=names).values_list("name", flat=True))
        unknown = [name for name in names if name not in known]
        if unknown:
            raise Invalid({"tags": f"there is no tag {', '.join(unknown)}"})
        for name in names:
            rows = rows.filter(tags__name=name)
        found = list(rows.order_by("name", "pk")[: HOSTS_MOST + 1])
        asked = f"servers tagged {' and '.join(names)}"
    else:
        found, asked = list(rows.order_by("name", "pk")[: HOSTS_MOST + 1]), "all servers"
    if not found:
        raise Invalid({chosen[0]: "no server matches"})
    if len(found) > HOSTS_MOST:
        raise Invalid({chosen[0]: f"at most {HOSTS_MOST} machines at once, and more match; choose fewer"})
    return _targets(found, actor), asked[:255]


def plan_for(hosts: int, *, parallel: Any = None, canary: Any = None, stop_after_failures: Any = None) -> Plan:
    """Return how a batch on so many machines goes; each value a number of them or a share such as "10%".

    Raises:
        Invalid: which value is wrong (422).
    """
    problems: dict[str, str] = {}

    def number(name: str, given: Any, default: int, least: int) -> int:
        if given is None or given == "":
            return default
        try:
            return _number(given, hosts, least)
        except ValueError as error:
            problems[name] = str(error)
            return default

    plan = Plan(
        parallel=min(number("parallel", parallel, PARALLEL, 1), PARALLEL_MOST),
        canary=min(number("canary", canary, 0, 0), hosts),
        stop_after=number("stop_after_failures", stop_after_failures, 0, 0),
    )
    if problems:
        raise Invalid(problems)
    return plan


def create_batch(
    *,
    actor: Principal,
    command: Command,
    targets: Sequence[Target],
    asked: str,
    plan: Plan,
    retry_of: CommandBatch | None = None,
) -> CommandBatch:
    """Start a command on many machines. They get their turns in the order given; who can't be reached is skipped.

    Raises:
        Invalid: none of them can be reached, or sudo can't work there (422). Forbidden: the caller may not (403).

    Emits: command_batch.created
    """
    if not actor.can("commands:run"):
        raise Forbidden("You need the permission commands:run.")
    reached = [one for one in targets if not one.problem]
    if not reached:
        raise Invalid({"servers": targets[0].problem if targets else "no server matches"})
    if command.sudo:
        check_sudo({one.executor for one in reached})
    now = timezone.now()
    batch = CommandBatch(
        command=command.text,
        env_names=sorted({*command.env, *command.secrets}),
        env_secrets={name: str(key) for name, key in command.secrets.items()},
        has_stdin=bool(command.stdin),
        inputs=_sealed(command),
        sudo=command.sudo,
        timeout_s=command.timeout_s,
        asked=asked,
        hosts=len(targets),
        parallel=plan.parallel,
        canary=plan.canary,
        stop_after=plan.stop_after,
        skipped=len(targets) - len(reached),
        retry_of=retry_of,
        actor_kind=actor.kind,
        actor_id=actor.id,
        user_id=actor.user_id,
        user=actor.name[:150],
        started_at=now,
    )
    canaries = {one.server.pk for one in reached[: plan.canary]}
    rows = [
        CommandRun(
            batch=batch,
            position=place,
            is_canary=one.server.pk in canaries,
            server=one.server,
            ssh_connection=one.server.ssh_connection,
            target=one.server.name[:255],
            executor=one.executor,
            command=command.text,
            env_names=batch.env_names,
            env_secrets=batch.env_secrets,
            has_stdin=batch.has_stdin,
            sudo=command.sudo,
            timeout_s=command.timeout_s,
            user_id=actor.user_id,
            user=batch.user,
            status=RunStatus.SKIPPED if one.problem else RunStatus.WAITING,
            error=one.problem,
            started_at=now,
            finished_at=now if one.problem else None,
        )
        for place, one in enumerate(targets)
    ]
    with transaction.atomic():
        batch.save(force_insert=True)
        CommandRun.objects.bulk_create(rows, batch_size=250)
        emit(
            "command_batch.created",
            subject=subject_of(batch),
            actor=actor,
            data={
                **facts_of(batch),
                "asked": asked,
                "targets": [one.server.name for one in targets[:TARGETS_TOLD]],
                "parallel": plan.parallel,
                "canary": plan.canary,
                "stop_after_failures": plan.stop_after,
                "retry_of": str(retry_of.pk) if retry_of else None,
            },
        )
        transaction.on_commit(lambda: bell.ring(bell.WORK))
    return batch


def retry_batch(*, actor: Principal, batch_id: UUID | str, scope: str = "failed") -> CommandBatch:
    """Run a batch again as a new one, on the machines where it failed or timed out ("failed"), where it did not
    succeed, also where it was lost and may have done its work ("unsuccessful"), or on all of them ("all"); as it was,
    without a canary where only some are repeated.

    Raises:
        NotFound: no such batch (404). Conflict: it runs still, nothing is left to repeat, or its input is gone (409).
        Invalid: the scope is unknown (422). Forbidden: it reads secrets, and the caller may not name any (403).

    Emits: command_batch.created
    """
    if scope not in RETRIES:
        raise Invalid({"scope": f"must be one of {', '.join(RETRIES)}"})
    batch = find_batch(batch_id, actor)
    if batch.status == BatchStatus.RUNNING:
        raise Conflict("It runs still; wait for its end, or cancel it.")
    command = command_of(batch, actor)
    runs = batch.runs.filter(status__in=RETRIES[scope], server__isnull=False).order_by("position")
    servers = [run.server for run in runs.select_related("server__ssh_connection").defer("output") if run.server]
    if not servers:
        if scope == "failed" and batch.failed:
            raise Conflict(
                "Where it did not end by itself it was lost, and may have done its work: look there, and run it on "
                "those too with the scope “unsuccessful”."
            )
        raise Conflict("There is no machine to run it on again.")
    targets = _targets(servers, actor)
    plan = Plan(batch.parallel, batch.canary if scope == "all" else 0, min(batch.stop_after, len(targets)))
    asked = batch.asked if scope == "all" else f"{len(targets)} of {batch.hosts} machines again"
    return create_batch(actor=actor, command=command, targets=targets, asked=asked, plan=plan, retry_of=batch)


def cancel_batch(*, actor: Principal, batch_id: UUID | str) -> CommandBatch:
    """End a batch: what waits is not begun, what runs is ended within seconds.

    Raises:
        NotFound: no such batch (404). Conflict: it has ended (409).
        Forbidden: it runs on the platform's own host, and the caller may not (403).

    Emits: command_batch.cancel_asked
    """
    with transaction.atomic():
        batch: CommandBatch | None = (
            CommandBatch.objects.visible_to(actor).select_for_update(of=("self",)).filter(pk=batch_id).first()
        )
        if batch is None:
            raise NotFound("There is no such batch.")
        BATCH.check(batch.status, BatchStatus.CANCELLED)
        if batch.runs.filter(executor="local").exists() and not actor.can("servers:execute_local"):
            raise Forbidden("Commands on the platform's own host need the permission servers:execute_local.")
        if batch.cancel_asked_at is None:
            now = timezone.now()
            batch.cancel_asked_at, batch.stop_reason = now, f"{actor.name} cancelled it."
            batch.save(update_fields=["cancel_asked_at", "stop_reason"])
            batch.runs.filter(status=RunStatus.RUNNING, cancel_asked_at=None).update(cancel_asked_at=now)
            emit("command_batch.cancel_asked", subject=subject_of(batch), actor=actor, data=facts_of(batch))
            transaction.on_commit(lambda: bell.ring(bell.WORK))
    return batch


def find_batch(batch_id: UUID | str, principal: Principal) -> CommandBatch:
    """Return a batch.

    Raises:
        NotFound: there is none, or the caller may not see it (404).
    """
    row: CommandBatch | None = CommandBatch.objects.visible_to(principal).filter(pk=batch_id).first()
    if row is None:
        raise NotFound("There is no such batch.")
    return row


def command_of(batch: CommandBatch, actor: Principal) -> Command:
    """Return the command of a batch.

    Raises:
        Conflict: its variables and input are not kept any more (409). Unavailable: the vault key for them is missing
            (503). Forbidden: it reads secrets, and the caller may not name any (403).
    """
    if batch.env_secrets:
        check_may_name_secrets(actor)
    try:
        text = batch.inputs or ""
    except CryptoError as error:
        raise Unavailable(f"Its variables and its input do not open. {error}") from error
    if not text and (batch.has_stdin or set(batch.env_names) - set(batch.env_secrets)):
        raise Conflict("Its variables and its input are not kept any more; run it anew.")
    given = json.loads(text) if text else {}
    return Command(
        batch.command,
        batch.timeout_s,
        base64.b64decode(given.get("stdin", "")),
        given.get("env", {}),
        batch.sudo,
        secrets={name: UUID(key) for name, key in batch.env_secrets.items()},
    )


def subject_of(batch: CommandBatch) -> Subject:
    """Return a batch as the subject of a fact."""
    return Subject("command_batch", str(batch.pk), str(batch))


def facts_of(batch: CommandBatch) -> dict[str, Any]:
    """Return what every fact about a batch says."""
    return {
        "batch_id": str(batch.pk), "command": batch.command[:2000], "hosts": batch.hosts, "by": batch.user
    }  # fmt: skip


def _sealed(command: Command) -> str | None:
    if not command.env and not command.stdin:
        return None
    return json.dumps({"env": dict(command.env), "stdin": base64.b64encode(command.stdin).decode()})


def _targets(servers: Sequence[Server], actor: Principal) -> list[Target]:
    provided = provided_among([one.pk for one in servers])
    found = []
    for server in servers:
        try:
            found.append(Target(server, executor_of(server, actor, provided=provided).name))
        except DomainError as error:
            found.append(Target(server, "", error.detail))
    return found


def _by_refs(rows: Any, refs: Sequence[str]) -> list[Server]:
    """Return the servers in the order of their names; unknown ones are refused by name."""
    ids: list[UUID] = []
    slugs: list[str] = []
    for ref in refs:
        try:
            ids.append(UUID(ref))
        except ValueError:
            slugs.append(ref)
    known: dict[str, Server] = {}
    for row in [*rows.filter(slug__in=slugs), *rows.filter(pk__in=ids)]:
        known[row.slug] = known[str(row.pk)] = row
    names = {ref: str(UUID(ref)) if ref not in slugs else ref for ref in refs}
    unknown = [ref for ref, name in names.items() if name not in known]
    if unknown:
        more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
        raise Invalid({"servers": f"there is no server {', '.join(unknown[:5])}{more}"})
    return list({row.pk: row for row in (known[name] for name in names.values())}.values())


def _number(given: Any, hosts: int, least: int) -> int:
    text = str(given).strip()
    is_share = text.endswith("%")
    try:
        value = float(text[:-1]) if is_share else int(text)
    except ValueError:
        raise ValueError('must be a number of machines, or a share of them such as "10%"') from None
    if is_share:
        if not 0 < value <= 100:
            raise ValueError("must lie between 0% and 100%")
        return max(1, math.ceil(hosts * value / 100))
    if not least <= value <= 100_000:
        raise ValueError(f"must be at least {least}")
    return int(value)
