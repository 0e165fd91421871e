"""Cases of normalisations."""

from keras_joslim import layers
from tests.layer_test import Channels, LayerCase

A, B = Channels.group(0, 6), Channels.group(1, 4)
THREE, FIVE = Channels.fixed(3), Channels.fixed(5)
IMAGES = (2, 4, 3)
MANY = dict.fromkeys(("gamma", "beta", "scale"), (None, None, "in"))


def case(slim, arguments, source, full, shape, **more):
    return LayerCase(slim, arguments, source, source, full, shape, **more)


def groups_of(size):
    return lambda count: {"groups": count // size}


def layer_norm(arguments, source, full, shape, **more):
    return case(layers.SlimLayerNormalization, arguments, source, full, shape, **more)


def rms_norm(arguments, source, full, shape, **more):
    return case(layers.SlimRMSNormalization, arguments, source, full, shape, **more)


def group_norm(groups, unit, source, full, shape, **more):
    arguments = {"groups": groups, **more}
    slim = layers.SlimGroupNormalization
    return case(slim, arguments, source, full, shape, narrowed=groups_of(unit), unit=unit)


CASES = {
    "layer norm, rank 2": layer_norm({}, A, (6,), (5,)),
    "layer norm, rank 3, the last axis from the front": layer_norm({"axis": 2}, A, (6,), (5, 3)),
    "layer norm, rank 4, no scale": layer_norm({"scale": False}, A, (6,), IMAGES),
    "layer norm, no center, epsilon": layer_norm(
        {"center": False, "epsilon": 1e-6}, A, (6,), IMAGES
    ),
    "layer norm, neither": layer_norm({"center": False, "scale": False}, A, (6,), IMAGES),
    "layer norm after a concatenation": layer_norm({}, A + THREE + B, (6, 4), IMAGES),
    "layer norm after Flatten of a concatenation": layer_norm(
        {}, (A + B).repeated(3), (6, 4), (5,)
    ),
    "layer norm, unit 2": layer_norm({}, A.scaled(2), (6,), (5, 3)),
    "layer norm, fixed": layer_norm({}, FIVE, (6,), IMAGES),
    "layer norm over all axes": layer_norm({"axis": [1, 2, 3]}, A, (6,), IMAGES, sides=MANY),
    "layer norm over all axes, from the back": layer_norm(
        {"axis": [-1, -3, -2]}, A + THREE + B, (6, 4), IMAGES, sides=MANY
    ),
    "layer norm over two axes of four": layer_norm(
        {"axis": [1, 3]},
        A + B,
        (6, 4),
        IMAGES,
        sides=dict.fromkeys(("gamma", "beta"), (None, "in")),
    ),
    "layer norm over time": layer_norm(
        {"axis": 1}, A, (6,), (2, 5), sides={"gamma": (None,), "beta": (None,)}
    ),
    "RMS norm, rank 2": rms_norm({}, A, (6,), (5,)),
    "RMS norm, rank 4, epsilon": rms_norm({"axis": 3, "epsilon": 1e-2}, A, (6,), IMAGES),
    "RMS norm after a concatenation": rms_norm({}, A + THREE + B, (6, 4), (5, 3)),
    "RMS norm, repeated": rms_norm({}, (A + B).repeated(2), (6, 4), (5,)),
    "RMS norm, fixed": rms_norm({}, FIVE, (6,), IMAGES),
    "RMS norm over all axes": rms_norm({"axis": [1, 2, 3]}, A + B, (6, 4), IMAGES, sides=MANY),
    "group norm, rank 2": group_norm(3, 2, A, (6,), (5,)),
    "group norm, rank 3, the last axis from the front": group_norm(2, 3, A, (6,), (5, 3), axis=2),
    "group norm, rank 4, no scale": group_norm(3, 2, A, (6,), IMAGES, scale=False),
    "group norm, no center, epsilon": group_norm(3, 2, A, (6,), IMAGES, center=False, epsilon=1e-6),
    "group norm, neither": group_norm(3, 2, A, (6,), IMAGES, center=False, scale=False),
    "group norm, one group": group_norm(1, 6, A, (6,), IMAGES),
    "instance norm": group_norm(-1, 1, A, (6,), IMAGES),
    "group norm after a concatenation": group_norm(7, 2, A + B + Channels.fixed(4), (6, 4), IMAGES),
    "group norm, repeated": group_norm(10, 2, (A + B).repeated(2), (6, 4), (5,)),
    "group norm, fixed": case(layers.SlimGroupNormalization, {"groups": 5}, FIVE, (6,), IMAGES),
    "group norm, unit 2": case(
        layers.SlimGroupNormalization,
        {"groups": 6},
        A.scaled(2),
        (6,),
        IMAGES,
        narrowed=groups_of(2),
    ),
}
