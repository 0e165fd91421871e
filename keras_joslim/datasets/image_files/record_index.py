"""Which images are in the records of a data set, and where: read through once, then kept."""

import dataclasses
import hashlib
import io
import json
import os
import pathlib
import tempfile
import zipfile

import numpy as np
from absl import logging
from tqdm import tqdm

from keras_joslim import atomic
from keras_joslim.datasets.image_files.record_features import image_features
from keras_joslim.datasets.image_files.records import read_records

_VERSION = 1
_COLUMNS = ("shard", "offset", "length", "label")


@dataclasses.dataclass(frozen=True, eq=False)
class RecordIndex:
    """The images of some TFRecord files.

    Attributes:
        shard: int32 `(n,)`, number of the file.
        offset: int64 `(n,)`, where in it the image (not the record) begins, bytes.
        length: int64 `(n,)`, bytes of the image.
        label: int64 `(n,)`, as in the record.
        files: what each image was called, without folders and ending.
        synsets: the class in words, as in the record; "" where it has none.
        unreadable: pairs of a name and a reason: records that are no Example.
    """

    shard: np.ndarray
    offset: np.ndarray
    length: np.ndarray
    label: np.ndarray
    files: tuple
    synsets: tuple
    unreadable: tuple


def record_index(shards, features, directory=None):
    """The index of TFRecord files, made anew only if a file changed.

    Args:
        shards: their paths.
        features: `Features`: which ones to read.
        directory: where it is kept; None: beside the files, or in `~/.cache/keras_joslim` if that
            place cannot be written to.

    Returns:
        A `RecordIndex`.

    Raises:
        ValueError: files that are torn, or without these features.
    """
    stamp = {
        "format": "keras_joslim record index",
        "version": _VERSION,
        "features": dataclasses.asdict(features),
        "files": [[path.name, path.stat().st_size, path.stat().st_mtime_ns] for path in shards],
    }
    path = _place(shards, directory)
    index = _load(path, stamp)
    if index is None:
        index = _read(shards, features)
        try:
            atomic.write_bytes(path, _dumped(index, stamp))
        except OSError as error:
            logging.warning("The index of records could not be kept in %s: %s", path, error)
    return index


def _read(shards, features):
    columns = {name: [] for name in (*_COLUMNS, "files", "synsets")}
    unreadable = []
    for number, path in enumerate(tqdm(shards, "reading records once", leave=False)):
        for count, (begins, record) in enumerate(read_records(path)):
            name = f"record {count} of {path.name}"
            found = image_features(record, features, name)
            if found is None:
                unreadable.append((name, "it is no Example"))
                continue
            columns["shard"].append(number)
            # The first place with these bytes holds the image, whichever feature it is of.
            columns["offset"].append(begins + record.find(found.image))
            columns["length"].append(len(found.image))
            columns["label"].append(found.label)
            columns["files"].append(pathlib.PurePosixPath(found.file or name).stem)
            columns["synsets"].append(found.synset)
    return _index(columns, unreadable)


def _index(columns, unreadable):
    types = {"shard": np.int32}
    arrays = {name: np.array(columns[name], types.get(name, np.int64)) for name in _COLUMNS}
    return RecordIndex(
        **arrays,
        files=tuple(columns["files"]),
        synsets=tuple(columns["synsets"]),
        unreadable=tuple(map(tuple, unreadable)),
    )


def _place(shards, directory):
    """The file that an index is kept in."""
    first = pathlib.Path(shards[0]).resolve()
    name = f".{first.name}.index.npz"
    if directory is not None:
        return pathlib.Path(directory) / name
    if _is_writable(first.parent):
        return first.parent / name
    digest = hashlib.sha256(str(first).encode()).hexdigest()[:16]
    return pathlib.Path.home() / ".cache" / "keras_joslim" / f"{digest}{name}"


def _is_writable(folder):
    # Trying tells more than the rights: a file system may be mounted read-only.
    try:
        with tempfile.TemporaryFile(dir=folder):
            return os.access(folder, os.W_OK)
    except OSError:
        return False


def _dumped(index, stamp):
    arrays = {name: getattr(index, name) for name in _COLUMNS}
    text = {
        **stamp,
        "unreadable": index.unreadable,
        "files_of_images": index.files,
        "synsets": index.synsets,
    }
    buffer = io.BytesIO()
    np.savez_compressed(buffer, text=np.frombuffer(json.dumps(text).encode(), np.uint8), **arrays)
    return buffer.getvalue()


def _load(path, stamp):
    """The index in a file; None if there is none, it is of other files, or damaged."""
    try:
        # Read first: of a damaged file numpy would leave the handle open.
        with np.load(io.BytesIO(path.read_bytes())) as content:
            text = json.loads(content["text"].tobytes())
            if any(text[key] != value for key, value in json.loads(json.dumps(stamp)).items()):
                return None
            columns = {name: content[name] for name in _COLUMNS}
            columns |= {"files": text["files_of_images"], "synsets": text["synsets"]}
            return _index(columns, text["unreadable"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
        logging.warning("The index of records in %s is damaged; it is made anew", path)
        return None
