"""Settings of the vault."""

from apps.core.runtime_settings import declare

declare(
    "secrets",
    "expiry_warning_days",
    "int",
    14,
    "How many days before a secret ends people are told.",
    least=1,
    most=365,
)
declare(
    "secrets",
    "grace",
    "duration",
    86_400,
    "How long the former value stays readable after a rotation, where the secret says nothing else; 0: not at all.",
    least=0,
    most=90 * 86_400,
)
declare(
    "secrets",
    "reveals_per_hour",
    "int",
    30,
    "How many values one person or key may have shown in an hour.",
    least=1,
    most=10_000,
)
declare(
    "retention",
    "secret_uses",
    "duration",
    365 * 86_400,
    "How long it is kept who used a secret for what, after the latest time.",
    least=86_400,
    most=3650 * 86_400,
)
