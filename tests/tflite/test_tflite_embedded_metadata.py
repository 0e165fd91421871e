"""TFLite metadata inside a file: what readers find, and that the network does not notice."""

import contextlib
import importlib
import importlib.util
import io
import json
import subprocess
import sys
import time
import zipfile

import keras
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import number_types
from flatbuffers.table import Table

from keras_joslim import tflite
from keras_joslim.datasets import Preprocessing
from keras_joslim.tflite.embedded_metadata import embed, has_metadata, is_embedded

# The package's attribute of that name is the function.
EXPORT = importlib.import_module("keras_joslim.tflite.export")
LABELS = ("cat", "dog", "Käse & Brot", "tree", "sky")
BYTES = Preprocessing("Bytes.", (0, 255), (1 / 50, 1 / 64, 1 / 2), (-2.0, -1.0, 0.0))
SHARES = Preprocessing("Bytes over 255.", (0, 1), (4.0,), (-2.0,))
# Runs MediaPipe's classifier, which reads labels and normalisation out of the file. In a process
# of its own: MediaPipe brings OpenCV and a second TFLite along.
CLASSIFY = """
import json, sys
import mediapipe, numpy as np
from mediapipe.tasks.python import BaseOptions, vision
options = vision.ImageClassifierOptions(BaseOptions(model_asset_path=sys.argv[1]))
found = []
with vision.ImageClassifier.create_from_options(options) as classifier:
    for pixels in np.load(sys.argv[2]):
        image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=pixels)
        categories = classifier.classify(image).classifications[0].categories
        found.append({one.category_name: one.score for one in categories})
print(json.dumps(found))
"""


class Fields:
    """The fields of a flatbuffer's table by the numbers that metadata_schema.fbs gives them."""

    def __init__(self, table):
        self.table = table

    def _at(self, number):
        offset = self.table.Offset(4 + 2 * number)
        return self.table.Pos + offset if offset else None

    def text(self, number):
        at = self._at(number)
        return at and self.table.String(at).decode()

    def byte(self, number):
        at = self._at(number)
        return at and self.table.Get(number_types.Uint8Flags, at)

    def inner(self, number):
        return Fields(Table(self.table.Bytes, self.table.Indirect(self._at(number))))

    def floats(self, number):
        start, count = self._vector(number)
        return np.frombuffer(self.table.Bytes, "<f4", count, start).tolist()

    def tables(self, number):
        start, count = self._vector(number)
        places = [self.table.Indirect(start + 4 * index) for index in range(count)]
        return [Fields(Table(self.table.Bytes, place)) for place in places]

    def _vector(self, number):
        offset = self.table.Offset(4 + 2 * number)
        return (self.table.Vector(offset), self.table.VectorLen(offset)) if offset else (0, 0)


def read(data):
    """The root of the metadata in a file."""
    model = schema.Model.GetRootAs(data)
    [buffer] = [
        model.Metadata(i).Buffer()
        for i in range(model.MetadataLength())
        if model.Metadata(i).Name() == b"TFLITE_METADATA"
    ]
    blob = model.Buffers(buffer).DataAsNumpy().tobytes()
    assert blob[4:8] == b"M001"
    return Fields(Table(blob, Table(blob, 0).Indirect(0)))


def labels_in(data):
    with zipfile.ZipFile(io.BytesIO(data)) as opened:
        [entry] = opened.infolist()
        assert (entry.filename, entry.compress_type) == ("labels.txt", zipfile.ZIP_STORED)
        return opened.read(entry).decode().splitlines()


@pytest.fixture
def data(files):
    return files["fp32"]


def test_a_reader_finds_name_normalisation_and_labels(data):
    embedded = embed(data, "small", "p07", "fp32", LABELS, BYTES)
    root = read(embedded)
    assert (root.text(0), root.text(1), root.text(7)) == ("small", "Point p07 as fp32.", "1.0.0")
    [graph] = root.tables(3)
    [image], [logits] = graph.tables(2), graph.tables(3)
    assert (image.text(0), image.text(1)) == ("image", "Bytes.")
    content = image.inner(3)
    assert content.byte(0) == 2  # ImageProperties
    assert content.inner(1).byte(0) == 1  # RGB
    [unit] = image.tables(4)
    assert unit.byte(0) == 1  # NormalizationOptions
    assert unit.inner(1).floats(0) == [100, 64, 0]
    assert unit.inner(1).floats(1) == [50, 64, 2]
    assert logits.text(0) == "logits"
    assert logits.inner(3).byte(0) == 1  # FeatureProperties
    [file] = logits.tables(6)
    assert (file.text(0), file.byte(2)) == ("labels.txt", 2)  # TENSOR_AXIS_LABELS
    assert labels_in(embedded) == list(LABELS)


def test_normalisation_takes_bytes_whatever_the_raw_range(data):
    image = read(embed(data, "small", "p00", "fp32", None, SHARES)).tables(3)[0].tables(2)[0]
    [mean], [std] = (image.tables(4)[0].inner(1).floats(number) for number in (0, 1))
    for byte in (0, 51, 255):
        [expected] = SHARES([byte / 255])
        assert (byte - mean) / std == pytest.approx(expected, abs=1e-6)
    assert image.text(1).endswith("here are for the same pixels from 0 to 255.")


@pytest.mark.parametrize("name", ["fp32", "fp16", "int8"])
def test_the_network_does_not_notice(name, model, files, images):
    plain = files.get(name) or tflite.to_tflite(model, name, representative=images)
    embedded = embed(plain, "small", "p00", name, LABELS, BYTES)
    assert [has_metadata(plain), has_metadata(embedded)] == [False, True]
    np.testing.assert_array_equal(tflite.run(embedded, images), tflite.run(plain, images))
    assert tflite.operators(embedded) == tflite.operators(plain)
    assert tflite.arena_bytes(embedded) == tflite.arena_bytes(plain)
    assert tflite.Interpreter(embedded).inputs == tflite.Interpreter(plain).inputs
    # All is there as it was, and as aligned: nothing is to more than 16 bytes.
    assert embedded.index(plain) % 16 == 0
    assert len(embedded) - len(plain) < 1200
    before, after = (
        [(one.name, one.buffer) for one in schema.ModelT.InitFromPackedBuf(file).metadata]
        for file in (plain, embedded)
    )
    buffers = schema.Model.GetRootAs(plain).BuffersLength()
    assert after == [*before, (b"TFLITE_METADATA", buffers)]


def test_bytes_do_not_depend_on_the_time(data, monkeypatch):
    found = []
    for now in (1.0e9, 1.5e9):
        monkeypatch.setattr(time, "time", lambda now=now: now)
        found.append(embed(data, "small", "p00", "fp32", LABELS, BYTES))
    assert found[0] == found[1]


def test_of_several_inputs_and_outputs_only_names_are_known():
    zed, alpha = keras.Input((4,), name="zed"), keras.Input((4,), name="alpha")
    mixed = zed - 3.0 * alpha
    outputs = [keras.layers.Dense(2, name="two")(mixed), keras.layers.Dense(3, name="three")(mixed)]
    data = tflite.to_tflite(keras.Model([zed, alpha], outputs))
    embedded = embed(data, "mixed", "p00", "fp32", ("a", "b"), BYTES)
    [graph] = read(embedded).tables(3)
    details = tflite.Interpreter(embedded)
    for number, facts in ((2, details.inputs), (3, details.outputs)):
        tensors = graph.tables(number)
        assert sorted(one.text(0) for one in tensors) == sorted(one.name for one in facts)
        assert not any(one.tables(4) or one.tables(6) for one in tensors)
        assert [one.inner(3).byte(0) for one in tensors] == [1, 1]
    # In the order of the graph, which the name of its tensor tells.
    first = schema.Model.GetRootAs(data).Subgraphs(0)
    assert graph.tables(2)[0].text(0) in first.Tensors(first.Inputs(0)).Name().decode()
    assert not zipfile.is_zipfile(io.BytesIO(embedded))


def test_labels_of_another_number_than_the_outputs_are_left_out(data):
    embedded = embed(data, "small", "p00", "fp32", LABELS[:4])
    [logits] = read(embedded).tables(3)[0].tables(3)
    assert logits.tables(6) == []
    assert not zipfile.is_zipfile(io.BytesIO(embedded))


def test_a_grey_image_and_a_row_of_numbers():
    for shape, kind, colour in (((4, 4, 1), 2, 2), ((7,), 1, None)):
        inputs = keras.Input(shape, name="x")
        hidden = keras.layers.Flatten()(inputs)
        data = tflite.to_tflite(keras.Model(inputs, keras.layers.Dense(2)(hidden)))
        tensor = read(embed(data, "m", "p", "fp32", None, SHARES)).tables(3)[0].tables(2)[0]
        assert tensor.inner(3).byte(0) == kind
        assert tensor.inner(3).inner(1).byte(0) == colour
        # Raw numbers that are no pixels are taken as they are.
        mean = 127.5 if kind == 2 else 0.5
        assert tensor.tables(4)[0].inner(1).floats(0) == [mean]


def test_a_preprocessing_of_other_channels_is_refused(data):
    other = Preprocessing("Two channels.", (0, 255), (1.0, 2.0), (0.0, 0.0))
    with pytest.raises(ValueError, match=r"or 3 of them, for input 'image' .*scale=\(1.0, 2.0\)"):
        embed(data, "small", "p00", "fp32", None, other)


def test_what_a_file_holds_is_told_apart(data):
    embedded = embed(data, "small", "p00", "fp32", LABELS, BYTES)
    assert is_embedded(embedded, "p00", "fp32", LABELS, BYTES)
    renamed = embed(data, "another", "p00", "fp32", LABELS, BYTES)
    assert is_embedded(renamed, "p00", "fp32", LABELS, BYTES)
    for others in (
        ("p01", "fp32", LABELS, BYTES),
        ("p00", "fp16", LABELS, BYTES),
        ("p00", "fp32", LABELS[::-1], BYTES),
        ("p00", "fp32", None, BYTES),
        ("p00", "fp32", LABELS, SHARES),
        ("p00", "fp32", LABELS),
    ):
        assert not is_embedded(embedded, *others)
    assert not is_embedded(data, "p00", "fp32")


def test_export_makes_a_file_anew_when_what_it_holds_changes(tmp_path, model, images, monkeypatch):
    with tflite.saved_model(model) as saved:
        # Made once, for it is what takes the time.
        monkeypatch.setattr(EXPORT, "saved_model", lambda *_: contextlib.nullcontext(saved))

        def made(**changes):
            """(Was it made anew, the bytes of the file)."""
            kept = []
            manifest = tflite.export(
                {"p00": model},
                tmp_path,
                "fp32",
                images=images,
                on_progress=lambda *event: kept.append(event[3]),
                **changes,
            )
            manifest.check_files(tmp_path)
            return kept == [False], (tmp_path / manifest.files[0].path).read_bytes()

        new, plain = made(labels=LABELS, preprocessing=BYTES)
        assert (new, has_metadata(plain)) == (True, False)
        new, embedded = made(embed_metadata=True)
        # Labels and preprocessing are those that the manifest has.
        assert (new, labels_in(embedded)) == (True, list(LABELS))
        assert embedded == embed(plain, "small", "p00", "fp32", LABELS, BYTES)
        assert made(embed_metadata=True, labels=LABELS) == (False, embedded)
        new, changed = made(embed_metadata=True, labels=LABELS[::-1])
        assert (new, labels_in(changed)) == (True, list(LABELS[::-1]))
        assert made() == (True, plain)
        assert made() == (False, plain)


@pytest.mark.slow
@pytest.mark.skipif(
    not importlib.util.find_spec("mediapipe"), reason="needs mediapipe, which no extra brings"
)
def test_mediapipe_classifies_with_what_it_reads(tmp_path, model):
    network = keras.Model(model.input, keras.layers.Softmax()(model.output), name="small")
    pixels = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3)).astype(np.uint8)
    # (It knows one normalisation for all channels only.)
    images = (pixels / 255 * 4 - 2).astype(np.float32)
    data = tflite.to_tflite(network)
    path, array = tmp_path / "small.tflite", tmp_path / "pixels.npy"
    path.write_bytes(embed(data, "small", "p00", "fp32", LABELS, SHARES))
    np.save(array, pixels)
    command = [sys.executable, "-c", CLASSIFY, str(path), str(array)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    scores = json.loads(result.stdout.splitlines()[-1])
    found = [[one[label] for label in LABELS] for one in scores]
    np.testing.assert_allclose(found, tflite.run(data, images), atol=1e-5)
