"""Conversion: the file computes what Keras computes, is the same each time, or is refused."""

import hashlib
import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_joslim import tflite


@pytest.mark.parametrize(("name", "bound"), [("fp32", 1e-5), ("fp16", 5e-3)])
def test_file_equals_keras(model, images, files, name, bound):
    expected = keras.ops.convert_to_numpy(model(images, training=False))
    actual = tflite.run(files[name], images)
    assert actual.shape == (6, 5)
    assert np.ptp(expected) > 0.1
    np.testing.assert_allclose(actual, expected, atol=bound * np.abs(expected).max(), rtol=0)


def test_fp16_rounds_the_weights(images, files):
    assert len(files["fp16"]) != len(files["fp32"])
    assert np.abs(tflite.run(files["fp16"], images) - tflite.run(files["fp32"], images)).max() > 0


def test_batch_norm_is_folded(files):
    assert sorted(set(tflite.operators(files["fp32"]))) == [
        "ADD",
        "CONV_2D",
        "DEPTHWISE_CONV_2D",
        "FULLY_CONNECTED",
        "MEAN",
    ]


def test_input_and_output_are_named_and_static(files):
    file = tflite.Interpreter(files["fp32"])
    real = {"dtype": "float32", "scale": None, "zero_point": None}
    assert [facts.to_dict() for facts in file.inputs] == [
        {"name": "image", "shape": [1, 16, 16, 3], **real}
    ]
    assert [facts.to_dict() for facts in file.outputs] == [
        {"name": "logits", "shape": [1, 5], **real}
    ]


@pytest.mark.parametrize("name", ["fp32", "fp16"])
def test_bytes_are_the_same_each_time(model, files, name):
    assert tflite.to_tflite(model, name) == files[name]


@pytest.mark.slow
def test_bytes_are_the_same_in_another_process(tmp_path, model, files):
    model.save(tmp_path / "small.keras")
    program = (
        "import hashlib, sys, keras\n"
        "from keras_joslim import tflite\n"
        "keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])\n"
        "model = keras.saving.load_model(sys.argv[1])\n"
        "print(hashlib.sha256(tflite.to_tflite(model)).hexdigest())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "small.keras")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split()[-1] == hashlib.sha256(files["fp32"]).hexdigest()


@pytest.mark.slow
def test_mobilenet_v2_equals_keras():
    keras.utils.set_random_seed(3)
    # Logits, not probabilities: a softmax over 1000 classes of an untrained network is constant.
    model = keras.applications.MobileNetV2(
        weights=None, alpha=0.35, input_shape=(96, 96, 3), classifier_activation=None
    )
    rng = np.random.default_rng(3)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([rng.uniform(0.5, 1.5, w.shape) for w in layer.weights])
    images = rng.random((2, 96, 96, 3)).astype(np.float32)
    difference = tflite.verify(tflite.to_tflite(model), model, images)
    assert difference.max_relative <= 1e-5
    assert np.std(model(images)) > 0.01


def test_several_inputs_and_outputs_go_by_name():
    rng = np.random.default_rng(0)
    left, right = keras.Input((4,), name="left"), keras.Input((3,), name="right")
    both = keras.layers.Concatenate()([left, right])
    model = keras.Model(
        {"right": right, "left": left},
        [keras.layers.Dense(2, name="first")(both), keras.layers.Dense(5, name="second")(left)],
    )
    batch = {
        "left": rng.random((3, 4)).astype(np.float32),
        "right": rng.random((3, 3)).astype(np.float32),
    }
    data = tflite.to_tflite(model)
    assert tflite.verify(data, model, batch).images == 3
    outputs = tflite.run(data, batch)
    assert {name: value.shape for name, value in outputs.items()} == {
        "first": (3, 2),
        "second": (3, 5),
    }
    with pytest.raises(ValueError, match=r"Expected images as a dict with the keys .*left"):
        tflite.run(data, batch["left"])


def test_outputs_of_one_layer_get_different_names(images):
    image = keras.Input((16, 16, 3), name="image")
    dense = keras.layers.Dense(2, name="head")
    model = keras.Model(image, [dense(image), dense(1 - image)])
    file = tflite.Interpreter(tflite.to_tflite(model))
    assert sorted(facts.name for facts in file.outputs) == ["head", "head_1"]


def test_sequential_model(images):
    model = keras.Sequential(
        [keras.Input((16, 16, 3)), keras.layers.Flatten(), keras.layers.Dense(3)]
    )
    assert tflite.verify(tflite.to_tflite(model), model, images).max_relative <= 1e-5


def test_an_input_named_by_a_dict():
    image = keras.Input((4,), name="image")
    model = keras.Model({"image": image}, {"sums": keras.layers.Dense(3, name="out")(image)})
    batch = np.random.default_rng(0).random((2, 4)).astype(np.float32)
    assert tflite.verify(tflite.to_tflite(model), model, batch).max_relative <= 1e-5


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_model_is_exported_in_float32(images, policy):
    image = keras.Input((16, 16, 3), name="image")
    x = keras.layers.Conv2D(4, 3, dtype=policy)(image)
    x = keras.layers.BatchNormalization(dtype=policy)(x)
    x = keras.layers.GlobalAveragePooling2D(dtype=policy)(keras.layers.ReLU(dtype=policy)(x))
    model = keras.Model(image, keras.layers.Dense(2, dtype="float32")(x))
    with tflite.saved_model(model) as saved:
        data = saved.to_tflite("fp32")
        assert tflite.verify(data, saved.model, images).max_relative <= 1e-5
    half = keras.ops.convert_to_numpy(model(images))
    np.testing.assert_allclose(tflite.run(data, images), half, rtol=0.1, atol=0.05)


def test_unknown_height_and_width(build_model, images):
    model = build_model(shape=(None, None, 3))
    with pytest.raises(ValueError, match=r"'image' of shape \(None, None, 3\).*Pass input_shape="):
        tflite.to_tflite(model)
    data = tflite.to_tflite(model, input_shape=(16, 16, 3))
    assert tflite.Interpreter(data).inputs[0].shape == (1, 16, 16, 3)
    assert tflite.verify(data, model, images).max_relative <= 1e-5


def test_input_shape_must_fit_the_model(model):
    with pytest.raises(ValueError, match=r"has shape \(16, 16, 3\).*input_shape=\(32, 32, 3\)"):
        tflite.to_tflite(model, input_shape=(32, 32, 3))
    with pytest.raises(ValueError, match=r"out of \['image'\]. Received: \['picture'\]"):
        tflite.to_tflite(model, input_shape={"picture": (16, 16, 3)})


def test_fixed_batch_size_is_refused():
    image = keras.Input(batch_shape=(8, 4), name="image")
    with pytest.raises(ValueError, match=r"batch size 1. Received: input 'image'.*of 8"):
        tflite.to_tflite(keras.Model(image, keras.layers.Dense(2)(image)))


def test_subclassed_model_is_refused():
    class Bare(keras.Model):
        def call(self, x):
            return x

    with pytest.raises(ValueError, match=r"functional or Sequential.*model=Bare without inputs"):
        tflite.to_tflite(Bare())


def test_unknown_format_is_refused(model):
    with pytest.raises(ValueError, match=r"format out of \['fp32', .*'prune'\].*format='int3'"):
        tflite.to_tflite(model, "int3")


def test_operation_without_a_kernel_is_refused_by_name(capfd):
    image = keras.Input((4,), name="image")
    square = keras.layers.Reshape((2, 2))(image)
    with pytest.raises(ValueError, match=r"no kernels .*'odd': Cholesky\. Replace") as caught:
        tflite.to_tflite(keras.Model(image, keras.ops.cholesky(square), name="odd"))
    assert "mlir" not in str(caught.value).lower()
    assert capfd.readouterr().err == ""


def test_conversion_is_silent(model, capfd):
    capfd.readouterr()
    tflite.run(tflite.to_tflite(model), np.zeros((1, 16, 16, 3), np.float32))
    assert capfd.readouterr() == ("", "")
