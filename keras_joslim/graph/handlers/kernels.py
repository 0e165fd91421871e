"""Layers with a kernel: convolutions open a group, depthwise ones pass it on."""

import keras

from keras_joslim.channel_layout import ChannelLayout
from keras_joslim.graph.handlers.table import freeze, handles
from keras_joslim.layers import (
    SlimConv2D,
    SlimDense,
    SlimDepthwiseConv2D,
    SlimSeparableConv2D,
)


@handles(keras.layers.Conv2D, slim=SlimConv2D)
def conv(node, inputs, partition):
    """A new group of `filters` channels; a grouped convolution stays at full width."""
    layer = node.operation
    if layer.groups > 1:
        reason = f"a grouped convolution (groups={layer.groups}) runs at full width"
        partition.note(layer.name, reason)
        return freeze(node, inputs, partition, reason)
    return [_open(layer, layer.filters, partition)]


@handles(keras.layers.SeparableConv2D, slim=SlimSeparableConv2D)
def separable(node, inputs, partition):
    """A new group of `filters` channels."""
    return [_open(node.operation, node.operation.filters, partition)]


@handles(keras.layers.Dense, slim=SlimDense)
def dense(node, inputs, partition):
    """A new group of `units` channels."""
    return [_open(node.operation, node.operation.units, partition)]


@handles(keras.layers.DepthwiseConv2D, slim=SlimDepthwiseConv2D)
def depthwise(node, inputs, partition):
    """The input's channels, each `depth_multiplier` times."""
    partition.join(inputs[0], node.operation.name)
    return [inputs[0].scaled(node.operation.depth_multiplier)]


def _open(layer, size, partition):
    if getattr(layer, "lora_rank", None) or getattr(layer, "quantization_mode", None):
        raise ValueError(
            f"Layer {layer.name!r} has LoRA or quantized weights, which cannot be sliced. "
            "Merge them into plain weights first."
        )
    # One channel cannot be narrowed: it broadcasts, as a spatial attention map does.
    return ChannelLayout.fixed(1) if size == 1 else partition.open(size, layer.name)
