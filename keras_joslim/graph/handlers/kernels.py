"""Layers with a kernel: convolutions open a group, depthwise ones pass it on."""

import keras

from keras_joslim import layers as slim
from keras_joslim.channel_layout import ChannelLayout
from keras_joslim.graph.handlers.table import freeze, handles

layers = keras.layers


def _grouped_or_plain(plain, grouped):
    """The factory of a convolution's slimmable layer, by its number of groups."""

    def make(node, in_layout, out_layout):
        kind = plain if node.operation.groups == 1 else grouped
        return kind.from_stock(node.operation, in_layout, out_layout)

    return make


def conv(node, inputs, partition):
    """A new group of `filters` channels.

    A grouped convolution has one equal part of its input and of its output for every
    convolution group, and all parts are narrowed alike; with one input channel a group it
    is a depthwise convolution and passes the channels on.
    """
    layer = node.operation
    channels, groups = node.input_tensors[0].shape[-1], layer.groups
    if groups == 1:
        return [_open(layer, layer.filters, partition)]
    _refuse_other_weights(layer)
    if groups == channels:
        partition.join(inputs[0], layer)
        return [inputs[0].scaled(layer.filters // groups)]
    partition.part(inputs[0], groups, layer)
    size = layer.filters // groups
    if size == 1:
        return [ChannelLayout.fixed(groups)]
    return [partition.open(size, layer, parts=groups).repeated(groups)]


for _stock, _plain, _grouped in (
    (layers.Conv1D, slim.SlimConv1D, slim.SlimGroupedConv1D),
    (layers.Conv2D, slim.SlimConv2D, slim.SlimGroupedConv2D),
    (layers.Conv3D, slim.SlimConv3D, slim.SlimGroupedConv3D),
):
    handles(_stock, slim=_grouped_or_plain(_plain, _grouped))(conv)


def filters(node, inputs, partition):
    """A new group of `filters` channels."""
    return [_open(node.operation, node.operation.filters, partition)]


for _stock, _slim in (
    (layers.Conv1DTranspose, slim.SlimConv1DTranspose),
    (layers.Conv2DTranspose, slim.SlimConv2DTranspose),
    (layers.Conv3DTranspose, slim.SlimConv3DTranspose),
    (layers.SeparableConv1D, slim.SlimSeparableConv1D),
    (layers.SeparableConv2D, slim.SlimSeparableConv2D),
):
    handles(_stock, slim=_slim)(filters)


@handles(layers.Dense, slim=slim.SlimDense)
def dense(node, inputs, partition):
    """A new group of `units` channels."""
    return [_open(node.operation, node.operation.units, partition)]


@handles(layers.EinsumDense, slim=slim.SlimEinsumDense)
def einsum_dense(node, inputs, partition):
    """A new group where the equation is that of a dense layer; else full width."""
    layer = node.operation
    # Under an ellipsis Keras may tell a wrong shape.
    size = node.outputs[0].shape[-1]
    if not slim.is_dense(layer) or size != layer.kernel.shape[-1]:
        reason = f"its equation {layer.equation!r} is not that of a dense layer"
        return freeze(node, inputs, partition, reason)
    return [_open(layer, size, partition)]


def depthwise(node, inputs, partition):
    """The input's channels, each `depth_multiplier` times."""
    _refuse_other_weights(node.operation)
    partition.join(inputs[0], node.operation)
    return [inputs[0].scaled(node.operation.depth_multiplier)]


for _stock, _slim in (
    (layers.DepthwiseConv1D, slim.SlimDepthwiseConv1D),
    (layers.DepthwiseConv2D, slim.SlimDepthwiseConv2D),
):
    handles(_stock, slim=_slim)(depthwise)


@handles(layers.Embedding, slim=slim.SlimEmbedding)
def embedding(node, inputs, partition):
    """A new group of `output_dim` channels."""
    return [_open(node.operation, node.operation.output_dim, partition)]


def _open(layer, size, partition):
    _refuse_other_weights(layer)
    # One channel cannot be narrowed: it broadcasts, as a spatial attention map does.
    return ChannelLayout.fixed(1) if size == 1 else partition.open(size, layer)


def _refuse_other_weights(layer):
    if getattr(layer, "lora_rank", None) or getattr(layer, "quantization_mode", None):
        raise ValueError(
            f"Layer {layer.name!r} has LoRA or quantized weights, which cannot be sliced. "
            "Merge them into plain weights first."
        )
