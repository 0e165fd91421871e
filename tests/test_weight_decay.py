"""Which weights decay: the kernels of convolutions and dense layers, no others."""

import keras

import keras_joslim as kj
from keras_joslim.sandwich import _decayed_kernels

layers = keras.layers


def test_kernels_decay_but_depthwise_ones_norms_and_biases_do_not():
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(8, 1, name="conv")(inputs)
    x = layers.DepthwiseConv2D(3, name="depthwise")(x)
    x = layers.Conv2D(8, 3, groups=8, padding="same", name="depthwise_by_groups")(x)
    x = layers.Conv2D(8, 3, groups=2, padding="same", name="grouped")(x)
    x = layers.LayerNormalization(name="layer_norm")(x)
    x = layers.GroupNormalization(4, name="group_norm")(x)
    x = layers.PReLU(name="prelu")(x)
    x = layers.SeparableConv2D(6, 3, name="separable")(x)
    x = layers.Conv2DTranspose(5, 3, name="transpose")(x)
    x = layers.Reshape((-1, 5))(x)
    x = layers.EinsumDense("...a,ab->...b", 6, bias_axes="b", name="einsum")(x)
    x = layers.GlobalAveragePooling1D()(x)
    slim = kj.make_slimmable(keras.Model(inputs, layers.Dense(3, name="head")(x)))
    kernels = _decayed_kernels(slim)
    found = {
        (layer.name, weight.name)
        for layer in slim.network.layers
        for weight in layer.trainable_weights
        if id(weight) in kernels
    }
    assert found == {
        ("conv", "kernel"),
        ("grouped", "kernel"),
        ("separable", "pointwise_kernel"),
        ("transpose", "kernel"),
        ("einsum", "kernel"),
        ("head", "kernel"),
    }
