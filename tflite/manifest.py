"""manifest.json: what each exported TFLite file is, made from what, and how well it agrees.

One entry a file. The manifest is written after the file it describes, so a file without an entry
is one whose export was interrupted.
"""

import dataclasses
import hashlib
import json
import pathlib
import re

from keras_joslim import atomic
from keras_joslim.tflite.interpreter import TensorFacts

FILE_NAME = "manifest.json"
KIND = "keras_joslim.tflite manifest"
SCHEMA = 3

_SHA256 = re.compile(r"[0-9a-f]{64}")


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
    difference: dict
    tolerance: dict
    inputs: tuple
    outputs: tuple
    versions: dict
    metadata: dict = dataclasses.field(default_factory=dict)
    validation: dict = dataclasses.field(default_factory=dict)
    test: dict = dataclasses.field(default_factory=dict)
    peak_memory: int | None = None

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
        directory: where the files are, or None if that is not known. It is not saved:
            a manifest moves with its files.

    Example:

    >>> manifest = Manifest.load("workdir/manifest.json")
    >>> manifest.find("p00", "fp32").bytes
    41236
    """

    files: tuple = ()
    directory: pathlib.Path | None = dataclasses.field(default=None, compare=False)

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
        return Manifest(tuple(files), self.directory)

    def without(self, point, format):  # noqa: A002 - the word of the field
        """A manifest without the entry of a point in a format, if it has one."""
        key = (point, format)
        files = [entry for entry in self.files if (entry.point, entry.format) != key]
        return Manifest(tuple(files), self.directory)

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
        return Manifest(tuple(files), self.directory)

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

    def check_files(self, directory):
        """Checks that each file is there and unchanged.

        Raises:
            ValueError: names the files that are not.
        """
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
        entries = tuple(_entry(item, f"entry {n} of {path}") for n, item in enumerate(files))
        return cls(entries, path.parent)


def sha256(data):
    """The sha256 of bytes, as 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def _entry(value, where):
    """An `ExportedFile` out of its JSON object, checked."""
    fields = {field.name: field.type for field in dataclasses.fields(ExportedFile)}
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
    return ExportedFile(**value)


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
