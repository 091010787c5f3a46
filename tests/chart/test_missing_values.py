"""A value that somebody takes away with `null` is either not needed, or missed by its name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.support.helm import DEFAULTS, IMAGE, Objects, run


def paths(tree: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for key, below in tree.items():
        yield (*above, key)
        if isinstance(below, Mapping):
            yield from paths(below, (*above, key))


def without(path: tuple[str, ...]) -> dict[str, Any]:
    values: dict[str, Any] = {"image": dict(IMAGE["image"])}
    *above, last = path
    place = values
    for key in above:
        place = place.setdefault(key, {})
    place[last] = None
    return values


@pytest.mark.parametrize("section", DEFAULTS)
def test_no_template_breaks_without_a_value(section: str) -> None:
    broken = []
    for path in paths({section: DEFAULTS[section]}):
        ran = run(without(path))
        if ran.returncode == 0:
            assert Objects(ran.stdout), path
        elif "missing propert" not in ran.stderr and "These values can't work" not in ran.stderr:
            broken.append((".".join(path), ran.stderr[-200:]))
    assert broken == []
