"""What depends on what, as people said it."""

from typing import Any, ClassVar

from django.db import models
from django.db.models import Q

from apps.core.models import EditableModel
from apps.core.principals import Principal


class DependencyQuerySet(models.QuerySet[Any]):
    """Dependencies."""

    def visible_to(self, principal: Principal) -> Any:
        """Return what the caller may see: a key bound to a thing sees what that thing takes part in."""
        if not principal.bound_kind:
            return self
        kind, pk = principal.bound_kind, principal.bound_id
        return self.filter(Q(child_kind=kind, child_id=pk) | Q(parent_kind=kind, parent_id=pk))


class Dependency(EditableModel):
    """A thing that can't be well while its parent is down. Both by value: either may be of any app, or be gone."""

    child_kind = models.CharField(max_length=32)
    child_id = models.CharField(max_length=64)
    parent_kind = models.CharField(max_length=32)
    parent_id = models.CharField(max_length=64)
    note = models.CharField(max_length=255, blank=True)
    created_by = models.CharField(max_length=255, blank=True)

    objects: ClassVar[Any] = DependencyQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "dependencies"
        constraints = [
            models.UniqueConstraint(
                fields=["child_kind", "child_id", "parent_kind", "parent_id"], name="one_dependency_per_pair"
            )
        ]
        indexes = [models.Index(fields=["parent_kind", "parent_id"], name="dependency_parent")]

    def __str__(self) -> str:
        return f"{self.child_kind} {self.child_id} on {self.parent_kind} {self.parent_id}"
