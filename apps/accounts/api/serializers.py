"""What goes in and out of the accounts' API."""

from typing import Any

from drf_spectacular.utils import extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from apps.accounts.models import ApiKey, IpRule, Role, Session, User

_SECRET: dict[str, Any] = {
    "style": {"input_type": "password"},
    "trim_whitespace": False,
    "write_only": True,
    "max_length": 1024,
}


class PasswordField(serializers.CharField):
    """A password: not trimmed, never shown."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**_SECRET, **options})


# --- logging in --------------------------------------------------------------------------------------------------


class LoginSerializer(serializers.Serializer[Any]):
    """User name or email, password, and the code of the second factor where one is set up."""

    username = serializers.CharField(required=False, max_length=254, help_text="User name or email.")
    email = serializers.CharField(required=False, max_length=254, help_text="Instead of `username`.")
    password = PasswordField()
    otp = serializers.CharField(required=False, allow_blank=True, max_length=32, help_text="Code or recovery code.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Demand one of the names."""
        if not (attrs.get("username") or attrs.get("email")):
            raise serializers.ValidationError({"username": "Give a user name or an email."})
        return attrs


class LoginUserSerializer(serializers.ModelSerializer[User]):
    """Who logged in."""

    roles = serializers.ListField(child=serializers.CharField(), source="role_names")
    permissions = serializers.SerializerMethodField()

    class Meta:
        model = User
        fields = ["id", "username", "email", "roles", "permissions"]

    @extend_schema_field(serializers.ListField(child=serializers.CharField()))
    def get_permissions(self, user: User) -> list[str]:
        """Return the codes of the roles."""
        return sorted(user.permission_codes())


class TokensSerializer(serializers.Serializer[Any]):
    """A pair of tokens; `token` is `access`."""

    token = serializers.CharField()
    access = serializers.CharField()
    refresh = serializers.CharField()
    expires_at = serializers.DateTimeField(help_text="End of the access token.")


class LoginAnswerSerializer(TokensSerializer):
    """What a login answers."""

    user = LoginUserSerializer()


class RefreshSerializer(serializers.Serializer[Any]):
    """A refresh token; it counts once."""

    refresh = serializers.CharField(max_length=4096)


class LogoutSerializer(serializers.Serializer[Any]):
    """The refresh token may be sent along; the session ends either way."""

    refresh = serializers.CharField(required=False, allow_blank=True, max_length=4096)


class RegisterSerializer(serializers.Serializer[Any]):
    """Who wants an account."""

    username = serializers.CharField(max_length=150)
    email = serializers.EmailField()
    password = PasswordField()
    full_name = serializers.CharField(required=False, allow_blank=True, max_length=150)


class ResetRequestSerializer(serializers.Serializer[Any]):
    """Whose password is forgotten."""

    email = serializers.CharField(max_length=254)


class AcceptedSerializer(serializers.Serializer[Any]):
    """The same whoever asks."""

    detail = serializers.CharField()


# --- one's own account -------------------------------------------------------------------------------------------


class MeSerializer(serializers.ModelSerializer[User]):
    """One's own profile and what one may do now."""

    roles = serializers.ListField(child=serializers.CharField(), source="role_names")
    permissions = serializers.ListField(child=serializers.CharField())
    mfa_enabled = serializers.BooleanField()
    restriction = serializers.CharField(
        allow_blank=True, help_text="`mfa_enrolment_required`, `password_change_required` or empty."
    )

    class Meta:
        model = User
        fields = [
            "id",
            "username",
            "email",
            "full_name",
            "timezone",
            "roles",
            "permissions",
            "auth_provider",
            "mfa_enabled",
            "must_change_password",
            "restriction",
            "last_login",
            "created_at",
        ]


class ProfileSerializer(serializers.Serializer[Any]):
    """What may be changed of one's own profile."""

    email = serializers.EmailField(required=False, allow_null=True, allow_blank=True)
    full_name = serializers.CharField(required=False, allow_blank=True, max_length=150)
    timezone = serializers.CharField(required=False, max_length=64, help_text="IANA zone, e.g. Europe/Berlin.")
    password = PasswordField(required=False, allow_blank=True, help_text="Needed for a new email.")


class ChangePasswordSerializer(serializers.Serializer[Any]):
    """The password as it is and as it shall be."""

    current_password = PasswordField()
    new_password = PasswordField()


class EnrolmentSerializer(serializers.Serializer[Any]):
    """What an authenticator app needs."""

    secret = serializers.CharField(help_text="Base32, to be typed in where no camera is at hand.")
    otpauth_uri = serializers.CharField()
    qr_code = serializers.CharField(help_text="SVG as a data URI.")


class CodeSerializer(serializers.Serializer[Any]):
    """A code of the authenticator."""

    token = serializers.CharField(max_length=32)


class RecoveryCodesSerializer(serializers.Serializer[Any]):
    """Ten codes that stand in for a lost device, each once. Shown this once."""

    recovery_codes = serializers.ListField(child=serializers.CharField())


class DisableMfaSerializer(serializers.Serializer[Any]):
    """Both factors."""

    password = PasswordField()
    token = serializers.CharField(max_length=32, help_text="Code or recovery code.")


class TicketRequestSerializer(serializers.Serializer[Any]):
    """The path that the ticket shall open."""

    path = serializers.CharField(max_length=500)


class TicketSerializer(serializers.Serializer[Any]):
    """A pass for one use of one path."""

    ticket = serializers.CharField()
    expires_at = serializers.DateTimeField()


# --- users and roles ---------------------------------------------------------------------------------------------


class UserSerializer(serializers.ModelSerializer[User]):
    """A user."""

    roles = serializers.ListField(child=serializers.CharField(), source="role_names")
    mfa_enabled = serializers.BooleanField()

    class Meta:
        model = User
        fields = [
            "id",
            "username",
            "email",
            "full_name",
            "timezone",
            "roles",
            "auth_provider",
            "disabled",
            "mfa_enabled",
            "must_change_password",
            "created_at",
            "last_login",
        ]


@extend_schema_serializer(many=False)
class UserListSerializer(serializers.Serializer[Any]):
    """A page of users."""

    users = UserSerializer(many=True)
    count = serializers.IntegerField()
    next = serializers.URLField(allow_null=True)
    previous = serializers.URLField(allow_null=True)


class NewUserSerializer(serializers.Serializer[Any]):
    """A user to be created."""

    username = serializers.CharField(max_length=150)
    password = PasswordField()
    email = serializers.EmailField(required=False, allow_blank=True, allow_null=True)
    full_name = serializers.CharField(required=False, allow_blank=True, max_length=150)
    roles = serializers.ListField(child=serializers.CharField(max_length=64), required=False, default=list)


class NewUserByEmailSerializer(serializers.Serializer[Any]):
    """A user to be created, whose name is the email where none is given."""

    email = serializers.EmailField()
    password = PasswordField()
    username = serializers.CharField(required=False, allow_blank=True, max_length=150)
    full_name = serializers.CharField(required=False, allow_blank=True, max_length=150)
    role = serializers.CharField(required=False, max_length=64)


class UserChangesSerializer(serializers.Serializer[Any]):
    """What may be changed of a user; only what is given is changed."""

    email = serializers.EmailField(required=False, allow_blank=True, allow_null=True)
    full_name = serializers.CharField(required=False, allow_blank=True, max_length=150)
    timezone = serializers.CharField(required=False, max_length=64)
    roles = serializers.ListField(child=serializers.CharField(max_length=64), required=False)
    disabled = serializers.BooleanField(required=False)


class NewPasswordSerializer(serializers.Serializer[Any]):
    """A password for somebody else."""

    new_password = PasswordField()


class RoleSerializer(serializers.ModelSerializer[Role]):
    """A role; its id is its name."""

    id = serializers.CharField(source="name")
    permissions = serializers.ListField(child=serializers.CharField())

    class Meta:
        model = Role
        fields = ["id", "name", "description", "permissions", "is_system"]


@extend_schema_serializer(many=False)
class RoleListSerializer(serializers.Serializer[Any]):
    """All roles."""

    roles = RoleSerializer(many=True)


class NewRoleSerializer(serializers.Serializer[Any]):
    """A role to be created."""

    name = serializers.CharField(max_length=64)
    description = serializers.CharField(required=False, allow_blank=True, max_length=255, default="")
    permissions = serializers.ListField(child=serializers.CharField(max_length=100))


class RoleChangesSerializer(serializers.Serializer[Any]):
    """What may be changed of a role."""

    description = serializers.CharField(required=False, allow_blank=True, max_length=255)
    permissions = serializers.ListField(child=serializers.CharField(max_length=100), required=False)


# --- keys, sessions, rules ---------------------------------------------------------------------------------------


class ApiKeySerializer(serializers.ModelSerializer[ApiKey]):
    """An API key without its secret."""

    server_id = serializers.SerializerMethodField()
    role = serializers.SerializerMethodField()
    owner = serializers.CharField(source="owner.username")

    class Meta:
        model = ApiKey
        fields = ["id", "name", "role", "server_id", "prefix", "owner", "created_at", "last_used_at", "expires_at"]

    def get_server_id(self, key: ApiKey) -> str | None:
        """Return the server it is bound to."""
        return key.bound_id if key.bound_kind == "server" else None

    def get_role(self, key: ApiKey) -> str:
        """Return its role; "agent" for one that is bound to a server."""
        return key.role or "agent"


class NewApiKeySerializer(serializers.Serializer[Any]):
    """A key to be created: with a role, or bound to a server."""

    name = serializers.CharField(max_length=100)
    role = serializers.CharField(required=False, allow_blank=True, allow_null=True, max_length=64)
    server_id = serializers.CharField(required=False, allow_blank=True, allow_null=True, max_length=64)
    expires_at = serializers.DateTimeField(required=False, allow_null=True)


class ApiKeyWithSecretSerializer(ApiKeySerializer):
    """A new key with its secret, shown this once."""

    key = serializers.CharField()

    class Meta(ApiKeySerializer.Meta):
        fields = [*ApiKeySerializer.Meta.fields, "key"]


class SessionSerializer(serializers.ModelSerializer[Session]):
    """A login."""

    user = serializers.CharField(source="user.username")
    user_id = serializers.UUIDField()

    class Meta:
        model = Session
        fields = [
            "id",
            "user",
            "user_id",
            "kind",
            "address",
            "user_agent",
            "mfa_verified",
            "created_at",
            "last_seen_at",
            "expires_at",
        ]


class IpRuleSerializer(serializers.ModelSerializer[IpRule]):
    """One line of the allow and block lists."""

    cidr = serializers.CharField(max_length=64)
    note = serializers.CharField(required=False, allow_blank=True, max_length=255)

    class Meta:
        model = IpRule
        fields = ["cidr", "action", "note"]


@extend_schema_serializer(many=False)
class IpRulesSerializer(serializers.Serializer[Any]):
    """The allow and block lists. Blocked is blocked; where anything is allowed by name, the rest is not."""

    rules = IpRuleSerializer(many=True)


class SecuritySerializer(serializers.Serializer[Any]):
    """The security settings; durations are seconds or texts such as 30m."""

    session_lifetime_s = serializers.IntegerField(required=False)
    lockout_after = serializers.IntegerField(required=False)
    lockout_first_s = serializers.IntegerField(required=False)
    lockout_most_s = serializers.IntegerField(required=False)
    mfa_required_roles = serializers.ListField(child=serializers.CharField(), required=False)
    registration = serializers.BooleanField(required=False)
    default_role = serializers.CharField(required=False)
    allowed_origins = serializers.ListField(child=serializers.CharField(), required=False)


class PasswordPolicySerializer(serializers.Serializer[Any]):
    """The password policy."""

    min_length = serializers.IntegerField(required=False)
    uppercase = serializers.BooleanField(required=False)
    lowercase = serializers.BooleanField(required=False)
    digit = serializers.BooleanField(required=False)
    symbol = serializers.BooleanField(required=False)
    history = serializers.IntegerField(required=False)
    max_age_days = serializers.IntegerField(required=False)
    breached_check = serializers.BooleanField(required=False)
