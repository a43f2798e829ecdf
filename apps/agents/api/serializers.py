"""What the agents' API takes and gives."""

from typing import Any

from rest_framework import serializers

from apps.agents.models import EnrolmentRequest, EnrolmentToken, HostAgent
from apps.agents.selectors import STATUSES, is_usable, percents_of, status_of
from apps.agents.services.enrolment import Standing
from apps.agents.states import KINDS, Enrolment

#: Fields of LLM agents: refused, by name, while there are none.
LLM_FIELDS = (
    "role", "llm_provider", "llm_model", "system_prompt", "enabled_tools", "tool_blacklist", "worker_id",
    "temperature", "max_tokens", "autonomy_level", "risk_rules", "daily_budget_usd",
)  # fmt: skip


class HostAgentSerializer(serializers.Serializer[HostAgent]):
    """A host agent, which is also a worker."""

    id = serializers.CharField(source="slug", help_text="The server's slug.")
    agent_id = serializers.CharField(source="slug")
    server_id = serializers.UUIDField()
    name = serializers.CharField()
    kind = serializers.ChoiceField(choices=KINDS)
    status = serializers.SerializerMethodField()
    is_approved = serializers.BooleanField()
    hostname = serializers.CharField()
    architecture = serializers.CharField()
    os = serializers.CharField()
    version = serializers.CharField(help_text="Of the program, as it says.")
    fingerprint = serializers.CharField(help_text="SHA-256 of the key it was approved with, hex; empty before.")
    address = serializers.CharField(help_text="Where it asked to be let in from.")
    last_seen = serializers.DateTimeField(source="state.last_seen_at", allow_null=True)
    connected_at = serializers.DateTimeField(source="state.connected_at", allow_null=True)
    registered_at = serializers.DateTimeField(allow_null=True)
    approved_by = serializers.CharField()
    certificate_ends_at = serializers.DateTimeField(allow_null=True)
    group = serializers.CharField()
    max_agents = serializers.IntegerField()
    cpu_cores = serializers.IntegerField(allow_null=True)
    memory_total_mb = serializers.IntegerField(allow_null=True)
    os_info = serializers.CharField()
    ip_address = serializers.CharField()
    revision = serializers.IntegerField()
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()

    def get_status(self, row: HostAgent) -> str:
        """Return online, offline, pending, rejected or revoked."""
        return status_of(row)


class AgentListSerializer(serializers.Serializer[Any]):
    """A page of agents."""

    agents = HostAgentSerializer(many=True)
    count = serializers.IntegerField()
    next = serializers.CharField(allow_null=True)
    previous = serializers.CharField(allow_null=True)


class WorkerSerializer(HostAgentSerializer):
    """A worker with its load."""

    cpu_usage_percent = serializers.SerializerMethodField()
    memory_usage_percent = serializers.SerializerMethodField()
    disk_usage_percent = serializers.SerializerMethodField()
    agents_active = serializers.SerializerMethodField(help_text="LLM agents that work there.")

    def get_cpu_usage_percent(self, row: HostAgent) -> float | None:
        """Return the processors' load."""
        return percents_of(row)["cpu"]

    def get_memory_usage_percent(self, row: HostAgent) -> float | None:
        """Return how full the memory is."""
        return percents_of(row)["memory"]

    def get_disk_usage_percent(self, row: HostAgent) -> float | None:
        """Return how full the fullest disk is."""
        return percents_of(row)["disk"]

    def get_agents_active(self, row: HostAgent) -> int:
        """Return how many LLM agents it runs: none before there are any."""
        return 0


def _tags() -> serializers.ListField:
    return serializers.ListField(child=serializers.CharField(max_length=64), max_length=20, required=False)


class _WorkerFacts(serializers.Serializer[Any]):
    """What a worker offers."""

    hostname = serializers.CharField(max_length=253, required=False, allow_blank=True)
    ip_address = serializers.IPAddressField(required=False)
    max_agents = serializers.IntegerField(min_value=0, max_value=1000, required=False)
    cpu_cores = serializers.IntegerField(min_value=1, max_value=65_536, required=False)
    memory_total_mb = serializers.IntegerField(min_value=1, max_value=2_000_000_000, required=False)
    os_info = serializers.CharField(max_length=200, required=False, allow_blank=True)


class NewAgentSerializer(serializers.Serializer[Any]):
    """A host agent that is added by hand."""

    id = serializers.SlugField(
        max_length=64, required=False, help_text="Slug of a server without an agent, or of the new one."
    )
    name = serializers.CharField(max_length=200, required=False)
    kind = serializers.ChoiceField(choices=KINDS, required=False)
    tags = _tags()

    def to_internal_value(self, data: Any) -> Any:
        """Refuse what belongs to LLM agents, by name."""
        if isinstance(data, dict):
            meant = [name for name in LLM_FIELDS if name in data]
            if data.get("kind") == "llm":
                meant.append("kind")
            if meant:
                sentence = "belongs to LLM agents, which this release does not offer yet; leave it out"
                raise serializers.ValidationError(dict.fromkeys(meant, sentence))
        return super().to_internal_value(data)

    def validate(self, values: dict[str, Any]) -> dict[str, Any]:
        """Want a name or an id."""
        if not values.get("name") and not values.get("id"):
            raise serializers.ValidationError({"name": "give a name, or the id of a server"})
        return values


class AgentChangeSerializer(_WorkerFacts):
    """What may be changed of a host agent."""

    name = serializers.CharField(max_length=200, required=False)
    group = serializers.CharField(max_length=100, required=False, allow_blank=True)
    tags = _tags()


class NewAgentAnswerSerializer(HostAgentSerializer):
    """A new host agent with the token for its host."""

    enrolment_token = serializers.SerializerMethodField(help_text="Shown once; good for one use within a day.")

    def get_enrolment_token(self, row: HostAgent) -> str:
        """Return the token."""
        return str(self.context.get("token", ""))


class AgentTokenSerializer(serializers.Serializer[Any]):
    """A token for the host of one agent."""

    agent_id = serializers.CharField()
    enrolment_token = serializers.CharField(help_text="Shown once; good for one use within a day.")


class ReasonSerializer(serializers.Serializer[Any]):
    """Why."""

    reason = serializers.CharField(max_length=200, required=False, allow_blank=True)


# --- enrolment -----------------------------------------------------------------------------------------------------


class EnrollSerializer(serializers.Serializer[Any]):
    """What a host sends to be let in."""

    name = serializers.CharField(max_length=200, required=False, allow_blank=True, help_text="The host name if absent.")
    hostname = serializers.CharField(max_length=253)
    architecture = serializers.CharField(max_length=32, required=False, allow_blank=True)
    os = serializers.CharField(max_length=200, required=False, allow_blank=True)
    csr = serializers.CharField(max_length=8192, trim_whitespace=False, help_text="PEM, signed with an Ed25519 key.")
    token = serializers.CharField(
        max_length=200, required=False, allow_blank=True,
        help_text="The enrolment token. A host that is approved comes back with its key alone.",
    )  # fmt: skip
    enrolment_token = serializers.CharField(
        max_length=200, required=False, allow_blank=True, help_text="Another name of `token`."
    )


class PollSerializer(serializers.Serializer[Any]):
    """What a host asks with how it stands."""

    poll_token = serializers.CharField(max_length=200)


class HostEnrolmentSerializer(serializers.Serializer[Standing]):
    """How a host's request stands."""

    id = serializers.UUIDField(source="request.id")
    status = serializers.ChoiceField(choices=Enrolment.choices, source="request.status")
    poll_token = serializers.SerializerMethodField(help_text="To ask how it stands; only where a request was taken.")
    agent_id = serializers.SerializerMethodField(help_text="Once it is approved.")
    certificate = serializers.CharField(help_text="PEM, once it is approved; empty before.")
    ca = serializers.CharField(source="authority", help_text="The authority's certificate, PEM.")
    fingerprint = serializers.CharField(source="request.fingerprint", help_text="SHA-256 of its key, hex.")
    reason = serializers.CharField(source="request.reason", help_text="Of a refusal.")

    def get_poll_token(self, row: Standing) -> str:
        """Return the token, where one was made just now."""
        return str(self.context.get("poll_token", ""))

    def get_agent_id(self, row: Standing) -> str | None:
        """Return the agent's slug once the certificate is there."""
        return row.request.agent.slug if row.certificate and row.request.agent else None


class WaitingHostSerializer(serializers.Serializer[EnrolmentRequest]):
    """A host that waits to be let in."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    hostname = serializers.CharField()
    architecture = serializers.CharField()
    os = serializers.CharField()
    fingerprint = serializers.CharField(help_text="SHA-256 of its key, hex: compare it with what the host prints.")
    ip = serializers.CharField(source="address")
    requested_at = serializers.DateTimeField()
    token_name = serializers.CharField(help_text="Of the token it asked with.")
    tags = serializers.ListField(child=serializers.CharField())
    agent_id = serializers.SerializerMethodField(help_text="Of the agent that it becomes, where there is one already.")
    same_hostname = serializers.SerializerMethodField(help_text="Agents that have the same host name.")

    def get_agent_id(self, row: EnrolmentRequest) -> str | None:
        """Return the slug of the agent that it was made for."""
        return row.agent.slug if row.agent else None

    def get_same_hostname(self, row: EnrolmentRequest) -> list[str]:
        """Return names of agents that say they are the same host."""
        return list(self.context.get("namesakes", {}).get(str(row.pk), []))


class ApproveSerializer(serializers.Serializer[Any]):
    """What to call a host that is let in."""

    name = serializers.CharField(max_length=200, required=False, allow_blank=True)


class EnrolmentTokenSerializer(serializers.Serializer[EnrolmentToken]):
    """An enrolment token, without the token."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    hint = serializers.CharField(help_text="How it begins.")
    expires_at = serializers.DateTimeField()
    max_uses = serializers.IntegerField()
    used = serializers.IntegerField()
    is_usable = serializers.SerializerMethodField()
    pre_approved = serializers.BooleanField()
    tags = serializers.ListField(child=serializers.CharField())
    agent_id = serializers.SerializerMethodField(help_text="Of the one agent that it enrols.")
    created_by = serializers.CharField()
    created_at = serializers.DateTimeField()
    last_used_at = serializers.DateTimeField(allow_null=True)

    def get_is_usable(self, row: EnrolmentToken) -> bool:
        """Return whether a host can ask with it now."""
        return is_usable(row)

    def get_agent_id(self, row: EnrolmentToken) -> str | None:
        """Return the slug of the agent it is bound to."""
        return row.agent.slug if row.agent else None


class NewTokenSerializer(serializers.Serializer[Any]):
    """An enrolment token to be made."""

    name = serializers.CharField(max_length=100)
    expires_at = serializers.DateTimeField(required=False, help_text="In 24 hours if absent.")
    max_uses = serializers.IntegerField(min_value=1, max_value=10_000, required=False)
    pre_approved = serializers.BooleanField(required=False, help_text="Let hosts in without asking anybody.")
    tags = _tags()


class NewTokenAnswerSerializer(EnrolmentTokenSerializer):
    """A new token: the one time that it is shown."""

    token = serializers.SerializerMethodField(help_text="Shown once.")
    install = serializers.SerializerMethodField(help_text="The line to run on the host; it asks for the token.")

    def get_token(self, row: EnrolmentToken) -> str:
        """Return the token."""
        return str(self.context.get("token", ""))

    def get_install(self, row: EnrolmentToken) -> str:
        """Return the install line."""
        return str(self.context.get("install", ""))


# --- workers -------------------------------------------------------------------------------------------------------


class RegisterWorkerSerializer(_WorkerFacts):
    """A worker that registers."""

    name = serializers.CharField(max_length=200)


class RegisteredWorkerSerializer(serializers.Serializer[HostAgent]):
    """A worker that registered."""

    id = serializers.CharField(source="slug")
    status = serializers.SerializerMethodField()
    is_approved = serializers.BooleanField()
    enrolment_token = serializers.SerializerMethodField(
        help_text="For its host; shown once, when it registers first. Empty afterwards."
    )

    def get_status(self, row: HostAgent) -> str:
        """Return pending, online, offline, rejected or revoked."""
        return status_of(row)

    def get_enrolment_token(self, row: HostAgent) -> str:
        """Return the token, where one was made just now."""
        return str(self.context.get("token", ""))


def _percent() -> serializers.FloatField:
    return serializers.FloatField(min_value=0, max_value=100, required=False, allow_null=True)


class HeartbeatSerializer(serializers.Serializer[Any]):
    """The load of a worker, percent."""

    cpu_usage_percent = _percent()
    memory_usage_percent = _percent()
    disk_usage_percent = _percent()


class WorkerStandingSerializer(serializers.Serializer[Any]):
    """How a worker stands."""

    status = serializers.ChoiceField(choices=STATUSES)
    is_approved = serializers.BooleanField()


class WorkerTaskSerializer(serializers.Serializer[Any]):
    """A task for a worker's agents."""

    id = serializers.UUIDField()
    title = serializers.CharField()


class WorkerTotalsSerializer(serializers.Serializer[Any]):
    """All workers in figures."""

    total_workers = serializers.IntegerField()
    online_workers = serializers.IntegerField()
    pending_workers = serializers.IntegerField()
    total_cpu_cores = serializers.IntegerField()
    total_memory_mb = serializers.IntegerField()
    total_active_agents = serializers.IntegerField()


class ApproveWorkerSerializer(serializers.Serializer[Any]):
    """Whether a worker is approved, and its group."""

    is_approved = serializers.BooleanField(required=False, allow_null=True, default=None)
    group = serializers.CharField(max_length=100, required=False, allow_blank=True)
