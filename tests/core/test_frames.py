"""Messages that are encoded once for every socket."""

import contextlib
import threading
from collections.abc import Iterator

import pytest
import uvicorn
import websockets.frames
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from apps.core.asgi import SocketProtocol
from apps.core.asgi.frames import EXTENSION, send_frames, text_frame, texts_of
from apps.core.asgi.types import Message, Receive, Scope, Send
from tests.support.processes import free_port, wait_for

TEXTS = ["", "ä" * 62, "x" * 125, "x" * 126, "x" * 65535, "x" * 65536, '{"a": "\u2713"}']


@pytest.mark.parametrize("text", TEXTS)
def test_frame_is_the_one_a_server_sends(text: str) -> None:
    frame = websockets.frames.Frame(websockets.frames.Opcode.TEXT, text.encode())
    assert text_frame(text) == frame.serialize(mask=False)


async def test_server_without_the_extension_gets_the_messages_one_by_one() -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    await send_frames({"type": "websocket"}, send, b"".join(map(text_frame, TEXTS)))
    assert sent == [{"type": "websocket.send", "text": text} for text in TEXTS]
    assert list(texts_of(b"")) == []


class Talker:
    """An application that says everything at once, says it again to each message, and notes how it ended."""

    def __init__(self) -> None:
        self.extended = False
        self.ended = threading.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "websocket"
        self.extended = EXTENSION in scope["extensions"]
        await receive()
        await send({"type": "websocket.accept"})
        try:
            while True:
                await send_frames(scope, send, b"".join(map(text_frame, TEXTS)))
                message = await receive()
                if message.get("text") == "flood":
                    while True:
                        await send_frames(scope, send, text_frame("y" * 65536))
                if message.get("text") == "close":
                    await send({"type": "websocket.close", "code": 4001})
                    await send_frames(scope, send, text_frame("too late"))
                    return
                if message["type"] == "websocket.disconnect":
                    return
        finally:
            self.ended.set()


@contextlib.contextmanager
def served(talker: Talker) -> Iterator[str]:
    """Serve it as the product is served; yields the address."""
    port = free_port()
    config = uvicorn.Config(
        talker, host="127.0.0.1", port=port, ws=SocketProtocol, lifespan="off", log_level="critical",
        ws_per_message_deflate=False, timeout_graceful_shutdown=3,
    )  # fmt: skip
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        wait_for(lambda: server.started, what="the server", patience_s=20)
        yield f"ws://127.0.0.1:{port}/"
    finally:
        server.should_exit = True
        thread.join(20)
    assert not thread.is_alive()


def test_messages_arrive_whole_and_in_order_and_none_follows_the_end() -> None:
    talker = Talker()
    with served(talker) as url, connect(url, max_size=None) as socket:
        assert [socket.recv(10) for _ in TEXTS] == TEXTS
        socket.send("again")
        assert [socket.recv(10) for _ in TEXTS] == TEXTS
        assert talker.extended
        socket.send("close")
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(10)
        assert closed.value.rcvd is not None and closed.value.rcvd.code == 4001


def test_reader_that_does_not_read_holds_up_its_own_connection_alone() -> None:
    talker = Talker()
    with served(talker) as url, connect(url, max_size=None) as slow:
        slow.send("flood")
        with connect(url, max_size=None) as quick:
            assert [quick.recv(10) for _ in TEXTS] == TEXTS
        assert talker.ended.wait(10)
        talker.ended.clear()
        slow.socket.close()
        assert talker.ended.wait(10), "its application ends with it"
