"""TFRecords through TensorFlow: what lies on gs:// or is compressed with ZLIB."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from trafficgym.errors import SceneError
from trafficgym.scene.readers.tfrecord import Damaged


def is_remote(path: str) -> bool:
    """Whether only TensorFlow can open `path`: a URL such as gs://bucket/file, also after a round through Path."""
    return path.startswith("gs:/")


def remote_url(path: str) -> str:
    """Put back the second slash that pathlib.Path takes from a URL."""
    return "gs://" + path.removeprefix("gs:").lstrip("/")


def list_remote(url: str) -> list[str]:
    """The files that `url` names: itself, or what lies in it where it is a folder, sorted."""
    tf = _tensorflow()
    if not tf.io.gfile.isdir(url):
        return [url]
    return sorted(tf.io.gfile.join(url, name) for name in tf.io.gfile.listdir(url) if not name.endswith("/"))


def tensorflow_records(url: str) -> Iterator[bytes | Damaged]:
    """Yield the payload of each record of a local or remote TFRecord, plain or compressed.

    TensorFlow stops at the first record that is damaged, so that the ones after it are lost; the plain
    reader does not.

    Raises:
        SceneError: TensorFlow is not installed.
    """
    tf = _tensorflow()
    try:
        with tf.io.gfile.GFile(url, "rb") as stream:
            magic = stream.read(2)
        compression = "GZIP" if magic == b"\x1f\x8b" else "ZLIB" if magic[:1] == b"\x78" else ""
        yield from tf.data.TFRecordDataset(url, compression_type=compression).as_numpy_iterator()
    except tf.errors.OpError as error:
        yield Damaged(reason=f"cannot be read by TensorFlow ({error.message}); download the file again")


def _tensorflow() -> Any:
    try:
        import tensorflow
    except ImportError:
        raise SceneError(
            'reading gs:// paths and ZLIB-compressed TFRecords needs TensorFlow: pip install -e ".[womd]"'
        ) from None
    return tensorflow
