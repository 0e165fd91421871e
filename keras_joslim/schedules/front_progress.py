"""How the front grows while training: hypervolume, size and ends, for the logs of `fit`."""

import keras
import numpy as np

from keras_joslim.calibration_data import checked_calibration_data, refuse_unfit_data
from keras_joslim.costs import MACs
from keras_joslim.search.pareto import front_indices, hypervolume

# Beyond the full network's cost, so that the full network too adds to the hypervolume.
_COST_REFERENCE = 1.1


class FrontProgress:
    """Turns losses and costs into log entries that can be compared over a run.

    Attributes:
        reference_loss: the larger loss of the full and the smallest network before the first
            step; `None` until `begin`.
        logs: the latest entries: `hypervolume`, in parts of the area from zero to the reference
            (`reference_loss`, 1.1 times the full cost), so between 0 and 1 for losses above 0;
            `front_size`; `front_full_loss` and `front_smallest_loss`, held-out losses of the ends.
    """

    def __init__(self):
        self.reference_loss = None
        self.logs = {}

    def begin(self, end_losses):
        """Sets the reference, once a run."""
        if self.reference_loss is None:
            self.reference_loss = float(np.max(end_losses))

    def update(self, losses, costs):
        """New entries.

        Args:
            losses: held-out losses `(n,)`, NaN where there is none.
            costs: costs `(n,)`; the extremes are the full and the smallest network's.
        """
        known = np.isfinite(losses)
        losses, costs = np.asarray(losses)[known], np.asarray(costs, np.float64)[known]
        corner = (self.reference_loss, _COST_REFERENCE * costs.max())
        volume = hypervolume(losses, costs, corner) / (corner[0] * corner[1])
        self.logs = {
            "hypervolume": volume,
            "front_size": len(front_indices(losses, costs)),
            "front_full_loss": float(losses[np.argmax(costs)]),
            "front_smallest_loss": float(losses[np.argmin(costs)]),
        }

    def state(self):
        """A JSON dict from which `restore` goes on."""
        return {"reference_loss": self.reference_loss, "logs": self.logs}

    def restore(self, state):
        """Takes up a `state()`."""
        self.reference_loss, self.logs = state["reference_loss"], dict(state["logs"])


class FrontMonitor(keras.callbacks.Callback):
    """Measures some networks after each epoch and logs how their front grows.

    For schedules that keep no history of their own; `Joslim` logs the same by itself. Nothing is
    chosen by what is measured here.

    Args:
        calibration_data: `(x, y)` or `(x, y, sample_weight)`, one held-out batch.
        cost: a cost object; `MACs` of the model if `None`.
        widths: int `(n, groups)`, the networks to measure besides the full and the smallest;
            8 uniform multipliers if `None`.

    Example:

    >>> monitor = kj.FrontMonitor((x_validation[:512], y_validation[:512]))
    >>> slim.fit(x_train, y_train, callbacks=[kj.UniformWidths(), monitor])
    """

    def __init__(self, calibration_data, cost=None, widths=None):
        super().__init__()
        self.calibration_data = checked_calibration_data(calibration_data)
        self.cost = cost
        self.widths = widths
        self._progress = FrontProgress()

    def on_train_begin(self, logs=None):
        space = self.model.width_space
        self.cost = self.cost or MACs(self.model)
        widths = self.widths
        if widths is None:
            widths = [space.uniform(m) for m in np.linspace(space.min_multiplier, 1.0, 8)]
        self._networks = np.unique([*widths, space.smallest, space.full], axis=0)
        self._progress.begin(refuse_unfit_data(self.model, self.calibration_data))

    def on_epoch_end(self, epoch, logs=None):
        losses = self.model.losses_at(self._networks, *self.calibration_data)
        self._progress.update(losses, self.cost(self._networks))
        if logs is not None:
            logs.update(self._progress.logs)

    def state(self):
        """A JSON dict from which `restore` goes on."""
        return self._progress.state()

    def restore(self, state):
        """Takes up a `state()`."""
        self._progress.restore(state)
