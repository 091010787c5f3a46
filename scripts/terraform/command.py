"""One call of Terraform: its binary, its providers, and its errors in a sentence."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from scripts.deploy.environment import Environment
from scripts.refused import Refused
from scripts.terraform import providers, sentences
from scripts.versions import numbers

OLDEST = (1, 11, 0)


@functools.cache
def binary() -> str:
    """Return Terraform's path. Raises Refused where it is missing or too old."""
    found = shutil.which("terraform")
    install = f"install {'.'.join(map(str, OLDEST[:2]))} or later (developer.hashicorp.com/terraform/install)"
    if not found:
        raise Refused(f"There is no terraform on PATH: {install}.")
    quiet = {**os.environ, "TF_CLI_CONFIG_FILE": os.devnull, "TF_CLI_ARGS": "", "TF_CLI_ARGS_version": ""}
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
        # Where the environment's charts go, for one that installs them on a cluster that is there.
        self.cluster: Environment | None = None
        self._binary = binary()

    def run(
        self, *arguments: str, quiet: bool = False, stdin: str = "", env: Mapping[str, str] = MappingProxyType({})
    ) -> str:
        """Run a command and return its stdout, shown too unless `quiet`; `env` wins over this process's environment.

        Raises Refused with a sentence for each error.
        """
        with tempfile.TemporaryDirectory() as temporary:
            around = {
                **os.environ,
                **providers.environment(Path(temporary)),
                **_kubeconfig(),
                "TF_IN_AUTOMATION": "1",
                "CHECKPOINT_DISABLE": "1",
                **env,
            }
            command = [self._binary, *arguments]
            kept = subprocess.Popen(
                command,
                cwd=self.folder,
                env=around,
                stdin=subprocess.PIPE if stdin else None,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            if kept.stdin:
                kept.stdin.write(stdin)
                kept.stdin.close()
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
            known = "\n".join(sentences.of(text, self.environment, self.cluster))
            raise Refused(
                known or f"terraform {arguments[0]} failed in {self.environment} (see above).",
                details="" if known else text,
            )
        return "".join(said)

    def init(self) -> None:
        """Get modules and providers; nothing is changed anywhere else. Raises Refused."""
        self.run("init", "-input=false", quiet=True)


def _follow(process: subprocess.Popen[str], said: list[str], quiet: bool) -> None:
    """Read a process's stdout to its end into `said`, and show it unless `quiet`."""
    for line in iter(lambda: process.stdout.readline() if process.stdout else "", ""):
        said.append(line)
        if not quiet:
            sys.stdout.write(line)
            sys.stdout.flush()


def _kubeconfig() -> dict[str, str]:
    """Hand kubectl's files on, as the weakest way to give a variable: what was checked and what is changed are one."""
    given = [os.path.abspath(path) for path in os.environ.get("KUBECONFIG", "").split(os.pathsep) if path]
    return {"TF_VAR_kubeconfig": os.pathsep.join(given)} if given and "TF_VAR_kubeconfig" not in os.environ else {}
