"""Secrets in command lines."""

import pytest

from apps.fleet.masking import LONGEST, mask_command, mask_text


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        (["app", "--password=hunter2"], "app --password=***"),
        (["app", "--password", "hunter2", "-v"], "app --password *** -v"),
        (["app", "--api-key", "abc", "--name", "x"], "app --api-key *** --name x"),
        (["env", "DB_PASSWORD=hunter2", "app"], "env DB_PASSWORD=*** app"),
        (
            ["java", "-Djavax.net.ssl.keyStorePassword=x y", "-jar", "a.jar"],
            "java -Djavax.net.ssl.keyStorePassword=*** -jar a.jar",
        ),
        (["psql", "postgres://me:hunter2@db:5432/x"], "psql postgres://me:***@db:5432/x"),
        (["curl", "-H", "Authorization: Bearer abc.def", "http://x"], "curl -H Authorization: Bearer *** http://x"),
        (["curl", "-u", "me:hunter2", "http://x/?token=abc&a=1"], "curl -u *** http://x/?token=***&a=1"),
        (["mysql", "-uroot", "-phunter2"], "mysql -uroot -p***"),
        (["sshpass", "-p", "hunter2", "ssh", "host"], "sshpass -p *** ssh host"),
        (["redis-cli", "-a", "hunter2"], "redis-cli -a ***"),
        (["sh", "-c", "tool --token abc; PASSWORD=x y"], "sh -c tool --token *** PASSWORD=*** y"),
        (["app", '{"secret": "abc", "port": 1}'], 'app {"secret": "***", "port": 1}'),
        (["run", "wk_abcdefgh_sEcReT-123"], "run ***"),
        (["postgres", "-D", "/var/lib/data", "-c", "port=5432"], "postgres -D /var/lib/data -c port=5432"),
        ("app --token abc --port 80", "app --token *** --port 80"),
        ([], ""),
    ],
)
def test_value_that_looks_like_a_secret_is_masked(command: list[str] | str, shown: str) -> None:
    assert mask_command(command) == shown


def test_line_masked_twice_stays_as_it_is() -> None:
    once = mask_command(["app", "--password", "x", "--key=y", "https://a:b@c/"])
    assert mask_command(once) == once


def test_very_long_line_is_cut() -> None:
    assert len(mask_command(["java", "-cp", "a/b.jar:" * 20_000])) == LONGEST


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("key" * 130_000 + "=hunter2", "key" * 130_000 + "=***"),
        ("key" * 130_000 + " is long", "key" * 130_000 + " is long"),
        ("tool --" + "key-" * 130_000 + " hunter2", "tool --" + "key-" * 130_000 + " ***"),
        ("a." * 200_000 + "http://me:hunter2@db", "a." * 200_000 + "http://me:***@db"),
        ("eyJ-" * 100_000 + "end", "eyJ-" * 100_000 + "end"),
    ],
    ids=["name", "no name", "option", "address", "token"],
)
def test_line_of_any_length_is_masked_in_one_pass(line: str, shown: str) -> None:
    # By the square of its length each of these would take an hour.
    assert mask_text(line) == shown
