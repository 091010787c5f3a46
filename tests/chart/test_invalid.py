"""Values that can't work are not rendered; each mistake is a file in `invalid/`, its first line what Helm must say."""

from __future__ import annotations

import functools
import re
from pathlib import Path

import pytest
import yaml

from tests.support.helm import CHART, refusal

MISTAKES = sorted((Path(__file__).parent / "invalid").glob("*.yaml"))
CHECKS = (CHART / "templates" / "_validate.tpl").read_text(encoding="utf-8")
SENTENCES = re.findall(r"^- (.*)$", CHECKS, re.MULTILINE)


@functools.cache
def words(mistake: Path) -> str:
    return refusal(yaml.safe_load(mistake.read_text(encoding="utf-8")))


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda path: path.stem)
def test_a_mistake_is_refused_in_words_that_name_it(mistake: Path) -> None:
    wanted = mistake.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
    assert wanted in words(mistake)


@pytest.mark.parametrize("sentence", SENTENCES)
def test_every_sentence_of_the_checks_is_said_to_somebody(sentence: str) -> None:
    pattern = ".+".join(re.escape(part) for part in re.split(r"\{\{.*?\}\}", sentence))
    assert [mistake.stem for mistake in MISTAKES if re.search(rf"^- {pattern}$", words(mistake), re.MULTILINE)]


@pytest.mark.parametrize("sentence", SENTENCES)
def test_every_sentence_says_what_to_write_instead(sentence: str) -> None:
    assert sentence.endswith((".", "{{ $name }}]."))
    assert re.search(r": .*\b(write|set|keep|lower|raise|take|make|swap)\b", sentence)


def test_all_problems_are_told_at_once() -> None:
    told = refusal({"image": {"repository": ""}, "broker": {"tls": {"enabled": True}}, "beat": {"lockSeconds": 60}})
    assert "image.repository is empty" in told
    assert "broker.tls is enabled without a certificate" in told
