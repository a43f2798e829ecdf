"""The app."""

from django.apps import AppConfig


class AlertsConfig(AppConfig):
    """Alerts."""

    name = "apps.alerts"
    label = "alerts"

    def ready(self) -> None:
        from apps.alerts import escalation_tasks, events, reactions, selectors, subscribers, tasks  # noqa: F401
        from apps.alerts.models import Alert, AlertSource, ReceivedAlert
        from apps.core.registries import SubjectKind, metric_collectors, subjects

        def name_of(identifier: str) -> str | None:
            return Alert.objects.filter(id=identifier).values_list("subject_name", flat=True).first()

        subjects.register("alert", SubjectKind(name_of, lambda identifier: f"/admin/alerts/alert/{identifier}/"))
        subjects.register(
            "alert_source",
            SubjectKind(
                lambda identifier: AlertSource.objects.filter(id=identifier).values_list("name", flat=True).first(),
                lambda identifier: f"/admin/alerts/alertsource/{identifier}/",
            ),
        )
        subjects.register(
            "external",
            SubjectKind(
                lambda identifier: (
                    ReceivedAlert.objects.filter(subject_id=identifier).values_list("name", flat=True).first()
                ),
                lambda identifier: f"/admin/alerts/alertsource/of/{identifier}/",
            ),
        )
        metric_collectors.register("alerts", selectors.metrics)
