"""The best file of a manifest within a budget of milliseconds on a device, or of bytes."""

# Which metrics are better the lower they are: the words in their names.
_LOWER = ("loss", "error", "divergence", "crossentropy")


def pick(manifest, *, max_ms=None, device=None, max_bytes=None, format=None, metric="loss"):  # noqa: A002
    """The file of best validation metric within a budget.

    Only what was measured counts: a file that was not timed on the device is left out if
    `max_ms` is given, as is one that was not measured on validation data. Among files of equal
    metric the fastest on the device is taken, then the smallest.

    Args:
        manifest: a `Manifest`.
        max_ms: milliseconds that one inference may take on `device` (the median; the mean where
            the benchmark tool prints none).
        device: as the latencies of the manifest name it, such as "host" or "pixel7"; needed by
            `max_ms`.
        max_bytes: how large the file may be.
        format: number format, if only one will do.
        metric: what to choose by, a metric of `validation`. The lower the better if its name has
            "loss", "error", "divergence" or "crossentropy" in it, else the higher.

    Returns:
        Its `ExportedFile`.

    Raises:
        ValueError: nothing fits (names what comes nearest), an unknown device, format or metric,
            files that were not measured, `max_ms` without `device` or the other way round.

    Example:

    >>> pick(Manifest.load("out"), max_ms=8, device="pixel7", format="int8").path
    'models/p05.int8.tflite'
    """
    _check_budget(max_ms, device, max_bytes)
    if not hasattr(manifest, "files"):
        raise ValueError(
            f"Expected a manifest: tflite.Manifest.load('workdir'). Received: manifest={manifest!r}"
        )
    files = list(manifest)
    if not files:
        raise ValueError("Expected a manifest with files. Received: an empty one. Export first.")
    if format is not None:
        formats = sorted({entry.format for entry in files})
        files = [entry for entry in files if entry.format == format]
        if not files:
            raise ValueError(
                f"Expected a format out of {', '.join(formats)}. Received: format={format!r}"
            )
    if max_bytes is not None:
        files = _within(files, lambda entry: entry.bytes, max_bytes, "max_bytes", "smallest")
    if device is not None:
        files = _timed(manifest, files, device)
        files = _within(files, lambda entry: _ms(entry, device), max_ms, "max_ms", "fastest")
    files = _judged(files, metric)
    sign = 1 if any(word in metric for word in _LOWER) else -1

    def order(entry):
        speed = 0 if device is None else _ms(entry, device)
        value = sign * entry.validation["metrics"][metric]
        return value, speed, entry.bytes, entry.point, entry.format

    return min(files, key=order)


def _ms(entry, device):
    return entry.latency[device]["milliseconds"]


def _name(entry):
    return f"{entry.point}.{entry.format}"


def _check_budget(max_ms, device, max_bytes):
    for name, value in (("max_ms", max_ms), ("max_bytes", max_bytes)):
        wrong = isinstance(value, bool) or not isinstance(value, int | float)
        if value is not None and (wrong or not value > 0):
            raise ValueError(f"Expected a number above 0. Received: {name}={value!r}")
    if max_ms is not None and device is None:
        raise ValueError(
            "Milliseconds are those of a device: give device= too, such as device='host'. "
            f"Received: max_ms={max_ms!r}, device=None"
        )
    if device is not None and max_ms is None:
        raise ValueError(
            f"A device is there for max_ms=, the milliseconds it may take. Received: "
            f"device={device!r}, max_ms=None"
        )


def _within(files, measure, limit, name, superlative):
    found = [entry for entry in files if measure(entry) <= limit]
    if not found:
        least = min(files, key=measure)
        raise ValueError(
            f"No file is within {name}={limit!r}. The {superlative} of {len(files)} is "
            f"{_name(least)} with {measure(least)!r}."
        )
    return found


def _timed(manifest, files, device):
    known = sorted({name for entry in manifest for name in entry.latency})
    if not known:
        raise ValueError(
            "No file was profiled yet, so there are no milliseconds to choose by: `joslim profile` "
            f"or `manifest.with_latency` enters them. Received: device={device!r}"
        )
    if device not in known:
        raise ValueError(
            f"Expected a device of {', '.join(known)}. Received: device={device!r}. "
            "`joslim profile`, or `manifest.with_latency`, enters one."
        )
    timed = [entry for entry in files if device in entry.latency]
    if not timed:
        others = sorted({entry.format for entry in manifest if device in entry.latency})
        raise ValueError(
            f"Not measured on {device!r}: {_some(files)}. Profile them, or take a format that was "
            f"measured there: {', '.join(others)}."
        )
    return timed


def _judged(files, metric):
    found = [entry for entry in files if metric in entry.validation.get("metrics", {})]
    if not found:
        names = sorted({name for e in files for name in e.validation.get("metrics", {})})
        raise ValueError(
            f"Expected a metric of {', '.join(names)}. Received: metric={metric!r}"
            if names
            else f"Not measured on validation data: {_some(files)}. Export them with `judge=`."
        )
    return found


def _some(files):
    names = [_name(entry) for entry in files]
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
