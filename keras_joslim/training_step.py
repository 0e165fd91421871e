"""One optimizer step on one batch, over all networks of the sandwich."""

import keras
import tensorflow as tf

from keras_joslim import sandwich
from keras_joslim.gradient_accumulation import accumulated_passes


def sandwich_step(model, state, x, y, sample_weight):
    """Trains the full network and the narrow ones of the step's row, and notes their losses.

    Args:
        model: the compiled `SlimmableModel`.
        state: its `RunState`.
        x, y, sample_weight: the batch.
    """
    # Before the optimizer moves it on.
    step = tf.cast(model.optimizer.iterations, tf.int64)
    networks, keep = state.networks(step), state.keeps_losses.read_value()
    run = accumulated_passes if model.accumulate > 1 else sandwich.passes
    done = run(model, x, y, sample_weight, networks, keep)
    batch = tf.shape(next(v for v in keras.tree.flatten(x) if v is not None))[0]
    model._loss_tracker.update_state(done.loss, sample_weight=batch)
    last_loss = tf.where(tf.shape(networks)[0] > 1, done.task_losses[-1], done.loss)
    model.smallest_loss_tracker.update_state(last_loss, sample_weight=batch)
    state.note_non_finite(step, done.bad_row)
    state.keep_losses(step, done.task_losses)
    gradients = sandwich.decayed(model, done.gradients)
    model.optimizer.apply_gradients(zip(gradients, model.trainable_weights))
