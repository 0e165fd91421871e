"""Cases of other layers with parameters a channel."""

import numpy as np

from keras_joslim import layers
from tests.layer_test import Channels, LayerCase

A, B = Channels.group(0, 6), Channels.group(1, 4)
THREE, FIVE, ONE = Channels.fixed(3), Channels.fixed(5), Channels.fixed(1)
MIXED = A + THREE + B
IMAGES = (2, 4, 3)


class TokenCase(LayerCase):
    """A `LayerCase` whose inputs are whole numbers below 7."""

    def images(self, widths):
        return np.random.default_rng(3).integers(0, 7, (*self.shape, 1)).astype("float32")


def case(slim, arguments, source, full, shape, **more):
    return LayerCase(slim, arguments, source, source, full, shape, **more)


def prelu(arguments, source, full, shape, alpha=(None, None, "in")):
    return case(layers.SlimPReLU, arguments, source, full, shape, sides={"alpha": alpha})


def einsum(equation, before, source, target, full, shape, **more):
    """`before` is what stands before the channels in `output_shape`."""
    arguments = {"equation": equation, "output_shape": (*before, len(target.each)), **more}
    slim = layers.SlimEinsumDense
    narrowed = {"narrowed": lambda count: {"output_shape": (*before, count)}}
    return LayerCase(slim, arguments, source, target, full, shape, **narrowed)


def embedding(target, full, shape, **more):
    arguments = {"input_dim": 7, "output_dim": len(target.each), **more}
    narrowed = {"narrowed": lambda count: {"output_dim": count}}
    return TokenCase(layers.SlimEmbedding, arguments, ONE, target, full, shape, **narrowed)


def layer_scale(source, full, shape):
    arguments = {"init_values": 0.1, "projection_dim": len(source.each)}
    narrowed = {"narrowed": lambda count: {"projection_dim": count}}
    return case(layers.SlimLayerScale, arguments, source, full, shape, **narrowed)


def normalization(arguments, source, full, shape, **more):
    return case(layers.SlimNormalization, arguments, source, full, shape, **more)


def rescaling(arguments, source, full, shape, **more):
    return case(layers.SlimRescaling, arguments, source, full, shape, **more)


def numbers(source, seed):
    """A list of positive numbers, one a channel."""
    return np.random.default_rng(seed).uniform(0.5, 2, len(source.each)).round(3).tolist()


def constants(source):
    return {"mean": numbers(source, 5), "variance": numbers(source, 6)}


SCALARS = dict.fromkeys(("mean", "variance", "count"), ())

CASES = {
    "PReLU, rank 2": prelu({}, A, (6,), (5,), alpha=("in",)),
    "PReLU, rank 4": prelu({}, A, (6,), IMAGES),
    "PReLU, pixels share": prelu({"shared_axes": [1, 2]}, A, (6,), IMAGES),
    "PReLU, channels share": prelu({"shared_axes": [3]}, MIXED, (6, 4), IMAGES, alpha=(None,) * 3),
    "PReLU, all share": prelu({"shared_axes": [1, 2, 3]}, A, (6,), IMAGES, alpha=(None,) * 3),
    "PReLU after a concatenation": prelu({"shared_axes": [1, 2]}, MIXED, (6, 4), IMAGES),
    "PReLU, repeated": prelu({}, (A + B).repeated(3), (6, 4), (5,), alpha=("in",)),
    "PReLU, fixed": prelu({}, FIVE, (6,), IMAGES),
    "einsum, rank 2": einsum("ab,bc->ac", (), A, B, (6, 4), (5,), bias_axes="c"),
    "einsum, rank 3, no bias": einsum("abc,cd->abd", (None,), A, B, (6, 4), (5, 3)),
    "einsum, rank 3, activation": einsum(
        "abc,cd->abd", (3,), MIXED, A, (6, 4), (5, 3), bias_axes="d", activation="relu"
    ),
    "einsum, rank 4": einsum("abcd,de->abce", (4, 3), A, B, (6, 4), IMAGES, bias_axes="e"),
    "einsum, ellipsis": einsum("...x,xy->...y", (), A, MIXED, (6, 4), IMAGES, bias_axes="y"),
    "einsum, axis and ellipsis": einsum("...ax,xy->...ay", (None,), A, B, (6, 4), IMAGES),
    "einsum, repeated": einsum("ab,bc->ac", (), (A + B).repeated(2), B, (6, 4), (5,)),
    "einsum, fixed input": einsum("...x,xy->...y", (), THREE, A, (6,), (5, 3), bias_axes="y"),
    "einsum, fixed output": einsum("...x,xy->...y", (), A, THREE, (6,), (5, 3), bias_axes="y"),
    "embedding": embedding(A, (6,), (2, 5)),
    "embedding, mask": embedding(MIXED, (6, 4), (2, 5), mask_zero=True),
    "embedding, repeated": embedding((A + B).repeated(2), (6, 4), (3,)),
    "embedding, fixed": embedding(FIVE, (6,), (2, 5)),
    "layer scale": layer_scale(A, (6,), IMAGES),
    "layer scale after a concatenation": layer_scale(MIXED, (6, 4), (5,)),
    "layer scale, repeated": layer_scale((A + B).repeated(2), (6, 4), (5,)),
    "layer scale, fixed": layer_scale(FIVE, (6,), IMAGES),
    "normalization, rank 2": normalization({}, A, (6,), (5,)),
    "normalization, rank 4": normalization({"axis": 3}, A, (6,), IMAGES),
    "normalization after a concatenation": normalization({}, MIXED, (6, 4), IMAGES),
    "normalization, inverse": normalization({"invert": True}, (A + B).repeated(2), (6, 4), (5,)),
    "normalization, one mean for all": normalization(
        {"axis": None}, A, (6,), IMAGES, sides=SCALARS
    ),
    "normalization, fixed": normalization({}, FIVE, (6,), IMAGES),
    "normalization, constants": normalization(
        constants(MIXED), MIXED, (6, 4), IMAGES, constants=("mean", "variance")
    ),
    "normalization, constants, inverse": normalization(
        {**constants(A), "invert": True}, A, (6,), (5,), constants=("mean", "variance")
    ),
    "normalization, one constant for all": normalization(
        {"mean": [0.3], "variance": [2.0]}, A, (6,), IMAGES
    ),
    "normalization, scalar constants": normalization(
        {"axis": None, "mean": 0.3, "variance": 2.0}, A, (6,), IMAGES
    ),
    "normalization, fixed constants": normalization(constants(FIVE), FIVE, (6,), IMAGES),
    "rescaling": rescaling(
        {"scale": numbers(A, 5), "offset": numbers(A, 6)},
        A,
        (6,),
        IMAGES,
        constants=("scale", "offset"),
    ),
    "rescaling after a concatenation, one offset": rescaling(
        {"scale": numbers(MIXED, 5), "offset": -1.0}, MIXED, (6, 4), (5,), constants=("scale",)
    ),
    "rescaling, repeated, a list of one": rescaling(
        {"scale": [2.0], "offset": numbers((A + B).repeated(2), 6)},
        (A + B).repeated(2),
        (6, 4),
        (5,),
        constants=("offset",),
    ),
    "rescaling, scalars": rescaling({"scale": 1 / 255}, A, (6,), IMAGES),
    "rescaling, fixed": rescaling({"scale": numbers(FIVE, 5)}, FIVE, (6,), IMAGES),
}
