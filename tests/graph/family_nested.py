"""Hand-built networks: models inside models, shared layers, several inputs and outputs."""

import keras

from tests.graph.networks import Network, model_of

layers = keras.layers


def _backbone(name="backbone"):
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(6, 3, padding="same", name="stem")(inputs)
    y = layers.Conv2D(6, 3, padding="same", name="inner")(x)
    x = layers.Add(name="inner_sum")([x, layers.BatchNormalization(name="norm")(y)])
    return keras.Model(inputs, x, name=name)


def backbone_and_head():
    inputs = keras.Input((8, 8, 3))
    x = layers.Rescaling(0.5, name="scale")(inputs)
    x = _backbone()(x)
    x = layers.Conv2D(5, 1, name="neck")(x)
    return Network(model_of(inputs, x), (("stem", "inner", "norm", "inner_sum"), ("neck",)))


def three_levels():
    """A Sequential in a Functional in a Functional; the outer ones join on the inner's output."""
    block = keras.Sequential([layers.Dense(7, name="deep"), layers.ReLU()], name="block")
    middle_in = keras.Input((6,))
    middle = keras.Model(
        middle_in, block(layers.Dense(5, name="middle_in")(middle_in)), name="middle"
    )
    inputs = keras.Input((4,))
    x = layers.Dense(6, name="first")(inputs)
    y = layers.Dense(7, name="beside")(x)
    x = layers.Add(name="sum")([middle(x), y])
    groups = (("first",), ("middle_in",), ("deep", "beside", "sum"))
    return Network(model_of(inputs, x), groups)


def siamese():
    """One backbone called twice: one set of weights, both calls at the same widths."""
    left, right = keras.Input((8, 8, 3)), keras.Input((8, 8, 3))
    backbone = _backbone()
    x = layers.Subtract(name="difference")([backbone(left), backbone(right)])
    groups = (("stem", "inner", "norm", "inner_sum", "difference"),)
    return Network(model_of([left, right], x), groups, training=2e-5)


def same_names():
    """Two backbones with layers of the same names: both are kept apart."""
    inputs = keras.Input((8, 8, 3))
    x = layers.Concatenate()([_backbone("left")(inputs), _backbone("right")(inputs)])
    names = ("stem", "inner", "norm", "inner_sum")
    return Network(model_of(inputs, x), (names, tuple(f"{name}_1" for name in names)))


def two_outputs_inside():
    """A nested model of two outputs, of which one is an output of the outer model as well."""
    inner_in = keras.Input((8, 8, 3))
    a = layers.Conv2D(6, 3, name="a")(inner_in)
    b = layers.Conv2D(5, 3, name="b")(a)
    inner = keras.Model(inner_in, {"early": a, "late": b}, name="inner_model")
    inputs = keras.Input((8, 8, 3))
    found = inner(inputs)
    x = layers.Conv2D(4, 1, name="c")(found["late"])
    x = layers.Dense(3, name="head")(layers.GlobalAveragePooling2D()(x))
    model = keras.Model(inputs, {"map": found["early"], "class": x})
    # The map's channels are those of `a`, which nothing may narrow.
    return Network(model, (("b",), ("c",)), outputs=("inner_model", "head"))


NETWORKS = {
    build.__name__: build
    for build in (backbone_and_head, three_levels, siamese, same_names, two_outputs_inside)
}
