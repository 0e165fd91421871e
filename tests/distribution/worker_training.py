"""Trains a small network, as one of several workers or alone: a process for tests.

    python -m tests.distribution.worker_training OUTPUT CASE[,CASE...] [KILLED]

With TF_CONFIG in the environment it is a worker; worker 0 writes the arrays. At last, if it is
given, trains the case KILLED, in which worker 1 kills itself.
"""

import os
import signal
import sys

import keras
import numpy as np

import keras_joslim as kj
from keras_joslim.app.start import started
from keras_joslim.distribution.input import distributed_batches
from keras_joslim.distribution.per_worker import synchronize_batch_norm

STEPS = 9
BATCH = 12
TAU = 2


def network(norm):
    """Two convolutions and a dense layer; BatchNormalization if `norm`."""
    layers = keras.layers
    inputs = keras.Input((8, 8, 1), name="image")
    x = layers.Conv2D(6, 3, strides=2, name="stem")(inputs)
    if norm:
        x = layers.BatchNormalization(momentum=0.8, name="norm")(x)
    x = layers.Conv2D(8, 1, name="expand")(layers.ReLU()(x))
    x = layers.GlobalAveragePooling2D()(layers.ReLU()(x))
    return keras.Model(inputs, layers.Dense(10, name="head")(x))


class Record(keras.callbacks.Callback):
    """Widths and task losses of every step; kills its process after some, if it is to."""

    needs_task_losses = True

    def __init__(self, kill_after=None):
        super().__init__()
        self.rows, self.losses, self.kill_after = [], [], kill_after

    def on_train_batch_end(self, batch, logs=None):
        self.rows.append(self.model.training_widths)
        self.losses.append(self.model.task_losses)
        if len(self.rows) == self.kill_after:
            os.kill(os.getpid(), signal.SIGKILL)


def schedule_of(case, data):
    part = (data.validation.images[:48], data.validation.labels[:48])
    if case.startswith("joslim"):
        # Fewer than are visited at last: the others are carried along.
        options = {"recalibration": 8} if "part" in case else {}
        return kj.Joslim(part, tau=TAU, prior_points=3, seed=3, **options)
    if case.startswith("aows"):
        return kj.AdaptiveWidths(2500.0, STEPS, warmup=0.2, seed=4, hot=0.1)
    return kj.UniformWidths(seed=4)


def trained(case, kill_after=None, poisoned=False):
    """Trains a case.

    Args:
        case: a schedule, "joslim", "joslim_part", "aows" or "uniform", with "-sync" if the network
            is to have synchronized BatchNormalization.
        kill_after: steps after which the process kills itself.
        poisoned: whether an image is NaN.

    Returns:
        Arrays that must be as with one worker.
    """
    keras.utils.set_random_seed(1)
    data = kj.datasets.load("digits")
    images = np.array(data.train.images[:96])
    if poisoned:
        images[7] = np.nan
    augment = kj.datasets.crop_and_flip(1, False)
    stream = kj.datasets.Stream(images, data.train.labels[:96], BATCH, 5, augment)
    sync = case.endswith("-sync")
    model = network(sync)
    if sync:
        synchronize_batch_norm(model)
    slim = kj.make_slimmable(model, 0.3)
    slim.compile(
        keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        weight_decay=0.01,
    )
    schedule, record = schedule_of(case, data), Record(kill_after)
    logs = slim.fit(
        distributed_batches(slim.distribute_strategy, stream, 0),
        steps_per_epoch=STEPS,
        shuffle=False,
        verbose=0,
        callbacks=[schedule, record],
    ).history
    arrays = {f"weight {v.path}": np.asarray(v) for v in slim.network.weights}
    arrays |= {f"log {name}": np.array(values) for name, values in logs.items()}
    arrays |= {"widths": np.stack(record.rows), "losses": np.stack(record.losses)}
    if schedule.keeps_history:
        arrays["history widths"] = schedule.history.widths
        arrays["history losses"] = schedule.history.losses
    return {f"{case}: {name}": array for name, array in arrays.items()}


def main(output, cases, killed=None):
    name = "multi_worker" if "TF_CONFIG" in os.environ else "none"
    with started(name, {"cases": cases}, patience=400) as workers:
        arrays = {}
        for case in cases.split(","):
            if case == "poisoned":
                try:
                    trained("uniform", poisoned=True)
                except kj.NonFiniteLossError as error:
                    arrays |= {f"poisoned {i}": m for i, m in enumerate(workers.gather(str(error)))}
            else:
                arrays |= trained(case)
        if workers.is_chief:
            np.savez(output, **arrays)
        if killed:
            trained(killed, kill_after=4 if workers.index == 1 else None)


if __name__ == "__main__":
    main(*sys.argv[1:])
