"""Tells in which container this process runs. The host agent has it too, so it needs nothing."""

import re
from pathlib import Path

#: What an engine mounts into a container from a folder of that container's name. Others' mounts are seen on a host.
_GIVEN = frozenset({"/etc/hostname", "/etc/hosts", "/etc/resolv.conf"})
_ID = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
_SHORT_ID = re.compile(r"[0-9a-f]{12}")
_SIGNS = (".dockerenv", "run/.containerenv")


def own_containers(root: Path = Path("/")) -> frozenset[str]:
    """Return ids of the container in which this process runs, whole ones or their first twelve characters.

    Args:
        root: of the file system that is asked.

    Returns:
        As many as are found, none outside of containers.
    """
    found: set[str] = set()
    for line in _content_of(root / "proc/self/mountinfo").splitlines():
        fields = line.split()
        if len(fields) > 4 and fields[4] in _GIVEN:
            found.update(_ID.findall(fields[3]))
    found.update(_ID.findall(_content_of(root / "proc/self/cgroup")))
    name = _content_of(root / "proc/sys/kernel/hostname").strip()
    if _SHORT_ID.fullmatch(name) and any((root / sign).exists() for sign in _SIGNS):
        found.add(name)
    return frozenset(found)


def _content_of(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
