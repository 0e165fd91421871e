"""Number formats with integers: the files compute what Keras computes, on integers, each time."""

import collections
import hashlib
import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_joslim import tflite
from keras_joslim.tflite.layer_names import layer_of
from keras_joslim.tflite.liveness import read_graph
from tests.tflite.random_weights import randomised

layers = keras.layers
RNG = np.random.default_rng(5)
TRAINING = RNG.random((24, 12, 12, 3)).astype(np.float32)
IMAGES = RNG.random((6, 12, 12, 3)).astype(np.float32)


def build(activation="hard_silu", seed=0, policy=None):
    """BatchNorm, depthwise, Add, Concatenate, an activation, Softmax; one kernel above 1,024."""
    image = keras.Input((12, 12, 3), name="image")
    x = layers.Conv2D(16, 3, strides=2, padding="same", name="stem", dtype=policy)(image)
    x = layers.BatchNormalization(name="stem_norm", dtype=policy)(x)
    x = shortcut = layers.Activation(activation, name="stem_act", dtype=policy)(x)
    x = layers.DepthwiseConv2D(3, padding="same", name="depthwise", dtype=policy)(x)
    x = layers.BatchNormalization(name="depthwise_norm", dtype=policy)(x)
    x = layers.ReLU(6.0, name="depthwise_relu", dtype=policy)(x)
    x = layers.Conv2D(16, 1, name="project", dtype=policy)(x)
    x = layers.Add(name="residual", dtype=policy)([shortcut, x])
    x = layers.Concatenate(name="both", dtype=policy)([x, shortcut])
    x = layers.Conv2D(40, 1, name="wide", dtype=policy)(x)
    x = layers.GlobalAveragePooling2D(name="pool", dtype=policy)(x)
    x = layers.Dense(5, name="logits", dtype="float32")(x)
    model = keras.Model(image, layers.Softmax(name="shares", dtype="float32")(x), name="blocks")
    return randomised(model, np.random.default_rng(seed))


def convert(model, *names, representative=TRAINING):
    with tflite.saved_model(model) as saved:
        return {name: saved.to_tflite(name, representative) for name in names}


@pytest.fixture(scope="module")
def relu():
    return build("relu")


@pytest.fixture(scope="module")
def made(relu):
    """The network with ReLU in the three formats."""
    return convert(relu, "dynamic", "int8", "int16x8")


def dtypes(data):
    return collections.Counter(tensor.dtype for tensor in read_graph(data).tensors)


def raw(data, images):
    """An independent run: the stored integers, by LiteRT's own details."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=data)
    interpreter.allocate_tensors()
    (given,), (found,) = interpreter.get_input_details(), interpreter.get_output_details()
    results = []
    for image in images:
        scale, zero = given["quantization"]
        integers = np.round(image.astype(np.float64) / scale) + zero
        interpreter.set_tensor(given["index"], np.clip(integers, -128, 127).astype(np.int8)[None])
        interpreter.invoke()
        scale, zero = found["quantization"]
        results.append(
            (interpreter.get_tensor(found["index"])[0].astype(np.float64) - zero) * scale
        )
    return np.array(results)


# -- what is in the files ------------------------------------------------------


@pytest.mark.parametrize("name", ["dynamic", "int8", "int16x8"])
def test_file_computes_what_keras_computes(relu, made, name):
    difference = tflite.verify(made[name], relu, IMAGES, tflite.FORMATS[name].tolerance)
    assert 1e-5 < difference.max_relative < 0.05
    assert np.ptp(np.asarray(relu(IMAGES))) > 0.1


def test_int8_holds_no_floating_point_from_end_to_end(made):
    assert set(dtypes(made["int8"])) == {"int8", "int32"}
    file = tflite.Interpreter(made["int8"])
    (given,), (found,) = file.inputs, file.outputs
    assert (given.dtype, found.dtype) == ("int8", "int8")
    # Images in [0, 1) on 256 steps; shares of a softmax have a scale that is fixed.
    assert given.scale == pytest.approx(1 / 255, rel=0.02)
    assert (given.zero_point, found.scale, found.zero_point) == (-128, 1 / 256, -128)


def test_int16x8_has_float_ends_and_no_other_float(made):
    graph = read_graph(made["int16x8"])
    floats = {i for i, tensor in enumerate(graph.tensors) if tensor.dtype == "float32"}
    assert floats == {*graph.inputs, *graph.outputs}
    assert {"int16", "int8"} <= set(dtypes(made["int16x8"]))
    assert tflite.Interpreter(made["int16x8"]).inputs[0].scale is None


def test_dynamic_quantises_kernels_from_1024_elements_on(made):
    graph = read_graph(made["dynamic"])
    kernels = {
        tensor.data.size: tensor.dtype
        for tensor in graph.tensors
        if tensor.data is not None and len(tensor.shape) == 4
    }
    # wide: 32 * 40; stem: 27 * 16; project: 16 * 16; depthwise: 9 * 16.
    assert kernels == {1280: "int8", 432: "float32", 256: "float32", 144: "float32"}


def test_runs_take_and_give_real_numbers(made):
    expected = raw(made["int8"], IMAGES)
    actual = tflite.run(made["int8"], IMAGES)
    assert actual.dtype == np.float32
    np.testing.assert_allclose(actual, expected, atol=1e-6)
    assert len(np.unique(actual)) > 10


def test_what_int8_cannot_hold_is_clipped(made):
    white = np.ones_like(IMAGES[:1])
    np.testing.assert_array_equal(
        tflite.run(made["int8"], white * 7), tflite.run(made["int8"], white)
    )


def test_quantised_inputs_want_real_numbers(made):
    with pytest.raises(ValueError, match=r"float32 can hold for input 'image'.*complex64"):
        tflite.run(made["int8"], IMAGES.astype(np.complex64))


@pytest.mark.parametrize("name", ["dynamic", "int8", "int16x8"])
def test_wrong_weights_are_refused(made, name):
    other = build("relu", seed=7)
    with pytest.raises(tflite.DisagreementError):
        tflite.verify(made[name], other, IMAGES, tflite.FORMATS[name].tolerance)


def test_hard_swish_is_quantised(capfd):
    model = build()
    capfd.readouterr()
    data = convert(model, "int8")["int8"]
    assert capfd.readouterr() == ("", "")
    assert "HARD_SWISH" in tflite.operators(data)
    tflite.verify(data, model, IMAGES, tflite.FORMATS["int8"].tolerance)


# -- bytes ---------------------------------------------------------------------


def test_same_model_and_images_give_the_same_bytes(relu, made):
    again = convert(build("relu"), "dynamic", "int8", "int16x8")
    assert again == made
    assert convert(relu, "int8", representative=TRAINING * 0.5)["int8"] != made["int8"]


@pytest.mark.slow
def test_bytes_are_the_same_in_another_process(tmp_path, relu, made):
    relu.save(tmp_path / "blocks.keras")
    np.save(tmp_path / "training.npy", TRAINING)
    program = (
        "import hashlib, sys, keras, numpy\n"
        "from keras_joslim import tflite\n"
        "keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])\n"
        "model = keras.saving.load_model(sys.argv[1])\n"
        "data = tflite.to_tflite(model, 'int8', representative=numpy.load(sys.argv[2]))\n"
        "print(hashlib.sha256(data).hexdigest())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "blocks.keras", tmp_path / "training.npy"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split()[-1] == hashlib.sha256(made["int8"]).hexdigest()


# -- what cannot be ------------------------------------------------------------


def test_float_islands_are_refused_by_operator_and_layer():
    model = build("elu")
    with pytest.raises(tflite.FormatError) as caught:
        tflite.to_tflite(model, "int8", representative=TRAINING)
    message = str(caught.value)
    assert message.startswith("Model 'blocks' cannot be int8 throughout")
    assert "left in floating point ELU (layer 'stem_act')" in message
    assert "\n" not in message
    assert caught.value.format == "int8"
    assert "ELU" in caught.value.operators
    assert "DEQUANTIZE" not in caught.value.operators


def test_missing_kernels_are_named_with_their_layer(capfd):
    capfd.readouterr()
    with pytest.raises(tflite.FormatError) as caught:
        tflite.to_tflite(build(), "int16x8", representative=TRAINING)
    assert "no int16x8 kernels for HARD_SWISH (layer 'stem_act')." in str(caught.value)
    assert caught.value.operators == ("HARD_SWISH",)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("name", ["int8", "int16x8"])
def test_loops_are_refused_before_the_quantiser_dies_of_them(name):
    inputs = keras.Input((5, 3))
    model = keras.Model(inputs, layers.Dense(2)(layers.LSTM(4, name="memory")(inputs)))
    steps = RNG.random((4, 5, 3)).astype(np.float32)
    with pytest.raises(tflite.FormatError, match=r"loop or a branch \(layers \['memory'\]; with"):
        tflite.to_tflite(model, name, representative=steps)


def test_representative_images_must_be_given(relu):
    for name in ("int8", "int16x8"):
        with pytest.raises(ValueError, match=rf"Format {name} needs .*100 to 500 .*training data"):
            tflite.to_tflite(relu, name)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (TRAINING[:0], r"at least one and as many for each input. Received: \{'image': 0\}"),
        (TRAINING[:, :8], r"shape \(12, 12, 3\) for input 'image'. Received: .*\(24, 8, 12, 3\)"),
        (TRAINING * np.nan, "finite representative images. Received: NaN or infinity for 'image'"),
        ({"picture": TRAINING}, r"representative images for \['image'\]. Received: .*picture"),
    ],
)
def test_representative_images_must_fit(relu, images, message):
    with pytest.raises(ValueError, match=message):
        tflite.to_tflite(relu, "int8", representative=images)


def test_layers_are_told_by_tensor_names():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3), layers.Dense(3)], name="outer")
    first, second = (layer.name for layer in model.layers)
    # TensorFlow counts scopes on: that of a layer "dense" is "dense_1".
    assert layer_of(model, f"outer_1/{first}_1/MatMul;outer_1/{first}_1/BiasAdd") == first
    assert layer_of(model, f"outer_1/{second}_2/MatMul") == second
    assert layer_of(model, f"outer_1/{second}/MatMul") in (first, second)
    assert layer_of(model, "StatefulPartitionedCall:0") is None
    nested = keras.Model(model.inputs, model(model.inputs), name="box")
    assert layer_of(nested, f"box_1/outer_1/{first}_1/MatMul") == first


# -- models of other kinds -----------------------------------------------------


def test_mixed_precision_model():
    model = build("relu", policy="mixed_bfloat16")
    with tflite.saved_model(model) as saved:
        data = saved.to_tflite("int8", TRAINING)
        tflite.verify(data, saved.model, IMAGES, tflite.FORMATS["int8"].tolerance)
    assert set(dtypes(data)) == {"int8", "int32"}


def test_two_inputs_go_by_name():
    """The sides differ in range, so that swapped representative images would be clipped."""
    zed, alpha = keras.Input((4,), name="zed"), keras.Input((4,), name="alpha")
    sides = [layers.Dense(3, name="left")(zed), layers.Dense(3, name="right")(alpha)]
    model = keras.Model([zed, alpha], layers.Add(name="sum")(sides))
    rng = np.random.default_rng(0)
    images = {
        "zed": rng.random((32, 4)).astype(np.float32),
        "alpha": 50 * rng.random((32, 4)).astype(np.float32),
    }
    named = tflite.to_tflite(model, "int8", representative=images)
    listed = tflite.to_tflite(model, "int8", representative=list(images.values()))
    assert named == listed
    scales = {facts.name: facts.scale for facts in tflite.Interpreter(named).inputs}
    assert scales["alpha"] == pytest.approx(50 * scales["zed"], rel=0.1)
    tflite.verify(named, model, images, tflite.Tolerance(0, 0.05))
    short = {**images, "alpha": images["alpha"][:-1]}
    with pytest.raises(ValueError, match=r"as many for each input. .*'zed': 32, 'alpha': 31"):
        tflite.to_tflite(model, "int8", representative=short)


def test_text_keeps_its_integer_inputs():
    tokens = keras.Input((6,), dtype="int32", name="tokens")
    x = layers.GlobalAveragePooling1D()(layers.Embedding(50, 8)(tokens))
    model = keras.Model({"tokens": tokens}, layers.Dense(3, name="topic")(x))
    text = {"tokens": np.random.default_rng(0).integers(0, 50, (30, 6)).astype(np.int32)}
    data = tflite.to_tflite(model, "int8", representative=text)
    (given,) = tflite.Interpreter(data).inputs
    assert (given.dtype, given.scale) == ("int32", None)
    tflite.verify(data, model, text, tflite.FORMATS["int8"].tolerance)
