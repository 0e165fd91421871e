"""A sliced layer at any widths equals the stock layer holding the copied slice."""

import keras
import pytest

from keras_joslim import layers
from tests.layer_test import Channels, LayerCase, run_slim_layer_test
from tests.layers.conv_cases import CASES as FAMILIES
from tests.layers.grouped_conv_cases import CASES as GROUPED
from tests.layers.norm_cases import CASES as NORMS
from tests.layers.parameter_cases import CASES as PARAMETERS

A, B, C = Channels.group(0, 6), Channels.group(1, 4), Channels.group(2, 5)
THREE = Channels.fixed(3)
IMAGES = (2, 7, 6)


def filters(count):
    return {"filters": count}


def units(count):
    return {"units": count}


def target_shape(count):
    return {"target_shape": (3, 2, count)}


CASES = {
    # Convolution: every kind of layout on both sides.
    "conv, fixed input": LayerCase(
        layers.SlimConv2D,
        {"filters": 6, "kernel_size": 3},
        THREE,
        A,
        (6,),
        IMAGES,
        filters,
    ),
    "conv, fixed output": LayerCase(
        layers.SlimConv2D,
        {"filters": 3, "kernel_size": 1},
        A,
        THREE,
        (6,),
        IMAGES,
        filters,
    ),
    "conv, one group on both sides": LayerCase(
        layers.SlimConv2D,
        {"filters": 6, "kernel_size": (3, 2), "padding": "same", "activation": "relu"},
        A,
        A,
        (6,),
        IMAGES,
        filters,
    ),
    "conv, strides": LayerCase(
        layers.SlimConv2D,
        {"filters": 4, "kernel_size": 3, "strides": 2, "padding": "same", "use_bias": False},
        A,
        B,
        (6, 4),
        IMAGES,
        filters,
    ),
    "conv, dilation": LayerCase(
        layers.SlimConv2D,
        {"filters": 4, "kernel_size": 2, "dilation_rate": 2, "activation": "tanh"},
        A,
        B,
        (6, 4),
        IMAGES,
        filters,
    ),
    "conv after a concatenation": LayerCase(
        layers.SlimConv2D,
        {"filters": 5, "kernel_size": 3, "padding": "same"},
        A + THREE + B,
        C,
        (6, 4, 5),
        IMAGES,
        filters,
    ),
    "conv, concatenations on both sides": LayerCase(
        layers.SlimConv2D,
        {"filters": 11, "kernel_size": 3},
        B + A,
        A + C,
        (6, 4, 5),
        IMAGES,
        filters,
    ),
    "conv, unit 2": LayerCase(
        layers.SlimConv2D,
        {"filters": 4, "kernel_size": 1},
        A.scaled(2) + THREE,
        B,
        (6, 4),
        IMAGES,
        filters,
    ),
    # Depthwise.
    "depthwise": LayerCase(
        layers.SlimDepthwiseConv2D,
        {"kernel_size": 3, "padding": "same", "activation": "relu6"},
        A,
        A,
        (6,),
        IMAGES,
    ),
    "depthwise, multiplier 2 and strides": LayerCase(
        layers.SlimDepthwiseConv2D,
        {"kernel_size": 3, "strides": 2, "depth_multiplier": 2},
        A,
        A.scaled(2),
        (6,),
        IMAGES,
    ),
    "depthwise after a concatenation, dilation": LayerCase(
        layers.SlimDepthwiseConv2D,
        {"kernel_size": 2, "dilation_rate": 2, "depth_multiplier": 2, "use_bias": False},
        A + THREE + B,
        (A + THREE + B).scaled(2),
        (6, 4),
        IMAGES,
    ),
    # Separable.
    "separable": LayerCase(
        layers.SlimSeparableConv2D,
        {"filters": 4, "kernel_size": 3, "padding": "same", "activation": "relu"},
        A,
        B,
        (6, 4),
        IMAGES,
        filters,
    ),
    "separable after a concatenation, multiplier 2": LayerCase(
        layers.SlimSeparableConv2D,
        {"filters": 5, "kernel_size": 3, "strides": 2, "depth_multiplier": 2, "use_bias": False},
        A + B,
        C,
        (6, 4, 5),
        IMAGES,
        filters,
        2,
    ),
    # Dense.
    "dense, rank 2": LayerCase(
        layers.SlimDense, {"units": 4, "activation": "relu"}, A, B, (6, 4), (5,), units
    ),
    "dense, rank 3": LayerCase(
        layers.SlimDense, {"units": 4, "use_bias": False}, A, B, (6, 4), (5, 3), units
    ),
    "dense after Flatten": LayerCase(
        layers.SlimDense, {"units": 4}, A.repeated(6), B, (6, 4), (5,), units
    ),
    "dense after Flatten of a concatenation": LayerCase(
        layers.SlimDense,
        {"units": 5},
        (A + THREE + B).repeated(6),
        C,
        (6, 4, 5),
        (3,),
        units,
    ),
    "dense after a concatenation of Flattens": LayerCase(
        layers.SlimDense,
        {"units": 5},
        (A + B).repeated(2) + B.scaled(2).repeated(3) + THREE,
        C,
        (6, 4, 5),
        (3,),
        units,
    ),
    # Batch normalization.
    **{
        f"batch norm, rank {rank}": LayerCase(
            layers.SlimBatchNormalization, {}, A, A, (6,), (5, 4, 3, 2)[: rank - 1]
        )
        for rank in (2, 3, 4, 5)
    },
    "batch norm after a concatenation": LayerCase(
        layers.SlimBatchNormalization, {}, A + THREE + B, A + THREE + B, (6, 4), IMAGES
    ),
    "batch norm after Flatten of a concatenation": LayerCase(
        layers.SlimBatchNormalization,
        {},
        (A + B).repeated(3),
        (A + B).repeated(3),
        (6, 4),
        (8,),
    ),
    "batch norm, unit 2, no scale": LayerCase(
        layers.SlimBatchNormalization, {"scale": False}, A.scaled(2), A.scaled(2), (6,), IMAGES
    ),
    "batch norm, no center": LayerCase(
        layers.SlimBatchNormalization, {"center": False}, A, A, (6,), IMAGES
    ),
    "batch norm, neither": LayerCase(
        layers.SlimBatchNormalization, {"center": False, "scale": False}, A, A, (6,), IMAGES
    ),
    "batch norm, epsilon too small for the fused kernel": LayerCase(
        layers.SlimBatchNormalization, {"epsilon": 1e-6}, A, A, (6,), IMAGES
    ),
    # Reshape.
    "reshape": LayerCase(
        layers.SlimReshape, {"target_shape": (3, 2, 6)}, A, A, (6,), (2, 6), target_shape
    ),
    "reshape that takes pixels in": LayerCase(
        layers.SlimReshape,
        {"target_shape": (3, 2, 20)},
        A + B,
        (A + B).repeated(2),
        (6, 4),
        (2, 12),
        target_shape,
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_slim_layer(case):
    run_slim_layer_test(case)


EVERYWHERE = [
    case for cases in (CASES, FAMILIES, GROUPED, NORMS, PARAMETERS) for case in cases.values()
]


def test_every_slimmable_layer_with_a_stock_class_is_tested():
    public = [getattr(layers, name) for name in layers.__all__]
    with_stock = {each for each in public if getattr(each, "stock_class", None)}
    assert layers.SlimConv2D in with_stock
    assert with_stock == {case.slim for case in EVERYWHERE}


def test_the_stock_class_is_the_base_and_the_config_name_is_registered():
    for case in EVERYWHERE:
        assert issubclass(case.slim, case.stock)
        assert case.stock.__module__.startswith("keras.")
        name = f"keras_joslim>{case.slim.__name__}"
        assert keras.saving.get_registered_object(name) is case.slim
