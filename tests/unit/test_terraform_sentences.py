"""What Terraform says at length when it fails comes out as a sentence for each error, about the right place."""

from __future__ import annotations

import pytest

from scripts.deploy import environment
from scripts.terraform import sentences

ON_KIND = environment.load("kind")


def box(title: str, *paragraphs: str, kind: str = "Error") -> str:
    """Return what Terraform writes to a pipe: a box with colours, whose lines begin with a bar."""
    lines = "\n\n".join([f"\x1b[31m{kind}: \x1b[0m\x1b[1m{title}\x1b[0m", *paragraphs]).splitlines()
    return "\n".join(["\x1b[31m╷\x1b[0m", *(f"\x1b[31m│\x1b[0m {line}" for line in lines), "\x1b[31m╵\x1b[0m", ""])


PLACE = '  with module.release,\n  on ../../modules/release/main.tf line 1, in resource "x" "y":\n   1: it'
REFUSED = "dial tcp 127.0.0.1:9: connect: connection refused"
STS = (
    "retrieving caller identity from STS: operation error STS: GetCallerIdentity, exceeded maximum number of "
    "attempts, 1,"
    f' https response error StatusCode: 0, RequestID: , request send failed, Post "https://sts.example.com/": {REFUSED}'
)
NAME_IN_USE = box("installation failed", PLACE, "cannot re-use a name that is still in use")
UNREACHABLE = box(f'Kubernetes cluster unreachable: Get "https://127.0.0.1:9/version": {REFUSED}', PLACE)


def test_each_error_is_told_once_and_warnings_are_not() -> None:
    missing = [
        box(
            "No value for required variable",
            "  on variables.tf line 1:",
            f'The root module input variable "{name}" is not set',
        )
        for name in ("image", "region", "image")
    ]
    said = sentences.of(box("Deprecated", "An old thing.", kind="Warning") + "".join(missing) + NAME_IN_USE, "mine")
    assert [text.split(":")[0] for text in said] == [
        "Environment mine has no image",
        "Environment mine has no region",
        "The release is there and not in this state, which loses it when the cluster can't be reached",
    ]


def test_what_nobody_foresaw_is_terraforms_own_text_with_its_place() -> None:
    said = sentences.of(
        box("Invalid reference", "  on main.tf line 3:\n   3: it", "A reference\nis wrong.") + UNREACHABLE, "mine"
    )
    assert said[0] == "Terraform says: Invalid reference (main.tf line 3): A reference is wrong."
    assert said[1].startswith("The cluster of environment mine doesn't answer")
    assert len(said) == 2


def test_a_text_without_end_is_cut() -> None:
    (said,) = sentences.of(box("timed out", "waiting " * 1000), "mine")
    assert said.endswith(" ...")
    assert len(said) < sentences.MOST + 50


def test_errors_without_boxes_are_found_too() -> None:
    said = sentences.of("\nError: First\n\nIs wrong.\n\nError: Second\n\nIs wrong, too.\n", "mine")
    assert said == ["Terraform says: First: Is wrong.", "Terraform says: Second: Is wrong, too."]


def test_what_is_no_error_has_no_sentence() -> None:
    assert sentences.of("panic: runtime error", "mine") == []


def test_a_validation_is_our_own_sentence() -> None:
    ours = box(
        "Invalid value for variable",
        "  on main.tf line 30:\n  30:   nat = var.nat",
        "nat must be one,\nper_zone or none.",
        "This was checked by the validation rule at variables.tf:8,3-13.",
    )
    assert sentences.of(ours, "mine") == ["nat must be one, per_zone or none."]


LOCK = "operation error S3: PutObject, https response error StatusCode: {}, RequestID: 3XABC, HostID: x, api error"
HELD = "Lock Info:\n  ID:        3f1c0a52-aaaa\n  Path:      state"


def test_a_lock_is_named_by_its_own_id() -> None:
    title = "Error acquiring the state lock"
    (said,) = sentences.of(box(title, f"Error message: {LOCK.format(412)} PreconditionFailed", HELD), "aws")
    assert "(lock 3f1c0a52-aaaa)" in said
    (said,) = sentences.of(box(title, f"Error message: {LOCK.format(403)} AccessDenied"), "aws")
    assert said.startswith("Terraform says: Error acquiring the state lock")


@pytest.mark.parametrize(
    ("cause", "told"),
    [
        ("the server has asked for the client to provide credentials", "doesn't let these credentials in"),
        ('Get "https://x.example.com/version": getting credentials: exec: executable aws not found', "The aws command"),
    ],
)
def test_a_cluster_that_refuses_is_not_called_away(cause: str, told: str) -> None:
    (said,) = sentences.of(box(f"Kubernetes cluster unreachable: {cause}", PLACE), "aws")
    assert told in said


def test_aws_is_blamed_for_aws() -> None:
    assert sentences.of(box(STS, "  with provider,\n  on main.tf line 1:"), "aws")[0].startswith("AWS can't be reached")


@pytest.mark.parametrize(
    "title",
    [
        f'Get "https://127.0.0.1:6443/api/v1/namespaces/celery": {REFUSED}',
        f'could not connect to registry: Get "https://registry.example.com/v2/": {REFUSED}',
        "looking up registry.example.com: no such host",
    ],
)
def test_aws_is_not_blamed_for_a_cluster_or_a_registry(title: str) -> None:
    (said,) = sentences.of(box(title, PLACE), "local")
    assert said == f"Terraform says: {title} (../../modules/release/main.tf line 1)"


def test_the_way_out_is_that_of_the_environment() -> None:
    local = sentences.of(NAME_IN_USE + UNREACHABLE, "local", ON_KIND)
    assert "make undeploy ENV=kind CONTEXT=kind-celery, then" in local[0]
    assert local[1].endswith("doesn't answer: start that of context kind-celery.")
    aws = sentences.of(NAME_IN_USE + UNREACHABLE, "aws")
    assert "`terraform import module.release.helm_release.celery celery/celery` in terraform/environments/aws" in aws[0]
    assert "public_access_cidrs" in aws[1]
