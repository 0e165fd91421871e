"""Models that are no image classifiers, small, each with what conversion must find in it."""

import dataclasses

import keras
import numpy as np

layers = keras.layers


@dataclasses.dataclass(frozen=True)
class Architecture:
    """A model, data that it can learn, and what must be found in it.

    Attributes:
        model: the stock Keras model.
        x, y: arrays in the structure that the model takes.
        compile: arguments of `compile`, the optimizer aside.
        groups: layer names of each group, in any order.
        frozen: layer name -> a part of the reason, the outputs aside.
        outputs: names of the output layers.
        rate: learning rate of Adam at which the loss falls within a few epochs.
    """

    model: keras.Model
    x: object
    y: object
    compile: dict
    groups: tuple
    frozen: dict = dataclasses.field(default_factory=dict)
    outputs: tuple = ("head",)
    rate: float = 0.01


@keras.saving.register_keras_serializable("tests")
class PositionEmbedding(layers.Layer):
    """Adds a learnt vector to every position: a layer as users write them."""

    def build(self, shape):
        self.position = self.add_weight(shape=shape[1:], initializer="normal", name="position")

    def call(self, inputs):
        return inputs + self.position


def u_net():
    """Pixels of a bright square: two encoder levels, a bottom, two decoder levels."""
    inputs = keras.Input((16, 16, 1), name="image")
    first = _two_convolutions(inputs, 8, "down0")
    second = _two_convolutions(layers.MaxPooling2D()(first), 12, "down1")
    x = _two_convolutions(layers.MaxPooling2D()(second), 16, "bottom")
    x = layers.Conv2DTranspose(12, 2, strides=2, name="up1")(x)
    x = layers.Concatenate(name="skip1")([x, second])
    x = _two_convolutions(x, 12, "out1")
    x = layers.Conv2DTranspose(8, 2, strides=2, name="up0")(x)
    x = layers.Concatenate(name="skip0")([x, first])
    x = _two_convolutions(x, 8, "out0")
    outputs = layers.Conv2D(3, 1, activation="softmax", name="head")(x)
    x, y = squares(48)
    blocks = ("down0", "down1", "bottom", "out1", "out0")
    return Architecture(
        keras.Model(inputs, outputs, name="u_net"),
        x,
        y,
        {"loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"]},
        (
            *((f"{block}_a", f"{block}_a_norm") for block in blocks),
            *((f"{block}_b", f"{block}_b_norm") for block in blocks),
            ("up1",),
            ("up0",),
        ),
    )


def _two_convolutions(x, filters, name):
    for part in ("a", "b"):
        x = layers.Conv2D(filters, 3, padding="same", use_bias=False, name=f"{name}_{part}")(x)
        x = layers.BatchNormalization(name=f"{name}_{part}_norm", momentum=0.8)(x)
        x = layers.ReLU()(x)
    return x


def squares(count, size=16, seed=0):
    """Images of one square of either sign, and the class of every pixel."""
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 0.3, (count, size, size, 1)).astype("float32")
    y = np.zeros((count, size, size), "int32")
    for i in range(count):
        top, left = rng.integers(0, size - 6, 2)
        kind = i % 2
        x[i, top : top + 6, left : left + 6] += 1 - 2 * kind
        y[i, top : top + 6, left : left + 6] = 1 + kind
    return x, y


def two_heads():
    """What a square is, and its box: a trunk of convolutions, outputs in a dict."""
    inputs = keras.Input((16, 16, 1), name="image")
    x = inputs
    for i, filters in enumerate((8, 12, 16)):
        x = layers.Conv2D(filters, 3, strides=2, padding="same", name=f"trunk{i}")(x)
        x = layers.BatchNormalization(name=f"trunk{i}_norm", momentum=0.8)(x)
        x = layers.ReLU()(x)
    kind = layers.Dense(12, activation="relu", name="kind_hidden")(
        layers.GlobalAveragePooling2D()(x)
    )
    box = layers.Dense(16, activation="relu", name="box_hidden")(layers.Flatten()(x))
    outputs = {
        "kind": layers.Dense(2, name="kind")(kind),
        "box": layers.Dense(4, activation="sigmoid", name="box")(box),
    }
    x, pixels = squares(48)
    rows, columns = (pixels.any(axis) for axis in (2, 1))
    corners = [rows.argmax(1), columns.argmax(1)]
    box = np.stack([*corners, *(corner + 6 for corner in corners)], 1) / 16
    return Architecture(
        keras.Model(inputs, outputs, name="two_heads"),
        x,
        {"kind": pixels.max((1, 2)) - 1, "box": box.astype("float32")},
        {
            "loss": {
                "kind": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
                "box": "huber",
            },
            "loss_weights": {"kind": 1.0, "box": 4.0},
            "metrics": {"kind": ["accuracy"], "box": ["mae"]},
        },
        (
            *((f"trunk{i}", f"trunk{i}_norm") for i in range(3)),
            ("kind_hidden",),
            ("box_hidden",),
        ),
        outputs=("kind", "box"),
    )


def series():
    """Slow and fast waves, by causal convolutions over time with a residual sum."""
    inputs = keras.Input((32, 2), name="series")
    x = layers.Conv1D(8, 3, padding="causal", name="stem")(inputs)
    x = layers.BatchNormalization(name="stem_norm", momentum=0.8)(x)
    x = shortcut = layers.ReLU()(x)
    x = layers.Conv1D(12, 3, padding="causal", dilation_rate=2, activation="relu", name="wide")(x)
    x = layers.Conv1D(8, 3, padding="causal", dilation_rate=4, name="back")(x)
    x = layers.Add(name="sum")([x, shortcut])
    x = layers.MaxPooling1D(2)(x)
    x = layers.SeparableConv1D(12, 3, padding="same", activation="relu", name="separable")(x)
    x = layers.AveragePooling1D(2)(x)
    x = layers.Dropout(0.1)(layers.GlobalMaxPooling1D()(x))
    outputs = layers.Dense(2, activation="softmax", name="head")(x)
    x, y = waves(48)
    return Architecture(
        keras.Model(inputs, outputs, name="series"),
        x,
        y,
        {"loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"]},
        (("stem", "stem_norm", "back", "sum"), ("wide",), ("separable",)),
    )


def waves(count, seed=0):
    """Two channels of a sine, its frequency the class."""
    rng = np.random.default_rng(seed)
    y = np.arange(count) % 2
    phase = rng.uniform(0, 2 * np.pi, (count, 1, 2))
    time = np.arange(32)[None, :, None] * np.where(y, 1.2, 0.4)[:, None, None]
    x = np.sin(time + phase) + rng.normal(0, 0.1, (count, 32, 2))
    return x.astype("float32"), y.astype("int32")


def mlp():
    """A table of numbers to one number."""
    inputs = keras.Input((10,), name="row")
    x = inputs
    for i, units in enumerate((16, 12)):
        x = layers.Dense(units, use_bias=False, name=f"hidden{i}")(x)
        x = layers.BatchNormalization(name=f"norm{i}", momentum=0.8)(x)
        x = layers.Dropout(0.1)(layers.Activation("gelu")(x))
    outputs = layers.Dense(1, name="head")(x)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(64, 10)).astype("float32")
    return Architecture(
        keras.Model(inputs, outputs, name="mlp"),
        x,
        (x[:, :1] - x[:, 1:2] * x[:, 2:3]).astype("float32"),
        {"loss": "mse", "metrics": ["mae"]},
        (("hidden0", "norm0"), ("hidden1", "norm1")),
        # One channel cannot be narrower, so there is nothing to report.
        outputs=(),
    )


def vision_transformer():
    """Patches of an image through two transformer blocks."""
    inputs = keras.Input((16, 16, 1), name="image")
    x = layers.Conv2D(16, 4, strides=4, name="patches")(inputs)
    x = layers.Reshape((16, 16), name="tokens")(x)
    x = PositionEmbedding(name="positions")(x)
    for i in range(2):
        x = _transformer_block(x, 24, f"block{i}")
    x = layers.LayerNormalization(name="last_norm")(x)
    outputs = layers.Dense(2, name="head")(layers.GlobalAveragePooling1D()(x))
    x, pixels = squares(48)
    return Architecture(
        keras.Model(inputs, outputs, name="vision_transformer"),
        x,
        pixels.max((1, 2)) - 1,
        {
            "loss": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            "metrics": ["accuracy"],
        },
        (("block0_wide",), ("block1_wide",)),
        {
            "positions": "no handler for PositionEmbedding: runs at full width (keeps patches",
            "block0_attention": "attention runs at full width",
            "block0_sum1": "keeps block0_narrow at full width",
            "block1_attention": "attention runs at full width",
            "block1_sum1": "keeps block1_narrow at full width",
        },
        rate=0.003,
    )


def text_transformer():
    """Which of two tokens a sentence of any length has: two embeddings and one block, masked."""
    length, tokens = 12, 20
    inputs = keras.Input((length,), dtype="int32", name="tokens")
    # Positions from 1, padding at 0: both embeddings have the mask, or their sum would have none.
    real = keras.ops.cast(keras.ops.not_equal(inputs, 0), "int32")
    positions = keras.ops.cumsum(real, axis=1) * real
    x = layers.Add(name="embedded")(
        [
            layers.Embedding(tokens, 16, mask_zero=True, name="token_embedding")(inputs),
            layers.Embedding(length + 1, 16, mask_zero=True, name="position_embedding")(positions),
        ]
    )
    x = _transformer_block(x, 24, "block")
    x = layers.GlobalAveragePooling1D()(x)
    x = layers.Dense(12, activation="relu", name="pooled")(x)
    outputs = layers.Dense(2, activation="softmax", name="head")(x)
    x, y = sentences(64, length, tokens)
    return Architecture(
        keras.Model(inputs, outputs, name="text_transformer"),
        x,
        y,
        {"loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"]},
        (("block_wide",), ("pooled",)),
        {
            "block_attention": "(keeps token_embedding, position_embedding, embedded, block_norm0",
            "block_sum1": "keeps block_narrow at full width",
        },
    )


def sentences(count, length, tokens, seed=0):
    """Random tokens from 3 up, padded with 0, and among them one 1 or 2: the class."""
    rng = np.random.default_rng(seed)
    x = rng.integers(3, tokens, (count, length)).astype("int32")
    y = (np.arange(count) % 2).astype("int32")
    for row, kind in zip(x, y):
        end = rng.integers(4, length + 1)
        row[rng.integers(end)] = 1 + kind
        row[end:] = 0
    return x, y


def _transformer_block(x, units, name):
    """Normalised attention and normalised MLP, each added to what enters it."""
    y = layers.LayerNormalization(name=f"{name}_norm0")(x)
    y = layers.MultiHeadAttention(2, 8, dropout=0.1, name=f"{name}_attention")(y, y)
    x = layers.Add(name=f"{name}_sum0")([x, y])
    y = layers.LayerNormalization(name=f"{name}_norm1")(x)
    y = layers.Dense(units, activation="gelu", name=f"{name}_wide")(y)
    y = layers.Dropout(0.1)(layers.Dense(16, name=f"{name}_narrow")(y))
    return layers.Add(name=f"{name}_sum1")([x, y])


def backbone_u_net():
    """A decoder over the inner features of a MobileNetV2, which is a model inside the model."""
    base = keras.applications.MobileNetV2((32, 32, 3), 0.35, include_top=False, weights=None)
    names = ("block_1_expand_relu", "block_3_expand_relu", "block_6_expand_relu")
    features = [base.get_layer(name).output for name in names]
    backbone = keras.Model(base.input, features, name="backbone")
    inputs = keras.Input((32, 32, 3), name="image")
    fine, middle, x = backbone(layers.Rescaling(2.0, name="rescaled")(inputs))
    for i, skip in enumerate((middle, fine)):
        x = layers.Conv2DTranspose(12, 3, strides=2, padding="same", name=f"up{i}")(x)
        x = layers.BatchNormalization(name=f"up{i}_norm", momentum=0.8)(x)
        x = layers.Concatenate(name=f"skip{i}")([layers.ReLU()(x), skip])
    outputs = layers.Conv2DTranspose(3, 3, strides=2, padding="same", name="head")(x)
    x, y = squares(16, 32)
    return Architecture(
        keras.Model(inputs, outputs, name="backbone_u_net"),
        np.repeat(x, 3, -1),
        y,
        {
            "loss": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            "metrics": ["accuracy"],
        },
        (
            ("Conv1", "bn_Conv1", "expanded_conv_depthwise", "expanded_conv_depthwise_BN"),
            _with_norms("expanded_conv_project"),
            *(_with_norms(f"block_{i}_expand", f"block_{i}_depthwise") for i in range(1, 6)),
            _with_norms("block_1_project", "block_2_project") + ("block_2_add",),
            _with_norms(*(f"block_{i}_project" for i in (3, 4, 5)))
            + ("block_4_add", "block_5_add"),
            _with_norms("block_6_expand"),
            ("up0", "up0_norm"),
            ("up1", "up1_norm"),
        ),
    )


def _with_norms(*names):
    return tuple(f"{name}{suffix}" for name in names for suffix in ("", "_BN"))


def autoencoder():
    """Images through eight numbers and back."""
    inputs = keras.Input((16, 16, 1), name="image")
    x = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu", name="in0")(inputs)
    x = layers.Conv2D(12, 3, strides=2, padding="same", activation="relu", name="in1")(x)
    x = layers.Dense(8, name="code")(layers.Flatten()(x))
    x = layers.Dense(4 * 4 * 12, activation="relu", name="unfold")(x)
    x = layers.Reshape((4, 4, 12), name="pixels")(x)
    x = layers.Conv2DTranspose(8, 3, strides=2, padding="same", activation="relu", name="out0")(x)
    outputs = layers.Conv2DTranspose(1, 3, strides=2, padding="same", name="head")(x)
    x = blobs(48)
    return Architecture(
        keras.Model(inputs, outputs, name="autoencoder"),
        x,
        x,
        {"loss": "mse", "metrics": ["mae"]},
        (("in0",), ("in1",), ("code",), ("unfold", "pixels"), ("out0",)),
        outputs=(),
    )


def blobs(count, size=16, seed=0):
    """Sums of four smooth patterns."""
    rng = np.random.default_rng(seed)
    waves = np.sin(np.arange(1, 5)[:, None] * np.arange(size) * np.pi / size)
    x = np.einsum("nk,kh,kw->nhw", rng.uniform(size=(count, 4)), waves, waves)
    return x[..., None].astype("float32")


ARCHITECTURES = {
    build.__name__: build
    for build in (
        u_net,
        two_heads,
        series,
        mlp,
        vision_transformer,
        text_transformer,
        backbone_u_net,
        autoencoder,
    )
}
