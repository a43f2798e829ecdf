"""Addresses by ping key and slug: finding the heartbeat, or adding it by its first ping."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from uuid import UUID

from django.db import transaction

from apps.accounts.hashing import hash_secret
from apps.core.principals import system
from apps.monitors.models import Heartbeat, PingKey
from apps.monitors.services.heartbeat_creation import create_heartbeat
from apps.monitors.services.heartbeat_rules import SLUG
from apps.monitors.services.ping_keys import schedule_for_new

_digest = lru_cache(1024)(hash_secret)


@dataclass(frozen=True, slots=True)
class SlugAddress:
    """`/ping/k/<key>/<slug>`; with `create`, the first ping adds the heartbeat."""

    key: str
    slug: str
    create: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """Where an address leads: a heartbeat's uuid, whether it was added just now, or why there is none.

    Args:
        uuid: None where there is no such key or heartbeat, or where `problem` says what is in the way.
    """

    uuid: UUID | None = None
    is_new: bool = False
    problem: str = ""


NOTHING = Found()


def find_slugs(wanted: set[SlugAddress]) -> Mapping[SlugAddress, Found]:
    """Return where the addresses lead, in two queries; what is added costs more, once.

    Call it inside the transaction that accepts the pings, before heartbeats are locked.

    Emits: heartbeat.created.
    """
    digests = {_digest(address.key) for address in wanted}
    keys = {key.digest: key for key in PingKey.objects.filter(digest__in=digests, enabled=True)}
    known: defaultdict[tuple[UUID, str], list[UUID]] = defaultdict(list)
    if keys:
        rows = Heartbeat.objects.filter(
            ping_key__in=[key.pk for key in keys.values()], slug__in={address.slug for address in wanted}
        )
        for key_id, slug, uuid in rows.order_by().values_list("ping_key_id", "slug", "uuid"):
            known[key_id, slug].append(uuid)
    found: dict[SlugAddress, Found] = {}
    for address in sorted(wanted, key=lambda one: (one.key, one.slug, not one.create)):
        key = keys.get(_digest(address.key))
        if key is None:
            continue
        uuids = known[key.pk, address.slug]
        if not uuids and address.create:
            found[address] = _added(key, address.slug)
            if found[address].uuid is not None:
                uuids.append(found[address].uuid)  # type: ignore[arg-type]
        elif len(uuids) > 1:
            found[address] = Found(
                problem=f'{len(uuids)} heartbeats of this key have the slug "{address.slug}"; give each its own.'
            )
        elif uuids:
            found[address] = Found(uuids[0])
    return found


def _added(key: PingKey, slug: str) -> Found:
    if not SLUG.match(slug):
        return Found(problem="A slug has up to 100 of a-z, 0-9, point, - and _, a letter or digit first.")
    # Two processes must not add the same one, nor more than the limit. Changes of a heartbeat don't wait for this lock.
    PingKey.objects.select_for_update(no_key=True).get(pk=key.pk)
    uuid = Heartbeat.objects.filter(ping_key=key, slug=slug).values_list("uuid", flat=True).first()
    if uuid is not None:
        return Found(uuid)
    if Heartbeat.objects.filter(ping_key=key).count() >= key.create_limit:
        return Found(
            problem=f"{key.create_limit} heartbeats belong to this key, and pings add no more. Raise its limit, or add "
            "this one by hand."
        )
    with transaction.atomic():
        heartbeat = create_heartbeat(
            actor=system(f"ping key {key.name}"),
            name=slug,
            slug=slug,
            ping_key_id=key.pk,
            tags=key.tags,
            **schedule_for_new(key),
        )
    return Found(heartbeat.uuid, is_new=True)
