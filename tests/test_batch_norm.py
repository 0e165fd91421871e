"""Calibration: the exact mean over all batches, weighted by their sizes, by numpy."""

import keras
import numpy as np
import pytest

import keras_joslim as kj

layers = keras.layers
RNG = np.random.default_rng(0)
BATCHES = [(RNG.normal(size=(n, 6, 6, 3)) * 2 + 1).astype("float32") for n in (5, 3, 7, 1)]


def network(momentum=0.9, dropout=0.5):
    inputs = keras.Input((6, 6, 3))
    x = layers.BatchNormalization(momentum=momentum, epsilon=0.01, name="first")(inputs)
    x = layers.Dropout(dropout)(x)
    x = layers.GaussianNoise(dropout)(x)
    x = layers.Conv2D(4, 1, use_bias=False, name="conv")(x)
    x = layers.BatchNormalization(momentum=momentum, epsilon=0.01, name="second")(x)
    x = layers.GlobalAveragePooling2D()(layers.ReLU()(x))
    return keras.Model(inputs, layers.Dense(2)(x))


def moments(x):
    flat = x.reshape(-1, x.shape[-1]).astype("float64")
    return flat.mean(0), flat.var(0)


def by_numpy(model, batches):
    """Mean and variance of both norms, averaged over the batches by their numbers of images."""
    first = model.get_layer("first")
    kernel = model.get_layer("conv").kernel.numpy()[0, 0].astype("float64")
    totals = {"first": [0, 0], "second": [0, 0]}
    for x in batches:
        mean, variance = moments(x)
        normalised = (x - mean) / np.sqrt(variance + 0.01)
        normalised = normalised * first.gamma.numpy() + first.beta.numpy()
        for name, values in (("first", x), ("second", normalised @ kernel)):
            for i, moment in enumerate(moments(values)):
                totals[name][i] = totals[name][i] + moment * len(x)
    images = sum(map(len, batches))
    return {name: [total / images for total in pair] for name, pair in totals.items()}


def randomised(model):
    rng = np.random.default_rng(1)
    for weight in model.weights:
        if weight.dtype == "float32":
            weight.assign(rng.uniform(0.5, 1.5, weight.shape))
    return model


@pytest.mark.parametrize("momentum", [0.0, 0.9, 0.99])
def test_exact_mean_over_unequal_batches(momentum):
    model = randomised(network(momentum))
    expected = by_numpy(model, BATCHES)
    assert kj.calibrate_batch_norm(model, BATCHES) is model
    for name, (mean, variance) in expected.items():
        norm = model.get_layer(name)
        np.testing.assert_allclose(norm.moving_mean, mean, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(norm.moving_variance, variance, rtol=1e-4, atol=1e-5)
        assert norm.momentum == momentum


def test_the_old_statistics_do_not_matter_and_nothing_else_changes():
    models = [randomised(network()) for _ in range(2)]
    models[1].get_layer("first").moving_mean.assign([100.0, -7, 3])
    models[1].get_layer("second").moving_variance.assign([9.0] * 4)
    before = [w.numpy() for w in models[0].trainable_weights]
    for model in models:
        kj.calibrate_batch_norm(model, iter(BATCHES))
    for a, b in zip(models[0].weights, models[1].weights, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    for weight, value in zip(models[0].trainable_weights, before, strict=True):
        np.testing.assert_array_equal(weight.numpy(), value)
    # The same batches a second time give the same statistics.
    again = [w.numpy() for w in models[0].weights]
    kj.calibrate_batch_norm(models[0], BATCHES)
    for weight, value in zip(models[0].weights, again, strict=True):
        np.testing.assert_allclose(weight.numpy(), value, rtol=1e-6)


def test_dropout_and_noise_stay_off():
    results = []
    for rate in (0.0, 0.9):
        model = randomised(network(dropout=rate))
        seeds = [v.numpy() for layer in model.layers for v in layer.variables if "seed" in v.name]
        kj.calibrate_batch_norm(model, BATCHES)
        results.append([w.numpy() for w in model.weights if "moving" in w.name])
        after = [v.numpy() for layer in model.layers for v in layer.variables if "seed" in v.name]
        for old, new in zip(seeds, after, strict=True):
            np.testing.assert_array_equal(new, old)
    for plain, noisy in zip(*results, strict=True):
        np.testing.assert_array_equal(plain, noisy)


def test_frozen_layers_are_calibrated_and_stay_frozen():
    models = [randomised(network()) for _ in range(2)]
    models[0].get_layer("first").trainable = False
    for model in models:
        kj.calibrate_batch_norm(model, BATCHES)
    first = models[0].get_layer("first")
    assert first.trainable is False
    assert models[1].get_layer("first").trainable is True
    np.testing.assert_array_equal(first.moving_mean, models[1].get_layer("first").moving_mean)


def test_a_shared_layer_takes_in_all_its_calls():
    inputs = keras.Input((6, 6, 3))
    norm = layers.BatchNormalization(name="shared")
    outputs = layers.Concatenate()([norm(inputs), norm(layers.Rescaling(3.0, 1.0)(inputs))])
    model = keras.Model(inputs, outputs)
    kj.calibrate_batch_norm(model, BATCHES)
    means, sizes = [], []
    for x in BATCHES:
        for values in (x, 3 * x + 1):
            means.append(moments(values))
            sizes.append(len(x))
    expected = np.average(np.array(means), axis=0, weights=sizes)
    np.testing.assert_allclose(norm.moving_mean, expected[0], rtol=1e-4)
    np.testing.assert_allclose(norm.moving_variance, expected[1], rtol=1e-4)


def test_nested_models_and_several_inputs():
    inner = network(dropout=0.0)
    image, other = keras.Input((6, 6, 3), name="image"), keras.Input((2,), name="other")
    x = layers.Concatenate()([inner(image), layers.BatchNormalization(name="own")(other)])
    model = keras.Model({"image": image, "other": other}, layers.Dense(2)(x))
    randomised(model)
    expected = by_numpy(inner, BATCHES[:2])
    rng = np.random.default_rng(5)
    others = [rng.normal(size=(len(x), 2)).astype("float32") for x in BATCHES[:2]]
    batches = [{"image": x, "other": o} for x, o in zip(BATCHES, others)]
    kj.calibrate_batch_norm(model, batches)
    np.testing.assert_allclose(
        inner.get_layer("second").moving_mean, expected["second"][0], rtol=1e-4, atol=1e-5
    )
    mean = np.average([o.mean(0) for o in others], axis=0, weights=[5, 3])
    np.testing.assert_allclose(model.get_layer("own").moving_mean, mean, rtol=1e-4, atol=1e-6)


def test_an_extracted_sub_network_only():
    slim = kj.make_slimmable(randomised(network()), min_width=0.3)
    before = [w.numpy() for w in slim.weights]
    sub = kj.extract(slim, [2])
    kj.calibrate_batch_norm(sub, BATCHES)
    for weight, value in zip(slim.weights, before, strict=True):
        np.testing.assert_array_equal(weight.numpy(), value)
    expected = by_numpy(sub, BATCHES)
    np.testing.assert_allclose(
        sub.get_layer("second").moving_variance, expected["second"][1], rtol=1e-4
    )


def test_without_batches_it_is_an_error_and_nothing_changes():
    model = randomised(network())
    before = [w.numpy() for w in model.weights]
    for none in ([], [np.zeros((0, 6, 6, 3), np.float32)]):
        with pytest.raises(ValueError, match="needs at least one batch of images"):
            kj.calibrate_batch_norm(model, none)
    for weight, value in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(weight.numpy(), value)


def test_statistics_that_are_not_finite_are_refused_by_name():
    model = randomised(network())
    broken = BATCHES[0].copy()
    broken[0, 0, 0, 1] = np.nan
    with pytest.raises(ValueError, match="BatchNormalization layer 'first' are not finite.*NaN"):
        kj.calibrate_batch_norm(model, [broken])
    assert model.get_layer("first").momentum == 0.9


def test_a_model_without_batch_norm_is_left_alone():
    inputs = keras.Input((3,))
    model = keras.Model(inputs, layers.Dense(2)(inputs))
    assert kj.calibrate_batch_norm(model, []) is model


def test_momentum_is_restored_when_a_batch_fails():
    model = randomised(network())
    with pytest.raises(ValueError, match="axis"):
        kj.calibrate_batch_norm(model, [BATCHES[0], np.zeros((2, 6, 6, 5), np.float32)])
    assert [model.get_layer(n).momentum for n in ("first", "second")] == [0.9, 0.9]
    assert all(layer.trainable for layer in model.layers)


def _normed():
    inputs = keras.Input((6, 2))
    x = keras.layers.BatchNormalization()(keras.layers.Dense(4)(inputs))
    return keras.Model(inputs, keras.layers.Dense(2)(x))


@pytest.mark.parametrize(
    ("batches", "received"),
    [
        ([(np.zeros((3, 6, 2)), np.zeros(3))], r"\[\(3, 6, 2\), \(3,\)\]. Of a tf.data"),
        ((np.zeros((3, 6, 2)), np.zeros(3)), r"arrays of shape \[\(3,\)\]"),
        ({"image": np.zeros((3, 6, 2))}, "without labels. Received: a dict"),
    ],
)
def test_batches_with_labels_or_of_another_shape_are_refused(batches, received):
    with pytest.raises(ValueError, match=received):
        kj.calibrate_batch_norm(_normed(), batches)


def test_a_slimmable_model_is_extracted_first():
    with pytest.raises(ValueError, match=r"extract\(slim, widths\).*Received: the slimmable model"):
        kj.calibrate_batch_norm(kj.make_slimmable(_normed()), [np.zeros((3, 6, 2))])
