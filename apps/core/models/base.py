"""Bases of the models that people edit."""

from django.db import models

from apps.core.ids import new_id


class EditableModel(models.Model):
    """A row that people edit: UUIDv7 key, `revision` (the strong ETag), creation and change times."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    revision = models.PositiveIntegerField(default=1, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        abstract = True


class Tag(models.Model):
    """A word by which servers, monitors and alerts are grouped and silenced."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    name = models.CharField(max_length=64, unique=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name
