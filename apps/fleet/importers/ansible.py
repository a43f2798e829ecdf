"""Ansible inventories, INI and YAML. Source: Ansible's guide "How to build your inventory"."""

import re
import shlex
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import yaml

from apps.core.imports import SourceFile
from apps.core.json_text import parse_json
from apps.fleet.importers.base import SERVER, Draft, ImportFault, last_jump, port_of, register

HOSTS_MOST, NODES_MOST, DEPTH_MOST = 2_000, 100_000, 60
_RANGE = re.compile(r"\[(\w+):(\w+)(?::(\d+))?\]")
_SECTION = re.compile(r"\[([^\]:]+)(?::(\w+))?\]\s*(?:[#;].*)?")
_JUMP = re.compile(r"(?:-J\s*|ProxyJump[=\s]\s*)[\"']?([^\s\"']+)")
#: They hold credentials: never brought along.
_CREDENTIALS = (
    "ansible_password", "ansible_ssh_pass", "ansible_ssh_password", "ansible_become_password", "ansible_become_pass",
    "ansible_sudo_pass", "ansible_ssh_private_key_passphrase",
)  # fmt: skip
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(slots=True)
class _Group:
    hosts: dict[str, int] = field(default_factory=dict)  # name -> line
    variables: dict[str, Any] = field(default_factory=dict)
    children: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Inventory:
    file: SourceFile
    groups: dict[str, _Group] = field(default_factory=dict)
    variables: dict[str, dict[str, Any]] = field(default_factory=dict)  # of hosts
    lines: dict[str, int] = field(default_factory=dict)

    def group(self, name: str) -> _Group:
        return self.groups.setdefault(name, _Group())

    def add(self, host: str, group: str, variables: dict[str, Any], line: int) -> None:
        if len(self.lines) >= HOSTS_MOST and host not in self.lines:
            raise ImportFault(f"{self.file.name}: it holds more than {HOSTS_MOST:,} hosts.")
        self.lines.setdefault(host, line)
        self.variables.setdefault(host, {}).update(variables)
        self.group(group).hosts.setdefault(host, line)

    def groups_of(self, host: str) -> list[str]:
        """Return the groups of a host, the outermost first, so that the nearest group's variables win."""
        found: list[str] = []

        def climb(name: str, above: tuple[str, ...]) -> None:
            for parent, group in self.groups.items():
                if name in group.children and parent not in above:
                    climb(parent, (*above, parent))
            if name not in found:
                found.append(name)

        for name, group in self.groups.items():
            if host in group.hosts:
                climb(name, (name,))
        return found


class _Ansible(ABC):
    def read(self, files: Sequence[SourceFile]) -> list[Draft]:
        """Return a draft for each host: a server with its SSH connection."""
        drafts: list[Draft] = []
        for file in files:
            inventory = self.parse(file)
            if not inventory.lines:
                raise ImportFault(f"{file.name}: it names no host.")
            drafts += [_draft(inventory, host) for host in inventory.lines]
        return drafts

    @abstractmethod
    def parse(self, file: SourceFile) -> _Inventory: ...


@register("ansible_ini")
class AnsibleIni(_Ansible):
    """An inventory in the form of INI."""

    label = "Ansible inventory (INI)"
    help = "hosts or inventory.ini: each host becomes a server with its SSH connection, its groups become tags."

    def parse(self, file: SourceFile) -> _Inventory:
        """Read sections of hosts, variables and children."""
        found, name, kind = _Inventory(file), "ungrouped", "hosts"
        for number, raw in enumerate(file.text.splitlines(), 1):
            line = raw.strip()
            if not line or line[0] in "#;":
                continue
            section = _SECTION.fullmatch(line)
            if section:
                name, kind = section[1].strip(), section[2] or "hosts"
                if kind not in ("hosts", "vars", "children"):
                    raise ImportFault(f"{file.name}, line {number}: “{kind}” is no kind of section.")
                found.group(name)
            elif line.startswith("["):
                raise ImportFault(f"{file.name}, line {number}: the section is not closed.")
            elif kind == "children":
                found.group(name).children.append(line.split()[0])
            elif kind == "vars":
                key, mark, value = line.partition("=")
                if not mark:
                    raise ImportFault(f"{file.name}, line {number}: give name=value.")
                found.group(name).variables[key.strip()] = _plain(value.strip())
            else:
                self._host(found, name, line, number)
        return found

    @staticmethod
    def _host(found: _Inventory, group: str, line: str, number: int) -> None:
        try:
            words = shlex.split(line, comments=True)
        except ValueError as error:
            raise ImportFault(f"{found.file.name}, line {number}: a quote is not closed.") from error
        variables: dict[str, Any] = {}
        for word in words[1:]:
            key, mark, value = word.partition("=")
            if not mark:
                raise ImportFault(f"{found.file.name}, line {number}: “{word}” is no name=value.")
            variables[key] = value
        for host in _expanded(words[0], f"{found.file.name}, line {number}"):
            name, port = _split_port(host)
            found.add(name, group, {**({"ansible_port": port} if port else {}), **variables}, number)


@register("ansible_yaml")
class AnsibleYaml(_Ansible):
    """An inventory in the form of YAML, or of JSON as `ansible-inventory --list` gives it."""

    label = "Ansible inventory (YAML or --list)"
    help = "inventory.yml, or what `ansible-inventory --list` prints: as above."

    def parse(self, file: SourceFile) -> _Inventory:
        """Read groups within groups."""
        data = _load(file)
        if not isinstance(data, dict):
            raise ImportFault(f"{file.name}: it should be groups with their hosts.")
        found = _Inventory(file)
        meta = data.pop("_meta", None)
        for name, body in data.items():
            self._group(found, str(name), body, 0)
        if isinstance(meta, dict) and isinstance(meta.get("hostvars"), dict):
            for host, variables in meta["hostvars"].items():
                if str(host) in found.lines and isinstance(variables, dict):
                    found.variables[str(host)].update(variables)
        return found

    def _group(self, found: _Inventory, name: str, body: Any, depth: int) -> None:
        group = found.group(name)
        if body is None:
            return
        where = f"{found.file.name}, group {name}"
        if not isinstance(body, dict) or depth > DEPTH_MOST:
            raise ImportFault(f"{where}: it should hold hosts, children or vars.")
        hosts, children = body.get("hosts") or {}, body.get("children") or {}
        named = dict.fromkeys(hosts) if isinstance(hosts, list) else hosts
        if not isinstance(named, dict):
            raise ImportFault(f"{where}: “hosts” should be names, each with its variables.")
        for pattern, variables in named.items():
            if variables is not None and not isinstance(variables, dict):
                raise ImportFault(f"{where}, host {pattern}: its variables should be named.")
            for host in _expanded(str(pattern), where):
                found.add(host, name, dict(variables or {}), 0)
        if isinstance(body.get("vars"), dict):
            group.variables.update(body["vars"])
        if isinstance(children, list):  # of --list: the groups themselves stand beside it
            group.children += [str(child) for child in children]
        elif isinstance(children, dict):
            for child, inner in children.items():
                group.children.append(str(child))
                self._group(found, str(child), inner, depth + 1)


# --- from an inventory to drafts -----------------------------------------------------------------------------------


def _draft(inventory: _Inventory, host: str) -> Draft:
    groups = inventory.groups_of(host)
    variables: dict[str, Any] = dict(inventory.groups["all"].variables) if "all" in inventory.groups else {}
    for name in groups:
        variables.update(inventory.groups[name].variables)
    variables.update(inventory.variables[host])
    line = inventory.lines[host]
    draft = Draft(f"{inventory.file.name}, line {line}" if line else f"{inventory.file.name}, {host}", SERVER, host)
    draft.values = {
        "hostname": _text(variables, "ansible_host", "ansible_ssh_host") or host,
        "username": _text(variables, "ansible_user", "ansible_ssh_user"),
        "tags": [name for name in groups if name not in ("all", "ungrouped")],
    }
    port = _text(variables, "ansible_port", "ansible_ssh_port")
    if port:
        draft.values["port"] = port_of(port)
        if draft.values["port"] is None:
            draft.problem = f"“{port[:40]}” is no port."
    way = _text(variables, "ansible_connection") or "ssh"
    if way not in ("ssh", "smart", "paramiko", "paramiko_ssh", "ansible.builtin.ssh"):
        draft.problem = f"It is reached by “{way[:40]}”, not over SSH."
    for value in (draft.values["hostname"], draft.values["username"]):
        if "{{" in value:
            draft.problem = f"“{value[:80]}” is worked out when Ansible runs; give the value itself."
    arguments = " ".join(
        _text(variables, name) for name in ("ansible_ssh_common_args", "ansible_ssh_extra_args", "ansible_ssh_args")
    )
    if "ProxyCommand" in arguments:
        draft.problem = "It is reached by a ProxyCommand, which can't be brought along; use ProxyJump."
    jump = _JUMP.search(arguments)
    if jump:
        draft.values["jump"], notes = last_jump(jump[1])
        draft.notes += notes
    if any(name in variables for name in _CREDENTIALS):
        draft.notes.append("Its passwords are not brought along: put them into the vault and choose them.")
    key = _text(variables, "ansible_ssh_private_key_file", "ansible_private_key_file")
    if key:
        draft.notes.append(f"Its key {key[:200]} is not read: choose one of the vault, or paste it later.")
    return draft


def _text(variables: dict[str, Any], *names: str) -> str:
    value = next((variables[name] for name in names if variables.get(name) is not None), "")
    return str(value).strip() if isinstance(value, str | int | float) else ""


def _plain(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text


def _split_port(host: str) -> tuple[str, int | None]:
    name, mark, port = host.rpartition(":")
    if not mark or ":" in name and not host.startswith("["):
        return host, None  # an IPv6 address
    return name.strip("[]"), port_of(port)


def _expanded(pattern: str, where: str) -> list[str]:
    """Return the hosts of a pattern: "web[01:03]" is three."""
    parts: list[list[str]] = []
    at = 0
    for found in _RANGE.finditer(pattern):
        parts += [[pattern[at : found.start()]], list(_range(found, where))]
        at = found.end()
    parts.append([pattern[at:]])
    total = 1
    for part in parts:
        total *= len(part)
    if total > HOSTS_MOST:
        raise ImportFault(f"{where}: “{pattern[:80]}” stands for more than {HOSTS_MOST:,} hosts.")
    return ["".join(words) for words in product(*parts)]


def _range(found: re.Match[str], where: str) -> Iterator[str]:
    first, last, step = found[1], found[2], int(found[3] or 1)
    if not step or (len(first) > 9 or len(last) > 9):
        raise ImportFault(f"{where}: “{found[0]}” is no range.")
    if first.isdigit() and last.isdigit():
        numbers = range(int(first), int(last) + 1, step)
        if len(numbers) > HOSTS_MOST:
            raise ImportFault(f"{where}: “{found[0]}” stands for more than {HOSTS_MOST:,} hosts.")
        yield from (str(number).zfill(len(first) if first.startswith("0") else 0) for number in numbers)
    elif len(first) == len(last) == 1 and first.isalpha() and last.isalpha():
        yield from (chr(number) for number in range(ord(first), ord(last) + 1, step))
    else:
        raise ImportFault(f"{where}: “{found[0]}” is no range of numbers or letters.")


class _Loader(_LOADER):
    """Reads plain values; what Ansible marks as sealed becomes a word that says so."""


_Loader.add_constructor("!vault", lambda loader, node: "(sealed by Ansible)")
_Loader.add_constructor("!unsafe", lambda loader, node: str(node.value))


def _load(file: SourceFile) -> Any:
    try:
        depth = 0
        # Counted before anything is made of it: depth, size, and aliases, by which a small file becomes a huge value.
        for count, event in enumerate(yaml.parse(file.text, Loader=_LOADER)):
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            line = event.start_mark.line + 1 if event.start_mark else 1
            if isinstance(event, yaml.AliasEvent):
                raise ImportFault(f"{file.name}, line {line}: write out what the alias *{event.anchor} stands for.")
            if depth > DEPTH_MOST or count > NODES_MOST:
                raise ImportFault(f"{file.name}, line {line}: it is nested too deeply, or too large.")
        if file.text.lstrip().startswith("{"):
            return parse_json(file.text)
        return yaml.load(file.text, Loader=_Loader)  # noqa: S506 - plain values alone: a CSafeLoader with two words more
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f", line {mark.line + 1}" if mark else ""
        raise ImportFault(f"{file.name}{where}: not YAML, {error.problem or error.context}.") from None
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise ImportFault(f"{file.name}: it can't be read as YAML ({type(error).__name__}).") from None
