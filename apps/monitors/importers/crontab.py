"""A crontab: each line becomes a heartbeat, with the line as it has to read to report."""

import re
from collections.abc import Iterator, Sequence

from apps.core.imports import SourceFile
from apps.monitors.importers.base import HEARTBEAT, Draft, ImportFault, register
from apps.monitors.schedules import is_zone, normalised

_ASSIGNMENT = re.compile(r"""^\s*(?:"(\w+)"|'(\w+)'|(\w+))\s*=\s*(.*?)\s*$""")
_USER = re.compile(r"^[a-z_][a-z0-9_.-]*\$?$")
#: Accounts of the system, by which a column of users is recognised.
_USERS = frozenset(
    ["root", "www-data", "nobody", "daemon", "backup", "postgres", "mysql", "git", "mail", "news", "apache", "nginx"]
)
_WRAPPERS = frozenset(
    ["nice", "ionice", "chrt", "nohup", "time", "sudo", "doas", "env", "exec", "setsid", "flock", "timeout", "chronic"]
)
_SHELLS = frozenset(["sh", "bash", "dash", "zsh", "ksh"])
_SECRET = re.compile(
    r"((?i:[\w-]*(?:pass|pwd|secret|token|key)\w*)(?:=|\s+|:\s*))\S+|(\s-p)(?!\s)\S+|(?<=://)[^\s/@]+(?=@)"
)
_PING = "curl -fsS -m 10 --retry 5 -o /dev/null"
_LINES_MOST = 5_000


@register("crontab")
class Crontab:
    """The crontab of one user, as `crontab -l` shows it. A column of users is recognised."""

    label = "Crontab"
    help = "What crontab -l shows. /etc/crontab and the files of /etc/cron.d are read too."
    extensions = ()
    has_users: bool | None = None

    def read(self, files: Sequence[SourceFile]) -> list[Draft]:
        """Return a heartbeat for each line with a schedule."""
        drafts: list[Draft] = []
        for file in files:
            drafts += _read(file, self.has_users, len(files) > 1)
        if not drafts:
            raise ImportFault(f"{files[0].name}: no line of it is a schedule and a command, as a crontab has them.")
        return drafts


@register("crontab_system")
class SystemCrontab(Crontab):
    """A crontab whose sixth column names the user."""

    label = "Crontab with users"
    help = "/etc/crontab or a file of /etc/cron.d, where the sixth column names the user."
    has_users = True


def _read(file: SourceFile, has_users: bool | None, is_one_of_many: bool) -> Iterator[Draft]:
    lines = file.text.splitlines()
    if len(lines) > _LINES_MOST:
        raise ImportFault(f"{file.name}: it has more than {_LINES_MOST:,} lines.")
    if has_users is None:
        has_users = _names_users(lines)
    zone, zone_problem = "UTC", ""
    is_zone_given = False
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        place = f"{file.name}, line {number}" if is_one_of_many else f"line {number}"
        assignment = _ASSIGNMENT.match(line)
        if assignment:
            name = assignment[1] or assignment[2] or assignment[3]
            if name == "CRON_TZ":
                zone, is_zone_given = assignment[4].strip("\"'") or "UTC", True
                zone_problem = "" if is_zone(zone) else f"CRON_TZ names “{zone}”, which is no time zone."
            continue
        yield _line(place, text, has_users, zone, zone_problem, is_zone_given)


def _split(text: str, has_users: bool) -> tuple[str, str, str]:
    """Return schedule, user and command of a line; what is missing is ""."""
    count = 1 if text.startswith("@") else 5
    parts = text.split(None, count + int(has_users))
    schedule = " ".join(parts[:count])
    user = parts[count] if has_users and len(parts) > count else ""
    rest = parts[count + int(has_users) :]
    return schedule, user, rest[0] if rest else ""


def _names_users(lines: list[str]) -> bool:
    """Return whether every job names an account of the system before its command."""
    found = [
        _split(line.strip(), True)
        for line in lines
        if line.strip() and not line.strip().startswith("#") and not _ASSIGNMENT.match(line)
    ]
    return bool(found) and all(user in _USERS and command for _, user, command in found)


def _line(place: str, text: str, has_users: bool, zone: str, zone_problem: str, is_zone_given: bool) -> Draft:
    schedule, user, command = _split(text, has_users)
    name = job_name(command) or place
    draft = Draft(place=place, kind=HEARTBEAT, name=name)
    draft.values = {
        "name": name,
        "cron": schedule,
        "timezone_name": zone,
        "description": f"From {place} of a crontab.",
        "tags": [],
    }
    if user:
        draft.values["tags"] = [user] if _USER.match(user) else []
    if schedule.lower() == "@reboot":
        draft.problem = "It runs at each start of the machine and not by a schedule."
    elif zone_problem:
        draft.problem = zone_problem
    elif not command:
        draft.problem = "It is no schedule with a command" + (" after the user." if has_users else ".")
    else:
        try:
            draft.values["cron"] = normalised(schedule)
        except ValueError as error:
            draft.problem = f"Its schedule can't be read: {error}."
    if draft.problem:
        return draft
    if not is_zone_given:
        draft.notes.append("Read in UTC: set the time zone of the machine that runs it, or CRON_TZ in the file.")
    head = text[: len(text) - len(command)]
    draft.snippet = lambda url: head + reporting(command, url)
    return draft


def job_name(command: str) -> str:
    """Return what a command is called: its program and arguments, without what is around them."""
    text = re.split(r"(?<!\\)%", command)[0].replace("\\%", "%")
    text = _without_comment(text)
    steps = [step.strip(" (){}") for step in re.split(r"&&|\|\||;|\|", text)]
    steps = [step for step in steps if step]
    steps = [step for step in steps if not re.match(r"^(?:cd|test|\[|export|umask|\.|source|sleep)\s", step + " ")]
    for step in steps or [text]:
        words = re.sub(r"\s*(?:\d?>{1,2}|&>{1,2}|<)\s*(?:&\d|\S+)", " ", step).split()
        words = _unwrapped(words)
        if words:
            program = words[0].strip("\"'()").rpartition("/")[2]
            if program in _SHELLS and len(words) > 1 and not words[1].startswith("-"):
                words = words[1:]
                program = words[0].strip("\"'").rpartition("/")[2]
            return _harmless(" ".join([program, *words[1:]]).strip("&; "))[:120]
    return ""


def _harmless(text: str) -> str:
    """Return a command without what looks like a secret in it: names are shown to everybody."""
    return _SECRET.sub(lambda found: f"{found[1] or found[2] or ''}***", text)


def _unwrapped(words: list[str]) -> list[str]:
    """Return the words from the program on, that others start: nice -n 10 ionice -c3 flock -n FILE program."""
    while words:
        program = words[0].rpartition("/")[2]
        if re.match(r"^\w+=", words[0]):
            words = words[1:]
        elif program in _WRAPPERS:
            takes = program in ("flock", "timeout")
            words = words[1:]
            while words and words[0].startswith("-"):
                needs_value = re.fullmatch(r"-[ncuptwsk]", words[0]) and program not in ("flock",)
                words = words[2:] if needs_value and len(words) > 1 else words[1:]
            if takes and words:
                words = words[1:]
        else:
            return words
    return words


def _without_comment(command: str) -> str:
    """Return a command without the comment at its end, as the shell sees it."""
    quote = ""
    for position, char in enumerate(command):
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        elif char == "#" and (position == 0 or command[position - 1].isspace()):
            return command[:position].rstrip()
    return command


def reporting(command: str, url: str) -> str:
    """Return a command that also reports how it ended. Cron turns a bare % into the input, so it stays at the end."""
    found = re.search(r"(?<!\\)%", command)
    work, rest = (command[: found.start()], command[found.start() :]) if found else (command, "")
    work = _without_comment(work).rstrip().rstrip(";").rstrip()
    if work.endswith("&") and not work.endswith("&&"):
        return f"{work} {_PING} {url}{rest}"  # it goes on in the background: that it started is all there is to say
    if re.search(r"(?:^|[\s;&|(])(?:exit|exec)\b", work):
        work = f"( {work} )"
    return f"{work}; {_PING} {url}/$?{rest}"
