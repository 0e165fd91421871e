"""What may stand in a manifest: the checks of its entries, labels and latencies."""

import math
import pathlib
import re

from keras_joslim.preprocessing import Preprocessing
from keras_joslim.tflite.interpreter import TensorFacts

_SHA256 = re.compile(r"[0-9a-f]{64}")
_FINE_TUNING = ("data", "settings", "difference", "distinct", "sparsity")
_LATENCY = {
    "milliseconds": lambda one: _number(one) and one > 0,
    "statistic": lambda one: one in ("median", "mean"),
    "min": lambda one: one is None or _number(one),
    "p95": lambda one: one is None or _number(one),
    "spread": lambda one: one is None or _number(one),
    "rounds": lambda one: _count(one),
    "threads": lambda one: _count(one),
    "delegate": lambda one: isinstance(one, str) and one != "",
    "warnings": lambda one: isinstance(one, list) and all(isinstance(w, str) for w in one),
}


def checked_entry(value, fields, where):
    """The attributes of an entry out of its JSON object.

    Args:
        value: what the JSON holds.
        fields: dict name of an attribute -> its type.
        where: what to call it in an error.

    Raises:
        ValueError: missing or unknown fields, impossible values.
    """
    if not isinstance(value, dict) or set(value) != set(fields):
        keys = sorted(value) if isinstance(value, dict) else value
        raise ValueError(f"Expected the fields {sorted(fields)} in {where}. Received: {keys}")
    value = dict(value)
    for key in ("inputs", "outputs"):
        value[key] = _tensors(value[key], f"{key} of {where}")
    for key, expected in fields.items():
        if not isinstance(value[key], expected) or isinstance(value[key], bool):
            name = getattr(expected, "__name__", str(expected))
            raise ValueError(f"Expected {name} in {where}. Received: {key}={value[key]!r}")
    for key in ("sha256", "source", "representative"):
        if value[key] is not None and not _SHA256.fullmatch(value[key]):
            raise ValueError(f"Expected a sha256 in {where}. Received: {key}={value[key]!r}")
    path = pathlib.PurePosixPath(value["path"])
    # A manifest may come from elsewhere: it must not lead out of its own directory.
    if path.is_absolute() or ".." in path.parts or not path.parts or "\\" in value["path"]:
        raise ValueError(
            f"Expected a path inside the manifest's directory in {where}. "
            f"Received: path={value['path']!r}"
        )
    if "" in value["latency"]:
        raise ValueError(f"Expected names of devices in the latency of {where}. Received: ''")
    trained = value["fine_tuning"]
    if trained is not None and set(trained) != set(_FINE_TUNING):
        raise ValueError(
            f"Expected the fields {list(_FINE_TUNING)} as fine_tuning in {where}. "
            f"Received: {sorted(trained)}"
        )
    for device, latency in value["latency"].items():
        checked_latency(latency, f"the latency of {device!r} in {where}")
    return value


def checked_latency(value, where):
    """A latency of an entry, as it came.

    Raises:
        ValueError: missing or unknown fields, figures that cannot have been measured.
    """
    if not isinstance(value, dict) or set(value) != set(_LATENCY):
        keys = sorted(value) if isinstance(value, dict) else value
        raise ValueError(f"Expected the fields {sorted(_LATENCY)} as {where}. Received: {keys}")
    for key, fits in _LATENCY.items():
        if not fits(value[key]):
            raise ValueError(
                f"Expected figures that were measured as {where}. Received: {key}={value[key]!r}"
            )
    return value


def checked_labels(value, where="labels"):
    """Names of classes as a tuple of str, or None.

    Raises:
        ValueError: something else, none at all, names that are empty or of several lines.
    """
    if value is None:
        return None
    names = tuple(value) if isinstance(value, list | tuple) else ()
    # A line each in labels.txt.
    if not names or not all(isinstance(n, str) and n.splitlines() == [n] for n in names):
        raise ValueError(
            f"Expected names of classes, each one line of text, as {where}. Received: {value!r}"
        )
    return names


def checked_preprocessing(value, where):
    """A `Preprocessing` out of its JSON object, or None.

    Raises:
        ValueError: it is not one.
    """
    try:
        return None if value is None else Preprocessing.from_dict(value)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def _tensors(value, where):
    try:
        return tuple(_tensor(item) for item in value)
    except (TypeError, KeyError, ValueError) as error:
        raise ValueError(
            f"Expected tensors (name, shape, dtype, scale, zero_point) as {where}. Got: {value}"
        ) from error


def _tensor(item):
    shape, scale, zero_point = (item[key] for key in ("shape", "scale", "zero_point"))
    if (scale is None) != (zero_point is None):
        raise ValueError("half a quantisation")
    if scale is not None:
        scale, zero_point = float(scale), int(zero_point)
    return TensorFacts(
        str(item["name"]), tuple(int(n) for n in shape), str(item["dtype"]), scale, zero_point
    )


def _number(value):
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value) and value >= 0


def _count(value):
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
