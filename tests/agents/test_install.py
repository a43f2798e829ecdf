"""What a host downloads, and the script as a host runs it."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from apps.agents.installing import install_line, script
from apps.agents.models import EnrolmentRequest, EnrolmentToken
from tests.factories.agents import make_token

SCRIPT = "/agent/install.sh"
PROGRAM = "/agent/watchkeeper-agent.py"
HOSTILE = 'it\'s "$(touch pwned)" `id`'


@pytest.mark.django_db
def test_program_and_script_come_with_their_digest_and_are_not_sent_twice() -> None:
    client = Client()
    for path, kind in ((SCRIPT, "text/x-shellscript"), (PROGRAM, "text/x-python")):
        answer = client.get(path)
        assert answer.status_code == 200 and answer["Content-Type"].startswith(kind)
        assert answer["X-SHA256"] == sha256(answer.content).hexdigest() and "public" in answer["Cache-Control"]
        again = client.get(path, headers={"If-None-Match": f'W/"x", {answer["ETag"]}'})
        assert (again.status_code, again.content) == (304, b"")
    program, text = client.get(PROGRAM), client.get(SCRIPT).content.decode()
    assert program["X-SHA256"] in text and "@URL@" not in text and "@SHA256@" not in text


def test_every_shell_takes_the_script_and_hostile_addresses_stay_words(tmp_path: Path) -> None:
    file = tmp_path / "install.sh"
    file.write_bytes(script(f"https://x.example/{HOSTILE}").body)
    assert subprocess.run(["sh", "-n", file], check=False, capture_output=True).returncode == 0
    ran = subprocess.run(["sh", file, "--help"], check=True, capture_output=True, text=True, cwd=tmp_path)
    assert "--token-stdin" in ran.stdout and list(tmp_path.iterdir()) == [file]


def test_install_line_quotes_what_it_holds() -> None:
    line = install_line("wke_abc", HOSTILE)
    words = subprocess.run(
        ["sh", "-c", 'curl() { :; }; sudo() { printf "%s|" "$@"; cat; }; ' + line],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    assert words == f"sh|watchkeeper-install.sh|--token-stdin|--name|{HOSTILE}|wke_abc\n"
    assert "wke_" not in install_line()


@pytest.fixture
def platform() -> Iterator[Any]:
    """The platform's own answers over a real socket, given by the test's thread: its data is not committed."""
    client = Client()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self, method: str) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            answer = client.generic(method, self.path, body, content_type="application/json")
            self.send_response(answer.status_code)
            self.send_header("Content-Length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

        def do_GET(self) -> None:
            self._answer("GET")

        def do_POST(self) -> None:
            self._answer("POST")

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    server.timeout = 0.05
    yield server
    server.server_close()


def _run(server: HTTPServer, folder: Path, *arguments: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
    """Run the script as a host does, while this thread answers."""
    file = folder / "install.sh"
    file.write_bytes(script(f"http://127.0.0.1:{server.server_port}").body)
    env = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(folder)}
    found: list[subprocess.CompletedProcess[str]] = []

    def work() -> None:
        found.append(
            subprocess.run(
                ["sh", str(file), *arguments], input=stdin, env=env, capture_output=True, text=True, timeout=60,
                check=False, cwd=folder,
            )
        )  # fmt: skip

    thread = threading.Thread(target=work)
    thread.start()
    while thread.is_alive():
        server.handle_request()
    thread.join()
    return found[0]


@pytest.mark.django_db
def test_script_installs_enrols_renews_and_removes(platform: HTTPServer, tmp_path: Path) -> None:
    place, token = tmp_path / "a place", make_token()
    here = ["--dir", str(place)]
    ran = _run(platform, tmp_path, *here, "--token-stdin", "--name", HOSTILE, stdin=token)
    assert ran.returncode == 0, ran.stderr
    request = EnrolmentRequest.objects.get()
    assert request.name == HOSTILE and not (tmp_path / "pwned").exists()
    state = place / "state"
    assert (state / "key.pem").stat().st_mode & 0o777 == 0o600 and state.stat().st_mode & 0o777 == 0o700
    program = place / "watchkeeper-agent.py"
    assert {one.name for one in place.glob("*.py*")} | {one.name for one in place.glob(".*")} == {program.name}
    assert sha256(program.read_bytes()).hexdigest() in (tmp_path / "install.sh").read_text()
    line = ran.stdout.strip().splitlines()[-1]
    status = subprocess.run(["sh", "-c", f"{line[: -len(' run')]} status"], capture_output=True, text=True, check=False)
    assert '"is_enrolled": false' in status.stdout, status.stderr  # the line that it prints is one that runs
    assert _run(platform, tmp_path, *here).returncode == 0  # without a token it renews the program
    assert EnrolmentToken.objects.get().used == 1
    (place / ".watchkeeper-agent.py.1").touch()  # what an interrupted installation left
    assert _run(platform, tmp_path, *here, "--uninstall").returncode == 0 and not place.exists()


@pytest.mark.django_db
def test_script_says_in_a_sentence_what_is_wrong_and_changes_nothing(platform: HTTPServer, tmp_path: Path) -> None:
    here = ["--dir", str(tmp_path / "a")]
    for arguments, stdin, sentence in (
        ([*here, "--token-stdin"], "", "no token on standard input"),
        (here, "", "an enrolment token is missing"),
        ([*here, "--nonsense"], "", "--nonsense is not known"),
        ([*here, "--url"], "", "--url wants a value"),
        ([*here, "--url", "ftp://x"], "", "give the address of Watchkeeper"),
        (["--dir", "relative"], "", "a path that begins with /"),
        ([*here, "--run-as", "x; reboot"], "", "the name of a user"),
    ):
        ran = _run(platform, tmp_path, *arguments, stdin=stdin)
        assert ran.returncode == 1 and sentence in ran.stderr, (arguments, ran.stderr)
        assert not (tmp_path / "a").exists()
    refused = _run(platform, tmp_path, *here, "--token-stdin", stdin="wke_unknown")
    assert refused.returncode == 1 and "not known" in refused.stderr


def test_script_refuses_a_program_that_is_not_the_one_it_is_for(tmp_path: Path) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"import os; os.system('touch pwned')")

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    server.timeout = 0.05
    ran = _run(server, tmp_path, "--dir", str(tmp_path / "a"), "--token-stdin", stdin="wke_x")
    server.server_close()
    assert ran.returncode == 1 and "SHA-256 differs" in ran.stderr
    assert not (tmp_path / "a").exists() and not (tmp_path / "pwned").exists()
