"""The OpenAPI description as it is served."""

import json
from typing import Any

import pytest
import yaml
from django.test import Client

from config.version import VERSION
from tests.factories.accounts import client_as

pytestmark = pytest.mark.django_db


def test_description_is_the_same_for_everybody_and_in_both_forms(client: Client) -> None:
    plain = client.get("/api/v1/schema")
    assert (plain.status_code, plain["Content-Type"]) == (200, "application/vnd.oai.openapi; charset=utf-8")
    asked = client_as("admin").get("/api/v1/schema/", HTTP_ACCEPT="application/vnd.oai.openapi+json")
    assert asked["Content-Type"] == "application/vnd.oai.openapi+json"
    told: dict[str, Any] = json.loads(asked.content)
    assert yaml.load(plain.content, yaml.CSafeLoader) == told
    assert told["openapi"] == "3.1.0"
    assert told["info"]["version"] == VERSION
    assert set(told["paths"]["/api/v1/endpoints"]) == {"get", "post"}


@pytest.mark.parametrize("method", ["get", "post", "put", "delete"])
def test_unknown_path_is_told_in_the_shape_of_the_api(method: str) -> None:
    answer = getattr(Client(enforce_csrf_checks=True), method)("/api/v1/endpoint")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
