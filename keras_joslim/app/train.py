"""`joslim train`: trains weights and widths, then judges the history and saves the front."""

import json
import sys

import numpy as np
import tensorflow as tf

from keras_joslim import atomic
from keras_joslim.app.recipe import make_recipe
from keras_joslim.checkpoint import Checkpoint
from keras_joslim.costs import MACs
from keras_joslim.front import ParetoFront


def train(workdir, config, say=print):
    """Trains, or goes on training, until `front.json` stands.

    Args:
        workdir: `Workdir`.
        config: JSON dict; the directory must be empty or hold a run of the same.
        say: where progress is told.

    Returns:
        The `ParetoFront`.

    Raises:
        ValueError: a config or workdir that does not fit.
        NonFiniteLossError: the loss became NaN.
    """
    if workdir.front_file.exists():
        workdir.claim(config)
        say(f"{workdir.path} is trained already.")
        return ParetoFront.load(workdir.front_file)
    # The same bits again after a restart.
    tf.config.experimental.enable_op_determinism()
    recipe = make_recipe(config)
    # Not before the config is known to be good.
    workdir.claim(config)
    model, schedule, stream = recipe.model, recipe.schedule, recipe.stream
    costs = MACs(model)

    def save_progress():
        atomic.write_text(workdir.history_file, _history_lines(schedule, costs))
        atomic.write_text(workdir.logs / "epochs.jsonl", _lines(checkpoint.epochs))

    checkpoint = Checkpoint(
        workdir.checkpoints,
        model,
        schedule,
        every_steps=config["checkpoint"]["every_steps"],
        on_save=save_progress,
    )
    if checkpoint.step:
        say(f"Going on at step {checkpoint.step} of {recipe.steps}.")
    else:
        checkpoint.save()
    while checkpoint.step < recipe.steps:
        model.fit(
            stream.from_step(checkpoint.step),
            callbacks=[schedule, checkpoint],
            shuffle=False,  # The stream is shuffled by itself.
            verbose="auto" if sys.stdout.isatty() else 2,
            **checkpoint.rest_of_run(recipe.epochs, stream.steps_per_epoch),
        )
    return _save_front(workdir, recipe, say)


def _save_front(workdir, recipe, say):
    data = recipe.data
    visited = recipe.schedule.visited()
    say(f"Judging {len(visited)} networks on {len(data.validation)} validation images.")
    front = ParetoFront.build(
        recipe.model,
        visited,
        (data.validation.images, data.validation.labels),
        recipe.calibration_batches(),
    )
    front = front.measure_test(recipe.model, (data.test.images, data.test.labels))
    front = front.save_models(workdir.path)
    front.save(workdir.front_file)
    return front


def _history_lines(schedule, costs):
    """One JSON line for each network visited; `loss` is null until it is evaluated."""
    history = getattr(schedule, "history", None)
    if history is None or not len(history):
        return ""
    columns = zip(history.widths.tolist(), history.losses, costs(history.widths))
    return _lines(
        {"widths": row, "macs": int(cost), "loss": None if np.isnan(loss) else float(loss)}
        for row, loss, cost in columns
    )


def _lines(records):
    return "".join(json.dumps(record) + "\n" for record in records)
