"""The Arrow layout of a shard: one scene is one record batch of one row, each column a list of numbers.

Everything is kept bit for bit. Two things make it small. Every buffer is compressed (LZ4), so that a state that holds
nothing, and a size that never changes, cost next to no bytes. And the road's coordinates are stored as differences of
successive bit patterns: neighbouring points share sign, exponent and the high bits of the mantissa, and along a
straight line the differences repeat.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from trafficgym.scene.scene import LINK_NAMES, Links, RoadMap, Scene, Signals, Tracks

FORMAT_VERSION = 2
"""Raised whenever the columns or their meaning change; a store of another version must be converted again."""

Columns = Mapping[str, NDArray[Any]]

_PER_TRACK = {"id": "int64", "type": "int8", "difficulty": "int8"}
_PER_TRACK |= dict.fromkeys(("is_sdc", "to_predict", "of_interest"), "uint8")
_PER_STATE = dict.fromkeys(("x", "y", "z", "yaw", "vx", "vy", "length", "width", "height"), "float32")
_PER_STATE |= {"valid": "uint8"}
_AXES = ("x", "y", "z")
_PER_FEATURE = {"offsets": "int32", "id": "int64", "type": "int8", "speed_limit": "float32", "interpolating": "uint8"}
_PER_LINK = ("offsets", "index", "span")  # int32
_LINKS = tuple(product(LINK_NAMES, _PER_LINK))
_SIGNALS = {"lane": "int32", "lane_id": "int64", "state": "int8", "stop": "float32", "valid": "uint8"}

_NUMBERS: dict[str, str] = {
    "origin": "float64",
    "timestamps": "float64",
    **{f"tracks.{name}": kind for name, kind in (_PER_TRACK | _PER_STATE).items()},
    "tracks.turns": "int8",
    **{f"road.{axis}": "uint32" for axis in _AXES},  # differences of bit patterns, see `_to_differences`
    **{f"road.{name}": kind for name, kind in _PER_FEATURE.items()},
    **{f"road.{name}.{part}": "int32" for name, part in _LINKS},
    **{f"signals.{name}": kind for name, kind in _SIGNALS.items()},
}
_TEXTS = ("id", "source")

SCHEMA = pa.schema(
    [
        *(pa.field(name, pa.utf8()) for name in _TEXTS),
        pa.field("current_step", pa.int32()),
        *(pa.field(name, pa.list_(pa.type_for_alias(kind))) for name, kind in _NUMBERS.items()),
    ],
    metadata={"trafficgym.format_version": str(FORMAT_VERSION)},
)
_FIRST_NUMBER = len(_TEXTS) + 1

WRITE_OPTIONS = pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)
READ_OPTIONS = pa.ipc.IpcReadOptions(use_threads=False)  # buffers are small: handing them to threads takes longer


def to_batch(scene: Scene) -> pa.RecordBatch:
    """Lay `scene` out as a record batch of one row with `SCHEMA`."""
    numbers = {
        "origin": scene.origin,
        "timestamps": scene.timestamps,
        **{f"tracks.{name}": getattr(scene.tracks, name) for name in _PER_TRACK | _PER_STATE},
        "tracks.turns": scene.tracks.turns,
        **{f"road.{axis}": _to_differences(scene.road.xyz[:, i]) for i, axis in enumerate(_AXES)},
        **{f"road.{name}": getattr(scene.road, name) for name in _PER_FEATURE},
        **{f"road.{name}.{part}": getattr(getattr(scene.road, name), part) for name, part in _LINKS},
        **{f"signals.{name}": getattr(scene.signals, name) for name in _SIGNALS},
    }
    arrays = [
        *(pa.array([getattr(scene, name)], pa.utf8()) for name in _TEXTS),
        pa.array([scene.current_step], pa.int32()),
        *(_list_of_one(numbers[name], pa.type_for_alias(kind)) for name, kind in _NUMBERS.items()),
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)


def from_batch(batch: pa.RecordBatch) -> Scene:
    """Return the scene of a record batch; its arrays are its own, writable, and independent of the file.

    Raises:
        ValueError: the columns do not fit together (`pyarrow.ArrowInvalid`), or make no valid scene (`SceneError`).
    """
    batch.validate(full=True)
    columns = {name: _numbers_of_one(batch.column(i)) for i, name in enumerate(_NUMBERS, _FIRST_NUMBER)}
    id, source, current_step = (batch.column(i)[0].as_py() for i in range(_FIRST_NUMBER))
    num_steps = len(columns["timestamps"])
    return Scene(
        id=id,
        source=source,
        origin=columns["origin"],
        timestamps=columns["timestamps"],
        current_step=current_step,
        tracks=_tracks(columns, num_steps, batch),
        road=_road(columns, batch),
        signals=_signals(columns, num_steps),
    )


def _list_of_one(values: NDArray[Any] | None, kind: pa.DataType) -> pa.ListArray | None:
    if values is None:
        return pa.nulls(1, pa.list_(kind))
    flat = np.ascontiguousarray(values).reshape(-1)
    numbers = pa.array(flat.view(np.uint8) if flat.dtype == bool else flat)
    return pa.ListArray.from_arrays(pa.array([0, len(numbers)], pa.int32()), numbers)


def _numbers_of_one(column: pa.ListArray) -> NDArray[Any]:
    values = column.values.to_numpy()
    return values if values.dtype.kind == "u" else values.copy()  # unsigned ones are flags or differences, to decode


def _tracks(columns: Columns, num_steps: int, batch: pa.RecordBatch) -> Tracks:
    shape = (len(columns["tracks.id"]), num_steps)
    fields = {name: columns[f"tracks.{name}"] for name in _PER_TRACK}
    fields |= {name: columns[f"tracks.{name}"].reshape(shape) for name in _PER_STATE}
    has_turns = batch.column("tracks.turns").null_count == 0
    return Tracks(
        turns=columns["tracks.turns"].reshape(shape) if has_turns else None,
        **{name: values.astype(bool) if values.dtype == np.uint8 else values for name, values in fields.items()},
    )


def _road(columns: Columns, batch: pa.RecordBatch) -> RoadMap:
    def links(name: str) -> Links:
        has_span = batch.column(f"road.{name}.span").null_count == 0
        offsets, index, span = (columns[f"road.{name}.{part}"] for part in _PER_LINK)
        return Links(offsets=offsets, index=index, span=span.reshape(-1, 4) if has_span else None)

    fields: dict[str, Any] = {name: columns[f"road.{name}"] for name in _PER_FEATURE}
    fields |= {name: links(name) for name in LINK_NAMES}
    fields["interpolating"] = fields["interpolating"].astype(bool)
    xyz = np.empty((len(columns["road.x"]), 3), np.float32)
    for i, axis in enumerate(_AXES):
        xyz[:, i] = _from_differences(columns[f"road.{axis}"])
    return RoadMap(xyz=xyz, **fields)


def _signals(columns: Columns, num_steps: int) -> Signals:
    lane, lane_id, state, stop, valid = (columns[f"signals.{name}"] for name in _SIGNALS)
    shape = (len(lane), num_steps)
    return Signals(
        lane=lane,
        lane_id=lane_id,
        state=state.reshape(shape),
        stop=stop.reshape(*shape, 3),
        valid=valid.astype(bool).reshape(shape),
    )


def _to_differences(values: NDArray[np.float32]) -> NDArray[np.uint32]:
    """Differences of successive bit patterns, modulo 2**32, the first one from 0; exact, unlike those of floats."""
    bits = np.ascontiguousarray(values).view(np.uint32)
    return bits - np.concatenate([np.zeros(1, np.uint32), bits[:-1]])


def _from_differences(differences: NDArray[np.uint32]) -> NDArray[np.float32]:
    return np.cumsum(differences, dtype=np.uint32).view(np.float32)
