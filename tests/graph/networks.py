"""Small networks built by hand, each with the channel groups that it must have."""

import dataclasses

import keras
import numpy as np

from keras_joslim.graph import functional_graph

layers = keras.layers


@dataclasses.dataclass(frozen=True)
class Network:
    """A model and what must be found in it.

    Attributes:
        model: the stock Keras model.
        groups: layer names of each group, in any order.
        ordering: `(narrow, wide)` pairs of groups, each called by one of its layers.
        frozen: layer name -> a part of the reason, the model's outputs aside.
        outputs: names of the output layers.
        units: name of a group -> what its widths are multiples of, where that is not 1.
        tolerance: of the comparison with the stock model at full width; 0 is to the last bit.
        training: the same in training.
    """

    model: keras.Model
    groups: tuple
    ordering: tuple = ()
    frozen: dict = dataclasses.field(default_factory=dict)
    outputs: tuple = ("head",)
    units: dict = dataclasses.field(default_factory=dict)
    tolerance: float = 0.0
    training: float = 1e-5


def plain():
    inputs = keras.Input((9, 8, 3))
    x = layers.Conv2D(8, 3, name="a")(inputs)
    x = layers.BatchNormalization(name="a_norm")(x)
    x = layers.ReLU(6.0)(x)
    x = layers.MaxPooling2D()(x)
    x = layers.Conv2D(6, 3, activation="relu", name="b")(x)
    return Network(model_of(inputs, x), (("a", "a_norm"), ("b",)))


def sequential():
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(5, 3, name="a"),
            layers.Activation("relu"),
            layers.Conv2D(4, 3, name="b"),
            layers.GlobalMaxPooling2D(),
            layers.Dense(3, name="head"),
        ]
    )
    return Network(model, (("a",), ("b",)))


def residual():
    inputs = keras.Input((8, 8, 3))
    stem = layers.Conv2D(8, 3, padding="same", name="stem")(inputs)
    x = layers.Conv2D(6, 3, padding="same", name="inner")(stem)
    x = layers.BatchNormalization(name="inner_norm")(x)
    x = layers.Conv2D(8, 3, padding="same", name="outer")(layers.ReLU()(x))
    x = layers.BatchNormalization(name="outer_norm")(x)
    x = layers.Add(name="sum")([stem, x])
    return Network(
        model_of(inputs, x), (("stem", "outer", "outer_norm", "sum"), ("inner", "inner_norm"))
    )


def padded_shortcut():
    inputs = keras.Input((8, 8, 3))
    stem = layers.Conv2D(4, 3, padding="same", name="stem")(inputs)
    shortcut = layers.AveragePooling2D(1, strides=2)(stem)
    shortcut = keras.ops.pad(shortcut, ((0, 0), (0, 0), (0, 0), (0, 5)))
    x = layers.Conv2D(6, 3, strides=2, padding="same", name="inner")(stem)
    x = layers.Conv2D(9, 3, padding="same", name="outer")(layers.ReLU()(x))
    x = layers.Add(name="sum")([x, shortcut])
    x = layers.Conv2D(7, 3, name="after")(x)
    model = renamed(model_of(inputs, x), Pad=("shortcut",))
    groups = (("stem",), ("inner",), ("shortcut", "outer", "sum"), ("after",))
    # The shortcut's group holds the stem's. Nothing else is ordered.
    return Network(model, groups, (("stem", "shortcut"),))


def two_padded_shortcuts():
    inputs = keras.Input((8, 8, 3))
    first = layers.Conv2D(3, 1, name="first")(inputs)
    second = keras.ops.pad(first, ((0, 0), (0, 0), (0, 0), (0, 2)))
    third = keras.ops.pad(second, ((0, 0), (1, 1), (0, 0), (0, 4)), constant_values=0.5)
    model = renamed(
        model_of(inputs, third),
        Pad=(
            "second",
            "third",
        ),
    )
    ordering = (("first", "second"), ("second", "third"))
    return Network(model, (("first",), ("second",), ("third",)), ordering)


def concatenation():
    inputs = keras.Input((8, 8, 3))
    a = layers.Conv2D(4, 3, name="a")(inputs)
    b = layers.Conv2D(6, 3, name="b")(inputs)
    x = layers.Concatenate(name="joined")([a, b])
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.Conv2D(5, 3, name="c")(layers.ReLU()(x))
    return Network(model_of(inputs, x), (("a", "norm"), ("b", "norm"), ("c",)))


def dense_block():
    """Concatenations of concatenations, with the image among them."""
    inputs = keras.Input((8, 8, 3))
    x, groups = inputs, []
    for i in range(3):
        y = layers.BatchNormalization(name=f"norm{i}")(x)
        y = layers.Conv2D(4, 3, padding="same", name=f"grow{i}")(layers.ReLU()(y))
        groups.append([f"grow{i}", *(f"norm{j}" for j in range(i + 1, 3))])
        x = layers.Concatenate()([x, y])
    return Network(model_of(inputs, x), tuple(map(tuple, groups)))


def sum_of_concatenations():
    inputs = keras.Input((8, 8, 3))
    parts = [layers.Conv2D(n, 1, name=f"{p}{n}")(inputs) for p in "ab" for n in (4, 6)]
    first, second = layers.Concatenate()(parts[:2]), layers.Concatenate()(parts[2:])
    x = layers.Maximum(name="larger")([first, second])
    return Network(model_of(inputs, x), (("a4", "b4", "larger"), ("a6", "b6", "larger")))


def mismatched_concatenations():
    inputs = keras.Input((8, 8, 3))
    parts = [layers.Conv2D(n, 1, name=f"c{n}")(inputs) for n in (4, 6, 10)]
    x = layers.Add(name="sum")([layers.Concatenate()(parts[:2]), parts[2]])
    x = layers.Conv2D(5, 1, name="after")(x)
    groups = (("c4", "c10[0:4]", "sum"), ("c6", "c10[4:10]", "sum"), ("after",))
    return Network(model_of(inputs, x), groups)


def flatten():
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, strides=2, name="a")(inputs)
    x = layers.Flatten()(x)
    x = layers.Dense(7, activation="relu", name="d")(x)
    return Network(model_of(inputs, x), (("a",), ("d",)))


def flatten_of_concatenation():
    inputs = keras.Input((6, 5, 3))
    a = layers.Conv2D(4, 3, name="a")(inputs)
    b = layers.Conv2D(5, 3, name="b")(inputs)
    x = layers.Flatten()(layers.Concatenate()([a, layers.Cropping2D(1)(inputs), b]))
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.Dense(7, name="d")(x)
    return Network(model_of(inputs, x), (("a", "norm"), ("b", "norm"), ("d",)))


def separable_and_depthwise():
    inputs = keras.Input((9, 9, 3))
    x = layers.SeparableConv2D(6, 3, depth_multiplier=2, name="separable")(inputs)
    x = layers.DepthwiseConv2D(3, depth_multiplier=2, name="twofold")(x)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.DepthwiseConv2D(3, use_bias=False, name="onefold")(x)
    x = layers.SeparableConv2D(5, 1, name="last")(layers.UpSampling2D()(x))
    return Network(model_of(inputs, x), (("separable", "twofold", "norm", "onefold"), ("last",)))


def squeeze_and_excitation():
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(8, 3, name="body")(inputs)
    gate = layers.GlobalAveragePooling2D(keepdims=True)(x)
    gate = layers.Conv2D(4, 1, activation="relu", name="reduce")(gate)
    gate = layers.Conv2D(8, 1, activation="hard_sigmoid", name="expand")(gate)
    x = layers.Multiply(name="gated")([x, gate])
    return Network(model_of(inputs, x), (("body", "expand", "gated"), ("reduce",)))


def squeeze_and_excitation_by_reshape():
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(8, 3, name="body")(inputs)
    gate = layers.GlobalAveragePooling2D()(x)
    gate = layers.Reshape((1, 1, 8))(gate)
    gate = layers.Dense(4, activation="relu", name="reduce")(gate)
    gate = layers.Dense(8, activation="sigmoid", name="expand")(gate)
    x = x * gate
    model = model_of(inputs, x)
    product = next(op for op in model.operations if type(op).__name__ == "Multiply")
    product.name = "gated"
    return Network(model, (("body", "expand", "gated"), ("reduce",)))


def spatial_attention():
    """A map of one channel is broadcast over any number of channels."""
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(8, 3, padding="same", name="body")(inputs)
    attention = layers.Conv2D(1, 3, padding="same", activation="sigmoid", name="map")(x)
    x = layers.Multiply(name="attended")([attention, x])
    return Network(model_of(inputs, x), (("body", "attended"),))


def joined_side_by_side():
    inputs = keras.Input((8, 8, 3))
    a = layers.Conv2D(6, 3, name="a")(inputs)
    b = layers.Conv2D(6, 3, name="b")(inputs)
    x = layers.Concatenate(axis=2, name="wide")([a, b])
    return Network(model_of(inputs, x), (("a", "b", "wide"),))


def shared_layer():
    inputs = keras.Input((8, 8, 3))
    stem = layers.Conv2D(6, 3, padding="same", name="stem")(inputs)
    shared = layers.Conv2D(6, 3, padding="same", activation="tanh", name="shared")
    x = shared(shared(stem))
    return Network(model_of(inputs, x), (("stem", "shared"),))


def shared_over_two_branches():
    inputs = keras.Input((8, 8, 3))
    norm = layers.BatchNormalization(name="norm")
    shared = layers.Conv2D(5, 3, name="shared")
    branches = [layers.Conv2D(6, 3, name=n)(inputs) for n in ("left", "right")]
    x = layers.Concatenate()([shared(norm(branch)) for branch in branches])
    return Network(model_of(inputs, x), (("left", "right", "norm"), ("shared",)))


def nested():
    inner_inputs = keras.Input((8, 8, 6))
    x = layers.Conv2D(7, 3, padding="same", name="inner")(inner_inputs)
    x = layers.Conv2D(6, 3, padding="same", name="outer")(x)
    block = keras.Model(inner_inputs, layers.Add(name="sum")([inner_inputs, x]), name="block")
    top = keras.Sequential([layers.Conv2D(5, 3, name="top"), layers.ReLU()], name="tops")
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(6, 3, padding="same", name="stem")(inputs)
    # The block's weights are shared by its two calls.
    x = top(block(block(x)))
    return Network(model_of(inputs, x), (("stem", "outer", "sum"), ("inner",), ("top",)))


def two_inputs_and_outputs():
    image, vector = keras.Input((8, 8, 3), name="image"), keras.Input((4,), name="vector")
    a = layers.Conv2D(6, 3, name="a")(image)
    b = layers.Dense(5, name="b")(vector)
    pooled = layers.GlobalAveragePooling2D()(a)
    x = layers.Dense(7, activation="relu", name="c")(layers.Concatenate()([pooled, b]))
    outputs = {"kind": layers.Dense(3, name="kind")(x), "place": layers.Dense(2, name="place")(x)}
    model = keras.Model({"vector": vector, "image": image}, outputs)
    return Network(model, (("a",), ("b",), ("c",)), outputs=("kind", "place"))


def inner_output():
    """A tensor inside the network is an output too: its group stays whole."""
    inputs = keras.Input((8, 8, 3))
    a = layers.Conv2D(6, 3, padding="same", name="a")(inputs)
    b = layers.Conv2D(6, 3, padding="same", name="b")(a)
    c = layers.Conv2D(4, 3, name="c")(layers.Add(name="sum")([a, b]))
    head = layers.Dense(3, name="head")(layers.GlobalAveragePooling2D()(c))
    return Network(keras.Model(inputs, [head, b]), (("c",),), outputs=("head", "b"))


def unknown_layer():
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(6, 3, name="a")(inputs)
    x = layers.SpectralNormalization(layers.Conv2D(4, 3, name="inside"), name="odd")(x)
    x = layers.Conv2D(5, 3, name="b")(x)
    reason = "no handler for SpectralNormalization: runs at full width (keeps a at full width)"
    return Network(model_of(inputs, x), (("b",),), (), {"odd": reason})


def constants():
    inputs = keras.Input((8, 8, 3))
    x = layers.Rescaling([0.5, 2.0, 1.0], offset=0.1, name="image_scale")(inputs)
    x = layers.Conv2D(6, 3, name="a")(x)
    x = keras.ops.relu(2.0 * x - 0.5)
    x = layers.Rescaling(0.5, name="plain_scale")(x)
    x = layers.Conv2D(5, 1, name="b")(x)
    x = layers.Rescaling(np.arange(5.0).tolist(), name="channel_scale")(x)
    x = layers.Conv2D(4, 1, name="c")(x)
    model = model_of(inputs, x)
    for kind, name in (("Multiply", "twice"), ("Subtract", "less")):
        next(op for op in model.operations if type(op).__name__ == kind).name = name
    return Network(model, (("a", "twice", "less"), ("b",), ("c",)))


def constant_vector():
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(6, 3, name="a")(inputs)
    x = x + np.arange(6, dtype="float32")
    x = layers.Conv2D(4, 1, name="b")(x)
    model = model_of(inputs, x)
    next(op for op in model.operations if type(op).__name__ == "Add").name = "plus"
    return Network(model, (("b",),), (), {"plus": "a constant that has a value a channel"})


def spatial_pads():
    """Padding that leaves channels alone, and channel padding that nothing can follow."""
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(6, 3, name="a")(inputs)
    x = keras.ops.pad(x, ((0, 0), (1, 1), (2, 0), (0, 0)), mode="reflect")
    x = layers.ZeroPadding2D(1)(layers.Conv2D(5, 3, name="b")(x))
    x = keras.ops.pad(x, ((0, 0), (0, 0), (0, 0), (1, 2)))
    x = layers.Conv2D(4, 3, name="c")(x)
    x = keras.ops.pad(x, ((0, 0), (0, 0), (0, 0), (0, 2)), mode="symmetric")
    x = layers.Conv2D(7, 3, name="d")(x)
    model = renamed(
        model_of(inputs, x),
        Pad=("mirrored", "before", "symmetric"),
    )
    reason = "pads channels in a way that cannot be narrowed"
    groups = (("a",), ("b",), ("before[0:1]",), ("before[6:8]",), ("d",))
    return Network(model, groups, (), {"symmetric": reason})


def pad_beside_frozen():
    """A shortcut from channels that stay whole: the padded group holds them all."""
    inputs = keras.Input((8, 8, 3))
    stem = layers.Conv2D(4, 3, padding="same", name="stem")(inputs)
    shortcut = keras.ops.pad(stem, ((0, 0), (0, 0), (0, 0), (0, 5)))
    odd = layers.Lambda(keras.ops.square, output_shape=(8, 8, 4), name="odd")(stem)
    x = layers.Conv2D(9, 3, padding="same", name="outer")(odd)
    x = layers.Add(name="sum")([x, shortcut])
    model = renamed(model_of(inputs, x), Pad=("shortcut",))
    reason = "a Lambda may do anything to its input's channels"
    return Network(model, (("shortcut", "outer", "sum"),), (), {"odd": reason})


def masked():
    inputs = keras.Input((6, 3))
    x = layers.Masking(name="masking")(inputs)
    x = layers.Dense(8, name="a")(x)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.Dense(5, name="b")(layers.Activation("tanh")(x))
    outputs = layers.Dense(2, name="head")(x)
    return Network(keras.Model(inputs, outputs), (("a", "norm"), ("b",)))


def reshaped():
    inputs = keras.Input((4, 4, 3))
    x = layers.Conv2D(6, 1, name="a")(inputs)
    x = layers.Reshape((16, 6))(x)
    x = layers.Dense(5, name="b")(x)
    x = layers.Reshape((-1, 10))(x)
    x = layers.Dense(4, name="c")(x)
    x = layers.Reshape((4, 8, 1), name="across")(x)
    x = layers.Conv2D(6, 1, name="d")(x)
    return Network(model_of(inputs, x), (("a",), ("b",), ("d",)), (), {"across": "across channels"})


def noisy():
    """Layers with random state pass channels on; each keeps its own seed."""
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(6, 3, name="a")(layers.GaussianNoise(0.1)(inputs))
    x = layers.SpatialDropout2D(0.3)(layers.Dropout(0.5)(x))
    x = layers.Conv2D(5, 3, name="b")(x)
    return Network(model_of(inputs, layers.GaussianDropout(0.2)(x)), (("a",), ("b",)))


def lambda_layer():
    """A function's globals (`keras`) survive, though its config would lose them."""
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(6, 3, name="a")(inputs)
    x = layers.Lambda(lambda t: keras.ops.square(t), output_shape=(6, 6, 6), name="square")(x)
    x = layers.Conv2D(5, 3, name="b")(x)
    return Network(model_of(inputs, x), (("b",),), (), {"square": "a Lambda may do anything"})


NETWORKS = {
    build.__name__: build
    for build in (
        plain,
        sequential,
        residual,
        padded_shortcut,
        two_padded_shortcuts,
        concatenation,
        dense_block,
        sum_of_concatenations,
        mismatched_concatenations,
        flatten,
        flatten_of_concatenation,
        separable_and_depthwise,
        squeeze_and_excitation,
        squeeze_and_excitation_by_reshape,
        spatial_attention,
        joined_side_by_side,
        shared_layer,
        shared_over_two_branches,
        nested,
        two_inputs_and_outputs,
        inner_output,
        unknown_layer,
        constants,
        constant_vector,
        spatial_pads,
        pad_beside_frozen,
        masked,
        reshaped,
        noisy,
        lambda_layer,
    )
}


def randomised(model, seed=0):
    """`model` with random weights, moving statistics among them."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        if "seed" in weight.name:
            continue
        positive = weight.name in ("moving_variance", "variance", "gamma")
        value = rng.uniform(0.5, 1.5, weight.shape) if positive else rng.normal(size=weight.shape)
        fan_in = np.prod(weight.shape[:-1]) if weight.name.endswith("kernel") else 4.0
        weight.assign(value if positive else value / np.sqrt(fan_in))
    for layer in model.layers:
        if isinstance(layer, layers.Normalization):
            layer.finalize_state()
    return model


def examples(model, batch=3, seed=1):
    """Random inputs in the structure that `model` takes, tokens below 10 where it takes ints."""
    rng = np.random.default_rng(seed)

    def random(tensor):
        shape = (batch, *tensor.shape[1:])
        if "int" in tensor.dtype:
            return rng.integers(0, 10, shape).astype(tensor.dtype)
        return rng.normal(size=shape).astype("float32")

    return keras.tree.map_structure(random, functional_graph(model)._inputs_struct)


def some_widths(space, count=3, seed=2):
    """The smallest network's widths, and random ones."""
    return [space.smallest, *space.sample(np.random.default_rng(seed), count)]


def arrays(outputs):
    """Outputs by path, as numpy arrays."""
    flat = keras.tree.flatten_with_path(outputs)
    return {str(path): np.asarray(keras.ops.convert_to_numpy(value)) for path, value in flat}


def model_of(inputs, x):
    """A model that ends in a dense layer of three outputs, called `head`."""
    pool = {
        3: layers.GlobalAveragePooling1D,
        4: layers.GlobalAveragePooling2D,
        5: layers.GlobalAveragePooling3D,
    }.get(len(x.shape))
    return keras.Model(inputs, layers.Dense(3, name="head")(x if pool is None else pool()(x)))


def renamed(model, **names):
    """Operations of `keras.ops` take no name and are numbered through the process."""
    for kind, given in names.items():
        found = [operation for operation in model.operations if type(operation).__name__ == kind]
        for operation, name in zip(found, given, strict=True):
            operation.name = name
    return model
