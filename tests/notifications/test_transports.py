"""Every transport keeps the registry's contract; email in particular."""

from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from apps.core.errors import Invalid
from apps.core.net import run_sync
from apps.notifications.models import Delivery, Mail
from apps.notifications.services.mail import queue_mail
from apps.notifications.transports import Message, Outcome, transports
from apps.notifications.transports.email import compose, config_from_url
from tests.factories.notifications import make_channel, make_fact
from tests.notifications.driving import let_time_pass, send_all, send_once, tell
from tests.notifications.services import SERVICES
from tests.notifications.smtp_server import smtp_server
from tests.support.servers import CertificateAuthority, RecordingReceiver, hanging_server, server_context, unused_port

MESSAGE = Message(
    id="0192f0c4-0000-7000-8000-000000000001",
    event="alert.opened",
    body=b'{"type":"alert.opened"}',
    title="Critical: web-1",
    text="web-1 <does> not answer",
    level="critical",
    url="https://watch.example.org/admin/alerts/alert/1/change/",
    thread="abc",
)

#: A valid configuration of each kind, for a server on this machine.
SAMPLES: dict[str, dict[str, Any]] = {
    "webhook": {"url": "http://127.0.0.1:{port}/", "headers": {"X-Token": "hush"}, "secret": "whsec_" + "A" * 32},
    "email": {
        "host": "127.0.0.1", "port": "{port}", "tls": "none", "from": "watch@example.org", "to": ["ops@example.org"],
    },
    "apprise": {"url": "json://127.0.0.1:{port}/hush"},
    **{
        kind: {
            name: text.replace("{url}", "http://127.0.0.1:{port}") if isinstance(text, str) else text
            for name, text in service.config.items()
        }
        for kind, service in SERVICES.items()
    },
}  # fmt: skip


def sample(kind: str, port: int) -> dict[str, Any]:
    filled = {
        name: value.replace("{port}", str(port)) if isinstance(value, str) else value
        for name, value in SAMPLES[kind].items()
    }
    return transports[kind].clean_config(filled)


def send(kind: str, config: dict[str, Any]) -> Outcome:
    return run_sync(transports[kind].send(config, MESSAGE))


# --- the contract of the registry ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", list(transports))
def test_transport_has_label_fields_and_a_sample_here(kind: str) -> None:
    transport = transports[kind]
    assert transport.kind == kind and transport.label
    assert any(field.required for field in transport.fields)
    assert kind in SAMPLES


@pytest.mark.parametrize("kind", list(transports))
def test_transport_refuses_missing_and_unknown_fields_by_name(kind: str) -> None:
    with pytest.raises(Invalid) as refused:
        transports[kind].clean_config({"colour": "red"})
    required = {f"config.{field.name}" for field in transports[kind].fields if field.required}
    assert required | {"config.colour"} <= set(refused.value.problems)


@pytest.mark.parametrize("kind", list(transports))
def test_transport_masks_every_secret_and_keeps_it_on_a_masked_change(kind: str, loopback_allowed: None) -> None:
    transport = transports[kind]
    config = sample(kind, 2525)
    if kind == "email":
        config = transport.clean_config({**config, "tls": "starttls", "username": "u", "password": "hush"})
    shown = transport.mask(config)
    assert "hush" not in str(shown) and "whsec_" not in str(shown) and "***" in str(shown)
    assert transport.clean_config(shown, config) == config


@pytest.mark.parametrize("kind", list(transports))
def test_transport_reports_a_refused_connection_as_an_outcome(kind: str, loopback_allowed: None) -> None:
    outcome = send(kind, sample(kind, unused_port()))
    assert not outcome.ok and outcome.status_code is None
    assert "refused" in outcome.error
    assert outcome.request


@pytest.mark.parametrize("kind", list(transports))
def test_transport_gives_up_on_a_server_that_says_nothing(
    kind: str, loopback_allowed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (kind, "posting"):
        if hasattr(import_module(f"apps.notifications.transports.{module}"), "TIMEOUT_S"):
            monkeypatch.setattr(f"apps.notifications.transports.{module}.TIMEOUT_S", 0.3)
    with hanging_server() as server:
        outcome = send(kind, sample(kind, server.port))
    assert not outcome.ok and outcome.error


@pytest.mark.parametrize("kind", list(transports))
def test_transport_refuses_private_targets_when_configured_and_when_sending(kind: str, settings: Any) -> None:
    with pytest.raises(Invalid) as refused:
        sample(kind, 2525)
    assert "OUTBOUND_ALLOW" in str(refused.value)
    filled: dict[str, Any] = {
        name: text.replace("{port}", "2525") if isinstance(text, str) else text for name, text in SAMPLES[kind].items()
    }
    outcome = send(kind, filled | ({"port": 2525} if kind == "email" else {}))
    assert not outcome.ok and "OUTBOUND_ALLOW" in outcome.error


# --- webhook ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Host", "Content-Length", "webhook-signature", "bad name"])
def test_webhook_headers_that_are_ours_are_refused(name: str) -> None:
    with pytest.raises(Invalid):
        transports["webhook"].clean_config({"url": "https://93.184.215.14/", "headers": {name: "x"}})


def test_webhook_without_a_secret_is_not_signed(receiver: RecordingReceiver) -> None:
    assert send("webhook", {"url": receiver.url}).ok
    assert "webhook-signature" not in receiver.requests[0].headers


# --- email -----------------------------------------------------------------------------------------------------------


def test_mail_has_text_and_html_a_stable_id_and_a_thread(loopback_allowed: None) -> None:
    with smtp_server() as mailbox:
        outcome = send("email", sample("email", mailbox.port))
    assert outcome.ok and outcome.status_code == 250
    mail = mailbox.mails[0]
    assert mail["Subject"] == "Critical: web-1"
    assert mail["Message-ID"] == f"<{MESSAGE.id}@example.org>"
    assert mail["References"] == "<abc@example.org>"
    plain, page = mail.get_body(("plain",)), mail.get_body(("html",))
    assert plain is not None and page is not None
    assert MESSAGE.text in plain.get_content() and MESSAGE.url in plain.get_content()
    assert "&lt;does&gt;" in page.get_content()


@pytest.mark.parametrize("mode", ["starttls", "tls"])
def test_mail_goes_encrypted_with_login(
    mode: str, loopback_allowed: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    authority = CertificateAuthority()
    trusted = tmp_path / "ca.pem"
    trusted.write_text(authority.pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    with smtp_server(context=server_context(authority.issue()), implicit_tls=mode == "tls") as mailbox:
        mailbox.password = "right"
        config = {**sample("email", mailbox.port), "tls": mode, "username": "watch", "password": "right"}
        assert send("email", config).ok
        wrong = send("email", {**config, "password": "wrong"})
    assert mailbox.encrypted == [True] and mailbox.logins[0] == "watch"
    assert wrong.status_code == 535 and "wrong password" in wrong.error


def test_mail_server_with_an_unknown_certificate_gets_nothing(loopback_allowed: None) -> None:
    with smtp_server(context=server_context(CertificateAuthority().issue())) as mailbox:
        outcome = send("email", {**sample("email", mailbox.port), "tls": "starttls"})
    assert not outcome.ok and "not trusted" in outcome.error
    assert mailbox.mails == []


def test_server_without_starttls_gets_nothing_where_it_is_demanded(loopback_allowed: None) -> None:
    with smtp_server() as mailbox:
        outcome = send("email", {**sample("email", mailbox.port), "tls": "starttls"})
    assert not outcome.ok and mailbox.mails == []


def test_refused_recipients_fail_together_and_are_told_apart(loopback_allowed: None) -> None:
    with smtp_server() as mailbox:
        mailbox.refuse = {"gone@example.org"}
        config = sample("email", mailbox.port)
        none = send("email", {**config, "to": ["gone@example.org"]})
        some = send("email", {**config, "to": ["gone@example.org", "ops@example.org"]})
    assert not none.ok and none.status_code == 550
    assert some.ok and "gone@example.org: 550" in some.response
    assert mailbox.mails[0]["X-Delivered-To"] == "ops@example.org"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"from": "nobody"}, "config.from"),
        ({"to": ["a@example.org", "b"]}, "config.to"),
        ({"to": []}, "config.to"),
        ({"tls": "maybe"}, "config.tls"),
        ({"port": 70000}, "config.port"),
        ({"username": "u", "password": "p"}, "config.tls"),
        ({"from": "a@example.org\nBcc: b@example.org"}, "config.from"),
    ],
)
def test_wrong_email_configuration_names_its_field(change: dict[str, Any], field: str, loopback_allowed: None) -> None:
    with pytest.raises(Invalid) as refused:
        transports["email"].clean_config({**SAMPLES["email"], "port": 25, **change})
    assert field in refused.value.problems


@pytest.mark.django_db
def test_alert_reaches_an_email_channel(loopback_allowed: None) -> None:
    with smtp_server() as mailbox:
        make_channel(type="email", **sample("email", mailbox.port))
        tell(make_fact(), make_fact("alert.resolved"))
        assert send_all() == 2
    assert [mail["Subject"] for mail in mailbox.mails] == ["Critical: web-1", "Resolved: web-1"]
    assert mailbox.mails[0]["References"] == mailbox.mails[1]["References"]


# --- mails of the platform -------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_queued_mail_is_sent_and_its_text_forgotten(loopback_allowed: None, settings: Any) -> None:
    with smtp_server() as mailbox:
        settings.SMTP_URL = f"smtp://127.0.0.1:{mailbox.port}?tls=none"
        queue_mail("ann@example.org", "Reset your password", "https://watch.example.org/reset/secret-token")
        row = Mail.objects.get()
        assert "secret-token" not in str(Mail.objects.values().get())
        assert send_all() == 1
    assert mailbox.mails[0]["To"] == "ann@example.org"
    assert "secret-token" in mailbox.mails[0].get_body(("plain",)).get_content()  # type: ignore[union-attr]
    row.refresh_from_db()
    assert row.text == ""
    assert "secret-token" not in str(list(Delivery.objects.values()))


@pytest.mark.django_db
def test_queued_mail_waits_for_a_server_that_is_away(loopback_allowed: None, settings: Any) -> None:
    settings.SMTP_URL = f"smtp://127.0.0.1:{unused_port()}?tls=none"
    queue_mail("ann@example.org", "Hello", "text")
    send_once()
    with smtp_server() as mailbox:
        settings.SMTP_URL = f"smtp://127.0.0.1:{mailbox.port}?tls=none"
        let_time_pass()
        send_once()
    assert len(mailbox.mails) == 1


@pytest.mark.django_db
def test_mail_without_a_server_is_not_queued(settings: Any) -> None:
    settings.SMTP_URL = ""
    queue_mail("ann@example.org", "Hello", "text")
    assert not Mail.objects.exists()


def test_smtp_url_names_server_user_and_encryption() -> None:
    config = config_from_url("smtps://me%40example.org:p%2Fw@mail.example.org", sender="a@b.c", recipient="d@e.f")
    assert (config["host"], config["port"], config["tls"]) == ("mail.example.org", 465, "tls")
    assert (config["username"], config["password"]) == ("me@example.org", "p/w")
    with pytest.raises(ValueError, match="SMTP_URL"):
        config_from_url("http://mail.example.org", sender="a@b.c", recipient="d@e.f")


def test_title_of_several_lines_becomes_one_header_line() -> None:
    mail = compose(
        {"from": "a@example.org", "to": ["b@example.org"]}, replace(MESSAGE, title="a\r\nBcc: c@example.org")
    )
    assert mail["Subject"] == "a Bcc: c@example.org"
    assert mail["Bcc"] is None
