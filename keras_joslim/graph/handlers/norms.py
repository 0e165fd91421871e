"""Layers with one parameter a channel: normalisations, scales, PReLU."""

import keras
from keras.src.applications.convnext import LayerScale

from keras_joslim import layers as slim
from keras_joslim.graph.handlers.table import freeze, handles, on_last_axis, spans_channels
from keras_joslim.graph.walk import clone_operation

layers = keras.layers


@handles(layers.BatchNormalization, slim=slim.SlimBatchNormalization)
def batch_norm(node, inputs, partition):
    """The input's channels; an axis other than the last, and renorm, are refused.

    Freezing would not do: a stock layer's moving statistics would follow the narrow
    networks' passes too.
    """
    layer = node.operation
    if layer.axis not in (-1, len(node.input_tensors[0].shape) - 1) or layer.renorm:
        raise ValueError(
            f"BatchNormalization layer {layer.name!r} must normalise the last axis, without "
            f"renorm, in a slimmable model. Received: axis={layer.axis}, renorm={layer.renorm}"
        )
    return _same(node, inputs, partition)


def last_axis(node, inputs, partition):
    """The input's channels, if the layer's axis (or one of its axes) is the last."""
    layer = node.operation
    if not on_last_axis(layer.axis, len(node.input_tensors[0].shape)):
        return freeze(node, inputs, partition, f"normalises other axes: axis={layer.axis}")
    return _same(node, inputs, partition)


for _stock, _slim in (
    (layers.LayerNormalization, slim.SlimLayerNormalization),
    (layers.RMSNormalization, slim.SlimRMSNormalization),
    (layers.Normalization, slim.SlimNormalization),
):
    handles(_stock, slim=_slim)(last_axis)


@handles(layers.UnitNormalization)
def unit_norm(node, inputs, partition):
    """The same channels: the norm is that of the active ones."""
    return [inputs[0]]


@handles(layers.GroupNormalization, slim=slim.SlimGroupNormalization)
def group_norm(node, inputs, partition):
    """The input's channels, kept or dropped a normalisation group at a time."""
    layer = node.operation
    shape = node.input_tensors[0].shape
    if not on_last_axis(layer.axis, len(shape)):
        return freeze(node, inputs, partition, f"normalises axis={layer.axis}")
    if layer.groups != -1:
        partition.require_unit(inputs[0], shape[-1] // layer.groups, layer)
    return _same(node, inputs, partition)


@handles(layers.PReLU, slim=slim.SlimPReLU)
@handles(LayerScale, slim=slim.SlimLayerScale)
def one_a_channel(node, inputs, partition):
    """The input's channels."""
    return _same(node, inputs, partition)


def _slim_rescaling(node, in_layout, out_layout):
    layer = node.operation
    if spans_channels(layer.scale) or spans_channels(layer.offset):
        return slim.SlimRescaling.from_stock(layer, in_layout, out_layout)
    return clone_operation(layer)


@handles(layers.Rescaling, slim=_slim_rescaling)
def rescaling(node, inputs, partition):
    """The same channels."""
    return [inputs[0]]


def _same(node, inputs, partition):
    partition.join(inputs[0], node.operation)
    return [inputs[0]]
