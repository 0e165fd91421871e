"""manifest.json: what each exported TFLite file is, made from what, and how well it agrees.

One entry a file. The manifest is written after the file it describes, so a file without an entry
is one whose export was interrupted.
"""

import dataclasses
import hashlib
import json
import pathlib

from keras_joslim import atomic
from keras_joslim.preprocessing import Preprocessing
from keras_joslim.tflite.manifest_checks import (
    checked_entry,
    checked_labels,
    checked_latency,
    checked_preprocessing,
)

FILE_NAME = "manifest.json"
# The published schema; kind and version stand in it, and nowhere else.
SCHEMA_FILE = pathlib.Path(__file__).with_name("manifest.schema.json")


def manifest_schema():
    """The JSON schema (draft 2020-12) of manifest.json, as a dict.

    Example:

    >>> jsonschema.validate(json.loads(path.read_text()), manifest_schema())
    """
    return json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))


_HEAD = manifest_schema()["properties"]
KIND, SCHEMA = _HEAD["kind"]["const"], _HEAD["schema"]["const"]


@dataclasses.dataclass(frozen=True)
class ExportedFile:
    """One TFLite file.

    Attributes:
        point: name of the point it was made from.
        format: number format, "fp32", "int8"...
        path: relative to the manifest's directory, with forward slashes.
        sha256: of the file, 64 hexadecimal digits.
        bytes: its size.
        arena: bytes that the built-in interpreter allocates for its tensors, see `arena_bytes`;
            None for a file with loops or branches.
        source: sha256 of the Keras model (its file, or its config and weights).
        representative: sha256 of the representative images, see `representative_sha256`; None of
            a format that needs none.
        operators: dict operator -> how many.
        weights: dict dtype -> bytes of its constants; a "dynamic" file without "int8" has no
            kernel large enough to be quantised. None for a file with loops or branches.
        xnnpack: what XNNPACK took of it on the machine that made it, as `Delegated.to_dict()`; None
            where the interpreter does not tell.
        difference: from Keras, as `Difference.to_dict()`.
        tolerance: dict "absolute", "relative" that it was accepted under.
        inputs, outputs: tuples of `TensorFacts`, with scale and zero point of quantised ones.
        versions: dict package -> version that made the file.
        metadata: what the caller knows of the point: widths, costs...
        validation: what `evaluate` measured on validation data with the file itself: "metrics"
            (dict), "examples" (int) and "data" (the judge's sha256); empty until it is measured.
        test: the same on test data, see `measure_test`.
        peak_memory: bytes by which a process that runs it with XNNPACK grew at most; None until
            a profile is entered, see `Manifest.with_peaks`.
        latency: device -> what a profile measured there, milliseconds among it; see
            `Manifest.with_latency`.
        fine_tuning: of a format that is made by training: "data" (sha256 of what was learned
            from), "settings", and `FineTuned.facts()`; None of the others.
    """

    point: str
    format: str
    path: str
    sha256: str
    bytes: int
    arena: int | None
    source: str
    representative: str | None
    operators: dict
    weights: dict | None
    xnnpack: dict | None
    difference: dict
    tolerance: dict
    inputs: tuple
    outputs: tuple
    versions: dict
    metadata: dict = dataclasses.field(default_factory=dict)
    validation: dict = dataclasses.field(default_factory=dict)
    test: dict = dataclasses.field(default_factory=dict)
    peak_memory: int | None = None
    latency: dict = dataclasses.field(default_factory=dict)
    fine_tuning: dict | None = None

    def to_dict(self):
        """A JSON object."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        for key in ("inputs", "outputs"):
            values[key] = [facts.to_dict() for facts in values[key]]
        return values

    def is_intact(self, directory):
        """Is the file in `directory` there, byte for byte?"""
        path = pathlib.Path(directory) / self.path
        return path.is_file() and sha256(path.read_bytes()) == self.sha256


@dataclasses.dataclass(frozen=True)
class Manifest:
    """The entries of a directory of TFLite files.

    Attributes:
        files: tuple of `ExportedFile`, by point and format.
        labels: names of the classes, tuple of str in order of the outputs; None if there are none.
        preprocessing: the `Preprocessing` that makes a network's input from raw pixels; None if
            it is not known, or there are several inputs.
        directory: where the files are, or None if that is not known. It is not saved:
            a manifest moves with its files.

    Example:

    >>> manifest = Manifest.load("workdir/manifest.json")
    >>> manifest.find("p00", "fp32").bytes
    41236
    """

    files: tuple = ()
    directory: pathlib.Path | None = dataclasses.field(default=None, compare=False)
    labels: tuple | None = None
    preprocessing: Preprocessing | None = None

    def __post_init__(self):
        object.__setattr__(self, "labels", checked_labels(self.labels))

    def __repr__(self):
        points = {entry.point for entry in self.files}
        formats = sorted({entry.format for entry in self.files})
        return (
            f"Manifest({len(self.files)} files, {len(points)} points, formats={formats}, "
            f"directory={None if self.directory is None else str(self.directory)!r})"
        )

    def __len__(self):
        return len(self.files)

    def __iter__(self):
        return iter(self.files)

    def find(self, point, format):  # noqa: A002 - the word of the field
        """The entry of a point in a format, or None."""
        for entry in self.files:
            if (entry.point, entry.format) == (point, format):
                return entry
        return None

    def replace(self, entry):
        """A manifest with `entry` in the place of that of the same point and format."""
        others = self.without(entry.point, entry.format).files
        files = sorted([*others, entry], key=lambda item: (item.point, item.format))
        return dataclasses.replace(self, files=tuple(files))

    def without(self, point, format):  # noqa: A002 - the word of the field
        """A manifest without the entry of a point in a format, if it has one."""
        key = (point, format)
        files = [entry for entry in self.files if (entry.point, entry.format) != key]
        return dataclasses.replace(self, files=tuple(files))

    def described(self, labels=None, preprocessing=None):
        """A manifest with labels and preprocessing; what is None stays as it is.

        Raises:
            ValueError: labels that are not lines of text, a preprocessing of another type.
        """
        if not isinstance(preprocessing, Preprocessing | None):
            raise ValueError(
                "Expected a keras_joslim.datasets.Preprocessing. "
                f"Received: preprocessing={preprocessing!r}"
            )
        return dataclasses.replace(
            self,
            labels=self.labels if labels is None else labels,
            preprocessing=preprocessing or self.preprocessing,
        )

    def with_peaks(self, measured):
        """A manifest with the process peaks that a profile found.

        Args:
            measured: what `profile` returned for files of this manifest, named as in `paths`;
                files that it does not name keep their peak, as do all without XNNPACK.

        Returns:
            A `Manifest`.

        Example:

        >>> manifest = manifest.with_peaks(profile(manifest))
        >>> manifest.save("workdir/manifest.json")
        """
        files = []
        for entry in self.files:
            latency = measured.get(f"{entry.point}.{entry.format}")
            if latency is not None and latency.xnnpack:
                entry = dataclasses.replace(entry, peak_memory=latency.peak_memory)
            files.append(entry)
        return dataclasses.replace(self, files=tuple(files))

    def with_latency(self, device, measured):
        """A manifest with what a profile measured on a device.

        Args:
            device: what it is called, such as "host" or "pixel7".
            measured: dict as `profile` and `profile_with_tool` return it, or the `latencies` of a
                `PhoneProfile`: "<point>.<format>" -> `Latency` or `DeviceLatency`. Files that
                it does not name keep what they have.

        Returns:
            A `Manifest`.

        Raises:
            ValueError: a device without a name, figures that cannot have been measured.

        Example:

        >>> manifest = manifest.with_latency("host", profile(manifest))
        >>> manifest.find("p00", "fp32").latency["host"]["milliseconds"]
        0.0049
        """
        if not isinstance(device, str) or not device:
            raise ValueError(f"Expected the name of a device. Received: device={device!r}")
        files = []
        for entry in self.files:
            name = f"{entry.point}.{entry.format}"
            if name in measured:
                found = checked_latency(measured[name].to_entry(), f"latency of {name}")
                entry = dataclasses.replace(entry, latency={**entry.latency, device: found})
            files.append(entry)
        return dataclasses.replace(self, files=tuple(files))

    def paths(self):
        """The files as a dict "<point>.<format>" -> path, as `profile` takes them.

        Raises:
            ValueError: it is not known where they are.
        """
        if self.directory is None:
            raise ValueError(
                "This manifest knows no directory. Read it with `Manifest.load(directory)`, or "
                "make it with `Manifest(files, directory)`."
            )
        return {
            f"{entry.point}.{entry.format}": pathlib.Path(self.directory) / entry.path
            for entry in self.files
        }

    def check_files(self, directory=None):
        """Checks that each file is there and unchanged.

        Args:
            directory: where they are, if not in the manifest's own `directory`.

        Raises:
            ValueError: names the files that are not.
        """
        directory = self.directory if directory is None else directory
        if directory is None:
            raise ValueError("This manifest was not loaded from a directory: name one.")
        bad = [entry.path for entry in self.files if not entry.is_intact(directory)]
        if bad:
            raise ValueError(
                f"Expected the files of the manifest in {str(directory)!r}. Received: missing or "
                f"changed {bad}. Export them again."
            )

    def to_dict(self):
        """A JSON object."""
        return {
            "kind": KIND,
            "schema": SCHEMA,
            "labels": None if self.labels is None else list(self.labels),
            "preprocessing": self.preprocessing and self.preprocessing.to_dict(),
            "files": [entry.to_dict() for entry in self.files],
        }

    def save(self, path):
        """Writes the manifest to `path`, atomically."""
        atomic.write_json(path, self.to_dict())

    @classmethod
    def load(cls, path):
        """Reads a manifest.

        Args:
            path: of the JSON file, or of the directory that holds manifest.json.

        Returns:
            A `Manifest`.

        Raises:
            ValueError: no such file, not JSON, not a manifest, one of a newer version, one with
                missing or impossible entries.
        """
        path = pathlib.Path(path)
        if path.is_dir():
            path = path / FILE_NAME
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ValueError(
                f"Expected a manifest. Received: path={str(path)!r}: no file. Export first."
            ) from None
        except (UnicodeDecodeError, json.JSONDecodeError) as error:
            raise ValueError(
                f"{path} is not JSON ({error}). It is damaged or not a manifest: move it away and "
                "export again."
            ) from error
        if not isinstance(value, dict) or value.get("kind") != KIND:
            raise ValueError(
                f"Expected a manifest (kind {KIND!r}) in {path}. Received: something else. "
                "Export into another directory."
            )
        if value.get("schema") != SCHEMA:
            raise ValueError(
                f"Expected a manifest of schema {SCHEMA} in {path}. "
                f"Received: schema={value.get('schema')!r}. Use the version of keras_joslim that "
                "wrote it, or move it away and export again."
            )
        files = value.get("files")
        if not isinstance(files, list):
            raise ValueError(f"Expected a list 'files' in {path}. Received: files={files!r}")
        fields = {field.name: field.type for field in dataclasses.fields(ExportedFile)}
        entries = tuple(
            ExportedFile(**checked_entry(item, fields, f"entry {n} of {path}"))
            for n, item in enumerate(files)
        )
        known = {field.name for field in dataclasses.fields(cls)} - {"directory"}
        if set(value) != {"kind", "schema", *known}:
            raise ValueError(
                f"Expected the fields {sorted({'kind', 'schema', *known})} in {path}. "
                f"Received: {sorted(value)}"
            )
        return cls(
            entries,
            path.parent,
            checked_labels(value["labels"], f"labels of {path}"),
            checked_preprocessing(value["preprocessing"], f"preprocessing of {path}"),
        )


def sha256(data):
    """The sha256 of bytes, as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()
