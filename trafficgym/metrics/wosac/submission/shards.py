"""The shards of a submission: an archive, a folder or one file, read from front to back, a scenario at a time."""

from __future__ import annotations

import gzip
import re
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Literal

from trafficgym.metrics.wosac.submission import messages
from trafficgym.metrics.wosac.submission.messages import ScenarioRollouts
from trafficgym.metrics.wosac.submission.metadata import Metadata
from trafficgym.metrics.wosac.submission.problems import Problems, SubmissionError

SHARD_NAME = re.compile(r".*\.binproto(-(\d{5})-of-(\d{5}))?")
NUM_SHARDS = 150
_SCENARIO_ROLLOUTS = 1  # field number
_ARCHIVE_ENDINGS = (".tar.gz", ".tgz")
_GZIP_MAGIC, _ZIP_MAGIC, _TAR_MAGIC = b"\x1f\x8b", b"PK\x03\x04", b"ustar"
_TAR_MAGIC_AT = 257

Kind = Literal["archive", "folder", "file"]
_CANNOT_DECOMPRESS = (EOFError, zlib.error, gzip.BadGzipFile)


@dataclass
class Shard:
    """One serialized SimAgentsChallengeSubmission; its metadata is whole after its scenarios are read."""

    name: str
    stream: BinaryIO
    _metadata: bytearray = field(default_factory=bytearray)

    def scenarios(self) -> Iterator[ScenarioRollouts | SubmissionError]:
        """Every scenario, or why that one cannot be read.

        Raises:
            SubmissionError: the shard is cut off or is something else.
        """
        for number, payload, head in self._fields():
            if number != _SCENARIO_ROLLOUTS:
                self._metadata += head + payload
                continue
            try:
                yield messages.decode(payload)
            except SubmissionError as error:
                yield error

    def _fields(self) -> Iterator[tuple[int, bytes, bytes]]:
        try:
            yield from messages.fields(self.stream)
        except (*_CANNOT_DECOMPRESS, tarfile.TarError) as error:
            raise SubmissionError(f"is damaged or cut off: {error}") from error

    def metadata(self) -> Metadata:
        """The metadata as far as they were read.

        Raises:
            SubmissionError: they are damaged.
        """
        return Metadata.from_bytes(bytes(self._metadata))


def kind_of(path: Path) -> Kind:
    """What kind of submission lies at `path`, by its content.

    Raises:
        SubmissionError: nothing is there, or it cannot be read.
    """
    if path.is_dir():
        return "folder"
    head = _head(path)
    is_archive = head.startswith((_GZIP_MAGIC, _ZIP_MAGIC)) or head[_TAR_MAGIC_AT:].startswith(_TAR_MAGIC)
    return "archive" if is_archive or path.name.endswith(_ARCHIVE_ENDINGS) else "file"


def read_shards(path: Path, problems: Problems) -> Iterator[Shard]:
    """Every shard in its order, to be read before the next one is asked for; what is wrong goes to `problems`.

    Raises:
        SubmissionError: nothing is there.
    """
    kind = kind_of(path)
    if kind == "folder":
        yield from _in_folder(path, problems)
    elif kind == "archive":
        yield from _in_archive(path, problems)
    else:
        _check_name(path.name, problems)
        with open(path, "rb") as stream:
            yield Shard(path.name, stream)


def read(path: Path | str) -> Iterator[ScenarioRollouts]:
    """The scenarios of a submission one by one: a ``.tar.gz``, a folder of shards, or one shard.

    Raises:
        SubmissionError: something cannot be read. Nothing else is checked; see `validate`.
    """
    problems = Problems()
    for shard in read_shards(Path(path), problems):
        try:
            for scenario in shard.scenarios():
                if isinstance(scenario, SubmissionError):
                    raise scenario
                yield scenario
        except SubmissionError as error:
            raise SubmissionError(f"{path}: {shard.name} {error}") from error
    unreadable = [one for one in problems.errors if one.reason in ("archive", "damaged")]
    if unreadable:
        raise SubmissionError(f"{path}: {unreadable[0]}")


def _in_folder(folder: Path, problems: Problems) -> Iterator[Shard]:
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            problems.error("folder", f"holds the folder {path.name!r}; shards lie side by side")
        elif _check_name(path.name, problems):
            with open(path, "rb") as stream:
                yield Shard(path.name, stream)


def _in_archive(path: Path, problems: Problems) -> Iterator[Shard]:
    head = _head(path)
    if not path.name.endswith(_ARCHIVE_ENDINGS[0]):
        problems.warning("archive", f"its name does not end with {_ARCHIVE_ENDINGS[0]}")
    is_gzip = head.startswith(_GZIP_MAGIC)
    if not is_gzip:
        found = "a zip file" if head.startswith(_ZIP_MAGIC) else "not compressed with gzip"
        problems.error("archive", f"is {found}; the server takes a gzip-compressed tar: tar -czf {path.name} SHARDS")
        if not head[_TAR_MAGIC_AT:].startswith(_TAR_MAGIC):
            return
    try:
        with gzip.open(path) if is_gzip else open(path, "rb") as stream, tarfile.open(fileobj=stream, mode="r|") as tar:
            yield from _members(tar, problems)
    except tarfile.TarError as error:
        problems.error("archive", f"is no tar archive, or is cut off: {error}")
    except _CANNOT_DECOMPRESS as error:
        problems.error("archive", f"is damaged or cut off: {error}")


def _members(tar: tarfile.TarFile, problems: Problems) -> Iterator[Shard]:
    for member in tar:
        place = PurePosixPath(member.name)
        if place == PurePosixPath("."):
            continue  # what `tar -C FOLDER .` puts first
        if member.isdir():
            problems.error("folder", f"holds the folder {member.name!r}; all shards must lie at the top level")
            continue
        if len(place.parts) != 1:
            problems.error("folder", "lies in a folder; all shards must lie at the top level", shard=member.name)
        stream = tar.extractfile(member) if member.isfile() else None
        if stream is None:
            problems.error("shard_name", "is no plain file", shard=member.name)
        elif _check_name(place.name, problems):
            yield Shard(place.name, stream)  # type: ignore[arg-type]  # an IO[bytes]


def _check_name(name: str, problems: Problems) -> bool:
    """Whether the name is one of a shard."""
    if SHARD_NAME.fullmatch(name):
        return True
    problems.error(
        "shard_name", "is no name of a shard; such are submission.binproto-00000-of-00150, or any.binproto", shard=name
    )
    return False


def _head(path: Path) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(_TAR_MAGIC_AT + len(_TAR_MAGIC))
    except OSError as error:
        raise SubmissionError(f"{path}: cannot be read: {error.strerror}") from error
