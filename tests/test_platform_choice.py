"""The point of each platform: chosen by validation loss within its budget, tested once."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import keras_joslim as kj
from keras_joslim.platform_choice import choose_points, platform_points
from keras_joslim.schedules import Platform
from tests.sandwich_recursion import images
from tests.search.platform_problems import EVERY, SPACE, platforms


def _history(losses, widths=EVERY):
    return [{"widths": row.tolist(), "loss": loss} for row, loss in zip(widths, losses)]


def test_the_lowest_loss_within_each_budget_is_chosen():
    widths = np.array([[1, 2, 2], [3, 2, 1], [1, 4, 2], [1, 1, 1]])
    # phone (budget 12): 6, 13, 12, 2.5; watch (20 and 30): 9, 7, 18, 2.5.
    chosen = choose_points(platforms(), SPACE, _history([3.0, 1.0, 2.0, 4.0], widths))
    assert [(t.platform, t.budget, index) for t, index in chosen] == [
        ("phone", 12.0, 2),
        ("watch", 20.0, 1),
        ("watch", 30.0, 1),
    ]


def test_of_equal_losses_the_cheaper_one_on_that_platform_is_chosen():
    widths = np.array([[1, 2, 3], [3, 2, 1]])
    # phone: 7 and 13; watch: 13 and 7.
    given = platforms(budgets=(15.0, 15.0))
    chosen = choose_points(given, SPACE, _history([1.0, 1.0], widths))
    assert [index for _, index in chosen] == [0, 1]


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.floats(0, 5), min_size=len(EVERY), max_size=len(EVERY)),
    st.tuples(st.floats(2.5, 60), st.floats(2.5, 60)),
)
def test_every_point_is_within_its_budget_and_none_within_is_better(losses, budgets):
    for target, index in choose_points(platforms(budgets=budgets), SPACE, _history(losses)):
        assert target.cost(EVERY[index]) <= target.budget
        within = target.cost(EVERY) <= target.budget
        assert losses[index] == np.min(np.array(losses)[within])


def test_a_budget_that_nothing_judged_is_within_is_refused():
    with pytest.raises(ValueError, match="None of the 1 networks judged.*'phone'.*costs 40.*=12"):
        choose_points(platforms(), SPACE, _history([1.0], np.array([[4, 4, 4]])))


def test_a_loss_that_is_no_number_is_never_the_best():
    widths = np.array([[1, 1, 1], [2, 2, 2]])
    chosen = choose_points(platforms(), SPACE, _history([1.0, np.nan], widths))
    assert {index for _, index in chosen} == {0}
    with pytest.raises(ValueError, match="a loss that is a number. Received: 2 networks"):
        choose_points(platforms(), SPACE, _history([np.nan, np.nan], widths))


@pytest.mark.parametrize("history", [[[1, 1, 1]], [{"widths": [1, 1, 1]}], 3])
def test_networks_to_choose_among_are_a_front_s_history(history):
    with pytest.raises(ValueError, match=r"`history` of a `ParetoFront.build\(...\)`"):
        choose_points(platforms(), SPACE, history)


@pytest.fixture(scope="module")
def slim():
    keras.utils.set_random_seed(1)
    inputs = keras.Input((6, 6, 2))
    x = keras.layers.Conv2D(8, 3, name="a")(inputs)
    x = keras.layers.ReLU()(keras.layers.BatchNormalization(name="norm")(x))
    x = keras.layers.Dense(6, activation="relu", name="b")(keras.layers.Flatten()(x))
    outputs = keras.layers.Dense(3, activation="softmax", name="head")(x)
    slim = kj.make_slimmable(keras.Model(inputs, outputs), 0.25)
    slim.compile(
        keras.optimizers.SGD(0.05), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    slim.fit(*images(32), batch_size=8, epochs=2, verbose=0)
    return slim


def test_points_are_calibrated_networks_and_their_results_are_weighted(slim):
    macs, parameters = kj.costs.MACs(slim), kj.costs.Parameters(slim)
    full = slim.width_space.full
    half = [Platform("phone", macs, [0.4 * macs(full), float(macs(full))], 3)]
    half += [Platform("watch", parameters, 0.6 * parameters(full), 1)]
    validation, test, calibration = images(40, seed=2), images(24, seed=3), [images(16)[0]]
    rng = np.random.default_rng(0)
    judged = kj.ParetoFront.build(
        slim, slim.width_space.sample(rng, 12), validation, calibration, progress=False
    )
    chosen = platform_points(slim, half, judged.history, validation, calibration, progress=False)
    assert [c.platform for c in chosen.choices] == ["phone", "phone", "watch"]
    assert [c.weight for c in chosen.choices] == [0.375, 0.375, 0.25]
    by_widths = {tuple(entry["widths"]): entry["loss"] for entry in judged.history}
    for choice, cost in zip(chosen.choices, (macs, macs, parameters)):
        point = chosen.front[choice.point]
        assert choice.cost == cost(np.array(point.widths)) <= choice.budget
        # Made again, the network is the one that was judged.
        assert point.validation["loss"] == pytest.approx(by_widths[point.widths], rel=1e-5)
        network = kj.calibrate_batch_norm(kj.extract(slim, point.widths), calibration)
        made = chosen.front.models[choice.point]
        np.testing.assert_allclose(made(test[0]), network(test[0]), atol=1e-6)
    assert len({point.widths for point in chosen.front}) == len(chosen.front)
    accuracies = [chosen.front[c.point].validation["accuracy"] for c in chosen.choices]
    assert chosen.weighted() == pytest.approx(np.dot([0.375, 0.375, 0.25], accuracies))

    with pytest.raises(ValueError, match=r"has no test 'accuracy'. It has: \[\]"):
        chosen.weighted(split="test")
    tested = chosen.measure_test(slim, test)
    answers = [
        np.argmax(tested.front.models[c.point](test[0]), axis=1) == test[1] for c in tested.choices
    ]
    expected = np.dot([0.375, 0.375, 0.25], [a.mean() for a in answers])
    assert tested.weighted(split="test") == pytest.approx(expected)
    assert [c.point for c in tested.choices] == [c.point for c in chosen.choices]
    with pytest.raises(ValueError, match="Test data is measured once"):
        tested.measure_test(slim, test)
