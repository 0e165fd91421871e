"""What every schedule is: a Keras callback that says which networks a step trains."""

import keras
import numpy as np

from keras_joslim.search.whole_number import whole_number


class NonFiniteLossError(ArithmeticError):
    """A loss became NaN or infinite.

    Attributes:
        step: the optimizer step, counted from 0.
        row: 0 for the full network, then the order of the sandwich.
        widths: the widths of the network.
    """

    def __init__(self, step, row, widths):
        self.step, self.row, self.widths = step, row, widths
        which = "full network" if row == 0 else f"narrow network {row}"
        super().__init__(
            f"The loss of the {which} is not finite at step {step}, widths={widths}. Lower the "
            "learning rate, add warm-up or gradient clipping (`clipnorm`), and look at that "
            "step's data for NaN or infinite values."
        )


class Schedule(keras.callbacks.Callback):
    """Puts widths into training: fills the model's `training_widths` before each execution.

    A subclass gives `widths(step)`. Its choice may depend on the seed and the step
    alone, or on state that `state` and `restore` carry through a restart. Of several workers
    (`MultiWorkerMirroredStrategy`) worker 0 is asked for the widths, and all train those.

    Attributes:
        needs_task_losses: whether the model is to keep the task losses of the networks of each
            step, `model.task_losses`, for the schedule to read in `on_train_batch_end`.
        scores: of a schedule that gathers them while training, for each group one array: what each
            legal width of `search.thinned(space, schedule.choices)` has cost in loss; else `None`.
        keeps_history: whether it measures what it visits: it then has a `history`, the method
            `recalibrate`, and logs of its own.
    """

    needs_task_losses = False
    scores = None
    keeps_history = False

    def widths(self, step):
        """The networks of one sandwich step.

        Args:
            step: the optimizer step, counted from 0.

        Returns:
            int32 `(networks, groups)`: the full network first, the smallest last.
        """
        raise TypeError(f"Schedule {type(self).__name__} must define `widths(step)`")

    def visited(self, count=60):
        """The widths among which a front is looked for after training.

        Args:
            count: how many to give where the method visits no list of its own.

        Returns:
            int32 `(n, groups)`, distinct: here uniform multipliers.
        """
        multipliers = np.linspace(self.space.min_multiplier, 1.0, count)
        return np.unique([self.space.uniform(m) for m in multipliers], axis=0)

    def state(self):
        """A JSON dict from which `restore` goes on as if never interrupted."""
        return {}

    def restore(self, state):
        """Takes up a state that `state()` gave."""

    @property
    def space(self):
        """The model's width space.

        Raises:
            ValueError: no model is known yet.
        """
        if self.model is None:
            raise ValueError(
                f"{type(self).__name__} knows no model yet: it gets one in `fit`, or by "
                "`set_model(slim)`."
            )
        return self.model.width_space

    @property
    def step(self):
        """The optimizer step that comes next, counted from 0."""
        # Not `int(...)`, which a variable mirrored on several devices refuses.
        return int(keras.ops.convert_to_numpy(self.model.optimizer.iterations))

    def set_model(self, model):
        if not hasattr(model, "width_space"):
            raise ValueError(
                f"{type(self).__name__} needs a slimmable model: `make_slimmable(model, ...)`. "
                f"Received: model={model!r}"
            )
        super().set_model(model)

    def on_train_batch_begin(self, batch, logs=None):
        step = self.step
        count = self.model.steps_per_execution

        def rows():
            chosen = [None] * count
            for i in range(step, step + count):
                chosen[i % count] = self.widths(i)
            return np.stack(chosen).tolist()

        self.model.training_widths = self.model.workers.from_chief(rows)

    def on_train_batch_end(self, batch, logs=None):
        self.model.raise_if_non_finite()


def sandwich(space, sampled):
    """Full network, `sampled` `(M, groups)`, smallest network: int32 `(M + 2, groups)`."""
    return np.concatenate([space.full[None], sampled, space.smallest[None]]).astype(np.int32)


def held_steps(tau):
    """`tau`, checked: the whole number of steps for which widths are held.

    Raises:
        ValueError: it is no whole number from 1.
    """
    return whole_number("tau", tau, 1)
