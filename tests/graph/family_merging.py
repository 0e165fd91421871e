"""Hand-built networks: sums and products merge groups, concatenation joins layouts."""

import keras
from keras import ops

from tests.graph.networks import Network, model_of, renamed

layers = keras.layers


def every_sum():
    inputs = keras.Input((8, 8, 3))
    kinds = (
        layers.Add,
        layers.Subtract,
        layers.Multiply,
        layers.Average,
        layers.Maximum,
        layers.Minimum,
    )
    x = layers.Conv2D(6, 1, name="trunk")(inputs)
    names = ["trunk"]
    for i, kind in enumerate(kinds):
        y = layers.Conv2D(6, 1, name=f"branch{i}")(inputs)
        x = kind(name=f"merge{i}")([x, y])
        names += [f"branch{i}", f"merge{i}"]
    return Network(model_of(inputs, x), (tuple(names),))


def gate_of_concatenation():
    """One convolution gates a concatenation: it is split where the parts meet."""
    inputs = keras.Input((8, 8, 3))
    parts = [layers.Conv2D(n, 1, name=f"c{n}")(inputs) for n in (4, 6)]
    x = layers.Concatenate(name="joined")(parts)
    gate = layers.GlobalAveragePooling2D(keepdims=True)(x)
    gate = layers.Conv2D(3, 1, activation="relu", name="squeeze")(gate)
    gate = layers.Conv2D(10, 1, activation="sigmoid", name="excite")(gate)
    x = layers.Multiply(name="gated")([x, gate])
    groups = (("c4", "excite[0:4]", "gated"), ("c6", "excite[4:10]", "gated"), ("squeeze",))
    return Network(model_of(inputs, x), groups)


def shifted_concatenations():
    """Parts that overlap by shares: every piece between two borders is a group."""
    inputs = keras.Input((8, 8, 3))
    first = [layers.Conv2D(n, 1, name=f"a{n}")(inputs) for n in (4, 6)]
    second = [layers.Conv2D(n, 1, name=f"b{n}")(inputs) for n in (7, 3)]
    x = layers.Add(name="sum")([layers.Concatenate()(first), layers.Concatenate()(second)])
    groups = (
        ("a4", "b7[0:4]", "sum"),
        ("a6[0:3]", "b7[4:7]", "sum"),
        ("a6[3:6]", "b3", "sum"),
    )
    return Network(model_of(inputs, x), groups)


def multiplied_channels():
    """Channels that come in pairs beside plain ones: the plain group is halved."""
    inputs = keras.Input((8, 8, 3))
    a = layers.Conv2D(4, 1, name="a")(inputs)
    pairs = layers.DepthwiseConv2D(3, padding="same", depth_multiplier=2, name="pairs")(a)
    b = layers.Conv2D(8, 1, name="b")(inputs)
    x = layers.Add(name="sum")([pairs, b])
    return Network(model_of(inputs, x), (("a", "pairs", "b / 2", "sum"),))


def image_beside_channels():
    """A concatenation with the image meets a convolution: the image's share stays whole."""
    inputs = keras.Input((8, 8, 3))
    a = layers.Conv2D(5, 1, name="a")(inputs)
    b = layers.Conv2D(8, 1, name="b")(inputs)
    x = layers.Add(name="sum")([layers.Concatenate(name="joined")([inputs, a]), b])
    frozen = {"sum": "combines some channels with fixed ones, those of 'joined' and 'b'"}
    return Network(model_of(inputs, x), (("a", "b[3:8]", "sum"),), (), frozen)


def channels_of_the_image():
    inputs = keras.Input((8, 8, 3))
    a = layers.Conv2D(3, 1, name="a")(inputs)
    x = layers.Add(name="sum")([a, inputs])
    x = layers.Conv2D(5, 1, name="b")(x)
    model = model_of(inputs, x)
    frozen = {"sum": f"channels of 'a' with channels of {inputs._keras_history.operation.name!r}"}
    return Network(model, (("b",),), (), frozen)


def dots():
    """A dot product over both tensors' channels makes their groups one."""
    inputs = keras.Input((8, 3))
    query = layers.Dense(6, name="query")(inputs)
    key = layers.Dense(6, name="key")(inputs)
    value = layers.Dense(5, name="value")(inputs)
    scores = layers.Dot(axes=-1, name="scores")([query, key])
    x = ops.matmul(layers.Softmax()(scores), value)
    return Network(model_of(inputs, x), (("query", "key", "scores"), ("value",)))


def attention():
    """Attention and the stream that it reads stay whole; the dense layers between do not."""
    inputs = keras.Input((6, 3))
    x = layers.Dense(8, name="stream")(inputs)
    y = layers.LayerNormalization(name="first_norm")(x)
    y = layers.MultiHeadAttention(2, 4, name="attention")(y, y)
    x = layers.Add(name="first_sum")([x, y])
    y = layers.LayerNormalization(name="second_norm")(x)
    y = layers.Dense(12, activation="gelu", name="wide")(y)
    y = layers.Dense(8, name="narrow")(y)
    x = layers.Add(name="second_sum")([x, y])
    frozen = {
        "attention": "attention runs at full width (keeps stream, first_norm at full width)",
        "second_sum": "'first_sum' that stay at full width (keeps narrow at full width)",
    }
    return Network(model_of(inputs, x), (("wide",),), (), frozen, tolerance=1e-6)


def beside_each_other():
    """Joined or stacked along another axis the channels are the same."""
    inputs = keras.Input((8, 8, 3))
    a, b = (layers.Conv2D(6, 1, name=name)(inputs) for name in "ab")
    x = layers.Concatenate(axis=1, name="tall")([a, b])
    c, d = (layers.Conv2D(5, 1, name=name)(x) for name in "cd")
    x = ops.mean(ops.stack([c, d], axis=1), axis=1)
    model = renamed(model_of(inputs, x), Stack=("stacked",))
    return Network(model, (("a", "b", "tall"), ("c", "d", "stacked")))


def stacked_last():
    inputs = keras.Input((8, 3))
    a, b = (layers.Dense(6, name=name)(inputs) for name in "ab")
    x = ops.stack([a, b], axis=-1)
    x = layers.Dense(5, name="c")(x)
    model = renamed(model_of(inputs, x), Stack=("stacked",))
    return Network(model, (("c",),), (), {"stacked": "stacks tensors along a new last axis"})


NETWORKS = {
    build.__name__: build
    for build in (
        every_sum,
        gate_of_concatenation,
        shifted_concatenations,
        multiplied_channels,
        image_beside_channels,
        channels_of_the_image,
        dots,
        attention,
        beside_each_other,
        stacked_last,
    )
}
