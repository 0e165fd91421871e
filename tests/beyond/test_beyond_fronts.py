"""Segmentation and models of two heads: what narrow networks learn from, and fronts of them."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_joslim as kj
from keras_joslim import tflite
from tests.beyond.architectures import ARCHITECTURES
from tests.graph.networks import arrays, randomised
from tests.sandwich_recursion import Recursion, applied_gradient, assert_same_gradients, twins

IGNORED = 255


def entropies(p, q):
    """Cross-entropy of every pixel, by numpy: `(batch, height, width)`."""
    return -(np.asarray(p, np.float64) * np.log(np.asarray(q, np.float64))).sum(-1)


def one_hot(labels, classes=3):
    """Zeros where the label is none of the classes."""
    return (labels[..., None] == np.arange(classes)).astype("float32")


# -- what narrow networks learn from ---------------------------------------------------------------


@pytest.mark.parametrize("ignored", [False, True])
def test_a_narrow_u_net_learns_the_full_ones_probabilities_of_every_pixel(ignored):
    built = ARCHITECTURES["u_net"]()
    randomised(built.model)
    slim = kj.make_slimmable(built.model, min_width=0.25)
    loss = keras.losses.SparseCategoricalCrossentropy(ignore_class=IGNORED if ignored else None)
    slim.compile("sgd", loss)
    x, y = built.x[:6], built.y[:6].copy()
    if ignored:
        y[:, :5] = y[0] = IGNORED
    counted = y != IGNORED
    losses = slim.losses_per_output((x, y, None))
    full, narrow = slim(x), slim(x, slim.width_space.uniform(0.5))
    soft, hard = entropies(full, narrow), entropies(one_hot(y), narrow)
    assert float(losses.soft(y, narrow, full)) == pytest.approx(soft[counted].mean(), rel=1e-5)
    assert float(losses.task(y, narrow)) == pytest.approx(hard[counted].mean(), rel=1e-5)
    assert soft[counted].mean() != pytest.approx(hard[counted].mean(), rel=1e-2)
    weights = np.random.default_rng(0).uniform(0, 2, y.shape).astype("float32")
    expected = (soft * weights)[counted].mean()
    assert float(losses.soft(y, narrow, full, weights)) == pytest.approx(expected, rel=1e-5)


def test_a_sandwich_step_of_a_u_net_is_the_one_written_out():
    """Gradients over extracted networks; no code of the library's train step or losses in them."""
    built = ARCHITECTURES["u_net"]()
    slim, reference = twins(built.model, min_width=0.25)
    x, y = built.x[:4], built.y[:4]

    def mean(targets, output):
        return tf.reduce_mean(-tf.reduce_sum(targets * tf.math.log(output), -1))

    recursion = Recursion(
        reference,
        task=lambda labels, output: mean(one_hot(labels), output),
        soft=lambda full, output, _: mean(full, output),
    )
    space = slim.width_space
    networks = np.stack([space.full, space.uniform(0.6), space.smallest])
    slim.compile("sgd", "sparse_categorical_crossentropy")
    found = applied_gradient(slim, x, y, networks)
    assert_same_gradients(found, recursion.gradients(x, y, networks), atol=5e-6)


# -- how sure a loss is ----------------------------------------------------------------------------


def front_of(slim, x, y, widths=()):
    widths = [*widths, slim.width_space.full]
    return kj.ParetoFront.build(slim, widths, (x, y), [x], progress=False)


def compiled_u_net(loss, **arguments):
    built = ARCHITECTURES["u_net"]()
    slim = kj.make_slimmable(built.model, min_width=0.25)
    slim.compile("sgd", loss, **arguments)
    return slim, built.x, built.y


def test_pixels_of_an_ignored_class_are_no_part_of_the_standard_error():
    loss = keras.losses.SparseCategoricalCrossentropy(ignore_class=IGNORED)
    slim, x, y = compiled_u_net(loss)
    y[:, :11] = IGNORED
    front = front_of(slim, x, y)
    for end in front.ends:
        output = np.asarray(front.end_models[end.name](x))
        per_image = (entropies(one_hot(y), output)).sum((1, 2)) / (5 * 16)
        assert end.validation["loss"] == pytest.approx(per_image.mean(), rel=1e-4)
        error = per_image.std() / np.sqrt(len(x))
        assert end.validation["loss_se"] == pytest.approx(error, rel=0.15)


def test_a_loss_over_all_images_together_has_a_standard_error_too():
    """Dice has one value for all the images that it is given."""
    slim, x, y = compiled_u_net(keras.losses.Dice(), distillation="categorical_crossentropy")
    labels = one_hot(y)
    logs = slim.fit(x, labels, batch_size=16, verbose=0).history
    assert np.isfinite([*logs.values()]).all()
    front = front_of(slim, x, labels)
    for end in front.ends:
        p = np.asarray(front.end_models[end.name](x), np.float64)

        def dice(axes, p=p):
            both, each = (p * labels).sum(axes), p.sum(axes) + labels.sum(axes)
            return 1 - 2 * both / each

        assert end.validation["loss"] == pytest.approx(dice(None), abs=1e-5)
        error = dice((1, 2, 3)).std() / np.sqrt(len(x))
        assert end.validation["loss_se"] == pytest.approx(error, rel=0.15)


def test_dice_without_a_distillation_loss_says_which_output_needs_one():
    slim, x, y = compiled_u_net(keras.losses.Dice())
    with pytest.raises(ValueError, match=r"'head' with loss 'dice'.*distillation=\{'head': loss\}"):
        slim.fit(x, one_hot(y), verbose=0)


# -- fronts ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["u_net", "two_heads"])
def searched(request):
    """An architecture, its slimmable form after a short search, and the front of that."""
    keras.utils.set_random_seed(0)
    built = ARCHITECTURES[request.param]()
    slim = kj.make_slimmable(built.model, min_width=0.25)
    slim.compile(keras.optimizers.Adam(built.rate), **built.compile)
    joslim = kj.Joslim((built.x, built.y), tau=4, prior_points=4)
    slim.fit(built.x, built.y, batch_size=12, epochs=8, callbacks=[joslim], verbose=0)
    widths = joslim.visited()[:5]
    validation = (built.x, built.y)
    front = kj.ParetoFront.build(slim, widths, validation, [built.x[:24]], progress=False)
    return built, slim, front.measure_test(slim, validation)


def by_hand(name, built, outputs):
    """Loss and metrics of outputs, by numpy."""
    if name == "u_net":
        p = outputs["()"]
        return {
            "loss": entropies(one_hot(built.y), p).mean(),
            "accuracy": (p.argmax(-1) == built.y).mean(),
        }
    logits, box = (outputs[f"('{key}',)"].astype(np.float64) for key in ("kind", "box"))
    kind, wanted = built.y["kind"], built.y["box"]
    logs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    error = np.abs(box - wanted)
    assert error.max() <= 1
    return {
        "loss": -logs[np.arange(len(kind)), kind].mean() + 4.0 * (error**2 / 2).mean(),
        "kind_accuracy": (logits.argmax(-1) == kind).mean(),
        "box_mae": error.mean(),
    }


def test_points_are_what_their_models_compute(searched):
    built, slim, front = searched
    assert len(front) >= 2
    for point in (*front, *front.ends):
        network = {**front.models, **front.end_models}[point.name]
        facts = by_hand(built.model.name, built, arrays(network(built.x)))
        assert set(point.validation) == {*facts, "loss_se"}
        for name, value in facts.items():
            assert point.validation[name] == pytest.approx(value, abs=2e-5), (point.name, name)
        assert point.test == pytest.approx(point.validation)
        assert 0 < point.validation["loss_se"] < point.validation["loss"]
    losses = [point.validation["loss"] for point in front]
    assert losses == sorted(losses, reverse=True)


def test_the_front_is_saved_drawn_and_printed(searched, tmp_path):
    built, _, front = searched
    front.save(tmp_path / "front.json")
    assert kj.ParetoFront.load(tmp_path / "front.json").points == front.points
    assert front.points[-1].name in str(front)
    for metric in set(front.points[0].validation) - {"loss_se"}:
        line = front.plot(metric=metric).data[-1]
        assert list(line.y) == [point.validation[metric] for point in front]


def test_its_networks_become_files_that_agree(searched, tmp_path):
    built, _, front = searched
    names = (front.points[0].name, front.points[-1].name)
    models = {name: front.models[name] for name in names}
    manifest = tflite.export(models, tmp_path, formats=("fp32",), images=built.x[:8])
    for name in names:
        entry = manifest.find(name, "fp32")
        assert entry.difference["max_abs"] <= 1e-5
        assert (tmp_path / entry.path).stat().st_size == entry.bytes
        assert {facts.name for facts in entry.outputs} == set(built.outputs)
    smallest, largest = (manifest.find(name, "fp32") for name in names)
    assert smallest.bytes < largest.bytes
