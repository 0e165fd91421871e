"""Hand-built networks: every layer with a kernel, what it opens and what it passes on."""

import keras

from tests.graph.networks import Network, model_of

layers = keras.layers


def sequences():
    inputs = keras.Input((16, 3))
    x = layers.Conv1D(8, 3, padding="causal", name="a")(inputs)
    x = layers.DepthwiseConv1D(3, depth_multiplier=2, padding="same", name="depthwise")(x)
    x = layers.SeparableConv1D(6, 3, name="separable")(x)
    x = layers.Conv1DTranspose(5, 3, strides=2, activation="relu", name="up")(x)
    groups = (("a", "depthwise"), ("separable",), ("up",))
    return Network(model_of(inputs, x), groups)


def images():
    inputs = keras.Input((9, 9, 3))
    x = layers.Conv2D(8, 3, strides=2, name="a")(inputs)
    x = layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same", name="depthwise")(x)
    x = layers.SeparableConv2D(6, 3, padding="same", depth_multiplier=2, name="separable")(x)
    x = layers.Conv2DTranspose(
        5, 3, strides=2, padding="same", output_padding=1, activation="relu", name="up"
    )(x)
    groups = (("a", "depthwise"), ("separable",), ("up",))
    return Network(model_of(inputs, x), groups)


def volumes():
    inputs = keras.Input((6, 6, 6, 2))
    x = layers.Conv3D(6, 3, padding="same", name="a")(inputs)
    x = layers.Conv3DTranspose(4, 2, strides=2, name="up")(x)
    x = layers.BatchNormalization(name="norm")(x)
    return Network(model_of(inputs, x), (("a",), ("up", "norm")))


def dense_of_every_rank():
    inputs = keras.Input((4, 6, 3))
    x = layers.Dense(8, activation="gelu", name="a")(inputs)
    x = layers.EinsumDense("abcd,de->abce", (4, 6, 5), bias_axes="e", name="b")(x)
    x = layers.EinsumDense("...d,de->...e", 7, name="c")(x)
    return Network(model_of(inputs, x), (("a",), ("b",), ("c",)))


def einsum_across_axes():
    """A kernel that mixes channels with positions stays whole, and what enters it."""
    inputs = keras.Input((6, 3))
    x = layers.Dense(8, name="a")(inputs)
    x = layers.EinsumDense("atc,tcd->atd", (6, 4), name="mixed")(x)
    x = layers.Dense(5, name="b")(x)
    reason = "'atc,tcd->atd' is not that of a dense layer (keeps a at full width)"
    return Network(model_of(inputs, x), (("b",),), (), {"mixed": reason})


def grouped():
    """One equal part for every convolution group, on both sides; all parts alike."""
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(12, 1, name="a")(inputs)
    x = layers.BatchNormalization(name="a_norm")(x)
    x = layers.Conv2D(8, 3, groups=2, activation="relu", name="grouped")(x)
    x = layers.Conv2D(5, 1, name="b")(x)
    # `a / 2`: the group has one half of the channels of `a`.
    groups = (("a / 2", "a_norm / 2", "grouped"), ("grouped / 2",), ("b",))
    return Network(model_of(inputs, x), groups, tolerance=1e-5)


def grouped_as_depthwise():
    """As many convolution groups as channels: a depthwise convolution, as ConvNeXt writes it."""
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(6, 1, name="a")(inputs)
    x = layers.Conv2D(12, 3, groups=6, padding="same", name="depthwise")(x)
    x = layers.Conv2D(5, 1, name="b")(x)
    return Network(model_of(inputs, x), (("a", "depthwise"), ("b",)), tolerance=1e-5)


def grouped_residual():
    """A sum brings the parts to the trunk: both ends of the residual branch are cut alike."""
    inputs = keras.Input((8, 8, 3))
    stem = layers.Conv2D(8, 1, name="stem")(inputs)
    x = layers.Conv2D(8, 3, groups=2, padding="same", name="grouped")(stem)
    x = layers.Add(name="sum")([x, stem])
    groups = (("stem / 2", "grouped", "grouped / 2", "sum"),)
    return Network(model_of(inputs, x), groups, tolerance=1e-5)


def grouped_over_concatenation():
    """Convolution groups that end inside a part of a concatenation cut it there."""
    inputs = keras.Input((8, 8, 3))
    parts = [layers.Conv2D(n, 1, name=f"c{n}")(inputs) for n in (8, 4)]
    x = layers.Concatenate(name="joined")(parts)
    x = layers.Conv2D(6, 1, groups=2, name="grouped")(x)
    # Halves of six channels; the second one starts inside c8.
    groups = (
        ("c8[0:2]", "c8[6:8]", "grouped"),
        ("c8[2:6]", "c4", "grouped"),
        ("grouped / 2",),
    )
    return Network(model_of(inputs, x), groups, tolerance=1e-5)


def embedding():
    inputs = keras.Input((7,), dtype="int32")
    x = layers.Embedding(10, 6, name="table")(inputs)
    x = layers.Conv1D(5, 3, name="a")(x)
    return Network(model_of(inputs, x), (("table",), ("a",)))


NETWORKS = {
    build.__name__: build
    for build in (
        sequences,
        images,
        volumes,
        dense_of_every_rank,
        einsum_across_axes,
        grouped,
        grouped_as_depthwise,
        grouped_residual,
        grouped_over_concatenation,
        embedding,
    )
}
