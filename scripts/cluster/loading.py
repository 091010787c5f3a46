"""Brings images from Docker to the cluster's nodes."""

from __future__ import annotations

from scripts.cluster.client import Client
from scripts.progress import step
from scripts.refused import Refused


def load(client: Client, images: list[str]) -> None:
    """Bring images to the workers; kind skips a worker that has an image already. Raises Refused with the way out."""
    for image in images:
        if not client.docker("image", "ls", "--quiet", image):
            raise Refused(f"Docker has no image {image}: build it (`make image`) or pull it first.")
    workers = client.nodes("label=io.x-k8s.kind.role=worker", "status=running")
    if not workers:
        raise Refused(f"There is no running cluster {client.name}: make it with `make cluster-up`.")
    with step(f"Loading {', '.join(images)}"):
        client.kind("load", "docker-image", "--name", client.name, "--nodes", ",".join(workers), *images)
