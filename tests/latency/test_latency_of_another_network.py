"""A latency goes with the network that it was measured of, wherever a cost meets a model."""

import keras
import numpy as np
import pytest

import keras_joslim as kj
from keras_joslim.costs.network_identity import network_identity
from keras_joslim.latency import sample

IMAGES, LABELS = np.zeros((8, 5), np.float32), np.zeros(8, np.int32)


def slimmable(units):
    inputs = keras.Input((5,))
    x = keras.layers.Dense(units, activation="relu")(inputs)
    model = kj.make_slimmable(keras.Model(inputs, keras.layers.Dense(3)(x)), 0.25)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.1), loss)
    return model


def latency_of(model):
    """As fitted: a constant, and one operator that the only group's width matters to."""
    facts = {
        "network": network_identity(model),
        "format": "fp32",
        "device": {"name": "host"},
        "settings": {"threads": 1, "delegate": "xnnpack"},
        "fit": {},
        "constant": 1.0,
        "operators": [
            {"name": "1", "signature": "s", "axes": [{"groups": {"0": 1.0}, "constant": 0.0}]}
        ],
        "tables": {"s": {"widths": [[2.0, 8.0]], "ms": [1.0, 2.0]}},
    }
    return kj.costs.Latency(facts)


def trained(schedule):
    return lambda model, latency: model.fit(
        IMAGES, LABELS, batch_size=8, verbose=0, callbacks=[schedule(latency)]
    )


def searched(model, latency):
    engine = kj.search.RandomSearch(model.width_space, latency)
    kj.search_widths(model, engine, (IMAGES, LABELS), 2, progress=False)


def judged(model, latency):
    widths = [model.width_space.full]
    data = (IMAGES, LABELS), [IMAGES]
    return kj.ParetoFront.build(model, widths, *data, costs=[latency], progress=False)


def chosen(model, latency):
    history = [{"widths": model.width_space.smallest.tolist(), "loss": 1.0}]
    platforms = [kj.Platform("phone", latency, 9.0)]
    data = (IMAGES, LABELS), [IMAGES]
    kj.platform_points(model, platforms, history, *data, progress=False)


USES = {
    "Joslim": trained(lambda cost: kj.Joslim((IMAGES, LABELS), tau=2, cost=cost)),
    "AdaptiveWidths": trained(lambda cost: kj.AdaptiveWidths(2.9, 9, cost)),
    "PlatformWidths": trained(
        lambda cost: kj.PlatformWidths([kj.Platform("phone", cost, 9.0)], (IMAGES, LABELS), tau=2)
    ),
    "platforms uniform": trained(
        lambda cost: kj.PlatformWidths([kj.Platform("phone", cost, 9.0)], strategy="uniform")
    ),
    "search_widths": searched,
    "ParetoFront": judged,
    "platform_points": chosen,
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_it_is_used_for_its_own_network_alone(use):
    model = slimmable(8)
    use(model, latency_of(model))
    with pytest.raises(ValueError, match=r"Latency\(host.*of another network: layer 'dense"):
        use(model, latency_of(slimmable(12)))


def test_another_number_of_groups_is_named():
    inputs = keras.Input((5,))
    x = keras.layers.Dense(8)(keras.layers.Dense(8)(inputs))
    two = kj.make_slimmable(keras.Model(inputs, keras.layers.Dense(3)(x)), 0.25)
    with pytest.raises(ValueError, match="it has 1 channel groups, this one 2"):
        latency_of(slimmable(8)).check_model(two)


def test_a_model_that_is_not_slimmable_is_named(tmp_path):
    stock = keras.Sequential([keras.Input((5,)), keras.layers.Dense(3)])
    with pytest.raises(ValueError, match=r"slimmable model: `make_slimmable\(model, ...\)`"):
        latency_of(slimmable(8)).check_model(stock)
    with pytest.raises(ValueError, match=r"slimmable model: `make_slimmable\(model, ...\)`"):
        sample(stock, tmp_path)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"count": 0}, "count must be a whole number, at least 1. Received: count=0"),
        ({"count": "40"}, "count='40'"),
        ({"held_out": -1}, "held_out must be a whole number, at least 0"),
        ({"processes": 0}, "processes must be"),
        ({"threads": 0}, "threads must be"),
    ],
)
def test_numbers_are_checked_before_anything_is_exported(tmp_path, given, message):
    with pytest.raises(ValueError, match=message):
        sample(slimmable(8), tmp_path / "place", **given)
    assert not (tmp_path / "place").exists()
