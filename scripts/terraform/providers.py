"""Where Terraform's providers come from: a mirror on this machine where there is one, else their registry."""

from __future__ import annotations

import os
import re
from pathlib import Path

from scripts.refused import Refused
from scripts.versions import ROOT

# A mirror has a folder for each registry, whichever that is, and in it one for each publisher.
PUBLISHER = "*/hashicorp"
# Terraform's own places, and those where images and packages put mirrors.
PLACES = (
    "~/.terraform.d/plugins",
    "~/.local/share/terraform/plugins",
    "/usr/local/share/terraform/plugins",
    "/usr/share/terraform/plugins",
    "/usr/local/share/terraform*",
    "/usr/share/terraform*",
    "/opt/*",
)


def wanted(terraform: Path = ROOT / "terraform") -> dict[str, str]:
    """Return the version that the modules want of each provider, as `aws`: `5.100.0`; the last number may be higher."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in terraform.glob("modules/*/versions.tf"))
    return dict(re.findall(r'source\s*=\s*"hashicorp/(\w+)"\s*version\s*=\s*"~> ([\d.]+)"', text))


def mirrors() -> list[Path]:
    """Return the folders that hold providers. Raises Refused when TF_PROVIDER_MIRROR names one that doesn't."""
    given = os.environ.get("TF_PROVIDER_MIRROR", "")
    if given:
        if not _is_mirror(Path(given)):
            raise Refused(
                f"TF_PROVIDER_MIRROR is {given}, which has no providers of hashicorp in it: "
                "name a folder that `terraform providers mirror` made.",
                2,
            )
        return [Path(given)]
    homes = (Path(place).expanduser() for place in PLACES)
    found = (path for home in homes for path in home.parent.glob(home.name))
    return [path for path in found if _is_mirror(path)]


def _is_mirror(folder: Path) -> bool:
    return any(path.is_dir() for path in folder.glob(PUBLISHER))


def in_mirror(name: str) -> Path | None:
    """Return the mirror that has a version of the provider that will do, or None."""
    prefix = wanted()[name].rpartition(".")[0] + "."
    for mirror in mirrors():
        # Unpacked: a folder for each version; packed: terraform-provider-aws_5.100.0_linux_amd64.zip.
        names = (path.name for path in mirror.glob(f"{PUBLISHER}/{name}/*"))
        if any(text.removeprefix(f"terraform-provider-{name}_").startswith(prefix) for text in names):
            return mirror
    return None


def environment(folder: Path) -> dict[str, str]:
    """Return variables that make Terraform use the mirrors; the file that says so goes into `folder`.

    A configuration of the user's own is left alone, unless TF_PROVIDER_MIRROR is set.
    """
    own = Path(os.environ.get("TF_CLI_CONFIG_FILE", "~/.terraformrc")).expanduser()
    if own.is_file() and not os.environ.get("TF_PROVIDER_MIRROR"):
        return {}
    places = {name: mirror for name in wanted() if (mirror := in_mirror(name))}
    each = "".join(
        f'  filesystem_mirror {{\n    path    = "{mirror}"\n    include = ["hashicorp/{name}"]\n  }}\n'
        for name, mirror in places.items()
    )
    excluded = ", ".join(f'"hashicorp/{name}"' for name in places)
    file = folder / "terraform.rc"
    file.write_text(f"provider_installation {{\n{each}  direct {{\n    exclude = [{excluded}]\n  }}\n}}\n")
    return {"TF_CLI_CONFIG_FILE": str(file)}
