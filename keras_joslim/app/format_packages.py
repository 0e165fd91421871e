"""The packages that formats made by training need, looked for before anything is made."""

from keras_joslim.tflite.formats import find_format, find_formats
from keras_joslim.tflite.manifest import FILE_NAME, Manifest
from keras_joslim.tflite.qat.fine_tuning import require_tfmot


def refuse_missing_packages(workdir, formats, points=None):
    """Looks for what the formats that are made by training need, before anything is made.

    Args:
        workdir: `Workdir`, exported before or not.
        formats: names of number formats.
        points: names of the points to export; None before there are any.

    Raises:
        ValueError: a package is not installed, and a file that it makes is not there yet.
    """
    trained = [name for name in find_formats(formats) if find_format(name).fine_tuned]
    exported = (workdir.place / FILE_NAME).exists()
    manifest = Manifest.load(workdir.place) if exported else Manifest()
    if points is None:
        points = {entry.point for entry in manifest} or {""}
    if any(manifest.find(point, name) is None for point in points for name in trained):
        require_tfmot()
