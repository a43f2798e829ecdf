"""A read that takes too long is given up, and the connection goes on."""

import pytest
from django.db import OperationalError, connection, transaction

from apps.core.patience import TookTooLong, read_within

pytestmark = pytest.mark.django_db

ENDLESS = """
WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 1000000000)
SELECT count(*) FROM numbers WHERE n % 7 = 8
"""


def ask(statement: str) -> object:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchone()[0]


def test_read_that_takes_too_long_is_given_up_and_the_connection_goes_on() -> None:
    with transaction.atomic():
        with pytest.raises(TookTooLong), read_within(20):
            ask(ENDLESS)
        assert ask("SELECT 1") == 1
    with read_within(60_000):
        assert ask("SELECT 2") == 2


def test_limit_ends_with_its_block() -> None:
    with read_within(1000):
        pass
    if connection.vendor == "postgresql":
        assert ask("SHOW statement_timeout") == "0"
    else:
        counted = (
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200000) SELECT count(*) FROM n"
        )
        with read_within(1):
            pass
        assert ask(counted) == 200_000


def test_without_time_nothing_is_begun() -> None:
    with pytest.raises(TookTooLong), read_within(0):
        ask("SELECT 1")


def test_other_faults_stay_what_they_are() -> None:
    with pytest.raises(OperationalError, match="interrupted"), read_within(1000):
        raise OperationalError("interrupted by nobody")
