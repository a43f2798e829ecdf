"""What somebody gives to run, checked: text, time-out, input, variables, and secrets by their names."""

from collections.abc import Mapping
from uuid import UUID

from django.db.models import Q

from apps.core.errors import Forbidden, Invalid
from apps.core.principals import Principal
from apps.fleet.commands import Command
from apps.fleet.models import CommandBatch, CommandRun
from apps.fleet.ssh.running import is_variable_name
from apps.fleet.states import BatchStatus, RunStatus
from apps.secrets import references
from apps.secrets.models import Secret

TIMEOUT_S, TIMEOUT_MOST_S = 60.0, 3600.0
COMMAND_MOST, STDIN_MOST, ENV_MOST = 64 * 1024, 1024 * 1024, 64 * 1024
SECRETS_MOST = 50


def cleaned_command(
    *,
    text: str,
    timeout_s: float | None = None,
    stdin: str = "",
    env: Mapping[str, str] | None = None,
    env_secrets: Mapping[str, str] | None = None,
    sudo: bool = False,
    actor: Principal | None = None,
) -> Command:
    """Return a command whose parts were checked. The text stays exactly as it is.

    Args:
        env_secrets: variable -> name or id of a secret; its value is read when the command runs.
        actor: who asks for the secrets.

    Raises:
        Invalid: which part is wrong, and how (422). Forbidden: it names secrets, and the caller may not (403).
    """
    problems: dict[str, str] = {}
    if not text.strip():
        problems["command"] = "must not be empty"
    elif len(text.encode("utf-8", "surrogatepass")) > COMMAND_MOST:
        problems["command"] = (
            f"must be shorter than {COMMAND_MOST >> 10} KiB; put longer scripts into a file over there"
        )
    elif "\0" in text:
        problems["command"] = "must not hold a null character"
    wanted = TIMEOUT_S if timeout_s is None else float(timeout_s)
    if not 0 < wanted <= TIMEOUT_MOST_S:
        problems["timeout"] = f"must lie between 0 and {TIMEOUT_MOST_S:g} s"
    if len(stdin.encode("utf-8", "surrogatepass")) > STDIN_MOST:
        problems["stdin"] = f"must be shorter than {STDIN_MOST >> 20} MiB"
    given = dict(env or {})
    for name, value in given.items():
        if not is_variable_name(name):
            problems[f"env.{name}"] = "is no name of a variable: letters, digits and _, no digit first"
        elif "\0" in value:
            problems[f"env.{name}"] = "must not hold a null character"
    if sum(len(text.encode("utf-8", "surrogatepass")) for pair in given.items() for text in pair) > ENV_MOST:
        problems["env"] = f"must be shorter than {ENV_MOST >> 10} KiB"
    secrets = _secrets_of(dict(env_secrets or {}), given, actor, problems)
    if sudo and (given or stdin or secrets):
        problems["sudo"] = "takes neither stdin nor env; write them into the command"
    if problems:
        raise Invalid(problems)
    return Command(text, wanted, stdin.encode("utf-8", "surrogatepass"), given, sudo, secrets=secrets)


def check_may_name_secrets(actor: Principal | None) -> Principal:
    """Return the caller, who may use secrets in variables; asked again where a command is repeated or goes on.

    Raises:
        Forbidden: the permission is missing (403).
    """
    if actor is None or not actor.can("secrets:view"):
        raise Forbidden("To use a secret of the vault you need the permission secrets:view.")
    return actor


def _secrets_of(
    named: Mapping[str, str], given: Mapping[str, str], actor: Principal | None, problems: dict[str, str]
) -> dict[str, UUID]:
    """Return variable -> id of its secret; what is wrong is added to the problems."""
    if not named:
        return {}
    actor = check_may_name_secrets(actor)
    if len(named) > SECRETS_MOST:
        problems["env_secrets"] = f"at most {SECRETS_MOST} variables can be secrets"
        return {}
    ids = {ref: key for ref in named.values() if (key := _uuid(ref)) is not None}
    rows = Secret.objects.visible_to(actor).filter(Q(name__in=list(named.values())) | Q(pk__in=list(ids.values())))
    by_ref: dict[str | UUID, UUID] = {}
    for key, name in rows.values_list("pk", "name"):
        by_ref[key] = by_ref[name] = key
    found = {}
    for name, ref in named.items():
        place = f"env_secrets.{name}"
        key = by_ref.get(ref) or by_ref.get(ids.get(ref, ""))
        if not is_variable_name(name):
            problems[place] = "is no name of a variable: letters, digits and _, no digit first"
        elif name in given:
            problems[place] = "is given in env too; leave it out there"
        elif key is None:
            problems[place] = "there is no secret of this name or id in the vault"
        else:
            found[name] = key
    return found


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def runs_with_secrets(secret_ids: object) -> "list[tuple[UUID, str, str, str]]":
    """Return what waits or runs and reads secrets: (secret, kind, id, name)."""
    wanted = {str(key) for key in secret_ids}  # type: ignore[attr-defined]
    found = []
    runs = CommandRun.objects.filter(status=RunStatus.RUNNING, batch=None).exclude(env_secrets={})
    batches = CommandBatch.objects.filter(status=BatchStatus.RUNNING).exclude(env_secrets={})
    for kind, rows in (("command", runs), ("command_batch", batches)):
        for row in rows.only("pk", "command", "env_secrets", *(("target",) if kind == "command" else ("hosts",))):
            found += [(UUID(key), kind, str(row.pk), str(row)) for key in row.env_secrets.values() if key in wanted]
    return found


references.register("command", runs_with_secrets)
