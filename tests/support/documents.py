"""What a page in Markdown claims: commands, modules, paths and links; and which of these claims are wrong."""

from __future__ import annotations

import ast
import importlib.util
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.conftest import ROOT

# Folders whose names in a document are a promise that what follows is there.
OURS = (
    *("app", "benchmarks", "docker", "docs", "grafana", "helm", "k8s", "requirements", "scripts", "terraform"),
    "tests",
)
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = re.findall(r"^([a-z-]+):.* ## ", MAKEFILE, re.MULTILINE)
_FENCED = re.compile(r"^( *)```([a-z]*)\n(.*?)^\1```", re.DOTALL | re.MULTILINE)
_NAME = re.compile(r"[A-Z][A-Z0-9_]+")
_VARIABLE = re.compile(r"([A-Z][A-Z0-9_]+(?==)|[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)(?:=\S*)?")


def pages() -> list[Path]:
    """Return every document of the repository."""
    found = [*ROOT.glob("*.md"), *(path for folder in OURS for path in ROOT.glob(f"{folder}/**/*.md"))]
    return sorted(path for path in found if not any(part.startswith(".") for part in path.relative_to(ROOT).parts))


def blocks(text: str) -> list[str]:
    """Return the fenced blocks that a shell could run."""
    return [body for _, language, body in _FENCED.findall(text) if language in ("", "sh", "console")]


def quoted(text: str) -> list[str]:
    """Return what stands between backticks, each on a line."""
    paragraphs = re.split(r"\n\s*\n|\n(?=\||[-*] )", _FENCED.sub("", text))
    return [" ".join(word.split()) for part in paragraphs for word in re.findall(r"`([^`]+)`", part)]


def commands(text: str) -> Iterator[list[str]]:
    """Yield the words of each simple command in blocks and backticks."""
    for line in (line for part in (*blocks(text), *quoted(text)) for line in part.replace("\\\n", " ").splitlines()):
        lexer = shlex.shlex(line.replace("$(", " ( "), posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words: list[str] = []
        try:
            for word in lexer:
                if set(word) <= set("();<>|&"):
                    yield words
                    words = []
                else:
                    words.append(word)
        except ValueError:
            # A quotation that goes on in the next line: what was read before it stands.
            pass
        yield words


def wrong_make(text: str) -> list[str]:
    """Return what is wrong with the calls of make: a target that is none, a variable that the target does not read."""
    wrong = []
    for words in commands(text):
        if "make" not in words or any("=" not in word for word in words[: words.index("make")]):
            continue
        at = words.index("make")
        given = [word.partition("=")[0] for word in words[:at] + words[at + 1 :] if "=" in word and word[0] != "-"]
        targets = [word for word in words[at + 1 :] if "=" not in word and word[0] != "-"]
        wrong += [f"make {target}: no such target" for target in targets if target not in TARGETS]
        known = [target for target in targets if target in TARGETS] or ["help"]
        wrong += [f"{name} of make {target}" for target in known for name in given if not reads(target, name)]
    return wrong


def wrong_variables(text: str) -> list[str]:
    """Return the words like `YES=1` and `LOG_LEVEL` whose variable nothing here reads, nor OpenTelemetry for us."""
    names = [found[1] for word in quoted(text) if (found := _VARIABLE.fullmatch(word))]
    known = {*_defined(), *_literals()}
    return [name for name in names if name not in known and not name.startswith("OTEL_")]


def reads(target: str, name: str) -> bool:
    """Return whether a target's recipe, or a program behind it, reads a variable."""
    if name in _defined() and name not in _exported():
        return bool(re.search(rf"\$\({name}\)", _recipe(target)))
    return name in _exported() or name in _literals()


def wrong_modules(text: str) -> list[str]:
    """Return the modules after `python -m` that can't be run."""
    names = re.findall(r"python3? -m +([a-z_][\w.]*\w)", "\n".join((*blocks(text), *quoted(text))))
    return [name for name in names if not _runs(name)]


def _runs(name: str) -> bool:
    top, *_ = name.split(".")
    if top not in OURS:
        return importlib.util.find_spec(top) is not None
    path = ROOT / name.replace(".", "/")
    main = path / "__main__.py" if path.is_dir() else path.with_suffix(".py")
    return main.is_file() and '__name__ == "__main__"' in main.read_text(encoding="utf-8")


def wrong_paths(text: str) -> list[str]:
    """Return the paths of the repository, in prose, backticks and blocks, that are not there."""
    names = re.findall(rf"(?<![\w/.:@-])(?!grafana/grafana\b)((?:{'|'.join(OURS)}|\.ci)/[\w./*-]*)", text)
    return [name for name in names if not list(ROOT.glob(name.rstrip("/.")))]


def wrong_links(page: Path, text: str) -> list[str]:
    """Return the relative links, from where `page` lies, to what is not there."""
    prose = re.sub(r"`[^`]*`", "", _FENCED.sub("", text))
    wrong = []
    for link in re.findall(r"\]\((?![a-z]+:)([^)\s]+)\)", prose):
        name, _, anchor = link.partition("#")
        there = page.parent / name
        if (name and not there.exists()) or (anchor and anchor not in anchors(_text(there) if name else text)):
            wrong.append(link)
    return wrong


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def anchors(text: str) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them; of two alike the second has a number."""
    found: dict[str, int] = {}
    names = set()
    for title in re.findall(r"^#+ (.+)$", _FENCED.sub("", text), re.MULTILINE):
        shown = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).strip().lower()
        name = re.sub(r"[^\w\- ]", "", shown).replace(" ", "-")
        names.add(f"{name}-{found[name]}" if name in found else name)
        found[name] = found.get(name, 0) + 1
    return names


def _recipe(target: str) -> str:
    """Return a target's recipe, with what its macros hold and those of what it runs before."""
    found = re.search(rf"^{target}:([^#\n]*).*\n((?:\t.*\n)*)", MAKEFILE, re.MULTILINE)
    assert found, target
    text = found[2] + "".join(_recipe(name) for name in found[1].split() if name != "venv")
    for name, value in re.findall(r"^([a-z]+) :?= (.*)$", MAKEFILE, re.MULTILINE):
        text = text.replace(f"$({name})", value)
    # `where` holds `json`, which stands before it.
    return text.replace("$(json)", "$(JSON)")


@cache
def _defined() -> frozenset[str]:
    return frozenset(re.findall(r"^([A-Z_]+) [?:]?=", MAKEFILE, re.MULTILINE))


@cache
def _exported() -> frozenset[str]:
    lines = re.findall(r"^export (.*)$", MAKEFILE, re.MULTILINE)
    return frozenset(name for line in lines for name in line.split())


@cache
def _literals() -> frozenset[str]:
    """Return the names in capitals that stand in the code, or as a container's variable in a chart, as words."""
    files = (path for folder in ("app", "scripts", "tests/cluster") for path in ROOT.glob(f"{folder}/**/*.py"))
    nodes = (node for path in files for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    # The code's own constants, and the words in quotes: variables of the environment.
    words = (node.id if isinstance(node, ast.Name) else getattr(node, "value", None) for node in nodes)
    charts = "".join(path.read_text(encoding="utf-8") for path in ROOT.glob("helm/*/templates/**/*.*"))
    told = re.findall(r"\bname: ([A-Z][A-Z0-9_]+)", charts)
    found = (word for word in words if isinstance(word, str) and _NAME.fullmatch(word))
    return frozenset({*found, *told})
