"""What every path of the API does alike with requests it can't take."""

import pytest

from tests.factories.accounts import client_as


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/api/v1/servers", "/api/v1/alerts/config"])
def test_method_that_a_path_does_not_have_is_405_and_a_stranger_is_asked_first(path: str) -> None:
    answer = client_as("viewer").delete(path)
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
    assert client_as("anonymous").delete(path).status_code == 401


@pytest.mark.django_db
def test_wrong_filter_is_said_to_be_in_the_query() -> None:
    answer = client_as("admin").get("/api/v1/security/sessions", {"user_id": "nobody"})
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["query", "user_id"]
