"""Points become checked TFLite files in a directory, with a manifest; resumable at every file."""

import collections
import dataclasses
import importlib.metadata
import pathlib
import re

import numpy as np

from keras_joslim import atomic
from keras_joslim.tflite.arena import arena_bytes
from keras_joslim.tflite.convert import saved_model
from keras_joslim.tflite.formats import find_format, find_formats
from keras_joslim.tflite.interpreter import Interpreter
from keras_joslim.tflite.liveness import SeveralGraphsError
from keras_joslim.tflite.manifest import FILE_NAME, ExportedFile, Manifest, sha256
from keras_joslim.tflite.operators import operators
from keras_joslim.tflite.source import Source
from keras_joslim.tflite.verify import compare, keras_outputs, named_images

# A point's name becomes part of a file name, here and on phones.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def export(
    models,
    directory,
    formats=("fp32", "fp16"),
    *,
    images,
    metadata=None,
    tolerances=None,
    input_shape=None,
    on_progress=None,
):
    """Exports Keras models to TFLite files that agree with them.

    Each file is run by the LiteRT interpreter on `images` and compared with Keras before it is
    written to `directory/models/<point>.<format>.tflite`; then it is entered in
    `directory/manifest.json`. Both writes are atomic. A file made before from the same model, in
    the same format and under the same tolerance, and still intact, is kept: an interrupted export
    goes on where it stopped. Entries of other points and formats stay.

    Args:
        models: dict point name -> stock `keras.Model`, path of a `.keras` file, or function
            without arguments that returns a model (called when its turn comes).
        directory: where to write; made if missing.
        formats: names of number formats, "fp32" and "fp16", or one name.
        images: array of shape `(n, height, width, channels)`: real images, preprocessed as in
            training; a dict input name -> array for several inputs. A few suffice.
        metadata: dict point name -> dict of what is known of the point (widths, costs,
            validation...), copied into its manifest entries.
        tolerances: dict format -> `Tolerance` in the place of the format's own.
        input_shape: shape without batch for models that do not fix it; see `to_tflite`.
        on_progress: called as `on_progress(done, total, entry, kept)` after each file, with its
            `ExportedFile` and whether it was kept from before.

    Returns:
        The `Manifest` of the directory.

    Raises:
        DisagreementError: a file that computes something else than Keras; it is not written, and
            what was exported before stays.
        ValueError: models that cannot be converted, slimmable ones among them, names or images that
            do not fit, a directory whose manifest.json is not one.

    Example:

    >>> manifest = export({"p00": model}, "out", images=validation_images[:16])
    >>> manifest.find("p00", "fp32").path
    'models/p00.fp32.tflite'
    """
    directory = pathlib.Path(directory)
    formats = find_formats(formats)
    _check_names(models)
    _check_tolerances(formats, tolerances)
    accepted = {name: find_format(name).tolerance for name in formats} | dict(tolerances or {})
    metadata = _checked_metadata(models, metadata)
    path = directory / FILE_NAME
    manifest = Manifest.load(path) if path.exists() else Manifest(directory=directory)
    done, total = 0, len(models) * len(formats)

    for point, given in models.items():
        source = Source(given, point)
        kept = {}
        for name in formats:
            entry = manifest.find(point, name)
            if entry and _is_current(entry, source, accepted[name], input_shape, directory):
                kept[name] = entry
        missing = [name for name in formats if name not in kept]
        for entry in kept.values():
            if point in metadata and entry.metadata != metadata[point]:
                entry = dataclasses.replace(entry, metadata=metadata[point])
                manifest = manifest.replace(entry)
                manifest.save(path)
            done += 1
            if on_progress:
                on_progress(done, total, entry, True)
        for entry in _exported(
            point, source, missing, directory, images, accepted, input_shape, metadata.get(point)
        ):
            manifest = manifest.replace(entry)
            manifest.save(path)
            done += 1
            if on_progress:
                on_progress(done, total, entry, False)
    return manifest


def _exported(point, source, formats, directory, images, tolerances, input_shape, metadata):
    """Yields an `ExportedFile` for each format, once its file is accepted and written."""
    if not formats:
        return
    with saved_model(source.model(), input_shape) as saved:
        images = named_images(saved.model, images)
        expected = keras_outputs(saved.model, images)
        for name in formats:
            relative = f"models/{point}.{name}.tflite"
            data = saved.to_tflite(name)
            difference = compare(data, images, expected, tolerances[name], relative)
            file = Interpreter(data)
            entry = ExportedFile(
                point=point,
                format=name,
                path=relative,
                sha256=sha256(data),
                bytes=len(data),
                arena=_arena(data),
                source=source.sha256,
                operators=dict(sorted(collections.Counter(operators(data)).items())),
                difference=difference.to_dict(),
                tolerance=vars(tolerances[name]).copy(),
                inputs=file.inputs,
                outputs=file.outputs,
                versions=_versions(),
                metadata=metadata or {},
            )
            atomic.write_bytes(directory / relative, data)
            yield entry


def _is_current(entry, source, tolerance, input_shape, directory):
    """Does the entry's file still stand for what is asked for?"""
    if input_shape is not None:
        wanted = input_shape
        if not isinstance(input_shape, dict):
            wanted = {entry.inputs[0].name: input_shape}
        shapes = {facts.name: facts.shape[1:] for facts in entry.inputs}
        if any(shapes.get(name) != tuple(shape) for name, shape in wanted.items()):
            return False
    return (
        entry.source == source.sha256
        and entry.tolerance == vars(tolerance)
        and entry.is_intact(directory)
    )


def _versions():
    """The versions of what makes a file."""
    import keras
    import tensorflow as tf

    return {
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "ai_edge_litert": importlib.metadata.version("ai-edge-litert"),
    }


def _arena(data):
    """Bytes of the arena; `None` for a file with loops or branches."""
    try:
        return arena_bytes(data)
    except SeveralGraphsError:
        return None


def _check_names(models):
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


def _check_tolerances(formats, tolerances):
    unknown = sorted(set(tolerances or {}) - set(formats))
    if unknown:
        raise ValueError(f"Expected tolerances for {list(formats)}. Received: also {unknown}")


def _checked_metadata(models, metadata):
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
