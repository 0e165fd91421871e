"""Held-out data that widths are chosen by: what it must be, and what is said where it is not."""

import keras
import tensorflow as tf

# What begins the lines of an error that say where it was found rather than what it is.
_WHERE = ("Graph execution error", "Exception encountered", "Detected at node", "File ", "[[", "{{")


def checked_calibration_data(data):
    """`(x, y)` or `(x, y, sample_weight)` as a tuple.

    Raises:
        ValueError: something else, or images and labels of different lengths.
    """
    if not isinstance(data, (tuple, list)) or len(data) not in (2, 3):
        raise ValueError(
            "`calibration_data` is a batch held out from training, (x, y) or "
            f"(x, y, sample_weight). Received: {type(data).__name__}"
        )
    lengths = {len(a) for a in keras.tree.flatten(tuple(data)) if a is not None}
    if len(lengths) != 1 or 0 in lengths:
        raise ValueError(
            "`calibration_data` must have as many labels as images, and one or more. "
            f"Received: lengths {sorted(lengths)}"
        )
    return tuple(data)


def refuse_unfit_data(model, data):
    """Measures the full and the smallest network, for what is said if that fails.

    Args:
        model: the compiled `SlimmableModel`.
        data: what `checked_calibration_data` gave.

    Returns:
        Losses of the two ends, float64 `(2,)`.

    Raises:
        ValueError: the data does not fit the model.
    """
    space = model.width_space
    try:
        return model.losses_at([space.full, space.smallest], *data)
    except (ValueError, TypeError, tf.errors.OpError) as error:
        raise ValueError(f"`calibration_data` does not fit the model: {_gist(error)}") from error


def _gist(error):
    """The first line of a message that says what is wrong."""
    lines = [line.strip() for line in str(error).splitlines()]
    telling = [line for line in lines if line and not line.startswith(_WHERE)]
    return (telling or lines or [type(error).__name__])[0]
