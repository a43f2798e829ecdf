import apps.core.fields
import apps.core.ids
import apps.statuspage.models.notices
import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Page",
            fields=[
                (
                    "id",
                    models.UUIDField(default=apps.core.ids.new_id, editable=False, primary_key=True, serialize=False),
                ),
                ("revision", models.PositiveIntegerField(default=1, editable=False)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("name", models.CharField(max_length=100)),
                ("slug", models.CharField(max_length=63, unique=True)),
                ("domain", models.CharField(blank=True, max_length=253)),
                ("intro", models.CharField(blank=True, max_length=1000)),
                (
                    "theme",
                    models.CharField(
                        choices=[("auto", "As the visitor's device"), ("light", "Light"), ("dark", "Dark")],
                        default="auto",
                        max_length=8,
                    ),
                ),
                ("accent_light", models.CharField(default="#0b6e8f", max_length=7)),
                ("accent_dark", models.CharField(default="#5cc4e8", max_length=7)),
                ("home_url", models.CharField(blank=True, max_length=500)),
                ("published", models.BooleanField(default=True)),
                ("is_default", models.BooleanField(default=False)),
                ("allow_subscriptions", models.BooleanField(default=True)),
                ("allowed_networks", models.JSONField(blank=True, default=list)),
            ],
            options={
                "verbose_name": "status page",
                "ordering": ["name", "id"],
                "indexes": [models.Index(fields=["name", "id"], name="statuspage_name")],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("domain", ""), _negated=True),
                        fields=("domain",),
                        name="one_status_page_per_domain",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("is_default", True)), fields=("is_default",), name="one_default_status_page"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Group",
            fields=[
                (
                    "id",
                    models.UUIDField(default=apps.core.ids.new_id, editable=False, primary_key=True, serialize=False),
                ),
                ("revision", models.PositiveIntegerField(default=1, editable=False)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("name", models.CharField(max_length=100)),
                ("position", models.IntegerField(default=0)),
                (
                    "page",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="groups", to="statuspage.page"
                    ),
                ),
            ],
            options={
                "verbose_name": "component group",
                "ordering": ["position", "name", "id"],
                "indexes": [models.Index(fields=["position", "name", "id"], name="statusgroup_order")],
                "constraints": [models.UniqueConstraint(fields=("page", "name"), name="one_status_group_per_name")],
            },
        ),
        migrations.CreateModel(
            name="Component",
            fields=[
                (
                    "id",
                    models.UUIDField(default=apps.core.ids.new_id, editable=False, primary_key=True, serialize=False),
                ),
                ("revision", models.PositiveIntegerField(default=1, editable=False)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("name", models.CharField(max_length=100)),
                ("description", models.CharField(blank=True, max_length=300)),
                (
                    "source",
                    models.CharField(
                        choices=[
                            ("endpoint", "Endpoint"),
                            ("heartbeat", "Heartbeat"),
                            ("certificate", "Certificate"),
                            ("container", "Container"),
                            ("server", "Server"),
                        ],
                        max_length=16,
                    ),
                ),
                ("source_id", models.CharField(max_length=64)),
                ("visible", models.BooleanField(default=True)),
                ("position", models.IntegerField(default=0)),
                ("show_history", models.BooleanField(default=True)),
                ("drafts_notices", models.BooleanField(default=False)),
                (
                    "override_status",
                    models.CharField(
                        blank=True,
                        choices=[
                            ("operational", "Operational"),
                            ("degraded", "Degraded performance"),
                            ("partial_outage", "Partial outage"),
                            ("major_outage", "Major outage"),
                            ("under_maintenance", "Under maintenance"),
                            ("no_data", "No data"),
                        ],
                        max_length=20,
                    ),
                ),
                ("override_until", models.DateTimeField(blank=True, null=True)),
                ("override_by", models.CharField(blank=True, max_length=255)),
                ("override_at", models.DateTimeField(blank=True, null=True)),
                ("override_note", models.CharField(blank=True, max_length=300)),
                (
                    "group",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="components",
                        to="statuspage.group",
                    ),
                ),
                (
                    "page",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="components", to="statuspage.page"
                    ),
                ),
            ],
            options={
                "ordering": ["position", "name", "id"],
                "indexes": [
                    models.Index(fields=["position", "name", "id"], name="statuscomponent_order"),
                    models.Index(fields=["source", "source_id"], name="statuscomponent_source"),
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("page", "name"), name="one_status_component_per_name"),
                    models.UniqueConstraint(
                        fields=("page", "source", "source_id"), name="one_status_component_per_source"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="ComponentState",
            fields=[
                (
                    "component",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="state",
                        serialize=False,
                        to="statuspage.component",
                    ),
                ),
                (
                    "derived",
                    models.CharField(
                        choices=[
                            ("operational", "Operational"),
                            ("degraded", "Degraded performance"),
                            ("partial_outage", "Partial outage"),
                            ("major_outage", "Major outage"),
                            ("under_maintenance", "Under maintenance"),
                            ("no_data", "No data"),
                        ],
                        default="no_data",
                        max_length=20,
                    ),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("operational", "Operational"),
                            ("degraded", "Degraded performance"),
                            ("partial_outage", "Partial outage"),
                            ("major_outage", "Major outage"),
                            ("under_maintenance", "Under maintenance"),
                            ("no_data", "No data"),
                        ],
                        default="no_data",
                        max_length=20,
                    ),
                ),
                ("since", models.DateTimeField(default=django.utils.timezone.now)),
            ],
        ),
        migrations.CreateModel(
            name="Mailing",
            fields=[
                (
                    "id",
                    models.UUIDField(default=apps.core.ids.new_id, editable=False, primary_key=True, serialize=False),
                ),
                ("subject", models.CharField(max_length=255)),
                ("text", models.TextField()),
                ("payload", models.JSONField(default=dict)),
                ("component_ids", models.JSONField(default=list)),
                ("after", models.UUIDField(null=True)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("done_at", models.DateTimeField(null=True)),
                ("count", models.PositiveIntegerField(default=0)),
                (
                    "page",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="mailings", to="statuspage.page"
                    ),
                ),
            ],
            options={
                "ordering": ["id"],
                "indexes": [
                    models.Index(condition=models.Q(("done_at__isnull", True)), fields=["id"], name="mailing_open"),
                    models.Index(fields=["created_at"], name="mailing_age"),
                ],
            },
        ),
        migrations.CreateModel(
            name="Notice",
            fields=[
                (
                    "id",
                    models.UUIDField(default=apps.core.ids.new_id, editable=False, primary_key=True, serialize=False),
                ),
                ("revision", models.PositiveIntegerField(default=1, editable=False)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                (
                    "reference",
                    models.CharField(
                        default=apps.statuspage.models.notices.new_reference, editable=False, max_length=16, unique=True
                    ),
                ),
                (
                    "kind",
                    models.CharField(choices=[("incident", "Incident"), ("maintenance", "Maintenance")], max_length=16),
                ),
                ("title", models.CharField(max_length=200)),
                (
                    "severity",
                    models.CharField(
                        choices=[("minor", "Minor"), ("major", "Major"), ("critical", "Critical")],
                        default="minor",
                        max_length=16,
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("investigating", "Investigating"),
                            ("identified", "Identified"),
                            ("monitoring", "Monitoring"),
                            ("resolved", "Resolved"),
                            ("scheduled", "Scheduled"),
                            ("in_progress", "In progress"),
                            ("completed", "Completed"),
                        ],
                        max_length=16,
                    ),
                ),
                ("starts_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("ends_at", models.DateTimeField(blank=True, null=True)),
                ("published_at", models.DateTimeField(null=True)),
                ("published_by", models.CharField(blank=True, max_length=255)),
                ("ended_at", models.DateTimeField(null=True)),
                ("drafted_from", models.UUIDField(null=True)),
                ("created_by", models.CharField(blank=True, max_length=255)),
                ("components", models.ManyToManyField(blank=True, related_name="notices", to="statuspage.component")),
                (
                    "page",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="notices", to="statuspage.page"
                    ),
                ),
            ],
            options={
                "ordering": ["-id"],
                "indexes": [
                    models.Index(fields=["page", "-starts_at"], name="notice_page"),
                    models.Index(fields=["kind", "state", "starts_at"], name="notice_due"),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("drafted_from__isnull", False)),
                        fields=("page", "drafted_from"),
                        name="one_notice_per_page_and_alert",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="NoticeUpdate",
            fields=[
                (
                    "id",
                    models.UUIDField(default=apps.core.ids.new_id, editable=False, primary_key=True, serialize=False),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("investigating", "Investigating"),
                            ("identified", "Identified"),
                            ("monitoring", "Monitoring"),
                            ("resolved", "Resolved"),
                            ("scheduled", "Scheduled"),
                            ("in_progress", "In progress"),
                            ("completed", "Completed"),
                        ],
                        max_length=16,
                    ),
                ),
                ("message", models.TextField(blank=True)),
                ("at", models.DateTimeField(default=django.utils.timezone.now)),
                ("by", models.CharField(blank=True, max_length=255)),
                ("edited_at", models.DateTimeField(null=True)),
                (
                    "notice",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="updates", to="statuspage.notice"
                    ),
                ),
            ],
            options={
                "ordering": ["-id"],
                "indexes": [models.Index(fields=["notice", "-id"], name="noticeupdate_notice")],
            },
        ),
        migrations.CreateModel(
            name="NoticeEdit",
            fields=[
                (
                    "id",
                    models.UUIDField(default=apps.core.ids.new_id, editable=False, primary_key=True, serialize=False),
                ),
                ("message", models.TextField(blank=True)),
                ("at", models.DateTimeField(default=django.utils.timezone.now)),
                ("by", models.CharField(blank=True, max_length=255)),
                (
                    "update",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="edits", to="statuspage.noticeupdate"
                    ),
                ),
            ],
            options={
                "ordering": ["id"],
            },
        ),
        migrations.CreateModel(
            name="PageLogo",
            fields=[
                (
                    "page",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="logo",
                        serialize=False,
                        to="statuspage.page",
                    ),
                ),
                ("content_type", models.CharField(max_length=32)),
                ("body", models.BinaryField()),
            ],
        ),
        migrations.CreateModel(
            name="PageState",
            fields=[
                (
                    "page",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="state",
                        serialize=False,
                        to="statuspage.page",
                    ),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("operational", "Operational"),
                            ("degraded", "Degraded performance"),
                            ("partial_outage", "Partial outage"),
                            ("major_outage", "Major outage"),
                            ("under_maintenance", "Under maintenance"),
                            ("no_data", "No data"),
                        ],
                        default="no_data",
                        max_length=20,
                    ),
                ),
                ("since", models.DateTimeField(default=django.utils.timezone.now)),
            ],
        ),
        migrations.CreateModel(
            name="StatusChange",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("operational", "Operational"),
                            ("degraded", "Degraded performance"),
                            ("partial_outage", "Partial outage"),
                            ("major_outage", "Major outage"),
                            ("under_maintenance", "Under maintenance"),
                            ("no_data", "No data"),
                        ],
                        max_length=20,
                    ),
                ),
                ("at", models.DateTimeField(default=django.utils.timezone.now)),
                (
                    "component",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="changes", to="statuspage.component"
                    ),
                ),
            ],
            options={
                "ordering": ["id"],
                "indexes": [
                    models.Index(fields=["component", "at"], name="statuschange_component"),
                    models.Index(fields=["at"], name="statuschange_age"),
                ],
            },
        ),
        migrations.CreateModel(
            name="StatusVersion",
            fields=[
                ("id", models.PositiveSmallIntegerField(default=1, primary_key=True, serialize=False)),
                ("token", models.UUIDField(default=apps.core.ids.new_id)),
                ("touched_at", models.DateTimeField(default=django.utils.timezone.now)),
            ],
        ),
        migrations.CreateModel(
            name="Subscriber",
            fields=[
                (
                    "id",
                    models.UUIDField(default=apps.core.ids.new_id, editable=False, primary_key=True, serialize=False),
                ),
                ("revision", models.PositiveIntegerField(default=1, editable=False)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                (
                    "kind",
                    models.CharField(
                        choices=[("email", "E-mail"), ("webhook", "Webhook")], default="email", max_length=8
                    ),
                ),
                ("email", models.EmailField(blank=True, max_length=254)),
                ("url", models.CharField(blank=True, max_length=2000)),
                ("secret", apps.core.fields.SealedTextField(blank=True, default="")),
                (
                    "state",
                    models.CharField(
                        choices=[("pending", "Waits for confirmation"), ("confirmed", "Confirmed")],
                        default="pending",
                        max_length=16,
                    ),
                ),
                ("wanted", models.JSONField(default=list)),
                ("token_hash", models.CharField(blank=True, max_length=64)),
                ("token_until", models.DateTimeField(null=True)),
                ("asked_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("confirmed_at", models.DateTimeField(null=True)),
                (
                    "components",
                    models.ManyToManyField(blank=True, related_name="subscribers", to="statuspage.component"),
                ),
                (
                    "page",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="subscribers", to="statuspage.page"
                    ),
                ),
            ],
            options={
                "ordering": ["-id"],
                "indexes": [
                    models.Index(
                        condition=models.Q(("token_hash", ""), _negated=True),
                        fields=["token_hash"],
                        name="statussubscriber_token",
                    ),
                    models.Index(fields=["page", "state", "id"], name="statussubscriber_page"),
                    models.Index(fields=["state", "asked_at"], name="statussubscriber_asked"),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("email", ""), _negated=True),
                        fields=("page", "email"),
                        name="one_status_subscriber_per_address",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("url", ""), _negated=True),
                        fields=("page", "url"),
                        name="one_status_subscriber_per_url",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Post",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("uid", models.UUIDField(default=apps.core.ids.new_id, editable=False, unique=True)),
                ("payload", models.JSONField(default=dict)),
                ("attempts", models.PositiveSmallIntegerField(default=0)),
                ("next_attempt_at", models.DateTimeField(default=django.utils.timezone.now, null=True)),
                ("delivered_at", models.DateTimeField(null=True)),
                ("status_code", models.PositiveSmallIntegerField(null=True)),
                ("error", models.CharField(blank=True, max_length=500)),
                ("lease_owner", models.CharField(blank=True, max_length=128)),
                ("lease_until", models.DateTimeField(null=True)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                (
                    "subscriber",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="posts", to="statuspage.subscriber"
                    ),
                ),
            ],
            options={
                "ordering": ["-id"],
                "indexes": [
                    models.Index(
                        condition=models.Q(("next_attempt_at__isnull", False)),
                        fields=["next_attempt_at"],
                        name="statuspost_due",
                    ),
                    models.Index(fields=["subscriber", "id"], name="statuspost_subscriber"),
                    models.Index(fields=["created_at"], name="statuspost_age"),
                ],
            },
        ),
    ]
