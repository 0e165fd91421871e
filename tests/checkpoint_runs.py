"""A small run with checkpoints, and what stops it: shared by the tests of checkpoints."""

import keras
import numpy as np

import keras_joslim as kj
from keras_joslim.checkpoint import Checkpoint

EPOCHS = 3


class Stopped(Exception):  # noqa: N818 - not an error, a kill
    pass


class KillAfter(keras.callbacks.Callback):
    """Stops the process's training as a kill would: at once, nothing is called after it."""

    def __init__(self, batches):
        super().__init__()
        self.left = batches

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if self.left == 0:
            raise Stopped


class KillAtEpochEnd(keras.callbacks.Callback):
    """The same between the last step of an epoch and what is done at its end."""

    def on_epoch_end(self, epoch, logs=None):
        raise Stopped


def small_model(make_optimizer=lambda: keras.optimizers.Adam(1e-2), **options):
    """A network with dropout and BatchNormalization, compiled."""
    inputs = keras.Input((8, 8, 1))
    x = keras.layers.Conv2D(6, 3, strides=2, name="conv")(inputs)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.ReLU()(x)
    x = keras.layers.Dropout(0.2, seed=5)(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, keras.layers.Dense(10)(x))
    slim = kj.make_slimmable(model, min_width=0.3)
    slim.compile(
        make_optimizer(),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        **options,
    )
    return slim


def run(
    directory,
    make_schedule,
    kill_after=None,
    every_steps=3,
    extra=(),
    steps=7,
    keep=None,
    **options,
):
    """Trains the small network for three epochs of seven steps.

    `keep` are further arguments of the `Checkpoint`, `options` those of `small_model`.
    """
    keras.utils.set_random_seed(1)
    data = kj.datasets.load("digits")
    part = slice(32 * steps)
    stream = kj.datasets.Stream(data.train.images[part], data.train.labels[part], 32, seed=3)
    slim, schedule = small_model(**options), make_schedule(data)
    checkpoint = Checkpoint(directory, slim, schedule, every_steps=every_steps, **(keep or {}))
    extra = [KillAfter(kill_after)] if kill_after else extra
    while checkpoint.step < EPOCHS * stream.steps_per_epoch:
        slim.fit(
            stream.from_step(checkpoint.step),
            callbacks=[schedule, *extra, checkpoint],
            verbose=0,
            shuffle=False,
            **checkpoint.rest_of_run(EPOCHS, stream.steps_per_epoch),
        )
    return slim, schedule, checkpoint


SCHEDULES = {
    "joslim": lambda data: kj.Joslim(
        (data.validation.images[:64], data.validation.labels[:64]), tau=2, prior_points=3
    ),
    "uniform": lambda data: kj.UniformWidths(seed=4),
    # The budget is all that the network may cost: draws are by scores from the third step on.
    "adaptive": lambda data: kj.AdaptiveWidths(1e6, 21, warmup=0.1, seed=4, hot=0.1),
}


def assert_same_bits(slim, other):
    """Weights, statistics, seeds and optimizer of two models."""
    for of in (slim, slim.optimizer):
        theirs = other if of is slim else other.optimizer
        for a, b in zip(of.variables, theirs.variables, strict=True):
            np.testing.assert_array_equal(a.numpy(), b.numpy(), err_msg=a.path)
