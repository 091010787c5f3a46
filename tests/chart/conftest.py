"""The renders that the laws look at: the defaults and each example, made once in each process."""

from __future__ import annotations

import pytest

from tests.support.helm import ENVIRONMENTS, EXAMPLES, Objects, render, values_of


@pytest.fixture(params=["defaults", *EXAMPLES, *ENVIRONMENTS])
def objects(request: pytest.FixtureRequest) -> Objects:
    """What the chart makes of its defaults, of each example and each environment: every law is one of all."""
    return render(values_of(request.param))


@pytest.fixture
def everything() -> Objects:
    return render(values_of("everything"))
