"""Hand-built networks: the operation nodes that arithmetic on Keras tensors leaves."""

import keras
import numpy as np
from keras import ops

from tests.graph.networks import Network, model_of, renamed

layers = keras.layers


def hard_sigmoid_by_hand():
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(6, 3, name="a")(inputs)
    x = x * ops.relu6(x + 3.0) / 6
    x = 1.0 - x**2
    names = {"Add": ("plus",), "Multiply": ("times",), "TrueDivide": ("over",)}
    model = renamed(model_of(inputs, x), **names, Subtract=("from_one",), Power=("squared",))
    return Network(model, (("a", "plus", "times", "over", "squared", "from_one"),))


def sums_of_tensors():
    inputs = keras.Input((8, 8, 3))
    a, b, c = (layers.Conv2D(6, 1, name=name)(inputs) for name in "abc")
    x = ops.maximum(a, b) - ops.where(c > 0, c, a)
    names = {"Maximum": ("larger",), "Subtract": ("less",), "Where": ("chosen",)}
    model = renamed(model_of(inputs, x), **names, Greater=("positive",))
    return Network(model, (("a", "b", "c", "larger", "positive", "chosen", "less"),))


def broadcast_operands():
    """One value a pixel, one a channel, one for all: each keeps its meaning."""
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(6, 3, padding="same", name="a")(inputs)
    pixel = layers.Conv2D(1, 3, padding="same", name="pixel")(inputs)
    channel = layers.GlobalAveragePooling2D(keepdims=True)(x)
    x = x * pixel - channel
    x = layers.Conv2D(5, 1, name="b")(x)
    model = renamed(model_of(inputs, x), Multiply=("gated",), Subtract=("centred",))
    return Network(model, (("a", "gated", "centred"), ("b",)))


def constant_arrays():
    """An array with a value a channel fits all channels only; one with a value a row does not."""
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(6, 1, name="a")(inputs)
    x = x + np.arange(8.0, dtype="float32")[:, None, None]
    x = layers.Conv2D(5, 1, name="b")(x)
    x = x * np.arange(5.0, dtype="float32")
    x = layers.Conv2D(4, 1, name="c")(x)
    model = renamed(model_of(inputs, x), Add=("rows",), Multiply=("columns",))
    reason = "is combined with a constant that has a value a channel (keeps b at full width)"
    return Network(model, (("a", "rows"), ("c",)), (), {"columns": reason})


def joined_functions():
    inputs = keras.Input((8, 8, 3))
    a, b = (layers.Conv2D(n, 1, name=name)(inputs) for name, n in (("a", 4), ("b", 6)))
    x = ops.concatenate([ops.mean(a, axis=1), ops.mean(b, axis=1)], axis=-1)
    x = layers.Conv1D(5, 1, name="c")(x)
    return Network(model_of(inputs, x), (("a",), ("b",), ("c",)))


def unknown_function():
    inputs = keras.Input((6, 3))
    x = layers.Dense(8, name="a")(inputs)
    x = ops.sort(x, axis=-1)
    x = layers.Dense(5, name="b")(x)
    model = renamed(model_of(inputs, x), Sort=("sorted",))
    reason = "no handler for Sort: runs at full width (keeps a at full width)"
    return Network(model, (("b",),), (), {"sorted": reason})


NETWORKS = {
    build.__name__: build
    for build in (
        hard_sigmoid_by_hand,
        sums_of_tensors,
        broadcast_operands,
        constant_arrays,
        joined_functions,
        unknown_function,
    )
}
