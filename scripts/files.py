"""Files that others read while they are written anew."""

from __future__ import annotations

import os
from pathlib import Path


def lay(path: Path, text: str, mode: int = 0o600) -> None:
    """Write `text`: nobody whom `mode` leaves out can read it, at no instant, and a reader sees the old or the new.

    The same text changes nothing: a container holds the file that it was given, not its name.
    """
    if path.exists() and path.stat().st_mode & 0o777 == mode and path.read_text(encoding="utf-8") == text:
        return
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as file:
        file.write(text)
    # The umask may have taken more away.
    draft.chmod(mode)
    draft.replace(path)
