"""Pings by mail: a real listener, real clients, and what hostile ones send."""

import asyncio
import contextlib
import smtplib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.conf import LazySettings
from django.core.management import CommandError, call_command
from django.db import connection

from apps.core import registries
from apps.core.health import all_parts
from apps.core.models import Event
from apps.core.runtime_settings import change_settings
from apps.monitors.mail import listener as listener_module
from apps.monitors.mail.addresses import UnknownAddress, is_ours, mail_ping
from apps.monitors.mail.listener import Certificate, Listener
from apps.monitors.mail.messages import read_mail, text_of_html
from apps.monitors.mail.session import MESSAGE_MOST
from apps.monitors.models import Heartbeat, Ping
from apps.monitors.registrations.mail import mail_health
from apps.monitors.selectors.heartbeats import mail_address
from apps.monitors.services.heartbeats import pause_heartbeat
from apps.monitors.services.pings import PING_BODY_LIMIT
from tests.factories.accounts import client_as, principal
from tests.factories.heartbeats import make_heartbeat, make_ping_key, state_of
from tests.support.console import console_as
from tests.support.pki import Pki

pytestmark = pytest.mark.django_db(transaction=True)

DOMAIN = "watch.example.org"
Start = Callable[..., Listener]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start listeners, each on a free port with a loop of its own, and end them."""
    running: list[tuple[Listener, asyncio.AbstractEventLoop, threading.Thread]] = []

    def begin(certificate: Certificate | None = None, **limits: float) -> Listener:
        one = Listener(host="127.0.0.1", port=0, domain=DOMAIN, certificate=certificate)
        for name, value in limits.items():
            setattr(one, name, value)
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, daemon=True)
        thread.start()
        asyncio.run_coroutine_threadsafe(one.start(), loop).result(30)
        running.append((one, loop, thread))
        return one

    yield begin
    for one, loop, thread in running:
        asyncio.run_coroutine_threadsafe(one.stop(), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)
        loop.close()


@pytest.fixture
def listener(start: Start) -> Listener:
    return start()


def client(listener: Listener, source: str = "127.0.0.1") -> smtplib.SMTP:
    return smtplib.SMTP("127.0.0.1", listener.port, timeout=30, source_address=(source, 0))


def send(listener: Listener, to: str, body: bytes | str = b"Subject: hello\r\n\r\nfine\r\n") -> Any:
    with client(listener) as server:
        return server.sendmail("nas@example.net", [f"{to}@{DOMAIN}"], body)


def refusal(listener: Listener, to: str) -> tuple[int, str]:
    """Return how an address is refused."""
    with client(listener) as server, pytest.raises(smtplib.SMTPRecipientsRefused) as caught:
        server.sendmail("nas@example.net", [to], b"x")
    code, words = caught.value.recipients[to]
    return code, words.decode()


def logged(heartbeat: Heartbeat) -> list[Ping]:
    return list(Ping.objects.filter(num=heartbeat.num).order_by("n"))


# --- what a mail does --------------------------------------------------------------------------------------------


def test_mail_is_a_ping_with_subject_text_and_sender(listener: Listener) -> None:
    heartbeat = make_heartbeat()
    message = EmailMessage()
    message["Subject"], message["From"] = "Sicherung für heute ✓", "Das NAS <nas@example.net>"
    message["To"] = f"{heartbeat.uuid}@{DOMAIN}"
    message.set_content("alles gut: 42 GB\n.\n..zwei Punkte\n", charset="iso-8859-1")
    message.add_alternative("<p>nicht <b>das</b></p>", subtype="html")
    message.add_attachment(b"\x00" * 1000, maintype="application", subtype="octet-stream", filename="log.bin")
    with client(listener) as server:
        server.send_message(message)
    (ping,) = logged(heartbeat)
    assert ping.body == "Subject: Sicherung für heute ✓\n\nalles gut: 42 GB\n.\n..zwei Punkte"
    assert (ping.kind, ping.method, ping.remote_addr) == ("success", "MAIL", "127.0.0.1")
    assert ping.user_agent == "mail from Das NAS <nas@example.net>"
    assert state_of(heartbeat).status == "up"


@pytest.mark.parametrize(
    ("suffix", "kind", "exit_code", "status"),
    [("+start", "start", None, "started"), ("+FAIL", "fail", 1, "down"), ("+log", "log", None, "new"),
     ("+0", "success", 0, "up"), ("+7", "fail", 7, "down")],
)  # fmt: skip
def test_signal_stands_behind_the_plus(
    listener: Listener, suffix: str, kind: str, exit_code: int | None, status: str
) -> None:
    heartbeat = make_heartbeat()
    send(listener, f"{heartbeat.uuid}{suffix}")
    (ping,) = logged(heartbeat)
    assert (ping.kind, ping.exit_code, state_of(heartbeat).status) == (kind, exit_code, status)


def test_key_and_slug_are_an_address_too(listener: Listener) -> None:
    key = make_ping_key()
    heartbeat = make_heartbeat(slug="nightly", ping_key_id=key.pk)
    send(listener, f"{key.key}+nightly+fail")
    assert [ping.kind for ping in logged(heartbeat)] == ["fail"]
    assert refusal(listener, f"{key.key}+other@{DOMAIN}")[0] == 550
    assert not Heartbeat.objects.filter(slug="other").exists()
    make_heartbeat(slug="nightly", ping_key_id=key.pk)
    code, words = refusal(listener, f"{key.key}+nightly@{DOMAIN}")
    assert (code, "2 heartbeats of this key" in words) == (550, True)


def test_words_of_the_subject_decide_as_words_of_a_body_do(listener: Listener) -> None:
    heartbeat = make_heartbeat(failure_keywords=["FAILED"])
    send(listener, str(heartbeat.uuid), b"Subject: Backup FAILED\r\n\r\nsee the log\r\n")
    assert state_of(heartbeat).status == "down"
    event = Event.objects.get(name="heartbeat.failed")
    assert 'its output contains "FAILED"' in event.data["message"]


def test_one_message_pings_each_of_its_recipients_and_names_its_source(listener: Listener) -> None:
    one, two = make_heartbeat(), make_heartbeat(expected_pings=2, expected_sources=["db1", "db2"])
    with client(listener) as server:
        refused = server.sendmail(
            "", [f"{one.uuid}@{DOMAIN}", f"{two.uuid}@localhost", f"{uuid4()}@{DOMAIN}"], b"Ping-Source: db1\r\n\r\nx"
        )
    assert [code for code, _ in refused.values()] == [550]
    assert (len(logged(one)), len(logged(two))) == (1, 1)
    two.refresh_from_db()
    assert two.window.seen == ["db1"]


def test_paused_heartbeat_is_logged_and_stays_paused(listener: Listener) -> None:
    heartbeat = make_heartbeat()
    pause_heartbeat(heartbeat_id=heartbeat.pk, actor=principal("admin"))
    send(listener, str(heartbeat.uuid))
    assert (state_of(heartbeat).status, len(logged(heartbeat))) == ("paused", 1)


# --- what is refused ---------------------------------------------------------------------------------------------


def test_unknown_and_foreign_addresses_are_refused_and_nothing_is_passed_on(listener: Listener) -> None:
    assert refusal(listener, f"{uuid4()}@{DOMAIN}") == (550, "5.1.1 no heartbeat has this address.")
    assert refusal(listener, f"postmaster@{DOMAIN}") == (550, "5.1.1 no heartbeat has this address.")
    code, words = refusal(listener, f"{make_heartbeat().uuid}@elsewhere.example")
    assert (code, words) == (550, f"5.7.1 Only mail for {DOMAIN} is taken; nothing is passed on.")
    assert not Ping.objects.exists()


def test_guessing_is_limited_as_over_http_and_known_addresses_are_not(listener: Listener) -> None:
    heartbeat = make_heartbeat()
    change_settings(values={"limits.unknown_pings_per_minute": 2}, actor=principal("admin"))
    codes = [refusal(listener, f"{uuid4()}@{DOMAIN}")[0] for _ in range(3)]
    assert codes == [550, 550, 450]
    send(listener, str(heartbeat.uuid))
    assert len(logged(heartbeat)) == 1


def test_blocked_address_is_told_so(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registries.address_gates._items, "tests", lambda address: address != "127.0.0.2")
    with pytest.raises(smtplib.SMTPConnectError) as caught:
        client(listener, "127.0.0.2")
    assert caught.value.smtp_code == 554
    client(listener).quit()


def test_message_over_the_limit_is_refused_before_and_after_it_is_sent(listener: Listener) -> None:
    heartbeat = make_heartbeat()
    with client(listener) as server:
        server.ehlo()
        assert server.esmtp_features["size"] == str(MESSAGE_MOST)
        assert server.mail("a@b.example", [f"SIZE={MESSAGE_MOST + 1}"])[0] == 552
        server.mail("a@b.example")
        server.rcpt(f"{heartbeat.uuid}@{DOMAIN}")
        assert server.data(b"x\r\n" * (MESSAGE_MOST // 3 + 1))[0] == 552
        # The conversation goes on, and what fits is taken; of its text the first part is kept.
        server.sendmail("a@b.example", [f"{heartbeat.uuid}@{DOMAIN}"], b"\r\n" + b"y" * (MESSAGE_MOST - 10))
    (ping,) = logged(heartbeat)
    assert ping.body == "y" * PING_BODY_LIMIT


@contextlib.contextmanager
def missing_table(name: str) -> Iterator[None]:
    """Take a table away: the database refuses, really."""
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {name} RENAME TO {name}_away")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER TABLE {name}_away RENAME TO {name}")


def test_mail_that_cannot_be_stored_is_asked_for_again(listener: Listener) -> None:
    heartbeat = make_heartbeat()
    with missing_table("monitors_heartbeat"):
        assert refusal(listener, f"{heartbeat.uuid}@{DOMAIN}")[0] == 451
    with missing_table("monitors_ping"), pytest.raises(smtplib.SMTPDataError) as caught:
        send(listener, str(heartbeat.uuid))
    assert caught.value.smtp_code == 451
    assert state_of(heartbeat).ping_count == 0
    send(listener, str(heartbeat.uuid))
    assert state_of(heartbeat).ping_count == len(logged(heartbeat)) == 1


# --- what is hostile ---------------------------------------------------------------------------------------------


def talk(listener: Listener, *parts: bytes) -> bytes:
    """Send raw bytes and return everything that is answered until the other side hangs up."""
    with socket.create_connection(("127.0.0.1", listener.port), timeout=30) as link:
        answer = b""
        for part in parts:
            with contextlib.suppress(OSError):
                link.sendall(part)
        with contextlib.suppress(ConnectionError):
            while data := link.recv(65536):
                answer += data
    return answer


def test_malformed_dialogues_end_and_the_next_sender_is_served(start: Start) -> None:
    listener = start(command_s=1.0, message_s=1.0)
    heartbeat = make_heartbeat()
    to = f"MAIL FROM:<>\r\nRCPT TO:<{heartbeat.uuid}@{DOMAIN}>\r\nDATA\r\n".encode()
    assert b"500 5.5.2 This line is too long." in talk(listener, b"A" * 100_000)
    assert talk(listener, b"\x00\xff\r\n" * 50).endswith(b"421 4.7.0 Too many faults; good bye.\r\n")
    assert b"500 5.5.2 Lines end with CR LF." in talk(listener, b"EHLO x\nQUIT\r\nQUIT\r\n")
    assert b"503 5.5.1" in talk(listener, b"DATA\r\nRCPT TO:<a@b>\r\nQUIT\r\n")
    assert b"502 5.5.1" in talk(listener, b"AUTH PLAIN AHVzZXIAcGFzcw==\r\nSTARTTLS\r\nQUIT\r\n")
    assert talk(listener, b"EHLO").endswith(b"421 4.4.2 Nothing came for too long; good bye.\r\n")
    # A line with a bare LF ends no message: what follows it is no command.
    smuggled = talk(listener, to, b"a\n.\nMAIL FROM:<x@y>\r\n.\r\nQUIT\r\n")
    assert smuggled.count(b"\r\n250 ") == 3
    assert logged(heartbeat)[-1].body == "a\n.\nMAIL FROM:<x@y>"
    assert b"421 4.4.2" in talk(listener, to, b"never ended")
    assert talk(listener, to, b"x" * 11 * MESSAGE_MOST).count(b"\r\n250 ") == 2
    send(listener, str(heartbeat.uuid))
    assert len(logged(heartbeat)) == 2


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x80\xff\xfe no header at all \x00",
        b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\n' * 2000,
        b"".join(b'Content-Type: multipart/mixed; boundary="%d"\r\n\r\n--%d\r\n' % (n, n) for n in range(5000)),
        b"Content-Type: text/plain; charset=no-such\r\nContent-Transfer-Encoding: base64\r\n\r\n!!!!",
        b"Subject: =?utf-8?b?////?= =?x?q?=FF?=\r\nFrom: \xff<\x00>\r\nContent-Type: text/html\r\n\r\n" + b"<" * 90_000,
        b"Subject: " + b"a" * 200_000 + b"\r\n\r\nend",
        b"Content-Type: text/plain; charset*0*=\r\nContent-Disposition: ;;;\r\n\r\nx",
    ],
    ids=["empty", "junk", "repeated", "nested", "charset", "html", "header", "parameters"],
)
def test_malformed_message_is_still_a_ping(raw: bytes) -> None:
    mail = read_mail(raw, "sender@example.net")
    assert mail.sender
    assert len(mail.body) <= PING_BODY_LIMIT
    mail.body.decode()


def test_connections_have_limits_and_idle_ones_make_room(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener_module, "CONNECTIONS_MOST", 30)
    monkeypatch.setattr(listener_module, "IDLE_S", 0.0)
    listener = start()
    with contextlib.ExitStack() as stack:

        def come(source: str = "127.0.0.1") -> smtplib.SMTP:
            one = client(listener, source)
            stack.callback(one.close)
            return one

        for _ in range(listener_module.CONNECTIONS_OF_ONE_MOST):
            come()
        with pytest.raises(smtplib.SMTPConnectError) as caught:
            come()
        assert caught.value.smtp_code == 421
        # Others come in all the same; where every place is taken, the one that was silent for longest is asked to go.
        others = [come(f"127.0.0.{n}") for n in range(2, 17)]
        assert [one.noop()[0] for one in others[-10:]] == [250] * 10
    send(listener, str(make_heartbeat().uuid))


def test_memory_for_messages_is_bounded(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    heartbeat = make_heartbeat()
    monkeypatch.setattr(listener_module, "HELD_MOST", 1000)
    with pytest.raises(smtplib.SMTPDataError) as caught:
        send(listener, str(heartbeat.uuid), b"\r\n" + b"x" * 5000)
    assert caught.value.smtp_code == 452
    send(listener, str(heartbeat.uuid), b"\r\nsmall")  # what was held is free again
    assert len(logged(heartbeat)) == 1


# --- TLS, health, addresses --------------------------------------------------------------------------------------


def test_starttls_encrypts_and_drops_what_was_sent_before(start: Start, tmp_path: Path) -> None:
    pki = Pki()
    pair = pki.issue()
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert.write_text(pair.chain)
    key.write_text(pair.key_pem)
    trusting = ssl.create_default_context(cadata=pki.root_pem)
    trusting.check_hostname = False  # the client knows its address alone
    listener = start(Certificate(str(cert), str(key)))
    heartbeat = make_heartbeat()
    with client(listener) as server:
        server.starttls(context=trusting)
        server.ehlo()
        assert "starttls" not in server.esmtp_features
        server.sendmail("a@b.example", [f"{heartbeat.uuid}@{DOMAIN}"], b"\r\nsecret")
    assert len(logged(heartbeat)) == 1
    with socket.create_connection(("127.0.0.1", listener.port), timeout=30) as link:
        link.recv(1000)
        link.sendall(b"STARTTLS\r\nNOOP\r\nNOOP\r\n")
        assert link.recv(1000) == b"220 2.0.0 Go on.\r\n"
        with trusting.wrap_socket(link, server_hostname="localhost") as safe:
            safe.sendall(b"QUIT\r\n")
            assert safe.recv(1000) == b"221 2.0.0 Good bye.\r\n"


def test_handshake_that_fails_gives_its_place_back_and_a_renewed_certificate_is_taken(
    start: Start, tmp_path: Path
) -> None:
    one, other = Pki().issue(), Pki().issue()
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    cert.write_text(one.pem)
    key.write_text(one.key_pem)
    listener = start(Certificate(str(cert), str(key)))
    for _ in range(listener_module.CONNECTIONS_OF_ONE_MOST + 1):
        with socket.create_connection(("127.0.0.1", listener.port), timeout=30) as link:
            link.sendall(b"STARTTLS\r\n")
            answer = b""
            while not answer.endswith(b"220 2.0.0 Go on.\r\n"):
                answer += link.recv(1000)
            link.sendall(b"this is no handshake\r\n")
            with contextlib.suppress(ConnectionError):
                while link.recv(1000):
                    pass

    def shown() -> bytes:
        blind = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        blind.check_hostname, blind.verify_mode = False, ssl.CERT_NONE
        with client(listener) as server:
            server.starttls(context=blind)
            sock: Any = server.sock
            return bytes(sock.getpeercert(binary_form=True))

    assert shown() == ssl.PEM_cert_to_DER_cert(one.pem)
    cert.write_text(other.pem)  # its key comes a moment later
    assert shown() == ssl.PEM_cert_to_DER_cert(one.pem)
    key.write_text(other.key_pem)
    assert shown() == ssl.PEM_cert_to_DER_cert(other.pem)


def test_sender_that_ends_its_half_is_served_to_the_end(listener: Listener) -> None:
    heartbeat = make_heartbeat()
    with socket.create_connection(("127.0.0.1", listener.port), timeout=30) as link:
        link.sendall(f"MAIL FROM:<a@b>\r\nRCPT TO:<{heartbeat.uuid}@{DOMAIN}>\r\nDATA\r\n\r\nx\r\n.\r\n".encode())
        link.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: link.recv(65536), b""))
    assert answer.endswith(b"250 2.0.0 It is on disk.\r\n")
    assert len(logged(heartbeat)) == 1


def test_health_tells_whether_a_listener_is_there(start: Start) -> None:
    assert "mail_pings" not in all_parts()  # it is switched off in tests
    assert mail_health().status == "down"
    send(start(), str(make_heartbeat().uuid))
    assert mail_health().status == "ok"


def test_address_is_shown_where_the_listener_is_on(settings: LazySettings) -> None:
    heartbeat = make_heartbeat()
    path = f"/api/v1/heartbeats/{heartbeat.pk}"
    assert client_as("viewer").get(path).json()["mail_address"] == mail_address(heartbeat) == ""
    settings.SMTP_PORT, settings.SMTP_DOMAIN = 2525, DOMAIN
    assert client_as("viewer").get(path).json()["mail_address"] == f"{heartbeat.uuid}@{DOMAIN}"
    page = console_as("viewer").get(f"/admin/monitors/heartbeat/{heartbeat.pk}/").content.decode()
    assert f"<code>{heartbeat.uuid}@{DOMAIN}</code>" in page


def test_addresses_that_are_none() -> None:
    some = uuid4()
    for local in ("", "+", "root", f"{some}+", f"{some}+stop", f"{some}+256", f"{some}+fail+fail", f"{some}/fail",
                  "wkp_x+../y", "a+b+c+d", f"{some}?rid=1"):  # fmt: skip
        with pytest.raises(UnknownAddress):
            mail_ping(local)
    assert mail_ping(some.hex.upper()).uuid == some
    assert is_ours("WATCH.example.org.", DOMAIN) and is_ours("[127.0.0.1]", DOMAIN) and is_ours("[IPv6:::1]", DOMAIN)
    assert not is_ours("example.org", DOMAIN) and not is_ours("[192.0.2.1]", DOMAIN)


def test_html_becomes_its_words() -> None:
    page = "<head><title>t</title></head><style>p{}</style><p>Fine&nbsp;&amp; <b>dandy</b></p><!-- <p>no --><table><tr>"
    page += "<td>a<td>b</tr></table><script>if (1<2) x()</script>end<br/>2 < 3 <unclosed"
    assert text_of_html(page).split() == ["Fine", "&", "dandy", "a", "b", "end", "2", "<", "3"]


def test_command_says_what_is_missing(settings: LazySettings, tmp_path: Path) -> None:
    settings.SMTP_PORT = 0
    with pytest.raises(CommandError, match="SMTP_PORT is not set"):
        call_command("smtp")
    settings.SMTP_PORT, settings.SMTP_TLS_CERT = 2525, str(tmp_path / "none.pem")
    settings.SMTP_TLS_KEY = settings.SMTP_TLS_CERT
    with pytest.raises(CommandError, match="SMTP_TLS_CERT, SMTP_TLS_KEY: .* can't be used"):
        call_command("smtp")
