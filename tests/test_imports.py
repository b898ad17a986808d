"""Who may import whom, and what the core must never load."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[1]
ROOTS = {
    "trafficgym": REPO / "trafficgym",
    "trafficgym_scenarios": REPO / "scenarios/trafficgym_scenarios",
    "trafficgym_agents": REPO / "agents/trafficgym_agents",
    "trafficgym_baselines": REPO / "baselines/trafficgym_baselines",
}
MAY_IMPORT = {
    "trafficgym": set(),
    "trafficgym_scenarios": {"trafficgym"},
    "trafficgym_agents": {"trafficgym", "trafficgym_scenarios"},
    "trafficgym_baselines": {"trafficgym", "trafficgym_scenarios", "trafficgym_agents"},
}
# Inside trafficgym the data goes one way: a part may import those to its left.
ROOMS = [("errors",), ("scene",), ("world",), ("metrics",), ("rewards", "viewer"), ("envs",), ("report",), ("cli",)]
HEAVY = {"torch", "tensorflow"}


def imports(path: Path, *, top_level_only: bool) -> Iterator[str]:
    """Dotted names that a module imports; those under TYPE_CHECKING do not count."""
    pending: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif top_level_only and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            pending.extend(node.orelse)
        else:
            pending.extend(ast.iter_child_nodes(node))


def modules(package: str) -> list[Path]:
    return sorted(ROOTS[package].rglob("*.py"))


@pytest.mark.parametrize("package", ROOTS)
def test_packages_import_along_the_arrows(package: str) -> None:
    forbidden = set(ROOTS) - MAY_IMPORT[package] - {package}
    for path in modules(package):
        for name in imports(path, top_level_only=False):
            assert name.split(".")[0] not in forbidden, f"{path.relative_to(REPO)} imports {name}"


def test_rooms_of_trafficgym_import_only_what_comes_before_them() -> None:
    rank = {room: i for i, rooms in enumerate(ROOMS) for room in rooms}
    for path in modules("trafficgym"):
        place = path.relative_to(ROOTS["trafficgym"])
        own = rank.get(place.parts[0].removesuffix(".py"))
        if own is None:  # the package's own __init__ and __main__ open every door
            continue
        for name in imports(path, top_level_only=True):
            package, *rest = name.split(".")
            if package == "trafficgym" and rest and rest[0] in rank:
                assert rank[rest[0]] <= own, f"{path.relative_to(REPO)} imports {name}"


def test_no_module_of_trafficgym_names_torch_or_tensorflow_at_its_top() -> None:
    for path in modules("trafficgym"):
        for name in imports(path, top_level_only=True):
            assert name.split(".")[0] not in HEAVY, f"{path.relative_to(REPO)} imports {name}"


def test_all_of_trafficgym_loads_without_torch_and_tensorflow_and_says_nothing() -> None:
    names = [
        ".".join(path.relative_to(REPO).with_suffix("").parts).removesuffix(".__init__")
        for path in modules("trafficgym")
        if path.name != "__main__.py"
    ]
    blocked = "; ".join(f"sys.modules[{name!r}] = None" for name in sorted(HEAVY))  # importing them now raises
    code = f"import sys, importlib; {blocked}; [importlib.import_module(name) for name in {names!r}]"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=REPO)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
