"""The app."""

from django.apps import AppConfig


class AlertsConfig(AppConfig):
    """Alerts."""

    name = "apps.alerts"
    label = "alerts"

    def ready(self) -> None:
        from apps.alerts import escalation_tasks, events, reactions, selectors, subscribers, tasks  # noqa: F401
        from apps.alerts.models import Alert
        from apps.core.registries import SubjectKind, metric_collectors, subjects

        def name_of(identifier: str) -> str | None:
            return Alert.objects.filter(id=identifier).values_list("subject_name", flat=True).first()

        subjects.register("alert", SubjectKind(name_of, lambda identifier: f"/admin/alerts/alert/{identifier}/"))
        metric_collectors.register("alerts", selectors.metrics)
