"""In-place distillation: which loss a narrow network has against the full one's output.

Per output, from the compiled task loss (Yu and Huang, US-Net, ICCV 2019, section
3.3): cross-entropies become soft cross-entropies against the full network's
detached probabilities, regression losses are taken to its detached output. No
temperature, no smoothing of the soft targets.
"""

import keras
from keras import ops

_CATEGORICAL = (
    keras.losses.categorical_crossentropy,
    keras.losses.sparse_categorical_crossentropy,
)
_SAME = (
    keras.losses.mean_squared_error,
    keras.losses.mean_absolute_error,
    keras.losses.huber,
)


class SoftTargets(keras.losses.Loss):
    """A task loss with the full network's output in the place of the labels.

    Args:
        hard: the task loss it stands for; `reduction` and `dtype` are taken over.
        fn: `fn(soft targets, output, **options) -> loss per position`.
        to_targets: makes soft targets from the full network's output.
        ignore_class: label of positions that do not count, or `None`.
        **options: passed to `fn`.

    Call arguments:
        targets: dict of `output`, the full network's, and `labels`.
        y_pred: the narrow network's output.
    """

    def __init__(self, hard, fn, to_targets=None, ignore_class=None, **options):
        super().__init__(f"soft_{hard.name}", reduction=hard.reduction, dtype=hard.dtype)
        self._fn = fn
        self._to_targets = to_targets
        self._ignore_class = ignore_class
        self._options = options

    def call(self, targets, y_pred):
        soft = ops.stop_gradient(targets["output"])
        if self._to_targets is not None:
            soft = self._to_targets(soft)
        losses = self._fn(soft, y_pred, **self._options)
        if self._ignore_class is not None:
            labels = targets["labels"]
            if len(labels.shape) > len(losses.shape):
                labels = ops.squeeze(labels, -1)
            valid = ops.not_equal(labels, ops.cast(self._ignore_class, labels.dtype))
            losses = ops.where(valid, losses, ops.zeros_like(losses))
            # The way in which Keras's own losses tell the reduction what counts.
            losses._keras_mask = valid
        return losses


class _UserLoss(keras.losses.Loss):
    """A loss of the user's own, given for an output the table does not know."""

    def __init__(self, loss, hard):
        if not isinstance(loss, keras.losses.Loss):
            loss = keras.losses.get(loss)
        reduction = getattr(loss, "reduction", hard.reduction)
        super().__init__(f"soft_{hard.name}", reduction=reduction, dtype=hard.dtype)
        self._loss = loss

    def call(self, targets, y_pred):
        soft = ops.stop_gradient(targets["output"])
        call = self._loss.call if isinstance(self._loss, keras.losses.Loss) else self._loss
        return call(soft, y_pred)


def soft_loss(hard, output, own=None):
    """The distillation loss that goes with a compiled task loss.

    Args:
        hard: the task loss (`keras.losses.Loss`) of one output.
        output: name of the output, for the error.
        own: the user's own distillation loss for it, `None` for the table's.

    Returns:
        A `keras.losses.Loss` called with `({"output", "labels"}, y_pred, weights)`.

    Raises:
        ValueError: the table knows no distillation loss for `hard`.
    """
    if own is not None:
        return _UserLoss(own, hard)
    fn = getattr(hard, "fn", None)
    options = dict(getattr(hard, "_fn_kwargs", {}))
    if fn in _CATEGORICAL:
        from_logits, axis = options.get("from_logits", False), options.get("axis", -1)
        return SoftTargets(
            hard,
            keras.losses.categorical_crossentropy,
            to_targets=(lambda x: ops.softmax(x, axis=axis)) if from_logits else None,
            ignore_class=options.get("ignore_class"),
            from_logits=from_logits,
            axis=axis,
        )
    if fn is keras.losses.binary_crossentropy:
        from_logits, axis = options.get("from_logits", False), options.get("axis", -1)
        to_targets = ops.sigmoid if from_logits else None
        return SoftTargets(hard, fn, to_targets, from_logits=from_logits, axis=axis)
    if fn in _SAME:
        return SoftTargets(hard, fn, **options)
    raise ValueError(
        f"No distillation loss is known for output {output!r} with loss {hard.name!r} "
        f"({type(hard).__name__}). Give one: `compile(..., distillation={{{output!r}: loss}})`, "
        "called as `loss(output of the full network, output of the narrow one)`."
    )
