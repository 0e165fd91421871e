"""Groups of phones and the file that each gets: a JSON file, read and checked."""

import dataclasses
import json
import pathlib
import re

from keras_joslim.tflite.delivery.pick import pick

# What phones of no other group are called by Play.
FALLBACK = "other"
_NAME = re.compile("[a-z][a-z0-9_]*")
_FIELDS = ("name", "ram_min_bytes", "soc", "point", "max_ms", "device", "format")


@dataclasses.dataclass(frozen=True)
class DeviceGroup:
    """Phones that get the same file.

    Attributes:
        name: lower-case letters, digits and underscores; "other" is all that no group takes.
        ram_min_bytes: how much memory a phone has at least, or None.
        soc: tuple of (manufacturer, model) of the systems on chip, any of which will do, as
            Android's `Build.SOC_MANUFACTURER` and `SOC_MODEL` spell them.
        point: name of the point whose file they get, or None for the best one within `max_ms`.
        max_ms: milliseconds that an inference may take on `device`.
        device: a device of the manifest's latencies.
        format: number format, or None for the only one, or the best.
    """

    name: str
    ram_min_bytes: int | None = None
    soc: tuple = ()
    point: str | None = None
    max_ms: float | None = None
    device: str | None = None
    format: str | None = None

    def file(self, manifest):
        """The `ExportedFile` of a manifest that the group gets.

        Raises:
            ValueError: there is none, or there are several; the message names the group.
        """
        try:
            if self.point is None:
                return pick(manifest, max_ms=self.max_ms, device=self.device, format=self.format)
            return _file_of_point(manifest, self.point, self.format)
        except ValueError as error:
            raise ValueError(f"Device group {self.name!r}: {error}") from None


def read_device_groups(path):
    """Reads the groups of a JSON file.

    The file is a list of objects: `name`; `ram_min_bytes` or `soc` (a list of objects
    `manufacturer`, `model`), or both, for phones that have both; `point`, or `max_ms` and
    `device`; and `format` if there are several. The first group that a phone is in counts. The
    group "other" has neither memory nor chips and must be there: it is what all other phones get.

    Args:
        path: of the file.

    Returns:
        A tuple of `DeviceGroup` in the file's order.

    Raises:
        ValueError: the file is missing, is not JSON, or says something that makes no sense; a group
            that no phone would ever be in among it.

    Example file:

        [{"name": "large", "ram_min_bytes": 8000000000, "point": "p05"},
         {"name": "other", "point": "p00"}]
    """
    path = pathlib.Path(path)
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"Cannot read the device groups of {path}: {error.strerror}.") from None
    except ValueError as error:
        raise ValueError(f"The device groups of {path} are not JSON: {error}.") from None
    if not isinstance(value, list) or not value:
        raise ValueError(
            f"Expected a list of device groups in {path}, at least one named {FALLBACK!r}. "
            f"Received: {value!r}"
        )
    groups = tuple(_group(item, f"group {n} of {path}") for n, item in enumerate(value))
    names = [group.name for group in groups]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(
            f"Expected device groups with names that differ in {path}. Received: {twice[0]!r} twice"
        )
    if FALLBACK not in names:
        raise ValueError(
            f"Expected a group {FALLBACK!r} in {path}: what phones of no other group get. "
            f"Received: groups {', '.join(names)}"
        )
    _refuse_never_reached(groups, path)
    return groups


def _group(item, where):
    if not isinstance(item, dict):
        raise ValueError(f"Expected an object as {where}. Received: {item!r}")
    unknown = sorted(set(item) - set(_FIELDS))
    if unknown:
        raise ValueError(
            f"Expected fields of {', '.join(_FIELDS)} in {where}. Received: also {unknown}"
        )
    name = item.get("name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(
            "Expected a name of lower-case letters, digits and underscores, a letter first, in "
            f"{where}. Received: name={name!r}"
        )
    where = f"group {name!r}"
    ram = item.get("ram_min_bytes")
    if ram is not None and (isinstance(ram, bool) or not isinstance(ram, int) or ram < 1):
        raise ValueError(
            f"Expected a whole number of bytes from 1 in {where}. Received: ram_min_bytes={ram!r}"
        )
    chips = _chips(item["soc"], where) if "soc" in item else ()
    if (name == FALLBACK) == bool(ram or chips):
        raise ValueError(
            f"Expected neither ram_min_bytes nor soc in {where}: it is what is left over."
            if name == FALLBACK
            else f"Expected ram_min_bytes or soc in {where}: which phones it is."
        )
    timed = [key for key in ("max_ms", "device") if item.get(key) is not None]
    if len(timed) != (0 if item.get("point") is not None else 2):
        raise ValueError(
            f"Expected either point, or max_ms and device, in {where}. Received: "
            f"{ {key: item.get(key) for key in ('point', 'max_ms', 'device')} }"
        )
    for key in ("point", "device", "format"):
        if not isinstance(item.get(key), str | None):
            raise ValueError(f"Expected text in {where}. Received: {key}={item[key]!r}")
    return DeviceGroup(**{**item, "soc": chips})


def _chips(value, where):
    fits = isinstance(value, list) and value != []
    for chip in value if fits else ():
        fits = fits and isinstance(chip, dict) and set(chip) == {"manufacturer", "model"}
        fits = fits and all(isinstance(text, str) and text.strip() for text in chip.values())
    if not fits:
        raise ValueError(
            'Expected a list of {"manufacturer": "...", "model": "..."}, at least one, in '
            f"{where}. Received: soc={value!r}"
        )
    return tuple((chip["manufacturer"], chip["model"]) for chip in value)


def _refuse_never_reached(groups, path):
    """The first group that fits counts, so a larger one behind a smaller one gets no phone."""
    for n, group in enumerate(groups):
        for before in groups[:n]:
            ram = before.ram_min_bytes
            if ram and not before.soc and ram <= (group.ram_min_bytes or 0):
                raise ValueError(
                    f"No phone would ever be in group {group.name!r} of {path}: all of them are in "
                    f"{before.name!r} before it, from {ram} bytes on. Put the larger one first."
                )


def _file_of_point(manifest, point, file_format):
    entries = [entry for entry in manifest if entry.point == point]
    if not entries:
        points = list(dict.fromkeys(entry.point for entry in manifest))
        raise ValueError(f"Expected a point of {', '.join(points)}. Received: point={point!r}")
    formats = [entry.format for entry in entries]
    if file_format is None and len(entries) > 1:
        raise ValueError(
            f"Expected the format too, as {point} has {', '.join(formats)}. Received: format=None"
        )
    if file_format is not None and file_format not in formats:
        raise ValueError(
            f"Expected a format that {point} has, {', '.join(formats)}. "
            f"Received: format={file_format!r}"
        )
    return next(entry for entry in entries if file_format in (None, entry.format))
