"""The compiled losses, output by output, apart from Keras's own loss metrics."""

import keras
import numpy as np
from keras import ops, tree

from keras_joslim.distillation import soft_loss


class TaskLosses:
    """Task losses of a compiled model.

    Args:
        compiled: the model's Keras `CompileLoss`, built.
    """

    def __init__(self, compiled):
        self._compiled = compiled

    def describe(self):
        """What the losses are, output by output: a list of JSON values."""
        return [
            [str(e.name), type(e.loss).__name__, repr(e.loss.get_config()), repr(e.loss_weights)]
            for e in self._compiled._flat_losses
        ]

    @property
    def dtype(self):
        """The dtype in which losses are summed."""
        return self._compiled.dtype

    def task(self, y, y_pred, sample_weight=None):
        """The weighted sum of the task losses, a scalar; no metric is touched."""
        outputs, labels = self._outputs(y_pred), self._labels(y)
        return self._sum(
            lambda e, _: e.loss(
                _at(e.path, labels), _at(e.path, outputs), _weight(e, sample_weight)
            )
        )

    def per_example(self, y, y_pred):
        """The weighted sum of the task losses of each example alone, numpy `(batch,)`."""
        outputs, labels = self._outputs(y_pred), self._labels(y)
        total = 0.0
        for entry in self._compiled._flat_losses:
            values = _each(entry.loss, _at(entry.path, labels), _at(entry.path, outputs))
            total = total + values * (1.0 if entry.loss_weights is None else entry.loss_weights)
        return total

    def _sum(self, value):
        total = 0.0
        for position, entry in enumerate(self._compiled._flat_losses):
            loss = ops.cast(value(entry, position), self._compiled.dtype)
            total = total + (loss if entry.loss_weights is None else loss * entry.loss_weights)
        return total

    def _outputs(self, y_pred):
        structure = self._compiled._y_pred_build_structure
        return tree.pack_sequence_as(structure, tree.flatten(y_pred))

    def _labels(self, y):
        structure = self._compiled._y_true_build_structure
        flat, wanted = tree.flatten(y), tree.flatten(structure)
        if len(flat) != len(wanted):
            # Labels only for the outputs that have a loss.
            values = iter(flat)
            used = {entry.path[-1] for entry in self._compiled._flat_losses}
            flat = [next(values) if i in used else None for i in range(len(wanted))]
        return tree.pack_sequence_as(structure, flat)


class LossesPerOutput(TaskLosses):
    """Task and distillation losses of a compiled model.

    Args:
        compiled: the model's Keras `CompileLoss`, built.
        distillation: the user's own distillation losses: a dict by output name,
            or one loss for a model with one output, or `None`.

    Raises:
        ValueError: an output without a distillation loss, a name that is no output.
    """

    def __init__(self, compiled, distillation=None):
        super().__init__(compiled)
        entries = compiled._flat_losses
        if not entries:
            raise ValueError(
                "The model was compiled without a loss, so there is nothing to distil. "
                "Use `compile(optimizer, loss=...)`."
            )
        own = _by_output(distillation, [entry.name for entry in entries])
        self._soft = [soft_loss(e.loss, e.name, own.get(e.name)) for e in entries]

    def soft(self, y, y_pred, targets, sample_weight=None):
        """The weighted sum of the distillation losses against `targets`, a scalar."""
        outputs, full, labels = self._outputs(y_pred), self._outputs(targets), self._labels(y)

        def value(entry, position):
            pair = {"output": _at(entry.path, full), "labels": _at(entry.path, labels)}
            weight = _weight(entry, sample_weight)
            return self._soft[position](pair, _at(entry.path, outputs), weight)

        return self._sum(value)


def _each(loss, y_true, y_pred):
    """A loss of each example, numpy `(batch,)`; where it is a mean over positions, their mean."""
    masks = [getattr(y_pred, "_keras_mask", None)]
    y_true, y_pred = (ops.convert_to_tensor(v, dtype=loss.dtype) for v in (y_true, y_pred))
    values = loss.call(y_true, y_pred)
    masks.append(getattr(values, "_keras_mask", None))
    if len(values.shape) == 0:
        # Some losses, such as Dice, have one value for all the examples that they are given.
        values = ops.stack(
            [loss.call(y_true[i : i + 1], y_pred[i : i + 1]) for i in range(len(y_pred))]
        )
    values = np.asarray(ops.convert_to_numpy(values), np.float64).reshape(len(y_pred), -1)
    valid = np.ones(values.shape)
    for mask in masks:
        # Positions that are masked, or of an ignored class, are no part of a mean.
        if mask is not None and np.size(mask) == values.size:
            valid *= np.reshape(ops.convert_to_numpy(mask), values.shape)
    return (values * valid).sum(axis=1) / max(valid.sum() / len(values), 1e-12)


def _by_output(distillation, names):
    if distillation is None:
        return {}
    if not isinstance(distillation, dict):
        if len(names) > 1:
            raise ValueError(
                f"The model has several outputs with a loss ({names}): give `distillation` as a "
                f"dict by output name. Received: distillation={distillation!r}"
            )
        return {names[0]: distillation}
    unknown = sorted(set(distillation) - set(names))
    if unknown:
        raise ValueError(
            f"`distillation` names outputs that have no loss: {unknown}. Outputs: {names}"
        )
    return distillation


def _at(path, structure):
    for key in path:
        structure = structure[key]
    return structure


def _weight(entry, sample_weight):
    nested = sample_weight is not None and keras.tree.is_nested(sample_weight)
    return _at(entry.path, sample_weight) if nested else sample_weight
