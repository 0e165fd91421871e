"""The packages that some formats need, looked for before anything is made."""

from keras_joslim.tflite.formats import find_format, find_formats
from keras_joslim.tflite.manifest import FILE_NAME, Manifest
from keras_joslim.tflite.qat.fine_tuning import require_tfmot
from keras_joslim.tflite.quantized_file import require_quantizer


def refuse_missing_packages(workdir, formats, points=None):
    """Looks for the packages of optional extras that formats need, before anything is made.

    Args:
        workdir: `Workdir`, exported before or not.
        formats: names of number formats.
        points: names of the points to export; None before there are any.

    Raises:
        ValueError: a package is not installed, and a file that it makes is not there yet.
    """
    wanted = [find_format(name) for name in find_formats(formats)]
    exported = (workdir.place / FILE_NAME).exists()
    manifest = Manifest.load(workdir.place) if exported else Manifest()
    if points is None:
        points = {entry.point for entry in manifest} or {""}
    missing = [
        settings
        for settings in wanted
        if any(manifest.find(point, settings.name) is None for point in points)
    ]
    if any(settings.fine_tuned for settings in missing):
        require_tfmot()
    if any(settings.by_quantizer for settings in missing):
        require_quantizer()
