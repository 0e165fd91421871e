"""Int8 files by LiteRT Quantizer (extra `quantizer`): integers throughout, as Keras computes."""

import hashlib
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from keras_joslim import tflite
from keras_joslim.tflite.embedded_metadata import embed, has_metadata
from keras_joslim.tflite.liveness import read_graph
from tests.tflite.random_weights import randomised

litert_quantizer = pytest.importorskip("litert_quantizer")

layers = keras.layers
NAME = "litert_int8"
RNG = np.random.default_rng(5)
TRAINING = RNG.random((24, 12, 12, 3)).astype(np.float32)
IMAGES = RNG.random((6, 12, 12, 3)).astype(np.float32)


def build(activation="hard_silu", seed=0):
    """BatchNorm, depthwise, Add, Concatenate, squeeze-and-excitation, an activation, Softmax."""
    image = keras.Input((12, 12, 3), name="image")
    x = layers.Conv2D(16, 3, strides=2, padding="same", name="stem")(image)
    x = layers.BatchNormalization(name="stem_norm")(x)
    x = shortcut = layers.Activation(activation, name="act")(x)
    x = layers.DepthwiseConv2D(3, padding="same", name="depthwise")(x)
    x = layers.ReLU(6.0, name="relu")(x)
    gate = layers.GlobalAveragePooling2D(keepdims=True, name="squeeze")(x)
    gate = layers.Conv2D(16, 1, activation="sigmoid", name="excite")(gate)
    x = layers.Multiply(name="gated")([x, gate])
    x = layers.Add(name="residual")([shortcut, x])
    x = layers.Concatenate(name="both")([x, shortcut])
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dense(5, name="logits")(x)
    model = keras.Model(image, layers.Softmax(name="shares")(x), name="blocks")
    return randomised(model, np.random.default_rng(seed))


@pytest.fixture(scope="module")
def model():
    return build()


@pytest.fixture(scope="module")
def saved(model):
    with tflite.saved_model(model) as saved:
        yield saved


@pytest.fixture(scope="module")
def made(saved):
    return saved.to_tflite(NAME, TRAINING)


def dtypes(data):
    return {tensor.dtype for tensor in read_graph(data).tensors}


def buffer_starts(data):
    """Where the contents of the buffers stand in a file; all must be inside the flatbuffer."""
    root = schema.Model.GetRootAs(data)
    starts = []
    for index in range(root.BuffersLength()):
        buffer = root.Buffers(index)
        assert buffer.Offset() == 0
        if buffer.DataLength():
            starts.append(buffer._tab.Vector(buffer._tab.Offset(4)))
    return starts


def test_file_computes_on_integers_what_keras_computes(model, made):
    difference = tflite.verify(made, model, IMAGES, tflite.FORMATS[NAME].tolerance)
    assert 1e-5 < difference.max_relative < 0.05
    assert np.ptp(np.asarray(model(IMAGES))) > 0.1
    assert dtypes(made) == {"int8", "int32"}
    assert "HARD_SWISH" in tflite.operators(made)
    (given,), (found,) = tflite.Interpreter(made).inputs, tflite.Interpreter(made).outputs
    assert (given.name, given.dtype, given.zero_point) == ("image", "int8", -128)
    assert given.scale == pytest.approx(TRAINING.max() / 255, rel=1e-5)
    assert (found.name, found.scale, found.zero_point) == ("shares", 1 / 256, -128)


def test_nothing_is_printed(saved, capfd):
    capfd.readouterr()
    saved.to_tflite(NAME, TRAINING)
    assert capfd.readouterr() == ("", "")


def test_wrong_weights_are_refused(made):
    with pytest.raises(tflite.DisagreementError):
        tflite.verify(made, build(seed=7), IMAGES, tflite.FORMATS[NAME].tolerance)


def test_one_bright_image_among_dark_ones_sets_the_range(saved):
    images = np.concatenate([TRAINING * 0.1, TRAINING[:1], TRAINING * 0.1])
    scale = tflite.Interpreter(saved.to_tflite(NAME, images)).inputs[0].scale
    assert scale == pytest.approx(TRAINING[0].max() / 255, rel=1e-5)


def test_same_model_and_images_give_the_same_bytes(saved, made):
    assert saved.to_tflite(NAME, TRAINING) == made
    assert tflite.to_tflite(build(), NAME, representative=TRAINING) == made
    assert saved.to_tflite(NAME, TRAINING * 0.5) != made


@pytest.mark.slow
def test_bytes_are_the_same_in_another_process(tmp_path, model, made):
    model.save(tmp_path / "blocks.keras")
    np.save(tmp_path / "training.npy", TRAINING)
    program = (
        "import hashlib, sys, keras, numpy\n"
        "from keras_joslim import tflite\n"
        "model = keras.saving.load_model(sys.argv[1])\n"
        "data = tflite.to_tflite(model, 'litert_int8', representative=numpy.load(sys.argv[2]))\n"
        "print(hashlib.sha256(data).hexdigest())\n"
    )
    for seed in ("0", "1"):
        done = subprocess.run(
            [sys.executable, "-c", program, tmp_path / "blocks.keras", tmp_path / "training.npy"],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.split()[-1] == hashlib.sha256(made).hexdigest()


def test_constants_are_aligned_and_inside_the_flatbuffer_of_a_large_file():
    """From 256 KiB of constants on LiteRT Quantizer puts them behind it."""
    inputs = keras.Input((512,), name="features")
    x = layers.Dense(700, activation="relu", name="wide")(inputs)
    rng = np.random.default_rng(0)
    model = randomised(keras.Model(inputs, layers.Dense(3, name="logits")(x)), rng)
    rows = rng.random((8, 512)).astype(np.float32)
    data = tflite.to_tflite(model, NAME, representative=rows)
    starts = buffer_starts(data)
    # Two kernels, two biases, two notes of the converter.
    assert len(starts) == 6
    assert all(start % 16 == 0 for start in starts)
    constants = [t for t in read_graph(data).tensors if t.data is not None]
    assert sum(t.data.size for t in constants if t.dtype == "int8") == 512 * 700 + 700 * 3
    tflite.verify(data, model, rows, tflite.Tolerance(0, 0.05))
    described = embed(data, "dense", "p00", NAME)
    assert has_metadata(described)
    np.testing.assert_array_equal(tflite.run(described, rows), tflite.run(data, rows))


def test_two_inputs_go_by_name():
    """The sides differ in range, so that swapped images would be clipped."""
    zed, alpha = keras.Input((4,), name="zed"), keras.Input((4,), name="alpha")
    sides = [layers.Dense(3, name="left")(zed), layers.Dense(3, name="right")(alpha)]
    model = keras.Model([zed, alpha], layers.Add(name="sum")(sides))
    rng = np.random.default_rng(0)
    images = {
        "zed": rng.random((32, 4)).astype(np.float32),
        "alpha": 50 * rng.random((32, 4)).astype(np.float32),
    }
    data = tflite.to_tflite(model, NAME, representative=images)
    scales = {facts.name: facts.scale for facts in tflite.Interpreter(data).inputs}
    assert scales["alpha"] == pytest.approx(50 * scales["zed"], rel=0.1)
    tflite.verify(data, model, images, tflite.Tolerance(0, 0.05))


def test_what_it_does_not_know_is_named_and_the_others_are_made(tmp_path):
    model = build("elu")
    with pytest.raises(tflite.ExportError) as caught:
        tflite.export(
            {"p00": model}, tmp_path, ("fp32", NAME), images=IMAGES, representative=TRAINING
        )
    assert [entry.format for entry in caught.value.manifest] == ["fp32"]
    error = caught.value.failures["p00", NAME]
    assert isinstance(error, tflite.FormatError)
    assert (error.format, error.operators) == (NAME, ("ELU",))
    assert "LiteRT Quantizer left in floating point ELU (layer 'act')" in str(error)
    assert "another format (int8, dynamic, fp16)" in str(error)
    assert "\n" not in str(error)


def test_a_file_that_it_refuses_is_one_line(saved, monkeypatch, capfd):
    def quantize(self, *arguments, **options):
        raise RuntimeError("Tensor act received two scales.\nA page of more.")

    monkeypatch.setattr(litert_quantizer.Quantizer, "quantize", quantize)
    capfd.readouterr()
    with pytest.raises(tflite.FormatError) as caught:
        saved.to_tflite(NAME, TRAINING)
    assert str(caught.value) == (
        "Model 'blocks' cannot be litert_int8: LiteRT Quantizer says: Tensor act received two "
        "scales. Export another format (int8, dynamic, fp16)."
    )
    assert capfd.readouterr() == ("", "")


def test_version_and_quantisation_are_in_the_manifest(tmp_path, model):
    manifest = tflite.export(
        {"p00": model}, tmp_path, ("int8", NAME), images=IMAGES, representative=TRAINING
    )
    int8, entry = manifest.find("p00", "int8"), manifest.find("p00", NAME)
    assert entry.path == "models/p00.litert_int8.tflite"
    assert entry.versions["litert_quantizer"].startswith("0.11")
    assert "litert_quantizer" not in int8.versions
    assert entry.inputs == tflite.Interpreter(tmp_path / entry.path).inputs
    assert [(t.name, t.shape, t.dtype) for t in entry.inputs] == [
        (t.name, t.shape, t.dtype) for t in int8.inputs
    ]
    assert entry.weights["int8"] == int8.weights["int8"]
    assert tflite.Manifest.load(tmp_path) == manifest
