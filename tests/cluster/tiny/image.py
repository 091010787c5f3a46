"""How the tests build the tiny application's image: `build(TINY)`."""

from __future__ import annotations

from pathlib import Path

from scripts.image import Source

TINY = Source("tiny", "1", Path(__file__).parent, "Dockerfile", ("requirements.txt", "tiny.py"))
