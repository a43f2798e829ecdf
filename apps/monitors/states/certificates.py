"""States of a certificate monitor. Each check finds one of them anew, so any may follow any."""

VALID = "valid"
EXPIRING = "expiring"  # fewer days left than the first warning says
EXPIRED = "expired"
ERROR = "error"  # not to be trusted, or not to be had
UNKNOWN = "unknown"  # not checked yet, or not watched at present

STATUSES = (VALID, EXPIRING, EXPIRED, ERROR, UNKNOWN)

#: Watched by itself, or met by an endpoint's checks.
STANDALONE, ENDPOINT = "standalone", "endpoint"
SOURCES = (STANDALONE, ENDPOINT)

#: How a status is kept in the telemetry table.
CODES = {UNKNOWN: 0, VALID: 1, EXPIRING: 2, EXPIRED: 3, ERROR: 4}
NAMES = {code: name for name, code in CODES.items()}
