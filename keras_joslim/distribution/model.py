"""A Keras model that `fit` trains on several machines."""

import keras
import tensorflow as tf

from keras_joslim.distribution.workers import is_multi_worker, workers_of


class DistributedModel(keras.Model):
    """Mends what Keras's trainer does not do under `MultiWorkerMirroredStrategy`.

    Keras 3.15 builds metrics and losses from a mean over the workers' first batches, which
    integers do not have, and averages a step's logs along an axis, which scalars do not have.
    """

    @property
    def workers(self):
        """Who trains the model: `distribution.workers.Workers`, or `OneWorker`."""
        return workers_of(self.distribute_strategy)

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        strategy = self.distribute_strategy
        if iterator is not None and is_multi_worker(strategy):
            _, _, batches = next(iter(iterator))
            local = strategy.experimental_local_results
            data_batch = keras.tree.map_structure(lambda v: local(v)[0], next(batches))
            iterator = None
        super()._maybe_symbolic_build(iterator, data_batch)

    def _make_function(self, step_function):
        if not is_multi_worker(self.distribute_strategy):
            return super()._make_function(step_function)

        def step(data):
            return {name: tf.reshape(v, (1,)) for name, v in step_function(data).items()}

        return super()._make_function(step)
