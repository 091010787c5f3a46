"""The volumes' provisioner: kind's own manifest, taken from its module when the node image is built."""

from __future__ import annotations

import re

from scripts.cluster.golang import fetch
from scripts.refused import Refused
from scripts.versions import pinned

SOURCE = "pkg/build/nodeimage/const_storage.go"


def _source() -> str:
    return (fetch("sigs.k8s.io/kind", pinned("KIND_VERSION")) / SOURCE).read_text()


def images() -> tuple[str, str]:
    """Return the names that kind gives to the provisioner's image and to its helper's."""
    source = _source()
    return _constant(source, "storageProvisionerImage"), _constant(source, "storageHelperImage")


def manifest() -> str:
    """Return the objects of the default StorageClass."""
    source = _source()
    found = re.search(r"const defaultStorageManifest = `(.*)`\n", source, re.DOTALL)
    if not found:
        raise _unknown("defaultStorageManifest")
    return re.sub(r"` \+ (\w+) \+ `", lambda name: _constant(source, name[1]), found[1])


def _constant(source: str, name: str) -> str:
    found = re.search(rf'const {name} = "(.*)"', source)
    if not found:
        raise _unknown(name)
    return found[1]


def _unknown(name: str) -> Refused:
    version = pinned("KIND_VERSION")
    return Refused(f"kind {version} has no {name} in {SOURCE}: adapt tests/kind/storage.py to this version.")
