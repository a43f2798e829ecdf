import apps.core.fields
import apps.core.ids
import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    replaces = [("core", "0001_initial"), ("core", "0002_watching"), ("core", "0003_outside_heartbeat")]

    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Canary",
            fields=[
                ("id", models.PositiveSmallIntegerField(default=1, primary_key=True, serialize=False)),
                ("token", models.TextField()),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
            ],
        ),
        migrations.CreateModel(
            name="Condition",
            fields=[
                ("name", models.CharField(max_length=96, primary_key=True, serialize=False)),
                ("title", models.CharField(blank=True, max_length=100)),
                ("message", models.TextField()),
                ("level", models.CharField(default="critical", max_length=16)),
                ("since", models.DateTimeField(default=django.utils.timezone.now)),
                ("ended_at", models.DateTimeField(null=True)),
            ],
        ),
        migrations.CreateModel(
            name="Event",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("uid", models.UUIDField(default=apps.core.ids.new_id, unique=True)),
                ("seq", models.BigIntegerField(null=True, unique=True)),
                ("name", models.CharField(max_length=64)),
                ("subject_kind", models.CharField(max_length=32)),
                ("subject_id", models.CharField(max_length=128)),
                ("subject_name", models.CharField(blank=True, max_length=255)),
                ("level", models.CharField(default="info", max_length=16)),
                ("tags", models.JSONField(default=list)),
                ("audience", models.JSONField(default=dict)),
                ("data", models.JSONField(default=dict)),
                ("audit", models.JSONField(default=dict)),
                ("actor", models.JSONField(default=dict)),
                ("actor_name", models.CharField(blank=True, max_length=255)),
                ("at", models.DateTimeField(default=django.utils.timezone.now)),
            ],
            options={
                "indexes": [
                    models.Index(condition=models.Q(("seq__isnull", True)), fields=["id"], name="event_unsequenced"),
                    models.Index(fields=["name", "seq"], name="event_name_seq"),
                    models.Index(fields=["subject_kind", "subject_id", "seq"], name="event_subject_seq"),
                    models.Index(fields=["at"], name="event_at"),
                    models.Index(fields=["actor_name", "id"], name="event_actor"),
                ],
            },
        ),
        migrations.CreateModel(
            name="IdempotencyRecord",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("principal", models.CharField(max_length=128)),
                ("route", models.CharField(max_length=200)),
                ("key", models.CharField(max_length=200)),
                ("body_hash", models.CharField(max_length=64)),
                ("status", models.PositiveSmallIntegerField()),
                ("body", models.JSONField(null=True)),
                ("created_at", models.DateTimeField(db_index=True, default=django.utils.timezone.now)),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("principal", "route", "key"), name="one_answer_per_idempotency_key")
                ],
            },
        ),
        migrations.CreateModel(
            name="Lease",
            fields=[
                ("name", models.CharField(max_length=64, primary_key=True, serialize=False)),
                ("owner", models.CharField(max_length=128)),
                ("until", models.DateTimeField()),
                ("last_run_at", models.DateTimeField(null=True)),
            ],
        ),
        migrations.CreateModel(
            name="OutsideHeartbeat",
            fields=[
                ("id", models.PositiveSmallIntegerField(default=1, primary_key=True, serialize=False)),
                ("tried_at", models.DateTimeField(null=True)),
                ("sent_at", models.DateTimeField(null=True)),
                ("failing_since", models.DateTimeField(null=True)),
                ("reason", models.CharField(blank=True, max_length=500)),
                ("is_held", models.BooleanField(default=False)),
            ],
        ),
        migrations.CreateModel(
            name="ReaderCursor",
            fields=[
                ("name", models.CharField(max_length=64, primary_key=True, serialize=False)),
                ("seq", models.BigIntegerField(default=0)),
                ("failing_seq", models.BigIntegerField(null=True)),
                ("failures", models.PositiveSmallIntegerField(default=0)),
                ("last_error", models.TextField(blank=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
            ],
        ),
        migrations.CreateModel(
            name="Sequence",
            fields=[
                ("name", models.CharField(max_length=64, primary_key=True, serialize=False)),
                ("value", models.BigIntegerField(default=0)),
            ],
        ),
        migrations.CreateModel(
            name="SetAsideFact",
            fields=[
                (
                    "id",
                    models.UUIDField(default=apps.core.ids.new_id, editable=False, primary_key=True, serialize=False),
                ),
                ("reader", models.CharField(max_length=64)),
                ("seq", models.BigIntegerField()),
                ("event_name", models.CharField(max_length=64)),
                ("error", models.TextField()),
                ("at", models.DateTimeField(default=django.utils.timezone.now)),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("reader", "seq"), name="one_set_aside_per_reader_and_fact")
                ],
            },
        ),
        migrations.CreateModel(
            name="StoredSetting",
            fields=[
                ("name", models.CharField(max_length=128, primary_key=True, serialize=False)),
                ("value", models.JSONField()),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("secret", apps.core.fields.SealedTextField(blank=True, default="")),
            ],
        ),
        migrations.CreateModel(
            name="Tag",
            fields=[
                (
                    "id",
                    models.UUIDField(default=apps.core.ids.new_id, editable=False, primary_key=True, serialize=False),
                ),
                ("name", models.CharField(max_length=64, unique=True)),
            ],
            options={
                "ordering": ["name"],
            },
        ),
    ]
