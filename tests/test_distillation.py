"""The distillation losses: their values against numpy, per output, and what they honour."""

import keras
import numpy as np
import pytest

import keras_joslim as kj
from keras_joslim.distillation import soft_loss
from tests.sandwich_recursion import applied_gradient, trainable

losses = keras.losses


def _softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def _sigmoid(x):
    return 1 / (1 + np.exp(-x))


def _cross_entropy(full, narrow):
    return -(full * np.log(narrow)).sum(-1)


def _binary(full, narrow):
    return -(full * np.log(narrow) + (1 - full) * np.log(1 - narrow)).mean(-1)


def _huber(full, narrow, delta=0.5):
    error = np.abs(full - narrow)
    return np.where(error <= delta, error**2 / 2, delta * (error - delta / 2)).mean(-1)


# Task loss, what maps raw numbers to the outputs it takes, and the loss per position by numpy.
TABLE = {
    "sparse": (
        losses.SparseCategoricalCrossentropy(),
        _softmax,
        lambda f, n: _cross_entropy(f, n),
    ),
    "sparse_logits": (
        losses.SparseCategoricalCrossentropy(from_logits=True),
        np.asarray,
        lambda f, n: _cross_entropy(_softmax(f), _softmax(n)),
    ),
    "categorical": (losses.CategoricalCrossentropy(), _softmax, _cross_entropy),
    "categorical_logits_smoothed": (
        losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.3),
        np.asarray,
        lambda f, n: _cross_entropy(_softmax(f), _softmax(n)),
    ),
    "binary": (losses.BinaryCrossentropy(label_smoothing=0.2), _sigmoid, _binary),
    "binary_logits": (
        losses.BinaryCrossentropy(from_logits=True),
        np.asarray,
        lambda f, n: _binary(_sigmoid(f), _sigmoid(n)),
    ),
    "mse": (losses.MeanSquaredError(), np.asarray, lambda f, n: ((f - n) ** 2).mean(-1)),
    "mae": (losses.MeanAbsoluteError(), np.asarray, lambda f, n: np.abs(f - n).mean(-1)),
    "huber": (losses.Huber(delta=0.5), np.asarray, _huber),
}


@pytest.mark.parametrize("kind", TABLE)
@pytest.mark.parametrize("shape", [(5, 4), (3, 2, 2, 4)])
def test_values_equal_numpy(kind, shape):
    hard, outputs, expected = TABLE[kind]
    rng = np.random.default_rng(1)
    full, narrow = (outputs(rng.normal(size=shape)) for _ in range(2))
    weights = rng.uniform(0.1, 2.0, shape[:-1]).astype("float32")
    soft = soft_loss(hard, "head")
    pair = {"output": full.astype("float32"), "labels": np.zeros(shape[:-1])}
    value = float(soft(pair, narrow.astype("float32")))
    assert value == pytest.approx(expected(full, narrow).mean(), rel=1e-5)
    value = float(soft(pair, narrow.astype("float32"), weights))
    assert value == pytest.approx((expected(full, narrow) * weights).mean(), rel=1e-5)


@pytest.mark.parametrize("kind", TABLE)
def test_the_reduction_is_the_task_losss(kind, monkeypatch):
    hard, outputs, expected = TABLE[kind]
    monkeypatch.setattr(hard, "reduction", "sum")
    rng = np.random.default_rng(1)
    full, narrow = (outputs(rng.normal(size=(5, 4))).astype("float32") for _ in range(2))
    value = soft_loss(hard, "head")({"output": full, "labels": np.zeros(5)}, narrow)
    assert float(value) == pytest.approx(expected(full, narrow).sum(), rel=1e-5)


def test_the_class_axis_is_the_task_losss():
    hard = losses.CategoricalCrossentropy(from_logits=True, axis=1)
    rng = np.random.default_rng(1)
    full, narrow = rng.normal(size=(2, 3, 4, 5)).astype("float32")
    value = soft_loss(hard, "head")({"output": full, "labels": full}, narrow)
    moved = [_softmax(np.moveaxis(a, 1, -1)) for a in (full, narrow)]
    assert float(value) == pytest.approx(_cross_entropy(*moved).mean(), rel=1e-5)


@pytest.mark.parametrize("trailing", [False, True])
def test_positions_of_an_ignored_class_do_not_count(trailing):
    hard = losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=255)
    rng = np.random.default_rng(1)
    full, narrow = rng.normal(size=(2, 2, 3, 3, 4)).astype("float32")
    labels = rng.integers(0, 4, (2, 3, 3))
    labels[0, :2] = 255
    valid = labels != 255
    given = labels[..., None] if trailing else labels
    value = soft_loss(hard, "head")({"output": full, "labels": given}, narrow)
    per_pixel = _cross_entropy(_softmax(full), _softmax(narrow))
    assert float(value) == pytest.approx(per_pixel[valid].mean(), rel=1e-5)
    weights = rng.uniform(0.1, 2.0, labels.shape).astype("float32")
    value = soft_loss(hard, "head")({"output": full, "labels": given}, narrow, weights)
    expected = (per_pixel * weights)[valid].sum() / valid.sum()
    assert float(value) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    "hard",
    [losses.KLDivergence(), losses.LogCosh(), losses.CategoricalFocalCrossentropy()],
    ids=lambda hard: hard.name,
)
def test_a_loss_without_a_rule_names_the_output_and_the_way_out(hard):
    with pytest.raises(ValueError, match=r"output 'depth' with loss .*distillation=\{'depth'"):
        soft_loss(hard, "depth")


@pytest.mark.parametrize("own", [losses.MeanSquaredError(), "mse", losses.mean_squared_error])
def test_a_loss_of_the_users_own_takes_the_rules_place(own):
    full, narrow = np.random.default_rng(0).normal(size=(2, 5, 4)).astype("float32")
    for hard in (losses.KLDivergence(), losses.SparseCategoricalCrossentropy()):
        value = soft_loss(hard, "head", own)({"output": full, "labels": np.zeros(5)}, narrow)
        assert float(value) == pytest.approx(((full - narrow) ** 2).mean(), rel=1e-5)


# -- through the model: each against gradients of numpy-like formulas over extracted networks ----


def _two_heads(structure, classes=3):
    """A classifier with logits and a regressor on one trunk; outputs as `structure` says."""
    layers = keras.layers
    inputs = keras.Input((6,), name="x")
    trunk = layers.Dense(8, activation="tanh", name="trunk")(inputs)
    kind = layers.Dense(classes, name="kind")(trunk)
    where = layers.Dense(2, name="where")(layers.Dense(4, activation="tanh", name="mid")(trunk))
    outputs = {"kind": kind, "where": where} if structure is dict else [kind, where]
    return keras.Model(inputs, outputs)


def _data(count=8):
    rng = np.random.default_rng(3)
    x = rng.normal(size=(count, 6)).astype("float32")
    return x, np.arange(count) % 3, rng.normal(size=(count, 2)).astype("float32")


def _by_hand(slim, x, networks, task, soft):
    """Summed gradients by (layer, weight name), one tape a network, slices eagerly."""
    import tensorflow as tf

    variables = trainable(slim)
    values = [v.value for v in variables.values()]
    total, full = [np.zeros(v.shape) for v in values], None
    for widths in networks:
        with tf.GradientTape() as tape:
            output = slim(x, widths=widths, training=True)
            loss = task(output) if full is None else soft(full, output)
        if full is None:
            full = keras.tree.map_structure(tf.stop_gradient, output)
        found = tape.gradient(loss, values)
        total = [a + (0 if g is None else np.asarray(g)) for a, g in zip(total, found)]
    return dict(zip(variables, total))


def _check(slim, x, y, networks, task, soft, atol=2e-6, **arguments):
    expected = _by_hand(slim, x, networks, task, soft)
    found = applied_gradient(slim, x, y, networks, **arguments)
    for key, value in expected.items():
        np.testing.assert_allclose(found[key], value, atol=atol, rtol=1e-5, err_msg=str(key))
    assert max(np.abs(v).max() for v in expected.values()) > 1e-2
    return expected


def _networks(slim):
    space = slim.width_space
    return np.stack([space.full, space.uniform(0.6), space.smallest])


def _log_softmax(x):
    import tensorflow as tf

    return tf.nn.log_softmax(x)


def _sum_kind(labels, logits, weight=1.0):
    """Mean cross-entropy of integer labels or of soft ones, written out."""
    import tensorflow as tf

    target = labels if len(labels.shape) == len(logits.shape) else np.eye(3)[labels]
    per_example = -tf.reduce_sum(tf.cast(target, "float32") * _log_softmax(logits), -1)
    return tf.reduce_mean(per_example * weight)


def _squared(target, output, weight=1.0):
    import tensorflow as tf

    return tf.reduce_mean(tf.reduce_mean((target - output) ** 2, -1) * weight)


@pytest.mark.parametrize("structure", [dict, list])
@pytest.mark.parametrize("keyed", [dict, list])
def test_two_heads_of_different_kinds(structure, keyed):
    if structure is dict and keyed is list:
        pytest.skip("Keras takes no list of losses for a dict of outputs")
    slim = kj.make_slimmable(_two_heads(structure), 0.25)
    x, kind, where = _data()
    loss = {"kind": losses.SparseCategoricalCrossentropy(from_logits=True), "where": "mse"}
    weights = {"kind": 0.5, "where": 3.0}
    if keyed is list:
        loss, weights = list(loss.values()), list(weights.values())
    y = {"kind": kind, "where": where} if structure is dict else [kind, where]
    slim.compile("sgd", loss, loss_weights=weights, run_eagerly=True)
    networks = _networks(slim)

    def parts(output):
        return keras.tree.flatten(output)

    def task(output):
        a, b = parts(output)
        return 0.5 * _sum_kind(kind, a) + 3.0 * _squared(where, b)

    def soft(full, output):
        (full_a, full_b), (a, b) = parts(full), parts(output)
        probabilities = np.exp(_log_softmax(full_a))
        return 0.5 * _sum_kind(probabilities, a) + 3.0 * _squared(full_b, b)

    _check(slim, x, y, networks, task, soft)


def test_a_loss_for_one_of_two_outputs_leaves_the_other_head_alone():
    slim = kj.make_slimmable(_two_heads(dict), 0.25)
    x, kind, where = _data()
    slim.compile("sgd", {"where": "mse"}, run_eagerly=True)
    expected = _check(
        slim,
        x,
        {"kind": kind, "where": where},
        _networks(slim),
        lambda output: _squared(where, output["where"]),
        lambda full, output: _squared(full["where"], output["where"]),
    )
    assert not np.abs(expected["kind", "kernel"]).any()


def test_distillation_by_output_is_used():
    slim = kj.make_slimmable(_two_heads(dict), 0.25)
    x, kind, where = _data()
    loss = {"kind": losses.SparseCategoricalCrossentropy(from_logits=True), "where": "log_cosh"}
    slim.compile("sgd", loss, distillation={"where": "mse"}, run_eagerly=True)

    def task(output):
        cosh = keras.ops.mean(keras.ops.log(keras.ops.cosh(output["where"] - where)))
        return _sum_kind(kind, output["kind"]) + cosh

    def soft(full, output):
        probabilities = np.exp(_log_softmax(full["kind"]))
        return _sum_kind(probabilities, output["kind"]) + _squared(full["where"], output["where"])

    _check(slim, x, {"kind": kind, "where": where}, _networks(slim), task, soft)


def test_an_unknown_loss_stops_fit_and_names_its_output():
    slim = kj.make_slimmable(_two_heads(dict), 0.25)
    x, kind, where = _data()
    slim.compile("sgd", {"kind": "sparse_categorical_crossentropy", "where": "log_cosh"})
    with pytest.raises(ValueError, match="No distillation loss is known for output 'where'"):
        slim.fit(x, {"kind": kind, "where": where}, verbose=0)


@pytest.mark.parametrize(
    ("distillation", "message"),
    [
        ({"elsewhere": "mse"}, r"names outputs that have no loss: \['elsewhere'\]"),
        ("mse", "give `distillation` as a dict by output name"),
    ],
)
def test_distillation_that_fits_no_output(distillation, message):
    slim = kj.make_slimmable(_two_heads(dict), 0.25)
    x, kind, where = _data()
    slim.compile(
        "sgd",
        {"kind": losses.SparseCategoricalCrossentropy(from_logits=True), "where": "mse"},
        distillation=distillation,
    )
    with pytest.raises(ValueError, match=message):
        slim.fit(x, {"kind": kind, "where": where}, verbose=0)


def _one_head(units=3, activation=None):
    inputs = keras.Input((6,), name="x")
    hidden = keras.layers.Dense(8, activation="tanh", name="hidden")(inputs)
    outputs = keras.layers.Dense(units, activation=activation, name="head")(hidden)
    return keras.Model(inputs, outputs)


LOGITS = losses.SparseCategoricalCrossentropy(from_logits=True)


def _kind_task(labels, weight=1.0):
    return lambda output: _sum_kind(labels, output, weight)


def _kind_soft(weight=1.0):
    return lambda full, output: _sum_kind(np.exp(_log_softmax(full)), output, weight)


def test_sample_weights_act_on_all_networks():
    slim = kj.make_slimmable(_one_head(), 0.25)
    x, kind, _ = _data()
    weight = np.linspace(0, 2, len(x)).astype("float32")
    slim.compile("sgd", LOGITS, run_eagerly=True)
    task, soft = _kind_task(kind, weight), _kind_soft(weight)
    _check(slim, x, kind, _networks(slim), task, soft, sample_weight=weight)


def test_class_weights_act_on_all_networks():
    slim = kj.make_slimmable(_one_head(), 0.25)
    x, kind, _ = _data()
    weight = np.array([0.2, 1.0, 3.0], "float32")[kind]
    slim.compile("sgd", LOGITS, run_eagerly=True)
    task, soft = _kind_task(kind, weight), _kind_soft(weight)
    class_weight = {0: 0.2, 1: 1.0, 2: 3.0}
    _check(slim, x, kind, _networks(slim), task, soft, class_weight=class_weight)


def test_sample_weights_by_output():
    slim = kj.make_slimmable(_two_heads(dict), 0.25)
    x, kind, where = _data()
    a = np.linspace(0, 2, len(x)).astype("float32")
    b = a[::-1].copy()
    slim.compile("sgd", {"kind": LOGITS, "where": "mae"}, run_eagerly=True)

    def distance(target, output):
        return keras.ops.mean(keras.ops.mean(keras.ops.abs(target - output), -1) * b)

    def task(output):
        return _sum_kind(kind, output["kind"], a) + distance(where, output["where"])

    def soft(full, output):
        probabilities = np.exp(_log_softmax(full["kind"]))
        kinds = _sum_kind(probabilities, output["kind"], a)
        return kinds + distance(full["where"], output["where"])

    weights = {"kind": a, "where": b}
    y = {"kind": kind, "where": where}
    _check(slim, x, y, _networks(slim), task, soft, sample_weight=weights)


def test_binary_labels_of_one_unit():
    import tensorflow as tf

    slim = kj.make_slimmable(_one_head(units=1), 0.25)
    x, kind, _ = _data()
    y = (kind > 0).astype("float32")
    slim.compile("sgd", losses.BinaryCrossentropy(from_logits=True), run_eagerly=True)

    def binary(target, logits):
        logits = tf.reshape(logits, (-1,))
        p = tf.sigmoid(logits)
        target = tf.reshape(tf.cast(target, "float32"), (-1,))
        return -tf.reduce_mean(target * tf.math.log(p) + (1 - target) * tf.math.log(1 - p))

    def soft(full, output):
        return binary(tf.sigmoid(full), output)

    _check(slim, x, y, _networks(slim), lambda output: binary(y, output), soft)


def test_segmentation_logits_with_an_ignored_class():
    import tensorflow as tf

    inputs = keras.Input((4, 4, 2))
    hidden = keras.layers.Conv2D(6, 3, padding="same", activation="tanh", name="hidden")(inputs)
    outputs = keras.layers.Conv2D(3, 1, name="head")(hidden)
    slim = kj.make_slimmable(keras.Model(inputs, outputs), 0.25)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3, 4, 4, 2)).astype("float32")
    y = rng.integers(0, 3, (3, 4, 4))
    y[0, :3] = 255
    valid = (y != 255).astype("float32")
    loss = losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=255)
    slim.compile("sgd", loss, run_eagerly=True)

    def mean(target, logits):
        per_pixel = -tf.reduce_sum(tf.cast(target, "float32") * _log_softmax(logits), -1)
        return tf.reduce_sum(per_pixel * valid) / valid.sum()

    one_hot = np.eye(3)[np.where(y == 255, 0, y)]
    _check(
        slim,
        x,
        y,
        _networks(slim),
        lambda output: mean(one_hot, output),
        lambda full, output: mean(np.exp(_log_softmax(full)), output),
    )


def test_masks_of_the_network_act_on_all_networks():
    import tensorflow as tf

    inputs = keras.Input((5, 2))
    masked = keras.layers.Masking(0.0)(inputs)
    hidden = keras.layers.Dense(6, activation="tanh", name="hidden")(masked)
    outputs = keras.layers.Dense(3, name="head")(hidden)
    slim = kj.make_slimmable(keras.Model(inputs, outputs), 0.25)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4, 5, 2)).astype("float32")
    x[0, 2:] = x[1, 4:] = 0
    valid = x.any(-1).astype("float32")
    y = rng.integers(0, 3, (4, 5))
    slim.compile("sgd", LOGITS, run_eagerly=True)

    def mean(target, logits):
        per_position = -tf.reduce_sum(tf.cast(target, "float32") * _log_softmax(logits), -1)
        return tf.reduce_sum(per_position * valid) / valid.sum()

    _check(
        slim,
        x,
        y,
        _networks(slim),
        lambda output: mean(np.eye(3)[y], output),
        lambda full, output: mean(np.exp(_log_softmax(full)), output),
    )


def test_no_gradient_reaches_the_full_network_through_its_soft_targets():
    """Distilling the full network from itself is at its optimum: it changes nothing."""
    slim = kj.make_slimmable(_one_head(), 0.25)
    x, kind, _ = _data()
    slim.compile("sgd", LOGITS, run_eagerly=True)
    full = slim.width_space.full
    expected = _by_hand(slim, x, full[None], _kind_task(kind), None)
    found = applied_gradient(slim, x, kind, np.stack([full, full]))
    for key, value in expected.items():
        np.testing.assert_allclose(found[key], value, atol=2e-6, err_msg=str(key))
