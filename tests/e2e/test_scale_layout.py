"""The parts of `docker-compose.yml` as plain processes on PostgreSQL and Redis.

SCALE_DATABASE_URL and SCALE_REDIS_URL name the engines; `.ci/run` starts a pair for itself.
"""

import http.client
import os
from collections.abc import Iterator
from urllib.parse import urlsplit

import psycopg
import pytest

from tests.e2e.story import ENVIRONMENT, Api, Listener, Story
from tests.e2e.test_installation import log_in
from tests.support.processes import ScaleLayout, scale_layout, wait_for


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScaleLayout]:
    """The whole layout on a database of its own."""
    server = os.environ.get("SCALE_DATABASE_URL")
    redis_url = os.environ.get("SCALE_REDIS_URL")
    assert server and redis_url, "SCALE_DATABASE_URL and SCALE_REDIS_URL must name a PostgreSQL and a Redis"
    data_dir = tmp_path_factory.mktemp("scale")
    name = f"wk_scale_{os.getpid()}"
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute(f'CREATE DATABASE "{name}"')  # type: ignore[arg-type]
    try:
        with scale_layout(
            data_dir=data_dir,
            database_url=urlsplit(server)._replace(path=f"/{name}").geturl(),
            redis_url=redis_url,
            env=ENVIRONMENT,
        ) as running:
            yield running
    finally:
        with psycopg.connect(server, autocommit=True) as admin:
            admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')  # type: ignore[arg-type]


def me(port: int, token: str) -> int:
    """Return the status of asking who the token's owner is."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/api/v1/auth/me", headers={"Authorization": f"Bearer {token}"})
    status = connection.getresponse().status
    connection.close()
    return status


def test_login_at_one_web_process_counts_at_the_other(layout: ScaleLayout) -> None:
    assert layout.admin is not None
    token = log_in(layout.ports["web1"], layout.admin)
    assert me(layout.ports["web2"], token) == 200


def test_killed_web_process_leaves_the_other_serving(layout: ScaleLayout) -> None:
    assert layout.admin is not None
    token = log_in(layout.ports["web2"], layout.admin)
    layout.kill9("web1")
    assert me(layout.ports["web2"], token) == 200
    layout.start_part("web1")
    assert me(layout.ports["web1"], token) == 200


def test_story_is_told_at_the_other_web_process_while_a_worker_dies(layout: ScaleLayout) -> None:
    admin = layout.admin
    assert admin is not None
    elsewhere = Api(layout.ports["web2"], admin.username, admin.password)
    elsewhere.call("GET", "/api/v1/auth/me")
    with Story(layout.ports["web1"], admin.username, admin.password).running() as story:
        story.set_up()
        with Listener(elsewhere) as listener:
            story.target.stop()
            layout.kill9("worker1")
            layout.kill9("beat")
            alert = story.break_site()
            layout.start_part("worker1")
            layout.start_part("beat")
            story.mend_site(alert)
            wait_for(
                lambda: listener.names(story.endpoint["id"]) == ["alert.opened", "alert.resolved"],
                what="the other web process's socket tells both",
            )
        assert not listener.was_reset
        assert story.ping()
        assert elsewhere.call("GET", f"/api/v1/heartbeats/{story.heartbeat['id']}")["ping_count"] == 1
        story.assert_told_in_order()
