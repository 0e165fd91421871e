"""Random small graphs convert; the slimmable network equals the extracted one at any widths."""

import math

import keras
import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import keras_joslim as kj
from tests.graph.networks import arrays, examples, randomised

layers = keras.layers
KINDS = (
    "conv",
    "grouped",
    "depthwise",
    "separable",
    "transpose",
    "norm",
    "layer_norm",
    "group_norm",
    "relu",
    "prelu",
    "add",
    "multiply",
    "excite",
    "join",
    "split",
    "slice",
    "pool",
    "pad",
)


@st.composite
def recipes(draw):
    """Steps of a network: an operation, which tensors it reads, how many channels it makes."""
    step = st.tuples(
        st.sampled_from(KINDS),
        st.integers(0, 7),
        st.integers(0, 7),
        st.integers(2, 5),
    )
    return draw(st.lists(step, min_size=3, max_size=8)), draw(st.sampled_from(("pool", "flatten")))


def apply(kind, a, b, channels):
    match kind:
        case "conv":
            return layers.Conv2D(channels, 3, padding="same", activation="tanh")(a)
        case "grouped":
            groups = math.gcd(a.shape[-1], channels)
            return layers.Conv2D(channels, 3, padding="same", groups=groups)(a)
        case "transpose":
            return layers.Conv2DTranspose(channels, 3, padding="same")(a)
        case "layer_norm":
            return layers.LayerNormalization()(a)
        case "group_norm":
            return layers.GroupNormalization(math.gcd(a.shape[-1], 2 * channels))(a)
        case "prelu":
            return layers.PReLU(shared_axes=[1, 2])(a)
        case "excite":
            x = layers.GlobalAveragePooling2D(keepdims=True)(a)
            x = layers.Conv2D(channels, 1, activation="relu")(x)
            return a * layers.Conv2D(a.shape[-1], 1, activation="sigmoid")(x)
        case "split":
            first, second = keras.ops.split(a, [1], axis=-1)
            return layers.Concatenate()([second, first])
        case "slice":
            return a[..., : max(1, a.shape[-1] - 1)]
        case "depthwise":
            return layers.DepthwiseConv2D(3, padding="same", depth_multiplier=1 + channels % 2)(a)
        case "separable":
            return layers.SeparableConv2D(channels, 3, padding="same")(a)
        case "norm":
            return layers.BatchNormalization()(a)
        case "relu":
            return layers.ReLU(negative_slope=0.1)(a)
        case "add":
            return layers.Add()([a, b])
        case "multiply":
            return a * b
        case "join":
            return layers.Concatenate()([a, b])
        case "pool":
            return layers.AveragePooling2D(2, strides=1, padding="same")(a)
        case "pad":
            return keras.ops.pad(a, ((0, 0), (0, 0), (0, 0), (0, channels)))


def build(recipe):
    """All tensors keep 6x6 pixels, so that any two can meet."""
    steps, top = recipe
    inputs = keras.Input((6, 6, 2))
    tensors = [layers.Conv2D(3, 3, padding="same")(inputs)]
    for kind, first, second, channels in steps:
        a, b = tensors[first % len(tensors)], tensors[second % len(tensors)]
        if kind in ("add", "multiply", "join") and a is b:
            b = inputs
        if kind in ("add", "multiply") and a.shape[-1] != b.shape[-1]:
            b = layers.Conv2D(a.shape[-1], 1)(b)
        if kind == "split" and a.shape[-1] == 1:
            kind = "relu"
        tensors.append(apply(kind, a, b, channels))
    x = (layers.GlobalAveragePooling2D() if top == "pool" else layers.Flatten())(tensors[-1])
    x = layers.Dense(5, activation="tanh")(x)
    return keras.Model(inputs, layers.Dense(3)(x))


@settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(recipe=recipes(), seed=st.integers(0, 99))
def test_slimmable_equals_extracted(recipe, seed):
    model = randomised(build(recipe), seed)
    slim = kj.make_slimmable(model, min_width=0.2)
    x = examples(model, 2)
    # Keras runs a grouped convolution, and some norms, by other kernels.
    tolerance = {"rtol": 1e-5, "atol": 1e-5 * max(1.0, np.abs(model(x)).max())}
    for path, value in arrays(slim(x)).items():
        np.testing.assert_allclose(value, arrays(model(x))[path], **tolerance)
    space = slim.width_space
    macs, parameters = kj.costs.MACs(slim), kj.costs.Parameters(slim, "counted")
    for widths in [space.smallest, *space.sample(np.random.default_rng(seed), 1)]:
        sub = kj.extract(slim, widths)
        expected = np.asarray(slim(x, widths))
        scale = max(1.0, np.abs(expected).max())
        np.testing.assert_allclose(sub(x), expected, rtol=1e-5, atol=1e-6 * scale)
        assert parameters(widths) == sub.count_params()
        assert 0 < macs(widths) <= macs(space.full)
