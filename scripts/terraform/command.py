"""One call of Terraform: its binary, its providers, and its errors in a sentence."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from scripts.refused import Refused
from scripts.terraform import providers, sentences
from scripts.versions import numbers

OLDEST = (1, 11, 0)


def binary() -> str:
    """Return Terraform's path. Raises Refused where it is missing or too old."""
    found = shutil.which("terraform")
    install = f"install {'.'.join(map(str, OLDEST[:2]))} or later (developer.hashicorp.com/terraform/install)"
    if not found:
        raise Refused(f"There is no terraform on PATH: {install}.")
    quiet = {**os.environ, "TF_CLI_CONFIG_FILE": os.devnull}
    said = subprocess.run([found, "version", "-json"], capture_output=True, text=True, env=quiet).stdout
    version = str(json.loads(said)["terraform_version"])
    if numbers(version) < OLDEST:
        raise Refused(f"The terraform on PATH is {version}: {install}.")
    return found


class Terraform:
    """Terraform in one folder; `environment` is what its errors call the place."""

    def __init__(self, folder: Path, environment: str) -> None:
        self.folder = folder
        self.environment = environment
        self._binary = binary()

    def run(self, *arguments: str, quiet: bool = False) -> str:
        """Run a command and return its stdout, shown too unless `quiet`. Raises Refused with one sentence."""
        with tempfile.TemporaryDirectory() as temporary:
            env = {
                **os.environ,
                **providers.environment(Path(temporary)),
                **_kubeconfig(),
                "TF_IN_AUTOMATION": "1",
                "CHECKPOINT_DISABLE": "1",
            }
            command = [self._binary, *arguments]
            kept = subprocess.Popen(
                command, cwd=self.folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
            errors: list[str] = []
            reader = threading.Thread(target=lambda: errors.extend(kept.stderr or ()))
            reader.start()
            said: list[str] = []
            try:
                _follow(kept, said, quiet)
            except KeyboardInterrupt:
                # Terraform was interrupted too, and still writes down what it has made.
                _follow(kept, said, quiet)
                raise
            code = kept.wait()
            reader.join()
        if code:
            text = "".join(errors)
            sentence = sentences.of(text, self.environment)
            raise Refused(
                sentence or f"terraform {arguments[0]} failed in {self.environment} (see above).",
                details="" if sentence else text,
            )
        return "".join(said)

    def init(self) -> None:
        """Get modules and providers; nothing is changed anywhere else. Raises Refused."""
        self.run("init", "-input=false", "-no-color", quiet=True)


def _follow(process: subprocess.Popen[str], said: list[str], quiet: bool) -> None:
    """Read a process's stdout to its end into `said`, and show it unless `quiet`."""
    for line in iter(lambda: process.stdout.readline() if process.stdout else "", ""):
        said.append(line)
        if not quiet:
            sys.stdout.write(line)
            sys.stdout.flush()


def _kubeconfig() -> dict[str, str]:
    """Hand kubectl's file on, so that the context that was checked and the one that is used are in the same."""
    given = os.environ.get("KUBECONFIG", "")
    return (
        {"TF_VAR_kubeconfig": given}
        if given and os.pathsep not in given and "TF_VAR_kubeconfig" not in os.environ
        else {}
    )
