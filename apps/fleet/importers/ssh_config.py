"""OpenSSH's client configuration. Source: ssh_config(5)."""

import fnmatch
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from apps.core.imports import SourceFile
from apps.fleet.importers.base import CONNECTION, Draft, ImportFault, last_jump, port_of, register

_PATTERN = frozenset("*?!")
#: Keywords that change where one arrives or who lets one in, and that are not brought along.
_NOTED = {
    "certificatefile": "CertificateFile is not brought along.",
    "pkcs11provider": "Keys on a token (PKCS11Provider) are not brought along.",
    "hostkeyalias": "HostKeyAlias is not brought along: the first test pins the key.",
    "remotecommand": "RemoteCommand is not brought along.",
}


@dataclass(slots=True)
class _Block:
    line: int
    patterns: list[str]
    options: list[tuple[str, str]] = field(default_factory=list)

    def applies(self, host: str) -> bool:
        """Return whether the block is about a host: a pattern fits, and none that begins with ! does."""
        name = host.lower()
        fits = [one for one in self.patterns if fnmatch.fnmatchcase(name, one.removeprefix("!").lower())]
        return bool(fits) and not any(one.startswith("!") for one in fits)


@register("ssh_config")
class SshConfig:
    """~/.ssh/config."""

    label = "OpenSSH configuration"
    help = "~/.ssh/config: each Host without wildcards becomes an SSH connection; Host * gives defaults."

    def read(self, files: Sequence[SourceFile]) -> list[Draft]:
        """Return a draft for each host that is named without a wildcard."""
        drafts: list[Draft] = []
        for file in files:
            blocks, others = _parse(file)
            drafts += others
            seen: set[str] = set()
            for block in blocks:
                for alias in block.patterns:
                    if not _PATTERN & set(alias) and alias not in seen:
                        seen.add(alias)
                        drafts.append(_draft(file, block, alias, blocks))
        return drafts


def _parse(file: SourceFile) -> tuple[list[_Block], list[Draft]]:
    blocks, others = [_Block(0, ["*"])], []
    skipping = False
    for number, words in _lines(file):
        keyword, values = words[0].lower(), words[1:]
        if keyword == "host":
            blocks.append(_Block(number, values))
            skipping = False
        elif keyword == "match":
            skipping = [one.lower() for one in values] != ["all"]
            if skipping:
                text = "What a Match block says depends on the moment of a connection; it is not brought along."
                others.append(Draft(_place(file, number), CONNECTION, "Match " + " ".join(values), problem=text))
            else:
                blocks.append(_Block(number, ["*"]))
        elif skipping:
            continue
        elif keyword == "include":
            text = "Give the included files themselves."
            others.append(Draft(_place(file, number), CONNECTION, "Include " + " ".join(values), problem=text))
        else:
            blocks[-1].options.append((keyword, " ".join(values)))
    return blocks, others


def _lines(file: SourceFile) -> Iterator[tuple[int, list[str]]]:
    for number, line in enumerate(file.text.splitlines(), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        keyword, mark, rest = text.partition("=")
        if mark and len(keyword.split()) == 1:
            text = f"{keyword.strip()} {rest.strip()}"
        try:
            words = shlex.split(text, comments=False)
        except ValueError as error:
            raise ImportFault(f"{file.name}, line {number}: a quote is not closed.") from error
        if len(words) < 2:
            raise ImportFault(f"{file.name}, line {number}: “{words[0] if words else text}” stands without a value.")
        yield number, words


def _place(file: SourceFile, number: int) -> str:
    return f"{file.name}, line {number}"


def _draft(file: SourceFile, block: _Block, alias: str, blocks: list[_Block]) -> Draft:
    # The first value that is found counts.
    options: dict[str, str] = {}
    for one in blocks:
        if one.applies(alias):
            for keyword, value in one.options:
                options.setdefault(keyword, value)
    host = options.get("hostname", alias).replace("%h", alias).replace("%%", "%")
    draft = Draft(_place(file, block.line), CONNECTION, alias)
    values: dict[str, Any] = {"hostname": host, "username": options.get("user", "")}
    if "port" in options:
        port = port_of(options["port"])
        if port is None:
            draft.problem = f"“{options['port']}” is no port."
        values["port"] = port
    if "proxycommand" in options and options["proxycommand"].lower() != "none":
        draft.problem = "It is reached by a ProxyCommand, which can't be brought along; use ProxyJump."
    elif options.get("proxyjump", "none").lower() != "none":
        values["jump"], notes = last_jump(options["proxyjump"])
        draft.notes += notes
    for keyword, name, most in (
        ("connecttimeout", "connect_timeout_s", 120),
        ("serveraliveinterval", "keepalive_s", 3600),
    ):
        if options.get(keyword, "").isdigit():
            values[name] = max(1 if name == "connect_timeout_s" else 0, min(most, int(options[keyword])))
    if "identityfile" in options:
        draft.notes.append(
            f"Its key {options['identityfile']} is not read: choose one of the vault, or paste it later."
        )
    draft.notes += [text for keyword, text in _NOTED.items() if keyword in options]
    draft.values = values
    return draft
