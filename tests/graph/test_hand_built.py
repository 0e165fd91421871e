"""Networks built by hand: their groups, the slimmable network, the extracted sub-network."""

import json

import keras
import numpy as np
import pytest

import keras_joslim as kj
from keras_joslim.graph import functional_graph, layers_in_order
from keras_joslim.graph.walk import unique_names
from tests.graph.families import ALL, FAMILIES
from tests.graph.networks import NETWORKS, arrays, examples, randomised, some_widths


@pytest.fixture(params=ALL)
def network(request):
    built = ALL[request.param]()
    randomised(built.model)
    return built


@pytest.fixture
def slim(network):
    return kj.make_slimmable(network.model, min_width=0.2)


def clone(model):
    return type(model).from_config(model.get_config())


def test_groups_are_those_written_out(network, slim):
    space = slim.width_space
    found = [set(group.members) for group in space.groups]
    expected = [set(members) for members in network.groups]
    assert sorted(map(sorted, found)) == sorted(map(sorted, expected))
    assert all(group.name == group.members[0] for group in space.groups)
    ordering = {tuple(_index(found, name) for name in pair) for pair in network.ordering}
    assert set(space.ordering) == ordering
    frozen = dict(space.frozen)
    for name in network.outputs:
        assert "never slimmed" in frozen.pop(name)
    assert set(frozen) == set(network.frozen)
    for name, reason in network.frozen.items():
        assert reason in frozen[name]
    # A group has the channels of the layer that opens it, or the part of them that its name
    # says, and may be narrowed to a fifth.
    for group in space.groups:
        assert group.size == _channels(network.model, group.name)
        unit = network.units.get(group.name, 1)
        beside_frozen = "odd" in network.frozen and "shortcut" in group.members
        least = 4 if beside_frozen else max(1, int(0.2 * group.size / unit + 0.5)) * unit
        assert group.legal == tuple(range(least, group.size + 1, unit))


def _channels(model, name):
    """Channels of a layer, of `layer[start:stop]` or of `layer / parts`."""
    layer, _, bounds = name.partition("[")
    if bounds:
        start, stop = bounds.rstrip("]").split(":")
        return int(stop) - int(start)
    layer, _, parts = name.partition(" / ")
    # The second layer of a name is `name_1` in the report.
    named = (op for op in _operations(model) if op.name in (layer, layer.removesuffix("_1")))
    operation = next(named)
    outputs = keras.tree.flatten(operation.output)
    return outputs[0].shape[-1] // int(parts or 1)


def _index(groups, name):
    return next(i for i, members in enumerate(groups) if name in members)


def _operations(model):
    for operation in functional_graph(model).operations:
        yield operation
        if isinstance(operation, keras.Model):
            yield from _operations(operation)


def test_full_width_is_the_original_to_the_last_bit(network, slim):
    x = examples(network.model)
    # Said outright, or Keras's image augmentation takes a call for one in training.
    expected, found = arrays(network.model(x, training=False)), arrays(slim(x, training=False))
    assert expected.keys() == found.keys()
    tolerance = {"rtol": network.tolerance, "atol": network.tolerance}
    for path, value in expected.items():
        np.testing.assert_allclose(found[path], value, **tolerance)
        again = arrays(slim(x, slim.width_space.full, training=False))[path]
        np.testing.assert_allclose(again, value, **tolerance)


def test_weight_files_of_the_original_load(network, slim, tmp_path):
    """Every weight comes to its own layer, in nested models and with equal names too."""
    if any(isinstance(layer, keras.layers.Lambda) for layer in network.model.layers):
        pytest.skip("Keras itself does not rebuild a Lambda from its config")
    other = randomised(clone(network.model), seed=5)
    path = tmp_path / "original.weights.h5"
    other.save_weights(path)
    slim.load_weights(path)
    x = examples(other)
    found = arrays(slim(x, training=False))
    for name, value in arrays(other(x, training=False)).items():
        np.testing.assert_allclose(found[name], value, rtol=1e-5, atol=1e-5)


def test_nothing_of_the_original_changes(network):
    before = [w.numpy() for w in network.model.weights]
    names = [operation.name for operation in _operations(network.model)]
    slim = kj.make_slimmable(network.model, min_width=0.2)
    for weight in slim.weights:
        if weight.dtype == "float32":
            weight.assign(weight.numpy() * 0)
    assert [operation.name for operation in _operations(network.model)] == names
    for weight, value in zip(network.model.weights, before, strict=True):
        np.testing.assert_array_equal(weight.numpy(), value)


def test_extracted_equals_slimmable(network, slim):
    x = examples(network.model)
    outputs = set()
    for widths in [*some_widths(slim.width_space, 2), slim.width_space.full]:
        sub = kj.extract(slim, widths)
        assert type(sub).__module__.startswith("keras.")
        expected = arrays(slim(x, widths, training=False))
        found = arrays(sub(x, training=False))
        assert expected.keys() == found.keys()
        for path, value in expected.items():
            scale = max(1.0, np.abs(value).max())
            np.testing.assert_allclose(found[path], value, rtol=1e-6, atol=1e-6 * scale)
            outputs.add(found[path].tobytes())
        _assert_stock(sub)
        assert sub.count_params() <= network.model.count_params()
    # Other widths are other networks.
    assert len(outputs) > 1


def _assert_stock(model):
    assert "keras_joslim" not in json.dumps(
        keras.saving.serialize_keras_object(model), default=repr
    )
    assert "Slim" not in json.dumps([type(op).__name__ for op in model.operations])
    for operation in model.operations:
        kinds = [kind.__module__ for kind in type(operation).__mro__]
        assert not any("joslim" in kind for kind in kinds), operation
    for layer in model._flatten_layers():
        assert not any("joslim" in kind.__module__ for kind in type(layer).__mro__), layer


def test_full_width_in_training(network, slim):
    x = examples(network.model, batch=4)
    expected, found = arrays(network.model(x, training=True)), arrays(slim(x, training=True))
    for path, value in expected.items():
        scale = max(1.0, np.abs(value).max())
        tolerance = network.training
        np.testing.assert_allclose(found[path], value, rtol=tolerance, atol=tolerance * scale)
    # The walks of a nested model and of the inlined one differ in their order.
    names = unique_names(network.model)
    for layer in layers_in_order(network.model):
        ours = slim.network.get_layer(names[id(layer)])
        for one, other in zip(_moving_statistics(ours), _moving_statistics(layer), strict=True):
            np.testing.assert_allclose(one, other, rtol=network.training, atol=network.training)


def _moving_statistics(layer):
    """Moving means and variances of a layer or a model."""
    return [w.numpy() for w in layer.weights if w.name.startswith("moving")]


def test_narrow_training_passes_leave_moving_statistics(network, slim):
    before = _moving_statistics(slim.network)
    slim(examples(network.model), slim.width_space.smallest, training=True)
    for value, expected in zip(_moving_statistics(slim.network), before, strict=True):
        np.testing.assert_array_equal(value, expected)


def test_masked_positions_do_not_count():
    model = randomised(NETWORKS["masked"]().model)
    slim = kj.make_slimmable(model, min_width=0.2)
    x = examples(model)
    x[:, 4:] = 0
    sub = kj.extract(slim, slim.width_space.full)
    expected = model(x, training=True).numpy()
    np.testing.assert_allclose(slim(x, training=True), expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(sub(x, training=True), expected, rtol=1e-5, atol=1e-5)
    moving, stock = _moving_statistics(slim.network), _moving_statistics(model)
    hidden = model.get_layer("a")(x[:, :4]).numpy().reshape(-1, 8)
    for found, value in zip(moving, stock, strict=True):
        np.testing.assert_allclose(found, value, rtol=1e-5, atol=1e-6)
    # The stock layer itself took the unmasked positions only.
    fresh = randomised(NETWORKS["masked"]().model).get_layer("norm").moving_mean
    np.testing.assert_allclose(stock[0], 0.99 * fresh + 0.01 * hidden.mean(0), rtol=1e-4, atol=1e-5)
    narrow = slim.width_space.smallest
    np.testing.assert_allclose(slim(x, narrow), kj.extract(slim, narrow)(x), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__.split(".")[-1])
def test_every_network_builder_is_used(family):
    builders = {
        name
        for name, value in vars(family).items()
        if callable(value)
        and getattr(value, "__module__", "") == family.__name__
        and not name.startswith("_")
    }
    others = {"Network", "randomised", "examples", "some_widths", "arrays", "model_of", "renamed"}
    assert builders - others == set(family.NETWORKS)
