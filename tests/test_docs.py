"""Everything that README and the documentation show is run, page by page, in the order in which it is shown.

Python blocks of a page share one namespace. Lines of shell blocks that begin with `trafficgym` are run in this
process; `make` lines must name a target. /data/womd stands for a folder of WOMD files.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import tyro

from trafficgym.cli.main import main
from trafficgym.scene.store import SceneWriter
from trafficgym_scenarios import nominal_scenes

REPO = Path(__file__).resolve().parents[1]
PAGES = [REPO / "README.md", *sorted((REPO / "docs").glob("*.md"))]
BLOCK = re.compile(r"^( *)```(\w+)[^\n]*\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
OPENS_A_WINDOW = {"view"}


def blocks(page: Path) -> Iterator[tuple[str, str, int]]:
    """Language, text and line number of every fenced block."""
    text = page.read_text(encoding="utf-8")
    for match in BLOCK.finditer(text):
        indent, language, body = match.groups()
        yield language, re.sub(rf"^{indent}", "", body, flags=re.MULTILINE), text.count("\n", 0, match.start()) + 1


def shell_lines(page: Path) -> Iterator[list[str]]:
    for language, body, _ in blocks(page):
        if language in ("bash", "console"):
            for line in body.replace("\\\n", " ").splitlines():
                yield shlex.split(line.removeprefix("$ "), comments=True)


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to run a page in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make_store(folder: Path) -> None:
    with SceneWriter(folder) as writer:
        for scene in nominal_scenes(4):
            writer.add(scene)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_runs(page: Path, workspace: Path) -> None:
    make_store(workspace / "val")
    namespace: dict[str, Any] = {"__name__": page.stem}
    for language, body, line in blocks(page):
        if language == "python":
            code = compile("\n" * line + body, str(page), "exec")  # so that a traceback names the line of the page
            exec(code, namespace)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_run(page: Path, workspace: Path, request: pytest.FixtureRequest) -> None:
    commands = [words[1:] for words in shell_lines(page) if words[:1] == ["trafficgym"]]
    if any(words[0] == "convert" for words in commands):
        womd = str(request.getfixturevalue("data_root") / "data" / "womd_converted")
        commands = [[word.replace("/data/womd", womd) for word in words] for words in commands]
    else:
        make_store(workspace / "val")
    for words in commands:
        if words[0] not in OPENS_A_WINDOW:
            assert main(words) == 0, f"trafficgym {' '.join(words)}"


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (REPO / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for page in [*PAGES, REPO / "CONTRIBUTING.md"]:
        for words in shell_lines(page):
            if words[:1] == ["make"]:
                assert words[1] in targets, f"{page.name}: make {words[1]}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_scripts_take_the_options_that_are_shown(page: Path) -> None:
    for words in shell_lines(page):
        if words[:2] == ["python", "-m"] and words[2].startswith("trafficgym_baselines."):
            tyro.cli(import_module(words[2]).Args, args=words[3:])
