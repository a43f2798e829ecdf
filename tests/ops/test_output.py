"""What of the children's output reaches the terminal and the log files."""

import json
from pathlib import Path

import pytest

from config.supervisor.output import LONGEST_LINE, QUIET_S, RotatingLog, Stream, loud_part


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("started", None),
        ("[2026-01-01 10:00:00: WARNING/MainProcess] slow", "[2026-01-01 10:00:00: WARNING/MainProcess] slow"),
        (json.dumps({"level": "INFO", "message": "an ERROR was mended"}), None),
        (json.dumps({"level": "ERROR", "message": "disk full"}), "error: disk full"),
        ("{not json, WARNING", "{not json, WARNING"),
    ],
)
def test_loud_part_keeps_warnings_only(line: str, shown: str | None) -> None:
    assert loud_part(line) == shown


def test_stream_shows_of_a_trace_the_error_and_keeps_all_of_it(tmp_path: Path) -> None:
    shown: list[str] = []
    stream = Stream(name="web", log=RotatingLog(tmp_path / "web.log"), terminal=shown.append)
    stream.feed(b"fine\nTraceback (most recent call last):\n  File x\n    y()\nValueEr")
    stream.feed(b"ror: no\nfine again\n")
    assert shown == ["web    | ValueError: no"]
    assert len((tmp_path / "web.log").read_text().splitlines()) == 6


def test_stream_with_a_message_that_repeats_shows_it_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("config.supervisor.output.time.monotonic", lambda: now)
    shown: list[str] = []
    stream = Stream(name="web", log=RotatingLog(tmp_path / "web.log"), terminal=shown.append)
    stream.feed(b"ERROR: away\n" * 5 + b"ERROR: other\n")
    now += QUIET_S
    stream.feed(b"ERROR: away\n" * 2)
    assert shown == [
        "web    | ERROR: away",
        "web    | ERROR: other",
        "web    | ERROR: away (4 more times since then)",
    ]
    assert (tmp_path / "web.log").read_text().count("away") == 7


def test_stream_without_a_log_writes_nothing_down() -> None:
    stream = Stream(name="prepare", log=None, terminal=None)
    stream.feed(b"secret\n")
    assert list(stream.last) == ["secret"]


def test_stream_with_an_endless_line_cuts_it(tmp_path: Path) -> None:
    stream = Stream(name="web", log=RotatingLog(tmp_path / "web.log"), terminal=None)
    stream.feed(b"x" * (LONGEST_LINE + 1))
    stream.feed(b"y\n")
    assert [len(line) for line in stream.last] == [LONGEST_LINE + 1, 1]


def test_log_beyond_its_size_is_rotated_and_the_oldest_dropped(tmp_path: Path) -> None:
    log = RotatingLog(tmp_path / "web.log", largest=10)
    for letter in b"abcde":
        log.write(bytes([letter]) * 8 + b"\n")
    log.close()
    kept = {file.name: file.read_text()[0] for file in tmp_path.iterdir()}
    assert kept == {"web.log": "e", "web.log.1": "d", "web.log.2": "c", "web.log.3": "b"}
    assert (tmp_path / "web.log").stat().st_mode & 0o777 == 0o600
