"""Command lines without their secrets."""

import re
from collections.abc import Sequence
from functools import lru_cache

MASK = "***"
LONGEST = 2000

_WORDS = (
    r"pass(?:word|wd|phrase|code)?|pwd|token|secret|credentials?|api[-_]?key|key|auth(?:orization)?"
    r"|private|signature|cookie"
)
_SENSITIVE = re.compile(rf"(?:{_WORDS})", re.IGNORECASE)
# NAME=value, --opt=value, -Dname=value, name:value: the whole rest of the argument is the value.
_ASSIGNED = re.compile(r"^(?P<name>[-/\w.@\[\]]+)(?P<sign>=|:(?!//))(?P<value>.+)$", re.DOTALL)
# The same inside a longer argument: queries of addresses, JSON, shell snippets, headers. A name is taken as a whole, by
# the reference to itself: to try each of its parts, as patterns do else, would take the square of its length.
_INSIDE = re.compile(
    rf"(?<![\w.-])(?P<head>(?=[\w.-]*?(?:{_WORDS}))(?=(?P<name>[\w.-]+))(?P=name)[\"']?\s*[:=]\s*)(?P<quote>[\"']?)(?P<scheme>(?:bearer|basic|token)\s+)?(?P<value>[^\s\"'&;,}}]+)",
    re.IGNORECASE,
)
# And its spoken form inside one, as of `sh -c "tool --token abc"`.
_SPOKEN = re.compile(
    rf"(?P<head>(?:^|\s)-(?=[\w-]*?(?:{_WORDS}))(?=(?P<name>[\w-]+))(?P=name)\s+)(?P<value>[^\s\"'-][^\s\"']*)",
    re.IGNORECASE,
)
_IN_ADDRESS = re.compile(r"(?P<head>\b[a-z][a-z0-9+.-]{0,30}://[^/\s:@]*):[^@\s/]+@", re.IGNORECASE)
# Credentials that are known by their shape.
_SHAPED = re.compile(
    r"\b(?:wk_[\w-]{8}_[\w-]+|eyJ[\w-]{8,1000}\.[\w-]+(?:\.[\w-]*)?|(?:sk|rk|pk)[-_][\w-]{16,}|gh[pousr]_\w{20,}|glpat-[\w-]{16,}|xox[abprs]-[\w-]+|AKIA[A-Z0-9]{16})"
)
_SQL_CLIENTS = {"mysql", "mysqldump", "mysqladmin", "mysqlsh", "mariadb", "mariadb-dump", "mariadb-admin"}


def _mask_inside(argument: str) -> str:
    text = _IN_ADDRESS.sub(rf"\g<head>:{MASK}@", argument)
    text = _INSIDE.sub(lambda m: f"{m['head']}{m['quote']}{m['scheme'] or ''}{MASK}", text)
    text = _SPOKEN.sub(rf"\g<head>{MASK}", text)
    return _SHAPED.sub(MASK, text)


def _mask_assigned(argument: str) -> str:
    found = _ASSIGNED.match(argument)
    if found and _SENSITIVE.search(found["name"]):
        scheme = re.match(r"\s*(?:bearer|basic)\s+", found["value"], re.IGNORECASE)
        return f"{found['name']}{found['sign']}{scheme[0] if scheme else ''}{MASK}"
    return _mask_inside(argument)


# A line without any of these holds nothing that is masked. Most lines are such: a thousand servers send twenty every
# few seconds, and looking for a handful of words costs a hundredth of the patterns.
_HINTS = (
    "pass", "pwd", "token", "secret", "credential", "key", "auth", "private", "signature", "cookie", "@", "wk_", "eyj",
    "sk-", "sk_", "rk-", "rk_", "pk-", "pk_", "gh", "glpat-", "xox", "akia", "curl", "wget", "http", "mysql", "mariadb",
    "redis-cli",
)  # fmt: skip


def mask_command(command: Sequence[str] | str) -> str:
    """Return a command line with every value that looks like a secret replaced by `***`.

    Args:
        command: the arguments, or the line where the sender has joined them.

    Returns:
        The arguments joined by blanks, at most 2,000 characters.
    """
    line = command if isinstance(command, str) else " ".join(command)
    lower = line.lower()
    if not any(hint in lower for hint in _HINTS):
        return line[:LONGEST]
    return _mask(command if isinstance(command, str) else tuple(command))


@lru_cache(maxsize=4096)
def _mask(command: tuple[str, ...] | str) -> str:
    arguments = command.split(" ") if isinstance(command, str) else command
    program = arguments[0].rpartition("/")[2] if arguments else ""
    shown: list[str] = []
    hide_next = False
    for position, argument in enumerate(arguments):
        is_option = argument.startswith("-")
        if hide_next and argument and not is_option:
            shown.append(MASK)
            hide_next = False
            continue
        hide_next = hide_next and not argument  # an empty argument stands between option and value
        if position == 0:
            shown.append(_mask_inside(argument))
        elif program in _SQL_CLIENTS and re.match(r"^-p.", argument):
            shown.append(f"-p{MASK}")
        elif program == "sshpass" and argument.startswith("-p"):
            shown.append("-p" if argument == "-p" else f"-p{MASK}")
            hide_next = argument == "-p"
        elif (
            argument in ("-u", "--user", "-U", "--proxy-user")
            and program in ("curl", "wget", "http", "https")
            or program.startswith("redis-cli")
            and argument == "-a"
            or is_option
            and "=" not in argument
            and ":" not in argument
            and _SENSITIVE.search(argument)
        ):
            shown.append(argument)
            hide_next = True
        else:
            shown.append(_mask_assigned(argument))
    return " ".join(shown)[:LONGEST]


def mask_text(text: str) -> str:
    """Return a log line with every value that looks like a secret replaced by `***`, whatever its length."""
    lower = text.lower()
    return _mask_inside(text) if any(hint in lower for hint in _HINTS) else text


def mask_field(name: str, value: str) -> str:
    """Return the value of a named field; `***` where the name says that it is a secret."""
    return MASK if value and _SENSITIVE.search(name) else mask_text(value)
