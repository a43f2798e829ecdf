"""The main story on the embedded product, with Redis away, and with each process killed in the middle of it."""

from collections.abc import Iterator

import pytest

from tests.e2e.story import ENVIRONMENT, Listener, Story
from tests.support.processes import Installation, Template, wait_for


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory, template: Template) -> Iterator[Installation]:
    """One installation; each story in it has a site, a job and a receiver of its own."""
    with Installation(
        data_dir=tmp_path_factory.mktemp("story") / "data", env=ENVIRONMENT, template=template
    ) as running:
        yield running


def story_of(installation: Installation) -> Story:
    assert installation.admin is not None
    return Story(installation.port, installation.admin.username, installation.admin.password)


def test_site_that_breaks_and_is_mended_is_told_everywhere(installation: Installation) -> None:
    with story_of(installation).running() as story:
        story.set_up()
        with Listener(story.api) as listener:
            alert = story.break_site()
            story.mend_site(alert)
            wait_for(
                lambda: listener.names(story.endpoint["id"]) == ["alert.opened", "alert.resolved"],
                what="the socket tells both",
            )
        assert story.ping("/start")
        assert story.ping("/3")
        wait_for(
            lambda: story.api.call("GET", f"/api/v1/heartbeats/{story.heartbeat['id']}")["status"] == "down",
            what="the failed run is seen",
        )
        assert story.ping()
        assert story.api.call("GET", f"/api/v1/heartbeats/{story.heartbeat['id']}")["status"] == "up"
        story.assert_told_in_order()


@pytest.mark.parametrize("part", ["worker", "web", "redis", "supervisor"])
def test_killed_part_in_the_middle_of_the_story_loses_nothing(installation: Installation, part: str) -> None:
    with story_of(installation).running() as story:
        story.set_up()
        with Listener(story.api) as listener:
            known = {row["id"] for row in story.alerts()}
            story.target.stop()
            installation.kill9(part)
            if part == "supervisor":
                installation.assert_nothing_left()
                installation.start()
            alert = story.wait_broken(known)
            assert story.ping()
            story.mend_site(alert)
            wait_for(
                lambda: (
                    listener.names(story.endpoint["id"]) == ["alert.opened", "alert.resolved"] or listener.was_reset
                ),
                what="the socket, resumed, tells both in order",
            )
        assert story.api.call("GET", f"/api/v1/heartbeats/{story.heartbeat['id']}")["ping_count"] == 1
        story.assert_told_in_order()


def test_story_is_played_to_its_end_without_redis(tmp_path_factory: pytest.TempPathFactory) -> None:
    away = {**ENVIRONMENT, "REDIS_URL": "redis://127.0.0.1:9/0"}
    with (
        Installation(data_dir=tmp_path_factory.mktemp("noredis") / "data", env=away) as installation,
        story_of(installation).running() as story,
    ):
        story.set_up()
        with Listener(story.api) as listener:
            alert = story.break_site()
            story.mend_site(alert)
            wait_for(
                lambda: listener.names(story.endpoint["id"]) == ["alert.opened", "alert.resolved"],
                what="the socket tells both",
            )
        assert story.ping()
        story.assert_told_in_order()
