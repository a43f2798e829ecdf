"""The one way a start ends early."""


class StartRefused(SystemExit):
    """Watchkeeper can't start. The one sentence says why and what to do; the exit code is 1."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
