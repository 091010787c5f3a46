"""Flower's login. It reads this file from its working directory; docker inspect would show a variable."""

from pathlib import Path

basic_auth = ["flower:" + Path("/run/secrets/flower-password").read_text(encoding="utf-8").strip()]
