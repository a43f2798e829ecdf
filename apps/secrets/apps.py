"""The app."""

from django.apps import AppConfig


class SecretsConfig(AppConfig):
    """The vault."""

    name = "apps.secrets"
    label = "secrets"
    verbose_name = "Vault"

    def ready(self) -> None:
        from apps.core.registries import SubjectKind, health_parts, subjects
        from apps.secrets import events, selectors, settings, tasks  # noqa: F401
        from apps.secrets.models import Secret

        subjects.register(
            "secret",
            SubjectKind(
                lambda identifier: Secret.objects.filter(id=identifier).values_list("name", flat=True).first(),
                lambda identifier: f"/admin/secrets/secret/{identifier}/",
                lambda text: next(
                    (str(key) for key in Secret.objects.filter(name=text).values_list("id", flat=True)), None
                ),
            ),
        )
        health_parts.register("vault", selectors.check_vault)
