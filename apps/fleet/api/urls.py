"""Routes below /api/v1."""

from django.urls import re_path

from apps.core.api.routers import ApiRouter
from apps.fleet.api import batches, commands, logs, views
from apps.fleet.api.change_limits import ChangeLimitViewSet
from apps.fleet.api.imports import MachineImportView
from apps.fleet.api.processes import ProcessSignalView
from apps.fleet.api.ssh import SshConnectionViewSet
from apps.fleet.api.terminals import TerminalEndView, TerminalListView, TerminalRecordingView, TerminalView

router = ApiRouter()
router.register("ssh-connections", SshConnectionViewSet, basename="ssh-connection")
router.register("servers", views.ServerViewSet, basename="server")
router.register("log-rules", logs.LogRuleViewSet, basename="log-rule")
router.register("change-limits", ChangeLimitViewSet, basename="change-limit")

urlpatterns = [
    re_path(r"^ssh-connections/import/?$", MachineImportView.as_view(), name="ssh-import"),
    *router.urls,
    re_path(r"^commands/?$", commands.CommandListView.as_view(), name="commands"),
    re_path(r"^commands/(?P<id>[^/]+)/cancel/?$", commands.CommandCancelView.as_view(), name="command-cancel"),
    re_path(r"^commands/(?P<id>[^/]+)/output/?$", commands.CommandOutputView.as_view(), name="command-output"),
    re_path(r"^commands/(?P<id>[^/]+)/?$", commands.CommandView.as_view(), name="command"),
    re_path(r"^command-batches/?$", batches.BatchListView.as_view(), name="command-batches"),
    re_path(r"^command-batches/(?P<id>[^/]+)/cancel/?$", batches.BatchCancelView.as_view(), name="batch-cancel"),
    re_path(r"^command-batches/(?P<id>[^/]+)/retry/?$", batches.BatchRetryView.as_view(), name="batch-retry"),
    re_path(r"^command-batches/(?P<id>[^/]+)/?$", batches.BatchView.as_view(), name="command-batch"),
    re_path(r"^terminal-sessions/?$", TerminalListView.as_view(), name="terminal-sessions"),
    re_path(r"^terminal-sessions/(?P<id>[^/]+)/recording/?$", TerminalRecordingView.as_view(), name="terminal-cast"),
    re_path(r"^terminal-sessions/(?P<id>[^/]+)/end/?$", TerminalEndView.as_view(), name="terminal-end"),
    re_path(r"^terminal-sessions/(?P<id>[^/]+)/?$", TerminalView.as_view(), name="terminal-session"),
    re_path(r"^metrics/(?P<server_id>[^/]+)/history/?$", views.ServerHistoryView.as_view(), name="metrics-history"),
    re_path(r"^metrics/(?P<server_id>[^/]+)/?$", views.MetricsView.as_view(), name="metrics"),
    re_path(r"^history/?$", views.HistoryView.as_view(), name="history"),
    re_path(r"^export/metrics/?$", views.MetricsExportView.as_view(), name="export-metrics"),
    re_path(r"^processes/?$", views.ProcessListView.as_view(), name="processes"),
    re_path(r"^processes/(?P<pid>[^/]+)/signal/?$", ProcessSignalView.as_view(), name="process-signal"),
    re_path(r"^processes/(?P<pid>[^/]+)/?$", views.ProcessView.as_view(), name="process"),
    re_path(r"^logs/?$", logs.LogsView.as_view(), name="logs"),
    re_path(r"^logs/volumes/?$", logs.LogVolumesView.as_view(), name="log-volumes"),
    re_path(r"^logs/(?P<id>[^/]+)/context/?$", logs.LogContextView.as_view(), name="log-context"),
]
