"""Slimmable layers: stock Keras layers that run at run-time widths."""

from keras_joslim.layers.batch_norm import SlimBatchNormalization
from keras_joslim.layers.conv import SlimConv2D
from keras_joslim.layers.dense import SlimDense
from keras_joslim.layers.depthwise import SlimDepthwiseConv2D
from keras_joslim.layers.reshape import SlimChannelPad, SlimReshape
from keras_joslim.layers.separable import SlimSeparableConv2D
from keras_joslim.layers.slim_layer import SlimLayer

__all__ = [
    "SlimBatchNormalization",
    "SlimChannelPad",
    "SlimConv2D",
    "SlimDense",
    "SlimDepthwiseConv2D",
    "SlimLayer",
    "SlimReshape",
    "SlimSeparableConv2D",
]
