"""Source files for tests, written from hand-made scenes in GPUDrive's JSON."""

from __future__ import annotations

import json
from pathlib import Path

from tests.scene.make_scene import make_scene


def write_source(path: Path, id: str, *, num_agents: int = 2, num_steps: int = 12) -> Path:
    """Write one scene as GPUDrive JSON; its road and signal are left out."""
    tracks = make_scene(num_agents=num_agents, num_steps=num_steps).tracks
    objects = [
        {
            "id": int(tracks.id[i]),
            "type": "vehicle",
            "position": [
                {"x": float(x), "y": float(y), "z": 0.0} for x, y in zip(tracks.x[i], tracks.y[i], strict=True)
            ],
            "velocity": [{"x": float(vx), "y": 0.0} for vx in tracks.vx[i]],
            "heading": [0.0] * num_steps,
            "valid": [True] * num_steps,
            "length": 4.5,
            "width": 2.0,
            "height": 1.5,
        }
        for i in range(num_agents)
    ]
    path.write_text(json.dumps({"scenario_id": id, "objects": objects, "roads": [], "tl_states": {}, "metadata": {}}))
    return path


def write_sources(folder: Path, number: int) -> Path:
    """Write files ``0.json``, ``1.json``, ... with scenes ``scene-0``, ``scene-1``, ..."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(number):
        write_source(folder / f"{i}.json", f"scene-{i}", num_agents=1 + i % 3)
    return folder
