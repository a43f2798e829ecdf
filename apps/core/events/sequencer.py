"""The sequencer: numbers committed facts, so that a reader that remembers the last number misses none.

Ids are handed out at insert and become visible at commit, so a reader that remembers the largest id would lose the rows
of a transaction that commits late. Numbers are given to committed rows only, by one process at a time.
"""

from django.db import connection, transaction

from apps.core import bell, leases
from apps.core.models import Sequence

SEQUENCE = "events"
BATCH = 500

_NUMBER = """
UPDATE core_event SET seq = %s + numbered.n
FROM (
    SELECT id, row_number() OVER (ORDER BY id) AS n FROM core_event WHERE seq IS NULL ORDER BY id LIMIT %s
) AS numbered
WHERE core_event.id = numbered.id
"""


def sequence_events() -> int:
    """Number the facts committed so far, in order of id.

    Returns:
        How many were numbered.
    """
    total = 0
    while True:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM core_event WHERE seq IS NULL LIMIT 1")
            if cursor.fetchone() is None:
                break
        with transaction.atomic():
            Sequence.objects.get_or_create(name=SEQUENCE)
            # The lock makes a second sequencer wait, lease or no lease.
            last = Sequence.objects.select_for_update().get(name=SEQUENCE)
            with connection.cursor() as cursor:
                cursor.execute(_NUMBER, [last.value, BATCH])
                numbered = cursor.rowcount
            last.value += numbered
            last.save(update_fields=["value"])
        total += numbered
        if numbered < BATCH:
            break
    if total:
        bell.ring(bell.FACTS)
    return total


def last_seq() -> int:
    """Return the number of the newest fact, 0 before the first."""
    row = Sequence.objects.filter(name=SEQUENCE).values_list("value", flat=True).first()
    return row or 0


def hold_lease() -> bool:
    """Take or renew the right to number."""
    return leases.keep("sequencer", seconds=10)
