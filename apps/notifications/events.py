"""Events of the notifications."""

from apps.core.events.catalogue import ID, INTEGER, LIVE, TEXT, TEXTS, declare

CHANNEL = {"channel_id": ID, "name": TEXT, "type": TEXT}
RULE = {"rule_id": ID, "name": TEXT}
WEBHOOK = {"webhook_id": ID, "name": TEXT}

declare(
    "notification",
    doc="A message came into a person's inbox.",
    permission="notifications:view",
    fields={
        "notification_id": ID,
        "title": TEXT,
        "message": TEXT,
        "level": TEXT,
        "event": TEXT,
        "subject_kind": TEXT,
        "subject_id": TEXT,
        "url": TEXT,
    },
)
declare(
    "notification.read",
    kind=LIVE,
    doc="A person read messages of the inbox; the count of unread ones changed.",
    permission="notifications:view",
    fields={"unread_count": INTEGER},
)

declare("channel.created", doc="A channel was added.", permission="channels:view", fields=CHANNEL)
declare(
    "channel.updated", doc="A channel was changed.", permission="channels:view", fields={**CHANNEL, "changed": TEXTS}
)
declare("channel.deleted", doc="A channel was removed.", permission="channels:view", fields=CHANNEL)
declare(
    "channel.tested",
    doc="Somebody sent a test message to a channel.",
    permission="channels:view",
    fields={**CHANNEL, "outcome": TEXT},
)
declare(
    "channel.disabled",
    doc="A channel was disabled by the platform, because deliveries kept failing.",
    permission="channels:view",
    fields={**CHANNEL, "reason": TEXT},
)

declare(
    "channel.redelivered",
    doc="Somebody had a message sent to a channel again.",
    permission="channels:view",
    fields={**CHANNEL, "delivery_id": ID, "message_id": TEXT},
)

declare("rule.created", doc="A notification rule was added.", permission="rules:view", fields=RULE)
declare(
    "rule.updated", doc="A notification rule was changed.", permission="rules:view", fields={**RULE, "changed": TEXTS}
)
declare("rule.deleted", doc="A notification rule was removed.", permission="rules:view", fields=RULE)

declare("webhook.created", doc="A webhook was added.", permission="webhooks:view", fields=WEBHOOK)
declare(
    "webhook.updated", doc="A webhook was changed.", permission="webhooks:view", fields={**WEBHOOK, "changed": TEXTS}
)
declare("webhook.deleted", doc="A webhook was removed.", permission="webhooks:view", fields=WEBHOOK)
declare(
    "webhook.tested",
    doc="Somebody sent a test message to a webhook.",
    permission="webhooks:view",
    fields={**WEBHOOK, "outcome": TEXT},
)
declare(
    "webhook.redelivered",
    doc="Somebody had a message sent to a webhook again.",
    permission="webhooks:view",
    fields={**WEBHOOK, "delivery_id": ID, "message_id": TEXT},
)
declare(
    "webhook.disabled",
    doc="A webhook was disabled by the platform, because deliveries kept failing.",
    permission="webhooks:view",
    fields={**WEBHOOK, "reason": TEXT},
)
