"""Grouped convolutions: each convolution group keeps the first channels of its part."""

import numpy as np
import pytest
import tensorflow as tf

from keras_joslim import layers
from keras_joslim.channel_layout import ChannelLayout
from tests.layer_test import run_slim_layer_test
from tests.layers.conv_cases import check_costs
from tests.layers.grouped_conv_cases import CASES, ONE, TWO, A, case
from tests.layers.numpy_patches import patches


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
