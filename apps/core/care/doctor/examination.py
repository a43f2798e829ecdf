"""Run every check; one that fails itself is a finding, not the end."""

from collections.abc import Callable, Iterable

from apps.core.care.doctor import data, place, work
from apps.core.care.doctor.findings import Finding, failed

Check = Callable[[], Iterable[Finding]]

#: In the order in which they are told: what lies under what. The names are those of the findings.
CHECKS: tuple[tuple[str, Check], ...] = (
    ("versions", place.check_versions),
    ("folder", place.check_folder),
    ("keys", place.check_keys),
    ("disk", place.check_disk),
    ("descriptors", place.check_descriptors),
    ("mail", place.check_mail),
    ("database", data.check_database),
    ("migrations", data.check_migrations),
    ("clock", data.check_clock),
    ("canary", data.check_canary),
    ("sealed values", data.check_sealed_values),
    ("vault drill", data.check_drill),
    ("redis", work.check_redis),
    ("processes", work.check_processes),
    ("beat", work.check_beat),
    ("sweeps", work.check_sweeps),
    ("readers", work.check_readers),
    ("facts set aside", work.check_set_aside),
    ("outside heartbeat", work.check_outside_heartbeat),
    ("mail pings", work.check_mail_pings),
)
#: Without these nothing can be asked of the tables.
GROUND = {"database", "migrations"}


def examine() -> list[Finding]:
    """Return what there is to say about this installation, most basic first."""
    found: list[Finding] = []
    for name, check in CHECKS:
        needs_tables = name in {
            "clock",
            "canary",
            "sealed values",
            "vault drill",
            "processes",
            "beat",
            "sweeps",
            "readers",
            "facts set aside",
            "outside heartbeat",
            "mail pings",
        }
        if needs_tables and any(one.check in GROUND and one.status == "failed" for one in found):
            continue
        try:
            found.extend(check())
        except Exception as error:
            found.append(
                failed(name, f"This could not be looked at: {type(error).__name__}: {str(error).strip()[:200]}")
            )
    return found
