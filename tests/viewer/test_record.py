from __future__ import annotations

import sys

import numpy as np
import pygame
import pytest

from tests.scene.make_scene import make_scene
from trafficgym.errors import ConfigError
from trafficgym.viewer import Painter, fit, frame_of_log, record

SCENE = make_scene()


def pictures(num: int, size: tuple[int, int] = (120, 91)) -> list[np.ndarray]:
    painter = Painter(size)
    return [painter.paint(SCENE, frame_of_log(SCENE, 10 * k), fit(SCENE, size)) for k in range(num)]


def test_png_is_exact(tmp_path):
    (picture,) = pictures(1)
    (path,) = record([picture], tmp_path / "new folder" / "a.png")
    assert path == tmp_path / "new folder" / "a.png"
    loaded = pygame.surfarray.array3d(pygame.image.load(path)).swapaxes(0, 1)
    np.testing.assert_array_equal(loaded, picture)


def test_several_pngs_are_numbered(tmp_path):
    paths = record(iter(pictures(3)), tmp_path / "a.png")
    assert [p.name for p in paths] == ["a_00000.png", "a_00001.png", "a_00002.png"]
    assert sorted(tmp_path.iterdir()) == paths


def test_gif_keeps_number_rate_and_colours(tmp_path):
    image_module = pytest.importorskip("PIL.Image", reason="Pillow comes with trafficgym[baselines]")
    frames = pictures(4)
    frames[2][:40, :40] = (255, 0, 255)  # a colour that the first picture's 256 do not have
    record(frames, tmp_path / "a.gif", fps=10)
    image = image_module.open(tmp_path / "a.gif")
    assert (image.n_frames, image.info["duration"], image.info["loop"]) == (4, 100, 0)
    for k, frame in enumerate(frames):
        image.seek(k)
        error = np.abs(np.asarray(image.convert("RGB")).astype(int) - frame)
        assert np.mean(error) < 3
        assert np.percentile(error, 99) < 40


def test_mp4_keeps_number_and_content_of_odd_sizes(tmp_path):
    pytest.importorskip("imageio_ffmpeg", reason="comes with trafficgym[baselines]")
    imageio = pytest.importorskip("imageio.v2")
    frames = pictures(5, (121, 91))
    record(frames, tmp_path / "a.mp4", fps=10)
    shown = [np.asarray(frame) for frame in imageio.get_reader(tmp_path / "a.mp4")]
    assert len(shown) == 5
    assert shown[0].shape == (92, 122, 3)
    assert np.abs(shown[4][:91, :121].astype(int) - frames[4]).mean() < 8


def test_a_film_that_breaks_off_leaves_what_was_there(tmp_path):
    (tmp_path / "a.gif").write_bytes(b"older film")

    def breaking():
        yield from pictures(2)
        raise RuntimeError("the simulation died")

    with pytest.raises(RuntimeError, match="died"):
        record(breaking(), tmp_path / "a.gif")
    assert [p.name for p in tmp_path.iterdir()] == ["a.gif"]
    assert (tmp_path / "a.gif").read_bytes() == b"older film"


@pytest.mark.parametrize(
    ("name", "frames", "fps", "message"),
    [
        ("a.avi", pictures(1), 10, r"'\.avi'; .*\.gif"),
        ("a", pictures(1), 10, "without suffix"),
        ("a.png", [], 10, "no picture"),
        ("a.png", pictures(1), 0, "fps is 0"),
        ("a.gif", [*pictures(1), *pictures(1, (60, 60))], 10, "keep one size"),
        ("a.png", [np.zeros((4, 4), np.uint8)], 10, r"must be uint8 \(H, W, 3\)"),
    ],
)
def test_what_cannot_be_recorded_says_why(tmp_path, name, frames, fps, message):
    with pytest.raises(ConfigError, match=message):
        record(frames, tmp_path / name, fps)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("suffix", "module"), [(".gif", "PIL.Image"), (".mp4", "imageio.v2")])
def test_a_missing_extra_is_named(tmp_path, monkeypatch, suffix, module):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigError, match=r"pip install -e \"\.\[baselines\]\", or record to \.png"):
        record(pictures(1), tmp_path / f"a{suffix}")
