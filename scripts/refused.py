"""What every command raises for a person to read."""

from __future__ import annotations

import sys
from collections.abc import Callable


class Refused(Exception):
    """What was asked can't be done; the message is one sentence with the way out.

    `code` is the exit code, and `details` are the last words of a command that failed.
    """

    def __init__(self, sentence: str, code: int = 1, details: str = "") -> None:
        super().__init__(sentence)
        self.code = code
        self.details = details


def exit_with(main: Callable[[], int]) -> None:
    """End the process with what `main` returns, or with what it raised in words for a person."""
    try:
        sys.exit(main())
    except Refused as refused:
        if refused.details:
            print(refused.details, file=sys.stderr)
        print(refused, file=sys.stderr)
        sys.exit(refused.code)
    except KeyboardInterrupt:
        print("Interrupted; the next run cleans up.", file=sys.stderr)
        sys.exit(130)
