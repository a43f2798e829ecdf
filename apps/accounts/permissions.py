"""The permission matrix: every code, what it allows, and the smallest built-in role that holds it. Data alone."""

from dataclasses import dataclass

VIEWER, OPERATOR, ADMIN = "viewer", "operator", "admin"
RANK = {VIEWER: 1, OPERATOR: 2, ADMIN: 3}


@dataclass(frozen=True, slots=True)
class Permission:
    """One code: `resource:action`, its meaning, the smallest built-in role that holds it."""

    code: str
    meaning: str
    role: str


def _codes(resource: str, **actions: tuple[str, str]) -> list[Permission]:
    return [Permission(f"{resource}:{action}", meaning, role) for action, (role, meaning) in actions.items()]


PERMISSIONS: tuple[Permission, ...] = (
    *_codes("dashboard", view=(VIEWER, "See the overview and system alerts.")),
    *_codes(
        "profile",
        view=(VIEWER, "See one's own profile."),
        update=(VIEWER, "Change one's own profile."),
        password=(VIEWER, "Change one's own password."),
        mfa=(VIEWER, "Set up and switch off one's own second factor."),
        logout=(VIEWER, "Log out."),
    ),
    *_codes("tickets", create=(VIEWER, "Make a ticket for a stream or socket.")),
    *_codes("events", view=(VIEWER, "Follow the events that one's other permissions let one read.")),
    *_codes("runtime", view=(VIEWER, "See the runtime's state and the configured features.")),
    *_codes(
        "settings",
        view=(ADMIN, "See the settings."),
        update=(ADMIN, "Change settings."),
        refresh=(OPERATOR, "Change the interval of metrics."),
    ),
    *_codes("audit", view=(ADMIN, "Read the audit trail."), export=(ADMIN, "Export the audit trail.")),
    *_codes(
        "users",
        view=(ADMIN, "See users."),
        create=(ADMIN, "Create users."),
        update=(ADMIN, "Change users, their roles and passwords."),
        delete=(ADMIN, "Disable users."),
    ),
    *_codes(
        "roles",
        view=(VIEWER, "See roles."),
        create=(ADMIN, "Create roles."),
        update=(ADMIN, "Change roles."),
        delete=(ADMIN, "Delete roles."),
    ),
    *_codes(
        "api_keys",
        view=(VIEWER, "See one's own API keys."),
        create=(OPERATOR, "Create API keys with at most one's own rights."),
        delete=(OPERATOR, "Revoke one's own API keys."),
        manage=(ADMIN, "See and revoke everybody's API keys."),
    ),
    *_codes(
        "security",
        view=(ADMIN, "See the security settings, password policy and IP rules."),
        update=(ADMIN, "Change the security settings, password policy and IP rules."),
    ),
    *_codes("sessions", view=(ADMIN, "See everybody's sessions."), delete=(ADMIN, "End anybody's session.")),
    *_codes(
        "secrets",
        view=(ADMIN, "See secrets without their values, and who uses them."),
        manage=(ADMIN, "Add, change, rotate and remove secrets."),
        reveal=(ADMIN, "Have a secret's value shown."),
    ),
    *_codes(
        "servers",
        view=(VIEWER, "See servers, their metrics and history."),
        create=(OPERATOR, "Add servers."),
        update=(OPERATOR, "Change servers."),
        delete=(OPERATOR, "Remove servers."),
        execute_local=(ADMIN, "Run commands and open terminals on the platform's own host."),
        terminal=(OPERATOR, "Open a terminal on a server."),
    ),
    *_codes(
        "ssh_connections",
        view=(ADMIN, "See SSH connections, never their credentials."),
        create=(ADMIN, "Add SSH connections."),
        update=(ADMIN, "Change SSH connections."),
        delete=(ADMIN, "Remove SSH connections."),
        test=(ADMIN, "Test SSH connections, which pins a host key on first use."),
        trust=(ADMIN, "Accept a host key that has changed."),
        execute=(ADMIN, "Run commands over any SSH connection."),
        use=(ADMIN, "Let a server be reached by an SSH connection."),
    ),
    *_codes(
        "commands",
        view=(VIEWER, "See the commands that were run, with their output."),
        run=(OPERATOR, "Run commands on servers."),
        cancel=(OPERATOR, "Cancel commands that run."),
    ),
    *_codes(
        "change_limits",
        view=(VIEWER, "See how many servers may be under change at once."),
        create=(ADMIN, "Add such a limit."),
        update=(ADMIN, "Change such a limit."),
        delete=(ADMIN, "Remove such a limit."),
    ),
    *_codes(
        "terminals",
        view=(OPERATOR, "See one's own terminal sessions and replay them."),
        view_all=(ADMIN, "See everybody's terminal sessions and replay them."),
        end=(ADMIN, "End a terminal session that is open."),
    ),
    *_codes(
        "agents",
        view=(VIEWER, "See agents and whether they are there."),
        manage=(OPERATOR, "Add, change and remove agents, and see which hosts wait to be let in."),
        approve=(ADMIN, "Let waiting hosts in or refuse them, and make tokens with which hosts may ask."),
        revoke=(ADMIN, "Revoke an agent: its connection is cut at once."),
    ),
    *_codes("workers", report=(OPERATOR, "Report a worker's load and ask for its tasks.")),
    *_codes("samples", push=(OPERATOR, "Push metrics of a server.")),
    *_codes("metrics", export=(VIEWER, "Export metrics.")),
    *_codes(
        "processes",
        view=(VIEWER, "See processes."),
        signal=(OPERATOR, "Send a signal to a process."),
    ),
    *_codes(
        "containers",
        view=(VIEWER, "See containers, and what they write."),
        start=(OPERATOR, "Start containers."),
        stop=(OPERATOR, "Stop containers."),
        restart=(OPERATOR, "Restart containers."),
    ),
    *_codes("logs", view=(VIEWER, "Read and follow log lines."), push=(OPERATOR, "Push log lines of a server.")),
    *_codes(
        "log_rules",
        view=(VIEWER, "See the rules that watch log lines."),
        create=(OPERATOR, "Add rules that watch log lines."),
        update=(OPERATOR, "Change rules that watch log lines."),
        delete=(OPERATOR, "Remove rules that watch log lines."),
    ),
    *_codes(
        "endpoints",
        view=(VIEWER, "See endpoint monitors and their results."),
        create=(OPERATOR, "Add endpoint monitors."),
        update=(OPERATOR, "Change, pause and resume endpoint monitors."),
        delete=(OPERATOR, "Remove endpoint monitors."),
        check=(OPERATOR, "Run a check now."),
    ),
    *_codes(
        "heartbeats",
        view=(VIEWER, "See heartbeats, runs and pings."),
        create=(OPERATOR, "Add heartbeats."),
        update=(OPERATOR, "Change, pause and resume heartbeats."),
        delete=(OPERATOR, "Remove heartbeats."),
    ),
    *_codes(
        "ping_keys",
        view=(OPERATOR, "See ping keys and ping with them."),
        create=(OPERATOR, "Add ping keys."),
        update=(OPERATOR, "Change and renew ping keys."),
        delete=(OPERATOR, "Remove ping keys."),
    ),
    *_codes(
        "badges",
        view=(VIEWER, "See public badges and their addresses."),
        create=(OPERATOR, "Make public badges."),
        delete=(OPERATOR, "Revoke public badges."),
    ),
    *_codes(
        "maintenance",
        view=(VIEWER, "See maintenance windows."),
        create=(OPERATOR, "Add maintenance windows."),
        update=(OPERATOR, "Change maintenance windows and end them early."),
        delete=(OPERATOR, "Remove maintenance windows."),
    ),
    *_codes(
        "dependencies",
        view=(VIEWER, "See what depends on what."),
        create=(OPERATOR, "Say that a thing depends on another."),
        delete=(OPERATOR, "Take a dependency back."),
    ),
    *_codes(
        "silences",
        view=(VIEWER, "See silences and what they mute."),
        create=(OPERATOR, "Silence alerts for a time."),
        delete=(OPERATOR, "End silences."),
    ),
    *_codes(
        "alerts",
        view=(VIEWER, "See alerts."),
        acknowledge=(OPERATOR, "Acknowledge alerts."),
        resolve=(OPERATOR, "Resolve alerts by hand."),
        configure=(OPERATOR, "Change the six global thresholds."),
    ),
    *_codes(
        "thresholds",
        view=(VIEWER, "See thresholds."),
        create=(OPERATOR, "Add thresholds."),
        update=(OPERATOR, "Change thresholds."),
        delete=(OPERATOR, "Remove thresholds."),
    ),
    *_codes(
        "alert_sources",
        view=(VIEWER, "See which other systems post their alerts here."),
        create=(OPERATOR, "Let another system post its alerts."),
        update=(OPERATOR, "Change, try and renew the token of a source of alerts."),
        delete=(OPERATOR, "Remove a source of alerts."),
    ),
    *_codes(
        "escalations",
        view=(VIEWER, "See escalation policies."),
        create=(ADMIN, "Add escalation policies."),
        update=(ADMIN, "Change escalation policies."),
        delete=(ADMIN, "Remove escalation policies."),
    ),
    *_codes("notifications", view=(VIEWER, "Read one's own inbox.")),
    *_codes(
        "channels",
        view=(VIEWER, "See the channels' names and health."),
        configure=(ADMIN, "See the channels' configuration, credentials masked."),
        create=(ADMIN, "Add channels."),
        update=(ADMIN, "Change channels."),
        delete=(ADMIN, "Remove channels."),
        test=(ADMIN, "Send a test message."),
    ),
    *_codes(
        "deliveries",
        view=(OPERATOR, "See the ledger of what was sent, held and suppressed."),
        redeliver=(OPERATOR, "Have a message sent again."),
    ),
    *_codes(
        "rules",
        view=(ADMIN, "See notification rules."),
        create=(ADMIN, "Add notification rules."),
        update=(ADMIN, "Change notification rules."),
        delete=(ADMIN, "Remove notification rules."),
    ),
    *_codes(
        "webhooks",
        view=(VIEWER, "See webhooks and their deliveries."),
        create=(OPERATOR, "Add webhooks."),
        update=(OPERATOR, "Change webhooks."),
        delete=(OPERATOR, "Remove webhooks."),
        test=(OPERATOR, "Send a test to a webhook and redeliver."),
    ),
    *_codes(
        "status",
        view=(VIEWER, "See status pages, their components and notices in the console, drafts too."),
        create=(OPERATOR, "Add status pages, groups, components and drafts of notices."),
        update=(OPERATOR, "Change status pages, groups, components and notices, and set a status by hand."),
        delete=(OPERATOR, "Remove status pages, groups, components and notices."),
        publish=(OPERATOR, "Publish notices and say something new about them."),
        subscribers=(OPERATOR, "See and remove the subscribers of status pages."),
    ),
)

CODES: dict[str, Permission] = {permission.code: permission for permission in PERMISSIONS}
RESOURCES: frozenset[str] = frozenset(code.partition(":")[0] for code in CODES)


def is_known(grant: str) -> bool:
    """Return whether a grant is "*", "resource:*" of a known resource, or a known code."""
    return grant == "*" or grant in CODES or (grant.endswith(":*") and grant[:-2] in RESOURCES)


def codes_of_role(role: str) -> list[str]:
    """Return what a built-in role holds: "*" for admin, the listed codes otherwise, sorted."""
    if role == ADMIN:
        return ["*"]
    return sorted(permission.code for permission in PERMISSIONS if RANK[permission.role] <= RANK[role])


#: What a key bound to a server may do, whatever its owner may.
SERVER_KEY_CODES: frozenset[str] = frozenset(
    {"samples:push", "servers:view", "processes:view", "logs:push", "logs:view", "workers:report"}
)

#: What every person holds, whatever the roles say: the own account.
OWN_ACCOUNT_CODES: frozenset[str] = frozenset(code for code in CODES if code.startswith("profile:"))

#: What is left to a person whose rights are cut until something is done.
RESTRICTED_CODES: dict[str, frozenset[str]] = {
    "mfa_enrolment_required": frozenset({"profile:view", "profile:mfa", "profile:logout"}),
    "password_change_required": frozenset({"profile:view", "profile:password", "profile:logout"}),
}
