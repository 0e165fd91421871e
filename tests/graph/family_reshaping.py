"""Hand-built networks: flatten, reshape, permute, tile; channels stay the last axis or freeze."""

import keras
from keras import ops

from tests.graph.networks import Network, model_of, renamed

layers = keras.layers


def dense_to_feature_map():
    """A dense layer's units become pixels and channels: every pixel has the same width."""
    inputs = keras.Input((5,))
    x = layers.Dense(96, name="seed")(inputs)
    x = layers.Reshape((4, 4, 6), name="map")(x)
    x = layers.Conv2DTranspose(5, 3, strides=2, name="up")(x)
    return Network(model_of(inputs, x), (("seed / 16", "map"), ("up",)))


def reshape_functions():
    inputs = keras.Input((4, 4, 3))
    x = layers.Conv2D(6, 1, name="a")(inputs)
    x = ops.reshape(x, (-1, 16, 6))
    x = layers.Dense(8, name="b")(x)
    x = ops.reshape(x, (-1, 32, 4))
    x = ops.expand_dims(x, 1)
    x = layers.Conv2D(5, 1, name="c")(x)
    x = ops.squeeze(x, 1)
    x = ops.reshape(x, (-1, 32 * 5))
    model = renamed(model_of(inputs, x), Reshape=("pixels", "halves", "flat"))
    return Network(model, (("a",), ("b / 2", "halves"), ("c",)))


def permuted():
    inputs = keras.Input((4, 6, 3))
    x = layers.Conv2D(5, 1, name="a")(inputs)
    x = layers.Permute((2, 1, 3), name="turned")(x)
    x = ops.transpose(x, (0, 2, 1, 3))
    x = layers.Conv2D(6, 1, name="b")(x)
    x = layers.Permute((3, 1, 2), name="channels_first")(x)
    x = layers.Conv2D(7, 1, name="c")(x)
    reason = "moves channels to another axis (keeps b at full width)"
    return Network(model_of(inputs, x), (("a",), ("c",)), (), {"channels_first": reason})


def repeated():
    inputs = keras.Input((6,))
    x = layers.Dense(5, name="a")(inputs)
    x = layers.RepeatVector(4)(x)
    x = layers.Dense(6, name="b")(x)
    x = ops.tile(x, (1, 1, 2))
    x = layers.Dense(7, name="c")(x)
    x = ops.repeat(x, 3, axis=-1)
    x = ops.repeat(x, 2, axis=1)
    return Network(model_of(inputs, x), (("a",), ("b",), ("c",)))


def pixel_shuffle():
    """The sub-pixel convolution of super-resolution: one part a pixel of the block."""
    inputs = keras.Input((4, 4, 3))
    x = layers.Conv2D(20, 3, padding="same", name="a")(inputs)
    x = ops.depth_to_space(x, 2)
    x = layers.Conv2D(6, 1, name="b")(x)
    x = ops.space_to_depth(x, 2)
    model = renamed(model_of(inputs, x), DepthToSpace=("shuffle",))
    return Network(model, (("a / 4", "shuffle"), ("b",)))


def gated_halves():
    """A gated linear unit: both halves of the channels are narrowed alike."""
    inputs = keras.Input((6, 3))
    x = layers.Dense(10, name="a")(inputs)
    x = ops.glu(x)
    x = layers.Dense(6, name="b")(x)
    return Network(renamed(model_of(inputs, x), Glu=("glu",)), (("a / 2", "glu"), ("b",)))


def centred_pad():
    """Zeros on both sides, as some CIFAR ResNets have: the wide layer is split in three."""
    inputs = keras.Input((8, 8, 3))
    stem = layers.Conv2D(4, 1, name="stem")(inputs)
    shortcut = ops.pad(stem, ((0, 0), (0, 0), (0, 0), (2, 3)))
    x = layers.Conv2D(9, 1, name="wide")(stem)
    x = layers.Add(name="sum")([x, shortcut])
    model = renamed(model_of(inputs, x), Pad=("shortcut",))
    groups = (
        ("stem", "wide[2:6]", "sum"),
        ("shortcut[0:2]", "wide[0:2]", "sum"),
        ("shortcut[6:9]", "wide[6:9]", "sum"),
    )
    return Network(model, groups)


def pad_after_concatenation():
    inputs = keras.Input((8, 8, 3))
    x = layers.Concatenate()([layers.Conv2D(n, 1, name=f"c{n}")(inputs) for n in (4, 5)])
    x = ops.pad(x, ((0, 0), (1, 0), (0, 0), (0, 2)))
    x = layers.Conv2D(6, 1, name="b")(x)
    model = renamed(model_of(inputs, x), Pad=("zeros",))
    return Network(model, (("c4",), ("c5",), ("zeros[9:11]",), ("b",)))


NETWORKS = {
    build.__name__: build
    for build in (
        dense_to_feature_map,
        reshape_functions,
        permuted,
        repeated,
        pixel_shuffle,
        gated_halves,
        centred_pad,
        pad_after_concatenation,
    )
}
