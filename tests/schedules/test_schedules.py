"""Which networks each schedule trains, as a function of seed and step alone."""

import keras
import numpy as np
import pytest

import keras_joslim as kj
from keras_joslim.schedules import WarmupLinearDecay
from tests.sandwich_recursion import images


class _Model:
    """What a schedule sees of a model."""

    def __init__(self, space):
        self.width_space = space


def _space(sizes=(40, 100, 64), min_width=0.25, divisor=1, ordering=()):
    from keras_joslim.width_space import legal_widths

    groups = [
        kj.ChannelGroup(f"g{i}", size, legal_widths(size, min_width, divisor))
        for i, size in enumerate(sizes)
    ]
    return kj.WidthSpace(groups, ordering)


def _on(schedule, space=None):
    schedule.set_model(_Model(space or _space()))
    return schedule


@pytest.mark.parametrize("kind", [kj.UniformWidths, kj.RandomWidths])
@pytest.mark.parametrize("num_sampled", [0, 1, 3])
def test_a_sandwich_has_the_full_network_first_and_the_smallest_last(kind, num_sampled):
    space = _space(divisor=8, ordering=[(0, 1)])
    rows = _on(kind(num_sampled), space).widths(5)
    assert rows.shape == (num_sampled + 2, 3)
    assert rows.dtype == np.int32
    np.testing.assert_array_equal(rows[0], space.full)
    np.testing.assert_array_equal(rows[-1], space.smallest)
    np.testing.assert_array_equal(space.validate(rows), rows)


@pytest.mark.parametrize("kind", [kj.UniformWidths, kj.RandomWidths])
def test_widths_are_a_pure_function_of_seed_and_step(kind):
    a, b, other = _on(kind(seed=4)), _on(kind(seed=4)), _on(kind(seed=5))
    forwards = [a.widths(step) for step in range(6)]
    backwards = [b.widths(step) for step in reversed(range(6))][::-1]
    np.testing.assert_array_equal(forwards, backwards)
    assert not np.array_equal(forwards, [other.widths(step) for step in range(6)])
    assert not np.array_equal(forwards[0], forwards[1])


@pytest.mark.parametrize("kind", [kj.UniformWidths, kj.RandomWidths])
def test_widths_are_held_for_tau_steps(kind):
    held, free = _on(kind(seed=4, tau=3)), _on(kind(seed=4))
    for step in range(12):
        np.testing.assert_array_equal(held.widths(step), free.widths(step // 3))
    assert not np.array_equal(held.widths(2), held.widths(3))


@pytest.mark.parametrize("kind", [kj.UniformWidths, kj.RandomWidths])
@pytest.mark.parametrize("tau", [0, 1.5, True])
def test_a_tau_that_is_no_number_of_steps_is_refused(kind, tau):
    with pytest.raises(
        ValueError, match=f"tau must be a whole number, at least 1. Received: tau={tau}"
    ):
        kind(tau=tau)


def test_uniform_widths_draw_one_multiplier_for_all_groups():
    space = _space((1000, 500), 0.25)
    rows = np.stack([_on(kj.UniformWidths(2, seed=1), space).widths(s) for s in range(500)])
    multipliers = space.multipliers(rows[:, 1:3])
    np.testing.assert_allclose(multipliers[..., 0], multipliers[..., 1], atol=0.003)
    # Uniform on [0.25, 1]: its mean and deviation within four standard errors of 1000 draws.
    drawn = multipliers[..., 0].ravel()
    assert abs(drawn.mean() - 0.625) < 4 * 0.2165 / np.sqrt(1000)
    assert abs(drawn.std() - 0.2165) < 0.015
    assert drawn.min() < 0.27
    assert drawn.max() > 0.98
    # The two of a step are drawn apart.
    assert abs(np.corrcoef(multipliers[:, 0, 0], multipliers[:, 1, 0])[0, 1]) < 0.18


def test_uniform_widths_keep_to_their_own_lower_end():
    rows = [_on(kj.UniformWidths(2, min_multiplier=0.8)).widths(step)[1:-1] for step in range(50)]
    multipliers = _space().multipliers(np.concatenate(rows))
    assert multipliers.min() > 0.77
    assert _space().multipliers(_on(kj.UniformWidths()).widths(0)[-1]).max() < 0.27


def test_random_widths_draw_every_group_apart():
    space = _space((1000, 400), 0.25)
    rows = np.stack([_on(kj.RandomWidths(1, seed=1), space).widths(s)[1] for s in range(1000)])
    drawn = space.multipliers(rows)
    for group in drawn.T:
        assert abs(group.mean() - 0.625) < 4 * 0.2165 / np.sqrt(1000)
        assert abs(group.std() - 0.2165) < 0.015
    assert abs(np.corrcoef(drawn.T)[0, 1]) < 0.13


def test_fixed_widths_are_the_list_widest_first():
    space = _space()
    schedule = _on(kj.FixedWidths([0.25, 1.0, 0.75, [0.5, 1.0, 0.5]]), space)
    expected = [[40, 100, 64], [30, 75, 48], [20, 100, 32], [10, 25, 16]]
    for step in (0, 7):
        np.testing.assert_array_equal(schedule.widths(step), expected)
    np.testing.assert_array_equal(schedule.visited(), sorted(expected))


def test_fixed_widths_without_the_full_network_still_train_it():
    np.testing.assert_array_equal(
        _on(kj.FixedWidths([0.5])).widths(0), [[40, 100, 64], [20, 50, 32]]
    )


@pytest.mark.parametrize("multipliers", [[], [0.5, 0.0], [1.2], [[0.5, -1.0, 0.5]]])
def test_multipliers_out_of_range_are_refused(multipliers):
    with pytest.raises(ValueError, match="above 0 and at most 1. Received: multipliers="):
        kj.FixedWidths(multipliers)


def test_one_multiplier_in_the_place_of_a_list_is_refused():
    with pytest.raises(ValueError, match=r"Of the 3 channel groups .*multiplier=\[0.5, 0.5\]"):
        _on(kj.FixedWidths([[0.5, 0.5]])).widths(0)
    with pytest.raises(ValueError, match=r"Expected a list: FixedWidths\(\[0.5\]\). .*=0.5"):
        kj.FixedWidths(0.5)


@pytest.mark.parametrize(
    "schedule",
    [kj.UniformWidths(), kj.RandomWidths(), kj.FixedWidths([0.5])],
    ids=lambda schedule: type(schedule).__name__,
)
def test_a_schedule_without_a_model_says_when_it_gets_one(schedule):
    message = f"{type(schedule).__name__} knows no model yet: it gets one in `fit`"
    with pytest.raises(ValueError, match=message):
        schedule.widths(0)
    with pytest.raises(ValueError, match=message):
        schedule.visited()


@pytest.mark.parametrize("kind", [kj.UniformWidths, kj.RandomWidths])
def test_visited_widths_are_legal_and_distinct(kind):
    space = _space(divisor=4)
    widths = _on(kind(), space).visited(20)
    np.testing.assert_array_equal(space.validate(widths), widths)
    assert len(np.unique(widths, axis=0)) == len(widths) > 8
    assert (widths == space.full).all(1).any()
    assert (widths == space.smallest).all(1).any()


def test_a_schedule_refuses_a_stock_model():
    stock = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    stock.compile("sgd", "mse", run_eagerly=True)
    with pytest.raises(ValueError, match="UniformWidths needs a slimmable model: `make_slimmable"):
        stock.fit(np.ones((2, 2)), np.ones((2, 1)), callbacks=[kj.UniformWidths()], verbose=0)


def test_a_schedule_must_say_its_widths():
    with pytest.raises(TypeError, match="Schedule Schedule must define `widths"):
        _on(kj.Schedule()).widths(0)


def _slim():
    inputs = keras.Input((6, 6, 2))
    hidden = keras.layers.Dense(8, name="hidden")(keras.layers.Flatten()(inputs))
    outputs = keras.layers.Dense(3, activation="softmax")(hidden)
    return kj.make_slimmable(keras.Model(inputs, outputs), 0.25)


class _Record(keras.callbacks.Callback):
    """The training widths of every step, in order."""

    def __init__(self):
        super().__init__()
        self.rows = []

    def on_train_batch_begin(self, batch, logs=None):
        step, rows = int(self.model.optimizer.iterations), self.model.training_widths
        for i in range(step, step + len(rows)):
            self.rows.append(rows[i % len(rows)])


def test_two_schedules_are_refused():
    slim = _slim()
    slim.compile("sgd", "sparse_categorical_crossentropy")
    x, y = images(4)
    both = [kj.UniformWidths(), kj.RandomWidths()]
    with pytest.raises(ValueError, match=r"one schedule. Received: \['UniformWidths', 'Random"):
        slim.fit(x, y, callbacks=both, verbose=0)


@pytest.mark.parametrize("as_list", ["none", "one", "list", "callback_list"])
def test_fit_without_a_schedule_trains_uniform_widths(as_list):
    slim = _slim()
    slim.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=True)
    x, y = images(12)
    record = _Record()
    callbacks = {
        "none": None,
        "one": record,
        "list": (record,),
        "callback_list": keras.callbacks.CallbackList([record]),
    }[as_list]
    slim.fit(x, y, batch_size=4, callbacks=callbacks, verbose=0)
    expected = [_on(kj.UniformWidths(), slim.width_space).widths(step) for step in range(3)]
    np.testing.assert_array_equal(slim.training_widths[0], expected[-1])
    if as_list != "none":
        np.testing.assert_array_equal(record.rows, expected)


def test_the_step_counts_on_over_epochs_and_fits():
    slim = _slim()
    slim.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=True)
    x, y = images(8)
    record = _Record()
    for _ in range(2):
        slim.fit(
            x, y, batch_size=4, epochs=2, verbose=0, callbacks=[kj.RandomWidths(seed=9), record]
        )
    schedule = _on(kj.RandomWidths(seed=9), slim.width_space)
    np.testing.assert_array_equal(record.rows, [schedule.widths(step) for step in range(8)])


def test_warmup_rises_to_the_peak_and_the_decay_ends_at_zero():
    rate = WarmupLinearDecay(peak=0.8, steps=10, warmup_steps=4)
    values = [float(rate(step)) for step in range(11)]
    expected = [0.2, 0.4, 0.6, 0.8, *(0.8 * (10 - s) / 6 for s in range(4, 11))]
    np.testing.assert_allclose(values, expected, rtol=1e-6)
    again = WarmupLinearDecay.from_config(rate.get_config())
    assert float(again(7)) == values[7]


def test_no_warmup_begins_at_the_peak():
    rate = WarmupLinearDecay(peak=0.5, steps=10)
    assert float(rate(0)) == 0.5
    assert float(rate(5)) == pytest.approx(0.25)


@pytest.mark.parametrize("warmup", [-1, 10, 11])
def test_a_warmup_longer_than_the_run_is_refused(warmup):
    with pytest.raises(ValueError, match=f"warmup_steps={warmup}, steps=10"):
        WarmupLinearDecay(0.1, 10, warmup)
