"""Readers: from the files of five data sets to Scenes. The format is told from the content, never from the name.

```python
for item in read("training.tfrecord-00000-of-01000"):
    print(item)  # a Scene, or a Skipped that says which record is unusable and why
```
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from trafficgym.errors import SceneError
from trafficgym.scene.readers.cloud import is_remote, list_remote, remote_url, tensorflow_records
from trafficgym.scene.readers.recognise import GZIP_ERRORS, Format, open_plain, read_head, recognise
from trafficgym.scene.readers.tfrecord import Damaged, records
from trafficgym.scene.scene import Scene

__all__ = ["Skipped", "find_sources", "load_scene", "read"]

_KNOWN_FORMATS = (
    "WOMD Scenario TFRecords, ScenarioNet pickles, GPUDrive and Nocturne JSON, and Argoverse 2 scenarios (.parquet)"
)


@dataclass(frozen=True, kw_only=True)
class Skipped:
    """A scene that could not be read; `where` and `reason` make one sentence."""

    where: str
    """File name, and the number of the record counted from 0: ``val.tfrecord-00003: record 17``."""
    reason: str
    """What is wrong and the remedy, as what the sentence says about `where`."""

    def __str__(self) -> str:
        return f"{self.where} {self.reason}"


def read(path: str | Path, *, tensorflow: bool = False) -> Iterator[Scene | Skipped]:
    """Yield the scenes of one file in their order, and a Skipped for each that cannot be used.

    Bad content never raises: a bad record yields a Skipped and the next one follows; a file that cannot be used at
    all yields a single Skipped. Records are streamed, so that memory holds one at a time.

    Args:
        path: A file of any of the known formats, gzipped or not, or the gs:// URL of a TFRecord.
        tensorflow: Read TFRecords with TensorFlow, which ZLIB compression needs and gs:// uses in any case.

    Raises:
        SceneError: TensorFlow is needed and not installed.
    """
    if tensorflow or is_remote(str(path)):
        yield from _read_with_tensorflow(str(path))
        return
    path = Path(path)
    try:
        if path.is_dir():
            yield Skipped(where=path.name, reason="is a folder; give the files in it, or find_sources(folder)")
            return
        yield from _read_recognised(path, read_head(path))
    except FileNotFoundError:
        yield Skipped(where=str(path), reason="does not exist; check the path")
    except GZIP_ERRORS as error:
        yield Skipped(where=path.name, reason=f"is a damaged gzip file ({error}); download it again")
    except OSError as error:
        yield Skipped(where=path.name, reason=f"cannot be read ({error}); check the path and its permissions")


def load_scene(path: str | Path) -> Scene:
    """Return the first scene of a file that can be used.

    Raises:
        SceneError: there is none; the message says why the first one was skipped.
    """
    reason = f"{Path(path).name} holds no records"
    for number, item in enumerate(read(path)):
        if isinstance(item, Scene):
            return item
        if number == 0:
            reason = str(item)
    raise SceneError(reason)


def find_sources(paths: Sequence[str | Path]) -> list[Path]:
    """List the files to read, sorted by path within each folder, each once.

    A file that is named is listed whatever it holds. A folder is searched to any depth for files whose content is
    recognised, or whose name says that it should have been (so that damage is reported and not passed over); maps
    of Argoverse 2, which belong to their scenarios, and the indices of ScenarioNet are left out.

    Raises:
        SceneError: a path does not exist, or the folders hold nothing that can be read.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if is_remote(str(path)):
            found.update(dict.fromkeys(Path(url) for url in list_remote(remote_url(str(path)))))
            continue
        path = Path(path)
        if not path.exists():
            raise SceneError(f"{path} does not exist; check the path, or see `trafficgym doctor` for where data is")
        found.update(dict.fromkeys(_search(path) if path.is_dir() else [path]))
    if not found:
        named = ", ".join(str(path) for path in paths) or "nothing"
        raise SceneError(f"found no scenes in {named}; trafficgym reads {_KNOWN_FORMATS}")
    return list(found)


def _search(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.name.startswith(".") and _belongs(path):
            yield path


def _belongs(path: Path) -> bool:
    try:
        head = read_head(path)
    except (OSError, *GZIP_ERRORS):
        return _is_named_like_source(path)
    kind = recognise(head)
    if kind is Format.JSON:
        return any(key in head for key in (b'"objects"', b'"roads"', b'"tl_states"'))
    if kind is Format.PICKLE:
        return path.name not in ("dataset_summary.pkl", "dataset_mapping.pkl")
    return kind not in (None, Format.EMPTY) or _is_named_like_source(path)


def _is_named_like_source(path: Path) -> bool:
    name = path.name.removesuffix(".gz")
    return ".tfrecord" in name or name.endswith((".pkl", ".parquet"))


def _read_recognised(path: Path, head: bytes) -> Iterator[Scene | Skipped]:
    match recognise(head):
        case Format.TFRECORD:
            with open_plain(path) as stream:
                yield from _read_records(path.name, records(stream))
        case Format.PICKLE:
            from trafficgym.scene.readers.scenarionet import load_scenarionet

            with open_plain(path) as stream:
                yield _one_scene(path, lambda: load_scenarionet(stream, path.stem))
        case Format.JSON:
            from trafficgym.scene.readers.gpudrive import load_gpudrive

            with open_plain(path) as stream:
                yield _one_scene(path, lambda: load_gpudrive(stream, path.name.removesuffix(".gz")))
        case Format.PARQUET:
            from trafficgym.scene.readers.argoverse2 import load_argoverse2

            yield _one_scene(path, lambda: load_argoverse2(path))
        case unusable:
            yield Skipped(where=path.name, reason=_why_unusable(path, unusable))


def _why_unusable(path: Path, kind: Format | None) -> str:
    if kind is Format.EMPTY:
        return "is empty; download the file again"
    if kind is Format.ZLIB_TFRECORD:
        return (
            "is compressed with ZLIB, which only TensorFlow reads: "
            'pip install -e ".[womd]" and read with tensorflow=True, or decompress it first'
        )
    if ".tfrecord" in path.name:
        return (
            "is called a TFRecord, but its first record is truncated or the CRC of its length is wrong, so that "
            "no record can be found; download the file again"
        )
    return f"holds nothing that trafficgym knows; it reads {_KNOWN_FORMATS}"


def _read_with_tensorflow(path: str) -> Iterator[Scene | Skipped]:
    url = remote_url(path) if is_remote(path) else path
    yield from _read_records(url.rsplit("/", 1)[-1], tensorflow_records(url))


def _read_records(name: str, payloads: Iterator[bytes | Damaged]) -> Iterator[Scene | Skipped]:
    from trafficgym.scene.readers.womd import scene_from_scenario

    for index, payload in enumerate(payloads):
        where = f"{name}: record {index}"
        if isinstance(payload, Damaged):
            yield Skipped(where=where, reason=payload.reason)
            continue
        try:
            yield scene_from_scenario(payload)
        except SceneError as error:
            yield Skipped(where=where, reason=_as_predicate(error))


def _one_scene(path: Path, load: Callable[[], Scene]) -> Scene | Skipped:
    try:
        return load()
    except SceneError as error:
        return Skipped(where=path.name, reason=_as_predicate(error))
    except (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError) as error:
        # A file may be wrong in more places than a reader can look at beforehand.
        kind = type(error).__name__
        return Skipped(
            where=path.name, reason=f"is not laid out as its format says ({kind}: {error}); check its source"
        )


def _as_predicate(error: SceneError) -> str:
    """Errors of a scene begin with its name; errors of a file already say something about it."""
    message = str(error)
    return f"holds {message}" if message.startswith("scene ") else message
