import apps.core.fields
import apps.core.ids
import django.db.models.deletion
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    replaces = [("notifications", "0001_initial"), ("notifications", "0002_watching")]

    initial = True

    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="Channel",
            fields=[
                (
                    "id",
                    models.UUIDField(default=apps.core.ids.new_id, editable=False, primary_key=True, serialize=False),
                ),
                ("revision", models.PositiveIntegerField(default=1, editable=False)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("name", models.CharField(max_length=100, unique=True)),
                ("type", models.CharField(default="webhook", max_length=32)),
                ("config", apps.core.fields.SealedTextField(default="{}")),
                ("enabled", models.BooleanField(default=True)),
                ("disabled_reason", models.CharField(blank=True, max_length=300)),
                (
                    "owner",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="notification_channels",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("body_template", models.TextField(blank=True)),
                ("digest", models.JSONField(blank=True, null=True)),
                (
                    "fallback",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="stands_in_for",
                        to="notifications.channel",
                    ),
                ),
                ("most_messages", models.PositiveIntegerField(default=0)),
                ("most_per_s", models.PositiveIntegerField(default=300)),
                ("quiet_hours", models.JSONField(blank=True, null=True)),
                ("template_error", models.CharField(blank=True, max_length=300)),
                ("title_template", models.TextField(blank=True)),
            ],
            options={
                "ordering": ["name"],
            },
        ),
        migrations.CreateModel(
            name="ChannelState",
            fields=[
                (
                    "health",
                    models.CharField(
                        choices=[("unknown", "Unknown"), ("healthy", "Healthy"), ("failing", "Failing")],
                        default="unknown",
                        max_length=8,
                    ),
                ),
                ("consecutive_failures", models.PositiveIntegerField(default=0)),
                ("last_attempt_at", models.DateTimeField(null=True)),
                ("last_delivered_at", models.DateTimeField(null=True)),
                ("last_status_code", models.PositiveSmallIntegerField(null=True)),
                ("last_error", models.CharField(blank=True, max_length=500)),
                (
                    "channel",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="state",
                        serialize=False,
                        to="notifications.channel",
                    ),
                ),
                ("retry_at", models.DateTimeField(null=True)),
            ],
            options={
                "abstract": False,
            },
        ),
        migrations.CreateModel(
            name="Delivery",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("uid", models.UUIDField(default=apps.core.ids.new_id, editable=False, unique=True)),
                (
                    "kind",
                    models.CharField(
                        choices=[("channel", "Channel"), ("webhook", "Webhook"), ("mail", "Mail")], max_length=8
                    ),
                ),
                ("destination_id", models.UUIDField()),
                ("lane", models.CharField(max_length=32)),
                ("message_id", models.CharField(max_length=64)),
                ("event_name", models.CharField(max_length=64)),
                ("event_seq", models.BigIntegerField(null=True)),
                ("event_at", models.DateTimeField()),
                ("subject_kind", models.CharField(blank=True, max_length=32)),
                ("subject_id", models.CharField(blank=True, max_length=128)),
                ("subject_name", models.CharField(blank=True, max_length=255)),
                ("thing", models.CharField(blank=True, max_length=200)),
                ("audience", models.JSONField(default=dict)),
                ("payload", models.JSONField(default=dict)),
                ("rule_id", models.UUIDField(null=True)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("pending", "Pending"),
                            ("delivered", "Delivered"),
                            ("failed", "Failed"),
                            ("suppressed", "Suppressed"),
                            ("bundled", "Told in a summary"),
                        ],
                        default="pending",
                        max_length=10,
                    ),
                ),
                ("reason", models.CharField(blank=True, max_length=300)),
                ("held", models.BooleanField(default=False)),
                ("attempts", models.PositiveSmallIntegerField(default=0)),
                ("next_attempt_at", models.DateTimeField(default=django.utils.timezone.now, null=True)),
                ("lease_owner", models.CharField(blank=True, max_length=128)),
                ("lease_until", models.DateTimeField(null=True)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("settled_at", models.DateTimeField(null=True)),
                (
                    "bundle",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="parts",
                        to="notifications.delivery",
                    ),
                ),
                (
                    "in_place_of",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="stand_ins",
                        to="notifications.delivery",
                    ),
                ),
                (
                    "waits_for",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("quiet", "the end of quiet hours"),
                            ("digest", "the next digest"),
                            ("limit", "room under the channel's limit"),
                        ],
                        max_length=8,
                    ),
                ),
            ],
            options={
                "verbose_name_plural": "deliveries",
                "ordering": ["-id"],
                "indexes": [
                    models.Index(
                        condition=models.Q(("next_attempt_at__isnull", False)),
                        fields=["next_attempt_at"],
                        name="delivery_due",
                    ),
                    models.Index(fields=["lane", "id"], name="delivery_lane"),
                    models.Index(fields=["destination_id", "-id"], name="delivery_of_destination"),
                    models.Index(fields=["destination_id", "thing", "event_at"], name="delivery_throttle"),
                    models.Index(fields=["created_at"], name="delivery_age"),
                    models.Index(fields=["event_seq"], name="delivery_of_fact"),
                    models.Index(condition=models.Q(("held", True)), fields=["next_attempt_at"], name="delivery_held"),
                    models.Index(fields=["destination_id", "created_at"], name="delivery_of_destination_at"),
                    models.Index(fields=["state", "-id"], name="delivery_by_state"),
                ],
            },
        ),
        migrations.CreateModel(
            name="Attempt",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("at", models.DateTimeField(default=django.utils.timezone.now)),
                ("status_code", models.PositiveSmallIntegerField(null=True)),
                ("latency_ms", models.FloatField(null=True)),
                ("request", models.JSONField(default=dict)),
                ("response", models.TextField(blank=True)),
                ("error", models.CharField(blank=True, max_length=500)),
                (
                    "delivery",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="tries", to="notifications.delivery"
                    ),
                ),
            ],
            options={
                "ordering": ["id"],
                "indexes": [models.Index(fields=["at"], name="attempt_age")],
            },
        ),
        migrations.CreateModel(
            name="Mail",
            fields=[
                (
                    "id",
                    models.UUIDField(default=apps.core.ids.new_id, editable=False, primary_key=True, serialize=False),
                ),
                ("recipient", models.EmailField(max_length=254)),
                ("subject", models.CharField(max_length=255)),
                ("text", apps.core.fields.SealedTextField(blank=True, default="")),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
            ],
        ),
        migrations.CreateModel(
            name="Notification",
            fields=[
                (
                    "id",
                    models.UUIDField(default=apps.core.ids.new_id, editable=False, primary_key=True, serialize=False),
                ),
                ("event_uid", models.UUIDField()),
                ("event_name", models.CharField(max_length=64)),
                ("level", models.CharField(default="info", max_length=16)),
                ("title", models.CharField(max_length=255)),
                ("message", models.TextField(blank=True)),
                ("subject_kind", models.CharField(blank=True, max_length=32)),
                ("subject_id", models.CharField(blank=True, max_length=128)),
                ("subject_name", models.CharField(blank=True, max_length=255)),
                ("url", models.CharField(blank=True, max_length=300)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("read_at", models.DateTimeField(null=True)),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="notifications",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ["-id"],
                "indexes": [
                    models.Index(fields=["user", "-id"], name="inbox_of_user"),
                    models.Index(condition=models.Q(("read_at__isnull", True)), fields=["user"], name="inbox_unread"),
                    models.Index(fields=["created_at"], name="inbox_age"),
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("user", "event_uid"), name="one_message_per_user_and_fact")
                ],
            },
        ),
        migrations.CreateModel(
            name="RoutesVersion",
            fields=[
                ("id", models.PositiveSmallIntegerField(default=1, primary_key=True, serialize=False)),
                ("token", models.UUIDField(default=apps.core.ids.new_id)),
            ],
        ),
        migrations.CreateModel(
            name="Rule",
            fields=[
                (
                    "id",
                    models.UUIDField(default=apps.core.ids.new_id, editable=False, primary_key=True, serialize=False),
                ),
                ("revision", models.PositiveIntegerField(default=1, editable=False)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("name", models.CharField(max_length=100)),
                ("events", models.JSONField(default=list)),
                ("levels", models.JSONField(default=list)),
                ("sources", models.JSONField(default=list)),
                ("tags", models.JSONField(default=list)),
                ("inbox", models.BooleanField(default=True)),
                ("enabled", models.BooleanField(default=True)),
                ("throttle_s", models.PositiveIntegerField(default=0)),
                ("quiet_hours", models.JSONField(blank=True, null=True)),
                ("escalate_after_s", models.PositiveIntegerField(blank=True, null=True)),
                ("channels", models.ManyToManyField(blank=True, related_name="rules", to="notifications.channel")),
                ("body_template", models.TextField(blank=True)),
                ("digest", models.JSONField(blank=True, null=True)),
                ("hours", models.JSONField(blank=True, null=True)),
                ("order", models.PositiveIntegerField(default=100)),
                ("servers", models.JSONField(default=list)),
                ("stop", models.BooleanField(default=False)),
                ("subjects", models.JSONField(default=list)),
                ("template_error", models.CharField(blank=True, max_length=300)),
                ("title_template", models.TextField(blank=True)),
            ],
            options={
                "ordering": ["order", "name", "id"],
            },
        ),
        migrations.CreateModel(
            name="Escalation",
            fields=[
                (
                    "id",
                    models.UUIDField(default=apps.core.ids.new_id, editable=False, primary_key=True, serialize=False),
                ),
                ("subject_kind", models.CharField(max_length=32)),
                ("subject_id", models.CharField(max_length=128)),
                ("event_seq", models.BigIntegerField()),
                ("due_at", models.DateTimeField()),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("lease_owner", models.CharField(blank=True, max_length=128)),
                ("lease_until", models.DateTimeField(null=True)),
                (
                    "rule",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="escalations", to="notifications.rule"
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(fields=["due_at"], name="escalation_due"),
                    models.Index(fields=["subject_kind", "subject_id"], name="escalation_subject"),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("rule", "subject_kind", "subject_id"), name="one_escalation_per_rule_and_alert"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Webhook",
            fields=[
                (
                    "id",
                    models.UUIDField(default=apps.core.ids.new_id, editable=False, primary_key=True, serialize=False),
                ),
                ("revision", models.PositiveIntegerField(default=1, editable=False)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("name", models.CharField(max_length=100)),
                ("url", models.CharField(max_length=2000)),
                ("events", models.JSONField(default=list)),
                ("description", models.CharField(blank=True, max_length=500)),
                ("secret", apps.core.fields.SealedTextField()),
                ("previous_secret", apps.core.fields.SealedTextField(blank=True, default="")),
                ("previous_secret_until", models.DateTimeField(blank=True, null=True)),
                ("enabled", models.BooleanField(default=True)),
                ("disabled_reason", models.CharField(blank=True, max_length=300)),
                ("codes_cap", models.JSONField(blank=True, null=True)),
                (
                    "owner",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="webhooks",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
            ],
            options={
                "ordering": ["name", "id"],
            },
        ),
        migrations.CreateModel(
            name="WebhookState",
            fields=[
                (
                    "health",
                    models.CharField(
                        choices=[("unknown", "Unknown"), ("healthy", "Healthy"), ("failing", "Failing")],
                        default="unknown",
                        max_length=8,
                    ),
                ),
                ("consecutive_failures", models.PositiveIntegerField(default=0)),
                ("last_attempt_at", models.DateTimeField(null=True)),
                ("last_delivered_at", models.DateTimeField(null=True)),
                ("last_status_code", models.PositiveSmallIntegerField(null=True)),
                ("last_error", models.CharField(blank=True, max_length=500)),
                (
                    "webhook",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="state",
                        serialize=False,
                        to="notifications.webhook",
                    ),
                ),
                ("retry_at", models.DateTimeField(null=True)),
            ],
            options={
                "abstract": False,
            },
        ),
    ]
