"""Table of the fire drills: does what is sealed still open?"""

from django.db import models
from django.utils import timezone

from apps.core.ids import new_id


class VaultDrill(models.Model):
    """One drill: a random sample of every sealed column was opened."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    at = models.DateTimeField(default=timezone.now, db_index=True)
    key_id = models.CharField(max_length=8, blank=True, default="")
    opened = models.PositiveIntegerField(default=0)
    broken = models.PositiveIntegerField(default=0)
    told = models.TextField(blank=True, default="")  # what did not open, by table, column and row

    class Meta:
        ordering = ["-at"]

    def __str__(self) -> str:
        return f"{self.opened} opened, {self.broken} not"
