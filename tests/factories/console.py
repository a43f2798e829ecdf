"""One of everything that the console shows."""

from typing import Any

from django.contrib import admin

from apps.accounts.models import ApiKey, Role, Session, User
from apps.agents.models import EnrolmentRequest, EnrolmentToken, HostAgent
from apps.alerts.models import Alert, AlertSource, EscalationPolicy, Silence, Threshold
from apps.alerts.services import create_policy, create_silence
from apps.core.events.sequencer import sequence_events
from apps.core.models import Event, SetAsideFact
from apps.core.principals import system
from apps.fleet.models import (
    ChangeLimit,
    CommandBatch,
    CommandRun,
    LogRule,
    Server,
    SshConnection,
    TerminalSession,
)
from apps.fleet.services import create_change_limit
from apps.monitors.models import Badge, Dependency, Endpoint, Heartbeat, MaintenanceWindow, PingKey
from apps.monitors.models.certificates import CertificateMonitor
from apps.monitors.services.certificates import create_certificate
from apps.monitors.services.dependencies import create_dependency
from apps.notifications.models import Channel, Delivery, Notification, Rule, Webhook
from apps.notifications.services.deliveries import new_delivery
from apps.secrets.models import Secret
from apps.statuspage.models import Component, Group, Notice, Page, Subscriber
from tests.factories.accounts import make_api_key, make_session, make_user, principal
from tests.factories.agents import make_host, make_host_agent, make_token
from tests.factories.alert_posts import make_source
from tests.factories.alerts import make_alert
from tests.factories.batches import make_batch
from tests.factories.fleet import make_server, push, snapshot
from tests.factories.heartbeats import make_badge, make_heartbeat, make_ping_key
from tests.factories.logs import make_log_rule
from tests.factories.maintenance import make_window
from tests.factories.monitors import make_endpoint, record
from tests.factories.notifications import make_channel, make_fact, make_rule, make_webhook
from tests.factories.secrets import make_secret
from tests.factories.ssh import make_connection, make_run
from tests.factories.statuspage import make_component, make_group, make_notice, make_page, make_subscriber
from tests.factories.terminals import make_terminal


def one_of_everything(owner: User) -> dict[type, Any]:
    """Return a row of every model of the console; what is owned belongs to `owner`."""
    server = make_server("web-1")
    push(server, snapshot())
    endpoint = make_endpoint()
    record(endpoint, "down", error="It answered 503.")
    event = make_fact("alert.opened")
    sequence_events()
    notification = Notification.objects.create(
        user=owner, event_uid=event.uid, event_name=event.name, title="Shop is down"
    )
    agent, _ = make_host_agent("db-1")
    page = make_page()
    component = make_component(page, endpoint)
    return {
        Page: page,
        Group: make_group(page),
        Component: component,
        Notice: make_notice(page, components=[component]),
        Subscriber: make_subscriber(page),
        Server: server,
        HostAgent: agent,
        EnrolmentRequest: make_host("db-2").asks(make_token()).request,
        EnrolmentToken: EnrolmentToken.objects.latest("created_at"),
        SshConnection: make_connection("web-1 as deploy", actor=system("test")),
        CommandRun: make_run(server),
        CommandBatch: make_batch(servers=[make_server("web-2", ssh_connection_id=make_connection().pk)]),
        TerminalSession: make_terminal(owner, server=server),
        ChangeLimit: create_change_limit(actor=system("test"), values={"hosts_most": 2}),
        LogRule: make_log_rule(),
        Endpoint: endpoint,
        Heartbeat: make_heartbeat(name="Backup"),
        MaintenanceWindow: make_window(),
        PingKey: make_ping_key(name="Cluster jobs"),
        Badge: make_badge("endpoint", str(endpoint.pk)),
        CertificateMonitor: create_certificate(actor=system("test"), values={"hostname": "198.51.100.7", "port": 443}),
        Alert: make_alert(subject_id=str(endpoint.pk)),
        AlertSource: make_source("generic")[0],
        Silence: create_silence(actor=system("test"), matchers={"entity": "nothing"}, duration_s=3600),
        Dependency: create_dependency(
            actor=system("test"),
            child_kind="endpoint",
            child_id=str(endpoint.pk),
            parent_kind="server",
            parent_id=str(server.pk),
        ),
        Threshold: Threshold.objects.first() or Threshold.objects.create(metric="cpu", value=80, level="info"),
        EscalationPolicy: create_policy(
            actor=principal("admin"), values={"name": "Nights", "steps": [{"after_s": 300, "inbox": True}]}
        ),
        Channel: make_channel(),
        Rule: make_rule(make_channel(), name="A rule"),
        Webhook: make_webhook(owner=make_user("viewer")),
        Notification: notification,
        Delivery: _delivery(),
        User: make_user("viewer"),
        Secret: make_secret(),
        Role: Role.objects.create(name="office", permissions=["dashboard:view"]),
        ApiKey: make_api_key(owner, role="viewer")[0],
        Session: make_session(owner),
        Event: event,
        SetAsideFact: SetAsideFact.objects.create(reader="alerts", seq=1, event_name="endpoint.alert", error="no"),
    }


def consoles() -> list[Any]:
    """Return every registered admin."""
    return list(admin.site._registry.values())


def _delivery() -> Delivery:
    fact = make_fact("system.alert", "console")
    row = new_delivery(Delivery.Kind.CHANNEL, make_channel().id, fact, {"title": "Something"}, suppressed="Not wanted.")
    row.save(force_insert=True)
    return row
