"""Schedules whose draws are scored by the losses that the drawn networks get while they train."""

from keras_joslim.schedules.schedule import Schedule, sandwich
from keras_joslim.search.whole_number import whole_number


class ScoringSchedule(Schedule):
    """Draws networks by a sampler, which is told their task losses after each step.

    A subclass makes the sampler, `self._sampler`, once it has a model: an object with
    `ask(n, step)` and `tell(widths, losses, full_loss)`, such as `search.AdaptiveSampler`.

    Args:
        num_sampled: networks between the full and the smallest one (M), at least 1.

    Raises:
        ValueError: it is no whole number from 1.
    """

    needs_task_losses = True

    def __init__(self, num_sampled):
        super().__init__()
        self.num_sampled = whole_number("num_sampled", num_sampled, 1)
        self._sampler = None
        self._begun = None

    def widths(self, step):
        return sandwich(self.space, self._sampler.ask(self.num_sampled, step))

    def on_train_batch_begin(self, batch, logs=None):
        super().on_train_batch_begin(batch, logs)
        self._begun = self.step

    def on_train_batch_end(self, batch, logs=None):
        super().on_train_batch_end(batch, logs)
        rows, losses = self.model.training_widths, self.model.task_losses
        # Fewer than there are rows where an epoch ends inside an execution.
        for step in range(self._begun, self.step):
            row = step % len(rows)
            self._sampler.tell(rows[row, 1:-1], losses[row, 1:-1], losses[row, 0])
