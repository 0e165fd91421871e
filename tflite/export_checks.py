"""What `export` is given: the checks of its arguments."""

import pathlib
import re

import numpy as np

# A point's name becomes part of a file name, here and on phones.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def check_names(models):
    """Refuses models that are no dict, or whose names no file can have."""
    if not isinstance(models, dict):
        single = hasattr(models, "get_weights") or isinstance(models, str | pathlib.Path)
        remedy = ": write {'name': model}" if single else ""
        raise ValueError(
            f"Expected models as a dict point name -> model{remedy}. "
            f"Received: models={type(models).__name__}"
        )
    if not models:
        raise ValueError(
            "Expected at least one model: {'name': model}, a keras.Model or the path of a .keras "
            "file. Received: models={}"
        )
    bad = [name for name in models if not isinstance(name, str) or not _NAME.fullmatch(name)]
    if bad:
        raise ValueError(
            "Expected point names of letters, digits, '.', '_' and '-' (they become file names). "
            f"Received: {bad}"
        )


def check_tolerances(formats, tolerances):
    """Refuses tolerances of formats that are not asked for."""
    unknown = sorted(set(tolerances or {}) - set(formats))
    if unknown:
        raise ValueError(f"Expected tolerances for {list(formats)}. Received: also {unknown}")


def checked_metadata(models, metadata):
    """The metadata as plain JSON values, so that an entry equals itself read back."""
    metadata = metadata or {}
    unknown = sorted(set(metadata) - set(models))
    if unknown:
        raise ValueError(f"Expected metadata for points of the models. Received: also {unknown}")
    return {point: _plain(value, f"metadata of {point!r}") for point, value in metadata.items()}


def _plain(value, where):
    if isinstance(value, dict):
        return {str(key): _plain(item, f"{where}, {key}") for key, item in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(item, where) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float) and np.isfinite(value):
        return value
    raise ValueError(f"Expected values that JSON holds in {where}. Received: {value!r}")
