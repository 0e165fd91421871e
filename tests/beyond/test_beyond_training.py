"""Models that are no image classifiers: trained, calibrated, and exported to files that agree."""

import collections

import keras
import numpy as np
import pytest

import keras_joslim as kj
from keras_joslim import tflite
from keras_joslim.tflite.operators import operators
from tests.beyond.architectures import ARCHITECTURES
from tests.graph.networks import arrays


class Trained:
    """An architecture after some sandwich steps: some of a Joslim search, some uniform ones."""

    def __init__(self, name):
        keras.utils.set_random_seed(0)
        self.built = ARCHITECTURES[name]()
        x, y, rate = self.built.x, self.built.y, self.built.rate
        self.slim = slim = kj.make_slimmable(self.built.model, min_width=0.25)
        slim.compile(keras.optimizers.Adam(rate), **self.built.compile)
        self.calibration = keras.tree.map_structure(lambda value: value[:16], (x, y))
        self.ends = np.stack([slim.width_space.full, slim.width_space.smallest])
        self.before = slim.losses_at(self.ends, *self.calibration)
        self.initial = [weight.numpy() for weight in slim.weights]
        self.joslim = kj.Joslim(self.calibration, tau=3, prior_points=3)
        arguments = {"batch_size": len(keras.tree.flatten(x)[0]) // 3, "verbose": 0}
        searched = slim.fit(x, y, epochs=6, callbacks=[self.joslim], **arguments)
        uniform = slim.fit(x, y, epochs=6, **arguments)
        self.logs = [searched.history, uniform.history]
        self.after = slim.losses_at(self.ends, *self.calibration)

    def networks(self, count=1):
        """Extracted networks at random widths, and the widths."""
        space = self.slim.width_space
        for widths in space.sample(np.random.default_rng(0), count):
            yield kj.extract(self.slim, widths), widths


def parameters():
    """The architectures; the largest trains in slow tests only."""
    marks = {"backbone_u_net": (pytest.mark.slow,)}
    return [pytest.param(name, marks=marks.get(name, ())) for name in ARCHITECTURES]


@pytest.fixture(scope="module", params=parameters())
def trained(request):
    return Trained(request.param)


def test_losses_fall_for_the_full_and_for_the_smallest_network(trained):
    for logs in trained.logs:
        assert all(np.isfinite(values).all() for values in logs.values())
        assert {"loss", "smallest_loss"} < set(logs)
    full, smallest = trained.after / trained.before
    assert full < 0.75
    assert smallest < 0.95


def test_every_weight_is_trained(trained):
    slim = trained.slim
    trainable = {id(weight) for weight in slim.trainable_weights}
    same = [
        weight.path
        for weight, initial in zip(slim.weights, trained.initial, strict=True)
        if id(weight) in trainable and np.array_equal(weight.numpy(), initial)
    ]
    # A key's bias moves every score of a query alike, which softmax does not see.
    assert [path for path in same if not path.endswith("key/bias")] == []


def test_the_search_went_beyond_uniform_widths(trained):
    visited, space = trained.joslim.visited(), trained.slim.width_space
    assert len(visited) >= 6
    uniform = {tuple(space.uniform(m)) for m in np.linspace(0.25, 1, 200)}
    assert len({tuple(row) for row in visited.tolist()} - uniform) >= 2
    losses = trained.slim.losses_at(visited, *trained.calibration)
    assert np.isfinite(losses).all()


def test_extracted_networks_are_the_slimmable_one(trained):
    x = trained.calibration[0]
    for sub, widths in trained.networks():
        expected, found = arrays(trained.slim(x, widths)), arrays(sub(x))
        for path, value in expected.items():
            np.testing.assert_allclose(found[path], value, rtol=0, atol=1e-5 * np.abs(value).max())


def test_calibration_sets_the_statistics_and_nothing_else(trained):
    x = trained.built.x
    for sub, _ in trained.networks():
        before = {weight.path: weight.numpy() for weight in sub.weights}
        assert kj.calibrate_batch_norm(sub, [x]) is sub
        moved = [w.path for w in sub.weights if not np.array_equal(w.numpy(), before[w.path])]
        statistics = [path for path in before if "moving_" in path]
        assert sorted(moved) == sorted(statistics)
        # One batch: inference computes what the batch's own statistics give, dropout aside.
        if statistics and not any(isinstance(la, keras.layers.Dropout) for la in sub.layers):
            expected, found = arrays(sub(x, training=True)), arrays(sub(x, training=False))
            for path, value in expected.items():
                np.testing.assert_allclose(found[path], value, atol=1e-4)


def test_the_file_computes_what_keras_computes(trained):
    """Without Flex: `to_tflite` refuses those, so that every operator is the runtime's own."""
    x = trained.built.x
    for sub, _ in trained.networks():
        kj.calibrate_batch_norm(sub, [x])
        data = tflite.to_tflite(sub)
        difference = tflite.verify(data, sub, x[:12])
        assert difference.max_abs <= 1e-5 * max(1.0, difference.scale)
        # Outputs that differ from image to image, or a file of constants would do.
        assert all(np.ptp(value, axis=0).max() > 1e-2 for value in arrays(sub(x[:12])).values())
        found = collections.Counter(operators(data))
        for name in OPERATORS.get(sub.name.removeprefix("slimmable_").removesuffix("_sub"), ()):
            assert found[name], (name, dict(found))


# What a file of each kind has that those of image classifiers do not.
OPERATORS = {
    "u_net": ("TRANSPOSE_CONV", "CONCATENATION"),
    "backbone_u_net": ("TRANSPOSE_CONV", "CONCATENATION", "DEPTHWISE_CONV_2D"),
    "autoencoder": ("TRANSPOSE_CONV",),
    "vision_transformer": ("BATCH_MATMUL", "SOFTMAX"),
    "text_transformer": ("BATCH_MATMUL", "GATHER"),
}


@pytest.mark.parametrize(
    ("layer", "operation"),
    [
        (keras.layers.UpSampling2D(interpolation="bicubic"), "ResizeBicubic"),
        (keras.layers.Conv2DTranspose(6, 3, dilation_rate=2), "Conv2DBackpropInput"),
    ],
)
def test_what_the_runtime_cannot_do_is_named(layer, operation):
    """The network is narrowed all the same; only its export is refused."""
    inputs = keras.Input((8, 8, 1))
    x = layer(keras.layers.Conv2D(8, 3, name="a")(inputs))
    model = keras.Model(inputs, keras.layers.Conv2D(2, 1, name="head")(x))
    slim = kj.make_slimmable(model)
    sub = kj.extract(slim, slim.width_space.smallest)
    x = np.random.default_rng(0).normal(size=(2, 8, 8, 1)).astype("float32")
    np.testing.assert_allclose(sub(x), slim(x, slim.width_space.smallest), atol=1e-6)
    with pytest.raises(ValueError, match=f"no kernels for these operations .*: {operation}"):
        tflite.to_tflite(sub)


@pytest.mark.slow
def test_a_backbone_that_does_not_train_stays_as_it_is():
    """Kernels and statistics are held in `fit`; calibration gives narrow networks their own."""
    built = ARCHITECTURES["backbone_u_net"]()
    built.model.get_layer("backbone").trainable = False
    slim = kj.make_slimmable(built.model, min_width=0.25)
    paths = [weight.path for weight in slim.trainable_weights]
    assert len(paths) == len(built.model.trainable_weights) == 10
    before = {weight.path: weight.numpy() for weight in slim.weights}
    slim.compile(keras.optimizers.Adam(built.rate), **built.compile)
    logs = slim.fit(built.x, built.y, batch_size=8, epochs=4, verbose=0).history
    assert logs["loss"][-1] < logs["loss"][0]
    moved = {w.path for w in slim.weights if not np.array_equal(w.numpy(), before[w.path])}
    assert {path for path in moved if "moving_" not in path} == set(paths)
    statistics = {path for path in moved if "moving_" in path}
    assert statistics == {p for p in before if "moving_" in p and p.split("/")[-2].startswith("up")}
    sub = kj.extract(slim, slim.width_space.uniform(0.5))
    norm = sub.get_layer("bn_Conv1")
    old = norm.moving_mean.numpy()
    kj.calibrate_batch_norm(sub, [built.x])
    assert not np.array_equal(norm.moving_mean.numpy(), old)
    assert not norm.trainable
