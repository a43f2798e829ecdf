import apps.core.ids
import django.db.models.deletion
from django.db import migrations, models


# Punctuation becomes blanks, so that both databases see the same words: "web-1.example" are three.
_PUNCTUATION = """!"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"""
_SQLITE = (
    "CREATE VIRTUAL TABLE fleet_logsearch USING fts5("
    "message, content='fleet_logentry', content_rowid='id', tokenize='unicode61 remove_diacritics 0')",
    "CREATE TRIGGER fleet_logentry_added AFTER INSERT ON fleet_logentry BEGIN "
    "INSERT INTO fleet_logsearch(rowid, message) VALUES (new.id, new.message); END",
    "CREATE TRIGGER fleet_logentry_removed AFTER DELETE ON fleet_logentry BEGIN "
    "INSERT INTO fleet_logsearch(fleet_logsearch, rowid, message) VALUES ('delete', old.id, old.message); END",
)
_POSTGRESQL = (
    # Replaced: it outlives the tables where a restore drops them.
    "CREATE OR REPLACE FUNCTION fleet_logwords(text) RETURNS tsvector LANGUAGE sql IMMUTABLE PARALLEL SAFE AS "
    "$$ SELECT to_tsvector('simple', translate($1, '"
    + _PUNCTUATION.replace("'", "''")
    + "', '"
    + " " * len(_PUNCTUATION)
    + "')) $$",
    # Stored: a common word is found by looking at the newest lines, and taking each apart anew would take too long.
    "ALTER TABLE fleet_logentry ADD COLUMN words tsvector GENERATED ALWAYS AS (fleet_logwords(message)) STORED",
    # Whether a word is rare decides how it is best looked for.
    "ALTER TABLE fleet_logentry ALTER COLUMN words SET STATISTICS 1000",
    "CREATE INDEX fleet_logentry_words ON fleet_logentry USING gin (words) WITH (gin_pending_list_limit = 1024)",
)


def make_search(apps, schema_editor):
    vendor = schema_editor.connection.vendor
    for statement in _POSTGRESQL if vendor == "postgresql" else _SQLITE:
        schema_editor.execute(statement, params=None)


def drop_search(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("ALTER TABLE fleet_logentry DROP COLUMN words")
        schema_editor.execute("DROP FUNCTION fleet_logwords(text)")
    else:
        for statement in ("TRIGGER fleet_logentry_added", "TRIGGER fleet_logentry_removed", "TABLE fleet_logsearch"):
            schema_editor.execute(f"DROP {statement}")


class Migration(migrations.Migration):
    replaces = [("fleet", "0001_initial"), ("fleet", "0002_ssh"), ("fleet", "0003_logs")]

    initial = True

    dependencies = [
        ("core", "0001_tables"),
    ]

    operations = [
        migrations.CreateModel(
            name="DirtyBucket",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "level", "num", "at", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("level", models.IntegerField()),
                ("num", models.IntegerField()),
                ("at", models.BigIntegerField()),
                ("marked_at", models.BigIntegerField()),
            ],
            options={
                "indexes": [models.Index(fields=["level", "at"], name="dirtybucket_due")],
            },
        ),
        migrations.CreateModel(
            name="LogEntry",
            fields=[
                ("id", models.BigIntegerField(primary_key=True, serialize=False)),
                ("num", models.IntegerField()),
                ("received_at", models.BigIntegerField()),
                ("sent_at", models.BigIntegerField(null=True)),
                (
                    "level",
                    models.SmallIntegerField(
                        choices=[(10, "debug"), (20, "info"), (30, "warning"), (40, "error"), (50, "critical")]
                    ),
                ),
                ("source", models.SmallIntegerField(choices=[(1, "journal"), (2, "file"), (3, "docker")])),
                ("source_name", models.CharField(blank=True, max_length=200)),
                ("message", models.TextField()),
                ("fields", models.TextField(default="{}")),
                ("is_cut", models.BooleanField(default=False)),
                ("size", models.IntegerField()),
                ("mark", models.BigIntegerField(null=True)),
            ],
            options={
                "ordering": ["-id"],
                "indexes": [
                    models.Index(fields=["num", "id"], name="logentry_server"),
                    models.Index(fields=["source_name", "id"], name="logentry_source"),
                    models.Index(condition=models.Q(("level__gte", 30)), fields=["level", "id"], name="logentry_bad"),
                    models.Index(
                        condition=models.Q(("level__gte", 30)),
                        fields=["source_name", "level", "id"],
                        name="logentry_bad_source",
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("mark__isnull", False)), fields=("num", "mark"), name="logentry_once"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="LogFollower",
            fields=[
                ("id", models.UUIDField(primary_key=True, serialize=False)),
                ("until", models.BigIntegerField(db_index=True)),
            ],
        ),
        migrations.CreateModel(
            name="Rollup1d",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "num", "at", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("num", models.IntegerField()),
                ("at", models.BigIntegerField()),
                ("count", models.IntegerField()),
                ("cpu_n", models.IntegerField()),
                ("cpu_sum", models.FloatField(null=True)),
                ("cpu_min", models.FloatField(null=True)),
                ("cpu_max", models.FloatField(null=True)),
                ("memory_n", models.IntegerField()),
                ("memory_sum", models.FloatField(null=True)),
                ("memory_min", models.FloatField(null=True)),
                ("memory_max", models.FloatField(null=True)),
                ("swap_n", models.IntegerField()),
                ("swap_sum", models.FloatField(null=True)),
                ("swap_min", models.FloatField(null=True)),
                ("swap_max", models.FloatField(null=True)),
                ("disk_n", models.IntegerField()),
                ("disk_sum", models.FloatField(null=True)),
                ("disk_min", models.FloatField(null=True)),
                ("disk_max", models.FloatField(null=True)),
                ("inodes_n", models.IntegerField()),
                ("inodes_sum", models.FloatField(null=True)),
                ("inodes_min", models.FloatField(null=True)),
                ("inodes_max", models.FloatField(null=True)),
                ("load1_n", models.IntegerField()),
                ("load1_sum", models.FloatField(null=True)),
                ("load1_min", models.FloatField(null=True)),
                ("load1_max", models.FloatField(null=True)),
                ("temperature_n", models.IntegerField()),
                ("temperature_sum", models.FloatField(null=True)),
                ("temperature_min", models.FloatField(null=True)),
                ("temperature_max", models.FloatField(null=True)),
                ("rx_rate_n", models.IntegerField()),
                ("rx_rate_sum", models.FloatField(null=True)),
                ("rx_rate_min", models.FloatField(null=True)),
                ("rx_rate_max", models.FloatField(null=True)),
                ("tx_rate_n", models.IntegerField()),
                ("tx_rate_sum", models.FloatField(null=True)),
                ("tx_rate_min", models.FloatField(null=True)),
                ("tx_rate_max", models.FloatField(null=True)),
                ("read_rate_n", models.IntegerField()),
                ("read_rate_sum", models.FloatField(null=True)),
                ("read_rate_min", models.FloatField(null=True)),
                ("read_rate_max", models.FloatField(null=True)),
                ("write_rate_n", models.IntegerField()),
                ("write_rate_sum", models.FloatField(null=True)),
                ("write_rate_min", models.FloatField(null=True)),
                ("write_rate_max", models.FloatField(null=True)),
            ],
        ),
        migrations.CreateModel(
            name="Rollup1h",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "num", "at", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("num", models.IntegerField()),
                ("at", models.BigIntegerField()),
                ("count", models.IntegerField()),
                ("cpu_n", models.IntegerField()),
                ("cpu_sum", models.FloatField(null=True)),
                ("cpu_min", models.FloatField(null=True)),
                ("cpu_max", models.FloatField(null=True)),
                ("memory_n", models.IntegerField()),
                ("memory_sum", models.FloatField(null=True)),
                ("memory_min", models.FloatField(null=True)),
                ("memory_max", models.FloatField(null=True)),
                ("swap_n", models.IntegerField()),
                ("swap_sum", models.FloatField(null=True)),
                ("swap_min", models.FloatField(null=True)),
                ("swap_max", models.FloatField(null=True)),
                ("disk_n", models.IntegerField()),
                ("disk_sum", models.FloatField(null=True)),
                ("disk_min", models.FloatField(null=True)),
                ("disk_max", models.FloatField(null=True)),
                ("inodes_n", models.IntegerField()),
                ("inodes_sum", models.FloatField(null=True)),
                ("inodes_min", models.FloatField(null=True)),
                ("inodes_max", models.FloatField(null=True)),
                ("load1_n", models.IntegerField()),
                ("load1_sum", models.FloatField(null=True)),
                ("load1_min", models.FloatField(null=True)),
                ("load1_max", models.FloatField(null=True)),
                ("temperature_n", models.IntegerField()),
                ("temperature_sum", models.FloatField(null=True)),
                ("temperature_min", models.FloatField(null=True)),
                ("temperature_max", models.FloatField(null=True)),
                ("rx_rate_n", models.IntegerField()),
                ("rx_rate_sum", models.FloatField(null=True)),
                ("rx_rate_min", models.FloatField(null=True)),
                ("rx_rate_max", models.FloatField(null=True)),
                ("tx_rate_n", models.IntegerField()),
                ("tx_rate_sum", models.FloatField(null=True)),
                ("tx_rate_min", models.FloatField(null=True)),
                ("tx_rate_max", models.FloatField(null=True)),
                ("read_rate_n", models.IntegerField()),
                ("read_rate_sum", models.FloatField(null=True)),
                ("read_rate_min", models.FloatField(null=True)),
                ("read_rate_max", models.FloatField(null=True)),
                ("write_rate_n", models.IntegerField()),
                ("write_rate_sum", models.FloatField(null=True)),
                ("write_rate_min", models.FloatField(null=True)),
                ("write_rate_max", models.FloatField(null=True)),
            ],
        ),
        migrations.CreateModel(
            name="Rollup1m",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "num", "at", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("num", models.IntegerField()),
                ("at", models.BigIntegerField()),
                ("count", models.IntegerField()),
                ("cpu_n", models.IntegerField()),
                ("cpu_sum", models.FloatField(null=True)),
                ("cpu_min", models.FloatField(null=True)),
                ("cpu_max", models.FloatField(null=True)),
                ("memory_n", models.IntegerField()),
                ("memory_sum", models.FloatField(null=True)),
                ("memory_min", models.FloatField(null=True)),
                ("memory_max", models.FloatField(null=True)),
                ("swap_n", models.IntegerField()),
                ("swap_sum", models.FloatField(null=True)),
                ("swap_min", models.FloatField(null=True)),
                ("swap_max", models.FloatField(null=True)),
                ("disk_n", models.IntegerField()),
                ("disk_sum", models.FloatField(null=True)),
                ("disk_min", models.FloatField(null=True)),
                ("disk_max", models.FloatField(null=True)),
                ("inodes_n", models.IntegerField()),
                ("inodes_sum", models.FloatField(null=True)),
                ("inodes_min", models.FloatField(null=True)),
                ("inodes_max", models.FloatField(null=True)),
                ("load1_n", models.IntegerField()),
                ("load1_sum", models.FloatField(null=True)),
                ("load1_min", models.FloatField(null=True)),
                ("load1_max", models.FloatField(null=True)),
                ("temperature_n", models.IntegerField()),
                ("temperature_sum", models.FloatField(null=True)),
                ("temperature_min", models.FloatField(null=True)),
                ("temperature_max", models.FloatField(null=True)),
                ("rx_rate_n", models.IntegerField()),
                ("rx_rate_sum", models.FloatField(null=True)),
                ("rx_rate_min", models.FloatField(null=True)),
                ("rx_rate_max", models.FloatField(null=True)),
                ("tx_rate_n", models.IntegerField()),
                ("tx_rate_sum", models.FloatField(null=True)),
                ("tx_rate_min", models.FloatField(null=True)),
                ("tx_rate_max", models.FloatField(null=True)),
                ("read_rate_n", models.IntegerField()),
                ("read_rate_sum", models.FloatField(null=True)),
                ("read_rate_min", models.FloatField(null=True)),
                ("read_rate_max", models.FloatField(null=True)),
                ("write_rate_n", models.IntegerField()),
                ("write_rate_sum", models.FloatField(null=True)),
                ("write_rate_min", models.FloatField(null=True)),
                ("write_rate_max", models.FloatField(null=True)),
            ],
        ),
        migrations.CreateModel(
            name="Rollup5m",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "num", "at", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("num", models.IntegerField()),
                ("at", models.BigIntegerField()),
                ("count", models.IntegerField()),
                ("cpu_n", models.IntegerField()),
                ("cpu_sum", models.FloatField(null=True)),
                ("cpu_min", models.FloatField(null=True)),
                ("cpu_max", models.FloatField(null=True)),
                ("memory_n", models.IntegerField()),
                ("memory_sum", models.FloatField(null=True)),
                ("memory_min", models.FloatField(null=True)),
                ("memory_max", models.FloatField(null=True)),
                ("swap_n", models.IntegerField()),
                ("swap_sum", models.FloatField(null=True)),
                ("swap_min", models.FloatField(null=True)),
                ("swap_max", models.FloatField(null=True)),
                ("disk_n", models.IntegerField()),
                ("disk_sum", models.FloatField(null=True)),
                ("disk_min", models.FloatField(null=True)),
                ("disk_max", models.FloatField(null=True)),
                ("inodes_n", models.IntegerField()),
                ("inodes_sum", models.FloatField(null=True)),
                ("inodes_min", models.FloatField(null=True)),
                ("inodes_max", models.FloatField(null=True)),
                ("load1_n", models.IntegerField()),
                ("load1_sum", models.FloatField(null=True)),
                ("load1_min", models.FloatField(null=True)),
                ("load1_max", models.FloatField(null=True)),
                ("temperature_n", models.IntegerField()),
                ("temperature_sum", models.FloatField(null=True)),
                ("temperature_min", models.FloatField(null=True)),
                ("temperature_max", models.FloatField(null=True)),
                ("rx_rate_n", models.IntegerField()),
                ("rx_rate_sum", models.FloatField(null=True)),
                ("rx_rate_min", models.FloatField(null=True)),
                ("rx_rate_max", models.FloatField(null=True)),
                ("tx_rate_n", models.IntegerField()),
                ("tx_rate_sum", models.FloatField(null=True)),
                ("tx_rate_min", models.FloatField(null=True)),
                ("tx_rate_max", models.FloatField(null=True)),
                ("read_rate_n", models.IntegerField()),
                ("read_rate_sum", models.FloatField(null=True)),
                ("read_rate_min", models.FloatField(null=True)),
                ("read_rate_max", models.FloatField(null=True)),
                ("write_rate_n", models.IntegerField()),
                ("write_rate_sum", models.FloatField(null=True)),
                ("write_rate_min", models.FloatField(null=True)),
                ("write_rate_max", models.FloatField(null=True)),
            ],
        ),
        migrations.CreateModel(
            name="Sample",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "num", "at", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("num", models.IntegerField()),
                ("at", models.BigIntegerField()),
                ("cpu", models.FloatField(null=True)),
                ("memory", models.FloatField(null=True)),
                ("swap", models.FloatField(null=True)),
                ("disk", models.FloatField(null=True)),
                ("inodes", models.FloatField(null=True)),
                ("load1", models.FloatField(null=True)),
                ("temperature", models.FloatField(null=True)),
                ("rx_rate", models.FloatField(null=True)),
                ("tx_rate", models.FloatField(null=True)),
                ("read_rate", models.FloatField(null=True)),
                ("write_rate", models.FloatField(null=True)),
                ("load5", models.FloatField(null=True)),
                ("load15", models.FloatField(null=True)),
                ("cores", models.IntegerField(null=True)),
                ("memory_used", models.BigIntegerField(null=True)),
                ("memory_total", models.BigIntegerField(null=True)),
                ("disk_used", models.BigIntegerField(null=True)),
                ("disk_total", models.BigIntegerField(null=True)),
                ("connections", models.IntegerField(null=True)),
                ("processes", models.IntegerField(null=True)),
                ("uptime", models.BigIntegerField(null=True)),
                ("mounts", models.TextField(default="[]")),
                ("interfaces", models.TextField(default="[]")),
            ],
        ),
        migrations.CreateModel(
            name="SshConnection",
            fields=[
                (
                    "id",
                    models.UUIDField(default=apps.core.ids.new_id, editable=False, primary_key=True, serialize=False),
                ),
                ("revision", models.PositiveIntegerField(default=1, editable=False)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("name", models.CharField(max_length=100, unique=True)),
                ("description", models.TextField(blank=True)),
                ("hostname", models.CharField(max_length=255)),
                ("port", models.PositiveIntegerField(default=22)),
                ("username", models.CharField(max_length=64)),
                (
                    "auth_method",
                    models.CharField(
                        choices=[
                            ("password", "Password"),
                            ("key", "Private key"),
                            ("agent", "SSH agent of this platform"),
                        ],
                        default="key",
                        max_length=8,
                    ),
                ),
                ("secret_id", models.UUIDField(blank=True, db_index=True, null=True)),
                ("passphrase_secret_id", models.UUIDField(blank=True, null=True)),
                ("sudo_secret_id", models.UUIDField(blank=True, null=True)),
                ("connect_timeout_s", models.PositiveIntegerField(default=10)),
                ("keepalive_s", models.PositiveIntegerField(default=30)),
                (
                    "jump_host",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="behind",
                        to="fleet.sshconnection",
                    ),
                ),
            ],
            options={
                "ordering": ["name", "id"],
                "verbose_name": "SSH connection",
            },
        ),
        migrations.CreateModel(
            name="Server",
            fields=[
                (
                    "id",
                    models.UUIDField(default=apps.core.ids.new_id, editable=False, primary_key=True, serialize=False),
                ),
                ("revision", models.PositiveIntegerField(default=1, editable=False)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("num", models.PositiveIntegerField(editable=False, unique=True)),
                ("slug", models.SlugField(max_length=64, unique=True)),
                ("name", models.CharField(max_length=200)),
                ("host", models.CharField(blank=True, max_length=255)),
                ("port", models.PositiveIntegerField(default=22)),
                ("description", models.TextField(blank=True)),
                ("metadata", models.JSONField(blank=True, default=dict)),
                ("is_local", models.BooleanField(default=False, editable=False)),
                ("tags", models.ManyToManyField(blank=True, related_name="servers", to="core.tag")),
                (
                    "ssh_connection",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="servers",
                        to="fleet.sshconnection",
                    ),
                ),
            ],
            options={
                "ordering": ["name", "id"],
                "indexes": [models.Index(fields=["name", "id"], name="server_name")],
            },
        ),
        migrations.CreateModel(
            name="CommandRun",
            fields=[
                (
                    "id",
                    models.UUIDField(default=apps.core.ids.new_id, editable=False, primary_key=True, serialize=False),
                ),
                ("target", models.CharField(max_length=255)),
                ("executor", models.CharField(max_length=8)),
                ("command", models.TextField()),
                ("env_names", models.JSONField(default=list)),
                ("has_stdin", models.BooleanField(default=False)),
                ("sudo", models.BooleanField(default=False)),
                ("timeout_s", models.FloatField()),
                ("user_id", models.UUIDField(null=True)),
                ("user", models.CharField(max_length=150)),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("running", "Running"),
                            ("succeeded", "Succeeded"),
                            ("failed", "Failed"),
                            ("timed_out", "Timed out"),
                            ("cancelled", "Cancelled"),
                            ("lost", "Lost"),
                        ],
                        default="running",
                        max_length=10,
                    ),
                ),
                ("exit_code", models.IntegerField(null=True)),
                ("signal", models.CharField(blank=True, max_length=16)),
                ("error", models.TextField(blank=True)),
                ("output", models.TextField(blank=True)),
                ("output_bytes", models.BigIntegerField(default=0)),
                ("is_binary", models.BooleanField(default=False)),
                ("started_at", models.DateTimeField()),
                ("finished_at", models.DateTimeField(null=True)),
                ("duration_ms", models.FloatField(null=True)),
                ("cancel_asked_at", models.DateTimeField(null=True)),
                ("lease_owner", models.CharField(blank=True, max_length=80)),
                ("lease_until", models.DateTimeField(null=True)),
                (
                    "server",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="commands",
                        to="fleet.server",
                    ),
                ),
                (
                    "ssh_connection",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="commands",
                        to="fleet.sshconnection",
                    ),
                ),
            ],
            options={
                "verbose_name": "command",
                "ordering": ["-started_at", "-id"],
                "indexes": [
                    models.Index(fields=["-started_at", "-id"], name="commandrun_newest"),
                    models.Index(fields=["status", "lease_until"], name="commandrun_lease"),
                ],
            },
        ),
        migrations.CreateModel(
            name="LatestSnapshot",
            fields=[
                (
                    "server",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="snapshot",
                        serialize=False,
                        to="fleet.server",
                    ),
                ),
                ("at", models.BigIntegerField()),
                ("body", models.BinaryField()),
            ],
        ),
        migrations.CreateModel(
            name="LogRule",
            fields=[
                (
                    "id",
                    models.UUIDField(default=apps.core.ids.new_id, editable=False, primary_key=True, serialize=False),
                ),
                ("revision", models.PositiveIntegerField(default=1, editable=False)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("name", models.CharField(max_length=100, unique=True)),
                ("enabled", models.BooleanField(default=True)),
                ("tag", models.CharField(blank=True, max_length=64)),
                ("source", models.CharField(blank=True, max_length=8)),
                ("source_name", models.CharField(blank=True, max_length=200)),
                ("levels", models.JSONField(default=list)),
                (
                    "kind",
                    models.CharField(
                        choices=[("words", "Words"), ("regex", "Regular expression")], default="words", max_length=8
                    ),
                ),
                ("pattern", models.CharField(blank=True, max_length=500)),
                ("count", models.PositiveIntegerField(default=1)),
                ("window_s", models.PositiveIntegerField(default=300)),
                (
                    "severity",
                    models.CharField(
                        choices=[("info", "Info"), ("warning", "Warning"), ("critical", "Critical")],
                        default="warning",
                        max_length=8,
                    ),
                ),
                ("quiet_s", models.PositiveIntegerField(default=600)),
                ("problem", models.CharField(blank=True, max_length=300)),
                (
                    "server",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="log_rules",
                        to="fleet.server",
                    ),
                ),
            ],
            options={
                "ordering": ["name", "id"],
                "indexes": [models.Index(fields=["name", "id"], name="logrule_name")],
            },
        ),
        migrations.CreateModel(
            name="LogRuleState",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("times", models.TextField(default="[]")),
                ("matched", models.BigIntegerField(default=0)),
                ("matched_at", models.BigIntegerField(default=0)),
                ("is_open", models.BooleanField(default=False)),
                ("opened_at", models.BigIntegerField(null=True)),
                ("told_at", models.BigIntegerField(default=0)),
                (
                    "rule",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="states", to="fleet.logrule"
                    ),
                ),
                (
                    "server",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="log_rule_states", to="fleet.server"
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["is_open", "matched_at"], name="logrulestate_quiet")],
                "constraints": [models.UniqueConstraint(fields=("rule", "server"), name="logrulestate_one")],
            },
        ),
        migrations.CreateModel(
            name="LogState",
            fields=[
                (
                    "server",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="log_state",
                        serialize=False,
                        to="fleet.server",
                    ),
                ),
                ("lines", models.BigIntegerField(default=0)),
                ("bytes", models.BigIntegerField(default=0)),
                ("newest_at", models.BigIntegerField(null=True)),
            ],
        ),
        migrations.CreateModel(
            name="ProcessTable",
            fields=[
                (
                    "server",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="processes",
                        serialize=False,
                        to="fleet.server",
                    ),
                ),
                ("at", models.BigIntegerField()),
                ("body", models.BinaryField()),
            ],
        ),
        migrations.CreateModel(
            name="ServerState",
            fields=[
                (
                    "server",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="state",
                        serialize=False,
                        to="fleet.server",
                    ),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[("online", "Online"), ("offline", "Offline"), ("unknown", "Unknown")],
                        default="unknown",
                        max_length=8,
                    ),
                ),
                (
                    "health_status",
                    models.CharField(
                        choices=[
                            ("healthy", "Healthy"),
                            ("warning", "Warning"),
                            ("critical", "Critical"),
                            ("unknown", "Unknown"),
                        ],
                        default="unknown",
                        max_length=8,
                    ),
                ),
                ("open_alerts", models.JSONField(default=dict)),
                ("last_seen_at", models.DateTimeField(null=True)),
                ("offline_since", models.DateTimeField(null=True)),
                ("followed_until", models.BigIntegerField(default=0)),
                ("sample_at", models.BigIntegerField(null=True)),
                ("cpu", models.FloatField(null=True)),
                ("memory", models.FloatField(null=True)),
                ("swap", models.FloatField(null=True)),
                ("disk", models.FloatField(null=True)),
                ("inodes", models.FloatField(null=True)),
                ("load1", models.FloatField(null=True)),
                ("load_per_core", models.FloatField(null=True)),
                ("temperature", models.FloatField(null=True)),
                ("rx_rate", models.FloatField(null=True)),
                ("tx_rate", models.FloatField(null=True)),
                ("mounts", models.TextField(default="[]")),
                ("rx_bytes", models.BigIntegerField(null=True)),
                ("tx_bytes", models.BigIntegerField(null=True)),
                ("read_bytes", models.BigIntegerField(null=True)),
                ("write_bytes", models.BigIntegerField(null=True)),
            ],
            options={
                "indexes": [models.Index(fields=["status", "last_seen_at"], name="serverstate_silent")],
            },
        ),
        migrations.CreateModel(
            name="SshConnectionState",
            fields=[
                (
                    "connection",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="state",
                        serialize=False,
                        to="fleet.sshconnection",
                    ),
                ),
                ("host_key", models.TextField(blank=True)),
                (
                    "host_key_state",
                    models.CharField(
                        choices=[("pending", "Pending"), ("pinned", "Pinned"), ("changed", "Changed")],
                        default="pending",
                        max_length=8,
                    ),
                ),
                ("pinned_at", models.DateTimeField(null=True)),
                ("pinned_by", models.CharField(blank=True, max_length=150)),
                ("offered_key", models.TextField(blank=True)),
                ("offered_at", models.DateTimeField(null=True)),
                ("last_tested_at", models.DateTimeField(null=True)),
                (
                    "last_result",
                    models.CharField(
                        choices=[("untested", "Untested"), ("ok", "OK"), ("failed", "Failed")],
                        default="untested",
                        max_length=8,
                    ),
                ),
                ("last_phase", models.CharField(blank=True, max_length=20)),
                ("last_error", models.TextField(blank=True)),
                ("latency_ms", models.FloatField(null=True)),
                ("server_version", models.CharField(blank=True, max_length=255)),
            ],
        ),
        migrations.RunPython(make_search, drop_search),
    ]
