"""What every test of Terraform needs first: Terraform itself, and the pinned provider."""

from __future__ import annotations

import pytest

from scripts.refused import Refused
from scripts.terraform.command import binary


@pytest.fixture(scope="session", autouse=True)
def terraform_is_there() -> None:
    try:
        binary()
    except Refused as refused:
        pytest.fail(str(refused), pytrace=False)
