"""Hand-built networks: slices and splits of channels give each part a group of its own."""

import keras
from keras import ops

from tests.graph.networks import Network, model_of, renamed

layers = keras.layers


def cross_stage_partial():
    """One half goes through a block, the other round it, as in CSPNet and YOLO."""
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(8, 1, name="a")(inputs)
    first, second = ops.split(x, 2, axis=-1)
    y = layers.Conv2D(4, 3, padding="same", name="inner")(second)
    y = layers.Add(name="sum")([y, second])
    x = layers.Concatenate()([first, second, y])
    x = layers.Conv2D(5, 1, name="b")(x)
    model = renamed(model_of(inputs, x), Split=("halves",))
    groups = (("a[0:4]", "halves"), ("a[4:8]", "halves", "inner", "sum"), ("b",))
    return Network(model, groups)


def uneven_split():
    inputs = keras.Input((8, 8, 3))
    parts = [layers.Conv2D(n, 1, name=f"c{n}")(inputs) for n in (4, 6)]
    x = layers.Concatenate()(parts)
    a, b, c = ops.split(x, (2, 7), axis=-1)
    x = layers.Concatenate()([c, a, b])
    model = renamed(model_of(inputs, x), Split=("parts",))
    groups = (
        ("c4[0:2]", "parts"),
        ("c4[2:4]", "parts"),
        ("c6[0:3]", "parts"),
        ("c6[3:6]", "parts"),
    )
    return Network(model, groups)


def sliced_channels():
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(9, 1, name="a")(inputs)
    first, rest = x[..., :4], x[:, :, 1:, 4:]
    first = layers.Conv2D(5, 1, name="b")(first)
    rest = layers.Conv2D(6, 1, name="c")(rest)
    x = layers.Concatenate()(
        [layers.GlobalAveragePooling2D()(first), layers.GlobalAveragePooling2D()(rest)]
    )
    model = renamed(model_of(inputs, x), GetItem=("front", "back"))
    groups = (("a[0:4]", "front", "back"), ("a[4:9]", "front", "back"), ("b",), ("c",))
    return Network(model, groups)


def sliced_pixels():
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(6, 1, name="a")(inputs)
    x = x[:, ::2, 1:-1] + x[:, 1::2, :-2, :]
    top, bottom = ops.split(x, 2, axis=1)
    x = layers.Multiply(name="product")([top, bottom])
    x = x[:, 0, ...]
    return Network(renamed(model_of(inputs, x), Add=("sum",)), (("a", "sum", "product"),))


def picked_channel():
    """One channel by its index must be there at every width."""
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(6, 1, name="a")(inputs)
    x = layers.Conv2D(5, 1, name="b")(layers.Conv2D(4, 1, name="c")(inputs) * x[..., 2:3])
    y = layers.Conv2D(5, 1, name="d")(x[..., ::2])
    model = renamed(model_of(inputs, y), GetItem=("third", "every_other"), Multiply=("product",))
    frozen = {"every_other": "takes channels in a way that cannot be narrowed"}
    groups = (("a[0:2]", "third"), ("a[3:6]", "third"), ("c", "product"), ("d",))
    # A part of one channel is a group of one legal width.
    return Network(model, (*groups, ("a[2:3]", "third")), (), frozen)


NETWORKS = {
    build.__name__: build
    for build in (
        cross_stage_partial,
        uneven_split,
        sliced_channels,
        sliced_pixels,
        picked_channel,
    )
}
