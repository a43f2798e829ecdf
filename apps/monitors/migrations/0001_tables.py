import apps.core.fields
import apps.core.ids
import apps.monitors.models.endpoints
import apps.monitors.models.maintenance
import django.db.models.deletion
import django.utils.timezone
import uuid
from django.db import migrations, models


class Migration(migrations.Migration):
    replaces = [("monitors", "0001_initial"), ("monitors", "0002_watching"), ("monitors", "0003_domains")]

    initial = True

    dependencies = [
        ("core", "0001_tables"),
    ]

    operations = [
        migrations.CreateModel(
            name="Badge",
            fields=[
                (
                    "id",
                    models.UUIDField(default=apps.core.ids.new_id, editable=False, primary_key=True, serialize=False),
                ),
                ("revision", models.PositiveIntegerField(default=1, editable=False)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("kind", models.CharField(max_length=16)),
                ("subject", models.CharField(max_length=128)),
                ("shows", models.CharField(default="status", max_length=16)),
                ("days", models.PositiveSmallIntegerField(default=30)),
                ("label", models.CharField(blank=True, max_length=60)),
                ("digest", models.CharField(editable=False, max_length=64, unique=True)),
                ("token", apps.core.fields.SealedTextField()),
            ],
            options={
                "ordering": ["-created_at", "-id"],
                "indexes": [
                    models.Index(fields=["-created_at", "-id"], name="badge_newest"),
                    models.Index(fields=["kind", "subject"], name="badge_subject"),
                ],
            },
        ),
        migrations.CreateModel(
            name="CertificateCheck",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "num", "at", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("num", models.PositiveIntegerField()),
                ("at", models.BigIntegerField()),
                ("status", models.PositiveSmallIntegerField()),
                ("fingerprint", models.CharField(blank=True, max_length=64)),
                ("subject", models.CharField(blank=True, max_length=255)),
                ("issuer", models.CharField(blank=True, max_length=255)),
                ("not_before", models.DateTimeField(null=True)),
                ("not_after", models.DateTimeField(null=True)),
                ("chain_valid", models.BooleanField(null=True)),
                ("hostname_valid", models.BooleanField(null=True)),
                ("revocation", models.CharField(blank=True, max_length=8)),
                ("error", models.CharField(blank=True, max_length=500)),
            ],
            options={
                "indexes": [models.Index(fields=["at"], name="certificate_check_at")],
            },
        ),
        migrations.CreateModel(
            name="CheckResult",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "num", "at", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("num", models.PositiveIntegerField()),
                ("at", models.BigIntegerField()),
                ("status", models.PositiveSmallIntegerField()),
                ("manual", models.BooleanField(default=False)),
                ("latency_ms", models.FloatField(null=True)),
                ("dns_ms", models.FloatField(null=True)),
                ("connect_ms", models.FloatField(null=True)),
                ("tls_ms", models.FloatField(null=True)),
                ("first_byte_ms", models.FloatField(null=True)),
                ("status_code", models.PositiveSmallIntegerField(null=True)),
                ("error", models.CharField(blank=True, max_length=300)),
                ("maintenance", models.BooleanField(db_default=False, default=False)),
            ],
            options={
                "indexes": [models.Index(fields=["at"], name="check_result_at")],
            },
        ),
        migrations.CreateModel(
            name="CheckRollup1d",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "num", "at", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("num", models.PositiveIntegerField()),
                ("at", models.BigIntegerField()),
                ("up", models.PositiveIntegerField(default=0)),
                ("degraded", models.PositiveIntegerField(default=0)),
                ("down", models.PositiveIntegerField(default=0)),
                ("unknown", models.PositiveIntegerField(default=0)),
                ("latency_count", models.PositiveIntegerField(default=0)),
                ("latency_sum", models.FloatField(default=0)),
                ("latency_min", models.FloatField(null=True)),
                ("latency_max", models.FloatField(null=True)),
                ("histogram", models.TextField(blank=True)),
                ("maintenance", models.PositiveIntegerField(db_default=0, default=0)),
            ],
            options={
                "indexes": [models.Index(fields=["at"], name="check_rollup_1d_at")],
            },
        ),
        migrations.CreateModel(
            name="CheckRollup1h",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "num", "at", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("num", models.PositiveIntegerField()),
                ("at", models.BigIntegerField()),
                ("up", models.PositiveIntegerField(default=0)),
                ("degraded", models.PositiveIntegerField(default=0)),
                ("down", models.PositiveIntegerField(default=0)),
                ("unknown", models.PositiveIntegerField(default=0)),
                ("latency_count", models.PositiveIntegerField(default=0)),
                ("latency_sum", models.FloatField(default=0)),
                ("latency_min", models.FloatField(null=True)),
                ("latency_max", models.FloatField(null=True)),
                ("histogram", models.TextField(blank=True)),
                ("maintenance", models.PositiveIntegerField(db_default=0, default=0)),
            ],
            options={
                "indexes": [models.Index(fields=["at"], name="check_rollup_1h_at")],
            },
        ),
        migrations.CreateModel(
            name="CheckRollup5m",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "num", "at", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("num", models.PositiveIntegerField()),
                ("at", models.BigIntegerField()),
                ("up", models.PositiveIntegerField(default=0)),
                ("degraded", models.PositiveIntegerField(default=0)),
                ("down", models.PositiveIntegerField(default=0)),
                ("unknown", models.PositiveIntegerField(default=0)),
                ("latency_count", models.PositiveIntegerField(default=0)),
                ("latency_sum", models.FloatField(default=0)),
                ("latency_min", models.FloatField(null=True)),
                ("latency_max", models.FloatField(null=True)),
                ("histogram", models.TextField(blank=True)),
                ("maintenance", models.PositiveIntegerField(db_default=0, default=0)),
            ],
            options={
                "indexes": [models.Index(fields=["at"], name="check_rollup_5m_at")],
            },
        ),
        migrations.CreateModel(
            name="Dependency",
            fields=[
                (
                    "id",
                    models.UUIDField(default=apps.core.ids.new_id, editable=False, primary_key=True, serialize=False),
                ),
                ("revision", models.PositiveIntegerField(default=1, editable=False)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("child_kind", models.CharField(max_length=32)),
                ("child_id", models.CharField(max_length=64)),
                ("parent_kind", models.CharField(max_length=32)),
                ("parent_id", models.CharField(max_length=64)),
                ("note", models.CharField(blank=True, max_length=255)),
                ("created_by", models.CharField(blank=True, max_length=255)),
            ],
            options={
                "verbose_name_plural": "dependencies",
                "ordering": ["-id"],
                "indexes": [models.Index(fields=["parent_kind", "parent_id"], name="dependency_parent")],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("child_kind", "child_id", "parent_kind", "parent_id"), name="one_dependency_per_pair"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="DirtyBucket",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "level", "at", "num", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("level", models.PositiveSmallIntegerField()),
                ("at", models.BigIntegerField()),
                ("num", models.PositiveIntegerField()),
            ],
        ),
        migrations.CreateModel(
            name="DomainRegistration",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("domain", models.CharField(max_length=253)),
                ("rdap_server", models.CharField(blank=True, max_length=500)),
                ("host", models.CharField(blank=True, db_index=True, max_length=253)),
                ("asked_at", models.DateTimeField()),
                ("answered_at", models.DateTimeField(null=True)),
                ("failures", models.PositiveIntegerField(default=0)),
                ("error", models.CharField(blank=True, max_length=300)),
                ("rest_until", models.DateTimeField(null=True)),
                ("is_registered", models.BooleanField(default=False)),
                ("expires_at", models.DateTimeField(null=True)),
                ("registrar", models.CharField(blank=True, max_length=255)),
                ("statuses", models.JSONField(default=list)),
                ("parent", models.CharField(blank=True, max_length=253)),
            ],
            options={
                "indexes": [models.Index(fields=["asked_at"], name="domain_asked")],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("domain", "rdap_server"), name="one_registration_per_domain_and_server"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="DroppedSeries",
            fields=[
                ("num", models.PositiveIntegerField(primary_key=True, serialize=False)),
                ("dropped_at", models.DateTimeField(auto_now_add=True)),
            ],
        ),
        migrations.CreateModel(
            name="Endpoint",
            fields=[
                (
                    "id",
                    models.UUIDField(default=apps.core.ids.new_id, editable=False, primary_key=True, serialize=False),
                ),
                ("revision", models.PositiveIntegerField(default=1, editable=False)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("num", models.PositiveIntegerField(editable=False, help_text="Key of its results.", unique=True)),
                ("name", models.CharField(max_length=255)),
                ("description", models.TextField(blank=True)),
                ("endpoint_type", models.CharField(max_length=16)),
                ("target", models.CharField(blank=True, max_length=2048)),
                ("enabled", models.BooleanField(default=True)),
                ("interval_s", models.PositiveIntegerField(default=60)),
                ("timeout_s", models.FloatField(default=10.0)),
                ("failure_threshold", models.PositiveSmallIntegerField(default=1)),
                ("recovery_threshold", models.PositiveSmallIntegerField(default=1)),
                ("degraded_over_ms", models.PositiveIntegerField(blank=True, null=True)),
                ("method", models.CharField(blank=True, default="GET", max_length=16)),
                ("headers", apps.core.fields.SealedTextField(blank=True, default="")),
                ("body", models.TextField(blank=True)),
                ("expected_status", models.CharField(blank=True, default="2xx", max_length=255)),
                ("keyword", models.CharField(blank=True, max_length=500)),
                ("keyword_absent", models.CharField(blank=True, max_length=500)),
                ("json_path", models.CharField(blank=True, max_length=500)),
                ("json_value", models.JSONField(blank=True, null=True)),
                ("max_redirects", models.PositiveSmallIntegerField(default=5)),
                ("tls_verify", models.BooleanField(default=True)),
                ("ca_pem", models.TextField(blank=True)),
                ("cert_warn_days", models.JSONField(default=apps.monitors.models.endpoints.default_warn_days)),
                ("tags", models.ManyToManyField(blank=True, related_name="endpoints", to="core.tag")),
                ("inverse", models.BooleanField(default=False, help_text="It is expected not to answer.")),
                ("members", models.ManyToManyField(blank=True, related_name="groups", to="monitors.endpoint")),
                ("options", models.JSONField(blank=True, default=dict)),
                ("secrets", apps.core.fields.SealedTextField(blank=True, default="")),
                ("token_hash", models.CharField(blank=True, editable=False, max_length=64, null=True, unique=True)),
            ],
            options={
                "ordering": ["name", "id"],
                "indexes": [models.Index(fields=["name", "id"], name="endpoint_name")],
            },
        ),
        migrations.CreateModel(
            name="CertificateMonitor",
            fields=[
                (
                    "id",
                    models.UUIDField(default=apps.core.ids.new_id, editable=False, primary_key=True, serialize=False),
                ),
                ("revision", models.PositiveIntegerField(default=1, editable=False)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("num", models.PositiveIntegerField(editable=False, help_text="Key of its checks.", unique=True)),
                ("hostname", models.CharField(max_length=255)),
                ("port", models.PositiveIntegerField(default=443)),
                ("server_name", models.CharField(blank=True, help_text="Empty: the host name.", max_length=255)),
                ("starttls", models.CharField(default="none", max_length=8)),
                ("ca_pem", models.TextField(blank=True)),
                ("warn_days", models.JSONField(default=apps.monitors.models.endpoints.default_warn_days)),
                ("interval_s", models.PositiveIntegerField(default=21600)),
                ("enabled", models.BooleanField(default=True)),
                ("source", models.CharField(default="standalone", max_length=16)),
                (
                    "endpoint",
                    models.ForeignKey(
                        blank=True,
                        editable=False,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="certificates",
                        to="monitors.endpoint",
                    ),
                ),
                ("tags", models.ManyToManyField(blank=True, related_name="certificates", to="core.tag")),
            ],
            options={
                "ordering": ["hostname", "port", "id"],
                "indexes": [models.Index(fields=["hostname", "port", "id"], name="certificate_address")],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("hostname", "port", "server_name"), name="certificate_one_per_address"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="CertificateMonitorState",
            fields=[
                (
                    "certificate",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="state",
                        serialize=False,
                        to="monitors.certificatemonitor",
                    ),
                ),
                ("num", models.PositiveIntegerField(editable=False, unique=True)),
                ("status", models.CharField(default="unknown", max_length=16)),
                ("since", models.DateTimeField(default=django.utils.timezone.now)),
                ("told", models.CharField(blank=True, max_length=32)),
                ("fingerprint", models.CharField(blank=True, max_length=64)),
                ("subject", models.CharField(blank=True, max_length=255)),
                ("issuer", models.CharField(blank=True, max_length=255)),
                ("not_after", models.DateTimeField(null=True)),
                ("newest_from", models.DateTimeField(null=True)),
                ("facts", models.JSONField(null=True)),
                ("last_error", models.TextField(blank=True)),
                ("last_check_at", models.DateTimeField(null=True)),
                ("next_check_at", models.DateTimeField(null=True)),
                ("lease_owner", models.CharField(blank=True, max_length=128)),
                ("lease_until", models.DateTimeField(null=True)),
            ],
            options={
                "indexes": [
                    models.Index(fields=["next_check_at"], name="certificate_due"),
                    models.Index(fields=["status"], name="certificate_status"),
                    models.Index(fields=["not_after"], name="certificate_ends"),
                ],
            },
        ),
        migrations.CreateModel(
            name="EndpointState",
            fields=[
                (
                    "endpoint",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="state",
                        serialize=False,
                        to="monitors.endpoint",
                    ),
                ),
                ("num", models.PositiveIntegerField(editable=False, unique=True)),
                ("status", models.CharField(default="unknown", max_length=16)),
                ("since", models.DateTimeField(default=django.utils.timezone.now)),
                ("consecutive_failures", models.PositiveIntegerField(default=0)),
                ("consecutive_degraded", models.PositiveIntegerField(default=0)),
                ("consecutive_successes", models.PositiveIntegerField(default=0)),
                ("failing_since", models.DateTimeField(null=True)),
                ("alert_level", models.CharField(blank=True, max_length=16)),
                ("last_check_at", models.DateTimeField(null=True)),
                ("next_check_at", models.DateTimeField(null=True)),
                ("last_response_time_ms", models.FloatField(null=True)),
                ("last_status_code", models.PositiveSmallIntegerField(null=True)),
                ("last_error", models.TextField(blank=True)),
                ("recent", models.TextField(blank=True)),
                ("certificate", models.JSONField(null=True)),
                ("certificate_alert", models.CharField(blank=True, max_length=32)),
                ("lease_owner", models.CharField(blank=True, max_length=128)),
                ("lease_until", models.DateTimeField(null=True)),
                ("warned_days", models.PositiveSmallIntegerField(null=True)),
            ],
            options={
                "indexes": [
                    models.Index(fields=["next_check_at"], name="endpoint_due"),
                    models.Index(fields=["status"], name="endpoint_status"),
                ],
            },
        ),
        migrations.CreateModel(
            name="HeartbeatDay",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "num", "day", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("num", models.BigIntegerField()),
                ("day", models.IntegerField()),
                ("ok", models.PositiveIntegerField(default=0)),
                ("failed", models.PositiveIntegerField(default=0)),
                ("missed", models.PositiveIntegerField(default=0)),
                ("maintenance", models.PositiveIntegerField(db_default=0, default=0)),
                ("unknown", models.PositiveIntegerField(db_default=0, default=0)),
            ],
            options={
                "indexes": [models.Index(fields=["day"], name="heartbeat_day_day")],
            },
        ),
        migrations.CreateModel(
            name="MaintenanceWindow",
            fields=[
                (
                    "id",
                    models.UUIDField(default=apps.core.ids.new_id, editable=False, primary_key=True, serialize=False),
                ),
                ("revision", models.PositiveIntegerField(default=1, editable=False)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("title", models.CharField(max_length=255)),
                ("description", models.TextField(blank=True)),
                (
                    "kind",
                    models.CharField(
                        choices=[("once", "Once"), ("weekly", "Weekly"), ("cron", "By cron")],
                        default="once",
                        max_length=8,
                    ),
                ),
                ("starts_at", models.DateTimeField(blank=True, null=True)),
                ("ends_at", models.DateTimeField(blank=True, null=True)),
                ("weekdays", models.JSONField(blank=True, default=apps.monitors.models.maintenance.weekdays_default)),
                ("start_time", models.TimeField(blank=True, null=True)),
                ("duration_s", models.PositiveIntegerField(blank=True, null=True)),
                ("cron", models.CharField(blank=True, max_length=128)),
                ("timezone", models.CharField(default="UTC", max_length=64)),
                ("all_targets", models.BooleanField(default=False)),
                ("tags", models.JSONField(blank=True, default=list)),
                ("targets", models.JSONField(blank=True, default=list)),
                ("enabled", models.BooleanField(default=True)),
                ("cut_at", models.DateTimeField(editable=False, null=True)),
                ("running_since", models.DateTimeField(editable=False, null=True)),
                ("running_until", models.DateTimeField(editable=False, null=True)),
                ("next_change_at", models.DateTimeField(default=django.utils.timezone.now, editable=False, null=True)),
                ("fault", models.CharField(blank=True, editable=False, max_length=300)),
            ],
            options={
                "ordering": ["-id"],
                "indexes": [models.Index(fields=["next_change_at"], name="maintenance_due")],
            },
        ),
        migrations.CreateModel(
            name="Ping",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "num", "at", "n", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("num", models.BigIntegerField()),
                ("at", models.BigIntegerField()),
                ("n", models.BigIntegerField()),
                ("kind", models.CharField(max_length=8)),
                ("exit_code", models.PositiveSmallIntegerField(null=True)),
                ("method", models.CharField(max_length=8)),
                ("remote_addr", models.CharField(blank=True, max_length=45)),
                ("user_agent", models.CharField(blank=True, max_length=200)),
                ("rid", models.UUIDField(null=True)),
                ("body", models.TextField(blank=True)),
            ],
            options={
                "indexes": [models.Index(fields=["at"], name="ping_at")],
            },
        ),
        migrations.CreateModel(
            name="PingKey",
            fields=[
                (
                    "id",
                    models.UUIDField(default=apps.core.ids.new_id, editable=False, primary_key=True, serialize=False),
                ),
                ("revision", models.PositiveIntegerField(default=1, editable=False)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("name", models.CharField(max_length=100, unique=True)),
                ("digest", models.CharField(editable=False, max_length=64, unique=True)),
                ("key", apps.core.fields.SealedTextField()),
                ("enabled", models.BooleanField(default=True)),
                ("create_limit", models.PositiveIntegerField(default=100)),
                ("interval_seconds", models.PositiveIntegerField(blank=True, null=True)),
                ("cron", models.CharField(blank=True, max_length=128)),
                ("timezone", models.CharField(default="UTC", max_length=64)),
                ("grace_seconds", models.PositiveIntegerField(blank=True, null=True)),
                ("tags", models.JSONField(blank=True, default=list)),
            ],
            options={
                "ordering": ["name"],
            },
        ),
        migrations.CreateModel(
            name="Heartbeat",
            fields=[
                (
                    "id",
                    models.UUIDField(default=apps.core.ids.new_id, editable=False, primary_key=True, serialize=False),
                ),
                ("revision", models.PositiveIntegerField(default=1, editable=False)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("num", models.BigIntegerField(editable=False, unique=True)),
                ("uuid", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("name", models.CharField(max_length=255)),
                ("description", models.TextField(blank=True)),
                (
                    "kind",
                    models.CharField(
                        choices=[("interval", "interval"), ("cron", "cron"), ("calendar", "calendar")],
                        default="interval",
                        max_length=16,
                    ),
                ),
                ("interval_seconds", models.PositiveIntegerField(blank=True, null=True)),
                ("cron", models.CharField(blank=True, max_length=128)),
                ("timezone", models.CharField(default="UTC", max_length=64)),
                ("grace_seconds", models.PositiveIntegerField(default=60)),
                ("early_seconds", models.PositiveIntegerField(default=0)),
                ("max_runtime_seconds", models.PositiveIntegerField(blank=True, null=True)),
                ("resume_on_ping", models.BooleanField(default=False)),
                ("tags", models.ManyToManyField(blank=True, related_name="heartbeats", to="core.tag")),
                ("expected_pings", models.PositiveSmallIntegerField(default=0)),
                ("expected_sources", models.JSONField(blank=True, default=list)),
                ("failure_keywords", models.JSONField(blank=True, default=list)),
                ("has_rules", models.BooleanField(default=False, editable=False)),
                ("otherwise", models.CharField(default="success", max_length=8)),
                ("slug", models.CharField(blank=True, max_length=100)),
                ("start_keywords", models.JSONField(blank=True, default=list)),
                ("success_keywords", models.JSONField(blank=True, default=list)),
                (
                    "ping_key",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="heartbeats",
                        to="monitors.pingkey",
                    ),
                ),
            ],
            options={
                "ordering": ["name", "id"],
                "indexes": [
                    models.Index(fields=["name", "id"], name="heartbeat_name"),
                    models.Index(fields=["ping_key", "slug"], name="heartbeat_slug"),
                ],
            },
        ),
        migrations.CreateModel(
            name="HeartbeatState",
            fields=[
                (
                    "heartbeat",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="state",
                        serialize=False,
                        to="monitors.heartbeat",
                    ),
                ),
                ("config_revision", models.PositiveIntegerField(default=1)),
                ("status", models.CharField(default="new", max_length=16)),
                ("since", models.DateTimeField()),
                ("last_ping_at", models.DateTimeField(null=True)),
                ("next_due_at", models.DateTimeField(null=True)),
                ("deadline", models.DateTimeField(null=True)),
                ("run_deadline", models.DateTimeField(null=True)),
                ("wake_at", models.DateTimeField(null=True)),
                ("last_start_at", models.DateTimeField(null=True)),
                ("open_runs", models.PositiveIntegerField(default=0)),
                ("last_duration_ms", models.BigIntegerField(null=True)),
                ("ping_count", models.BigIntegerField(default=0)),
                ("last_exit_code", models.PositiveSmallIntegerField(null=True)),
                ("alerting", models.BooleanField(default=False)),
                ("down_since", models.DateTimeField(null=True)),
                ("missed_until", models.DateTimeField(null=True)),
                ("consecutive_failures", models.PositiveIntegerField(default=0)),
                ("log_minute", models.BigIntegerField(default=0)),
                ("log_count", models.PositiveIntegerField(default=0)),
                ("day", models.IntegerField(default=0)),
                ("day_ok", models.PositiveIntegerField(default=0)),
                ("day_failed", models.PositiveIntegerField(default=0)),
                ("day_missed", models.PositiveIntegerField(default=0)),
                ("fault", models.CharField(blank=True, db_default="", default="", max_length=300)),
            ],
            options={
                "indexes": [
                    models.Index(
                        condition=models.Q(("wake_at__isnull", False)), fields=["wake_at"], name="heartbeat_wake"
                    ),
                    models.Index(fields=["status"], name="heartbeat_status"),
                ],
            },
        ),
        migrations.CreateModel(
            name="HeartbeatWindow",
            fields=[
                (
                    "heartbeat",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="window",
                        serialize=False,
                        to="monitors.heartbeat",
                    ),
                ),
                ("seen", models.JSONField(default=list)),
                ("last", models.JSONField(default=dict)),
            ],
        ),
        migrations.CreateModel(
            name="RdapDirectory",
            fields=[
                ("id", models.PositiveSmallIntegerField(default=1, primary_key=True, serialize=False)),
                ("services", models.JSONField(default=dict)),
                ("fetched_at", models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name="Run",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "num", "at", "n", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("num", models.BigIntegerField()),
                ("at", models.BigIntegerField()),
                ("n", models.BigIntegerField()),
                ("rid", models.UUIDField(null=True)),
                ("finished_at", models.BigIntegerField(null=True)),
                ("end_n", models.BigIntegerField(null=True)),
                ("duration_ms", models.BigIntegerField(null=True)),
                ("exit_code", models.PositiveSmallIntegerField(null=True)),
                ("result", models.CharField(default="running", max_length=8)),
            ],
            options={
                "indexes": [
                    models.Index(fields=["at"], name="run_at"),
                    models.Index(condition=models.Q(("result", "running")), fields=["num", "at"], name="run_open"),
                ],
            },
        ),
    ]
