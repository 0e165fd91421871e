"""Cases of plain, transposed, depthwise and separable convolutions."""

import math

from keras_joslim import layers
from tests.layer_test import Channels, LayerCase

A, B, C = Channels.group(0, 6), Channels.group(1, 4), Channels.group(2, 5)
THREE = Channels.fixed(3)
SERIES, IMAGES, VOLUMES = (2, 9), (2, 5, 4), (2, 4, 5, 3)


def case(slim, arguments, source, target, shape, **more):
    full = (6, 4, 5)[: 1 + max(g for g, _ in (*source.each, *target.each) if g is not None)]
    if "filters" in arguments:
        more["narrowed"] = lambda count: {"filters": count}
    return LayerCase(slim, arguments, source, target, full, shape, **more)


def conv(slim, source, target, shape, kernel_size=3, **arguments):
    arguments = {"filters": len(target.each), "kernel_size": kernel_size, **arguments}
    return case(slim, arguments, source, target, shape)


def depthwise(source, kernel_size=3, depth_multiplier=1, shape=SERIES, **arguments):
    arguments = {"kernel_size": kernel_size, "depth_multiplier": depth_multiplier, **arguments}
    slim = layers.SlimDepthwiseConv1D if len(shape) == 2 else layers.SlimDepthwiseConv2D
    return case(slim, arguments, source, source.scaled(depth_multiplier), shape)


CASES = {
    # Convolution along one axis and along three.
    "conv 1d, same": conv(layers.SlimConv1D, A, B, SERIES, padding="same", activation="relu"),
    "conv 1d, causal": conv(layers.SlimConv1D, THREE, A, SERIES, padding="causal"),
    "conv 1d, causal, dilation": conv(
        layers.SlimConv1D, A + B, B, SERIES, 2, padding="causal", dilation_rate=3, use_bias=False
    ),
    "conv 1d, causal, strides": conv(layers.SlimConv1D, A, A, SERIES, padding="causal", strides=2),
    "conv 1d, concatenations": conv(layers.SlimConv1D, A + THREE + B, B + C, SERIES, strides=2),
    "conv 1d, dilation": conv(layers.SlimConv1D, A.repeated(2), B, SERIES, dilation_rate=2),
    "conv 3d, same": conv(layers.SlimConv3D, A, B, VOLUMES, padding="same", strides=2),
    "conv 3d, concatenations": conv(
        layers.SlimConv3D, A + THREE + B, B + C, VOLUMES, (2, 3, 1), activation="tanh"
    ),
    "conv 3d, dilation": conv(
        layers.SlimConv3D, A.scaled(2), B, VOLUMES, 2, dilation_rate=2, use_bias=False
    ),
    # Transposed.
    "conv 1d transpose": conv(layers.SlimConv1DTranspose, A, B, SERIES, strides=2),
    "conv 1d transpose, same": conv(
        layers.SlimConv1DTranspose, A + THREE, B, SERIES, strides=3, padding="same"
    ),
    "conv 1d transpose, output padding": conv(
        layers.SlimConv1DTranspose, A, B + C, SERIES, strides=3, output_padding=1
    ),
    "conv 2d transpose": conv(layers.SlimConv2DTranspose, A, B, IMAGES, activation="relu"),
    "conv 2d transpose, same": conv(
        layers.SlimConv2DTranspose, THREE, A, IMAGES, strides=2, padding="same", use_bias=False
    ),
    "conv 2d transpose, concatenations": conv(
        layers.SlimConv2DTranspose, A + THREE + B, B + C, IMAGES, (3, 2), strides=(2, 1)
    ),
    "conv 2d transpose, output padding": conv(
        layers.SlimConv2DTranspose, B, A, IMAGES, strides=2, padding="same", output_padding=1
    ),
    "conv 2d transpose, strides above the kernel": conv(
        layers.SlimConv2DTranspose, A, A, IMAGES, 2, strides=3
    ),
    "conv 2d transpose, repeated": conv(
        layers.SlimConv2DTranspose, (A + THREE).repeated(2), B.scaled(2), IMAGES, 2, strides=2
    ),
    "conv 3d transpose": conv(
        layers.SlimConv3DTranspose, A + THREE, B, VOLUMES, 2, strides=2, padding="same"
    ),
    "conv 3d transpose, output padding": conv(
        layers.SlimConv3DTranspose, A, B + C, VOLUMES, (2, 3, 1), strides=2, output_padding=1
    ),
    # Depthwise.
    "depthwise 1d": depthwise(A, padding="same", activation="relu6"),
    "depthwise 1d, multiplier 2, strides": depthwise(A + THREE + B, 3, 2, strides=2),
    "depthwise 1d, dilation": depthwise(A.repeated(2), 2, dilation_rate=2, use_bias=False),
    "depthwise 2d, strides and dilation": depthwise(
        A + B, 2, 2, IMAGES, strides=2, dilation_rate=2, padding="same"
    ),
    # Separable.
    "separable 1d": conv(layers.SlimSeparableConv1D, A, B, SERIES, padding="same"),
    "separable 1d, concatenation, multiplier 2": case(
        layers.SlimSeparableConv1D,
        {"filters": 5, "kernel_size": 3, "strides": 2, "depth_multiplier": 2, "use_bias": False},
        A + B,
        C,
        SERIES,
        multiplier=2,
    ),
}


def counted(terms, widths):
    """The cost terms of a layer at `widths`."""
    return sum(
        coefficient * math.prod(int(side.width(widths)) for side in sides if side is not None)
        for coefficient, *sides in terms
    )


def check_costs(case):
    """Each value of a kernel is multiplied once a position: of the input, if transposed."""
    layer = case.built()
    full = (*case.shape, len(case.source.each))
    shapes = full, layer.compute_output_shape(full)
    positions = math.prod(shapes["Transpose" not in case.slim.__name__][1:-1])
    for widths in case.widths():
        stock = case.stock_layer(layer, widths)
        kernels = sum(math.prod(w.shape) for w in stock.weights if "kernel" in w.name)
        assert counted(layer.macs(*shapes), widths) == positions * kernels
        assert counted(layer.parameters(), widths) == stock.count_params()
