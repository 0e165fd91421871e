"""`joslim bundle`: the folder that an app team gets, out of an exported run."""

import dataclasses

from keras_joslim.tflite.formats import find_formats
from keras_joslim.tflite.manifest import Manifest


def bundle(
    workdir,
    output=None,
    points="all",
    formats=None,
    *,
    ai_pack=None,
    device_groups=None,
    say=print,
):
    """Writes points of an exported front into a folder of their own.

    Args:
        workdir: `Workdir` with an exported front.
        output: the folder; `bundle` beside the front if `None`.
        points: which of those exported in the formats, see `ParetoFront.select`.
        formats: number formats that every point must have; all that there are if `None`.
        ai_pack: name of a Play AI pack to write too.
        device_groups: path of the JSON file that says which phones get what; needed by it.
        say: where it is told what was written.

    Returns:
        The `Manifest` of the bundle.

    Raises:
        ValueError: nothing is exported yet, points or formats that there are not, files that are
            missing or changed, an output that holds something else, groups that make no sense.
    """
    from keras_joslim.tflite.delivery.bundle import write_bundle
    from keras_joslim.tflite.delivery.device_groups import read_device_groups

    front = workdir.front()
    if formats is not None:
        formats = find_formats(formats)
    manifest = Manifest.load(workdir.place)
    if points in ("all", "knees") or str(points).startswith("budget:"):
        exported = [p for p in front if not _missing(manifest, p.name, formats)]
        if not exported:
            _refuse_missing(workdir, manifest, [front[0].name], formats)
        names = front.with_points(exported).select(points)
    else:
        names = front.select(points)
    _refuse_missing(workdir, manifest, names, formats)
    chosen = [
        entry
        for entry in manifest
        if entry.point in names and (formats is None or entry.format in formats)
    ]
    groups = () if device_groups is None else read_device_groups(device_groups)
    output = workdir.place / "bundle" if output is None else output
    written = write_bundle(
        dataclasses.replace(manifest, files=tuple(chosen)), output, workdir.name, ai_pack, groups
    )
    size = sum(entry.bytes for entry in written)
    say(f"Bundle of {len(written)} files, {size:,d} bytes: {written.directory}")
    for group in groups:
        say(f"  phones {group.name}: {group.file(written).path}")
    return written


def _missing(manifest, point, formats):
    """The formats of a point that are wanted and not there; `["any"]` if it has no file at all."""
    if formats is None:
        return [] if any(entry.point == point for entry in manifest) else ["any"]
    return [name for name in formats if manifest.find(point, name) is None]


def _refuse_missing(workdir, manifest, names, formats):
    for point in names:
        for name in _missing(manifest, point, formats):
            kind, flag = ("file", "") if name == "any" else (f"{name} file", f" --formats={name}")
            raise ValueError(
                f"Point {point} has no {kind}. Make it with `joslim export "
                f"--workdir={workdir.path}{flag}`."
            )
