"""Handlers of a user's own layers: the example of the docs, the ready handlers, the errors."""

import pathlib
import re

import keras
import numpy as np
import pytest

import keras_joslim as kj
from keras_joslim.graph.handlers import table
from tests.graph.networks import arrays, examples, model_of, randomised, some_widths

layers = keras.layers
DOCS = pathlib.Path(__file__).resolve().parents[2] / "docs" / "own_layers.md"


@pytest.fixture(autouse=True)
def _handlers_are_put_back():
    before = dict(table._HANDLERS)
    yield
    table._HANDLERS.clear()
    table._HANDLERS.update(before)


class Twice(layers.Layer):
    def call(self, inputs):
        return inputs * 2.0


class Blend(layers.Layer):
    def call(self, inputs):
        first, second = inputs
        return first + 0.5 * second


class Both(layers.Layer):
    """Two outputs of one input."""

    def call(self, inputs):
        return inputs, -inputs


def network(layer, two=False):
    inputs = keras.Input((6, 6, 3))
    a, b = (layers.Conv2D(6, 1, name=name)(inputs) for name in "ab")
    return randomised(model_of(inputs, layer([a, b]) if two else layer(a)))


def check(model, groups):
    slim = kj.make_slimmable(model, min_width=0.2)
    assert [set(group.members) for group in slim.width_space.groups] == groups
    x = examples(model)
    np.testing.assert_array_equal(slim(x), model(x))
    for widths in some_widths(slim.width_space):
        np.testing.assert_allclose(kj.extract(slim, widths)(x), slim(x, widths), rtol=1e-6)
    return slim


def test_the_example_of_the_docs(tmp_path, capsys):
    text = DOCS.read_text(encoding="utf-8")
    first, second = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    scope = {"__name__": "example"}
    exec(compile(first, "own_layers", "exec"), scope)
    printed = capsys.readouterr().out
    assert printed.strip() == re.search(r"It prints\n\n```\n(.*?)```", text, re.DOTALL)[1].strip()
    randomised(scope["model"])
    exec(
        compile("slim = kj.make_slimmable(model, min_width=0.25)\n" + second, "check", "exec"),
        scope,
    )
    slim = scope["slim"]
    assert kj.costs.MACs(slim)([9, 20]) == 49 * (27 * 9 + 9 * 9 + 9 * 20) + 20 * 10
    slim.save(tmp_path / "slim.keras")
    x = examples(scope["model"])
    expected = arrays(slim(x, widths=[9, 20]))
    scope["ChannelMix"].__module__ = "example"
    found = arrays(keras.saving.load_model(tmp_path / "slim.keras")(x, widths=[9, 20]))
    assert expected.keys() == found.keys()
    for path, value in expected.items():
        np.testing.assert_array_equal(found[path], value)


def test_unchanged_and_elementwise_and_frozen():
    frozen = kj.make_slimmable(network(lambda x: layers.Conv2D(4, 1, name="c")(Twice(name="t")(x))))
    reasons = dict(frozen.width_space.frozen)
    assert reasons["t"] == "no handler for Twice: runs at full width (keeps a at full width)"
    kj.register_handler(Twice)
    check(network(Twice(name="t")), [{"a", "t"}])
    kj.register_handler(Blend, "elementwise")
    check(network(Blend(name="sum"), two=True), [{"a", "b", "sum"}])
    kj.register_handler(Twice, "frozen")
    with pytest.raises(ValueError, match=r"t: runs at full width on request \(keeps a"):
        kj.make_slimmable(network(Twice(name="t")))


def test_several_outputs():
    kj.register_handler(Both)
    check(network(lambda x: layers.Add(name="sum")(Both(name="both")(x))), [{"a", "both", "sum"}])


def test_two_groups_of_one_layer_have_names_of_their_own():
    def halves(node, inputs, partition):
        first, second = (partition.open(3, node.operation) for _ in range(2))
        return [partition.merge(inputs[0], first + second, node.operation)]

    def opens(node, inputs, partition):
        first, second = (partition.open(3, node.operation) for _ in range(2))
        return [first + second]

    kj.register_handler(Twice, halves)
    space = kj.make_slimmable(network(Twice(name="t"))).width_space
    assert space.names == ("a[0:3]", "a[3:6]")
    kj.register_handler(Twice, opens)
    assert kj.make_slimmable(network(Twice(name="t"))).width_space.names == ("a", "t", "t (1)")


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (lambda inputs: [], r"one channel layout for each of its 2 outputs. Received: 0"),
        (lambda inputs: inputs, r"each of its 2 outputs. Received: 1"),
        (lambda inputs: inputs[0], r"must return a list of one channel layout"),
        (lambda inputs: [inputs[0], 6], r"must return a list of `ChannelLayout`s .* Received: 6"),
        (
            lambda inputs: [inputs[0], inputs[0].repeated(2)],
            r"returned a layout of 12 channels for an output of shape \(None, 6, 6, 6\)",
        ),
    ],
)
def test_a_handler_that_returns_something_else_is_named(returned, message):
    def careless(node, inputs, partition):
        return returned(inputs)

    kj.register_handler(Both, careless)
    with pytest.raises(ValueError, match=rf"'careless' of layer 'both' \(Both\).*{message}"):
        kj.make_slimmable(network(lambda x: layers.Add()(Both(name="both")(x))))


def test_layouts_of_different_sizes_name_the_layer():
    def careless(node, inputs, partition):
        return [partition.merge(inputs[0], inputs[0].repeated(2), node.operation)]

    kj.register_handler(Twice, careless)
    with pytest.raises(ValueError, match="'t' asks for equal channels where there are 6 and 12"):
        kj.make_slimmable(network(Twice(name="t")))


class SlimOther(kj.layers.SlimLayer, Twice):
    stock_class = Both


class Silent(kj.layers.SlimLayer, Twice):
    stock_class = Twice


class Backwards(Twice, kj.layers.SlimLayer):
    stock_class = Twice

    def call(self, inputs, widths):
        return inputs * 2.0


class Weighted(layers.Layer):
    def build(self, input_shape):
        self.scale = self.add_weight(name="scale", shape=input_shape[-1:])

    def call(self, inputs):
        return inputs * self.scale


def test_weights_that_nothing_slices_are_refused():
    kj.register_handler(Weighted)
    with pytest.raises(ValueError, match=r"'w' \(Weighted\) has weights, and a handler .*`slim=`"):
        kj.make_slimmable(network(Weighted(name="w")))
    # Where its channels are fixed anyway, nothing needs to.
    inputs = keras.Input((6, 6, 3))
    x = layers.Conv2D(4, 1, name="a")(Weighted(name="w")(inputs))
    check(randomised(model_of(inputs, x)), [{"a"}])


def test_the_summary_names_a_few_of_the_layers_that_are_kept_and_the_report_all():
    inputs = keras.Input((6, 6, 3))
    parts = [layers.Conv2D(2, 1, name=f"c{i}")(inputs) for i in range(6)]
    x = keras.ops.sort(layers.Concatenate()(parts), axis=-1)
    model = model_of(inputs, layers.Conv2D(4, 1)(x))
    space = kj.make_slimmable(model).width_space
    lines = []
    space.summary(lines.append)
    (line,) = [line for line in lines if "no handler for Sort" in line]
    assert line.endswith("(keeps c0, c1, c2, c3 and 2 more at full width)")
    reasons = [entry["reason"] for entry in space.report()["frozen"]]
    assert any(
        reason.endswith("(keeps c0, c1, c2, c3, c4, c5 at full width)") for reason in reasons
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((Twice(),), "takes a layer class. Received: kind=<Twice"),
        (("Twice",), "takes a layer class. Received: kind='Twice'"),
        ((Twice, "same"), r"one of \['unchanged', 'elementwise', 'frozen'\].*handler='same'"),
        ((Twice, 3), "handler=3"),
        ((Twice, "unchanged", Twice), "derives from `keras_joslim.layers.SlimLayer`.*Twice"),
        ((Twice, "unchanged", Silent), r"Silent must define `call\(self, inputs, widths\)`"),
        (
            (Twice, "unchanged", Backwards),
            r"derive from `SlimLayer` first .*\['Twice', 'SlimLayer'\]",
        ),
        ((Twice, "unchanged", SlimOther), r"SlimOther.stock_class must be the layer class.*Both"),
    ],
)
def test_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        kj.register_handler(*arguments)
