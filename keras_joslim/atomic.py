"""Atomic files: a reader sees the old content or the new, never a part of it."""

import contextlib
import json
import os
import pathlib
import re
import shutil
import tempfile

# What `tempfile` puts behind the name of the file or directory that is being written.
_TEMPORARY = re.compile(r"\..+\.[a-z0-9_]{8}")


def write_bytes(path, data):
    """Replaces the file at `path` by `data`, in one step, synced to disk."""
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes files that only their owner reads; results are for everybody.
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        pathlib.Path(temporary).unlink(missing_ok=True)
        raise
    _sync_directory(path.parent)


def write_text(path, text):
    """Replaces the file at `path` by `text` in UTF-8."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path, value):
    """Replaces the file at `path` by `value` as indented JSON (NaN is refused)."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


@contextlib.contextmanager
def directory(path):
    """Yields a temporary directory that takes the place of `path` at the end.

    If the block raises, `path` stays as it was. A directory that is already at
    `path` is removed only after the new one is complete.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = pathlib.Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    try:
        yield temporary
        for file in temporary.rglob("*"):
            if file.is_file():
                with open(file, "rb+") as handle:
                    os.fsync(handle.fileno())
        os.chmod(temporary, 0o777 & ~_umask())
        if path.exists():
            # rename(2) replaces no directory that has content: move the old one aside.
            old = pathlib.Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
            os.replace(path, old / "old")
            try:
                os.replace(temporary, path)
            except BaseException:
                os.replace(old / "old", path)
                raise
            finally:
                shutil.rmtree(old, ignore_errors=True)
        else:
            os.replace(temporary, path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    _sync_directory(path.parent)


def remove_leftovers(folder):
    """Removes what writers that were killed have left in a folder: half-written files.

    Only the one process that writes there may call it, while it writes nothing.
    """
    for path in pathlib.Path(folder).glob(".*"):
        if _TEMPORARY.fullmatch(path.name):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                with contextlib.suppress(OSError):
                    path.unlink()


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _sync_directory(path):
    """Makes a rename durable where the system can sync directories."""
    with contextlib.suppress(OSError):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
