"""Models that are no image classifiers: what conversion finds in them, and that it is exact."""

import keras
import numpy as np
import pytest

import keras_joslim as kj
from tests.beyond.architectures import ARCHITECTURES
from tests.costs.counts import kernel_macs, nodes
from tests.graph.networks import arrays, randomised, some_widths


@pytest.fixture(scope="module", params=ARCHITECTURES)
def made(request):
    """An architecture with random weights, and its slimmable form."""
    keras.utils.set_random_seed(0)
    built = ARCHITECTURES[request.param]()
    randomised(built.model)
    return built, kj.make_slimmable(built.model, min_width=0.25)


def first(x, count=6):
    return keras.tree.map_structure(lambda value: value[:count], x)


def test_groups_and_what_stays_whole_are_those_written_out(made):
    built, slim = made
    space = slim.width_space
    # `layer / parts` is a layer whose channels are cut into equal parts.
    found = [sorted(name.partition(" / ")[0] for name in g.members) for g in space.groups]
    assert sorted(found) == sorted(sorted(members) for members in built.groups)
    assert all(group.legal[0] <= group.size / 4 for group in space.groups)
    frozen = dict(space.frozen)
    for name in built.outputs:
        assert "never slimmed" in frozen.pop(name)
    assert frozen.keys() == built.frozen.keys()
    for name, reason in built.frozen.items():
        assert reason in frozen[name]


def test_the_summary_names_groups_and_what_stays_whole(made, capsys):
    built, slim = made
    slim.width_space.summary()
    text = capsys.readouterr().out
    assert all(f"{group.name}: {group.size} channels" in text for group in slim.width_space.groups)
    assert all(f"{name}: " in text for name in (*built.frozen, *built.outputs))


def test_full_width_is_the_original_to_the_last_bit(made):
    built, slim = made
    expected, found = arrays(built.model(first(built.x))), arrays(slim(first(built.x)))
    assert expected.keys() == found.keys()
    for path, value in expected.items():
        np.testing.assert_array_equal(found[path], value)
        # Outputs that follow the inputs, or their equality would say little.
        assert np.ptp(value, axis=0).max() > 1e-2


def test_extracted_networks_are_the_slimmable_one_and_cost_what_is_said(made):
    built, slim = made
    macs, parameters = kj.costs.MACs(slim), kj.costs.Parameters(slim, "counted")
    full = arrays(slim(first(built.x)))
    for widths in some_widths(slim.width_space, 2):
        sub = kj.extract(slim, widths)
        expected, found = arrays(slim(first(built.x), widths)), arrays(sub(first(built.x)))
        assert expected.keys() == found.keys()
        for path, value in expected.items():
            np.testing.assert_allclose(found[path], value, rtol=0, atol=1e-5 * np.abs(value).max())
            assert np.abs(value - full[path]).max() > 1e-3
        assert macs(widths) == kernel_macs(sub) + score_macs(sub) < macs(slim.width_space.full)
        assert parameters(widths) == sub.count_params() < built.model.count_params()


def score_macs(model):
    """Of attention, what is no kernel: every position with every other, twice, in every head."""
    total = 0
    for node in nodes(model):
        if isinstance(node.operation, keras.layers.MultiHeadAttention):
            heads, size = node.operation.num_heads, node.operation.key_dim
            total += 2 * node.input_tensors[0].shape[1] ** 2 * heads * size
    return total


def test_macs_of_transformers_by_hand():
    built = ARCHITECTURES["vision_transformer"]()
    macs = kj.costs.MACs(kj.make_slimmable(built.model, min_width=0.25))
    patches, head = 16 * (4 * 4 * 1 * 16), 16 * 2
    # Four projections, scores and what they weigh; 16 positions of 16 channels.
    attention = 4 * 16 * 16 * 16 + 2 * 16 * 16 * 16
    for widths in ((24, 24), (7, 19)):
        blocks = sum(attention + 2 * 16 * 16 * units for units in widths)
        assert macs(widths) == patches + blocks + head
    wide = 2 * 2 * 16 * 16 * 24
    assert macs.searchable_share == pytest.approx(wide / macs((24, 24)))


def test_a_saved_slimmable_model_is_the_same(made, tmp_path):
    built, slim = made
    slim.save(tmp_path / "slim.keras")
    loaded = keras.saving.load_model(tmp_path / "slim.keras")
    assert loaded.width_space == slim.width_space
    widths = slim.width_space.sample(np.random.default_rng(0), 1)[0]
    expected, found = (arrays(m(first(built.x), widths)) for m in (slim, loaded))
    for path, value in expected.items():
        np.testing.assert_array_equal(found[path], value)


def test_weight_files_of_the_original_load(made, tmp_path):
    built, slim = made
    other = type(built.model).from_config(built.model.get_config())
    randomised(other, seed=5).save_weights(tmp_path / "other.weights.h5")
    copy = kj.make_slimmable(built.model, min_width=0.25)
    copy.load_weights(tmp_path / "other.weights.h5")
    expected, found = arrays(other(first(built.x))), arrays(copy(first(built.x)))
    for path, value in expected.items():
        np.testing.assert_array_equal(found[path], value)
        assert np.abs(value - arrays(slim(first(built.x)))[path]).max() > 1e-3


def test_padding_means_nothing_to_any_network():
    """The mask of an embedding goes with the channels, through sums, norms and attention."""
    built = ARCHITECTURES["text_transformer"]()
    randomised(built.model)
    slim = kj.make_slimmable(built.model, min_width=0.25)
    networks = [*some_widths(slim.width_space, 1), slim.width_space.full]
    before = [np.asarray(slim(first(built.x), widths)) for widths in networks]
    table = slim.network.get_layer("token_embedding").embeddings
    moved = table.numpy().copy()
    moved[0] += 3.0
    table.assign(moved)
    after = [np.asarray(slim(first(built.x), widths)) for widths in networks]
    np.testing.assert_array_equal(after, before)
    moved[1:] += 3.0 * np.random.default_rng(0).normal(size=moved[1:].shape)
    table.assign(moved)
    assert np.abs(np.asarray(slim(first(built.x))) - before[-1]).max() > 1e-2
