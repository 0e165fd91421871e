"""Trains on one device or on two logical ones and writes the weights: a process for a test.

Logical devices are set before TensorFlow starts, hence a process of its own.

    python tests/replica_training.py CASE REPLICAS OUTPUT.npz
"""

import sys

import keras
import numpy as np
import tensorflow as tf

import keras_joslim as kj

STEPS = 5
HALF = 4


def network(case):
    layers = keras.layers
    inputs = keras.Input((6, 6, 2), name="image")
    x = layers.Conv2D(6, 3, name="stem")(inputs)
    if case not in ("plain", "parts"):
        x = layers.BatchNormalization(momentum=0.8, name="norm")(x)
    x = layers.ReLU()(x)
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(8, 1, name="expand")(x))
    if case == "dropout":
        x = layers.Dropout(0.3, seed=1)(x)
    return keras.Model(inputs, layers.Dense(3, activation="softmax", name="head")(x))


def batches(case, replicas):
    """Five batches of eight, the same on one device as on two.

    With BatchNormalization, whose statistics are each replica's own, both replicas
    get the same four images: so does one device, alone.
    """
    rng = np.random.default_rng(0)
    count = 2 * HALF if case in ("plain", "parts") else HALF
    x = rng.normal(size=(STEPS, count, 6, 6, 2)).astype("float32")
    y = rng.integers(0, 3, (STEPS, count))
    if case not in ("plain", "parts") and replicas == 2:
        x, y = np.concatenate([x, x], axis=1), np.concatenate([y, y], axis=1)
    return tf.data.Dataset.from_tensor_slices((x, y))


class Widths(kj.RandomWidths):
    """Random ones, the task losses of all networks kept."""

    needs_task_losses = True


class Record(keras.callbacks.Callback):
    """The training widths of every step, on every replica."""

    def __init__(self):
        super().__init__()
        self.rows, self.losses = [], []

    def on_train_batch_end(self, batch, logs=None):
        variable = self.model._run.training_widths
        local = tf.distribute.get_strategy().experimental_local_results(variable)
        local = getattr(variable, "values", local)
        self.rows.append(np.stack([v.numpy() for v in local]))
        self.losses.append(self.model.task_losses)


def main(case, replicas, output):
    cpu = tf.config.list_physical_devices("CPU")[0]
    logical = [tf.config.LogicalDeviceConfiguration()] * replicas
    tf.config.set_logical_device_configuration(cpu, logical)
    tf.config.threading.set_intra_op_parallelism_threads(1)
    keras.utils.set_random_seed(0)
    devices = [f"/cpu:{i}" for i in range(replicas)]
    strategy = tf.distribute.MirroredStrategy(devices)
    record = Record()
    with strategy.scope():
        slim = kj.make_slimmable(network(case), 0.25)
        slim.compile(
            keras.optimizers.SGD(0.2, momentum=0.9),
            "sparse_categorical_crossentropy",
            metrics=["accuracy"],
            weight_decay=0.05,
            accumulate=2 if case == "parts" else 1,
        )
        history = slim.fit(
            batches(case, replicas),
            shuffle=False,
            verbose=0,
            callbacks=[Widths(num_sampled=2, seed=2), record],
        ).history
    logs = {f"log_{key}": values for key, values in history.items()}
    weights = {f"weight_{v.path}": np.asarray(v) for v in slim.network.weights}
    np.savez(
        output,
        rows=np.stack(record.rows),
        log_task_losses=np.stack(record.losses),
        replicas=strategy.num_replicas_in_sync,
        step=keras.ops.convert_to_numpy(slim.optimizer.iterations),
        **weights,
        **logs,
    )


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
