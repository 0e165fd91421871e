"""Operations that leave the channels as they are: norms, activations, pooling, padding."""

import keras

from keras_joslim.graph.handlers.table import freeze, handles, spans_channels
from keras_joslim.layers import SlimBatchNormalization

layers = keras.layers


@handles(layers.BatchNormalization, slim=SlimBatchNormalization)
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
    partition.join(inputs[0], layer.name)
    return [inputs[0]]


@handles(
    layers.Activation,
    layers.ReLU,
    layers.LeakyReLU,
    layers.ELU,
    layers.Softmax,
    layers.Dropout,
    layers.SpatialDropout2D,
    layers.GaussianDropout,
    layers.GaussianNoise,
    layers.ActivityRegularization,
    layers.Identity,
    layers.MaxPooling2D,
    layers.AveragePooling2D,
    layers.GlobalAveragePooling2D,
    layers.GlobalMaxPooling2D,
    layers.ZeroPadding2D,
    layers.Cropping2D,
    layers.UpSampling2D,
    "Relu",
    "Relu6",
    "Sigmoid",
    "Tanh",
    "Silu",
    "HardSigmoid",
    "HardSilu",
    "Gelu",
    "LeakyRelu",
    "Elu",
    "Softplus",
)
def unchanged(node, inputs, partition):
    """One input, one output, the same channels."""
    return [inputs[0]]


@handles(layers.Rescaling)
def rescaling(node, inputs, partition):
    """The same channels; a scale or an offset a channel stays at full width."""
    if spans_channels(node.operation.scale) or spans_channels(node.operation.offset):
        return freeze(node, inputs, partition, "rescales each channel by its own constant")
    return [inputs[0]]
