"""Steps that a scaled loss skips: some are normal, all of them are the end of a training."""

import keras

# Keras begins at 2 ** 15, and halves the scale at each step that it skips.
_LEAST_SCALE = 2.0**-24


def refuse_vanished_scale(optimizer):
    """Stops a run of mixed precision in which no step is taken any more.

    A `LossScaleOptimizer` skips a step whose gradients are not finite and halves the scale. Where
    gradients are not finite at any scale the weights stay as they are for ever, in silence.

    Raises:
        ArithmeticError: the scale has fallen to nothing.
    """
    scale = getattr(optimizer, "dynamic_scale", None)
    if scale is None:
        return
    value = float(keras.ops.convert_to_numpy(scale))
    if value < _LEAST_SCALE:
        step = int(keras.ops.convert_to_numpy(optimizer.iterations))
        raise ArithmeticError(
            f"Gradients are not finite at any scale of the loss: all attempts at step {step} were "
            f"skipped until the scale was {value:.3g}. Look at the data and the loss, lower the "
            "learning rate, or train in float32."
        )
