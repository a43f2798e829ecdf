"""SSH against real servers: keys, signing in, jump hosts, running, ending, keeping connections."""

import os
import shutil
import signal
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import paramiko
import pytest

from apps.fleet.commands import Command, Outcome, Output
from apps.fleet.ssh import (
    Hop,
    KeyFault,
    Pool,
    Reason,
    Session,
    SshFault,
    connect,
    load_private_key,
    parse_host_key,
    run,
)
from apps.fleet.ssh.running import _Prompt, with_environment
from tests.support.sshd import SUDO_PASSWORD, USER, Sshd, make_key, password_server, ssh_agent, sshd


@pytest.fixture(scope="module")
def keys(tmp_path_factory: Any) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("keys")
    return {
        "ed25519": make_key(folder, "ed25519"),
        "rsa": make_key(folder, "rsa", "rsa"),
        "locked": make_key(folder, "locked", passphrase="open sesame"),
        "stranger": make_key(folder, "stranger"),
    }


@pytest.fixture(scope="module")
def server(tmp_path_factory: Any, keys: dict[str, Path]) -> Iterator[Sshd]:
    accepted = [keys["ed25519"], keys["rsa"], keys["locked"]]
    with sshd(tmp_path_factory.mktemp("sshd"), accepts=accepted) as running:
        yield running


@pytest.fixture(scope="module")
def session(server: Sshd, keys: dict[str, Path]) -> Iterator[Session]:
    opened = connect([hop(server, keys["ed25519"])])
    yield opened
    opened.close()


def hop(server: Sshd, key: Path | None = None, **values: Any) -> Hop:
    """Return the way to a server."""
    given = {
        "id": "1", "name": "target", "hostname": "127.0.0.1", "port": server.port, "username": USER,
        "auth_method": "key", "pinned": server.host_key, "private_key": key.read_text() if key else "", **values,
    }  # fmt: skip
    return Hop(**given)


def did(
    session: Session, text: str, *, timeout_s: float = 20, cancelled: Any = None, **more: Any
) -> tuple[Outcome, str]:
    """Run a command; return how it ended and what it wrote."""
    output = Output()
    outcome = run(
        session.transport,
        Command(text, timeout_s, **more),
        on_output=output.feed,
        cancelled=cancelled or (lambda: False),
    )
    output.finish()
    return outcome, output.text


# --- signing in ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "passphrase"), [("ed25519", ""), ("rsa", ""), ("locked", "open sesame")])
def test_key_signs_in(server: Sshd, keys: dict[str, Path], kind: str, passphrase: str) -> None:
    opened = connect([hop(server, keys[kind], passphrase=passphrase)])
    try:
        assert opened.is_alive() and opened.server_version.startswith("OpenSSH")
        assert [phase.phase for phase in opened.phases] == ["connect", "handshake", "host key", "sign in"]
    finally:
        opened.close()


def test_agent_signs_in(server: Sshd, keys: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ssh_agent(tmp_path, keys["stranger"], keys["ed25519"]) as path:
        monkeypatch.setenv("SSH_AUTH_SOCK", path)
        opened = connect([hop(server, auth_method="agent")])
        assert did(opened, "echo through the agent")[1] == "through the agent\n"
        opened.close()


def test_missing_agent_is_told_before_anything_is_sent(server: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    with pytest.raises(SshFault, match="SSH_AUTH_SOCK") as caught:
        connect([hop(server, auth_method="agent")])
    assert caught.value.reason == Reason.REFUSED_HERE


def test_stranger_key_is_a_refused_sign_in(server: Sshd, keys: dict[str, Path]) -> None:
    with pytest.raises(SshFault, match="refused the private key") as caught:
        connect([hop(server, keys["stranger"])])
    assert (caught.value.reason, caught.value.phase) == (Reason.SIGN_IN, "sign in")


def test_password_signs_in_and_wrong_one_does_not() -> None:
    with password_server("right", paramiko.ECDSAKey.generate()) as other:
        way = Hop("1", "target", "127.0.0.1", other.port, "ops", "password", other.host_key, password="right")
        opened = connect([way])
        assert did(opened, "exactly  $this; 'as' typed\n")[1] == "ran exactly  $this; 'as' typed\n"
        opened.close()
        with pytest.raises(SshFault, match="refused the password of ops"):
            connect([replace(way, password="wrong")])


def test_server_that_takes_no_password_says_what_it_takes(server: Sshd) -> None:
    with pytest.raises(SshFault, match="publickey"):
        connect([hop(server, auth_method="password", password="x")])


# --- host keys -----------------------------------------------------------------------------------------------------


def test_changed_host_key_is_refused_before_any_credential() -> None:
    old, new = paramiko.ECDSAKey.generate(), paramiko.ECDSAKey.generate()
    with password_server("right", new) as other:
        pinned = f"{old.get_name()} {old.get_base64()}"
        with pytest.raises(SshFault) as caught:
            connect([Hop("1", "target", "127.0.0.1", other.port, "ops", "password", pinned, password="right")])
        assert caught.value.reason == Reason.HOST_KEY_CHANGED
        assert caught.value.offered == other.host_key
        assert parse_host_key(pinned).fingerprint in caught.value.detail
        assert parse_host_key(other.host_key).fingerprint in caught.value.detail
        time.sleep(0.2)
        assert other.attempts == []


def test_key_of_another_kind_than_the_pinned_one_counts_as_changed(keys: dict[str, Path], tmp_path: Path) -> None:
    with sshd(tmp_path / "a", accepts=[keys["ed25519"]], host_key=make_key(tmp_path, "host", "rsa")) as other:
        ed25519 = " ".join(Path(f"{keys['stranger']}.pub").read_text().split()[:2])
        with pytest.raises(SshFault) as caught:
            connect([hop(other, keys["ed25519"], pinned=ed25519)])
        assert caught.value.reason == Reason.HOST_KEY_CHANGED
        connect([hop(other, keys["ed25519"])]).close()  # an RSA key is recognised by any of its signatures


def test_unknown_host_key_is_taken_only_when_asked_to(server: Sshd, keys: dict[str, Path]) -> None:
    way = hop(server, keys["ed25519"], pinned="")
    with pytest.raises(SshFault) as caught:
        connect([way])
    assert caught.value.reason == Reason.HOST_KEY_PENDING and caught.value.offered == server.host_key
    opened = connect([way], pin_target=True)
    assert opened.offered[0].text == server.host_key
    opened.close()


# --- the way there -------------------------------------------------------------------------------------------------


def test_jump_host_leads_to_the_target(server: Sshd, keys: dict[str, Path], tmp_path: Path) -> None:
    with sshd(tmp_path / "jump", accepts=[keys["rsa"]]) as jump:
        first = hop(jump, keys["rsa"], id="2", name="jump")
        opened = connect([first, hop(server, keys["ed25519"])])
        assert did(opened, "echo behind")[1] == "behind\n"
        assert [phase.hop for phase in opened.phases] == ["jump"] * 4 + ["target"] * 4
        opened.close()
        with pytest.raises(SshFault, match="not pinned yet") as caught:
            connect([replace(first, pinned=""), hop(server, keys["ed25519"])], pin_target=True)
        assert caught.value.hop_id == "2"
        with pytest.raises(SshFault, match="could not connect there"):
            connect([first, replace(hop(server, keys["ed25519"]), port=1)])


def test_faults_on_the_way_name_their_phase(server: Sshd, keys: dict[str, Path]) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        with pytest.raises(SshFault) as caught:
            connect([replace(hop(server, keys["ed25519"]), port=closed.getsockname()[1])])
    assert (caught.value.reason, caught.value.phase) == (Reason.UNREACHABLE, "connect")
    with socket.create_server(("127.0.0.1", 0)) as other:
        threading.Thread(target=lambda: other.accept()[0].sendall(b"220 mail\r\n" * 200), daemon=True).start()
        with pytest.raises(SshFault) as caught:
            connect([replace(hop(server, keys["ed25519"]), port=other.getsockname()[1])])
    assert (caught.value.reason, caught.value.phase) == (Reason.HANDSHAKE, "handshake")
    with pytest.raises(SshFault, match="OUTBOUND_ALLOW") as caught:
        connect([replace(hop(server, keys["ed25519"]), hostname="169.254.169.254")])
    assert caught.value.reason == Reason.REFUSED_HERE


# --- running -------------------------------------------------------------------------------------------------------


def test_exit_code_and_both_streams_come_back(session: Session) -> None:
    outcome, text = did(session, "echo out; echo err >&2; exit 7")
    assert (outcome.ended, outcome.exit_code, outcome.signal) == ("exited", 7, "")
    assert sorted(text.split()) == ["err", "out"]


def test_end_by_signal_is_named(session: Session) -> None:
    outcome, _ = did(session, "kill -TERM $$")
    assert (outcome.exit_code, outcome.signal) == (None, "TERM")


def test_command_reaches_the_shell_as_typed(session: Session) -> None:
    nasty = "printf '%s|' \"a  b\" 'c;d' \"$(echo e)\" `echo f` ünïcode # comment\necho second line"
    assert did(session, nasty)[1] == "a  b|c;d|e|f|ünïcode|second line\n"


def test_stdin_larger_than_any_window_goes_through(session: Session) -> None:
    data = b"0123456789abcdef" * 400_000
    assert did(session, "wc -c; echo done", stdin=data)[1].split() == [str(len(data)), "done"]
    outcome, _ = did(session, "exit 3", stdin=data)  # whoever doesn't read it is no fault
    assert outcome.exit_code == 3


def test_environment_reaches_the_command_and_no_list_of_processes(session: Session) -> None:
    hostile = 'it\'s $HOME `id` "x"\nsecond line; exit 1 \\ '
    env = {"CANARY": hostile, "EMPTY": ""}
    shown = did(session, 'printf "%s" "$CANARY$EMPTY"', env=env)[1]
    assert shown == hostile
    assert did(session, "cat", env=env, stdin=b"given after the variables")[1] == "given after the variables"
    line, _ = with_environment("true", {"CANARY": "value"})
    assert "value" not in line and "CANARY" not in line


def test_output_beyond_the_limit_is_counted_and_not_kept(session: Session) -> None:
    output = Output(keep_bytes=1000)
    run(
        session.transport, Command("head -c 5000000 /dev/zero | tr '\\0' x; echo end", 30), on_output=output.feed,
        cancelled=lambda: False,
    )  # fmt: skip
    assert (output.text, output.total, output.is_cut, output.is_binary) == ("x" * 1000, 5_000_004, True, False)


def test_binary_output_is_harmless_text(session: Session) -> None:
    output = Output()
    run(
        session.transport, Command(r"printf '\000\377\303'; printf '\274'", 20), on_output=output.feed,
        cancelled=lambda: False,
    )  # fmt: skip
    assert output.text == "��ü" and output.is_binary


def test_time_out_ends_the_command_over_there(session: Session) -> None:
    outcome, text = did(session, "echo $$; sleep 300 & sleep 300; echo never", timeout_s=0.5)
    assert (outcome.ended, outcome.exit_code, outcome.error) == ("timed_out", None, "")
    _until(lambda: not Path(f"/proc/{int(text)}").exists())
    assert session.is_alive()


def test_command_that_minds_no_request_to_end_is_killed(session: Session) -> None:
    outcome, text = did(session, "trap '' TERM; echo $$; while :; do sleep 1; done", timeout_s=0.3)
    assert outcome.ended == "timed_out"
    _until(lambda: not Path(f"/proc/{int(text)}").exists())


def test_cancel_ends_the_command(session: Session) -> None:
    asked = iter([False, True])
    outcome, _ = did(session, "sleep 30", cancelled=lambda: next(asked, True))
    assert outcome.ended == "cancelled"


def test_cancel_ends_the_whole_group_and_what_left_it(session: Session) -> None:
    output = Output()
    command = (
        "sleep 999 & echo $!; setsid sleep 998 & echo $!; "
        "setsid sh -c 'trap \"\" TERM; while :; do sleep 1; done' & echo $!; echo ready; wait"
    )
    outcome = run(
        session.transport,
        Command(command, 60),
        on_output=output.feed,
        cancelled=lambda: "ready" in output.text,
    )
    text = output.text
    assert outcome.ended == "cancelled"
    pids = [int(line) for line in text.split() if line.isdigit()]
    assert len(pids) == 3
    _until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))


def test_what_a_command_leaves_behind_does_not_hold_it(session: Session) -> None:
    outcome, text = did(session, "sleep 300 & echo $!", timeout_s=200)
    os.kill(int(text), signal.SIGKILL)
    assert (outcome.ended, outcome.exit_code) == ("exited", 0)


def test_sudo_password_answers_the_prompt_and_is_never_seen(session: Session) -> None:
    outcome, text = did(
        session, "echo as root; tty >/dev/null && echo on a terminal; exit 4", sudo=True, sudo_password=SUDO_PASSWORD
    )
    assert outcome.exit_code == 4
    assert text == "as root\n"  # nothing of the prompt, of the password; stdin is no terminal


def test_wrong_sudo_password_is_told_at_once(session: Session) -> None:
    with pytest.raises(SshFault, match="sudo refused the password"):
        did(session, "true", sudo=True, sudo_password="wrong")
    with pytest.raises(SshFault, match="none is set"):
        did(session, "true", sudo=True)


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_prompt_is_found_across_borders_of_packets(size: int) -> None:
    prompt, stream = _Prompt("[abc] "), b"before [ab\n[abc] \nafter [abc"
    shown, count = b"", 0
    for start in range(0, len(stream), size):
        part, found = prompt.feed(stream[start : start + size])
        shown, count = shown + part, count + found
    assert (shown + prompt.rest(), count) == (b"before [ab\nafter [abc", 1)


# --- keeping connections -------------------------------------------------------------------------------------------


def test_pool_reuses_by_token_and_closes_what_changed(server: Sshd, keys: dict[str, Path]) -> None:
    pool, opened = Pool(), []

    def open_one() -> Session:
        opened.append(connect([hop(server, keys["ed25519"])]))
        return opened[-1]

    for _ in range(3):
        with pool.lease("1", "a", open_one) as one:
            did(one, "true")
    assert len(opened) == 1
    with pool.lease("1", "a", open_one) as held, pool.lease("1", "b", open_one) as fresh:
        assert held is opened[0] and fresh is opened[1]
        assert did(held, "echo still usable")[1] == "still usable\n"
    _until(lambda: not opened[0].is_alive())
    assert pool.count() == 1
    pool.retire("1")
    assert pool.count() == 0 and not opened[1].is_alive()


def test_pool_opens_no_more_than_its_bound_and_closes_the_idle(server: Sshd, keys: dict[str, Path]) -> None:
    pool = Pool(idle_s=0.2)
    way = hop(server, keys["ed25519"])
    results: list[str] = []

    def work() -> None:
        with pool.lease("1", "a", lambda: connect([way])) as one:
            results.append(did(one, "sleep 0.1; echo x")[1])

    threads = [threading.Thread(target=work) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert results == ["x\n"] * 10
    assert pool.count() <= 4
    _until(lambda: pool.count() == 0)


def test_pool_drops_a_connection_that_died(keys: dict[str, Path], tmp_path: Path) -> None:
    pool = Pool()
    with (
        sshd(tmp_path / "a", accepts=[keys["ed25519"]]) as first,
        pool.lease("1", "a", lambda: connect([hop(first, keys["ed25519"])])) as one,
    ):
        one.transport.sock.close()
        _until(lambda: not one.is_alive())
    assert pool.count() == 0


def _until(holds: Any) -> None:
    until = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.02)


# --- keys as text --------------------------------------------------------------------------------------------------


def test_private_keys_are_refused_in_words(keys: dict[str, Path]) -> None:
    locked = keys["locked"].read_text()
    for text, passphrase, words in (
        (locked, "", "give its passphrase"),
        (locked, "wrong", "passphrase is wrong"),
        (Path(f"{keys['rsa']}.pub").read_text(), "", "public half"),
        (locked[:200] + "-----END OPENSSH PRIVATE KEY-----", "", "damaged|passphrase"),
        ("PuTTY-User-Key-File-3: ssh-ed25519\nPRIVATE KEY-----", "", "damaged|PuTTY"),
        ("hello", "", "whole private key"),
    ):
        with pytest.raises(KeyFault, match=words):
            load_private_key(text, passphrase)
    assert load_private_key(keys["rsa"].read_text(), "not needed").get_name() == "ssh-rsa"


def test_host_keys_are_read_as_people_have_them(server: Sshd) -> None:
    key = parse_host_key(server.host_key)
    assert parse_host_key(f"[127.0.0.1]:2222 {server.host_key} comment") == key
    assert key.fingerprint.startswith("SHA256:") and shutil.which("ssh-keygen")
    for wrong in ("", "ssh-ed25519", "ssh-ed25519 AAAA", "ssh-rsa not/base64!", f"ssh-rsa {key.blob}"):
        with pytest.raises(KeyFault):
            parse_host_key(wrong)
