"""The files of one checkpoint: written with their digests, read back, told from damaged ones."""

import contextlib
import errno
import hashlib
import io
import json
import os
import pathlib
import zipfile

import numpy as np

_VARIABLES = "variables.npz"
_STATE = "state.json"
_INDEX = "index.json"
_VERSION = 1
_CHUNK = 1 << 20


class DamagedCheckpointError(ValueError):
    """The files of a checkpoint are not what was written into them."""


def write(folder, arrays, state, facts):
    """Writes a checkpoint's files, and compares what the disk then has with what was meant.

    Args:
        folder: a directory that is there and empty.
        arrays: dict of numpy arrays.
        state: JSON dict.
        facts: JSON dict of what is told apart from the state, such as the hours of training.

    Raises:
        OSError: a file could not be written, or has other content when it is read back.
    """
    folder = pathlib.Path(folder)
    # A state that says it is indexed, beside no index, is a damaged one.
    state = json.dumps({"indexed": True, **state}).encode()
    files = {
        _VARIABLES: _write(folder / _VARIABLES, lambda file: np.savez(file, **arrays)),
        _STATE: _write(folder / _STATE, lambda file: file.write(state)),
    }
    index = json.dumps({"version": _VERSION, **facts, "files": files}, indent=1).encode()
    _write(folder / _INDEX, lambda file: file.write(index))


def read(folder):
    """Reads a checkpoint whole, and compares it with its digests.

    Returns:
        `(arrays, state, facts)` as they were given to `write`.

    Raises:
        DamagedCheckpointError: a file is missing, cut off or changed; says which.
        ValueError: it was written by a later version of this library.
    """
    folder = pathlib.Path(folder)
    files, facts = index(folder)
    content = {name: _checked(folder / name, files.get(name)) for name in (_STATE, _VARIABLES)}
    try:
        state = json.loads(content[_STATE])
        if state.pop("indexed", False) and not files:
            raise DamagedCheckpointError(f"{_INDEX} is missing")
        with np.load(io.BytesIO(content[_VARIABLES]), allow_pickle=False) as stored:
            arrays = dict(stored)
    except (ValueError, KeyError, AttributeError, EOFError, OSError, zipfile.BadZipFile) as error:
        if isinstance(error, DamagedCheckpointError):
            raise
        # Only of a checkpoint without an index, as they were before there was one.
        raise DamagedCheckpointError(repr(error)) from None
    return arrays, state, facts


def index(folder):
    """The digests of a checkpoint's files, and its facts; both empty where there is no index.

    Raises:
        DamagedCheckpointError: the index cannot be read.
        ValueError: it was written by a later version of this library.
    """
    path = pathlib.Path(folder) / _INDEX
    try:
        facts = dict(json.loads(path.read_bytes()))
        version, files = facts.pop("version"), dict(facts.pop("files"))
    except FileNotFoundError:
        return {}, {}
    except (ValueError, TypeError, KeyError, OSError) as error:
        raise DamagedCheckpointError(f"{_INDEX} cannot be read ({error})") from None
    if version != _VERSION:
        raise ValueError(
            f"{folder} is of checkpoint version {version}; this keras_joslim reads {_VERSION}. "
            "Go on with the version that wrote it."
        )
    return files, facts


def _checked(path, expected):
    """The bytes of a file, compared with what the index says of them if it says anything."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DamagedCheckpointError(f"{path.name}: {error.strerror}") from None
    if expected is None:
        return data
    if len(data) != expected["bytes"]:
        raise DamagedCheckpointError(
            f"{path.name} has {len(data):,} bytes, {expected['bytes']:,} were written"
        )
    if hashlib.sha256(data).hexdigest() != expected["sha256"]:
        raise DamagedCheckpointError(f"{path.name} is not what was written, by its digest")
    return data


def _write(path, fill):
    """Writes a file by `fill(file)`; returns its size and digest when the disk has it."""
    with open(path, "wb") as file:
        digested = _Digested(file)
        fill(digested)
        file.flush()
        os.fsync(file.fileno())
        # What is read next is to come from the disk rather than from memory.
        with contextlib.suppress(AttributeError, OSError):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    found = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            found.update(chunk)
    if found.hexdigest() != digested.sha256:
        raise OSError(errno.EIO, "What was read back is not what was written", str(path))
    return {"bytes": digested.size, "sha256": digested.sha256}


class _Digested(io.RawIOBase):
    """A file to write into, once and in order, of which size and digest are kept."""

    def __init__(self, file):
        super().__init__()
        self._file, self._digest, self.size = file, hashlib.sha256(), 0

    def writable(self):
        return True

    def write(self, data):
        self._digest.update(data)
        self.size += memoryview(data).nbytes
        return self._file.write(data)

    @property
    def sha256(self):
        return self._digest.hexdigest()
