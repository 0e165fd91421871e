"""Grouped convolutions: each convolution group keeps the first channels of its part."""

import numpy as np
import pytest
import tensorflow as tf

from keras_joslim import layers
from keras_joslim.channel_layout import ChannelLayout
from tests.layer_test import Channels, LayerCase, run_slim_layer_test
from tests.layers.test_conv_families import check_costs
from tests.layers.test_numpy_oracles import patches

A, B = Channels.group(0, 3), Channels.group(1, 4)
ONE, TWO = Channels.fixed(1), Channels.fixed(2)
SERIES, IMAGES, VOLUMES = (2, 9), (2, 6, 5), (2, 4, 5, 3)


def case(source, target, groups, shape=IMAGES, kernel_size=3, **arguments):
    """A grouped convolution; depthwise if it has as many groups as input channels."""
    size, channels, rank = len(target.each), len(source.each), len(shape) - 1

    def narrowed(count):
        fewer = {"groups": count // (size // channels)} if groups == channels else {}
        return {"filters": count, **fewer}

    return LayerCase(
        getattr(layers, f"SlimGroupedConv{rank}D"),
        {"filters": size, "kernel_size": kernel_size, "groups": groups, **arguments},
        source,
        target,
        (3, 4),
        shape,
        narrowed,
        sides={"kernel": (*[None] * rank, "part", "out"), "bias": ("out",)},
        tolerance=1e-5,
    )


CASES = {
    "parts": case(A.repeated(4), B.repeated(4), 4, padding="same", activation="relu"),
    "parts too wide to share a kernel": case(
        (A + Channels.fixed(14)).repeated(2), B.repeated(2), 2, strides=2
    ),
    "parts of several segments": case((A + TWO).repeated(2), (ONE + B + A + ONE).repeated(2), 2),
    "parts spelled flat": case(
        ONE + A + ONE + ONE + A + ONE, B + B, 2, padding="same", use_bias=False
    ),
    "fixed input": case(Channels.fixed(12), A.repeated(6), 6, kernel_size=(3, 2), strides=(2, 1)),
    "fixed output": case(B.repeated(3), Channels.fixed(3), 3, kernel_size=1),
    "fixed on both sides": case(Channels.fixed(6), Channels.fixed(4), 2),
    "dilation": case(A.scaled(2).repeated(2), A.repeated(2), 2, kernel_size=2, dilation_rate=2),
    "1d, causal": case(A.repeated(4), B.repeated(4), 4, SERIES, padding="causal"),
    "3d": case(A.repeated(2), B.repeated(2), 2, VOLUMES, 2, padding="same", strides=2),
    "depthwise": case(A + TWO + B, A + TWO + B, 9, padding="same", activation="relu"),
    "depthwise, two outputs a channel": case(A.repeated(2), A.scaled(2).repeated(2), 6, strides=2),
    "depthwise, fixed": case(TWO, TWO, 2, use_bias=False),
    "depthwise, 1d, causal": case(
        A + B, (A + B).scaled(2), 7, SERIES, padding="causal", dilation_rate=2
    ),
    "depthwise, 3d": case(A, A.scaled(2), 3, VOLUMES, (2, 3, 2), padding="same", strides=(1, 2, 1)),
    "depthwise, 3d, dilation": case(B, B, 4, VOLUMES, 2, dilation_rate=2, use_bias=False),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_slim_layer(case):
    run_slim_layer_test(case)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_costs_are_those_of_the_stock_layer(case):
    check_costs(case)


GEOMETRIES = [
    {"strides": 1, "padding": "same", "dilation_rate": 1},
    {"strides": 3, "padding": "valid", "dilation_rate": 1},
    {"strides": 2, "padding": "same", "dilation_rate": 1},
    {"strides": 1, "padding": "same", "dilation_rate": 2},
]


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
@pytest.mark.parametrize("case", [CASES["parts"], CASES["depthwise, two outputs a channel"]])
def test_against_one_convolution_after_the_other(case, geometry):
    arguments = {**case.arguments, **geometry, "bias_initializer": "ones", "activation": None}
    layout = {"in_layout": case.source.layout, "out_layout": case.target.layout}
    layer = layers.SlimGroupedConv2D(**arguments, **layout)
    layer.build((2, 7, 6, len(case.source.each)))
    widths = np.array([2, 3], np.int32)
    images = np.random.default_rng(0).normal(size=(2, 7, 6, len(case.source.each)))
    images = images.astype("float32")
    active_in, active_out = case.source.active(widths), case.target.active(widths)
    outputs = layer(images[..., active_in], widths).numpy()
    # Every group on its own, from its active inputs to its active outputs.
    columns, expected = patches(images, (3, 3), **geometry), []
    groups = case.arguments["groups"]
    inputs, filters = len(case.source.each) // groups, len(case.target.each) // groups
    for group in range(groups):
        rows = [i for i in active_in if i // inputs == group]
        ends = [i for i in active_out if i // filters == group]
        kernel = layer.kernel.numpy()[:, :, [i % inputs for i in rows]][..., ends]
        expected.append(np.einsum("nijabc,abcd->nijd", columns[..., rows], kernel) + 1.0)
    np.testing.assert_allclose(outputs, np.concatenate(expected, -1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "convolutions"),
    [("parts", 1), ("parts too wide to share a kernel", 2), ("depthwise", 0), ("depthwise, 3d", 0)],
)
def test_the_trace_calls_nothing_that_xla_would_compile(name, convolutions):
    case = CASES[name]
    layer = case.built()
    function = tf.compat.v1.wrap_function(
        lambda x, widths: layer(x, widths),
        [tf.TensorSpec((*case.shape, None), tf.float32), tf.TensorSpec((2,), tf.int32)],
    )
    kinds = [operation.type for operation in function.graph.get_operations()]
    assert not [kind for kind in kinds if "Call" in kind]
    assert kinds.count("Conv2D") == convolutions


@pytest.mark.parametrize("padding", ["valid", "same"])
def test_a_depthwise_convolution_of_unequal_strides_and_unknown_shapes_in_one_trace(padding):
    unequal = case(A, A.scaled(2), 3, padding=padding, strides=(2, 1))
    layer, traces = unequal.built(), []

    @tf.function(
        input_signature=[
            tf.TensorSpec((None, None, None, None), tf.float32),
            tf.TensorSpec((2,), tf.int32),
        ]
    )
    def call(images, widths):
        traces.append(1)
        return layer(images, widths)

    for shape, widths in (((1, 4, 7, 2), [2, 1]), ((3, 5, 4, 3), [3, 1])):
        images = np.random.default_rng(0).normal(size=shape).astype("float32")
        stock = unequal.stock_layer(layer, widths)
        outputs = call(images, np.array(widths, np.int32))
        np.testing.assert_allclose(outputs, stock(images), rtol=1e-5, atol=1e-5)
    assert len(traces) == 1


def fixed(size):
    return ChannelLayout.fixed(size)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"groups": 1, "in_layout": fixed(6), "out_layout": A.layout.repeated(2)},
            "two convolution groups or more: use SlimConv2D for one.*'its' with groups=1",
        ),
        (
            {"groups": 2, "in_layout": A.layout, "out_layout": A.layout.repeated(2)},
            r"equal parts, one a group.*'its' with groups=2, in_layout=\[0\]3",
        ),
        (
            {"groups": 2, "in_layout": fixed(6), "out_layout": (A + TWO + ONE).layout},
            r"equal parts, one a group.*'its' with groups=2, out_layout=\[0\]3\+3",
        ),
        (
            {"groups": 2, "in_layout": fixed(8), "out_layout": ChannelLayout.of_group(0, 6)},
            r"equal parts, one a group.*'its' with groups=2, out_layout=\[0\]6",
        ),
        (
            {"groups": 3, "in_layout": A.layout, "out_layout": A.layout.repeated(2)},
            r"follow their input channel: expected out_layout=\[0\]6\. Received: layer 'its' "
            r"with groups=3, filters=6, in_layout=\[0\]3, out_layout=\(\[0\]3\)x2",
        ),
    ],
)
def test_layouts_that_do_not_fit_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        layers.SlimGroupedConv2D(6, 3, **arguments, name="its")


def test_a_layout_written_out_passes_for_the_repeated_one():
    flat, repeated = (A + A).layout, A.layout.repeated(2)
    assert flat != repeated
    layer = layers.SlimGroupedConv2D(6, 3, groups=6, in_layout=repeated, out_layout=flat)
    assert layer(np.ones((1, 4, 4, 4), "float32"), np.array([2, 1], np.int32)).shape[-1] == 4
