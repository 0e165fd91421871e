"""What a training run keeps beside the weights: the networks to train and what came of them."""

import time

import keras
import numpy as np
import tensorflow as tf

from keras_joslim.schedules.schedule import NonFiniteLossError


class RunState:
    """Variables of a run; not weights, so the original's weight files load.

    The leading sizes of the widths may change between executions without a new trace. Under a
    distribution strategy every replica has the same values.

    Args:
        space: the model's `WidthSpace`.

    Attributes:
        training_widths: tensor-like int32 `(steps, networks, groups)` variable; step `i` of a run
            trains row `i % steps`.
        keeps_losses: bool variable: whether task losses of all networks are kept.
        task_losses: float32 `(steps, networks)` variable, rows as in `training_widths`.
        input_ready: float64 variable, the time (as `time.time()`) when a batch was there, the
            first one since the widths were set.
    """

    def __init__(self, space):
        self._full = space.full
        rows = np.stack([space.full, space.smallest])[None]
        with keras.src.utils.tracking.DotNotTrackScope():
            first = tf.VariableAggregation.ONLY_FIRST_REPLICA
            self.training_widths = _variable(
                rows, tf.int32, (None, None, len(space)), "training_widths", first
            )
            # (step, row) of the first loss that was not finite, -1 while all are.
            self._non_finite = _variable([-1, -1], tf.int64, (2,), "non_finite", first)
            self.keeps_losses = _variable(False, tf.bool, (), "keeps_losses", first)
            # Each replica has the losses of its part of the batch.
            self.task_losses = _variable(
                np.full(rows.shape[:2], np.nan),
                tf.float32,
                (None, None),
                "task_losses",
                tf.VariableAggregation.MEAN,
            )
            self.input_ready = _variable(0.0, tf.float64, (), "input_ready", first)
        self._shape = rows.shape[:2]

    # -- between steps -------------------------------------------------------

    def begin(self, keeps_losses):
        """Made ready for a `fit`; `keeps_losses` says whether its schedule wants task losses."""
        self._non_finite.assign([-1, -1])
        self.keeps_losses.assign(keeps_losses)

    def set_widths(self, rows):
        """Gives the steps to come their networks.

        Raises:
            ValueError: rows of another shape, or without the full network first.
        """
        rows = np.asarray(rows, np.int32)
        full = self._full
        if rows.ndim != 3 or rows.shape[2:] != full.shape or not (rows[:, 0] == full).all():
            raise ValueError(
                "`training_widths` has the shape (steps, networks, groups), the full network "
                f"first. Received: shape={rows.shape} for {len(full)} groups"
            )
        self.training_widths.assign(rows)
        self.input_ready.assign(0.0)
        if rows.shape[:2] != self._shape:
            self._shape = rows.shape[:2]
            self.task_losses.assign(np.full(self._shape, np.nan, np.float32))

    def raise_if_non_finite(self):
        """Stops a run in which a loss became NaN or infinite.

        Raises:
            NonFiniteLossError: naming the step, the network and its widths.
        """
        step, row = (int(v) for v in self._non_finite.numpy())
        if step >= 0:
            rows = self.training_widths.numpy()
            raise NonFiniteLossError(step, row, rows[step % len(rows)][row].tolist())

    # -- inside a step -------------------------------------------------------

    def networks(self, step):
        """The networks of a step: int32 `(networks, groups)`."""
        rows = self.training_widths.read_value()
        return rows[self._row(step, rows)]

    def note_input(self, batch):
        """Notes when a batch was there, the first one since the widths were set.

        Where task losses are kept, for both are what a run is watched by.

        Args:
            batch: structure of tensors.
        """
        seen, watched = self.input_ready.read_value(), self.keeps_losses.read_value()
        with tf.control_dependencies([t for t in keras.tree.flatten(batch) if t is not None]):
            # Not `tf.timestamp`, which a deterministic run refuses.
            now = tf.cond(
                watched & (seen == 0),
                lambda: tf.numpy_function(_now, [], tf.float64),
                lambda: seen,
            )
        self.input_ready.assign(now)

    def note_non_finite(self, step, bad_row):
        """Notes the first network whose loss was not finite.

        Args:
            step: int scalar, the optimizer step.
            bad_row: int32, the row of the first network of it whose loss was not finite, or -1.
        """
        bad_row = _of_all_replicas(bad_row, tf.shape(self.training_widths.read_value())[1])
        now = tf.stack([tf.cast(step, tf.int64), tf.cast(bad_row, tf.int64)])
        seen = self._non_finite.read_value()
        self._non_finite.assign(tf.where((bad_row >= 0) & (seen[0] < 0), now, seen))

    def keep_losses(self, step, losses):
        """Keeps the task losses of a step's networks, `(networks,)`; NaN where not wanted."""
        kept = self.task_losses.read_value()
        row = self._row(step, kept)
        losses = tf.cast(losses, tf.float32)[None]
        self.task_losses.assign(tf.tensor_scatter_nd_update(kept, [[row]], losses))

    def _row(self, step, rows):
        return tf.math.floormod(tf.cast(step, tf.int32), tf.shape(rows)[0])


def _of_all_replicas(bad_row, networks):
    """The first bad row that any replica has, on all of them: they stop together."""
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync == 1:
        return bad_row
    bad = context.all_reduce(tf.distribute.ReduceOp.SUM, tf.one_hot(bad_row, networks)) > 0
    return tf.where(tf.reduce_any(bad), tf.argmax(bad, output_type=tf.int32), -1)


def _now():
    # Run eagerly, TensorFlow makes a float32 of a float.
    return np.float64(time.time())


def _variable(value, dtype, shape, name, aggregation):
    return tf.Variable(
        tf.constant(value, dtype),
        trainable=False,
        shape=shape,
        aggregation=aggregation,
        name=name,
    )
