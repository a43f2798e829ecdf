"""Commands, shells and signals over an agent's connection, whatever process holds it."""

import base64
import threading
import time
from collections.abc import Collection
from dataclasses import replace
from typing import Any
from uuid import UUID

from django.db import connection

from apps.agents.link import requests
from apps.agents.models import HostAgent
from apps.agents.states import Registration, RequestState
from apps.core import bell
from apps.core.errors import Conflict, DomainError, Forbidden, Invalid, NotFound
from apps.core.masking import Masker
from apps.core.principals import Principal
from apps.fleet.commands import Cancelled, Command, Deadline, OnOutput, Outcome
from apps.fleet.executors import Executor
from apps.fleet.models import Server
from apps.fleet.ssh import Reason, SshFault
from apps.fleet.terminal.shells import Shell, ShellEnd, Size

#: An agent takes what it is asked within moments; what it has not taken by then is not sent any more.
SEND_WITHIN_S = 15.0
#: How long an agent may be away in the middle of a run.
AWAY_S = 20.0
#: The agent itself ends a command at its time-out; this is for one that does not.
LATE_S = 10.0
RENEW_EVERY_S, LOOK_EVERY_S = 5.0, 2.0
POLL_S, LEAST_S = 0.5, 0.02
INPUT_PIECE = 256 * 1024
SHELL_INPUT_MOST, SHELL_WAITING_MOST = 32 * 1024, 64
_ENDED = frozenset({RequestState.DONE, RequestState.FAILED, RequestState.LOST})


class _Ears:
    """Wakes those who wait for something of agents when the bell rings."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._rings = 0
        self._listens = False

    def wait(self, heard: int, timeout_s: float) -> int:
        """Return at the next ring after the one given, or when the time is over; returns the number of rings."""
        if not self._listens:
            self._listens = True
            bell.listen(bell.AGENT_OUTPUT, self._on_ring)
        with self._condition:
            if self._rings == heard:
                self._condition.wait(timeout_s)
            return self._rings

    def _on_ring(self, *_: object) -> None:
        with self._condition:
            self._rings += 1
            self._condition.notify_all()


_ears = _Ears()


class _Asked:
    """One request and the wait for its answer."""

    def __init__(self, agent: HostAgent, kind: str, body: dict[str, Any]) -> None:
        self.agent = agent
        self.id = requests.ask(agent=agent, kind=kind, body=body, within_s=SEND_WITHIN_S)
        self._heard = 0
        self._asked_at = self._renewed_at = self._looked_at = time.monotonic()
        self._there_at = time.monotonic()

    def wait(self, timeout_s: float) -> None:
        """Wait for news, at least a moment: many rings are for others."""
        if not connection.in_atomic_block:
            connection.close()
        begun = time.monotonic()
        self._heard = _ears.wait(self._heard, timeout_s)
        spent = time.monotonic() - begun
        if spent < min(LEAST_S, timeout_s):
            time.sleep(min(LEAST_S, timeout_s) - spent)

    def keep(self) -> None:
        """Say now and then that somebody waits; notice an agent that is gone.

        Raises:
            SshFault: it did not take the request, or has been away for too long.
        """
        now = time.monotonic()
        if now - self._renewed_at >= RENEW_EVERY_S:
            self._renewed_at = now
            requests.renew(self.id)
        if now - self._looked_at < LOOK_EVERY_S:
            return
        self._looked_at = now
        if requests.is_there(self.agent.pk):
            self._there_at = now
        elif now - self._there_at > AWAY_S:
            requests.give_up(self.id)
            sentence = (
                f"The agent of {self.agent.name} has been away for too long; what became of it is not known. It is "
                "ended there once the agent is back."
            )
            raise SshFault(Reason.BROKEN, "run", sentence)
        if now - self._asked_at > SEND_WITHIN_S:
            standing = requests.standing_of(self.id)
            if standing and standing.state == RequestState.WAITING and requests.wish_end(self.id):
                raise SshFault(
                    Reason.UNREACHABLE, "connect", f"The agent of {self.agent.name} did not take it in time."
                )


class AgentExecutor:
    """Runs commands through the host agent of a server."""

    name = "agent"

    def __init__(self, agent: HostAgent, actor: Principal) -> None:
        self.agent, self.actor = agent, actor
        self.target = agent.name

    def run(self, command: Command, *, on_output: OnOutput, cancelled: Cancelled) -> Outcome:
        """Run a command over there. It is never begun twice; where its end is not known it is lost."""
        first, rest = command.stdin[:INPUT_PIECE], command.stdin[INPUT_PIECE:]
        asked = _Asked(
            self.agent,
            requests.RUN,
            {
                "text": command.text,
                "env": dict(command.env),
                "stdin": base64.b64encode(first).decode(),
                "more_input": bool(rest),
                "timeout_s": command.timeout_s,
            },
        )
        _send_input(self.agent, asked.id, rest, at=len(first))
        try:
            return self._follow(asked, command, on_output, cancelled)
        except SshFault as fault:
            if fault.reason == Reason.BROKEN:
                return Outcome("lost", error=fault.detail)
            raise
        except BaseException:
            requests.wish_end(asked.id)
            raise

    def _follow(self, asked: _Asked, command: Command, on_output: OnOutput, cancelled: Cancelled) -> Outcome:
        deadline = Deadline(command.timeout_s + LATE_S)
        wish, wished_at = "", 0.0
        while True:
            # The standing first: what is written by then is all there before an end.
            standing = requests.standing_of(asked.id)
            data = requests.take_output(asked.id)
            if data:
                on_output(data)
            elif standing is None or standing.state in _ENDED:
                requests.forget(asked.id)
                outcome = _outcome_of(standing)
                # To the agent every wish for an end is one to cancel.
                return replace(outcome, ended=wish) if wish and outcome.ended == "cancelled" else outcome
            if not wish and (cancelled() or deadline.is_over):
                wish, wished_at = "timed_out" if deadline.is_over else "cancelled", time.monotonic()
                if requests.wish_end(asked.id):
                    requests.forget(asked.id)
                    return Outcome(wish)
            elif wish:
                cancelled()  # it renews the run's lease
                if time.monotonic() - wished_at > LATE_S:
                    return Outcome(wish, error="The agent did not say that it has ended it.")
            asked.keep()
            if not data:
                asked.wait(POLL_S)

    def shell(self, size: Size, *, cancelled: Cancelled) -> Shell:
        """Open the login shell of the agent's user."""
        return AgentShell(self.agent, size)

    def signal(self, pid: int, start_time: str, number: int) -> dict[str, Any] | None:
        """Send a signal to a process, told from another of its number by when it started.

        Returns:
            The process afterwards; None where it has ended.

        Raises:
            Invalid: the signal is not sent (422). Forbidden: the process is protected, or not the agent's to signal
            (403). NotFound: it has ended (404). Conflict: the agent did not answer (409).
        """
        body = {"pid": pid, "start_time": start_time, "number": number}
        try:
            return _answer_of(ask_agent(self.agent, requests.SIGNAL, body, answer_s=SEND_WITHIN_S))
        except NoAnswer as error:
            raise Conflict(str(error), code="agent_silent") from error


class NoAnswer(Exception):
    """An agent did not answer a question; the text is a sentence.

    Args:
        was_sent: it may have been followed nevertheless; else it never will be.
    """

    def __init__(self, sentence: str, *, was_sent: bool) -> None:
        super().__init__(sentence)
        self.was_sent = was_sent


def ask_agent(agent: HostAgent, kind: str, body: dict[str, Any], *, answer_s: float) -> requests.Standing:
    """Ask an agent for something that it does at once, and return what it answered.

    Args:
        kind: one of `requests.QUESTIONS`.
        answer_s: how long the answer may take.

    Raises:
        NoAnswer: there was none in time, or the connection broke off.
    """
    asked = _Asked(agent, kind, body)
    until = time.monotonic() + answer_s
    while time.monotonic() < until:
        standing = requests.standing_of(asked.id)
        if standing is not None and standing.state == RequestState.DONE:
            requests.forget(asked.id)
            return standing
        if standing is None or standing.state in _ENDED:
            requests.forget(asked.id)
            raise NoAnswer((standing and standing.error) or "The agent did not take it.", was_sent=True)
        try:
            asked.keep()
        except SshFault:
            break
        asked.wait(min(POLL_S, max(LEAST_S, until - time.monotonic())))
    requests.give_up(asked.id)
    raise NoAnswer(f"The agent of {agent.name} did not answer.", was_sent=requests.was_sent(asked.id))


class AgentShell:
    """A login shell in a terminal over there; see `fleet.terminal.shells.Shell`."""

    def __init__(self, agent: HostAgent, size: Size) -> None:
        self.masker = Masker([])
        self.agent = agent
        self._asked = _Asked(agent, requests.SHELL, {"pty": True, "text": "", "cols": size.cols, "rows": size.rows})
        self._error = ""
        self._sent = 0
        self._is_closed = False

    def read(self, timeout_s: float) -> bytes | None:
        """Return output."""
        until = time.monotonic() + timeout_s
        while not self._is_closed and not self._error:
            standing = requests.standing_of(self._asked.id)
            data = requests.take_output(self._asked.id)
            if data:
                return data
            if standing is None or standing.state in _ENDED:
                return b""
            try:
                self._asked.keep()
            except SshFault as fault:
                self._error = fault.detail
            left = until - time.monotonic()
            if left <= 0:
                return None
            self._asked.wait(min(POLL_S, left))
        return b""

    def write(self, data: bytes, timeout_s: float) -> int:
        """Send input, as far as the agent takes it."""
        until = time.monotonic() + timeout_s
        while requests.waiting_input(self._asked.id) >= SHELL_WAITING_MOST:
            if time.monotonic() >= until:
                return 0
            time.sleep(0.02)
        piece = data[:SHELL_INPUT_MOST]
        _ask_input(self.agent, self._asked.id, piece, at=self._sent, is_last=False)
        self._sent += len(piece)
        return len(piece)

    def resize(self, size: Size) -> None:
        """Tell the other side."""
        body = {"cols": size.cols, "rows": size.rows}
        requests.ask(agent=self.agent, kind="resize", body=body, run_id=self._asked.id, within_s=SEND_WITHIN_S)

    def end(self) -> ShellEnd:
        """Return how it ended."""
        standing = requests.standing_of(self._asked.id)
        if self._error or standing is None or standing.state != RequestState.DONE:
            return ShellEnd(error=self._error or "The connection to the agent broke off.")
        outcome = _outcome_of(standing)
        if outcome.ended not in ("exited", "cancelled"):
            return ShellEnd(error=outcome.error or "How it ended is not known.")
        return ShellEnd(outcome.exit_code, outcome.signal)

    def close(self) -> None:
        """Hang up over there."""
        if not self._is_closed:
            self._is_closed = True
            requests.wish_end(self._asked.id)


def _send_input(agent: HostAgent, request_id: UUID, data: bytes, *, at: int) -> None:
    for start in range(0, len(data), INPUT_PIECE):
        piece, is_last = data[start : start + INPUT_PIECE], start + INPUT_PIECE >= len(data)
        _ask_input(agent, request_id, piece, at=at + start, is_last=is_last)


def _ask_input(agent: HostAgent, request_id: UUID, data: bytes, *, at: int, is_last: bool) -> None:
    body = {"data": base64.b64encode(data).decode(), "at": at, "last": is_last}
    # A run goes on without its agent for a while; the input that it waits for must not have ended by then.
    requests.ask(agent=agent, kind="stdin", body=body, run_id=request_id, within_s=SEND_WITHIN_S + AWAY_S)


def _outcome_of(standing: requests.Standing | None) -> Outcome:
    if standing is None or standing.state != RequestState.DONE:
        return Outcome("lost", error=(standing and standing.error) or "What became of it is not known.")
    found = standing.result
    ended, error = str(found.get("ended")), str(found.get("error") or "")[:500]
    code = found.get("exit_code")
    if ended == "exited" and (code is None or (type(code) is int and abs(code) < 2**31)):
        return Outcome("exited", code, str(found.get("signal") or "")[:16], error)
    if ended in ("cancelled", "timed_out"):
        return Outcome(ended, error=error)
    if ended == "refused":
        raise SshFault(Reason.RUN, "run", error or "The agent did not run it.")
    if ended == "unknown":
        error = "It was sent, and the agent has not seen it: the connection broke off at that moment."
    return Outcome("lost", error=error or "The agent ended meanwhile; what became of it is not known.")


def _answer_of(standing: requests.Standing) -> dict[str, Any] | None:
    found = standing.result
    if found.get("ok"):
        process = found.get("process")
        return process if isinstance(process, dict) else None
    sentence, code = str(found.get("message") or "The agent refused it.")[:500], str(found.get("code") or "")
    refusals: dict[str, DomainError] = {
        "bad_signal": Invalid({"signal": sentence}),
        "gone": NotFound(sentence, code="process_gone"),
        "protected": Forbidden(sentence, code="protected_process"),
        "forbidden": Forbidden(sentence),
    }
    raise refusals.get(code) or Conflict(sentence, code="signal_failed")


def agent_of(server: Server) -> HostAgent | None:
    """Return the approved agent of a server."""
    rows = HostAgent.objects.current().select_related("server")
    return rows.filter(server_id=server.pk, registration=Registration.APPROVED).first()


def executor_by_agent(server: Server, actor: Principal) -> Executor | None:
    """Return the way through the server's agent; None where it has none, or another way leads there while it is away.

    Raises:
        Conflict: its agent is away, and there is no other way (409).
    """
    if server.is_local:
        return None  # the platform's own host has its own rules
    agent = agent_of(server)
    if agent is None:
        return None
    if requests.is_there(agent.pk):
        return AgentExecutor(agent, actor)
    if server.ssh_connection_id is not None:
        return None
    raise Conflict(
        f"The agent of {server.name} is not connected now; see whether it runs over there.", code="agent_offline"
    )


def servers_with_agents(server_ids: Collection[UUID]) -> set[UUID]:
    """Return those of the servers that have an approved agent."""
    rows = HostAgent.objects.current().filter(server_id__in=server_ids, registration=Registration.APPROVED)
    return set(rows.values_list("server_id", flat=True))
