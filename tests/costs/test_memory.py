"""Memory at any widths equals, byte for byte, what the sub-network's exported file holds."""

import ast
import dataclasses
import pathlib

import keras
import numpy as np
import pytest

import keras_joslim as kj
from keras_joslim import costs, tflite
from keras_joslim.costs import Memory, memory
from tests.tflite.naive_memory import address_range, naive_activation_bytes, naive_weight_bytes

layers = keras.layers


def residual():
    """A residual block whose bytes are easily counted."""
    inputs = keras.Input((8, 8, 2))
    a = layers.Conv2D(4, 3, padding="same", activation="relu", name="a")(inputs)
    b = layers.Conv2D(6, 1, activation="relu", name="b")(a)
    c = layers.Conv2D(4, 1, name="c")(b)
    pooled = layers.GlobalAveragePooling2D()(layers.Add()([a, c]))
    return keras.Model(inputs, layers.Dense(3)(pooled))


def joined():
    """Concatenations, squeeze-and-excitation by Reshape, Flatten; norms that cannot fold."""
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(8, 3, padding="same", activation="relu")(inputs)
    for _ in range(2):
        y = layers.ReLU()(layers.BatchNormalization()(x))
        y = layers.Conv2D(6, 3, padding="same", use_bias=False)(y)
        x = layers.Concatenate()([x, y])
    gate = layers.Reshape((1, 1, 20))(layers.GlobalAveragePooling2D()(x))
    gate = layers.Conv2D(8, 1, activation="relu")(gate)
    gate = layers.Conv2D(20, 1, activation="sigmoid")(gate)
    x = layers.Conv2D(10, 1, use_bias=False)(layers.Multiply()([x, gate]))
    x = layers.Flatten()(layers.AveragePooling2D(2)(x))
    return keras.Model(inputs, layers.Dense(5)(layers.Dense(12, activation="relu")(x)))


def padded():
    """Two zero-padded shortcuts, the first one's input read again after it."""
    inputs = keras.Input((8, 8, 3))
    stem = layers.Conv2D(4, 3, padding="same", name="stem")(inputs)
    wide = keras.ops.pad(stem, ((0, 0), (0, 0), (0, 0), (0, 4)))
    x = layers.Conv2D(8, 1, activation="relu", name="middle")(stem)
    x = layers.Add()([wide, x])
    wider = keras.ops.pad(x, ((0, 0), (0, 0), (0, 0), (0, 4)))
    x = layers.Add()([wider, layers.Conv2D(12, 3, padding="same", name="last")(x)])
    return keras.Model(inputs, layers.Dense(3)(layers.GlobalAveragePooling2D()(x)))


BUILDERS = {
    "residual": residual,
    "joined": joined,
    "padded": padded,
    "resnet20": lambda: kj.models.cifar_resnet(20),
    "mobilenet_v2": lambda: keras.applications.MobileNetV2(
        (96, 96, 3), 0.35, weights=None, classes=10
    ),
}
# So many sub-networks of each are exported in the quick tests.
QUICK = {"residual": 3, "joined": 3, "padded": 6, "resnet20": 2}


@pytest.fixture(scope="module")
def made():
    """name -> (slimmable model, its `Memory`), each made once."""
    known = {}

    def make(name):
        if name not in known:
            slim = kj.make_slimmable(BUILDERS[name](), min_width=0.3)
            known[name] = slim, Memory(slim)
        return known[name]

    return make


def exported(slim, widths, seed=0):
    """The file of a sub-network whose weights are as after training: no two equal."""
    network = kj.extract(slim, widths)
    rng = np.random.default_rng(seed)
    for weight in network.weights:
        positive = weight.name == "moving_variance"
        weight.assign(
            rng.uniform(0.2, 2.0, weight.shape) if positive else rng.normal(size=weight.shape)
        )
    return tflite.to_tflite(network)


def check(slim, cost, rows):
    for i, widths in enumerate(rows):
        data = exported(slim, widths, i)
        terms = cost.terms(widths)
        assert terms["activation"] == naive_activation_bytes(data) == tflite.activation_bytes(data)
        assert terms["weight"] == naive_weight_bytes(data) == tflite.weight_bytes(data)
        assert cost(widths) == terms["activation"] + terms["weight"]
        # (In `arena_bytes` the last tensor is rounded up to 64 bytes.)
        assert terms["activation"] <= address_range(data) <= tflite.arena_bytes(data)


def random_widths(space, count):
    return space.sample(np.random.default_rng(11), count)


# MobileNetV2 takes as long as the others together; its widths are checked among the slow ones.
@pytest.mark.parametrize("name", [name for name in BUILDERS if name in QUICK])
def test_it_equals_the_exported_file(made, name):
    slim, cost = made(name)
    check(slim, cost, random_widths(slim.width_space, QUICK[name]))


@pytest.mark.slow
@pytest.mark.parametrize("name", BUILDERS)
def test_it_equals_twenty_exported_files(made, name):
    slim, cost = made(name)
    check(slim, cost, random_widths(slim.width_space, 20))


def test_by_hand(made):
    slim, cost = made("residual")
    assert slim.width_space.names == ("a", "b")
    for a, b in ((4, 6), (1, 2), (4, 2), (2, 6), (3, 3)):
        pixels = 4 * 8 * 8
        live = [2 + a, a + b, a + b + a, a + a + a]
        kernels = 9 * 2 * a + a * b + b * a + a * 3
        biases, axes = a + b + a + 3, 2
        expected = {"activation": pixels * max(live), "weight": 4 * (kernels + biases + axes)}
        assert cost.terms([a, b]) == expected
        assert cost([a, b]) == sum(expected.values())


def test_pads_of_no_channels_are_left_out(made):
    slim, cost = made("padded")
    rows = [[4, 4, 4], [4, 4, 7], [3, 8, 8], [3, 5, 9], [2, 4, 6]]
    rows = slim.width_space.canonical(rows)
    assert {tuple(np.diff(row) == 0) for row in rows} == {
        (True, True),
        (True, False),
        (False, True),
        (False, False),
    }
    check(slim, cost, rows)


def test_equal_paddings_are_stored_once(made):
    slim, cost = made("padded")
    one, other = [2, 4, 6], [2, 4, 7]
    check(slim, cost, [one, other])
    more = cost.terms(other)["weight"] - cost.terms(one)["weight"]
    # A channel of the last convolution and of the head, and the paddings (4, 2) once more.
    assert more == 4 * (9 * 4 + 1 + 3) + 4 * 8


def test_equal_biases_are_stored_once():
    """A convolution without bias has a vector of zeros in the file."""
    inputs = keras.Input((8, 8, 3))
    parts = [layers.Conv2D(6, 1, use_bias=False, activation=f)(inputs) for f in ("relu", "tanh")]
    x = layers.GlobalAveragePooling2D()(layers.Concatenate()(parts))
    slim = kj.make_slimmable(keras.Model(inputs, layers.Dense(2)(x)), min_width=0.3)
    cost = Memory(slim)
    check(slim, cost, [[4, 4], [4, 5], [5, 4]])

    def weights(a, b):
        zeros = a if a == b else a + b
        return 4 * (3 * a + 3 * b + zeros + 2 * (a + b) + 2 + 2)

    for a, b in ((2, 2), (2, 6), (5, 5), (6, 3)):
        assert cost.terms([a, b])["weight"] == weights(a, b)


def test_many_at_once_are_one_by_one(made):
    for name in ("joined", "padded", "resnet20"):
        slim, cost = made(name)
        rows = slim.width_space.sample(np.random.default_rng(0), 300)
        many = cost(rows)
        assert (many.shape, many.dtype) == ((300,), np.int64)
        assert many.tolist() == [cost(row) for row in rows]
        assert np.ndim(cost(rows[0])) == 0
        full, least = cost(slim.width_space.full), cost(slim.width_space.smallest)
        assert ((least <= many) & (many <= full)).all()


def test_the_terms_can_be_had_alone(made):
    slim, cost = made("residual")
    rows = slim.width_space.sample(np.random.default_rng(0), 20)
    both = cost.terms(rows)
    for name, flags in (("activation", {"weights": False}), ("weight", {"activation": False})):
        alone = Memory(slim, **flags)
        assert list(alone.terms(rows)) == [name]
        assert alone(rows).tolist() == both[name].tolist()


def test_name_and_unit():
    assert (Memory.name, Memory.unit) == ("memory", "bytes")


def test_the_model_is_never_touched():
    slim = kj.make_slimmable(residual(), min_width=0.3)
    before = [w.numpy() for w in slim.variables]
    cost = Memory(slim)
    cost(slim.width_space.smallest)
    for weight, value in zip(slim.variables, before, strict=True):
        np.testing.assert_array_equal(weight.numpy(), value)


def test_it_is_a_cost_to_search_by_and_to_draw_a_front_against(made):
    slim, cost = made("residual")
    rng = np.random.default_rng(0)
    images = rng.normal(size=(48, 8, 8, 2)).astype("float32")
    labels = rng.integers(3, size=48)
    slim.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    joslim = kj.Joslim((images, labels), tau=1, cost=cost, prior_points=2)
    slim.fit(images, labels, batch_size=16, epochs=1, callbacks=[joslim], verbose=0)
    assert joslim.history.costs.tolist() == cost(joslim.history.widths).tolist()
    front = kj.ParetoFront.build(
        slim, joslim.visited(), (images, labels), [images], costs=[cost], progress=False
    )
    assert front.cost == "memory"
    assert [p.costs["memory"] for p in front] == [cost(np.array(p.widths)) for p in front]
    assert f"{front[0].costs['memory']:,}" in front.table()
    assert front.plot().layout.xaxis.title.text == "bytes in memory"


def test_costs_import_tflite_where_they_use_it():
    for path in pathlib.Path(costs.__file__).parent.glob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            names = [alias.name for alias in getattr(node, "names", [])]
            names.append(getattr(node, "module", None) or "")
            heavy = ("keras", "tensorflow", "keras_joslim.tflite", "keras_joslim.conversion")
            assert not [n for n in names if n in heavy or n.startswith("keras_joslim.tflite")]


# -- refusals ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"activation": False, "weights": False}, "at least one .*activation=False, weights=False"),
        ({"format": "fp16"}, "known of fp32 files. Received: format='fp16'.*arena_bytes"),
        ({"format": "fp8"}, "Received: format='fp8'"),
    ],
)
def test_impossible_arguments(arguments, message):
    slim = kj.make_slimmable(residual(), min_width=0.3)
    with pytest.raises(ValueError, match=message):
        Memory(slim, **arguments)


def test_a_dynamic_shape_is_refused():
    inputs = keras.Input((None, 8, 3), name="image")
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(inputs))
    slim = kj.make_slimmable(keras.Model(inputs, layers.Dense(2)(x)))
    message = r"Input 'image' has no static shape.*shape=\(None, None, 8, 3\).*fixed height"
    with pytest.raises(ValueError, match=message):
        Memory(slim)


@pytest.mark.parametrize("widths", [[4], [4, 5, 6], [[[4, 6]]], 4])
def test_widths_of_another_length_are_refused(made, widths):
    _, cost = made("residual")
    with pytest.raises(ValueError, match=r"shape \(2,\) or \(n, 2\). Received: shape="):
        cost(widths)


def test_what_the_converter_makes_simpler_at_one_channel_is_named():
    inputs = keras.Input((6, 3))
    x = layers.Dense(8, activation="tanh")(inputs)
    x = layers.Dense(2)(layers.Dense(5, name="inner")(x))
    slim = kj.make_slimmable(keras.Model(inputs, x), min_width=0.1)
    with pytest.raises(ValueError, match="FULLY_CONNECTED .*inner.*Raise `min_width`"):
        Memory(slim)


def test_bytes_that_no_size_explains_are_an_error(monkeypatch):
    class WithAStrayConstant(memory.ProbedFiles):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            third = self.graphs[2]
            stray = next(t for t in third.tensors if t.buffer is not None)
            stray = dataclasses.replace(stray, buffer=10_000)
            self.graphs[2] = dataclasses.replace(third, tensors=(*third.tensors, stray))

    monkeypatch.setattr(memory, "ProbedFiles", WithAStrayConstant)
    slim = kj.make_slimmable(residual(), min_width=0.3)
    with pytest.raises(ValueError, match=r"weight bytes .* not understood: at widths=\[\d, \d\]"):
        Memory(slim)


def test_a_pad_that_stays_or_goes_unforeseen_is_an_error(monkeypatch):
    monkeypatch.setattr(
        memory.Memory, "_gone", lambda self, values: np.zeros((len(values), 2), bool)
    )
    slim = kj.make_slimmable(padded(), min_width=0.3)
    with pytest.raises(ValueError, match=r"leave out the pads that add nothing.*operators \["):
        Memory(slim)
