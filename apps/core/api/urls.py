"""Routes below /api/v1."""

from django.urls import re_path

from apps.core.api import audit_views, settings_views, system_views

urlpatterns = [
    re_path(r"^health/?$", system_views.HealthView.as_view(), name="api-health"),
    re_path(r"^runtime/status/?$", system_views.RuntimeStatusView.as_view(), name="runtime-status"),
    re_path(r"^edition/?$", system_views.EditionView.as_view(), name="edition"),
    re_path(r"^settings/?$", settings_views.SettingsView.as_view(), name="settings"),
    re_path(r"^settings/bulk/?$", settings_views.SettingsBulkView.as_view(), name="settings-bulk"),
    re_path(r"^settings/health/?$", settings_views.SettingsHealthView.as_view(), name="settings-health"),
    re_path(r"^settings/refresh/?$", settings_views.RefreshIntervalView.as_view(), name="settings-refresh"),
    re_path(r"^settings/(?P<category>[^/]+)/(?P<key>[^/]+)/?$", settings_views.SettingView.as_view(), name="setting"),
    re_path(r"^admin/audit/?$", audit_views.AuditView.as_view(), name="admin-audit"),
    re_path(r"^audit/?$", audit_views.AuditEventListView.as_view(), name="audit"),
    re_path(r"^audit/export/?$", audit_views.AuditExportView.as_view(), name="audit-export"),
]
