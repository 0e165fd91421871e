"""What is set up otherwise for several workers: synchronized statistics, random numbers, input."""

import types

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_joslim as kj
from keras_joslim.distribution.input import distributed_batches
from keras_joslim.distribution.per_worker import draw_apart, synchronize_batch_norm
from keras_joslim.distribution.workers import OneWorker, is_multi_worker, workers_of
from keras_joslim.layers.all_reduce import refuse_shared_process, sum_over_replicas


def network():
    inputs = keras.Input((6, 6, 2))
    x = keras.layers.BatchNormalization()(keras.layers.Conv2D(4, 3)(inputs))
    x = keras.layers.Dropout(0.5, seed=7)(keras.layers.GlobalAveragePooling2D()(x))
    return keras.Model(inputs, keras.layers.Dense(3)(x))


def norms(model):
    kind = keras.layers.BatchNormalization
    return [layer for layer in model.layers if isinstance(layer, kind)]


def test_synchronized_batch_norm_stays_so_when_the_network_becomes_slimmable():
    model = network()
    synchronize_batch_norm(model)
    slim = kj.make_slimmable(model, 0.5)
    assert [norm.synchronized for norm in norms(slim.network)] == [True]
    plain = kj.make_slimmable(network(), 0.5)
    assert [norm.synchronized for norm in norms(plain.network)] == [False]
    # On one device it is what it is without: at any widths, in training too.
    slim.set_weights(plain.get_weights())
    images = np.random.default_rng(0).normal(3.0, 2.0, (8, 6, 6, 2)).astype("float32")
    for widths in (slim.width_space.full, slim.width_space.smallest):
        outputs = [
            model.network([tf.constant(images), tf.constant(widths)], batch_statistics=True)
            for model in (slim, plain)
        ]
        np.testing.assert_allclose(*outputs, rtol=1e-4, atol=1e-5)


def test_devices_of_one_process_cannot_wait_for_each_other():
    extended = types.SimpleNamespace(worker_devices=("/cpu:0", "/cpu:1"))
    strategy = types.SimpleNamespace(num_replicas_in_sync=4, extended=extended)
    with pytest.raises(ValueError, match="a worker of its own .* Received: 2 devices in one"):
        refuse_shared_process(strategy)
    extended.worker_devices = ("/cpu:0",)
    refuse_shared_process(strategy)


def test_alone_there_is_nothing_to_sum_or_to_tell():
    value = tf.constant([1.0, 2.0])
    assert sum_over_replicas(value) is value
    strategy = tf.distribute.get_strategy()
    assert not is_multi_worker(strategy)
    workers = workers_of(strategy)
    assert (workers.index, workers.count, workers.is_chief) == (0, 1, True)
    assert workers.from_chief(lambda: [3]) == [3]
    assert workers.gather("a") == ["a"]


def test_each_worker_draws_its_own_random_numbers_and_counts_alike():
    slim = kj.make_slimmable(network(), 0.5)
    images = np.random.default_rng(1).normal(size=(4, 6, 6, 2)).astype("float32")

    def outputs_of(index):
        worker = OneWorker()
        worker.index = index
        (generator,) = [g for layer in slim.network.layers for g in layer._seed_generators]
        generator.state.assign([7, 0])
        draw_apart(slim, worker)
        outputs = np.asarray(slim.network([images, slim.width_space.full], training=True))
        return outputs, np.asarray(generator.state).tolist()

    (first, state), (again, _), (second, other) = map(outputs_of, (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - second).max() > 1e-3
    assert (state, other) == ([7, 1], [8, 1])


def test_replicas_of_a_worker_divide_its_part():
    """As of the second of two workers with two devices each."""
    images = np.arange(96, dtype=np.float32).reshape(24, 2, 2, 1)
    stream = kj.datasets.Stream(images, np.arange(24), 8, seed=3)
    made = []

    class Strategy:
        num_replicas_in_sync = 4

        def distribute_datasets_from_function(self, function):
            made.append(function)

    distributed_batches(Strategy(), stream, step=1)
    context = types.SimpleNamespace(input_pipeline_id=1, num_input_pipelines=2)
    labels = [y for _, y in made[0](context).take(4).as_numpy_iterator()]
    whole = [y for _, y in stream.from_step(1).take(2).as_numpy_iterator()]
    assert [part.tolist() for part in labels] == [
        whole[0][4:6].tolist(),
        whole[0][6:8].tolist(),
        whole[1][4:6].tolist(),
        whole[1][6:8].tolist(),
    ]
    three = Strategy()
    three.num_replicas_in_sync = 3
    with pytest.raises(ValueError, match="among 3 devices"):
        distributed_batches(three, stream, 0)
