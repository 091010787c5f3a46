"""What Terraform says at length, as one sentence with the way out."""

from __future__ import annotations

import itertools
import re
import textwrap
from collections.abc import Iterable

from scripts.deploy.environment import Environment

# Error texts of Terraform and its providers, and what to tell of them. {0}: what the first group found; {env}: the
# environment's name; {taken}, {reach}: what to do of a release that is there, and how to get at the cluster.
KNOWN = (
    (
        r"AWS account ID not allowed: (\d+)",
        "These credentials are of account {0}, which is not the expected_account_id of environment {env}: choose "
        "others with AWS_PROFILE=name, or correct terraform/environments/{env}/terraform.tfvars.",
    ),
    (
        r"No valid credential sources found|failed to refresh cached credentials|failed to get shared config profile",
        "There are no AWS credentials: log in (aws sso login, aws configure) and say which with AWS_PROFILE=name.",
    ),
    (
        r"ExpiredToken|token (?:has|is) expired|RequestExpired",
        "The AWS credentials have expired: log in again (aws sso login), then repeat this.",
    ),
    (
        r"GetCallerIdentity, https response error StatusCode: 403|InvalidClientTokenId|UnrecognizedClientException"
        r"|SignatureDoesNotMatch|InvalidAccessKeyId|AuthFailure",
        "AWS doesn't accept these credentials: aws sts get-caller-identity shows whether they are right; choose others "
        "with AWS_PROFILE=name.",
    ),
    (
        r"[Ii]nvalid AWS Region: (\S+)",
        "There is no AWS region {0}: correct region in terraform/environments/{env}/terraform.tfvars.",
    ),
    (
        r'The root module input variable "(\w+)" is not set',
        "Environment {env} has no {0}: copy terraform/environments/{env}/terraform.tfvars.example to terraform.tfvars, "
        "or export TF_VAR_{0}.",
    ),
    (
        r"Failed to query available provider packages[\s\S]*?provider (?:hashicorp/)?(\S+?):",
        "Terraform can't get its provider {0} here: reach its registry, or name a folder that `terraform providers "
        "mirror` made with TF_PROVIDER_MIRROR=folder.",
    ),
    (
        # Before it may stand the ID of a request.
        r"Error acquiring the state lock.*Lock Info: ID: (\S+)",
        "Somebody else is changing environment {env} (lock {0}): wait for them; if nobody is, terraform force-unlock "
        "{0} in terraform/environments/{env}.",
    ),
    (
        r"cannot re-use a name that is still in use",
        "{taken}",
    ),
    (
        r"executable aws (?:not found|failed)",
        "The aws command, which gets the cluster's tokens, is not on PATH or failed: install it, log in (aws sso "
        "login), then repeat this.",
    ),
    (
        r"the server has asked for the client to provide credentials",
        "The cluster of environment {env} doesn't let these credentials in: whoever is in its access runs this, or "
        "enters them and first runs make tf-apply ENV={env} ARGS=-target=module.cluster.",
    ),
    (
        r"Kubernetes cluster unreachable",
        "The cluster of environment {env} doesn't answer: {reach}.",
    ),
    (
        r"operation error [^:]+: \w+, .*(?:request send failed|dial tcp|no such host)",
        "AWS can't be reached from here: check the network and AWS_ENDPOINT_URL.",
    ),
)


THERE = "The release is there already and not Terraform's: take it away with make undeploy {}, then repeat this."
# Helm's provider takes what it can't look at for gone (hashicorp/terraform-provider-helm#1669).
LOST = (
    "The release is there and not in this state, which loses it when the cluster can't be reached: bring it back with "
    "`terraform import module.release.helm_release.celery celery/celery` in terraform/environments/{env}, then repeat "
    "this; only one that was never Terraform's is taken away, with make undeploy ENV=production CONTEXT=name."
)
REACH = (
    "run this from where its API server can be reached; after a change of public_access_cidrs or "
    "private_access_cidrs first make tf-apply ENV={env} ARGS=-target=module.cluster"
)
# Characters of an error that nobody foresaw: enough for its cause, and still read.
MOST = 500


def of(said: str, environment: str, cluster: Environment | None = None) -> list[str]:
    """Return a sentence for each error that Terraform told of when it failed, each once.

    `cluster`: where the environment's charts go, unless it makes its own cluster.
    """
    names = {
        "{taken}": THERE.format(f"ENV={cluster.name} CONTEXT={cluster.context}") if cluster else LOST,
        "{reach}": f"start that of context {cluster.context}" if cluster else REACH,
        # The last one, since the others say it, too.
        "{env}": environment,
    }
    plain = re.sub(r"\x1b\[[0-9;]*m", "", said)
    return list(dict.fromkeys(_sentence(error, names) for error in _errors(plain)))


def _errors(plain: str) -> Iterable[str]:
    """Return the text of each error: what is in a box, or where there are none, what begins with the word."""
    boxes = re.findall(r"╷(.*?)╵", plain, re.DOTALL) or re.split(r"^(?=Error: )", plain, flags=re.MULTILINE)
    texts = (re.sub(r"^│ ?", "", box, flags=re.MULTILINE).strip() for box in boxes)
    return [text for text in texts if text.startswith("Error: ")]


def _sentence(error: str, names: dict[str, str]) -> str:
    flat = " ".join(error.split())
    for pattern, sentence in KNOWN:
        found = re.search(pattern, flat)
        if found:
            first = next((group for group in found.groups() if group), "")
            for name, text in {**names, "{0}": first.rstrip('.,:"')}.items():
                sentence = sentence.replace(name, text)
            return sentence
    title, *rest = [" ".join(part.split()) for part in re.split(r"\n\s*\n", error.removeprefix("Error: "))]
    if title in ("Resource precondition failed", "Resource postcondition failed"):
        return rest[-1]
    for said, then in itertools.pairwise(rest):
        if then.startswith("This was checked by the validation rule"):
            return said
    # The paragraph after the title says where, unless the error has no place.
    place = re.search(r"\bon (\S+ line \d+)", rest[0]) if rest else None
    detail = " ".join(rest[1:] if place else rest)
    text = f"{title} ({place[1]})" if place else title
    text += f": {detail}" if detail else ""
    return f"Terraform says: {textwrap.shorten(text, MOST, placeholder=' ...')}"
