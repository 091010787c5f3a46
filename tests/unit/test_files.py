"""Files that others read: laid whole, for those alone who may read them, and left as they are when nothing changes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from scripts import generated
from scripts.files import lay


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_the_same_text_leaves_the_file_that_a_container_holds(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    lay(path, "one")
    first = path.stat().st_ino
    lay(path, "one")
    assert path.stat().st_ino == first


def test_another_text_comes_as_another_file_to_whom_reads_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    lay(path, "one")
    with path.open() as reader:
        lay(path, "two")
        assert reader.read() == "one"
    assert path.read_text() == "two"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("wanted", [0o600, 0o444])
def test_the_mode_is_the_one_asked_for_whatever_the_umask_and_whatever_was_there(tmp_path: Path, wanted: int) -> None:
    path = tmp_path / "secret"
    path.write_text("one")
    path.chmod(0o666)
    before = os.umask(0o277)
    try:
        lay(path, "one", wanted)
    finally:
        os.umask(before)
    assert mode(path) == wanted


def test_generated_files_become_those_that_are_wanted_and_no_others_are_touched(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, text in {"same.md": "a", "edited.md": "b", "gone.md": "c", "mine.txt": "d"}.items():
        (tmp_path / name).write_text(text)
    wanted = {"same.md": "a", "edited.md": "B", "new/deep.md": "e"}
    assert generated.settle(True, tmp_path, wanted, "{name} is stale", own="*.md") == 1
    told = capsys.readouterr().err.splitlines()
    assert told == ["edited.md is stale", "gone.md is stale", "new/deep.md is stale"]
    assert generated.settle(False, tmp_path, wanted, "{name}", own="*.md") == 0
    assert generated.stale(tmp_path, wanted, own="**/*.md") == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["edited.md", "mine.txt", "new", "same.md"]
    # Without a pattern the folder is others', too.
    (tmp_path / "theirs.md").write_text("")
    assert generated.stale(tmp_path, wanted) == []
