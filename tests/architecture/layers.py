"""Who may import whom."""

import ast
from pathlib import Path

LAYERS = {
    "core": 0,
    "accounts": 1,
    "secrets": 2,
    "fleet": 3,
    "notifications": 3,
    "agents": 4,
    "monitors": 4,
    "containers": 5,
    "tasks": 5,
    "alerts": 6,
    "workflows": 6,
    "collaboration": 6,
    "incidents": 7,
    "statuspage": 8,
    "insights": 8,
    "realtime": 9,
}
ROOT = Path(__file__).resolve().parents[2]


def imported_apps(source: str) -> list[tuple[int, str, bool]]:
    """Return (line, app, is_inside_a_function) for every import of one of our apps."""
    found: list[tuple[int, str, bool]] = []

    def visit(node: ast.AST, inside: bool) -> None:
        for child in ast.iter_child_nodes(node):
            names: list[str] = []
            if isinstance(child, ast.ImportFrom) and child.module:
                names = [child.module] if child.module != "apps" else [f"apps.{alias.name}" for alias in child.names]
            elif isinstance(child, ast.Import):
                names = [alias.name for alias in child.names]
            for name in names:
                parts = name.split(".")
                if parts[0] == "apps" and len(parts) > 1:
                    found.append((child.lineno, parts[1], inside))
            visit(child, inside or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef))

    visit(ast.parse(source), False)
    return found


def violations(app: str, source: str, *, is_loader: bool = False) -> list[str]:
    """Return what `source`, a module of `app`, imports against the rules.

    Args:
        is_loader: the app's `apps.py`, whose `ready()` loads its own modules.
    """
    found = []
    for line, target, inside in imported_apps(source):
        if target not in LAYERS:
            found.append(f"line {line}: {target} is no app of the list")
        elif target != app and LAYERS[target] >= LAYERS[app]:
            found.append(f"line {line}: {app} (layer {LAYERS[app]}) imports {target} (layer {LAYERS[target]})")
        elif inside and not is_loader:
            found.append(f"line {line}: imports {target} inside a function")
    return found


def modules() -> list[tuple[str, Path]]:
    """Return (app, path) of every module of the apps, migrations aside."""
    return [
        (path.relative_to(ROOT / "apps").parts[0], path)
        for path in sorted((ROOT / "apps").rglob("*.py"))
        if "migrations" not in path.parts and len(path.relative_to(ROOT / "apps").parts) > 1
    ]
