from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.scene.make_sources import write_source, write_sources
from trafficgym.cli.main import main
from trafficgym.scene import convert as conversion
from trafficgym.scene.store import SceneStore

# Small units, so that a few small files make several shards. One environment variable names a place to be killed at.
CHILD = """
import os, signal, sys
from trafficgym.scene import convert, journal, writer
from trafficgym.cli.main import main

def kill_at(place, module, name, times, after):
    call = getattr(module, name)
    def killing(*args, **kwargs):
        nonlocal times
        times -= 1
        result = call(*args, **kwargs) if times or after else None
        if not times:
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    if os.environ.get("KILL_AT") == place:
        setattr(module, name, killing)

if __name__ == "__main__":
    convert._UNIT_BYTES = (3000, 3000)
    kill_at("first file", convert, "read", 1, False)
    kill_at("third shard half written", writer.ShardWriter, "add", 6, True)
    kill_at("third shard in place, not in the journal", convert, "save_part", 3, False)
    kill_at("third shard in the journal", convert, "save_part", 3, True)
    kill_at("before the manifest", journal.Manifest, "to_json", 1, False)
    kill_at("before the journal is deleted", journal.shutil, "rmtree", 1, False)
    sys.exit(main(sys.argv[1:]))
"""
PLACES = [
    "first file",
    "third shard half written",
    "third shard in place, not in the journal",
    "third shard in the journal",
    "before the manifest",
    "before the journal is deleted",
]


@pytest.fixture
def small_units(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conversion, "_UNIT_BYTES", (3000, 3000))


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """Twelve scenes; the last file holds a scene that came before, and one file holds none."""
    folder = write_sources(tmp_path / "sources", 12)
    write_source(folder / "9z.json", "scene-4")
    (folder / "3b.json").write_text('{"objects": [], "roads": []}')
    return folder


def convert(*arguments: Path | str | int) -> int:
    return main(["convert", *map(str, arguments)])


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def start_child(script: Path, *arguments: Path | str, kill_at: str = "") -> subprocess.Popen[str]:
    script.write_text(CHILD)
    command = [sys.executable, str(script), "convert", *map(str, arguments)]
    return subprocess.Popen(
        command, env={**os.environ, "KILL_AT": kill_at}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.usefixtures("small_units")
def test_number_of_workers_changes_no_byte(sources: Path, tmp_path: Path) -> None:
    for workers in (1, 2):
        assert convert(sources, tmp_path / str(workers), "--workers", workers) == 0
    store = SceneStore(tmp_path / "1")
    assert contents(store.path) == contents(tmp_path / "2")
    assert len(store.manifest.shards) > 3
    assert sorted(store.ids) == sorted(f"scene-{i}" for i in range(12))
    assert [str(entry) for entry in store.skipped] == [
        "3b.json has no objects; there is nothing to simulate",
        "9z.json: scene 'scene-4' came before, from 4.json; ids are unique in a store",
    ]


@pytest.mark.usefixtures("small_units")
@pytest.mark.parametrize("place", PLACES)
def test_killed_at_any_moment_and_run_again(sources: Path, tmp_path: Path, place: str) -> None:
    store = tmp_path / "store"
    killed = start_child(tmp_path / "child.py", sources, store, "--workers", "1", kill_at=place)
    assert killed.wait(60) == -signal.SIGKILL
    finished = {name: data for name, data in contents(store).items() if name.endswith(".arrow")}
    assert convert(sources, store, "--workers", 1) == 0
    assert convert(sources, tmp_path / "whole", "--workers", 1) == 0
    assert contents(store) == contents(tmp_path / "whole")
    assert len(finished) >= {"first file": 0, "third shard half written": 2}.get(place, 3)


@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
@pytest.mark.parametrize("victim", ["parent", "worker"])
def test_workers_and_parent_die_together(sources: Path, tmp_path: Path, victim: str) -> None:
    os.mkfifo(sources / "zzz.json")  # reading it waits for ever: one worker is busy in the end, one is idle
    store = tmp_path / "store"
    parent = start_child(tmp_path / "child.py", *sorted(sources.iterdir()), store, "--workers", "2")
    wait_for(lambda: len(list(store.glob("unfinished/part-*.json"))) >= 2)
    workers = [pid for pid in children(parent.pid) if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    os.kill(parent.pid if victim == "parent" else workers[0], signal.SIGKILL)
    _, error = parent.communicate(timeout=30)
    wait_for(lambda: not any(map(is_running, workers)))
    assert len(workers) == 2
    assert victim == "parent" or (parent.returncode == 2 and "fewer --workers" in error)


def test_max_scenes_takes_the_first_of_the_sorted_files(
    sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = ["scene-0", "scene-1", "scene-10", "scene-11", "scene-2"]
    for unit_bytes in (1, 3000, 1 << 20):
        monkeypatch.setattr(conversion, "_UNIT_BYTES", (unit_bytes, unit_bytes))
        for workers in (1, 2):
            folder = tmp_path / f"{unit_bytes}-{workers}"
            assert convert(sources, folder, "--max-scenes", 5, "--workers", workers) == 0
            assert list(SceneStore(folder).ids) == expected
            assert SceneStore(folder).skipped == ()
        assert contents(tmp_path / f"{unit_bytes}-1") == contents(tmp_path / f"{unit_bytes}-2")


def test_finished_store_is_left_alone(sources: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = tmp_path / "store"
    assert convert(sources, store, "--workers", 1) == 0
    before = contents(store)
    assert convert(sources, store, "--workers", 2) == 0
    assert "is complete: 12 scenes" in capsys.readouterr().out
    assert convert(sources, store, "--max-scenes", 3) == 2
    assert "choose another folder, or overwrite it (--overwrite)" in capsys.readouterr().err
    assert contents(store) == before
    assert convert(sources, store, "--max-scenes", 3, "--overwrite", "--workers", 1) == 0
    assert len(SceneStore(store)) == 3


def test_changed_source_is_noticed(sources: Path, tmp_path: Path) -> None:
    assert convert(sources, tmp_path / "store", "--workers", 1) == 0
    write_source(sources / "0.json", "scene-0", num_agents=3)
    assert convert(sources, tmp_path / "store", "--workers", 1) == 2


def test_folder_of_something_else_is_not_touched(
    sources: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(sources)
    for arguments in ([sources, sources], [sources, sources, "--overwrite"], [sources, sources / "0.json"]):
        assert convert(*arguments) == 2
        assert "name a" in capsys.readouterr().err
    assert contents(sources) == before


def test_full_disk_keeps_what_is_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(conversion, "_UNIT_BYTES", (1, 1))
    sources, store = tmp_path / "sources", tmp_path / "store"
    write_sources(sources, 2)
    write_source(sources / "2.json", "large", num_agents=100, num_steps=91)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(
        resource.RLIMIT_FSIZE, (25_000, hard)
    )  # the system then refuses larger files, as a full disk does
    try:
        status = convert(sources, store, "--workers", 1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert status == 2
    error = capsys.readouterr().err
    assert f"{store}/shard-00002.arrow: cannot be written: " in error
    assert "make room" in error
    left = {name for name in contents(store) if name.startswith("shard")}
    assert left == {"shard-00000.arrow", "shard-00001.arrow"}
    assert convert(sources, store, "--workers", 1) == 0
    assert SceneStore(store).ids == ("scene-0", "scene-1", "large")


def test_nothing_converted_is_status_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.json").write_text('{"objects": [], "roads": []}')
    assert convert(tmp_path / "bad.json", tmp_path / "store") == 1
    assert "bad.json has no objects" in capsys.readouterr().out
    assert len(SceneStore(tmp_path / "store")) == 0


def test_wrong_use_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([tmp_path], [tmp_path / "missing", tmp_path / "store"], [tmp_path, tmp_path, "--max-scenes", 0]):
        assert convert(*arguments) == 2
        assert capsys.readouterr().err.startswith("error: ")
    assert list(tmp_path.iterdir()) == []


def test_real_records_and_what_is_none(data_root: Path, tmp_path: Path) -> None:
    data = data_root / "data"
    assert convert(data / "womd", data / "womd_converted", data / "scenarionet", tmp_path / "store") == 0
    store = SceneStore(tmp_path / "store")
    assert len(store) == 28
    duplicates = [entry for entry in store.skipped if "came before" in entry.reason]
    assert len(duplicates) == 20
    assert [entry.where for entry in store.skipped if entry not in duplicates] == [
        "motion_data_one_example.tfrecord: record 0"
    ]


def test_info_says_the_same_of_a_store_and_its_sources(
    sources: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (sources / "9z.json").unlink()
    assert convert(sources, tmp_path / "store", "--workers", 1) == 0
    capsys.readouterr()
    said = []
    for path in (tmp_path / "store", sources):
        assert main(["info", str(path)]) == 0
        rows = (line.split("│") for line in capsys.readouterr().out.splitlines() if "│" in line)
        said.append({row[1].strip(): row[2].strip() for row in rows if row[1].strip()})
    both = said[0].keys() & said[1].keys() - {"bytes"}
    assert {name: said[0][name] for name in both} == {name: said[1][name] for name in both}
    assert (said[0]["scenes"], said[0]["steps"], said[0]["skipped"]) == ("12", "12 in 12", "1")
    assert said[0]["agents"] == "24: 24 vehicle"
    assert main(["info", str(tmp_path / "store"), "--scene", "scene-5", "--verify"]) == 0
    assert "scene scene-5" in capsys.readouterr().out
    assert main(["info", str(tmp_path / "store"), "--scene", "other"]) == 2
    assert "has no scene 'other'" in capsys.readouterr().err


def wait_for(condition: Callable[[], bool], seconds: float = 30) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_running(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False
