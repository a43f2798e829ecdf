"""The one way a command of the care ends early."""


class CareRefused(Exception):
    """It can't be done; the message is one or two sentences that say why and what to do."""
