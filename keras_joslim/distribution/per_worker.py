"""What is set up otherwise in a training by several workers."""

import keras
import numpy as np
import tensorflow as tf

from keras_joslim.layers.all_reduce import refuse_shared_process


def synchronize_batch_norm(network):
    """Lets BatchNormalization take its statistics over the images of all replicas.

    Args:
        network: a Keras model, not yet slimmable; it is changed.

    Raises:
        ValueError: the strategy in scope has several devices in this process.
    """
    refuse_shared_process(tf.distribute.get_strategy())
    for layer in network._flatten_layers(include_self=False):
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = True


def draw_apart(model, workers):
    """Gives each worker random numbers of its own, as for dropout; worker 0 keeps its.

    Call it when the model's state is that of worker 0: after its checkpoint has been read.

    Args:
        model: the `SlimmableModel`.
        workers: `OneWorker` or `Workers`.
    """
    for layer in model._flatten_layers(include_self=False):
        for generator in getattr(layer, "_seed_generators", ()):
            state = keras.ops.convert_to_numpy(generator.state)
            generator.state.assign(state + np.array([workers.index, 0], state.dtype))
