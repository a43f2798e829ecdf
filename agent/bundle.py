"""Puts the host agent together into the one file that machines download."""

import ast
import re
from functools import lru_cache
from hashlib import sha256
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
#: In an order in which each needs only those before it. Those of apps are the platform's own.
PARTS = (
    "apps/fleet/masking.py",
    "apps/fleet/sampler/processes.py",
    "apps/fleet/sampler/host.py",
    "apps/fleet/marks.py",
    "apps/fleet/own_container.py",
    "agent/clock.py",
    "agent/store.py",
    "agent/identity.py",
    "agent/tail.py",
    "agent/journal.py",
    "agent/signals.py",
    "agent/engine.py",
    "agent/running.py",
    "agent/link.py",
    "agent/main.py",
)
PROTOCOL = 1
_OURS = re.compile(r"^from (?:agent|apps)\.[\w.]+ import (?:\([^)]*\)|[^\n(]*)\n", re.MULTILINE)
#: What Python 3.9 says differently.
_OLDER = (
    ("from datetime import UTC, datetime\n", "from datetime import datetime, timezone\n\nUTC = timezone.utc\n"),
    (", strict=True)", ")"),
)
_HEAD = '''#!/usr/bin/env python3
"""The host agent of Watchkeeper, in one file. Commands: enroll, run, status; each explains itself with --help.

It needs Python 3.9 or later and psutil, websockets and cryptography. It makes its own key, which never leaves this
machine, asks to be let in, and then keeps one connection open, from here to the platform: no port is opened here.
"""

from __future__ import annotations

VERSION = "{version}"
'''
_TAIL = """

if __name__ == "__main__":
    sys.exit(run_program(version=VERSION))
"""


@lru_cache(1)
def text() -> str:
    """Return the program. Its version is a digest of its own text, so that it changes whenever a line does.

    Raises:
        ValueError: two parts use one name at their top for different things.
    """
    parts = []
    imports: set[str] = set()
    seen: dict[str, tuple[str, str]] = {}
    for path in PARTS:
        source = (ROOT / path).read_text()
        _check_names(path, source, seen)
        body = _OURS.sub("", source)
        for newer, older in _OLDER:
            body = body.replace(newer, older)
        body = _without_imports(body, imports)
        body = re.sub(r'^"""(.*?)"""\n', _as_comment, body, count=1, flags=re.DOTALL)
        parts.append(f"\n# {'=' * 100}\n{body.strip()}\n")
    plain = sorted(one for one in imports if one.startswith("import "))
    parts.insert(0, "\n".join([*plain, *sorted(imports.difference(plain))]) + "\n")
    whole = "\n".join(parts) + _TAIL
    return _HEAD.format(version=sha256(whole.encode()).hexdigest()[:12]) + whole


def _as_comment(found: "re.Match[str]") -> str:
    return "".join(f"# {line}".rstrip() + "\n" for line in found[1].strip().splitlines())


def _without_imports(source: str, found: set[str]) -> str:
    lines = source.splitlines(keepends=True)
    for node in ast.parse(source).body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            found.add(ast.unparse(node))
            for number in range(node.lineno - 1, node.end_lineno or node.lineno):
                lines[number] = ""
    return "".join(lines)


def _check_names(path: str, source: str, seen: dict[str, tuple[str, str]]) -> None:
    for node in ast.parse(source).body:
        names = []
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names = [node.name]
        elif isinstance(node, ast.Assign):
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names = [node.target.id]
        for name in names:
            said = ast.unparse(node)
            where, before = seen.setdefault(name, (path, said))
            if before != said:
                raise ValueError(f"{path} and {where} both define {name}")
