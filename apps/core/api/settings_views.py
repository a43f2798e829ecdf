"""Runtime settings over REST."""

from typing import Any, ClassVar

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from apps.core import runtime_settings
from apps.core.api.views import ApiView
from apps.core.errors import Invalid, NotFound
from apps.core.health import all_parts
from apps.core.runtime_settings import Setting


def setting_row(setting: Setting) -> dict[str, Any]:
    """Return one setting as the API shows it."""
    value = runtime_settings.get(setting.name)
    return {
        "value": "***" if setting.secret and value else value,
        "type": setting.kind,
        "default": setting.default,
        "description": setting.description,
        "is_default": value == setting.default,
        "least": setting.least,
        "most": setting.most,
        "choices": list(setting.choices) if setting.choices else None,
    }


class SettingsView(ApiView):
    """All settings."""

    codes: ClassVar[dict[str, str]] = {"get": "settings:view"}

    @extend_schema(
        operation_id="settings_list",
        summary="Settings by category",
        responses={(200, "application/json"): OpenApiTypes.OBJECT},
    )
    def get(self, request: Request) -> Response:
        """Return category -> key -> value, type, default, description."""
        body: dict[str, dict[str, Any]] = {}
        for _, setting in runtime_settings.declared.items():
            body.setdefault(setting.category, {})[setting.key] = setting_row(setting)
        return Response(body)


class SettingView(ApiView):
    """One setting."""

    codes: ClassVar[dict[str, str]] = {"put": "settings:update"}

    @extend_schema(
        operation_id="settings_update",
        summary="Change a setting",
        request=inline_serializer("SettingValue", {"value": serializers.JSONField()}),
        responses={(200, "application/json"): OpenApiTypes.OBJECT},
        examples=[OpenApiExample("Metrics every 10 s", value={"value": 10}, request_only=True)],
    )
    def put(self, request: Request, category: str, key: str) -> Response:
        """Change one setting.

        Raises:
            NotFound: no such setting (404).
            Invalid: wrong type, out of range, or a field other than `value` (422).
        """
        setting = runtime_settings.declared.get(f"{category}.{key}")
        if setting is None:
            raise NotFound(f"There is no setting {category}.{key}.")
        body = _object(request.data)
        if set(body) != {"value"}:
            raise Invalid(dict.fromkeys(set(body) ^ {"value"}, "is not a field here; send value alone"))
        runtime_settings.change_settings(values={setting.name: body["value"]}, actor=self.principal())
        return Response({"category": category, "key": key, **setting_row(setting)})


class SettingsBulkView(ApiView):
    """Several settings at once."""

    codes: ClassVar[dict[str, str]] = {"put": "settings:update"}

    @extend_schema(
        operation_id="settings_bulk",
        summary="Change settings, all or nothing",
        request=inline_serializer("SettingValues", {"settings": serializers.DictField()}),
        responses=inline_serializer("SettingsUpdated", {"updated": serializers.IntegerField()}),
        examples=[
            OpenApiExample(
                "Two settings",
                value={"settings": {"metrics.interval_s": 10, "retention.pings": "30d"}},
                request_only=True,
            )
        ],
    )
    def put(self, request: Request) -> Response:
        """Change all of them or none.

        Raises:
            Invalid: an unknown setting, a wrong type, out of range (422); nothing is changed.
        """
        values = _object(request.data).get("settings")
        if not isinstance(values, dict) or not values:
            raise Invalid({"settings": 'give an object such as {"metrics.interval_s": 10}'})
        runtime_settings.change_settings(values=values, actor=self.principal())
        return Response({"updated": len(values)})


def _object(data: Any) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise Invalid({"": "send a JSON object"})
    return data


class SettingsHealthView(ApiView):
    """Health of the parts."""

    codes: ClassVar[dict[str, str]] = {"get": "settings:view"}

    @extend_schema(
        operation_id="settings_health",
        summary="Health of the parts",
        responses={(200, "application/json"): OpenApiResponse(OpenApiTypes.OBJECT)},
    )
    def get(self, request: Request) -> Response:
        """Return status, latency_ms and detail of database, redis, storage, mail, broker, docker and the channel
        layer.
        """
        parts = {
            name: {"status": part.status, "latency_ms": part.latency_ms, "detail": part.detail}
            for name, part in all_parts().items()
        }
        is_healthy = all(part["status"] in ("ok", "off") for part in parts.values())
        return Response({"overall": "healthy" if is_healthy else "degraded", **parts})


class RefreshIntervalView(ApiView):
    """The interval of metrics."""

    codes: ClassVar[dict[str, str]] = {"post": "settings:refresh"}
    _interval = inline_serializer(
        "RefreshInterval", {"interval": serializers.IntegerField(min_value=1, max_value=3600, help_text="Seconds.")}
    )

    @extend_schema(
        operation_id="settings_refresh",
        summary="Change the metrics interval",
        request=_interval,
        responses=_interval,
        examples=[OpenApiExample("Every 10 s", value={"interval": 10}, request_only=True)],
    )
    def post(self, request: Request) -> Response:
        """Change the interval that host agents and the local sampler follow from their next sample on.

        Raises:
            Invalid: not a whole number of seconds in 1..3600 (422).
        """
        body = _object(request.data)
        if "interval" not in body or set(body) != {"interval"}:
            raise Invalid({"interval": "give the seconds between two samples, 1..3600"})
        try:
            runtime_settings.change_settings(values={"metrics.interval_s": body["interval"]}, actor=self.principal())
        except Invalid as error:
            raise Invalid({"interval": error.problems["metrics.interval_s"]}) from error
        return Response({"interval": runtime_settings.get("metrics.interval_s")})
