"""Judging a sub-network on data: loss, metrics, and how sure the loss is."""

import collections.abc
import functools
import hashlib
import json

import keras
import numpy as np

from keras_joslim.losses_per_output import TaskLosses

# Examples that are judged at a time.
JUDGED_TOGETHER = 256


def batches_of(data, batch_size=JUDGED_TOGETHER):
    """Iterates `(x, y, sample_weight)` batches of arrays or of a dataset of batches.

    Args:
        data: a tuple `(x, y)` or `(x, y, sample_weight)` of arrays (or structures of
            them), or a dataset or list of such batches.
        batch_size: for arrays.

    Raises:
        ValueError: arrays of different lengths, or no labels.
    """
    if hasattr(data, "shape"):
        raise ValueError("Expected data with labels, (x, y). Received: one array.")
    if not isinstance(data, tuple):
        for batch in data:
            yield keras.utils.unpack_x_y_sample_weight(batch)
        return
    x, y, weight = keras.utils.unpack_x_y_sample_weight(data)
    if y is None:
        raise ValueError("Expected data with labels, (x, y) or (x, y, sample_weight).")
    lengths = {len(a) for a in keras.tree.flatten((x, y, weight)) if a is not None}
    if len(lengths) != 1:
        raise ValueError(f"Images and labels must be of one length. Received: {sorted(lengths)}")
    for start in range(0, lengths.pop(), batch_size):
        part = slice(start, start + batch_size)
        arrays = (x, y, weight)
        yield keras.tree.map_structure(lambda a, p=part: None if a is None else a[p], arrays)


class Judge:
    """Measures task loss and metrics of networks that share one compiled model.

    Regularisers are no part of the loss here: it is what a deployed file can be
    measured by as well.

    Args:
        model: the compiled `SlimmableModel`, or any compiled `keras.Model`, built.
        data: see `batches_of`. What can be iterated again (a `tf.data.Dataset`) is, for each
            network, and must give the same batches: so images of files are never all in memory.
            An iterator is read once and kept.

    Example:

    >>> judge = Judge(model, (images, labels))
    >>> judge.measure(lambda x: model(x, training=False))
    {'loss': 0.093, 'loss_se': 0.014, 'accuracy': 0.975}
    """

    def __init__(self, model, data):
        # An iterator would be at its end after one network.
        self._data = list(data) if isinstance(data, collections.abc.Iterator) else data
        first = next(batches_of(self._data), None)
        if first is None:
            raise ValueError("There is no data to measure on: the dataset is empty.")
        if not model.compiled:
            raise ValueError(
                f"Model {model.name!r} is not compiled, so its loss is unknown. Call "
                "`compile(optimizer, loss, metrics)` first."
            )
        self._model = model
        if hasattr(model, "losses_per_output"):
            self._losses = model.losses_per_output(first)
        else:
            self._losses = _task_losses(model, first)

    @property
    def size(self):
        """Number of examples."""
        return self._identity[0]

    @property
    def sha256(self):
        """A hash over the data and the losses, 64 hexadecimal digits: what is measured on."""
        return self._identity[1]

    @functools.cached_property
    def _identity(self):
        """Size and hash, from one reading of the data."""
        size, digest = 0, hashlib.sha256(json.dumps(self._losses.describe()).encode())
        for batch in batches_of(self._data):
            size += len(keras.tree.flatten(batch[0])[0])
            for part in batch:
                given = [array for array in keras.tree.flatten(part) if array is not None]
                arrays = [np.asarray(array) for array in given]
                digest.update(str([(a.dtype.str, a.shape) for a in arrays]).encode())
                for array in arrays:
                    digest.update(np.ascontiguousarray(array).tobytes())
        return size, digest.hexdigest()

    def measure(self, predict):
        """Loss and metrics of one network.

        Args:
            predict: `predict(x) -> outputs`, in the structure of the model's outputs.

        Returns:
            dict of floats: `loss`, its bootstrap standard error `loss_se` over the
            examples, and one entry a metric.
        """
        # The metrics of the model itself, borrowed: a network is not compiled for this.
        self._model.reset_metrics()
        total, examples, results, per_example = 0.0, 0, {}, []
        for x, y, weight in batches_of(self._data):
            y_pred = predict(x)
            count = len(keras.tree.flatten(x)[0])
            total += float(self._losses.task(y, y_pred, weight)) * count
            examples += count
            per_example.append(self._losses.per_example(y, y_pred))
            results = self._model.compute_metrics(x, y, y_pred, weight)
        results = {k: float(v) for k, v in results.items() if not k.endswith("loss")}
        self._model.reset_metrics()
        error = bootstrap_error(np.concatenate(per_example))
        return {"loss": total / examples, "loss_se": error, **results}


def _task_losses(model, batch):
    """Those of a stock Keras model, built with a first batch if it has not been trained."""
    compiled = model._compile_loss
    if compiled is None:
        raise ValueError(
            f"Model {model.name!r} was compiled without a loss. Use `compile(optimizer, loss=...)`."
        )
    if not compiled.built:
        model._symbolic_build(data_batch=tuple(batch))
    return TaskLosses(compiled)


def bootstrap_error(values, resamples=1000, seed=0):
    """Bootstrap standard error of the mean of `values` (Efron, 1979).

    Args:
        values: `(n,)`, one an example.
        resamples: bootstrap samples.
        seed: fixes them.
    """
    values = np.asarray(values, np.float64)
    rng = np.random.default_rng(seed)
    means = [values[rng.integers(len(values), size=len(values))].mean() for _ in range(resamples)]
    return float(np.std(means, ddof=1))
