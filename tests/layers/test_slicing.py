"""Sliced, not masked: what a layer computes is really narrower."""

import numpy as np
import pytest
import tensorflow as tf

from keras_joslim import layers
from keras_joslim.channel_layout import ChannelLayout

SOURCE = ChannelLayout.of_group(0, 12) + ChannelLayout.fixed(2)
TARGET = ChannelLayout.of_group(1, 10)
WIDTHS = np.array([3, 4], np.int32)
IMAGES = np.ones((2, 6, 6, 5), np.float32)
# Layer, the kernel operation, and the shapes of its input, its kernel and its output.
CASES = {
    "conv": (
        layers.SlimConv2D(10, 3, in_layout=SOURCE, out_layout=TARGET),
        "Conv2D",
        [(2, 6, 6, 5), (3, 3, 5, 4), (2, 4, 4, 4)],
    ),
    "depthwise": (
        layers.SlimDepthwiseConv2D(3, in_layout=SOURCE, out_layout=SOURCE),
        "DepthwiseConv2dNative",
        [(2, 6, 6, 5), (3, 3, 5, 1), (2, 4, 4, 5)],
    ),
    "separable": (
        layers.SlimSeparableConv2D(10, 3, in_layout=SOURCE, out_layout=TARGET),
        "Conv2D",
        [(2, 4, 4, 5), (1, 1, 5, 4), (2, 4, 4, 4)],
    ),
    "dense": (
        layers.SlimDense(10, in_layout=SOURCE, out_layout=TARGET),
        "MatMul",
        [(72, 5), (5, 4), (72, 4)],
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_the_kernel_operation_gets_narrow_tensors(case):
    layer, kind, shapes = case
    layer.build((2, 6, 6, 14))
    function = tf.compat.v1.wrap_function(
        lambda x, widths: layer(x, widths),
        [tf.TensorSpec((2, 6, 6, None), tf.float32), tf.TensorSpec((2,), tf.int32)],
    )
    operations = [op for op in function.graph.get_operations() if op.type == kind]
    assert len(operations) == 1
    tensors = [*operations[0].inputs, operations[0].outputs[0]]
    computed = function.prune(function.inputs[:2], tensors)(
        tf.constant(IMAGES), tf.constant(WIDTHS)
    )
    assert [tuple(tensor.shape) for tensor in computed] == shapes


def test_no_operation_sees_full_channels_but_the_slices():
    """Every tensor between the slices and the output is narrow: none is masked."""
    layer = layers.SlimConv2D(10, 3, in_layout=SOURCE, out_layout=TARGET, activation="relu")
    layer.build((2, 6, 6, 14))
    function = tf.compat.v1.wrap_function(
        lambda x, widths: layer(x, widths),
        [tf.TensorSpec((2, 6, 6, None), tf.float32), tf.TensorSpec((2,), tf.int32)],
    )
    kinds = ("Conv2D", "BiasAdd", "Add", "AddV2", "Relu")
    outputs = [
        op.outputs[0]
        for op in function.graph.get_operations()
        if op.type in kinds and op.outputs[0].dtype == tf.float32
    ]
    assert len(outputs) == 3
    computed = function.prune(function.inputs[:2], outputs)(
        tf.constant(IMAGES), tf.constant(WIDTHS)
    )
    assert {tensor.shape[-1] for tensor in computed} == {4}
    kinds = {op.type for op in function.graph.get_operations()}
    assert not kinds & {"Mul", "Select", "SelectV2", "SequenceMask"}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: layers.SlimConv2D(
                4, 3, data_format="channels_first", in_layout=SOURCE, out_layout=TARGET, name="its"
            ),
            r"channels last.*'its' with data_format='channels_first'.*set_image_data_format",
        ),
        (
            lambda: layers.SlimDepthwiseConv2D(
                3, data_format="channels_first", in_layout=SOURCE, out_layout=SOURCE, name="its"
            ),
            "channels last.*'its'",
        ),
        (
            lambda: layers.SlimSeparableConv2D(
                4, 3, data_format="channels_first", in_layout=SOURCE, out_layout=TARGET, name="its"
            ),
            "channels last.*'its'",
        ),
        (
            lambda: layers.SlimConv2D(
                10, 3, groups=2, in_layout=SOURCE, out_layout=TARGET, name="its"
            ),
            "one convolution group: use SlimGroupedConv2D.*'its' with groups=2",
        ),
        (
            lambda: layers.SlimDepthwiseConv2D(
                3, depth_multiplier=2, in_layout=SOURCE, out_layout=SOURCE, name="its"
            ),
            "'its' has 28 channels on that side, its layout has 14",
        ),
    ],
)
def test_what_cannot_be_sliced_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
