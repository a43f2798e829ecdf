"""How the services that transports speak to answer, for a local host in their place."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from apps.notifications.transports import transports
from tests.support.servers import Reply, Request

TOKEN = "hush-token-123456"


@dataclass(frozen=True)
class Service:
    """One service as its documentation says.

    Args:
        config: for a host on this machine; "{url}" is its address.
        good: what it answers to what it takes.
        busy: what it answers when asked too often, and for how many seconds it asks to be left alone.
        refused: what it answers when token or address are not valid (any more).
        texts: what of a request people will read.
        limits: what of a request may be how long.
    """

    config: dict[str, Any]
    good: Reply
    busy: tuple[Reply, float]
    refused: Reply
    path: str
    texts: Callable[[Any], list[str]]
    limits: Callable[[Any], list[tuple[str, int]]]
    secret: str = TOKEN
    method: str = "POST"


def answer(status: int, body: Any = "", **headers: str) -> Reply:
    """Return an answer in JSON or text."""
    data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    return Reply(status, data, {name.replace("_", "-"): value for name, value in headers.items()})


def body_of(request: Request) -> Any:
    """Return what a request says: JSON, or the values of a form."""
    if request.headers["content-type"].startswith("application/json"):
        return json.loads(request.body)
    from urllib.parse import parse_qs

    return {name: values[0] for name, values in parse_qs(request.body.decode(), keep_blank_values=True).items()}


def strings(value: Any) -> list[str]:
    """Return every text in a body."""
    if isinstance(value, dict):
        return [text for one in value.values() for text in strings(one)]
    if isinstance(value, list):
        return [text for one in value for text in strings(one)]
    return [value] if isinstance(value, str) else []


def _slack_texts(body: Any) -> list[str]:
    blocks = body["attachments"][0]["blocks"]
    return [block["text"]["text"] for block in blocks if "text" in block] + [
        one["text"] for block in blocks for one in block.get("elements", ())
    ]


def _teams_texts(body: Any) -> list[str]:
    card = body["attachments"][0]["content"]
    return [run["text"] for block in card["body"] for run in block["inlines"]] + [
        action["url"] for action in card["actions"]
    ]


HOOK = {"url": "{url}/hooks/" + TOKEN}
SLOW = answer(429, {"error": "slow down"}, Retry_After="17")

SERVICES: dict[str, Service] = {
    "slack": Service(
        HOOK, answer(200, "ok"), (answer(429, "rate_limited", Retry_After="30"), 30.0), answer(404, "no_service"),
        f"/hooks/{TOKEN}", _slack_texts,
        lambda body: [(text, 3000) for text in _slack_texts(body)] + [(_slack_texts(body)[0], 150)],
    ),
    "discord": Service(
        HOOK, answer(200, {"id": "1"}), (answer(429, {"message": "limited", "retry_after": 1.5, "global": False}), 1.5),
        answer(404, {"message": "Unknown Webhook", "code": 10015}), f"/hooks/{TOKEN}",
        lambda body: strings(body["embeds"]),
        lambda body: [(body["embeds"][0]["title"], 256), (body["embeds"][0]["description"], 4096)],
    ),
    "teams": Service(
        HOOK, answer(202), (SLOW, 17.0), answer(401, {"error": {"code": "DirectApiAuthorizationRequired"}}),
        f"/hooks/{TOKEN}", _teams_texts, lambda body: [(json.dumps(body, ensure_ascii=False), 28000)],
    ),
    "telegram": Service(
        {"token": "123456:hush-token-123456", "chat": "-100200300", "server": "{url}"},
        answer(200, {"ok": True, "result": {"message_id": 7}}),
        (answer(429, {"ok": False, "error_code": 429, "description": "Too Many Requests: retry after 9",
                      "parameters": {"retry_after": 9}}), 9.0),
        answer(401, {"ok": False, "error_code": 401, "description": "Unauthorized"}),
        "/bot123456:hush-token-123456/sendMessage", lambda body: [body["text"]], lambda body: [(body["text"], 4096)],
        secret="123456:hush-token-123456",
    ),
    "ntfy": Service(
        {"topic": TOKEN, "token": "tk_hush", "server": "{url}"}, answer(200, {"id": "x", "event": "message"}),
        (answer(429, {"code": 42901, "http": 429, "error": "limit reached"}), 0.0),
        answer(403, {"code": 40301, "http": 403, "error": "forbidden"}), "/",
        lambda body: [body["title"], body["message"], body["click"]],
        lambda body: [(body["title"], 250), (body["message"], 4096)],
    ),
    "gotify": Service(
        {"server": "{url}", "token": TOKEN}, answer(200, {"id": 1, "appid": 1}), (SLOW, 17.0),
        answer(401, {"error": "Unauthorized", "errorCode": 401, "errorDescription": "give a valid token"}),
        "/message", strings, lambda body: [(body["title"], 250), (body["message"], 10000)],
    ),
    "pushover": Service(
        {"token": TOKEN, "user": "hush-user-key", "server": "{url}"}, answer(200, {"status": 1, "request": "r"}),
        (answer(429, {"status": 0, "errors": ["too many messages"]}, Retry_After="60"), 60.0),
        answer(400, {"token": "invalid", "errors": ["application token is invalid"], "status": 0}),
        "/1/messages.json", strings, lambda body: [(body["title"], 250), (body["message"], 1024)],
    ),
    "pagerduty": Service(
        {"key": TOKEN, "server": "{url}"}, answer(202, {"status": "success", "dedup_key": "k"}), (SLOW, 17.0),
        answer(400, {"status": "invalid event", "message": "Event object is invalid", "errors": ["routing_key"]}),
        "/v2/enqueue", strings, lambda body: [(body["payload"]["summary"], 1024)],
    ),
    "opsgenie": Service(
        {"key": TOKEN, "server": "{url}"}, answer(202, {"result": "Request will be processed", "took": 0.1}),
        (answer(429, {"message": "You are making too many requests!"}, X_RateLimit_State="THROTTLED"), 0.0),
        answer(403, {"message": "API Key is not valid"}), "/v2/alerts", strings,
        lambda body: [(body["message"], 130), (body["description"], 15000)],
    ),
    "matrix": Service(
        {"server": "{url}", "token": TOKEN, "room": "!abc:example.org"}, answer(200, {"event_id": "$1"}),
        (answer(429, {"errcode": "M_LIMIT_EXCEEDED", "error": "Too many requests", "retry_after_ms": 2500}), 2.5),
        answer(401, {"errcode": "M_UNKNOWN_TOKEN", "error": "Invalid access token"}),
        "/_matrix/client/v3/rooms/%21abc%3Aexample.org/send/m.room.message/0192f0c4-0000-7000-8000-000000000001",
        lambda body: [body["body"], body["formatted_body"]],
        lambda body: [(json.dumps(body, ensure_ascii=False), 65536)],
        method="PUT",
    ),
    "mattermost": Service(
        HOOK, answer(200, "ok"), (SLOW, 17.0), answer(404, {"message": "Invalid webhook", "status_code": 404}),
        f"/hooks/{TOKEN}", strings, lambda body: [(body["attachments"][0]["text"], 16383)],
    ),
    "rocketchat": Service(
        HOOK, answer(200, {"success": True}), (SLOW, 17.0), answer(403, {"success": False, "error": "not-allowed"}),
        f"/hooks/{TOKEN}", strings, lambda body: [(body["attachments"][0]["text"], 5000)],
    ),
}  # fmt: skip


def config_for(kind: str, url: str) -> dict[str, Any]:
    """Return a checked configuration of a service that runs at `url`."""
    given = SERVICES[kind].config
    filled = {name: text.replace("{url}", url) if isinstance(text, str) else text for name, text in given.items()}
    return transports[kind].clean_config(filled)
