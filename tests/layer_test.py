"""What every slimmable layer must do, checked against the stock layer holding a numpy slice.

The slices are taken here by an oracle of its own (`Channels`): a list that says, channel by
channel, which group it belongs to and from which width on it is active.
"""

import dataclasses
import json
import pathlib
import tempfile

import keras
import numpy as np
import tensorflow as tf

from keras_joslim.channel_layout import ChannelLayout

# Weight name -> the side of each of its last axes: "in", "out" or a kept axis (None); also
# "middle" of a separable convolution and "part" of a grouped one, one group's input channels.
WEIGHT_SIDES = {
    "Conv1D": {"kernel": (None, "in", "out"), "bias": ("out",)},
    "Conv2D": {"kernel": (None, None, "in", "out"), "bias": ("out",)},
    "Conv3D": {"kernel": (None, None, None, "in", "out"), "bias": ("out",)},
    "Conv1DTranspose": {"kernel": (None, "out", "in"), "bias": ("out",)},
    "Conv2DTranspose": {"kernel": (None, None, "out", "in"), "bias": ("out",)},
    "Conv3DTranspose": {"kernel": (None, None, None, "out", "in"), "bias": ("out",)},
    "DepthwiseConv1D": {"kernel": (None, "in", None), "bias": ("out",)},
    "DepthwiseConv2D": {"kernel": (None, None, "in", None), "bias": ("out",)},
    "SeparableConv1D": {
        "depthwise_kernel": (None, "in", None),
        "pointwise_kernel": (None, "middle", "out"),
        "bias": ("out",),
    },
    "SeparableConv2D": {
        "depthwise_kernel": (None, None, "in", None),
        "pointwise_kernel": (None, None, "middle", "out"),
        "bias": ("out",),
    },
    "Dense": {"kernel": ("in", "out"), "bias": ("out",)},
    "BatchNormalization": dict.fromkeys(
        ("gamma", "beta", "moving_mean", "moving_variance"), ("in",)
    ),
    "Reshape": {},
    "EinsumDense": {"kernel": ("in", "out"), "bias": ("out",)},
    "Embedding": {"embeddings": (None, "out")},
    "LayerNormalization": {"gamma": ("in",), "beta": ("in",)},
    "RMSNormalization": {"scale": ("in",)},
    "GroupNormalization": {"gamma": ("in",), "beta": ("in",)},
    "PReLU": {"alpha": (None, None, "in")},
    "LayerScale": {"gamma": ("in",)},
    "Normalization": {"mean": ("in",), "variance": ("in",), "count": ()},
    "Rescaling": {},
}


@dataclasses.dataclass(frozen=True)
class Channels:
    """A channel layout, and what it means channel by channel.

    Attributes:
        layout: the `ChannelLayout` under test.
        each: one `(group or None, position)` a channel; active if position < width.
    """

    layout: ChannelLayout
    each: tuple

    @classmethod
    def fixed(cls, size):
        return cls(ChannelLayout.fixed(size), ((None, 0),) * size)

    @classmethod
    def group(cls, group, size):
        return cls(ChannelLayout.of_group(group, size), tuple((group, i) for i in range(size)))

    def __add__(self, other):
        return Channels(self.layout + other.layout, self.each + other.each)

    def repeated(self, times):
        return Channels(self.layout.repeated(times), self.each * times)

    def scaled(self, factor):
        each = tuple(channel for channel in self.each for _ in range(factor))
        return Channels(self.layout.scaled(factor), each)

    def active(self, widths):
        """Positions of the active channels."""
        return np.array(
            [i for i, (g, at) in enumerate(self.each) if g is None or at < widths[g]], np.int64
        )


@dataclasses.dataclass(frozen=True)
class LayerCase:
    """A slimmable layer, its stock class, and where to try it.

    Attributes:
        slim: the slimmable class.
        arguments: constructor arguments at full width.
        source: `Channels` of the input.
        target: `Channels` of the output.
        full: full widths, one a group.
        shape: batch and spatial shape of the input, without its channels.
        narrowed: `narrowed(out channels) -> ` arguments that differ in the stock layer.
        multiplier: depth multiplier of a separable convolution.
        sides: what stands in the place of the stock class's entry in `WEIGHT_SIDES`.
        unit: widths are multiples of it.
        constants: names of arguments that are lists of one value a channel.
        tolerance: of outputs, where the layer is not the stock one to the last bit.
    """

    slim: type
    arguments: dict
    source: Channels
    target: Channels
    full: tuple
    shape: tuple
    narrowed: object = None
    multiplier: int = 1
    sides: dict | None = None
    unit: int = 1
    constants: tuple = ()
    tolerance: float = 0.0

    @property
    def stock(self):
        return self.slim.stock_class

    def widths(self, count=4):
        """Width vectors: narrow ones, one unit each, then the full one."""
        rng, unit = np.random.default_rng(1), self.unit
        rows = [
            [unit * int(rng.integers(1, n // unit + 1)) for n in self.full] for _ in range(count)
        ]
        return [np.array(row, np.int32) for row in [*rows, [unit] * len(self.full), self.full]]

    def make(self, **more):
        return self.slim(
            **self.arguments,
            **more,
            in_layout=self.source.layout,
            out_layout=self.target.layout,
        )

    def built(self, **more):
        """The slimmable layer with random weights."""
        layer = self.make(**more)
        layer.build((*self.shape, len(self.source.each)))
        rng = np.random.default_rng(2)
        for weight in layer.weights:
            value = rng.normal(size=weight.shape).astype("float32")
            positive = weight.name in ("moving_variance", "variance", "gamma")
            weight.assign(np.abs(value) + 0.5 if positive else value)
        return layer

    def slices(self, widths):
        """Weight name -> index arrays for `np.ix_`, sides left whole as `None`."""
        part = self.source.each[: len(self.source.each) // self.arguments.get("groups", 1)]
        sides = {
            "in": self.source.active(widths),
            "part": Channels(None, part).active(widths),
            "middle": self.source.scaled(self.multiplier).active(widths),
            "out": self.target.active(widths),
            None: None,
        }
        table = self.sides or WEIGHT_SIDES[self.stock.__name__]
        return {name: [sides[side] for side in axes] for name, axes in table.items()}

    def sliced(self, name, array, widths):
        """The active part of a full array of the shape of weight `name`."""
        index = self.slices(widths)[name]
        full = [np.arange(n) if i is None else i for i, n in zip(index, array.shape, strict=True)]
        return array[np.ix_(*full)]

    def stock_layer(self, layer, widths, **more):
        """The stock layer holding the slices of `layer`."""
        arguments = dict(self.arguments)
        if self.narrowed is not None:
            arguments.update(self.narrowed(len(self.target.active(widths))))
        for name in self.constants:
            arguments[name] = [arguments[name][i] for i in self.source.active(widths)]
        stock = self.stock(**arguments, **more)
        stock.build((*self.shape, len(self.source.active(widths))))
        for weight, full in zip(stock.weights, layer.weights, strict=True):
            if self.stock.__name__ == "LayerScale":
                # Keras numbers a weight that has no name.
                weight._name = full.name
            assert weight.name == full.name
            weight.assign(self.sliced(weight.name, full.numpy(), widths))
        if hasattr(stock, "finalize_state"):
            # A preprocessing layer computes with what it made of its weights.
            stock.finalize_state()
        return stock

    def images(self, widths):
        rng = np.random.default_rng(3)
        channels = len(self.source.active(widths))
        return rng.normal(size=(*self.shape, channels)).astype("float32")


def run_slim_layer_test(case):
    """Runs every check below on a `LayerCase`."""
    check_config_round_trip(case)
    check_built_narrow_first(case)
    check_equals_stock_layer_holding_the_slice(case)
    check_gradients(case)
    check_one_step_changes_the_active_slice_only(case)
    check_one_trace_for_all_widths(case)
    check_save_and_load(case)
    check_mixed_precision(case)
    check_wrong_layouts_are_refused(case)


def check_config_round_trip(case):
    layer = case.make(name="given_name")
    config = json.loads(json.dumps(layer.get_config()))
    again = case.slim.from_config(config)
    assert type(again) is case.slim
    assert again.name == "given_name"
    assert again.in_layout == case.source.layout
    assert again.out_layout == case.target.layout
    assert json.loads(json.dumps(again.get_config())) == config
    # The stock class's own config, two entries aside, so that `extract` can use it.
    stock = case.stock(**case.arguments, name="given_name")
    expected = json.loads(json.dumps(stock.get_config()))
    assert {k: v for k, v in config.items() if k not in ("in_layout", "out_layout")} == expected
    assert not layer.supports_jit


def check_built_narrow_first(case):
    layer = case.make()
    narrow = np.full(len(case.full), case.unit, np.int32)
    outputs = layer(case.images(narrow), narrow)
    assert outputs.shape[-1] == len(case.target.active(narrow))
    reference = case.built()
    assert [w.shape for w in layer.weights] == [w.shape for w in reference.weights]
    full = np.array(case.full, np.int32)
    assert layer(case.images(full), full).shape[-1] == len(case.target.each)


def check_equals_stock_layer_holding_the_slice(case):
    layer = case.built()
    for widths in case.widths():
        x = case.images(widths)
        stock = case.stock_layer(layer, widths)
        outputs, expected = layer(x, widths).numpy(), stock(x).numpy()
        assert outputs.shape == expected.shape
        assert outputs.shape[-1] == len(case.target.active(widths))
        if tuple(widths) == case.full and not case.tolerance:
            np.testing.assert_array_equal(outputs, expected)
        else:
            tolerance = case.tolerance or 1e-6
            np.testing.assert_allclose(outputs, expected, rtol=tolerance, atol=tolerance)
        # What the layer itself says of its slices, its shape and its config.
        for name, array in layer.sliced_weights(widths).items():
            np.testing.assert_array_equal(
                array, next(w for w in stock.weights if w.name == name).numpy()
            )
        config = case.stock.from_config(layer.stock_config(widths)).get_config()
        assert {**config, "name": stock.name} == stock.get_config()
    assert tuple(layer.compute_output_shape(x.shape)) == outputs.shape


def check_gradients(case):
    layer = case.built()
    for widths in case.widths(2):
        x = case.images(widths)
        stock = case.stock_layer(layer, widths)
        ours, outputs = _gradients(layer, x, widths=widths)
        theirs, expected = _gradients(stock, x)
        np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(ours.pop(""), theirs.pop(""), rtol=1e-4, atol=1e-5)
        assert set(ours) == set(theirs)
        for name, gradient in ours.items():
            rest = gradient.copy()
            active = case.sliced(name, gradient, widths)
            scale = max(1.0, np.abs(theirs[name]).max())
            np.testing.assert_allclose(active, theirs[name], rtol=1e-5, atol=1e-5 * scale)
            index = case.slices(widths)[name]
            whole = zip(index, gradient.shape, strict=True)
            rest[np.ix_(*[np.arange(n) if i is None else i for i, n in whole])] = 0
            assert not rest.any(), f"{name} has a gradient outside the slice"


def _gradients(layer, x, **call):
    """Weight name -> gradient, the input's under an empty name; and the outputs, in training."""
    arguments = {"training": True} if "training" in layer._call_signature.parameters else {}
    if "widths" in call and "update_statistics" in layer._call_signature.parameters:
        arguments["update_statistics"] = False
    x = tf.constant(x)
    probe = np.random.default_rng(4)
    with tf.GradientTape() as tape:
        tape.watch(x)
        outputs = layer(x, **call, **arguments)
        loss = tf.reduce_sum(outputs * probe.normal(size=outputs.shape).astype("float32"))
    weights = layer.trainable_weights
    sources = [*(w.value for w in weights), x]
    # Tokens have no gradient.
    *gradients, of_input = tape.gradient(loss, sources, unconnected_gradients="zero")
    named = {w.name: tf.convert_to_tensor(g).numpy() for w, g in zip(weights, gradients)}
    return {**named, "": of_input.numpy()}, outputs.numpy()


def check_one_step_changes_the_active_slice_only(case):
    layer = case.built()
    if not layer.trainable_weights:
        return
    before = {w.name: w.numpy() for w in layer.weights}
    widths = np.array([max(case.unit, n - case.unit) for n in case.full], np.int32)
    gradients, _ = _gradients(layer, case.images(widths), widths=widths)
    trainable = layer.trainable_weights
    keras.optimizers.SGD(0.1).apply([gradients[w.name] for w in trainable], trainable)
    for weight in layer.weights:
        now, old = weight.numpy(), before[weight.name]
        if not weight.trainable:
            np.testing.assert_array_equal(now, old)
            continue
        active = np.zeros(now.shape, bool)
        index = case.slices(widths)[weight.name]
        whole = zip(index, now.shape, strict=True)
        active[np.ix_(*[np.arange(n) if i is None else i for i, n in whole])] = True
        np.testing.assert_array_equal(now[~active], old[~active])
        assert (now[active] != old[active]).any()


def check_one_trace_for_all_widths(case):
    layer = case.built()
    traces = []

    def call(x, widths):
        traces.append(1)
        return layer(x, widths)

    signature = [
        tf.TensorSpec((*case.shape, None), tf.float32),
        tf.TensorSpec((len(case.full),), tf.int32),
    ]
    function = tf.function(call, input_signature=signature)
    for widths in case.widths(6):
        x = case.images(widths)
        outputs = function(x, widths).numpy()
        assert outputs.shape[-1] == len(case.target.active(widths))
        np.testing.assert_allclose(outputs, layer(x, widths).numpy(), rtol=1e-5, atol=1e-5)
    assert len(traces) == 1


def check_save_and_load(case):
    layer = case.built()
    inputs = keras.Input((*case.shape[1:], len(case.source.each)))
    widths = keras.Input(batch_shape=(len(case.full),), dtype="int32")
    model = keras.Model([inputs, widths], layer(inputs, widths))
    assert model.output.shape[-1] == len(case.target.each)
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "model.keras"
        model.save(path)
        loaded = keras.models.load_model(path)
    # The input of a functional model is as wide as it was declared: ask the layer itself.
    again = next(each for each in loaded.layers if isinstance(each, case.slim))
    for vector in case.widths(1):
        x = case.images(vector)
        np.testing.assert_array_equal(again(x, vector), layer(x, vector))


def check_mixed_precision(case):
    for policy in ("mixed_float16", "mixed_bfloat16"):
        layer = case.built(dtype=policy)
        for widths in case.widths(1):
            x = case.images(widths)
            stock = case.stock_layer(layer, widths, dtype=policy)
            try:
                expected = stock(x)
            except tf.errors.InvalidArgumentError as error:
                # Without oneDNN's kernels, which for float16 want a CPU that computes in it.
                if "dilation rates larger than 1" not in str(error):
                    raise
                continue
            outputs = layer(x, widths)
            assert outputs.dtype == expected.dtype == policy.removeprefix("mixed_")
            assert all(w.dtype == "float32" for w in layer.weights if w.name != "count")
            # One unit in the last place of the sums' partial results.
            rounding = 2e-3 if policy == "mixed_float16" else 2e-2
            expected = tf.cast(expected, tf.float32).numpy()
            np.testing.assert_allclose(
                tf.cast(outputs, tf.float32).numpy(),
                expected,
                rtol=rounding,
                atol=rounding * max(1.0, np.abs(expected).max()),
            )


def check_wrong_layouts_are_refused(case):
    layouts = {"in_layout": case.source.layout, "out_layout": case.target.layout}
    for name in layouts:
        for wrong in (None, 5, "channels"):
            message = _refusal(case, {**layouts, name: wrong})
            assert "needs a channel layout" in message
            assert f"{name}={wrong!r}" in message
    longer = ChannelLayout.fixed(len(case.target.each) + 1)
    message = _refusal(case, {**layouts, "out_layout": longer})
    assert f"has {len(case.target.each)} channels on that side, its layout has {longer.size}" in (
        message
    )


def _refusal(case, layouts):
    try:
        case.slim(**case.arguments, **layouts)
    except ValueError as error:
        return str(error)
    raise AssertionError(f"{case.slim.__name__} accepted {layouts}")
