import apps.core.fields
import apps.core.ids
import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Secret",
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
                    "category",
                    models.CharField(
                        choices=[
                            ("general", "General"),
                            ("password", "Password"),
                            ("api_key", "API key"),
                            ("credential", "Credential"),
                            ("token", "Token"),
                            ("certificate", "Certificate"),
                            ("ssh_key", "SSH key"),
                        ],
                        default="general",
                        max_length=16,
                    ),
                ),
                ("description", models.CharField(blank=True, default="", max_length=500)),
                ("version", models.PositiveIntegerField(default=1, editable=False)),
                ("generator", models.JSONField(default=dict)),
                ("grace_s", models.PositiveIntegerField(blank=True, null=True)),
                ("expires_at", models.DateTimeField(blank=True, null=True)),
                (
                    "told",
                    models.CharField(
                        blank=True,
                        choices=[("", "Nothing"), ("expiring", "That it ends soon"), ("expired", "That it has ended")],
                        default="",
                        editable=False,
                        max_length=8,
                    ),
                ),
                ("rotated_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("rotated_by", models.CharField(blank=True, default="", editable=False, max_length=255)),
                ("last_used_at", models.DateTimeField(editable=False, null=True)),
                ("uses", models.PositiveBigIntegerField(default=0, editable=False)),
            ],
            options={
                "ordering": ["name"],
                "indexes": [
                    models.Index(fields=["category", "name"], name="secret_category"),
                    models.Index(
                        condition=models.Q(("expires_at__isnull", False)), fields=["expires_at"], name="secret_end"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="SecretUse",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("purpose", models.CharField(max_length=200)),
                ("actor", models.CharField(max_length=128)),
                ("actor_name", models.CharField(blank=True, default="", max_length=255)),
                ("times", models.PositiveBigIntegerField(default=0)),
                ("first_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("last_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("told_at", models.DateTimeField(null=True)),
                (
                    "secret",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="used", to="secrets.secret"
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(fields=["secret", "-last_at"], name="secret_use_latest"),
                    models.Index(fields=["last_at"], name="secret_use_age"),
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("secret", "purpose", "actor"), name="one_secret_use_per_purpose")
                ],
            },
        ),
        migrations.CreateModel(
            name="SecretVersion",
            fields=[
                (
                    "id",
                    models.UUIDField(default=apps.core.ids.new_id, editable=False, primary_key=True, serialize=False),
                ),
                ("number", models.PositiveIntegerField()),
                ("value", apps.core.fields.SealedTextField(blank=True, default="")),
                ("public_part", models.TextField(blank=True, default="")),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("created_by", models.CharField(blank=True, default="", max_length=255)),
                ("readable_until", models.DateTimeField(null=True)),
                ("wiped_at", models.DateTimeField(null=True)),
                (
                    "secret",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="versions", to="secrets.secret"
                    ),
                ),
            ],
            options={
                "ordering": ["-number"],
                "indexes": [
                    models.Index(
                        condition=models.Q(("readable_until__isnull", False), ("wiped_at__isnull", True)),
                        fields=["readable_until"],
                        name="secret_version_grace",
                    )
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("secret", "number"), name="one_secret_version_per_number")
                ],
            },
        ),
        migrations.CreateModel(
            name="VaultDrill",
            fields=[
                (
                    "id",
                    models.UUIDField(default=apps.core.ids.new_id, editable=False, primary_key=True, serialize=False),
                ),
                ("at", models.DateTimeField(db_index=True, default=django.utils.timezone.now)),
                ("key_id", models.CharField(blank=True, default="", max_length=8)),
                ("opened", models.PositiveIntegerField(default=0)),
                ("broken", models.PositiveIntegerField(default=0)),
                ("told", models.TextField(blank=True, default="")),
            ],
            options={
                "ordering": ["-at"],
            },
        ),
    ]
