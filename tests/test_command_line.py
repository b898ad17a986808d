"""The `trafficgym` command itself: what it lists, what it refuses, and with which status."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from types import SimpleNamespace

import pytest

from trafficgym.cli import doctor
from trafficgym.cli.main import COMMANDS, main
from trafficgym.errors import SceneError


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "trafficgym", *arguments], capture_output=True, text=True, check=False)


def test_help_lists_every_command_without_loading_them() -> None:
    code = (
        "import sys; from trafficgym.cli.main import main; main(['--help']); "
        "heavy = {'numba', 'pygame', 'pyarrow', 'shapely', 'tyro'} & set(sys.modules); print('loaded:', sorted(heavy))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert all(f"  {name} " in said for name in COMMANDS)
    assert said.endswith("loaded: []\n")


def test_misspelt_command_names_the_nearest() -> None:
    done = run("evaluat")
    assert done.returncode == 2
    assert done.stderr == "error: there is no command 'evaluat'; did you mean 'evaluate'?\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leaving:
        main([name, "--help"])
    assert leaving.value.code == 0
    assert f"trafficgym {name}" in capsys.readouterr().out


@pytest.mark.parametrize(("raised", "status"), [(SceneError("x: bad"), 2), (KeyboardInterrupt(), 130)])
def test_what_goes_wrong_becomes_a_status(
    raised: BaseException, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(argv: Sequence[str]) -> int:
        raise raised

    monkeypatch.setattr("importlib.import_module", lambda name: SimpleNamespace(main=fail))
    assert main(["info", "x"]) == status
    assert capsys.readouterr().err == ("error: x: bad\n" if status == 2 else "")


def test_a_reader_that_goes_away_is_no_error() -> None:
    command = f"{sys.executable} -m trafficgym doctor | head -1"
    done = subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("ok    python")


def test_doctor_fails_with_the_remedy_for_a_missing_folder(capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor.main(["--data", "/nowhere"]) == 1
    said = capsys.readouterr().out
    assert "fail  test data         no /nowhere/data" in said
    assert "fix: export TRAFFICGYM_TEST_DATA=" in said


def test_doctor_names_the_command_for_a_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "CORE", ("numpy", "no-such-package"))
    found = {finding.what: finding for finding in doctor.check_core()}
    assert found["numpy"].level == "ok"
    assert found["no-such-package"].level == "fail"
    assert "pip install" in found["no-such-package"].fix
