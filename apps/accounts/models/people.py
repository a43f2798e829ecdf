"""Users and roles."""

from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.db import models
from django.db.models.functions import Lower
from django.utils.timezone import now

from apps.core.ids import new_id


class Role(models.Model):
    """A named set of permission codes. The built-in three are `is_system`."""

    name = models.SlugField(max_length=64, primary_key=True)
    description = models.CharField(max_length=255, blank=True)
    permissions = models.JSONField(default=list)
    is_system = models.BooleanField(default=False)
    created_at = models.DateTimeField(default=now)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class UserManager(BaseUserManager["User"]):
    """Finds a user by the name given at login."""

    def get_by_natural_key(self, username: str | None) -> "User":
        """Return the user of that name, letters' case aside."""
        return self.get(username__iexact=username)


class User(AbstractBaseUser):
    """A person. Never deleted, only disabled: the audit trail and its keys point at it."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    username = models.CharField(max_length=150)
    email = models.EmailField(null=True, blank=True)
    full_name = models.CharField(max_length=150, blank=True)
    timezone = models.CharField(max_length=64, default="UTC")
    auth_provider = models.CharField(max_length=16, default="local")
    roles = models.ManyToManyField(Role, related_name="users", blank=True)
    disabled = models.BooleanField(default=False)
    must_change_password = models.BooleanField(default=False)
    password_changed_at = models.DateTimeField(default=now)
    created_at = models.DateTimeField(default=now)
    revision = models.PositiveIntegerField(default=1, editable=False)

    USERNAME_FIELD = "username"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []
    objects = UserManager()

    class Meta:
        ordering = ["username"]
        constraints = [
            models.UniqueConstraint(Lower("username"), name="one_user_per_username"),
            models.UniqueConstraint(Lower("email"), name="one_user_per_email"),
        ]

    def __str__(self) -> str:
        return self.username

    @property
    def is_active(self) -> bool:  # type: ignore[override]
        """Return whether the user may log in."""
        return not self.disabled

    is_superuser = False  # rights come from roles alone

    @property
    def is_staff(self) -> bool:
        """Return whether the user holds any permission and may therefore use the console."""
        return not self.disabled and bool(self.permission_codes())

    def permission_codes(self) -> frozenset[str]:
        """Return the codes of all roles, wildcards included; kept on the instance."""
        held: frozenset[str] | None = getattr(self, "_codes", None)
        if held is None:
            held = frozenset(code for role in self.roles.all() for code in role.permissions)
            self._codes = held
        return held

    def role_names(self) -> list[str]:
        """Return the names of the user's roles, sorted."""
        return sorted(role.name for role in self.roles.all())

    def has_perm(self, perm: str, obj: Any = None) -> bool:
        """Answer Django's own question; the console asks by our codes instead."""
        return False

    def has_module_perms(self, app_label: str) -> bool:
        """Answer Django's own question; the console decides by our codes."""
        return self.is_staff

    def get_full_name(self) -> str:
        """Return what the console shows."""
        return self.full_name or self.username


class FormerPassword(models.Model):
    """The hash of a password that a user had: the policy's history."""

    id = models.BigAutoField(primary_key=True)
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="former_passwords")
    password = models.CharField(max_length=128)
    at = models.DateTimeField(default=now)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"former password of {self.user_id}"
