"""Environment, migrations, tasks, schema: what must stay true of the project as a whole."""

import io
import re
from pathlib import Path

import pytest
from django.core.management import call_command
from django.urls import get_resolver

from apps.accounts.permissions import CODES
from apps.core.api.permissions import PUBLIC
from config.celery import app as celery_app
from tests.contract.routes import routes

ROOT = Path(__file__).resolve().parents[2]
_READ = re.compile(r"""env\.(?:text|flag|integer|words|networks|addresses|choice)\(\s*["']([A-Z][A-Z0-9_]+)["']""")
_KEY = re.compile(r"""_key\(\s*["']([A-Z][A-Z0-9_]+)["']""")
#: Of the test run and of the supervisor towards its own children; nothing an operator sets.
INTERNAL = {"WATCHKEEPER_TESTING", "WATCHKEEPER_EMBED_BEAT", "WATCHKEEPER_LIFELINE_FD", "WATCHKEEPER_SUPERVISED"}


def variables_read(source: str) -> set[str]:
    """Return the names of the environment variables that a module reads."""
    return set(_READ.findall(source)) | set(_KEY.findall(source))


def variables_documented(text: str) -> set[str]:
    """Return the names that an .env.example offers, commented out or not."""
    return set(re.findall(r"^#?\s?([A-Z][A-Z0-9_]+)=", text, re.MULTILINE))


def test_every_environment_variable_is_documented() -> None:
    read = set().union(*(variables_read(path.read_text()) for path in (ROOT / "config").rglob("*.py")))
    documented = variables_documented((ROOT / ".env.example").read_text())
    assert read - INTERNAL - documented == set()
    assert documented - read - INTERNAL == set(), "documented but read nowhere"


def test_rule_about_variables_bites() -> None:
    assert variables_read('env.text("NEW_ONE")') == {"NEW_ONE"}
    assert variables_documented("# NEW_ONE=1\nOTHER=2") == {"NEW_ONE", "OTHER"}


@pytest.mark.django_db
def test_no_migration_is_missing() -> None:
    call_command("makemigrations", "--check", "--dry-run", verbosity=0)


def test_every_task_goes_to_a_queue_that_workers_consume() -> None:
    ours = {name: task for name, task in celery_app.tasks.items() if not name.startswith("celery.")}
    assert ours
    assert {getattr(task, "queue", None) or celery_app.conf.task_default_queue for task in ours.values()} <= {
        "pulse",
        "work",
    }


def test_every_schedule_names_a_task() -> None:
    assert {entry["task"] for entry in celery_app.conf.beat_schedule.values()} <= set(celery_app.tasks)


def test_every_action_of_every_view_names_a_known_permission() -> None:
    unknown: list[str] = []
    for (method, path), callback in routes().items():
        view = getattr(callback, "cls", None)
        if view is None or not hasattr(view, "codes"):
            continue
        actions = getattr(callback, "actions", None)
        name = actions[method.lower()] if actions else method.lower()
        code = view.codes.get(name)
        if code != PUBLIC and code not in CODES:
            unknown.append(f"{method} {path}: {code}")
    assert not unknown, unknown


def test_openapi_schema_generates_without_a_warning_and_validates() -> None:
    get_resolver()
    out = io.StringIO()
    call_command("spectacular", "--validate", "--fail-on-warn", "--file", "/dev/null", stdout=out, stderr=out)
    assert "warning" not in out.getvalue().lower()


FORBIDDEN = re.compile(r"/work/|/tmp/w/|registry\.npmjs|pypi\.org/simple|files\.pythonhosted", re.IGNORECASE)


def test_no_path_of_a_machine_and_no_registry_stands_in_the_project() -> None:
    here = Path(__file__).resolve()
    files = [
        path
        for folder in ("apps", "config", "templates", "docs", "tests", ".ci")
        for path in (ROOT / folder).rglob("*")
        if path.is_file()
        and path.suffix in {".py", ".html", ".md", ".js", ".sh", ""}
        and path.resolve() != here
        and "__pycache__" not in path.parts
    ]
    found = [str(path.relative_to(ROOT)) for path in files if FORBIDDEN.search(path.read_text(errors="ignore"))]
    assert not found, found
