"""`joslim train`: trains weights and widths, then judges the history and saves the front."""

import json
import sys

import numpy as np
import tensorflow as tf

from keras_joslim import atomic
from keras_joslim.app.methods import find_method
from keras_joslim.app.recipe import make_recipe
from keras_joslim.checkpoint import Checkpoint
from keras_joslim.costs import MACs, Parameters
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
    train_weights(workdir, recipe, say)
    return save_front(workdir, recipe, networks_to_judge(workdir, recipe, say), say)


def train_weights(workdir, recipe, say=print):
    """Trains, or goes on training, to the last step.

    Returns:
        The `Checkpoint` of that step.
    """
    model, schedule, stream = recipe.model, recipe.schedule, recipe.stream

    def save_progress():
        save_history(workdir, recipe)
        atomic.write_text(workdir.logs / "epochs.jsonl", _lines(checkpoint.epochs))

    checkpoint = restored(workdir, recipe, save_progress)
    if checkpoint.step:
        say(f"Going on at step {checkpoint.step} of {recipe.steps}.")
        # The run may have been killed between a checkpoint and what is written after it.
        save_progress()
    else:
        checkpoint.save()
    monitors = [] if recipe.monitor is None else [recipe.monitor]
    while checkpoint.step < recipe.steps:
        model.fit(
            stream.from_step(checkpoint.step),
            callbacks=[schedule, *monitors, checkpoint],
            shuffle=False,  # The stream is shuffled by itself.
            verbose="auto" if sys.stdout.isatty() else 2,
            **checkpoint.rest_of_run(recipe.epochs, stream.steps_per_epoch),
        )
    return checkpoint


def restored(workdir, recipe, on_save=None):
    """The run's `Checkpoint`; model and schedule are brought to its step."""
    return Checkpoint(
        workdir.checkpoints,
        recipe.model,
        recipe.schedule,
        every_steps=recipe.config["checkpoint"]["every_steps"],
        on_save=on_save,
        monitor=recipe.monitor,
    )


def networks_to_judge(workdir, recipe, say=print):
    """The widths among which the trained run's front is looked for, `(n, groups)`."""
    count = recipe.config["front"]["networks"]
    method = find_method(recipe.config)
    if method.search is not None:
        # Imported here, for the search of a finished run needs what is in this module.
        from keras_joslim.app.search import after_training, candidates

        return candidates(after_training(workdir, recipe, method.search, say), count)
    if recipe.schedule.keeps_history:
        # The networks that came last have no loss yet.
        recipe.schedule.recalibrate(everything=True)
        save_history(workdir, recipe)
    return recipe.schedule.visited(count)


def save_front(workdir, recipe, widths, say=print, costs=None):
    """Judges networks on validation data, measures their front on test data, writes both.

    Args:
        workdir: where `front.json` and `models/` go.
        recipe: the `Recipe`, trained.
        widths: int `(n, groups)`.
        say: where progress is told.
        costs: cost objects, the front's first; the recipe's and those that every front has if
            `None`.

    Returns:
        The `ParetoFront`.
    """
    data = recipe.data
    if costs is None:
        costs = [recipe.cost]
    costs = {cost.name: cost for cost in (*costs, MACs(recipe.model), Parameters(recipe.model))}
    say(f"Judging {len(widths)} networks on {len(data.validation)} validation images.")
    front = ParetoFront.build(
        recipe.model,
        widths,
        (data.validation.images, data.validation.labels),
        recipe.calibration_batches(),
        costs=list(costs.values()),
    )
    front = front.measure_test(recipe.model, (data.test.images, data.test.labels))
    front = front.save_models(workdir.place)
    front.save(workdir.front_file)
    return front


def save_history(workdir, recipe):
    """One JSON line for each network visited; `loss` is null until it is evaluated."""
    history = getattr(recipe.schedule, "history", None)
    text = ""
    if history is not None and len(history):
        columns = zip(history.widths.tolist(), history.losses, history.costs)
        text = _lines(
            {
                "widths": row,
                recipe.cost.name: int(cost) if cost.is_integer() else float(cost),
                "loss": None if np.isnan(loss) else float(loss),
            }
            for row, loss, cost in columns
        )
    atomic.write_text(workdir.history_file, text)


def _lines(records):
    return "".join(json.dumps(record) + "\n" for record in records)
