"""Quantisation-aware training, clustering and pruning, each in a process of its own."""

import functools
import importlib.util
import os
import stat
import sys

import keras
import numpy as np
import pytest
from ai_edge_litert import interpreter as litert

from keras_joslim import datasets, tflite
from keras_joslim.tflite.layer_names import layer_of
from keras_joslim.tflite.qat import fine_tuning as qat
from keras_joslim.tflite.qat.settings import FineTuning
from keras_joslim.tflite.qat.weight_statistics import kernel_statistics
from keras_joslim.tflite.verify import keras_outputs

layers = keras.layers
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
INT8 = {"CONV_2D", "DEPTHWISE_CONV_2D", "MEAN", "FULLY_CONNECTED"}

# Looked for, not imported: importing tfmot changes tf.keras for the whole process.
needs_tfmot = pytest.mark.skipif(
    importlib.util.find_spec("tensorflow_model_optimization") is None,
    reason="tensorflow-model-optimization is in the extra `qat`",
)


@pytest.fixture(scope="module")
def digits():
    return datasets.load("digits")


@pytest.fixture(scope="module")
def teacher(digits):
    """A wide network that is right most of the time."""
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1), name="image"),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            layers.Dense(10, name="logits"),
        ]
    )
    model.compile("adam", LOSS)
    model.fit(digits.train.images, digits.train.labels, epochs=8, batch_size=32, verbose=0)
    return model


def build_point():
    """A small mobile network: BatchNorm, ReLU6, depthwise, pooling."""
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((8, 8, 1), name="image"),
            layers.Conv2D(16, 3, use_bias=False),
            layers.BatchNormalization(momentum=0.8),
            layers.ReLU(),
            layers.DepthwiseConv2D(3, use_bias=False),
            layers.BatchNormalization(momentum=0.8),
            layers.ReLU(6.0),
            layers.Conv2D(24, 1, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(10, name="logits"),
        ],
        name="point",
    )


@pytest.fixture(scope="module")
def untrained():
    return build_point()


@pytest.fixture(scope="module")
def point(digits):
    """Trained a little."""
    model = build_point()
    model.compile(keras.optimizers.Adam(1e-2), LOSS)
    model.fit(digits.train.images, digits.train.labels, epochs=6, batch_size=32, verbose=0)
    return model


def fine_tuned(model, digits, mode="qat", **options):
    """`quantization_aware` for 30 steps."""
    data = digits.train.images, digits.train.labels
    settings = FineTuning(data, LOSS, **{"steps": 30, **options})
    return qat.quantization_aware(model, settings, mode)


@pytest.fixture(scope="module")
def fine_tune(point, digits):
    return functools.partial(fine_tuned, point, digits)


@pytest.fixture
def start(untrained, digits):
    """The same where no training comes of it."""
    return functools.partial(fine_tuned, untrained, digits)


@pytest.fixture(scope="module")
def tuned(fine_tune, teacher):
    return fine_tune(teacher=teacher)


def run(data, images):
    """Outputs of a file whose numbers are int8 or float32, as floats."""
    runner = litert.Interpreter(model_content=data).get_signature_runner()
    ((name, into),) = runner.get_input_details().items()
    ((result, out),) = runner.get_output_details().items()
    outputs = []
    for image in images:
        value = image[None]
        if into["dtype"] == np.int8:
            scale, zero = into["quantization"]
            value = np.clip(np.rint(value / scale) + zero, -128, 127).astype(np.int8)
        value = runner(**{name: value})[result]
        if out["dtype"] == np.int8:
            scale, zero = out["quantization"]
            value = (value.astype(np.float32) - zero) * scale
        outputs.append(value[0])
    return np.array(outputs)


def accuracy(outputs, split):
    return float(np.mean(np.argmax(outputs, -1) == split.labels))


def log_softmax(x):
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


@needs_tfmot
def test_file_is_int8_and_as_accurate_as_keras(tuned, point, digits):
    file = tflite.Interpreter(tuned.data)
    assert [(facts.name, facts.shape, facts.dtype) for facts in file.inputs] == [
        ("image", (1, 8, 8, 1), "int8")
    ]
    assert [(facts.name, facts.shape, facts.dtype) for facts in file.outputs] == [
        ("logits", (1, 10), "int8")
    ]
    assert set(tflite.operators(tuned.data)) == INT8
    assert {kernel.dtype for kernel in tuned.kernels} == {"int8"}
    of_keras = accuracy(point.predict(digits.validation.images, verbose=0), digits.validation)
    assert of_keras > 0.7
    assert accuracy(run(tuned.data, digits.validation.images), digits.validation) > of_keras - 0.04


@needs_tfmot
def test_file_computes_what_was_trained(tuned):
    # In training each kernel and each tensor of the file was rounded as the file rounds it.
    assert 0 <= tuned.difference.max_relative < 0.03
    assert tuned.difference.images == 16
    assert tuned.facts()["difference"] == tuned.difference.max_relative
    assert len(tuned.losses) == 30
    assert np.isfinite(tuned.losses).all()


@needs_tfmot
def test_this_process_is_left_alone(tuned):
    assert "tensorflow_model_optimization" not in sys.modules
    assert "TF_USE_LEGACY_KERAS" not in os.environ


@needs_tfmot
@pytest.mark.slow
def test_bytes_are_the_same_each_time(fine_tune, tuned, teacher):
    again = fine_tune(teacher=teacher)
    assert again.data == tuned.data
    assert again.losses == tuned.losses
    assert fine_tune(teacher=teacher, seed=1).data != tuned.data


@needs_tfmot
@pytest.mark.slow
def test_distillation_brings_the_network_nearer_to_its_teacher(
    fine_tune, tuned, point, teacher, digits
):
    images = digits.train.images[:500]
    wanted = log_softmax(teacher.predict(images, verbose=0))

    def distance(outputs):
        """Kullback-Leibler divergence from the teacher, nats."""
        return float((np.exp(wanted) * (wanted - log_softmax(outputs))).sum(-1).mean())

    alone = fine_tune()
    assert alone.data != tuned.data
    distilled = distance(run(tuned.data, images))
    assert distilled < distance(run(alone.data, images))
    assert distilled < distance(point.predict(images, verbose=0))
    assert np.mean(tuned.losses[-5:]) < np.mean(tuned.losses[:5])


@needs_tfmot
@pytest.mark.slow
def test_teacher_may_be_its_outputs(fine_tune, tuned, teacher, digits):
    outputs = keras_outputs(teacher, digits.train.images)
    assert fine_tune(teacher=outputs["logits"]).data == tuned.data


@needs_tfmot
@pytest.mark.slow
@pytest.mark.parametrize("int8", [True, False])
def test_clusters_are_reached_in_the_file(fine_tune, point, teacher, digits, int8):
    tuned = fine_tune("cluster", clusters=16, int8=int8, teacher=teacher)
    assert tuned.difference.max_relative < (0.1 if int8 else 1e-5)
    assert tuned.facts()["distinct"] <= 16
    for kernel in tuned.kernels:
        assert kernel.dtype == ("int8" if int8 else "float32")
        # Depthwise kernels are left alone; BatchNorm, folded in, has not undone the others.
        bound = kernel.size if kernel.operator == "DEPTHWISE_CONV_2D" else 16
        assert bound // 2 < kernel.distinct <= bound
    of_keras = accuracy(point.predict(digits.validation.images, verbose=0), digits.validation)
    assert accuracy(run(tuned.data, digits.validation.images), digits.validation) > of_keras - 0.1


@needs_tfmot
@pytest.mark.slow
@pytest.mark.parametrize("int8", [True, False])
def test_sparsity_is_reached_in_the_file(fine_tune, teacher, int8):
    tuned = fine_tune("prune", sparsity=0.6, int8=int8, teacher=teacher)
    facts = tflite.Interpreter(tuned.data).inputs[0]
    assert facts.dtype == ("int8" if int8 else "float32")
    for kernel in tuned.kernels:
        if kernel.operator == "DEPTHWISE_CONV_2D":
            assert kernel.sparsity < 0.2
        else:
            # int8 rounds some small weights to zero as well.
            assert 0.59 <= kernel.sparsity < 0.61 + 0.1 * int8
    assert 0.5 < tuned.facts()["sparsity"] < 0.65


@needs_tfmot
@pytest.mark.slow
def test_everything_is_int8_in_a_network_of_many_kinds():
    image = keras.Input((8, 8, 3), name="image")
    x = layers.Rescaling(1 / 127.5, offset=-1)(image)
    x = layers.Conv2D(8, 3, padding="same", activation="hard_silu")(x)
    # Pre-activation, which cannot be folded.
    y = layers.ReLU()(layers.BatchNormalization()(x))
    y = layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2, activation="silu")(y)
    gate = layers.GlobalAveragePooling2D(keepdims=True)(y)
    gate = layers.Conv2D(4, 1, activation="relu")(gate)
    gate = layers.ReLU(6.0)(layers.Conv2D(16, 1)(gate) + 3.0) * (1 / 6)
    y = layers.Multiply()([y, gate])
    shared = layers.Conv2D(8, 1, activation="gelu")
    y = layers.Concatenate()([x, shared(y), shared(layers.Average()([y, y * 0.5]))])
    y = layers.AveragePooling2D(2)(layers.MaxPooling2D(2, strides=1, padding="same")(y))
    y = keras.ops.pad(y, ((0, 0), (1, 1), (0, 0), (0, 0)))
    up = layers.UpSampling2D(2, interpolation="bilinear")(y)
    up = layers.Conv2DTranspose(2, 3, name="map", activation="sigmoid")(up)
    y = layers.Dropout(0.1)(layers.Flatten()(y))
    model = keras.Model(image, [layers.Dense(3, name="classes", activation="softmax")(y), up])
    rng = np.random.default_rng(0)
    images = rng.uniform(0, 255, (40, 8, 8, 3)).astype(np.float32)
    labels = {
        "classes": rng.integers(0, 3, 40),
        "map": rng.uniform(0, 1, (40, *model.output_shape[1][1:])),
    }
    losses = {"classes": "sparse_categorical_crossentropy", "map": "mean_squared_error"}
    settings = FineTuning(
        (images, labels), losses, teacher=model, steps=4, batch_size=8, distillation=0.5
    )
    tuned = qat.quantization_aware(model, settings)
    found = set(tflite.operators(tuned.data))
    assert {"HARD_SWISH", "LOGISTIC", "GELU", "CONCATENATION", "TRANSPOSE_CONV"} <= found
    assert not found & {"DEQUANTIZE", "RELU", "RELU6"}
    assert {facts.dtype for facts in tflite.Interpreter(tuned.data).outputs} == {"int8"}


def test_unknown_layer_is_named_before_anything_is_started(monkeypatch):
    monkeypatch.setattr(qat, "require_tfmot", lambda: None)
    image = keras.Input((4, 4, 2), name="image")
    model = keras.Model(image, layers.GroupNormalization(2, name="odd")(image))
    images = np.zeros((3, 4, 4, 2), np.float32)
    with pytest.raises(ValueError, match=r"'odd' \(GroupNormalization\).*format \"int8\""):
        qat.quantization_aware(model, FineTuning((images, images), "mean_squared_error"))


def test_missing_extra_says_how_to_install_it(monkeypatch, start):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install 'keras_joslim\[qat\]'"):
        start()


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """Puts a shell script in the place of Python."""

    def place(text):
        script = tmp_path / "python"
        script.write_text(f"#!/bin/sh\n{text}\n")
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setattr(sys, "executable", str(script))
        monkeypatch.setattr(qat, "require_tfmot", lambda: None)

    return place


@pytest.fixture(scope="module")
def converted(untrained):
    return tflite.to_tflite(untrained)


@pytest.fixture
def left(tmp_path, untrained, converted, digits):
    """What the process leaves, of a float32 file; its outputs off by an offset."""

    def left(offset):
        folder = tmp_path / "left"
        folder.mkdir()
        (folder / "model.tflite").write_bytes(converted)
        (folder / "losses.json").write_text("[0.5, 0.25]")
        # The rows that 30 steps of 64 take are all of them, in order.
        outputs = keras_outputs(untrained, digits.train.images[:16])["logits"]
        np.save(folder / "expected0.npy", outputs + offset * np.abs(outputs).max())
        return folder

    return left


def test_killed_process_is_told(stand_in, start):
    stand_in("kill -9 $$")
    with pytest.raises(qat.FineTuningError, match=r"of 'point' failed \(signal 9; was there mem"):
        start()


def test_failure_shows_the_last_lines(stand_in, start):
    stand_in("i=0; while [ $i -lt 30 ]; do echo line $i >&2; i=$((i+1)); done; exit 3")
    with pytest.raises(
        qat.FineTuningError, match=r"\(exit code 3\)\. It wrote:\nline 18\n"
    ) as error:
        start()
    assert str(error.value).endswith("line 29")


def test_lines_that_are_only_chatter_are_not_shown(stand_in, start):
    stand_in("echo 'I0000 00:00:1.0 port.cc:1] oneDNN' >&2; echo why >&2; exit 3")
    with pytest.raises(qat.FineTuningError, match=r"\(exit code 3\)\. It wrote:\nwhy$"):
        start()


def test_file_of_another_network_is_refused(stand_in, start, left):
    """The process leaves the file of a network, and outputs that it does not compute."""
    stand_in(f"cp {left(offset=1.0)}/* $4")
    with pytest.raises(tflite.DisagreementError, match="prune fine-tuning of 'point' trained a n"):
        start("prune", int8=False)


def test_file_that_is_not_integer_is_refused(stand_in, start, left):
    stand_in(f"cp {left(offset=0.0)}/* $4")
    with pytest.raises(tflite.FormatError, match=r"cannot be qat throughout.*CONV_2D \(layer"):
        start()
    tuned = start("prune", int8=False)
    assert tuned.difference.max_relative < 1e-5
    assert tuned.losses == (0.5, 0.25)


def test_timeout_stops_the_process(stand_in, start):
    stand_in("exec sleep 60")
    with pytest.raises(qat.FineTuningTimeoutError, match=r"more than 0\.2 s .* longer timeout="):
        start(timeout=0.2)


def test_layers_are_told_by_what_training_calls_them(untrained):
    name = untrained.layers[0].name
    path = f"model/quant_{name}/BiasAdd;model/quant_{name}/Conv2D"
    assert layer_of(untrained, path) == name
    assert layer_of(untrained, "model/quant_other/BiasAdd") is None


def test_statistics_of_kernels():
    """Of a file with known weights, in float32 and in float16."""
    image = keras.Input((6, 6, 2), name="image")
    x = layers.Conv2D(3, 2, use_bias=False, name="conv")(image)
    x = layers.DepthwiseConv2D(2, use_bias=False, name="depthwise")(x)
    x = layers.Dense(2, use_bias=False)(layers.GlobalMaxPooling2D()(x))
    model = keras.Model(image, x)
    conv, depthwise, dense = (layer for layer in model.layers if layer.weights)
    kernel = np.zeros((2, 2, 2, 3))
    kernel[..., 0] = 0.5
    kernel[0, 0, 0, :] = [1.0, 2.0, 3.0]
    conv.set_weights([kernel])
    depthwise.set_weights([np.arange(12.0).reshape(2, 2, 3, 1)])
    dense.set_weights([np.ones((3, 2))])
    for name, dtype in (("fp32", "float32"), ("fp16", "float16")):
        found = kernel_statistics(tflite.to_tflite(model, name))
        assert [k.operator for k in found] == ["CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"]
        assert [k.dtype for k in found] == [dtype] * 3
        assert [(k.size, k.zeros) for k in found] == [(24, 14), (12, 1), (6, 0)]
        assert [k.distinct for k in found] == [5, 12, 1]
    assert found[0].sparsity == 14 / 24
