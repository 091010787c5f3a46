"""What every part of the cluster raises for a person to read."""

from __future__ import annotations


class Refused(Exception):
    """What was asked can't be done; the message is one sentence with the way out. `code` is the exit code."""

    def __init__(self, sentence: str, code: int = 1) -> None:
        super().__init__(sentence)
        self.code = code
