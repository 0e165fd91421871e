"""Points become checked TFLite files in a directory, with a manifest; resumable at every file."""

import dataclasses
import functools
import pathlib

from keras_joslim import atomic
from keras_joslim.tflite.conversion_jobs import side_by_side
from keras_joslim.tflite.convert import saved_model
from keras_joslim.tflite.embedded_metadata import embed, has_metadata, is_embedded
from keras_joslim.tflite.evaluation import judged
from keras_joslim.tflite.export_checks import check_names, check_tolerances, checked_metadata
from keras_joslim.tflite.file_facts import (
    arena,
    operator_counts,
    versions,
    weights_by_type,
    xnnpack,
)
from keras_joslim.tflite.formats import find_format, find_formats
from keras_joslim.tflite.interpreter import Interpreter
from keras_joslim.tflite.manifest import FILE_NAME, ExportedFile, Manifest, sha256
from keras_joslim.tflite.qat.fine_tuning import (
    quantization_aware,
    refuse_without_training,
    require_tfmot,
    tfmot_versions,
)
from keras_joslim.tflite.quantized_file import quantizer_versions, require_quantizer
from keras_joslim.tflite.representative import (
    refuse_missing,
    representative_inputs,
    representative_sha256,
)
from keras_joslim.tflite.source import Source
from keras_joslim.tflite.verify import compare, keras_outputs, measure, named_images


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
    fine_tuning=None,
    judge=None,
    metadata=None,
    labels=None,
    preprocessing=None,
    embed_metadata=False,
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
    the same representative images or fine-tuning, in the same format and under the same tolerance,
    and still intact, is kept: an interrupted export goes on where it stopped. Entries of other
    points and formats stay.

    A format that a model cannot have, or cannot have within the tolerance, does not stop the
    others. Only "fp32" does: where it fails, something else is wrong.

    "qat", "cluster" and "prune" train each network further, so its file is held against the
    trained network; how far it is from the model given is entered, and refuses nothing. What the
    training was worth is told by `judge`.

    Args:
        models: dict point name -> stock `keras.Model`, path of a `.keras` file, or function
            without arguments that returns a model (called when its turn comes).
        directory: where to write; made if missing.
        formats: names of number formats, see `to_tflite`, or one name.
        images: array of shape `(n, height, width, channels)`: real images, preprocessed as in
            training; a dict input name -> array for several inputs. A few suffice.
        representative: the same, for "int8", "litert_int8" and "int16x8": some 100 to 500 images
            of the training data, not augmented.
        fine_tuning: `FineTuning`, for "qat", "cluster" and "prune".
        judge: `keras_joslim.evaluation.Judge` with validation data: each file's loss and metrics
            are entered as `validation`.
        metadata: dict point name -> dict of what is known of the point (widths, costs...),
            copied into its manifest entries.
        labels: names of the classes in order of the outputs, for the manifest.
        preprocessing: `datasets.Preprocessing`, how `images` came of raw pixels, likewise.
        embed_metadata: TFLite metadata (name, labels, normalisation) inside each file as well, see
            `embedded_metadata.embed`. A file that holds something else is made anew.
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
            do not fit, representative images or fine-tuning that are missing, a package that is
            not installed, a directory whose manifest.json is not one.

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
    check_names(models)
    check_tolerances(formats, tolerances)
    refuse_missing(representative, map(find_format, formats))
    refuse_without_training(fine_tuning, formats)
    metadata = checked_metadata(models, metadata)
    path = directory / FILE_NAME
    before = Manifest.load(path) if path.exists() else Manifest(directory=directory)
    manifest = before.described(labels, preprocessing)
    order = _Order(
        directory,
        images,
        representative,
        {name: _tolerance(name, fine_tuning) for name in formats} | dict(tolerances or {}),
        input_shape,
        fine_tuning,
        judge,
        metadata,
        (manifest.labels, manifest.preprocessing) if embed_metadata else None,
    )
    if path.exists() and manifest != before:
        manifest.save(path)
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
                yield order.for_process(missing), point, source, missing

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
    fine_tuning: object
    judge: object
    metadata: dict
    embedded: tuple | None

    def for_process(self, formats):
        """The same for another process: it converts and compares, this one measures."""
        if any(find_format(name).by_quantizer for name in formats):
            require_quantizer()
        fine_tuning = None
        if any(find_format(name).fine_tuned for name in formats):
            require_tfmot()
            fine_tuning = self.fine_tuning.with_outputs()
        return dataclasses.replace(self, judge=None, fine_tuning=fine_tuning)

    @functools.cached_property
    def _representative_sha256(self):
        return representative_sha256(self.representative)

    def _ranges_from(self, name):
        """The sha256 of what the ranges of a format are measured on; None if nothing is."""
        return self._representative_sha256 if find_format(name).needs_images else None

    def _trained_with(self, name):
        """What the training for a format depends on; an empty dict if there is none."""
        return self.fine_tuning.record(name) if find_format(name).fine_tuned else {}

    def _is_trained_alike(self, entry):
        known = entry.fine_tuning or {}
        wanted = self._trained_with(entry.format)
        return all(known.get(key) == value for key, value in wanted.items())

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
            and self._is_trained_alike(entry)
            and entry.tolerance == vars(self.tolerances[entry.format])
            and entry.is_intact(self.directory)
            and self._is_described_alike(entry)
        )

    def _is_described_alike(self, entry):
        data = (self.directory / entry.path).read_bytes()
        if self.embedded is None:
            return not has_metadata(data)
        return is_embedded(data, entry.point, entry.format, *self.embedded)

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
        trained = None
        if find_format(name).fine_tuned:
            tuned = quantization_aware(saved.model, self.fine_tuning, name, self.tolerances[name])
            data = self._described(tuned.data, point, name, saved.model)
            trained = {**self._trained_with(name), **tuned.facts()}
            difference = measure(data, images, expected, relative)
        else:
            data = saved.to_tflite(name, self.representative)
            data = self._described(data, point, name, saved.model)
            difference = compare(data, images, expected, self.tolerances[name], relative)
        file = Interpreter(data)
        entry = ExportedFile(
            point=point,
            format=name,
            path=relative,
            sha256=sha256(data),
            bytes=len(data),
            arena=arena(data),
            source=source.sha256,
            representative=self._ranges_from(name),
            operators=operator_counts(data),
            weights=weights_by_type(data),
            xnnpack=xnnpack(data),
            difference=difference.to_dict(),
            tolerance=vars(self.tolerances[name]).copy(),
            inputs=file.inputs,
            outputs=file.outputs,
            versions=versions() | _further_versions(find_format(name)),
            fine_tuning=trained,
        )
        atomic.write_bytes(self.directory / relative, data)
        return entry

    def _described(self, data, point, name, model):
        """The file with metadata in it, if that is asked for."""
        if self.embedded is None:
            return data
        return embed(data, model.name, point, name, *self.embedded)


def _files(order, point, source, formats):
    """`_Order.files` as a function that other processes find."""
    yield from order.files(point, source, formats)


def _tolerance(name, fine_tuning):
    settings = find_format(name)
    return fine_tuning.tolerance(name) if settings.fine_tuned else settings.tolerance


def _further_versions(settings):
    """Versions of what makes a file beyond what makes any."""
    if settings.by_quantizer:
        return quantizer_versions()
    return tfmot_versions() if settings.fine_tuned else {}


def _without_file(manifest, point, name):
    """The manifest, saved, without a file of before that stands for another model."""
    entry = manifest.find(point, name)
    if entry is None:
        return manifest
    manifest = manifest.without(point, name)
    manifest.save(manifest.directory / FILE_NAME)
    (manifest.directory / entry.path).unlink(missing_ok=True)
    return manifest
