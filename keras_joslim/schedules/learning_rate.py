"""The learning rate of the published recipes: linear warm-up, then linear decay to zero."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("keras_joslim")
class WarmupLinearDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Rises linearly from 0 over the warm-up, then falls linearly to 0 at the last step.

    Args:
        peak: learning rate at the end of the warm-up.
        steps: optimizer steps of the whole run.
        warmup_steps: steps of the warm-up.

    Raises:
        ValueError: a warm-up longer than the run.
    """

    def __init__(self, peak, steps, warmup_steps=0):
        if not 0 <= warmup_steps < steps:
            raise ValueError(
                "The warm-up must be shorter than the run. "
                f"Received: warmup_steps={warmup_steps}, steps={steps}"
            )
        self.peak, self.steps, self.warmup_steps = float(peak), int(steps), int(warmup_steps)

    def __call__(self, step):
        step = ops.cast(step, "float32")
        rising = (step + 1.0) / max(self.warmup_steps, 1)
        falling = (self.steps - step) / (self.steps - self.warmup_steps)
        rate = ops.where(step < self.warmup_steps, rising, falling)
        return self.peak * ops.clip(rate, 0.0, 1.0)

    def get_config(self):
        return {"peak": self.peak, "steps": self.steps, "warmup_steps": self.warmup_steps}
