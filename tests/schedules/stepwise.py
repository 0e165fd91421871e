"""A small network trained step by step, and what it trained: shared by tests of schedules."""

import keras

import keras_joslim as kj
from tests.sandwich_recursion import images


def dense_slim(steps_per_execution=1, eager=True):
    """Two slimmable dense layers, a BatchNormalization between them; always the same weights."""
    keras.utils.set_random_seed(1)
    inputs = keras.Input((6, 6, 2))
    x = keras.layers.Dense(12, name="a")(keras.layers.Flatten()(inputs))
    x = keras.layers.ReLU()(keras.layers.BatchNormalization(name="norm")(x))
    x = keras.layers.Dense(10, activation="relu", name="b")(x)
    outputs = keras.layers.Dense(3, activation="softmax", name="head")(x)
    slim = kj.make_slimmable(keras.Model(inputs, outputs), 0.25)
    slim.compile(
        keras.optimizers.SGD(0.1, momentum=0.9),
        "sparse_categorical_crossentropy",
        steps_per_execution=steps_per_execution,
        run_eagerly=eager,
    )
    return slim


class Record(keras.callbacks.Callback):
    """The sandwich of every step."""

    def __init__(self):
        super().__init__()
        self.rows = []

    def on_train_batch_begin(self, batch, logs=None):
        step, rows = int(self.model.optimizer.iterations), self.model.training_widths
        self.rows += [rows[i % len(rows)] for i in range(step, step + len(rows))]


def train(slim, schedule, steps, record=None):
    """Goes on from the model's own step; data are a function of the step."""
    x, y = images(64)
    start = int(slim.optimizer.iterations)
    part = slice(4 * start, 4 * (start + steps))
    callbacks = [schedule, record or Record()]
    slim.fit(x[part], y[part], batch_size=4, shuffle=False, verbose=0, callbacks=callbacks)
