"""Slimmable layers: stock Keras layers that run at run-time widths."""

from keras_joslim.layers.batch_norm import SlimBatchNormalization
from keras_joslim.layers.conv import SlimConv1D, SlimConv2D, SlimConv3D
from keras_joslim.layers.conv_transpose import (
    SlimConv1DTranspose,
    SlimConv2DTranspose,
    SlimConv3DTranspose,
)
from keras_joslim.layers.dense import SlimDense
from keras_joslim.layers.depthwise import SlimDepthwiseConv1D, SlimDepthwiseConv2D
from keras_joslim.layers.einsum_dense import SlimEinsumDense, is_dense
from keras_joslim.layers.embedding import SlimEmbedding
from keras_joslim.layers.group_norm import SlimGroupNormalization
from keras_joslim.layers.grouped_conv import (
    SlimGroupedConv1D,
    SlimGroupedConv2D,
    SlimGroupedConv3D,
)
from keras_joslim.layers.layer_norm import SlimLayerNormalization
from keras_joslim.layers.normalization import SlimNormalization
from keras_joslim.layers.prelu import SlimPReLU
from keras_joslim.layers.rescaling import SlimRescaling
from keras_joslim.layers.reshape import SlimChannelPad, SlimReshape
from keras_joslim.layers.rms_norm import SlimRMSNormalization
from keras_joslim.layers.scale import SlimLayerScale
from keras_joslim.layers.separable import SlimSeparableConv1D, SlimSeparableConv2D
from keras_joslim.layers.slim_layer import SlimLayer
from keras_joslim.layers.split import SlimChannelSlice, SlimSplit

__all__ = [
    "SlimBatchNormalization",
    "SlimChannelPad",
    "SlimChannelSlice",
    "SlimConv1D",
    "SlimConv1DTranspose",
    "SlimConv2D",
    "SlimConv2DTranspose",
    "SlimConv3D",
    "SlimConv3DTranspose",
    "SlimDense",
    "SlimDepthwiseConv1D",
    "SlimDepthwiseConv2D",
    "SlimEinsumDense",
    "SlimEmbedding",
    "SlimGroupNormalization",
    "SlimGroupedConv1D",
    "SlimGroupedConv2D",
    "SlimGroupedConv3D",
    "SlimLayer",
    "SlimLayerNormalization",
    "SlimLayerScale",
    "SlimNormalization",
    "SlimPReLU",
    "SlimRMSNormalization",
    "SlimRescaling",
    "SlimReshape",
    "SlimSeparableConv1D",
    "SlimSeparableConv2D",
    "SlimSplit",
    "is_dense",
]
