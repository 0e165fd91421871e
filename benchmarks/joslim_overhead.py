"""What joint search costs: the digits run with Joslim against the same run with UniformWidths.

    python benchmarks/joslim_overhead.py [--epochs=85] [--repeats=1]

Both train the same steps on the same batches; Joslim measures its whole history again in every
period. Wall time of training alone, after one epoch of each that is not timed (tracing). The
two runs take turns epoch by epoch, so a machine that slows down slows down both. Printed as a
ratio of the same process.
"""

import argparse
import pathlib
import sys
import time

import keras
import tensorflow as tf
from absl import logging

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from configs import digits  # noqa: E402
from keras_joslim.app.recipe import make_recipe  # noqa: E402


class Run:
    """One recipe, trained epoch by epoch against the clock."""

    def __init__(self, method, epochs):
        config = digits.get_config()
        config.method.name = method
        config.train.epochs = epochs
        config = config.to_dict()
        self.recipe = make_recipe(config)
        self.seconds = []

    def epoch(self, number):
        recipe = self.recipe
        batches = recipe.stream.from_step(number * recipe.stream.steps_per_epoch)
        start = time.perf_counter()
        recipe.model.fit(
            batches,
            initial_epoch=number,
            epochs=number + 1,
            steps_per_epoch=recipe.stream.steps_per_epoch,
            callbacks=[recipe.schedule],
            shuffle=False,
            verbose=0,
        )
        self.seconds.append(time.perf_counter() - start)

    @property
    def total(self):
        # The first epoch traces, the one after the first re-calibration traces that.
        return sum(self.seconds[4:])


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--epochs", type=int, default=85)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    tf.config.threading.set_intra_op_parallelism_threads(options.threads)
    tf.config.threading.set_inter_op_parallelism_threads(options.threads)
    # Every epoch is a `fit` of its own here; the first ones end before the search begins.
    logging.set_verbosity(logging.ERROR)
    keras.utils.set_random_seed(0)
    joslim, uniform = (Run(name, options.epochs) for name in ("joslim", "uniform"))
    for number in range(options.epochs):
        for run in (joslim, uniform):
            run.epoch(number)
    schedule = joslim.recipe.schedule
    history = len(schedule.history)
    print(f"steps {joslim.recipe.steps}, tau {schedule.tau}, history {history}")
    print(f"UniformWidths {uniform.total:8.2f} s")
    print(f"Joslim        {joslim.total:8.2f} s")
    print(f"extra         {100 * (joslim.total / uniform.total - 1):8.1f} %")
    # Where other work disturbs the two runs unevenly, Joslim's own clock is the better witness.
    own = sum(schedule.seconds.values())
    for name, seconds in schedule.seconds.items():
        print(f"  {name:14s}{seconds:8.2f} s, first calls included")
    print(f"by its own clock {100 * own / (joslim.total - own):5.1f} %")


if __name__ == "__main__":
    main()
