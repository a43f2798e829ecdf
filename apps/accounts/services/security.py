"""Security settings, password policy and IP rules."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from django.db import transaction

from apps.accounts import addresses
from apps.accounts.models import IpRule, Role
from apps.accounts.policies import PASSWORD_POLICY, SECURITY
from apps.accounts.services.common import announce_rights
from apps.core import runtime_settings
from apps.core.errors import Invalid
from apps.core.events import Subject, emit
from apps.core.principals import Principal

MOST_RULES = 1000  # each request is held against all of them
_ORIGIN = re.compile(r"^https?://[A-Za-z0-9.-]+(:\d{1,5})?$")


def settings_of(category: str) -> dict[str, Any]:
    """Return the settings of a category in force, by key."""
    names = [one for _, one in runtime_settings.declared.items() if one.category == category]
    return {one.key: runtime_settings.get(one.name) for one in names}


def update_security(*, changes: Mapping[str, Any], actor: Principal) -> dict[str, Any]:
    """Change security settings, all of them or none.

    Returns:
        All of them, as they are now.

    Raises:
        Invalid: an unknown setting or a wrong value (422).

    Emits: setting.changed.
    Source: contract, PUT /security.
    """
    problems: dict[str, str] = {}
    named = [
        *_texts(changes.get("mfa_required_roles")),
        *_texts([changes["default_role"]] if "default_role" in changes else []),
    ]
    known = set(Role.objects.filter(name__in=named).values_list("name", flat=True))
    if wrong := [name for name in _texts(changes.get("mfa_required_roles")) if name not in known]:
        problems["mfa_required_roles"] = f"There is no role {', '.join(wrong)}."
    if "default_role" in changes and changes["default_role"] not in known:
        problems["default_role"] = "There is no such role."
    if wrong := [origin for origin in _texts(changes.get("allowed_origins")) if not _ORIGIN.match(origin)]:
        problems["allowed_origins"] = f"{', '.join(wrong)}: give an origin such as https://app.example.org."
    _change(SECURITY, changes, problems, actor)
    return settings_of(SECURITY)


def _texts(value: Any) -> list[str]:
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def update_password_policy(*, changes: Mapping[str, Any], actor: Principal) -> dict[str, Any]:
    """Change the password policy; it holds wherever a password is set from then on.

    Raises:
        Invalid: an unknown setting or a wrong value (422).

    Emits: setting.changed.
    Source: contract, PUT /security/password-policy.
    """
    _change(PASSWORD_POLICY, changes, {}, actor)
    return settings_of(PASSWORD_POLICY)


def _change(category: str, changes: Mapping[str, Any], problems: dict[str, str], actor: Principal) -> None:
    for key, value in changes.items():
        setting = runtime_settings.declared.get(f"{category}.{key}")
        if setting is None:
            problems[key] = "There is no such setting."
            continue
        try:
            runtime_settings.clean(setting, value)
        except ValueError as error:
            problems.setdefault(key, str(error))
    if problems:
        raise Invalid(problems)
    runtime_settings.change_settings(values={f"{category}.{key}": value for key, value in changes.items()}, actor=actor)


def replace_ip_rules(*, rules: Sequence[Mapping[str, str]], address: str, actor: Principal) -> list[IpRule]:
    """Replace the allow and block lists.

    Args:
        rules: each with cidr, action ("allow" or "block") and an optional note.
        address: the caller's own, which must not be locked out.

    Raises:
        Invalid: a wrong CIDR or action, or the caller would be locked out (422).

    Emits: ip_rules.changed.
    Source: contract, PUT /security/ip-rules.
    """
    if len(rules) > MOST_RULES:
        raise Invalid({"rules": f"Give at most {MOST_RULES} rules."})
    rows, problems, seen = [], {}, set()
    for index, rule in enumerate(rules):
        try:
            cidr = str(addresses.parse_network(rule["cidr"]))
        except ValueError:
            problems[f"rules.{index}.cidr"] = "Give a CIDR such as 10.0.0.0/8 or an address."
            continue
        if rule["action"] not in IpRule.Action.values:
            problems[f"rules.{index}.action"] = "Give allow or block."
            continue
        if (cidr, rule["action"]) not in seen:
            seen.add((cidr, rule["action"]))
            rows.append(IpRule(cidr=cidr, action=rule["action"], note=rule.get("note", "")[:255], position=index))
    if not problems and not addresses.RuleSet((row.cidr, row.action) for row in rows).admits(address):
        problems["rules"] = f"These rules would lock out your own address, {address}."
    if problems:
        raise Invalid(problems)

    def shown(found: Sequence[IpRule]) -> list[str]:
        return [f"{rule.action} {rule.cidr}" for rule in found]

    with transaction.atomic():
        former = list(IpRule.objects.select_for_update())
        IpRule.objects.all().delete()
        IpRule.objects.bulk_create(rows)
        emit(
            "ip_rules.changed",
            subject=Subject("security", "ip_rules", "IP rules"),
            actor=actor,
            level="warning",
            data={"rules": len(rows)},
            before={"rules": shown(former)},
            after={"rules": shown(rows)},
        )
        transaction.on_commit(addresses.forget)
        announce_rights()
    return rows
