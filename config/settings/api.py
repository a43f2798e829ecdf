"""REST framework, tokens and the OpenAPI description."""

from datetime import timedelta
from typing import Any

from config.version import VERSION

REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["apps.accounts.authentication.CredentialAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["apps.core.api.permissions.HasCode"],
    "DEFAULT_THROTTLE_CLASSES": ["apps.core.api.throttling.PrincipalThrottle"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["apps.core.api.parsers.JSONParser"],
    "DEFAULT_PAGINATION_CLASS": "apps.core.api.pagination.EnvelopePagination",
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_SCHEMA_CLASS": "apps.core.api.schema.ConsoleAutoSchema",
    "URL_FORMAT_OVERRIDE": None,  # `format` is a parameter of exports
    "EXCEPTION_HANDLER": "apps.core.api.exceptions.handle",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
    "UNAUTHENTICATED_USER": None,
    "UNAUTHENTICATED_TOKEN": None,
}
SIMPLE_JWT: dict[str, Any] = {
    "ALGORITHM": "HS256",
    "ACCESS_TOKEN_LIFETIME": timedelta(minutes=30),
    "REFRESH_TOKEN_LIFETIME": timedelta(days=7),
    "AUDIENCE": "watchkeeper",
    "ISSUER": "watchkeeper",
    "LEEWAY": 5,
}
SPECTACULAR_SETTINGS: dict[str, Any] = {
    "TITLE": "Watchkeeper",
    "DESCRIPTION": "REST API of the operations console. Every path answers with and without a trailing slash.",
    "VERSION": VERSION,
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": "/api/v[0-9]+",
    "COMPONENT_SPLIT_REQUEST": True,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "SERVE_AUTHENTICATION": [],
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "PREPROCESSING_HOOKS": ["apps.core.api.schema.strip_optional_slash"],
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    # Things that all have a `status`, each its own.
    "ENUM_NAME_OVERRIDES": {
        "AgentKindEnum": "apps.agents.states.KINDS",
        "AlertSourceKindEnum": "apps.alerts.models.AlertSource.Kind",
        "AlertStatusEnum": "apps.alerts.models.Alert.Status",
        "BatchStatusEnum": "apps.fleet.states.BatchStatus",
        "CertificateSourceEnum": "apps.monitors.states.certificates.SOURCES",
        "CertificateStatusEnum": "apps.monitors.states.certificates.STATUSES",
        "CheckStatusEnum": "apps.monitors.states.endpoints.CHECKED",
        "CommandStatusEnum": "apps.fleet.states.RunStatus",
        "EndpointStatusEnum": "apps.monitors.states.endpoints.STATUSES",
        "HeartbeatStatusEnum": "apps.monitors.states.heartbeats.STATUSES",
        "ImportOutcomeEnum": "apps.fleet.states.IMPORT_OUTCOMES",
        "LevelEnum": "apps.alerts.models.Alert.Level",
        "LogLevelEnum": "apps.fleet.logs.entries.LEVEL_WORDS",
        "LogRuleKindEnum": "apps.fleet.models.LogRule.Kind",
        "LogSourceEnum": "apps.fleet.logs.entries.SOURCE_WORDS",
        "StatusComponentSourceEnum": "apps.statuspage.states.Source",
        "StatusNoticeKindEnum": "apps.statuspage.states.NoticeKind",
        "StatusNoticeStateEnum": "apps.statuspage.states.NoticeState",
        "StatusNoticeSeverityEnum": "apps.statuspage.states.Severity",
        "StatusSubscriberKindEnum": "apps.statuspage.states.SubscriberKind",
        "StatusSubscriberStateEnum": "apps.statuspage.states.SubscriberState",
        "TerminalStatusEnum": "apps.fleet.states.TerminalStatus",
    },
}
