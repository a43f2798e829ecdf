"""Host keys that somebody has verified already. Source: sshd(8), SSH_KNOWN_HOSTS FILE FORMAT."""

from collections.abc import Sequence

from apps.core.imports import SourceFile
from apps.fleet.importers.base import HOST_KEY, Draft, ImportFault, register
from apps.fleet.ssh import KeyFault, parse_host_key


@register("known_hosts")
class KnownHosts:
    """~/.ssh/known_hosts."""

    label = "Known hosts of OpenSSH"
    help = "~/.ssh/known_hosts, hashed or not: pins the host keys of SSH connections that are here already."

    def read(self, files: Sequence[SourceFile]) -> list[Draft]:
        """Return a draft for each line."""
        drafts, readable = [], 0
        for file in files:
            for number, line in enumerate(file.text.splitlines(), 1):
                text = line.strip()
                if not text or text.startswith("#"):
                    continue
                draft = _draft(f"{file.name}, line {number}", text)
                readable += not draft.problem or text.startswith("@")
                drafts.append(draft)
        if drafts and not readable:
            raise ImportFault(f"{files[0].name}: no line of it is a host with a key.")
        return drafts


def _draft(place: str, text: str) -> Draft:
    words = text.split()
    if words[0] == "@cert-authority":
        return Draft(place, HOST_KEY, words[1] if len(words) > 1 else "?", problem="Authorities are not trusted here.")
    if words[0] == "@revoked":
        return Draft(place, HOST_KEY, words[1] if len(words) > 1 else "?", problem="A revoked key is never pinned.")
    hosts = words[0]
    name = "a hashed host" if hosts.startswith("|1|") else hosts
    try:
        key = parse_host_key(" ".join(words[1:]))
    except KeyFault as fault:
        return Draft(place, HOST_KEY, name[:200], problem=f"Its key can't be read: {fault}.")
    return Draft(place, HOST_KEY, name[:200], {"hosts": hosts, "host_key": key.text})
