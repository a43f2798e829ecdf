"""What runs embedded on a laptop is what runs on a cluster: the same programs with the same options."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from config.supervisor import installation
from tests.support.processes import ROOT, ScaleLayout


def services() -> dict[str, Any]:
    """Return the services of the compose file, anchors resolved."""
    return dict(yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"])


def options(command: list[str]) -> list[str]:
    """Return a command line from the program's name on, `--a=b` and `--a b` alike, addresses left out."""
    words = [part for word in command for part in word.split("=", 1)]
    words = words[words.index("-m") + 1 :] if "-m" in words else words
    for name in ("--host", "--port", "-n"):
        if name in words:
            del words[words.index(name) : words.index(name) + 2]
    return words


def here(tmp_path: Path) -> installation.Installation:
    """Return an embedded installation."""
    return installation.Installation(
        data_dir=tmp_path, host="127.0.0.1", port=8000, public_url="", database=tmp_path / "db", redis_url=""
    )


def test_web_and_worker_run_alike_embedded_in_compose_and_in_the_scale_tests(tmp_path: Path) -> None:
    layout = ScaleLayout(data_dir=tmp_path, database_url="", redis_url="")
    embedded_web = options(installation.web_command(here(tmp_path)))
    embedded_worker = options(installation.worker_command())
    assert options(services()["web"]["command"]) == embedded_web == options(layout._command("web1"))
    assert options(services()["worker"]["command"]) == embedded_worker == options(layout._command("worker1"))


def test_compose_runs_two_web_two_workers_and_one_beat() -> None:
    parts = services()
    replicas = {name: part.get("deploy", {}).get("replicas", 1) for name, part in parts.items()}
    assert replicas == {"postgres": 1, "redis": 1, "migrate": 1, "web": 2, "worker": 2, "beat": 1, "smtp": 1}


def test_only_one_service_migrates_and_the_others_wait_for_it() -> None:
    parts = services()
    assert parts["migrate"]["command"] == ["python", "manage.py", "prepare"]
    waiting = {name for name, part in parts.items() if "migrate" in part.get("depends_on", {})}
    assert waiting == {"web", "worker", "beat", "smtp"}


def test_mail_listener_runs_alike_and_only_where_it_is_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    service = services()["smtp"]
    assert service["profiles"] == ["mail"]
    assert service["command"][1:] == [Path(word).name for word in installation.smtp_command()[1:]]
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    monkeypatch.delenv("SMTP_PORT", raising=False)
    assert installation.read().smtp is None
    monkeypatch.setenv("SMTP_PORT", "2525")
    assert installation.read().smtp == ("127.0.0.1", 2525)


def test_image_runs_as_a_user_without_rights() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    assert [line for line in lines if line.startswith("USER ")] == ["USER watchkeeper"]
