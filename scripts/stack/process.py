"""What a process of the stack is: what starts it, with which environment, and how it shows that it is ready."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class Ready:
    """How a process shows that it is ready.

    redis: PING is answered. http: GET `target` answers 200. file: `target` was touched since the process started.
    """

    kind: Literal["redis", "http", "file"]
    target: str = ""


@dataclass(frozen=True)
class Process:
    """One process tree. `ports` are names in the place's `every_port`; `stop_within` are seconds until it is killed."""

    name: str
    command: tuple[str, ...]
    ready: Ready
    environment: Mapping[str, str] = field(default_factory=dict)
    ports: tuple[str, ...] = ()
    stop_within: int = 20
