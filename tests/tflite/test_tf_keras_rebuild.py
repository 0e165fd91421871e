"""A stock Keras 3 model, written down and made again in tf_keras, computes the same."""

import importlib.util

import keras
import numpy as np
import pytest
from keras import ops

from keras_joslim import extract, make_slimmable, models
from keras_joslim.tflite.qat.description import describe
from keras_joslim.tflite.qat.tf_keras_rebuild import outputs_of, rebuild

layers = keras.layers
needs_tf_keras = pytest.mark.skipif(
    importlib.util.find_spec("tf_keras") is None, reason="tf_keras is in the extra `qat`"
)
SHAPE = (9, 8, 4)


def enliven(model, seed=0):
    """Weights and BatchNorm statistics that all show in the output."""
    rng = np.random.default_rng(seed)
    for layer in model._flatten_layers(recursive=True, include_self=False):
        if isinstance(layer, keras.Model) or not layer.weights:
            continue
        if isinstance(layer, layers.Normalization):
            continue
        for weight in layer.weights:
            positive = weight.name in ("gamma", "moving_variance", "alpha")
            value = rng.uniform(0.5, 1.5, weight.shape) if positive else None
            if value is None:
                fan_in = max(1, np.prod(weight.shape[:-1]))
                scale = 0.3 if len(weight.shape) == 1 else 1 / np.sqrt(fan_in)
                value = rng.normal(0, scale, weight.shape)
            weight.assign(value)
    return model


def assert_rebuilt(model, seed=1):
    """The rebuilt model's outputs are Keras's, to 1e-5 of the largest."""
    rng = np.random.default_rng(seed)
    images = [rng.normal(0, 2, (3, *x.shape[1:])).astype(np.float32) for x in model.inputs]
    inputs = keras.tree.pack_sequence_as(model.input, images) if len(images) > 1 else images[0]
    expected = [np.asarray(y) for y in keras.tree.flatten(model(inputs, training=False))]
    description = describe(model)
    actual = outputs_of(rebuild(description.to_dict(), description.weights()), images)
    assert len(actual) == len(expected)
    for mine, theirs in zip(actual, expected, strict=True):
        assert np.ptp(theirs) > 1e-3
        np.testing.assert_allclose(mine, theirs, rtol=0, atol=1e-5 * np.abs(theirs).max())
    return description


def normalization(**options):
    layer = layers.Normalization(**options)
    if "mean" not in options:
        layer.adapt(np.random.default_rng(2).normal(3, 2, (20, *SHAPE)))
    return layer


LAYERS = {
    "conv": lambda x: layers.Conv2D(5, 3, strides=2, padding="same")(x),
    "conv_dilated": lambda x: layers.Conv2D(5, 3, dilation_rate=2, use_bias=False)(x),
    "conv_grouped": lambda x: layers.Conv2D(6, 3, groups=2)(x),
    "conv_activation": lambda x: layers.Conv2D(5, (3, 1), activation="hard_silu")(x),
    "depthwise": lambda x: layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2)(x),
    "depthwise_strided": lambda x: layers.DepthwiseConv2D(3, strides=2, activation="relu")(x),
    "separable": lambda x: layers.SeparableConv2D(
        5, 3, strides=2, depth_multiplier=2, activation="relu6"
    )(x),
    "transpose": lambda x: layers.Conv2DTranspose(5, 3, strides=2, padding="same")(x),
    "transpose_padded": lambda x: layers.Conv2DTranspose(5, 3, strides=2, output_padding=1)(x),
    "dense": lambda x: layers.Dense(7, activation="softmax")(layers.Flatten()(x)),
    "dense_on_pixels": lambda x: layers.Dense(7, use_bias=False)(x),
    "norm": lambda x: layers.BatchNormalization()(x),
    "norm_bare": lambda x: layers.BatchNormalization(scale=False, center=False, axis=3)(x),
    "norm_of_conv": lambda x: layers.BatchNormalization()(layers.Conv2D(5, 3, use_bias=False)(x)),
    "norm_of_depthwise": lambda x: layers.BatchNormalization()(
        layers.DepthwiseConv2D(3, depth_multiplier=2)(x)
    ),
    "norm_of_separable": lambda x: layers.BatchNormalization()(layers.SeparableConv2D(5, 3)(x)),
    "norm_of_transpose": lambda x: layers.BatchNormalization()(layers.Conv2DTranspose(5, 3)(x)),
    "norm_of_dense": lambda x: layers.BatchNormalization()(layers.Dense(5)(layers.Flatten()(x))),
    "norm_of_relu": lambda x: layers.BatchNormalization()(
        layers.Conv2D(5, 3, activation="relu")(x)
    ),
    "relu": lambda x: layers.ReLU()(x),
    "relu_options": lambda x: layers.ReLU(max_value=2, negative_slope=0.1, threshold=0.5)(x),
    "leaky_relu": lambda x: layers.LeakyReLU(negative_slope=0.3)(x),
    "prelu": lambda x: layers.PReLU(shared_axes=[1, 2])(x),
    "elu": lambda x: layers.ELU(alpha=0.7)(x),
    "softmax": lambda x: layers.Softmax()(x),
    "add": lambda x: layers.Add()([x, layers.Conv2D(4, 1)(x), x]),
    "multiply_gate": lambda x: layers.Multiply()(
        [x, layers.GlobalAveragePooling2D(keepdims=True)(x)]
    ),
    "subtract": lambda x: layers.Subtract()([x, layers.Conv2D(4, 1)(x)]),
    "average": lambda x: layers.Average()([x, layers.Conv2D(4, 1)(x), x]),
    "maximum": lambda x: layers.Maximum()([x, layers.Conv2D(4, 1)(x)]),
    "minimum": lambda x: layers.Minimum()([x, layers.Conv2D(4, 1)(x)]),
    "concatenate": lambda x: layers.Concatenate()([x, layers.Conv2D(2, 1)(x)]),
    "concatenate_rows": lambda x: layers.Concatenate(axis=1)([x, x]),
    "max_pool": lambda x: layers.MaxPooling2D(3, strides=2, padding="same")(x),
    "average_pool": lambda x: layers.AveragePooling2D((2, 3))(x),
    "global_average": lambda x: layers.GlobalAveragePooling2D()(x),
    "global_max": lambda x: layers.GlobalMaxPooling2D(keepdims=True)(x),
    "zero_padding": lambda x: layers.ZeroPadding2D(((0, 1), (2, 3)))(x),
    "cropping": lambda x: layers.Cropping2D(((1, 0), (2, 1)))(x),
    "reshape": lambda x: layers.Reshape((4, -1, 3))(x),
    "dropout": lambda x: layers.SpatialDropout2D(0.5)(layers.Dropout(0.5)(x)),
    "rescaling": lambda x: layers.Rescaling(1 / 7, offset=-0.25)(x),
    "rescaling_channels": lambda x: layers.Rescaling([1.0, 2, 3, 4], offset=[4.0, 3, 2, 1])(x),
    "normalization": lambda x: normalization()(x),
    "normalization_given": lambda x: normalization(mean=[0.5] * 4, variance=[1.0, 2, 3, 4])(x),
    "normalization_inverted": lambda x: normalization(invert=True)(x),
    "upsampling": lambda x: layers.UpSampling2D((2, 3))(x),
    "upsampling_bilinear": lambda x: layers.UpSampling2D(2, interpolation="bilinear")(x),
    "identity": lambda x: layers.Conv2D(2, 1)(layers.Identity()(x)),
}
OPERATIONS = {
    "x + y": lambda x: x + layers.Conv2D(4, 1)(x),
    "x * y": lambda x: x * layers.Conv2D(4, 1)(x),
    "x - y": lambda x: x - layers.Conv2D(4, 1)(x),
    "maximum": lambda x: ops.maximum(x, layers.Conv2D(4, 1)(x)),
    "x + c": lambda x: x + 3.0,
    "c * x": lambda x: 2 * x,
    "c - x": lambda x: 1.5 - x,
    "x - c": lambda x: x - np.array([1.0, 2, 3, 4]),
    "x / c": lambda x: x / 3,
    "x * pixels": lambda x: x * np.linspace(0.5, 2, 9 * 8 * 4).reshape(1, 9, 8, 4),
    "-x": lambda x: -x,
    "relu": lambda x: ops.relu(x),
    "relu6": lambda x: ops.relu6(3 * x),
    "maximum 0": lambda x: ops.maximum(x, 0.0),
    "clip": lambda x: ops.clip(x, 0, 1.5),
    "leaky_relu": lambda x: ops.leaky_relu(x, negative_slope=0.1),
    "hard_swish": lambda x: ops.hard_swish(x),
    "hard_sigmoid": lambda x: ops.hard_sigmoid(x),
    "silu": lambda x: ops.silu(x),
    "sigmoid": lambda x: ops.sigmoid(x),
    "tanh": lambda x: ops.tanh(x),
    "gelu": lambda x: ops.gelu(x, approximate=True),
    "softmax": lambda x: ops.softmax(x),
    "mean": lambda x: ops.mean(x, axis=(1, 2), keepdims=True),
    "max": lambda x: ops.max(x, axis=(-3, -2)),
    "pad": lambda x: ops.pad(x, ((0, 0), (1, 0), (0, 0), (0, 3))),
    "concatenate": lambda x: ops.concatenate([x, 2 * x], axis=-1),
    "reshape": lambda x: ops.reshape(x, (-1, 9, 32)),
    "squeeze": lambda x: ops.squeeze(ops.mean(x, axis=(1, 2), keepdims=True), axis=(1, 2)),
}
ACTIVATIONS = (
    *("relu", "relu6", "leaky_relu", "elu", "gelu", "softmax", "sigmoid", "tanh"),
    *("hard_sigmoid", "hard_silu", "hard_swish", "silu", "swish"),
)


def model_of(build):
    image = keras.Input(SHAPE, name="image")
    return enliven(keras.Model(image, build(image)))


@needs_tf_keras
@pytest.mark.parametrize("name", LAYERS)
def test_layer(name):
    assert_rebuilt(model_of(LAYERS[name]))


@needs_tf_keras
@pytest.mark.parametrize("name", OPERATIONS)
def test_operation(name):
    assert_rebuilt(model_of(OPERATIONS[name]))


@needs_tf_keras
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation(name):
    assert_rebuilt(model_of(lambda x: layers.Activation(name)(x)))


@needs_tf_keras
def test_nested_models_and_shared_layers():
    inner_in = keras.Input(SHAPE)
    x = layers.BatchNormalization()(layers.Conv2D(4, 3, padding="same", name="conv")(inner_in))
    inner = keras.Model(inner_in, layers.ReLU()(x))
    tail = keras.Sequential([layers.Conv2D(3, 1, name="conv"), layers.GlobalMaxPooling2D()])
    image = keras.Input(SHAPE, name="image")
    # The inner model runs twice, with one set of weights.
    model = enliven(keras.Model(image, tail(inner(image) + inner(2 * image))))
    description = assert_rebuilt(model)
    names = [call.name for call in description.calls if call.kind == "Conv2D"]
    assert len(names) == 3
    assert len(set(names)) == 2
    # A kernel that is shared keeps its BatchNormalization beside it.
    assert [call.kind for call in description.calls].count("offset") == 2


@needs_tf_keras
def test_several_inputs_and_outputs():
    left, right = keras.Input(SHAPE, name="left"), keras.Input((3,), name="right")
    pooled = layers.GlobalAveragePooling2D()(left)
    both = layers.Concatenate()([pooled, right])
    outputs = [layers.Dense(2, name="first")(both), layers.Dense(5, name="second")(right)]
    description = assert_rebuilt(enliven(keras.Model({"right": right, "left": left}, outputs)))
    assert [name for _, name, _ in description.inputs] == ["left", "right"]
    assert [name for _, name in description.outputs] == ["first", "second"]


@needs_tf_keras
def test_sequential_model_with_names_that_tensorflow_refuses():
    model = keras.Sequential(
        [keras.Input(SHAPE), layers.Conv2D(3, 3, name="a b é"), layers.ReLU(name="_a-b-é")]
    )
    assert_rebuilt(enliven(model))


@needs_tf_keras
def test_extracted_point():
    slim = make_slimmable(models.build("digits_cnn", input_shape=(8, 8, 1), classes=10))
    enliven(slim)
    point = extract(slim, slim.width_space.uniform(0.5))
    assert_rebuilt(enliven(point))


@needs_tf_keras
@pytest.mark.parametrize("depth", [8, pytest.param(20, marks=pytest.mark.slow)])
def test_cifar_resnet(depth):
    slim = make_slimmable(
        models.build("cifar_resnet", depth=depth, input_shape=(32, 32, 3), classes=10)
    )
    # Narrow in the first stages: the pads of the shortcuts are not those of the full network.
    point = extract(slim, slim.width_space.canonical((slim.width_space.full * 2) // 3))
    description = assert_rebuilt(enliven(point))
    kinds = [call.kind for call in description.calls]
    assert kinds.count("pad") == 2
    assert "scale" not in kinds


@needs_tf_keras
@pytest.mark.slow
@pytest.mark.parametrize("name", ["mobilenet_v2", "mobilenet_v3_small"])
def test_mobile_networks(name):
    model = models.build(name, input_shape=(48, 48, 3), classes=10)
    description = assert_rebuilt(enliven(model))
    kinds = {call.kind for call in description.calls}
    assert ("hard_silu" in kinds) == (name == "mobilenet_v3_small")


def test_separate_calls_for_what_is_compound():
    def build(x):
        x = layers.SeparableConv2D(5, 3, use_bias=False, name="sep")(x)
        x = layers.BatchNormalization(name="norm")(x)
        return layers.Activation("hard_sigmoid", name="gate")(x)

    calls = describe(model_of(build)).calls
    assert [(call.kind, call.name) for call in calls] == [
        ("DepthwiseConv2D", "sep_depthwise"),
        ("Conv2D", "sep"),
        ("offset", "gate_offset"),
        ("ReLU", "gate_relu6"),
        ("scale", "gate_scale"),
    ]
    assert calls[1].config["use_bias"]


def test_norm_is_folded_by_hand():
    model = model_of(
        lambda x: layers.BatchNormalization(epsilon=1.0)(layers.Conv2D(2, 1, name="conv")(x))
    )
    conv, norm = model.layers[1:]
    conv.set_weights([np.ones((1, 1, 4, 2)), np.array([1.0, 2.0])])
    # gamma, beta, moving mean, moving variance
    norm.set_weights([np.array(v) for v in ([2.0, 6.0], [0.5, 0.0], [1.0, 0.0], [3.0, 8.0])])
    (call,) = describe(model).calls
    # gamma / sqrt(variance + epsilon) is 2 / 2 and 6 / 3; beta + scale * (bias - mean) the rest.
    np.testing.assert_allclose(call.weights[0][0, 0], [[1.0, 2.0]] * 4)
    np.testing.assert_allclose(call.weights[1], [0.5, 4.0])


def test_norm_of_a_tensor_with_two_readers_is_not_folded():
    def build(x):
        x = layers.Conv2D(4, 3)(x)
        return layers.Add()([x, layers.BatchNormalization()(x)])

    kinds = [call.kind for call in describe(model_of(build)).calls]
    assert kinds == ["Conv2D", "scale", "offset", "Add"]


class Conv2D(layers.Conv2D):
    """Not Keras's, whatever its name."""


@pytest.mark.parametrize(
    ("build", "what"),
    [
        (lambda x: layers.LayerNormalization(name="odd")(x), r"'odd' \(LayerNormalization\)"),
        (lambda x: Conv2D(3, 1, name="own")(x), r"'own' \(Conv2D\)"),
        (
            lambda x: layers.Conv2D(3, 1, activation="mish", name="odd")(x),
            r"'odd' \(Conv2D, activation 'mish'\)",
        ),
        (
            lambda x: layers.BatchNormalization(axis=1, name="odd")(x),
            r"'odd' \(BatchNormalization, axis=1\)",
        ),
        (lambda x: ops.pad(x, ((0, 0), (0, 0), (0, 0), (1, 1)), mode="reflect"), r"\(Pad,"),
        (lambda x: ops.cumsum(x), r"\(Cumsum\)"),
        (lambda x: 1 / x, r"\(TrueDivide, with a constant\)"),
        (lambda x: ops.mean(x, axis=-1), r"\(Mean, axis=\[-1\]\)"),
        (lambda x: x[:, :, :, :2], r"\(GetItem\)"),
    ],
)
def test_what_is_not_known_is_named(build, what):
    with pytest.raises(ValueError, match=what + r'.*Use the format "int8" for this model'):
        describe(model_of(build))


def test_integer_inputs_are_refused():
    image = keras.Input((4,), name="bytes", dtype="uint8")
    with pytest.raises(ValueError, match=r"input 'bytes' of type uint8.*\"int8\""):
        describe(keras.Model(image, layers.Rescaling(2.0)(image)))
