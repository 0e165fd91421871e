"""Keras losses as plain data, for the process that fine-tunes without Keras 3."""

import inspect

# What each kind computes stands in `training.task_loss`. Their distillation losses are those
# of `keras_joslim.distillation`.
_KINDS = (
    "categorical_crossentropy",
    "sparse_categorical_crossentropy",
    "binary_crossentropy",
    "mean_squared_error",
    "mean_absolute_error",
    "huber",
)
_FIELDS = ("from_logits", "label_smoothing", "delta")


def loss_specs(loss, names):
    """What `training.task_loss` takes for each output.

    Args:
        loss: a `keras.losses.Loss` or its name; a dict by output name for several outputs.
        names: list of the outputs' names.

    Returns:
        A list of dicts with `kind` and the options that the kind has.

    Raises:
        ValueError: a loss that is not known, or not with these options; an output without one.
    """
    if not isinstance(loss, dict):
        if len(names) > 1:
            raise ValueError(
                f"Expected loss as a dict with the keys {names}. Received: loss={loss!r}"
            )
        loss = {names[0]: loss}
    if set(loss) != set(names):
        raise ValueError(f"Expected losses for {names}. Received: losses for {list(loss)}")
    return [loss_spec(loss[name], name) for name in names]


def loss_spec(loss, name):
    """What `training.task_loss` takes for one output.

    Args:
        loss: as for `loss_specs`.
        name: of the output, for messages.
    """
    import keras

    given = loss
    if not isinstance(loss, keras.losses.Loss):
        loss = keras.losses.get(loss)
    function = getattr(loss, "fn", loss)
    kind = next((kind for kind in _KINDS if function is getattr(keras.losses, kind)), None)
    if kind is None:
        raise ValueError(
            f"Expected a loss out of {list(_KINDS)} for output {name!r}. Received: loss={given!r}"
        )
    options = {
        option: parameter.default
        for option, parameter in inspect.signature(function).parameters.items()
        if parameter.default is not inspect.Parameter.empty
    }
    options |= getattr(loss, "_fn_kwargs", {})
    if options.get("ignore_class") is not None or options.get("axis", -1) != -1:
        raise ValueError(
            f"Expected a loss over the last axis that ignores no class, for output {name!r}. "
            f"Received: ignore_class={options.get('ignore_class')}, axis={options.get('axis')}"
        )
    return {"kind": kind, **{field: options[field] for field in _FIELDS if field in options}}
