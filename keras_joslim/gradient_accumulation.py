"""A large batch in a small memory: run in parts, one optimizer step."""

import keras
import tensorflow as tf

from keras_joslim.sandwich import Passes, passes

_MEANS = ("sum_over_batch_size", "mean")


def accumulated_passes(model, x, y, sample_weight, networks, keep):
    """The passes of a batch, run in `model.accumulate` parts of it.

    Each part goes through all networks of the step, the same ones, before the next begins; losses
    and gradients are averaged over the parts, weighted by their sizes. So the optimizer, its
    learning rate, the widths, the step number and the data position are those of the large batch,
    and gradients are its to float32's rounding. (`gradient_accumulation_steps` of a Keras optimizer
    counts every part as an iteration, and trains each by widths of its own.)

    Two things are not the large batch's: BatchNormalization normalises each part by its own
    statistics, of which the moving ones take in the first part's; and a loss that divides by what
    is valid of a batch (masks, ignored classes) weighs the parts alike.

    A batch that does not divide has a smaller last part.

    Args: as of `passes`.

    Returns:
        `Passes`.

    Raises:
        ValueError: a loss that is no mean over the examples.
    """
    data = (x, y, sample_weight)
    sizes = [v.shape[0] for v in keras.tree.flatten(x) if v is not None]
    static = sizes[0] is not None and sizes[0] % model.accumulate == 0
    count = tf.shape(next(v for v in keras.tree.flatten(x) if v is not None))[0]
    size = sizes[0] // model.accumulate if static else -(-count // model.accumulate)

    def part(i):
        """The arrays of a part, and its share of the batch."""

        def cut(v):
            rows = v[i * size : tf.minimum((i + 1) * size, count)]
            # Layers may want to know the batch size.
            return tf.ensure_shape(rows, (size, *v.shape[1:])) if static else rows

        number = tf.minimum((i + 1) * size, count) - i * size
        share = tf.cast(number, tf.float32) / tf.cast(count, tf.float32)
        return keras.tree.map_structure(lambda v: None if v is None else cut(v), data), share

    def weighted(done, share):
        return Passes(
            [gradient * tf.cast(share, gradient.dtype) for gradient in done.gradients],
            done.loss * tf.cast(share, done.loss.dtype),
            done.task_losses * tf.cast(share, done.task_losses.dtype),
            done.bad_row,
        )

    def body(i, total):
        arrays, share = part(i)
        more = weighted(passes(model, *arrays, networks, keep, update_statistics=False), share)
        sums = [[a + b for a, b in zip(total.gradients, more.gradients)]]
        sums += [total.loss + more.loss, total.task_losses + more.task_losses]
        return i + 1, Passes(*sums, tf.where(total.bad_row >= 0, total.bad_row, more.bad_row))

    # The first part by itself: several replicas agree on moving statistics there, which TensorFlow
    # does not let them do inside a loop.
    arrays, share = part(0)
    first = weighted(passes(model, *arrays, networks, keep), share)
    # Keras knows the losses of the outputs when it has computed them once.
    _refuse_sums(model)
    # Without this the second part runs forwards while the first one is not done with.
    with tf.control_dependencies([*first.gradients, first.task_losses]):
        second = tf.identity(1)
    _, total = tf.while_loop(
        lambda i, _: i * size < count, body, (second, first), parallel_iterations=1
    )
    return total


def _refuse_sums(model):
    """Gradients of parts make up that of the batch where its loss is the mean of theirs."""
    for entry in model._compile_loss._flat_losses:
        reduction = getattr(entry.loss, "reduction", None)
        if reduction not in _MEANS:
            raise ValueError(
                "A batch is run in parts where its loss is a mean over the examples. Received: "
                f"accumulate={model.accumulate} with loss {entry.loss.name!r} of "
                f"reduction={reduction!r}. Take the reduction 'sum_over_batch_size', or "
                "accumulate=1."
            )
