"""What networks are fine-tuned on, and how: settings, their hash, data that fit, losses."""

import keras
import numpy as np
import pytest

from keras_joslim import make_slimmable, models
from keras_joslim.distillation import soft_loss
from keras_joslim.tflite.qat import fine_tuning as qat
from keras_joslim.tflite.qat import training
from keras_joslim.tflite.qat.losses import loss_specs
from keras_joslim.tflite.qat.settings import FineTuning

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
RNG = np.random.default_rng(5)
IMAGES = RNG.random((12, 4, 4, 1)).astype(np.float32)
LABELS = RNG.integers(0, 3, 12)
TEACHER = RNG.normal(size=(12, 3)).astype(np.float32)


def network(seed=0):
    keras.utils.set_random_seed(seed)
    layers = [keras.layers.Flatten(), keras.layers.Dense(3, name="logits")]
    return keras.Sequential([keras.Input((4, 4, 1), name="image"), *layers], name="point")


def settings(**options):
    return FineTuning((IMAGES, LABELS), **{"loss": LOSS, **options})


def shipped(**options):
    """What would go to the other process."""
    return qat._shipped(network(), FineTuning(**{"loss": LOSS, **options}))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, r"from 1\. Received: steps=0"),
        ({"batch_size": True}, "batch_size=True"),
        ({"clusters": 1}, r"from 2\. Received: clusters=1"),
        ({"learning_rate": 0.0}, r"a positive number\. Received: learning_rate=0\.0"),
        ({"timeout": None}, "timeout=None"),
        ({"sparsity": 1.0}, "sparsity=1.0"),
        ({"distillation": 1.5}, "distillation=1.5"),
        ({"temperature": 0}, "temperature=0"),
        ({"int8": 1}, "True or False. Received: int8=1"),
        ({"loss": "kl_divergence"}, "Expected a loss out of .*loss='kl_divergence'"),
        (
            {"loss": keras.losses.SparseCategoricalCrossentropy(ignore_class=0)},
            "ignores no class.*ignore_class=0",
        ),
    ],
)
def test_settings_are_checked(options, message):
    with pytest.raises(ValueError, match=message):
        settings(**options)


def test_labels_are_needed_where_they_are_learned_from():
    for options in ({}, {"teacher": TEACHER, "distillation": 0.5}):
        with pytest.raises(ValueError, match=r"train_data=\(images, labels\).*images alone"):
            FineTuning(IMAGES, LOSS, **options)
    parts = shipped(train_data=IMAGES, teacher=TEACHER, steps=3, batch_size=4)
    assert sorted(parts) == ["images0", "order", "targets0"]
    assert sorted(shipped(train_data=(IMAGES, LABELS))) == ["images0", "labels0", "order"]


def test_slimmable_teacher_is_refused():
    slim = make_slimmable(models.build("digits_cnn", input_shape=(8, 8, 1), classes=10))
    with pytest.raises(ValueError, match=r"as teacher.*is slimmable.*extract\("):
        settings(teacher=slim)


def test_unknown_mode_is_refused():
    with pytest.raises(ValueError, match=r"out of \['qat', 'cluster', 'prune'\].*mode='int3'"):
        qat.quantization_aware(network(), settings(), "int3")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"train_data": (IMAGES, LABELS[:-1])}, r"as many labels as images.*\[11, 12\]"),
        (
            {"train_data": (IMAGES[:, :3], LABELS)},
            r"of shape \(4, 4, 1\) for input 'image'.*\(3, 4, 1\)",
        ),
        ({"train_data": ((IMAGES * 255).astype(np.uint8), LABELS)}, "Received: uint8"),
        ({"teacher": TEACHER[:5]}, r"shape \(12, 3\) for 'logits'.*Received: \(5, 3\)"),
        ({"teacher": TEACHER[:, :2]}, r"Received: \(12, 2\)"),
        ({"teacher": TEACHER * np.nan}, "finite outputs of the teacher.*'logits'"),
    ],
)
def test_data_are_checked(options, message):
    with pytest.raises(ValueError, match=message):
        shipped(**{"train_data": (IMAGES, LABELS), **options})


def test_every_image_comes_once_before_any_comes_again():
    order, rows = settings(steps=5, batch_size=4).order(10)
    drawn = rows[order].reshape(-1)
    assert order.shape == (5, 4)
    assert sorted(drawn[:10]) == sorted(drawn[10:]) == list(range(10))
    # Few steps: only the images that are used travel to the other process.
    order, rows = settings(steps=2, batch_size=4).order(100)
    assert len(rows) == 8
    assert sorted(order.reshape(-1)) == list(range(8))
    # Fewer images than a batch takes: all of them, each once.
    assert settings(steps=1).order(5)[0].shape == (1, 5)


def test_only_what_a_mode_looks_at_is_recorded():
    common = {"steps", "batch_size", "distillation", "temperature", "seed", "learning_rate"}
    assert set(settings().settings("qat")) == common
    assert set(settings().settings("cluster")) == common | {"clusters", "int8"}
    assert set(settings().settings("prune")) == common | {"sparsity", "int8"}
    assert settings().settings("qat")["learning_rate"] == 3e-4
    assert settings().settings("prune")["learning_rate"] == 1e-3
    assert settings(learning_rate=0.5).settings("prune")["learning_rate"] == 0.5
    # Without a teacher nothing is distilled.
    assert settings().settings("qat")["distillation"] == 0
    assert settings(teacher=TEACHER).settings("qat")["distillation"] == 1


def test_hash_is_over_what_is_learned_from():
    def known(images=IMAGES, labels=LABELS, loss=LOSS, **options):
        return FineTuning((images, labels), loss, **options).sha256

    base = known(teacher=TEACHER, distillation=0.5)
    assert base == known(IMAGES.copy(), LABELS.copy(), teacher=TEACHER.copy(), distillation=0.5)
    assert base == known(teacher=TEACHER, distillation=0.5, steps=7, timeout=1.0)
    smoothed = keras.losses.SparseCategoricalCrossentropy(from_logits=False)
    others = [
        known(IMAGES + 1, teacher=TEACHER, distillation=0.5),
        known(labels=LABELS[::-1], teacher=TEACHER, distillation=0.5),
        known(loss=smoothed, teacher=TEACHER, distillation=0.5),
        known(teacher=TEACHER + 1, distillation=0.5),
        known(teacher=network(), distillation=0.5),
        known(teacher=network(1), distillation=0.5),
        known(),
    ]
    assert len({base, *others}) == len(others) + 1
    # Nothing is learned from the labels, or from the teacher.
    assert known(teacher=TEACHER) == known(labels=LABELS[::-1], teacher=TEACHER)
    assert known() == known(teacher=TEACHER, distillation=0.0)


def test_outputs_take_the_place_of_the_teacher_and_the_hash_stays():
    teacher = network(1)
    mine = settings(teacher=teacher, steps=2, batch_size=3)
    plain = mine.with_outputs()
    assert plain is mine.with_outputs()
    assert plain.with_outputs() is plain
    assert plain.sha256 == mine.sha256
    rows = mine.order(12)[1]
    expected = teacher.predict(IMAGES[rows], verbose=0)
    np.testing.assert_allclose(plain.teacher[rows], expected, rtol=1e-5)
    assert np.isnan(np.delete(plain.teacher, rows, axis=0)).all()
    parts = qat._shipped(network(), mine)
    np.testing.assert_allclose(parts["targets0"], expected, rtol=1e-5)
    assert len(parts["images0"]) == 6


def log_softmax(x):
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


LOSSES = {
    "sparse_categorical_crossentropy": {"from_logits": True},
    "categorical_crossentropy": {"from_logits": False, "label_smoothing": 0.1},
    "binary_crossentropy": {"from_logits": True, "label_smoothing": 0.2},
    "mean_squared_error": {},
    "mean_absolute_error": {},
    "huber": {"delta": 0.7},
}
CLASSES = {
    "sparse_categorical_crossentropy": keras.losses.SparseCategoricalCrossentropy,
    "categorical_crossentropy": keras.losses.CategoricalCrossentropy,
    "binary_crossentropy": keras.losses.BinaryCrossentropy,
    "mean_squared_error": keras.losses.MeanSquaredError,
    "mean_absolute_error": keras.losses.MeanAbsoluteError,
    "huber": keras.losses.Huber,
}


@pytest.mark.parametrize("name", LOSSES)
def test_task_losses_are_those_of_keras(name):
    rng = np.random.default_rng(0)
    output = rng.normal(0, 2, (6, 5)).astype(np.float32)
    if LOSSES[name].get("from_logits") is False:
        output = np.exp(log_softmax(output))
    sparse = rng.integers(0, 5, 6)
    labels = sparse if name.startswith("sparse") else np.eye(5, dtype=np.float32)[sparse]
    loss = CLASSES[name](**LOSSES[name])
    (spec,) = loss_specs(loss, ["out"])
    mine = np.mean(training.task_loss(spec, labels, output))
    np.testing.assert_allclose(mine, loss(labels, output), rtol=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_soft_losses_are_zero_at_the_teacher_and_those_of_training_elsewhere(name):
    rng = np.random.default_rng(1)
    teacher, output = rng.normal(0, 2, (2, 6, 5)).astype(np.float32)
    if LOSSES[name].get("from_logits") is False:
        teacher, output = np.exp(log_softmax(teacher)), np.exp(log_softmax(output))
    loss = CLASSES[name](**{k: v for k, v in LOSSES[name].items() if k != "label_smoothing"})
    (spec,) = loss_specs(loss, ["out"])

    def mine(y):
        return float(np.mean(training.soft_loss(spec, teacher, y, temperature=1.0)))

    assert abs(mine(teacher)) < 1e-6
    # Cross-entropies are given without the teacher's entropy: as differences they agree.
    theirs = soft_loss(loss, "out")
    pairs = {"output": teacher, "labels": np.zeros((6, 5), np.float32)}
    gap = float(theirs(pairs, output)) - float(theirs(pairs, teacher))
    assert mine(output) == pytest.approx(gap, rel=1e-4)
    assert mine(output) > 0.1


def test_temperature_divides_the_logits():
    spec = {"kind": "sparse_categorical_crossentropy", "from_logits": True}
    teacher, output = np.array([[2.0, 0.0]], np.float32), np.array([[0.0, 0.0]], np.float32)
    (value,) = training.soft_loss(spec, teacher, output, temperature=2.0)
    # softmax([1, 0]) = (0.731, 0.269) against (1/2, 1/2)
    p = 1 / (1 + np.exp(-1))
    assert float(value) == pytest.approx(np.log(2) + p * np.log(p) + (1 - p) * np.log(1 - p))


def test_losses_are_wanted_for_each_output():
    with pytest.raises(ValueError, match=r"dict with the keys \['a', 'b'\]"):
        loss_specs("huber", ["a", "b"])
    with pytest.raises(ValueError, match=r"Expected losses for \['a', 'b'\].*\['a'\]"):
        loss_specs({"a": "huber"}, ["a", "b"])
