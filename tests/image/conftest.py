"""The built image, and a Redis in a network of its own: what this tier shares."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from scripts import image as images
from scripts.refused import Refused
from scripts.versions import pinned
from tests.image.containers import Network, docker


@pytest.fixture(scope="session")
def image() -> str:
    """The reference of the application's image, built if need be."""
    try:
        return images.build()[0]
    except Refused as refused:
        pytest.fail(f"These tests need Docker and the image: {refused}", pytrace=False)


@pytest.fixture(scope="session")
def network(image: str) -> Iterator[Network]:
    """A network with a Redis named broker in it."""
    network = Network()
    try:
        server = pinned("REDIS_IMAGE")
        images.ensure(server)
    except Refused as refused:
        pytest.fail(str(refused), pytrace=False)
    docker("network", "create", network.name)
    try:
        broker = ("redis-server", "--save", "", "--bind", "*", "--protected-mode", "no")
        with network.running(server, *broker, options=("--network-alias", "broker")) as redis:
            redis.wait_until("Redis answers", lambda: redis.succeeds("redis-cli", "ping"))
            yield network
    finally:
        docker("network", "rm", network.name)


@pytest.fixture(scope="session")
def settings() -> dict[str, str]:
    """What makes a container a client of that Redis."""
    return {
        "CELERY_BROKER_URL": "redis://broker:6379/0",
        "CELERY_RESULT_BACKEND": "redis://broker:6379/1",
        "STORE_URL": "redis://broker:6379/2",
    }
