"""Routes below /api/v1. The words below /agents/ come before an agent's slug; `RESERVED_SLUGS` of fleet names them."""

from typing import Any

from django.urls import re_path

from apps.agents.api import workers
from apps.agents.api.agents import AgentViewSet, WaitingHostViewSet
from apps.agents.api.enrolment import EnrollStatusView, EnrollView, EnrolmentTokenViewSet

_ID = r"(?P<id>[^/]+)"
_AGENT: Any = {"get": "retrieve", "patch": "partial_update", "delete": "destroy"}

urlpatterns = [
    re_path(r"^agents/?$", AgentViewSet.as_view({"get": "list", "post": "create"}), name="agents"),
    re_path(r"^agents/pending/?$", WaitingHostViewSet.as_view({"get": "list"}), name="agents-pending"),
    re_path(
        rf"^agents/pending/{_ID}/approve/?$", WaitingHostViewSet.as_view({"post": "approve"}), name="agents-approve"
    ),
    re_path(rf"^agents/pending/{_ID}/reject/?$", WaitingHostViewSet.as_view({"post": "reject"}), name="agents-reject"),
    re_path(r"^agents/enroll/?$", EnrollView.as_view(), name="agents-enroll"),
    re_path(r"^agents/enroll/status/?$", EnrollStatusView.as_view(), name="agents-enroll-status"),
    re_path(
        r"^agents/enrolment-tokens/?$",
        EnrolmentTokenViewSet.as_view({"get": "list", "post": "create"}),
        name="enrolment-tokens",
    ),
    re_path(
        rf"^agents/enrolment-tokens/{_ID}/?$",
        EnrolmentTokenViewSet.as_view({"delete": "destroy"}),
        name="enrolment-token",
    ),
    re_path(rf"^agents/{_ID}/?$", AgentViewSet.as_view(_AGENT), name="agent"),
    re_path(rf"^agents/{_ID}/enrolment-token/?$", AgentViewSet.as_view({"post": "token"}), name="agent-token"),
    re_path(rf"^agents/{_ID}/revoke/?$", AgentViewSet.as_view({"post": "revoke"}), name="agent-revoke"),
    re_path(r"^workers/register/?$", workers.RegisterView.as_view(), name="worker-register"),
    re_path(r"^workers/overview/?$", workers.OverviewView.as_view(), name="worker-overview"),
    re_path(rf"^workers/{_ID}/heartbeat/?$", workers.HeartbeatView.as_view(), name="worker-heartbeat"),
    re_path(rf"^workers/{_ID}/tasks/?$", workers.WorkerTasksView.as_view({"get": "list"}), name="worker-tasks"),
    re_path(r"^admin/workers/?$", workers.WorkerViewSet.as_view({"get": "list"}), name="admin-workers"),
    re_path(
        rf"^admin/workers/{_ID}/approve/?$",
        workers.WorkerViewSet.as_view({"patch": "approve"}),
        name="admin-worker-approve",
    ),
]
