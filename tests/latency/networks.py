"""Small networks of the shapes that files take, and a network without TensorFlow."""

import types

import keras
import numpy as np
from keras import layers

from keras_joslim.costs.latency_tables import Term
from keras_joslim.width_space import ChannelGroup, WidthSpace


def residual():
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(8, 3, padding="same", use_bias=False, name="stem")(inputs)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    y = layers.Conv2D(16, 1, name="expand", activation="relu")(x)
    y = layers.DepthwiseConv2D(3, padding="same", name="depthwise")(y)
    y = layers.Conv2D(8, 1, name="project")(y)
    x = layers.GlobalAveragePooling2D()(layers.Add()([x, y]))
    return keras.Model(inputs, layers.Dense(5, name="head")(x))


def concatenated():
    inputs = keras.Input((8, 8, 3))
    a = layers.Conv2D(8, 3, padding="same", activation="relu", name="a")(inputs)
    b = layers.Conv2D(6, 1, activation="relu", name="b")(inputs)
    x = layers.Concatenate()([a, b])
    x = layers.Conv2D(10, 3, strides=2, activation="relu", name="after")(x)
    return keras.Model(inputs, layers.Dense(4, name="head")(layers.Flatten()(x)))


def padded():
    """A zero-padded shortcut, as CIFAR ResNets have: at some widths it adds no channel."""
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(6, 3, padding="same", activation="relu", name="stem")(inputs)
    short = keras.ops.pad(x, ((0, 0), (0, 0), (0, 0), (0, 4)))
    x = layers.Add()([short, layers.Conv2D(10, 1, name="wider")(x)])
    return keras.Model(inputs, layers.Dense(3, name="head")(layers.GlobalAveragePooling2D()(x)))


def chain():
    """A width space of two groups and the terms of three operators on it, hand-made."""
    space = WidthSpace([ChannelGroup("a", 8, (2, 4, 6, 8)), ChannelGroup("b", 6, (2, 4, 6))])
    a, b = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)
    terms = (
        Term("one", "CONV image -> a", (a,)),
        Term("two", "CONV a -> b", (a, b)),
        Term("three", "CONV a -> b", (b, a)),
    )
    return types.SimpleNamespace(space=space, terms=terms, format="fp32", file=bytes_of)


def bytes_of(widths):
    """In the place of a file: the widths, which a stand-in meter reads."""
    return ",".join(map(str, np.asarray(widths).tolist())).encode()


def widths_in(path):
    return np.array([int(w) for w in path.read_bytes().decode().split(",")])
