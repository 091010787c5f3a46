"""Report tasks -> folder: files that appear whole, and go when they are old."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from app.config import settings

# Only files with this start are ever removed: the folder may be shared.
PREFIX = "report-"


def folder() -> Path:
    """Return the folder of the reports, REPORTS_DIR or one in the system's folder for temporary files; make it."""
    path = Path(settings.reports_dir or Path(tempfile.gettempdir()) / "celery-reports")
    path.mkdir(parents=True, exist_ok=True)
    return path


def write(name: str, content: str) -> Path:
    """Write `content` to `PREFIX + name` in the folder and return its path; nobody ever sees half a file."""
    path = folder() / f"{PREFIX}{name}"
    handle, temporary = tempfile.mkstemp(prefix=f"{PREFIX}{name}.", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path


def remove_older(before: float) -> int:
    """Remove the reports, and what a killed task left of one, last changed before a time; return how many."""
    removed = 0
    for path in folder().glob(f"{PREFIX}*"):
        # Another worker cleans up, too.
        with suppress(FileNotFoundError):
            if path.is_file() and path.stat().st_mtime < before:
                path.unlink()
                removed += 1
    return removed
