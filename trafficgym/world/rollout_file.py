"""Recorded rollouts on disk: one Arrow IPC file, written as a stream, read by scene and policy.

One row is one joint scene: one rollout of one scene by one policy. Rows that were written together are one record
batch. Values per object and step are lists of A * T numbers, object after object. Column k of an object is the state
at step ``start_step + k`` of the scene. docs/submission.md has the columns as a table.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Self

import pyarrow as pa

from trafficgym.errors import nearest_key
from trafficgym.scene.atomic import AtomicFile
from trafficgym.world.recorded_rollouts import RecordedRollouts, RolloutFileError
from trafficgym.world.rollout import Rollout
from trafficgym.world.rollout_layout import (
    FORMAT,
    FORMAT_VERSION,
    READ_OPTIONS,
    SCHEMA,
    WRITE_OPTIONS,
    from_batch,
    join,
    to_batch,
)

_MAGIC = b"ARROW1"  # an Arrow file begins and ends with it
_KEY = ("scene_id", "policy", "rollout")


class RolloutWriter:
    """Writes rollouts into one file, which appears at `path` when the `with` block is left without an error.

    Every call of `add` goes to disk at once: memory does not grow with the number of scenes.

    Example:
        with RolloutWriter("rollouts.arrow") as writer:
            for scene in scenes:
                writer.add([roll_out(scene, "idm", seed=seed) for seed in range(32)])

    Raises:
        RolloutFileError: a rollout comes twice.
        StoreError: the folder cannot be written, or the disk is full; nothing is left of the file.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._numbers: dict[tuple[str, str], set[int]] = {}
        self._file = _ArrowFile(self.path)
        self._arrow = pa.ipc.new_file(self._file, SCHEMA, options=WRITE_OPTIONS)

    def add(self, rollouts: Sequence[Rollout] | RecordedRollouts) -> None:
        """Write rollouts of one scene by one policy, together.

        Args:
            rollouts: From `roll_out`, which get the next free numbers; or arrays of your own.
        """
        if not isinstance(rollouts, RecordedRollouts):
            key = (rollouts[0].scene.id, rollouts[0].policy) if rollouts else ("", "")
            first = max(self._numbers.get(key, ()), default=-1) + 1
            rollouts = RecordedRollouts.of(rollouts, first_number=first)
        known = self._numbers.setdefault((rollouts.scene_id, rollouts.policy), set())
        numbers = set(rollouts.rollout.tolist())
        if known & numbers:
            raise RolloutFileError(
                f"{self.path}: rollout {min(known & numbers)} of scene {rollouts.scene_id!r} by {rollouts.policy!r} "
                "comes twice; give each its own number"
            )
        known |= numbers
        self._arrow.write_batch(to_batch(rollouts))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._arrow.close()
                self._file.commit()
        finally:
            self._file.discard()


class RolloutFile:
    """Reads a file that a `RolloutWriter` made: any scene's rollouts by any policy, memory-mapped.

    Opening reads the ids and numbers alone. A file can be pickled, and then opens itself again in the other process.

    Raises:
        RolloutFileError: there is no such file, it is none of rollouts, of another version, cut off or damaged.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        _check_ends(self.path)
        try:
            self._source = pa.memory_map(str(self.path))
            self._reader = pa.ipc.open_file(self._source, options=READ_OPTIONS)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise RolloutFileError(f"{self.path}: is damaged: {error}; record it again") from error
        _check_schema(self.path, self._reader.schema)
        self._batches = self._index()

    @cached_property
    def scene_ids(self) -> tuple[str, ...]:
        """Every scene once, in the order of the file."""
        return tuple(dict.fromkeys(scene for scene, _ in self._batches))

    @cached_property
    def policies(self) -> tuple[str, ...]:
        """Every policy once, in the order of the file."""
        return tuple(dict.fromkeys(policy for _, policy in self._batches))

    def num_rollouts(self, scene_id: str, policy: str | None = None) -> int:
        """How many rollouts of a scene there are; 0 where there is none."""
        policy = self._policy(policy)
        return sum(count for _, count in self._batches.get((scene_id, policy), ()))

    def read(self, scene_id: str, policy: str | None = None) -> RecordedRollouts:
        """All rollouts of one scene by one policy, by ascending number; arrays are their own.

        Args:
            policy: May be left out where the file holds one policy.

        Raises:
            RolloutFileError: the scene or policy is not there, or its rollouts are damaged or do not fit together.
        """
        policy = self._policy(policy)
        if (scene_id, policy) not in self._batches:
            nearest = _nearest(scene_id, [scene for scene, by in self._batches if by == policy])
            raise RolloutFileError(f"{self.path}: has no rollouts of scene {scene_id!r} by {policy!r}; {nearest}")
        try:
            parts = [from_batch(self._reader.get_batch(number)) for number, _ in self._batches[scene_id, policy]]
            return join(parts)
        except (pa.ArrowException, ValueError, OSError, LookupError) as error:
            raise RolloutFileError(f"{self.path}: scene {scene_id!r} by {policy!r}: {error}") from error

    def __contains__(self, scene_id: object) -> bool:
        return scene_id in self._known

    def __len__(self) -> int:
        """Number of scenes."""
        return len(self.scene_ids)

    def __repr__(self) -> str:
        return f"RolloutFile({str(self.path)!r}, {len(self)} scenes, policies: {', '.join(self.policies)})"

    def __reduce__(self) -> tuple[type[RolloutFile], tuple[Path]]:
        return RolloutFile, (self.path,)

    @cached_property
    def _known(self) -> frozenset[str]:
        return frozenset(self.scene_ids)

    def _policy(self, policy: str | None) -> str:
        if policy is None and len(self.policies) > 1:
            raise RolloutFileError(
                f"{self.path}: holds rollouts by {', '.join(self.policies)}; say which policy is meant"
            )
        if policy is not None and policy not in self.policies:
            raise RolloutFileError(f"{self.path}: has no policy {policy!r}; {nearest_key(policy, self.policies)}")
        return policy if policy is not None else next(iter(self.policies), "")

    def _index(self) -> dict[tuple[str, str], list[tuple[int, int]]]:
        """Batch numbers and their rows of each scene and policy."""
        columns = [SCHEMA.get_field_index(name) for name in _KEY]
        options = pa.ipc.IpcReadOptions(use_threads=False, included_fields=columns)
        index: dict[tuple[str, str], list[tuple[int, int]]] = {}
        try:
            reader = pa.ipc.open_file(self._source, options=options)
            for number in range(reader.num_record_batches):
                batch = reader.get_batch(number)
                scene, policy = (batch.column(name)[0].as_py() for name in _KEY[:2])
                index.setdefault((scene, policy), []).append((number, batch.num_rows))
        except (pa.ArrowException, OSError, LookupError, ValueError) as error:
            raise RolloutFileError(f"{self.path}: is damaged: {error}; record it again") from error
        return index


class _ArrowFile(AtomicFile):
    """What Arrow needs of a Python file to write to."""

    closed = False

    def flush(self) -> None:
        """Arrow asks for it when it closes; `commit` does it."""


def _check_ends(path: Path) -> None:
    try:
        with open(path, "rb") as file:
            head = file.read(len(_MAGIC))
            file.seek(max(-len(_MAGIC), -path.stat().st_size), 2)
            tail = file.read()
    except OSError as error:
        raise RolloutFileError(f"{path}: cannot be read: {error.strerror}") from error
    if head != _MAGIC:
        raise RolloutFileError(
            f"{path}: is not a file of rollouts; `trafficgym evaluate --save-rollouts` and `RolloutWriter` make them"
        )
    if tail != _MAGIC:
        raise RolloutFileError(f"{path}: is cut off; copy it again, or record it again")


def _check_schema(path: Path, schema: pa.Schema) -> None:
    metadata = schema.metadata or {}
    if metadata.get(b"trafficgym.format", b"").decode() != FORMAT:
        raise RolloutFileError(
            f"{path}: is an Arrow file, but not one of rollouts; `trafficgym evaluate --save-rollouts` and "
            "`RolloutWriter` make them"
        )
    version = metadata.get(b"trafficgym.format_version", b"").decode()
    if version != str(FORMAT_VERSION):
        raise RolloutFileError(
            f"{path}: has version {version!r} of the format, and this trafficgym reads {FORMAT_VERSION}; record again"
        )
    if not schema.equals(SCHEMA):
        raise RolloutFileError(f"{path}: its columns are not those of rollouts; record it again")


def _nearest(key: str, known: Sequence[str]) -> str:
    if not known:
        return "it has none at all"
    close = difflib.get_close_matches(key, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"it has {len(known)} scenes, such as {known[0]!r}"


__all__ = ["RecordedRollouts", "RolloutFile", "RolloutFileError", "RolloutWriter"]
