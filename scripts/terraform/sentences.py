"""What Terraform says at length, as one sentence with the way out."""

from __future__ import annotations

import itertools
import re

# Error texts of Terraform and its providers, and what to tell of them. {0}: what the first group found; {env}: the
# environment's name.
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
        r'The root module input variable "(\w+)" is not set|variable "(\w+)" \{[^}]*?\n.*?No value for required',
        "Environment {env} has no {0}: copy terraform/environments/{env}/terraform.tfvars.example to terraform.tfvars, "
        "or export TF_VAR_{0}.",
    ),
    (
        r"Failed to query available provider packages[\s\S]*?provider (?:hashicorp/)?(\S+?):",
        "Terraform can't get its provider {0} here: reach its registry, or name a folder that `terraform providers "
        "mirror` made with TF_PROVIDER_MIRROR=folder.",
    ),
    (
        r"Error acquiring the state lock[\s\S]*?ID:\s+(\S+)",
        "Somebody else is changing environment {env} (lock {0}): wait for them; if nobody is, terraform force-unlock "
        "{0} in terraform/environments/{env}.",
    ),
    (
        r"cannot re-use a name that is still in use",
        "The release is there already and not Terraform's: take it away with make undeploy ENV=kind, then repeat this.",
    ),
    (
        r"Kubernetes cluster unreachable",
        "The cluster of environment {env} doesn't answer: start it, or run this from where its API server can be "
        "reached (public_access_cidrs).",
    ),
    (
        r"RequestError: send request failed|dial tcp|no such host|connect: connection refused",
        "AWS can't be reached from here: check the network and AWS_ENDPOINT_URL.",
    ),
)


def of(said: str, environment: str) -> str:
    """Return one sentence for what Terraform said when it failed, or nothing for what is not known."""
    plain = re.sub(r"\x1b\[[0-9;]*m|[│╷╵]", "", said)
    flat = " ".join(plain.split())
    for pattern, sentence in KNOWN:
        found = re.search(pattern, flat)
        if found:
            first = next((group for group in found.groups() if group), "")
            return sentence.replace("{env}", environment).replace("{0}", first.rstrip('.,:"'))
    return _of_a_validation(plain)


def _of_a_validation(plain: str) -> str:
    """Return our own sentence: the paragraph before the one that says where it was checked."""
    paragraphs = [" ".join(part.split()) for part in re.split(r"\n\s*\n", plain)]
    pairs = itertools.pairwise(paragraphs)
    return next((first for first, then in pairs if then.startswith("This was checked by the validation rule")), "")
