from typing import Any

import apps.core.ids
import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models


#: The six limits that an installation starts with.
DEFAULTS = (
    # metric, level, limit in percent, seconds it must last
    ("cpu", "warning", 80.0, 120),
    ("cpu", "critical", 95.0, 120),
    ("memory", "warning", 85.0, 60),
    ("memory", "critical", 95.0, 60),
    ("disk", "warning", 80.0, 0),
    ("disk", "critical", 90.0, 0),
)


def add(apps: Any, schema_editor: Any) -> None:
    """Add what is not there."""
    threshold = apps.get_model("alerts", "Threshold")
    for metric, level, value, for_s in DEFAULTS:
        threshold.objects.get_or_create(
            server=None, metric=metric, level=level, defaults={"value": value, "for_s": for_s}
        )


class Migration(migrations.Migration):
    replaces = [
        ("alerts", "0001_initial"),
        ("alerts", "0002_default_thresholds"),
        ("alerts", "0003_watching"),
        ("alerts", "0004_sources"),
    ]

    initial = True

    dependencies = [
        ("fleet", "0001_tables"),
    ]

    operations = [
        migrations.CreateModel(
            name="Alert",
            fields=[
                (
                    "id",
                    models.UUIDField(default=apps.core.ids.new_id, editable=False, primary_key=True, serialize=False),
                ),
                ("revision", models.PositiveIntegerField(default=1, editable=False)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("source", models.CharField(max_length=32)),
                ("kind", models.CharField(max_length=128)),
                ("subject_kind", models.CharField(max_length=32)),
                ("subject_id", models.CharField(max_length=64)),
                ("subject_name", models.CharField(max_length=255)),
                ("server_id", models.UUIDField(null=True)),
                (
                    "level",
                    models.CharField(
                        choices=[("info", "Info"), ("warning", "Warning"), ("critical", "Critical")], max_length=16
                    ),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[("active", "Active"), ("acknowledged", "Acknowledged"), ("resolved", "Resolved")],
                        default="active",
                        max_length=16,
                    ),
                ),
                ("is_silenced", models.BooleanField(default=False)),
                ("message", models.TextField()),
                ("value", models.FloatField(null=True)),
                ("threshold", models.FloatField(null=True)),
                ("evidence", models.JSONField(default=dict)),
                ("tags", models.JSONField(default=list)),
                ("opened_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("escalated_at", models.DateTimeField(null=True)),
                ("acknowledged_at", models.DateTimeField(null=True)),
                ("acknowledged_by", models.CharField(blank=True, max_length=255)),
                ("resolved_at", models.DateTimeField(null=True)),
                ("resolved_by", models.CharField(blank=True, max_length=255)),
                ("note", models.TextField(blank=True)),
                ("acknowledged_until", models.DateTimeField(null=True)),
                ("cause_id", models.CharField(blank=True, max_length=64)),
                ("cause_kind", models.CharField(blank=True, max_length=32)),
                ("cause_name", models.CharField(blank=True, max_length=255)),
                ("count", models.PositiveIntegerField(default=1)),
                ("is_told", models.BooleanField(default=True)),
                ("last_seen_at", models.DateTimeField(default=django.utils.timezone.now)),
                (
                    "muted_by",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("silence", "Silenced"),
                            ("maintenance", "Under maintenance"),
                            ("dependency", "Follows from something else"),
                            ("waiting", "Waiting whether its parent is down too"),
                            ("flapping", "Flapping"),
                        ],
                        max_length=16,
                    ),
                ),
                ("muted_reason", models.CharField(blank=True, max_length=300)),
                ("owes_escalation", models.BooleanField(default=False)),
                ("review_at", models.DateTimeField(null=True)),
                ("told_at", models.DateTimeField(null=True)),
            ],
            options={
                "ordering": ["-id"],
                "indexes": [
                    models.Index(
                        condition=models.Q(("status", "resolved"), _negated=True), fields=["-id"], name="alert_open"
                    ),
                    models.Index(fields=["status", "-id"], name="alert_status"),
                    models.Index(fields=["server_id", "-id"], name="alert_server"),
                    models.Index(fields=["subject_kind", "subject_id", "-id"], name="alert_subject"),
                    models.Index(fields=["opened_at"], name="alert_opened_at"),
                    models.Index(
                        condition=models.Q(("review_at__isnull", False)), fields=["review_at"], name="alert_review"
                    ),
                    models.Index(
                        condition=models.Q(("cause_id", ""), _negated=True),
                        fields=["cause_kind", "cause_id"],
                        name="alert_cause",
                    ),
                    models.Index(
                        condition=models.Q(("acknowledged_until__isnull", False), ("status", "acknowledged")),
                        fields=["acknowledged_until"],
                        name="alert_acknowledged_until",
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("status", "resolved"), _negated=True),
                        fields=("source", "kind", "subject_id"),
                        name="one_open_alert_per_subject",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="AlertSource",
            fields=[
                (
                    "id",
                    models.UUIDField(default=apps.core.ids.new_id, editable=False, primary_key=True, serialize=False),
                ),
                ("revision", models.PositiveIntegerField(default=1, editable=False)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("name", models.CharField(max_length=100, unique=True)),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("alertmanager", "Prometheus Alertmanager"),
                            ("grafana", "Grafana"),
                            ("uptime_kuma", "Uptime Kuma"),
                            ("healthchecks", "Healthchecks"),
                            ("generic", "Anything that posts JSON"),
                        ],
                        max_length=16,
                    ),
                ),
                ("digest", models.CharField(editable=False, max_length=64, unique=True)),
                ("token_hint", models.CharField(editable=False, max_length=8)),
                ("enabled", models.BooleanField(default=True)),
                (
                    "default_level",
                    models.CharField(
                        choices=[("info", "Info"), ("warning", "Warning"), ("critical", "Critical")], max_length=16
                    ),
                ),
                ("tags", models.JSONField(default=list)),
                ("tag_labels", models.JSONField(default=list)),
                ("mapping", models.JSONField(default=dict)),
                ("resolve_after_s", models.PositiveIntegerField(blank=True, null=True)),
            ],
            options={
                "verbose_name": "alert source",
                "ordering": ["name"],
            },
        ),
        migrations.CreateModel(
            name="AlertSourceState",
            fields=[
                (
                    "source",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="state",
                        serialize=False,
                        to="alerts.alertsource",
                    ),
                ),
                ("posts", models.PositiveBigIntegerField(default=0)),
                ("opened", models.PositiveBigIntegerField(default=0)),
                ("resolved", models.PositiveBigIntegerField(default=0)),
                ("last_received_at", models.DateTimeField(null=True)),
                ("last_address", models.CharField(blank=True, max_length=64)),
                ("last_outcome", models.JSONField(default=dict)),
                ("last_error", models.CharField(blank=True, max_length=500)),
                ("last_error_at", models.DateTimeField(null=True)),
            ],
        ),
        migrations.CreateModel(
            name="Breach",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("instance", models.CharField(max_length=128)),
                ("level", models.CharField(max_length=16)),
                ("since", models.DateTimeField()),
                ("is_told", models.BooleanField(default=False)),
                (
                    "server",
                    models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="+", to="fleet.server"),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("server", "instance", "level"), name="one_breach_per_level")
                ],
            },
        ),
        migrations.CreateModel(
            name="Decision",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("at", models.DateTimeField(default=django.utils.timezone.now)),
                ("about", models.CharField(max_length=16)),
                (
                    "outcome",
                    models.CharField(
                        choices=[("told", "Told"), ("held", "Held back for now"), ("suppressed", "Not told")],
                        max_length=12,
                    ),
                ),
                ("by", models.CharField(max_length=16)),
                ("reason", models.CharField(max_length=500)),
                ("facts", models.JSONField(default=dict)),
                (
                    "alert",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="decisions", to="alerts.alert"
                    ),
                ),
            ],
            options={
                "ordering": ["id"],
                "indexes": [models.Index(fields=["alert", "id"], name="decision_alert")],
            },
        ),
        migrations.CreateModel(
            name="EscalationPolicy",
            fields=[
                (
                    "id",
                    models.UUIDField(default=apps.core.ids.new_id, editable=False, primary_key=True, serialize=False),
                ),
                ("revision", models.PositiveIntegerField(default=1, editable=False)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("name", models.CharField(max_length=100)),
                ("position", models.PositiveIntegerField(default=100)),
                ("sources", models.JSONField(default=list)),
                ("levels", models.JSONField(default=list)),
                ("tags", models.JSONField(default=list)),
                ("steps", models.JSONField(default=list)),
                ("remind_every_s", models.PositiveIntegerField(blank=True, null=True)),
                ("enabled", models.BooleanField(default=True)),
            ],
            options={
                "verbose_name": "escalation policy",
                "verbose_name_plural": "escalation policies",
                "ordering": ["position", "name", "id"],
                "indexes": [models.Index(fields=["position", "name", "id"], name="escalation_order")],
            },
        ),
        migrations.CreateModel(
            name="EscalationStep",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("policy_name", models.CharField(max_length=100)),
                ("round", models.PositiveIntegerField(default=1)),
                ("number", models.PositiveSmallIntegerField()),
                ("repetition", models.PositiveIntegerField(default=0)),
                ("started_at", models.DateTimeField()),
                ("base_at", models.DateTimeField()),
                ("due_at", models.DateTimeField(null=True)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("waiting", "Waiting"),
                            ("told", "Told"),
                            ("suppressed", "Suppressed"),
                            ("cancelled", "Cancelled"),
                        ],
                        default="waiting",
                        max_length=12,
                    ),
                ),
                ("reason", models.CharField(blank=True, max_length=300)),
                ("told", models.JSONField(default=list)),
                ("inbox_count", models.PositiveIntegerField(default=0)),
                ("settled_at", models.DateTimeField(null=True)),
                ("lease_owner", models.CharField(blank=True, max_length=128)),
                ("lease_until", models.DateTimeField(null=True)),
                (
                    "alert",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="ladder", to="alerts.alert"
                    ),
                ),
                (
                    "policy",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="+",
                        to="alerts.escalationpolicy",
                    ),
                ),
            ],
            options={
                "ordering": ["id"],
                "indexes": [
                    models.Index(
                        condition=models.Q(("due_at__isnull", False)), fields=["due_at"], name="escalation_step_due"
                    ),
                    models.Index(fields=["alert", "id"], name="escalation_step_alert"),
                    models.Index(
                        condition=models.Q(("settled_at__isnull", False)),
                        fields=["settled_at"],
                        name="escalation_step_age",
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("state", "waiting")), fields=("alert",), name="one_waiting_step_per_alert"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Flap",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("source", models.CharField(max_length=32)),
                ("kind", models.CharField(max_length=128)),
                ("subject_id", models.CharField(max_length=64)),
                ("began_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("flips", models.PositiveIntegerField(default=0)),
                ("last_flip_at", models.DateTimeField()),
                ("alert_id", models.UUIDField()),
                ("ended_at", models.DateTimeField(null=True)),
            ],
            options={
                "indexes": [
                    models.Index(
                        condition=models.Q(("ended_at__isnull", True)), fields=["last_flip_at"], name="flap_running"
                    ),
                    models.Index(fields=["began_at"], name="flap_age"),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("ended_at__isnull", True)),
                        fields=("source", "kind", "subject_id"),
                        name="one_flap_per_subject",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="ReceivedAlert",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("subject_id", models.CharField(max_length=64, unique=True)),
                ("name", models.CharField(blank=True, max_length=255)),
                ("server_id", models.UUIDField(null=True)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("new", "Not yet taken"),
                            ("firing", "Firing"),
                            ("resolved", "Resolved"),
                            ("expired", "No news any more"),
                        ],
                        default="new",
                        max_length=8,
                    ),
                ),
                ("starts_at", models.DateTimeField(null=True)),
                ("said_at", models.DateTimeField(null=True)),
                ("ends_at", models.DateTimeField(null=True)),
                ("level", models.CharField(blank=True, max_length=16)),
                ("digest", models.CharField(blank=True, max_length=64)),
                ("alert_id", models.UUIDField(null=True)),
                ("last_seen_at", models.DateTimeField(default=django.utils.timezone.now)),
                (
                    "source",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="received", to="alerts.alertsource"
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(
                        condition=models.Q(("state", "firing")),
                        fields=["source", "last_seen_at"],
                        name="received_firing",
                    ),
                    models.Index(
                        condition=models.Q(("ends_at__isnull", False), ("state", "firing")),
                        fields=["ends_at"],
                        name="received_ends",
                    ),
                    models.Index(fields=["last_seen_at"], name="received_age"),
                ],
            },
        ),
        migrations.CreateModel(
            name="Reminder",
            fields=[
                (
                    "alert",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="reminder",
                        serialize=False,
                        to="alerts.alert",
                    ),
                ),
                ("every_s", models.PositiveIntegerField()),
                ("base_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("due_at", models.DateTimeField(null=True)),
                ("count", models.PositiveIntegerField(default=0)),
                ("last_at", models.DateTimeField(null=True)),
                ("reason", models.CharField(blank=True, max_length=300)),
                ("lease_owner", models.CharField(blank=True, max_length=128)),
                ("lease_until", models.DateTimeField(null=True)),
            ],
            options={
                "indexes": [
                    models.Index(condition=models.Q(("due_at__isnull", False)), fields=["due_at"], name="reminder_due")
                ],
            },
        ),
        migrations.CreateModel(
            name="Silence",
            fields=[
                (
                    "id",
                    models.UUIDField(default=apps.core.ids.new_id, editable=False, primary_key=True, serialize=False),
                ),
                ("revision", models.PositiveIntegerField(default=1, editable=False)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("sources", models.JSONField(default=list)),
                ("entities", models.JSONField(default=list)),
                ("levels", models.JSONField(default=list)),
                ("tags", models.JSONField(default=list)),
                ("reason", models.CharField(blank=True, max_length=500)),
                ("starts_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("ends_at", models.DateTimeField()),
                ("created_by", models.CharField(blank=True, max_length=255)),
                ("cancelled_at", models.DateTimeField(null=True)),
                ("cancelled_by", models.CharField(blank=True, max_length=255)),
                ("began_at", models.DateTimeField(null=True)),
                ("ended_at", models.DateTimeField(null=True)),
            ],
            options={
                "ordering": ["-id"],
                "indexes": [
                    models.Index(
                        condition=models.Q(("ended_at__isnull", True)), fields=["ends_at"], name="silence_running"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Threshold",
            fields=[
                (
                    "id",
                    models.UUIDField(default=apps.core.ids.new_id, editable=False, primary_key=True, serialize=False),
                ),
                ("revision", models.PositiveIntegerField(default=1, editable=False)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                (
                    "metric",
                    models.CharField(
                        choices=[
                            ("cpu", "CPU"),
                            ("memory", "Memory"),
                            ("swap", "Swap"),
                            ("disk", "Disk, each mount"),
                            ("inodes", "Inodes, each mount"),
                            ("load_per_core", "Load per core"),
                            ("temperature", "Temperature"),
                        ],
                        max_length=32,
                    ),
                ),
                (
                    "comparison",
                    models.CharField(
                        choices=[("gt", "above"), ("gte", "at or above"), ("lt", "below"), ("lte", "at or below")],
                        default="gte",
                        max_length=3,
                    ),
                ),
                ("value", models.FloatField()),
                (
                    "level",
                    models.CharField(
                        choices=[("info", "Info"), ("warning", "Warning"), ("critical", "Critical")],
                        default="warning",
                        max_length=16,
                    ),
                ),
                ("for_s", models.PositiveIntegerField(default=0)),
                ("clear_value", models.FloatField(blank=True, null=True)),
                ("enabled", models.BooleanField(default=True)),
                (
                    "server",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="thresholds",
                        to="fleet.server",
                    ),
                ),
            ],
            options={
                "ordering": ["metric", "level", "id"],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("server__isnull", False)),
                        fields=("server", "metric", "level"),
                        name="one_threshold_per_server_metric_level",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("server__isnull", True)),
                        fields=("metric", "level"),
                        name="one_global_threshold_per_metric_level",
                    ),
                ],
            },
        ),
        migrations.RunPython(add, migrations.RunPython.noop),
    ]
