"""Terminal sessions for tests."""

from typing import Any

from apps.accounts.models import User
from apps.core.masking import Masker
from apps.fleet.models import Server, TerminalSession
from apps.fleet.services.terminals import begin_terminal, finish_terminal
from apps.fleet.states import TerminalStatus
from apps.fleet.terminal.casts import CastFile, CastWriter, head_of
from apps.fleet.terminal.shells import Size
from tests.factories.accounts import principal
from tests.factories.fleet import make_server


def make_terminal(
    user: User, *, server: Server | None = None, text: bytes = b"hello\r\n", over: bool = True, **values: Any
) -> TerminalSession:
    """Return a session of a person, with a recording in which `text` is shown.

    Args:
        values: what its row says besides.
    """
    row = begin_terminal(
        actor=principal("operator", user), server=server or make_server(), executor="ssh", size=Size(),
        address="10.0.0.9", user_agent="Mozilla",
    )  # fmt: skip
    file, cast = CastFile(row.file_name), CastWriter(Masker([]))
    file.write(head_of(size=Size(), started_at=row.started_at, title=row.target))
    cast.output(text)
    file.write(cast.take())
    file.close()
    row.output_bytes, row.recording_bytes = len(text), file.written
    if over:
        row = finish_terminal(row=row, status=TerminalStatus.ENDED, reason="The shell ended.", exit_code=0)
    if values:
        TerminalSession.objects.filter(pk=row.pk).update(**values)
    return row
