"""Points become checked TFLite files in a directory, with a manifest; resumable at every file."""

import collections
import dataclasses
import functools
import importlib.metadata
import pathlib
import re

import numpy as np

from keras_joslim import atomic
from keras_joslim.tflite.arena import arena_bytes
from keras_joslim.tflite.conversion_jobs import side_by_side
from keras_joslim.tflite.convert import saved_model
from keras_joslim.tflite.evaluation import judged
from keras_joslim.tflite.formats import find_format, find_formats
from keras_joslim.tflite.interpreter import Interpreter
from keras_joslim.tflite.liveness import SeveralGraphsError, read_graph
from keras_joslim.tflite.manifest import FILE_NAME, ExportedFile, Manifest, sha256
from keras_joslim.tflite.operators import operators
from keras_joslim.tflite.representative import (
    refuse_missing,
    representative_inputs,
    representative_sha256,
)
from keras_joslim.tflite.source import Source
from keras_joslim.tflite.verify import compare, keras_outputs, named_images

# A point's name becomes part of a file name, here and on phones.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class ExportError(ValueError):
    """Some files could not be made; all others are written.

    Attributes:
        failures: dict (point, format) -> the error, a `ValueError`.
        manifest: the `Manifest` of what there is.
    """

    def __init__(self, failures, manifest):
        self.failures = dict(failures)
        self.manifest = manifest
        lines = [f"{point} as {name}: {error}" for (point, name), error in self.failures.items()]
        super().__init__(
            f"Files that could not be made: {len(lines)}; the others are written.\n"
            + "\n".join(lines)
        )


def export(
    models,
    directory,
    formats=("fp32", "fp16"),
    *,
    images,
    representative=None,
    judge=None,
    metadata=None,
    tolerances=None,
    input_shape=None,
    jobs=1,
    on_progress=None,
    on_failure=None,
):
    """Exports Keras models to TFLite files that agree with them.

    Each file is run by the LiteRT interpreter on `images` and compared with Keras before it is
    written to `directory/models/<point>.<format>.tflite`; then it is entered in
    `directory/manifest.json`. Both writes are atomic. A file made before from the same model and
    the same representative images, in the same format and under the same tolerance, and still
    intact, is kept: an interrupted export goes on where it stopped. Entries of other points and
    formats stay.

    A format that a model cannot have, or cannot have within the tolerance, does not stop the
    others. Only "fp32" does: where it fails, something else is wrong.

    Args:
        models: dict point name -> stock `keras.Model`, path of a `.keras` file, or function
            without arguments that returns a model (called when its turn comes).
        directory: where to write; made if missing.
        formats: names of number formats, see `to_tflite`, or one name.
        images: array of shape `(n, height, width, channels)`: real images, preprocessed as in
            training; a dict input name -> array for several inputs. A few suffice.
        representative: the same, for "int8" and "int16x8": some 100 to 500 images of the training
            data, not augmented.
        judge: `keras_joslim.evaluation.Judge` with validation data: each file's loss and metrics
            are entered as `validation`.
        metadata: dict point name -> dict of what is known of the point (widths, costs...),
            copied into its manifest entries.
        tolerances: dict format -> `Tolerance` in the place of the format's own.
        input_shape: shape without batch for models that do not fix it; see `to_tflite`.
        jobs: processes that convert, each a point at a time (`usable_jobs` says how many this
            machine has memory for). With more than one a script needs the usual
            `if __name__ == "__main__":`, and custom layers must be in an importable module, for
            the processes are fresh ones; functions as models are called here.
        on_progress: called as `on_progress(done, total, entry, kept)` after each file, with its
            `ExportedFile` and whether it was kept from before.
        on_failure: called as `on_failure(point, format, error)` for each file that could not be
            made; its entry of before is taken out. Without it an `ExportError` ends the export.

    Returns:
        The `Manifest` of the directory.

    Raises:
        DisagreementError: an "fp32" file that computes something else than Keras; it is not
            written, and what was exported before stays.
        ExportError: at the end, if there were failures and no `on_failure`.
        ValueError: models that cannot be converted, slimmable ones among them, names or images that
            do not fit, representative images that are missing, a directory whose manifest.json is
            not one.

    Example:

    >>> manifest = export(
    ...     {"p00": model}, "out", ("fp32", "int8"),
    ...     images=validation_images[:16], representative=train_images[:200],
    ...     judge=Judge(model, (validation_images, validation_labels)),
    ... )
    >>> manifest.find("p00", "int8").validation["metrics"]["accuracy"]
    0.964
    """
    directory = pathlib.Path(directory)
    formats = find_formats(formats)
    _check_names(models)
    _check_tolerances(formats, tolerances)
    refuse_missing(representative, map(find_format, formats))
    metadata = _checked_metadata(models, metadata)
    order = _Order(
        directory,
        images,
        representative,
        {name: find_format(name).tolerance for name in formats} | dict(tolerances or {}),
        input_shape,
        judge,
        metadata,
    )
    path = directory / FILE_NAME
    manifest = Manifest.load(path) if path.exists() else Manifest(directory=directory)
    done, total, failures = 0, len(models) * len(formats), {}

    def tasks():
        """What is to be made, point by point; files that are kept are told on the way."""
        nonlocal manifest, done
        for point, given in models.items():
            source = Source(given, point)
            missing = []
            for name in formats:
                entry = manifest.find(point, name)
                if not (entry and order.is_met_by(entry, source)):
                    missing.append(name)
                    continue
                current = dataclasses.replace(entry, **order.new_facts(entry, source))
                if current != entry:
                    manifest = manifest.replace(current)
                    manifest.save(path)
                done += 1
                if on_progress:
                    on_progress(done, total, current, True)
            if missing:
                yield order.without_judge(), point, source, missing

    for (_, point, source, _), (name, made) in side_by_side(_files, tasks(), jobs):
        done += 1
        entry = order.measured(made, source)
        if isinstance(entry, ValueError):
            manifest = _without_file(manifest, point, name)
            failures[point, name] = entry
            if on_failure:
                on_failure(point, name, entry)
            continue
        manifest = manifest.replace(entry)
        manifest.save(path)
        if on_progress:
            on_progress(done, total, entry, False)
    if failures and not on_failure:
        raise ExportError(failures, manifest)
    return manifest


@dataclasses.dataclass(frozen=True)
class _Order:
    """What an export is to make of each model."""

    directory: pathlib.Path
    images: object
    representative: object
    tolerances: dict
    input_shape: object
    judge: object
    metadata: dict

    def without_judge(self):
        """The same for another process: it converts and compares, this one measures."""
        return dataclasses.replace(self, judge=None)

    @functools.cached_property
    def _representative_sha256(self):
        return representative_sha256(self.representative)

    def _ranges_from(self, name):
        """The sha256 of what the ranges of a format are measured on; None if nothing is."""
        return self._representative_sha256 if find_format(name).needs_images else None

    def is_met_by(self, entry, source):
        """Does the entry's file still stand for what is asked for?"""
        if self.input_shape is not None:
            wanted = self.input_shape
            if not isinstance(wanted, dict):
                wanted = {entry.inputs[0].name: wanted}
            shapes = {facts.name: facts.shape[1:] for facts in entry.inputs}
            if any(shapes.get(name) != tuple(shape) for name, shape in wanted.items()):
                return False
        return (
            entry.source == source.sha256
            and entry.representative == self._ranges_from(entry.format)
            and entry.tolerance == vars(self.tolerances[entry.format])
            and entry.is_intact(self.directory)
        )

    def new_facts(self, entry, source):
        """What to replace in an entry: metadata, and validation if it has not been measured."""
        facts = {}
        if entry.point in self.metadata:
            facts["metadata"] = self.metadata[entry.point]
        if self.judge is not None and entry.validation.get("data") != self.judge.sha256:
            file = self.directory / entry.path
            facts["validation"] = judged(file, self.judge, source.model())
        return facts

    def measured(self, made, source):
        """The entry with all its facts, or the `ValueError` that kept the file from being one."""
        if isinstance(made, ValueError):
            return made
        try:
            return dataclasses.replace(made, **self.new_facts(made, source))
        except ValueError as error:
            (self.directory / made.path).unlink(missing_ok=True)
            if made.format == "fp32":
                raise
            return error

    def files(self, point, source, formats):
        """Yields (format, `ExportedFile` written or `ValueError` that kept it from it)."""
        if not formats:
            return
        with saved_model(source.model(), self.input_shape) as saved:
            images = named_images(saved.model, self.images)
            expected = keras_outputs(saved.model, images)
            if any(find_format(name).needs_images for name in formats):
                # Images that do not fit are no failure of a format.
                representative_inputs(saved.model, self.representative, saved.shapes)
            for name in formats:
                try:
                    made = self._file(point, source, name, saved, images, expected)
                except ValueError as error:
                    if name == "fp32":
                        raise
                    made = error
                yield name, made

    def _file(self, point, source, name, saved, images, expected):
        relative = f"models/{point}.{name}.tflite"
        data = saved.to_tflite(name, self.representative)
        difference = compare(data, images, expected, self.tolerances[name], relative)
        file = Interpreter(data)
        entry = ExportedFile(
            point=point,
            format=name,
            path=relative,
            sha256=sha256(data),
            bytes=len(data),
            arena=_arena(data),
            source=source.sha256,
            representative=self._ranges_from(name),
            operators=dict(sorted(collections.Counter(operators(data)).items())),
            weights=_weights(data),
            difference=difference.to_dict(),
            tolerance=vars(self.tolerances[name]).copy(),
            inputs=file.inputs,
            outputs=file.outputs,
            versions=_versions(),
        )
        atomic.write_bytes(self.directory / relative, data)
        return entry


def _files(order, point, source, formats):
    """`_Order.files` as a function that other processes find."""
    yield from order.files(point, source, formats)


def _without_file(manifest, point, name):
    """The manifest, saved, without a file of before that stands for another model."""
    entry = manifest.find(point, name)
    if entry is None:
        return manifest
    manifest = manifest.without(point, name)
    manifest.save(manifest.directory / FILE_NAME)
    (manifest.directory / entry.path).unlink(missing_ok=True)
    return manifest


def _weights(data):
    """Bytes of the constants by dtype; `None` for a file with loops or branches."""
    try:
        graph = read_graph(data)
    except SeveralGraphsError:
        return None
    buffers = {t.buffer: t for t in graph.tensors if t.buffer is not None}
    sizes = collections.Counter()
    for tensor in buffers.values():
        sizes[tensor.dtype] += tensor.data.nbytes
    return dict(sorted(sizes.items()))


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
