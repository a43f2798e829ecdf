"""Tables of the agents."""

from apps.agents.models.enrolment import EnrolmentRequest, EnrolmentToken
from apps.agents.models.hosts import AgentCertificate, CertificateAuthority, HostAgent, HostAgentState
from apps.agents.models.requests import AgentOutput, AgentRequest

__all__ = [
    "AgentCertificate",
    "AgentOutput",
    "AgentRequest",
    "CertificateAuthority",
    "EnrolmentRequest",
    "EnrolmentToken",
    "HostAgent",
    "HostAgentState",
]
