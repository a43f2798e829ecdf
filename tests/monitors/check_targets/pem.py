"""A certificate and its key for configurations. Not a type."""

from tests.support.servers import CertificateAuthority

CA = CertificateAuthority()
PAIR = CA.issue()
