"""Hand-built networks: normalisations, scales and PReLU take the channels of their input."""

import keras
from keras.src.applications.convnext import LayerScale, StochasticDepth

from tests.graph.networks import Network, model_of

layers = keras.layers


def layer_norms():
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(6, 3, name="a")(inputs)
    x = layers.LayerNormalization(name="last")(x)
    x = layers.Conv2D(5, 3, name="b")(x)
    x = layers.LayerNormalization(axis=[1, 2, 3], name="all")(x)
    x = layers.RMSNormalization(name="rms")(x)
    x = layers.UnitNormalization(name="unit")(x)
    return Network(model_of(inputs, x), (("a", "last"), ("b", "all", "rms")), tolerance=1e-6)


def norm_of_another_axis():
    inputs = keras.Input((6, 3))
    x = layers.Dense(8, name="a")(inputs)
    x = layers.LayerNormalization(axis=1, name="steps")(x)
    x = layers.Dense(5, name="b")(x)
    reason = "normalises other axes: axis=[1] (keeps a at full width)"
    return Network(model_of(inputs, x), (("b",),), (), {"steps": reason})


def group_norms():
    """Whole normalisation groups are dropped: widths are multiples of their channels."""
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(12, 3, name="a")(inputs)
    x = layers.GroupNormalization(4, name="norm")(x)
    x = layers.Conv2D(5, 3, name="b")(x)
    x = layers.GroupNormalization(-1, name="instance")(x)
    groups = (("a", "norm"), ("b", "instance"))
    return Network(model_of(inputs, x), groups, units={"a": 3}, tolerance=1e-6)


def group_norm_over_concatenation():
    """Normalisation groups that lie within one part of a concatenation: units for each."""
    inputs = keras.Input((8, 8, 3))
    x = [layers.Conv2D(n, 3, name=f"c{n}")(inputs) for n in (8, 4)]
    x = layers.Concatenate()(x)
    x = layers.GroupNormalization(6, name="norm")(x)
    groups = (("c8", "norm"), ("c4", "norm"))
    return Network(model_of(inputs, x), groups, units={"c8": 2, "c4": 2}, tolerance=1e-6)


def group_norm_across_concatenation():
    """A normalisation group that takes in the end of one part and the start of the next."""
    inputs = keras.Input((8, 8, 3))
    x = [layers.Conv2D(n, 3, name=f"c{n}")(inputs) for n in (5, 4)]
    x = layers.Concatenate()(x)
    x = layers.GroupNormalization(3, name="norm")(x)
    x = layers.Conv2D(6, 1, name="b")(x)
    reason = "keeps or drops 3 channels at a time (keeps c5, c4 at full width)"
    return Network(model_of(inputs, x), (("b",),), (), {"norm": reason}, tolerance=1e-6)


def scales():
    """PReLU with an alpha a channel, for every pixel, or one for all; ConvNeXt's layers."""
    inputs = keras.Input((8, 8, 3))
    x = layers.Normalization(mean=[0.1, 0.2, 0.3], variance=[1.0, 2.0, 3.0], name="image")(inputs)
    x = layers.Conv2D(6, 3, name="a")(x)
    x = layers.PReLU(shared_axes=[1, 2], name="channelwise")(x)
    x = LayerScale(0.1, 6, name="scale")(x)
    x = StochasticDepth(0.0, name="drop")(x)
    x = layers.Conv2D(5, 3, name="b")(x)
    x = layers.PReLU(name="pixelwise")(x)
    x = layers.PReLU(shared_axes=[1, 2, 3], name="one_alpha")(x)
    x = layers.Rescaling([1.0, 2.0, 3.0, 4.0, 5.0], name="constants")(x)
    x = layers.Normalization(name="inner")(x)
    groups = (
        ("a", "channelwise", "scale"),
        ("b", "pixelwise", "one_alpha", "inner"),
    )
    return Network(model_of(inputs, x), groups, tolerance=1e-6)


NETWORKS = {
    build.__name__: build
    for build in (
        layer_norms,
        norm_of_another_axis,
        group_norms,
        group_norm_over_concatenation,
        group_norm_across_concatenation,
        scales,
    )
}
