"""A callback that writes what a training does, every so many steps."""

import pathlib
import time

import keras
import numpy as np
from absl import logging

from keras_joslim.search.whole_number import whole_number
from keras_joslim.watching.steps_table import StepsTable

FILE_NAME = "steps.csv"


class RunLog(keras.callbacks.Callback):
    """Losses of every network of a step, costs, the front's growth, where the time goes.

    The columns of `steps.csv`: `step` (optimizer steps so far); `seconds` a step since the row
    before; of that time the shares `search`, `recalibration` and `input` (waiting for a batch);
    `loss_full`, `loss_1` ..., `loss_smallest`: task losses of the networks of that step on its
    batch; `cost_full` ... their costs; `hypervolume`, `front_size`, `front_full_loss`,
    `front_smallest_loss` as in the logs of `fit` (empty until there are some).

    Args:
        directory: where `steps.csv` goes, and TensorBoard's files into `tensorboard/`.
        schedule: the schedule of the same `fit`.
        cost: a cost object.
        every_steps: optimizer steps between two rows.
        tensorboard: whether to write for TensorBoard too: the same numbers, the widths of every
            group over time as an image, and the front as a figure (extra `tensorboard`).

    Raises:
        ValueError: `every_steps` below 1.
        ImportError: TensorBoard or matplotlib is missing.

    Example:

    >>> log = RunLog("logs", joslim, costs.MACs(slim))
    >>> slim.fit(images, labels, epochs=20, callbacks=[joslim, log])
    """

    # `SlimmableModel.fit` keeps the losses of all networks for those that ask.
    needs_task_losses = True

    def __init__(self, directory, schedule, cost, every_steps=50, tensorboard=False):
        super().__init__()
        self._every = whole_number("every_steps", every_steps, 1)
        self._schedule, self._cost = schedule, cost
        self._table = StepsTable(pathlib.Path(directory) / FILE_NAME)
        self._board = None
        if tensorboard:
            from keras_joslim.watching.board import Board

            self._board = Board(pathlib.Path(directory) / "tensorboard", schedule, cost)
        self._since = None

    def on_train_begin(self, logs=None):
        self._table.begin(self._step)
        self._begin_period()

    def on_train_batch_begin(self, batch, logs=None):
        self._batch_begun = time.time()

    def on_train_batch_end(self, batch, logs=None):
        self._waited += max(0.0, self.model.input_ready - self._batch_begun)
        step = self._step
        if step // self._every == self._last // self._every:
            return
        row = self._row(step, logs or {})
        try:
            self._table.append(row)
            if self._board is not None:
                self._board.write(step, row)
        except OSError as error:
            # What is only looked at does not end a training.
            logging.warning("What happened up to step %d could not be written (%s).", step, error)
        self._begin_period()

    @property
    def _step(self):
        return int(keras.ops.convert_to_numpy(self.model.optimizer.iterations))

    def _begin_period(self):
        self._since, self._last, self._waited = time.time(), self._step, 0.0
        self._spent = dict(getattr(self._schedule, "seconds", {}))

    def _row(self, step, logs):
        elapsed = max(time.time() - self._since, 1e-9)
        spent = getattr(self._schedule, "seconds", {})
        shares = {
            name: (spent.get(name, 0.0) - self._spent.get(name, 0.0)) / elapsed
            for name in ("search", "recalibration")
        }
        row = {"step": step, "seconds": elapsed / max(step - self._last, 1), **shares}
        row["input"] = self._waited / elapsed
        rows = self.model.training_widths
        networks = rows[(step - 1) % len(rows)]
        losses = self.model.task_losses[(step - 1) % len(rows)]
        for what, values in (("loss", losses), ("cost", self._cost(networks))):
            row |= {f"{what}_{name}": float(v) for name, v in zip(_names(len(networks)), values)}
        for name in ("hypervolume", "front_size", "front_full_loss", "front_smallest_loss"):
            row[name] = float(logs.get(name, np.nan))
        return row


def _names(count):
    """Of the networks of a step: the full one first, the smallest last."""
    return ["full", *(str(i) for i in range(1, count - 1)), "smallest"][:count]
