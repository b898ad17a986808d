"""From files of rollouts to the archive that is uploaded, scene after scene, with memory that does not grow."""

from __future__ import annotations

import gzip
import re
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO, Self, cast

import numpy as np

from trafficgym.errors import ConfigError, StoreError, check_whole, names_nearest
from trafficgym.metrics.wosac.submission import messages
from trafficgym.metrics.wosac.submission.messages import NUM_ROLLOUTS
from trafficgym.metrics.wosac.submission.metadata import Metadata
from trafficgym.metrics.wosac.submission.problems import Problem, Problems, SubmissionError, some
from trafficgym.metrics.wosac.submission.shards import NUM_SHARDS
from trafficgym.metrics.wosac.submission.simulated import CURRENT_STEP
from trafficgym.metrics.wosac.submission.trajectories import submitted_trajectories
from trafficgym.scene.atomic import AtomicFile
from trafficgym.scene.scene import Scene
from trafficgym.scene.store import SceneStore
from trafficgym.world.rollout_file import RolloutFile

_ENDING = ".tar.gz"
_NAME = re.compile(r"\w[\w.-]*")
_COMPRESSION = 1  # noise of float32: more effort makes it hardly smaller
_SCENARIO_ROLLOUTS_TAG = bytes([1 << 3 | 2])
_MOST_BYTES = 2**31 - 1  # of a shard, protobuf's limit
_IDS = np.iinfo(np.int32)


@names_nearest
@dataclass(frozen=True, kw_only=True)
class PackConfig:
    """How a submission is packed."""

    policy: str | None = None
    """Whose rollouts; may be left out where the files hold one policy."""
    num_shards: int = NUM_SHARDS
    name: str = "submission"
    """Shards are called ``NAME.binproto-00000-of-00150``."""

    def __post_init__(self) -> None:
        check_whole(self, num_shards=1)
        if self.num_shards > 99999:
            raise ConfigError(f"num_shards is {self.num_shards}; a shard's number has five digits")
        if not _NAME.fullmatch(self.name):
            raise ConfigError(f"name is {self.name!r}; take letters, digits, '.', '_' and '-'")


class RefusedError(SubmissionError):
    """What was to be packed would be refused; `problems` holds every reason."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(f"nothing is packed, since it would be refused: {some(self.problems)}")


@dataclass(frozen=True, kw_only=True)
class Packed:
    """What was packed."""

    path: Path
    num_scenarios: int
    num_shards: int
    num_bytes: int
    warnings: tuple[Problem, ...]


def pack(
    files: Sequence[RolloutFile],
    scenes: Sequence[Scene],
    metadata: Metadata,
    out: Path | str,
    config: PackConfig | None = None,
    *,
    on_scenario: Callable[[int, int], None] = lambda done, num: None,
) -> Packed:
    """Pack rollouts of all `scenes` into one flat ``.tar.gz`` that the server takes.

    The scenarios, sorted by id, are dealt to the shards in turn. The same input gives the same bytes. Memory holds one
    scenario; a shard at a time is gathered in an unnamed file beside `out`.

    Args:
        files: Rollouts, 32 of each scene, each scene in one of the files.
        scenes: All scenes of the split.
        metadata: Who submits what; complete.
        out: Appears when it is complete; replaces what was there.
        on_scenario: Called with the number of scenarios packed and of all.

    Raises:
        RefusedError: the server would refuse it, or it breaks the challenge's rules; nothing is written.
        StoreError: the disk is full or refuses; nothing is left.
        ConfigError: `out` does not end with ``.tar.gz``, or no policy is named where the files hold several.
        RolloutFileError: a file has no policy of that name, or is damaged.
    """
    out, config = Path(out), config or PackConfig()
    if not out.name.endswith(_ENDING):
        raise ConfigError(f"{out}: the server takes a file whose name ends with {_ENDING}")
    sources = _Sources(files, scenes, config.policy)
    problems = Problems()
    metadata.check(problems)
    sources.check(problems)
    if problems.errors:
        raise RefusedError(problems.errors)
    with _ArchiveWriter(out) as archive:
        done = 0
        for shard in range(config.num_shards):
            with archive.shard(f"{config.name}.binproto-{shard:05d}-of-{config.num_shards:05d}") as file:
                for id in sources.ids[shard :: config.num_shards]:
                    message = sources.message(id)
                    file.write(_SCENARIO_ROLLOUTS_TAG + messages.varint(len(message)) + message)
                    done += 1
                    on_scenario(done, len(sources.ids))
                file.write(metadata.to_bytes())
                _check_size(file.tell(), config.num_shards)
    return Packed(
        path=out,
        num_scenarios=done,
        num_shards=config.num_shards,
        num_bytes=out.stat().st_size,
        warnings=tuple(problems.warnings),
    )


class _Sources:
    """Where the rollouts of each scene are."""

    def __init__(self, files: Sequence[RolloutFile], scenes: Sequence[Scene], policy: str | None) -> None:
        policies = {name for file in files for name in file.policies}
        if policy is None and len(policies) > 1:
            raise ConfigError(f"the files hold rollouts by {some(sorted(policies))}; say which policy is meant")
        self._policy = policy
        self._files: dict[str, list[RolloutFile]] = {}
        for file in files:
            for id in file.scene_ids:
                if file.num_rollouts(id, policy):
                    self._files.setdefault(id, []).append(file)
        self._scenes = scenes
        known = scenes.ids if isinstance(scenes, SceneStore) else [scene.id for scene in scenes]
        self._number = {id: number for number, id in enumerate(known)}
        self.ids = sorted(self._number)

    def check(self, problems: Problems) -> None:
        """Add what can be seen without reading the rollouts."""
        if not self.ids:
            problems.error("empty", "there are no scenes")
        for id in self.ids:
            found = self._files.get(id, [])
            if len(found) > 1:
                places = some(file.path for file in found)
                problems.error("repeated_scenario", f"is in more than one file: {places}", scenario_id=id)
            elif not found:
                problems.error("missing_scenario", "has no rollouts", scenario_id=id)
            elif (num := found[0].num_rollouts(id, self._policy)) != NUM_ROLLOUTS:
                text = f"has {num} rollouts; it must have exactly {NUM_ROLLOUTS}"
                problems.error("num_rollouts", text, scenario_id=id)
        for id in sorted(self._files.keys() - self._number.keys()):
            problems.error("unknown_scenario", "has rollouts but is none of the scenes", scenario_id=id)

    def message(self, id: str) -> bytes:
        """The serialized ScenarioRollouts of one scene.

        Raises:
            RefusedError: its rollouts would be refused.
        """
        scene = self._scenes[id] if isinstance(self._scenes, SceneStore) else self._scenes[self._number[id]]
        rollouts = self._files[id][0].read(id, self._policy)
        try:
            ids, trajectories = submitted_trajectories(rollouts, scene)
        except SubmissionError as error:
            raise RefusedError([Problem(reason="rollouts", text=str(error), scenario_id=id)]) from error
        if ids[0] < _IDS.min or ids[-1] > _IDS.max:
            text = f"object ids go from {ids[0]} to {ids[-1]}, and a submission has 32 bits for them"
            raise RefusedError([Problem(reason="object_id", text=text, scenario_id=id)])
        driven = np.isin(ids, rollouts.object_id[rollouts.is_simulated.all(0)])
        if not driven.all():
            text = (
                f"{(~driven).sum()} of {len(ids)} objects (valid at step {CURRENT_STEP}) followed their logs and "
                f"were not simulated: {some(ids[~driven])}; record again with --control all"
            )
            raise RefusedError([Problem(reason="not_simulated", text=text, scenario_id=id)])
        return messages.encode(id, ids, trajectories)


class _ArchiveWriter:
    """A flat ``.tar.gz`` whose bytes depend on nothing but its members; there whole or not at all."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._explained():
            path.parent.mkdir(parents=True, exist_ok=True)
        self._file = AtomicFile(path)
        try:  # both write a header
            self._gzip = gzip.GzipFile("", "wb", _COMPRESSION, cast(BinaryIO, self._file), mtime=0)
            self._tar = tarfile.open(fileobj=self._gzip, mode="w|", format=tarfile.USTAR_FORMAT)  # noqa: SIM115
        except BaseException:
            self._file.discard()
            raise

    @contextmanager
    def shard(self, name: str) -> Iterator[IO[bytes]]:
        """A file for the content of one member; it joins the archive when the block is left."""
        with self._explained(), tempfile.TemporaryFile(dir=self.path.parent) as content:
            yield content
            member = tarfile.TarInfo(name)  # without time or owner
            member.size = content.tell()
            content.seek(0)
            self._tar.addfile(member, content)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._close()
                self._file.commit()
            else:
                with suppress(OSError, StoreError):  # what they still hold goes into a file that is thrown away
                    self._close()
        finally:
            self._file.discard()

    def _close(self) -> None:
        self._tar.close()
        self._gzip.close()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StoreError(
                f"{self.path}: cannot be written: {error.strerror or error}; make room, or choose another folder"
            ) from error


def _check_size(num_bytes: int, num_shards: int) -> None:
    if num_bytes > _MOST_BYTES:
        raise SubmissionError(f"a shard has {num_bytes:,} bytes and protobuf allows 2 GiB; take more than {num_shards}")
