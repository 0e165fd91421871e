"""`joslim train`: trains weights and widths, then judges the history and saves the front."""

import json
import sys

import numpy as np
import tensorflow as tf

from keras_joslim import atomic
from keras_joslim.app.long_runs import long_run
from keras_joslim.app.many_devices import agreed_stop, claim, refuse_other_steps
from keras_joslim.app.methods import find_method
from keras_joslim.app.recipe import make_recipe
from keras_joslim.app.start import devices_told, started
from keras_joslim.checkpoint import Checkpoint
from keras_joslim.costs import MACs, Parameters
from keras_joslim.distribution.choice import worker_index
from keras_joslim.distribution.input import distributed_batches
from keras_joslim.distribution.per_worker import draw_apart
from keras_joslim.evaluation import JUDGED_TOGETHER
from keras_joslim.front import ParetoFront
from keras_joslim.termination import deferred
from keras_joslim.watching.run_log import RunLog


def train(workdir, config, say=print, strategy="none"):
    """Trains, or goes on training, until `front.json` stands.

    Of several workers all train, and worker 0 alone judges the networks and writes files.

    Args:
        workdir: `Workdir`.
        config: JSON dict; the directory must be empty or hold a run of the same.
        say: where progress is told.
        strategy: "none", "mirrored" or "multi_worker".

    Returns:
        The `ParetoFront`; `None` on other workers than worker 0.

    Raises:
        ValueError: a config or workdir that does not fit, a strategy that cannot be had, workers
            that do not agree.
        NonFiniteLossError: the loss became NaN.
        LostWorkerError: another worker stopped or cannot be reached.
    """
    if workdir.front_file.exists():
        workdir.claim(config)
        if worker_index(strategy):
            return None
        say(f"{workdir.path} is trained already.")
        return ParetoFront.load(workdir.front_file)
    # The same bits again after a restart.
    tf.config.experimental.enable_op_determinism()
    with started(strategy, config) as workers:
        recipe = make_recipe(config)
        # Not before the config is known to be good.
        claim(workdir, config, workers)
        if strategy != "none" and workers.is_chief:
            say(devices_told(tf.distribute.get_strategy()))
        with recipe.data.reading():
            train_weights(workdir, recipe, say)
    if not workers.is_chief:
        return None
    if strategy != "none":
        # Judged as by one process: without variables that wait for other devices or workers.
        if recipe.data.corrupt:
            say(recipe.data.corrupt.summary())
        recipe = make_recipe(config)
        restored(workdir, recipe, say=say)
    return save_front(workdir, recipe, networks_to_judge(workdir, recipe, say), say)


def train_weights(workdir, recipe, say=print):
    """Trains, or goes on training, to the last step.

    On a SIGTERM the step is finished, saved, and `Terminated` raised.

    Returns:
        The `Checkpoint` of that step.

    Raises:
        ValueError: there are checkpoints and none can be read, or logs of a run without any.
        OSError: the last checkpoint could not be written.
    """
    with deferred() as stop:
        return _train_weights(workdir, recipe, say, stop)


def _train_weights(workdir, recipe, say, stop):
    model, schedule, stream = recipe.model, recipe.schedule, recipe.stream
    workers = model.workers
    stop = agreed_stop(stop, workers)
    if not workers.is_chief:
        say = _silent

    def save_progress():
        save_history(workdir, recipe)
        atomic.write_text(workdir.logs / "epochs.jsonl", _lines(checkpoint.epochs))

    checkpoint = restored(workdir, recipe, save_progress, stop, say)
    refuse_other_steps(workdir, checkpoint.step, workers)
    draw_apart(model, workers)
    if checkpoint.restored:
        say(f"Going on at step {checkpoint.step} of {recipe.steps}.")
        # What is written after a checkpoint may be of the one before it (the run was killed
        # between the two), or of a later one (which is damaged).
        if workers.is_chief:
            save_progress()
    else:
        _refuse_lost_checkpoints(workdir)
        checkpoint.save()
    monitors = [] if recipe.monitor is None else [recipe.monitor]
    if workers.is_chief:
        monitors.append(_run_log(workdir, recipe))
    while checkpoint.step < recipe.steps:
        model.fit(
            distributed_batches(model.distribute_strategy, stream, checkpoint.step),
            callbacks=[schedule, *monitors, checkpoint],
            shuffle=False,  # The stream is shuffled by itself.
            verbose=_verbosity(workers),
            **checkpoint.rest_of_run(recipe.epochs, recipe.steps_per_epoch),
        )
    if checkpoint.saved_step != checkpoint.step:
        _save_the_last(checkpoint)
    return checkpoint


def _silent(message):
    """Where workers other than worker 0 tell what they do."""


def _verbosity(workers):
    if not workers.is_chief:
        return 0
    return "auto" if sys.stdout.isatty() else 2


def _run_log(workdir, recipe):
    # Runs of older releases have no such section.
    watch = {"every_steps": 50, "tensorboard": False} | recipe.config.get("watch", {})
    return RunLog(workdir.logs, recipe.schedule, recipe.cost, **watch)


def _save_the_last(checkpoint):
    """One more attempt at a checkpoint, without which the run is not trained."""
    try:
        checkpoint.save()
    except OSError as error:
        raise OSError(
            f"The training is at its end, step {checkpoint.step}, and its checkpoint cannot be "
            f"written ({error}). When it can be, the same command goes on from the last one that "
            f"was written, of step {checkpoint.saved_step}."
        ) from None


def _refuse_lost_checkpoints(workdir):
    """A run that has logs of its epochs does not begin anew in silence."""
    log = workdir.logs / "epochs.jsonl"
    if log.exists() and log.stat().st_size:
        raise ValueError(
            f"{workdir.path} has been trained, {log} says how far, but has no checkpoint in "
            f"{workdir.checkpoints}. Put the checkpoints back; or remove {log} to begin anew."
        )


def restored(workdir, recipe, on_save=None, stop=None, say=print):
    """The run's `Checkpoint`; model and schedule are brought to its step."""
    fields = long_run(recipe.config)
    return Checkpoint(
        workdir.checkpoints,
        recipe.model,
        recipe.schedule,
        every_steps=recipe.config["checkpoint"]["every_steps"],
        on_save=on_save,
        monitor=recipe.monitor,
        keep_last=fields.keep_last,
        keep_every_hours=fields.keep_every_hours,
        stop=stop,
        say=say,
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
    networks = "1 network" if len(widths) == 1 else f"{len(widths)} networks"
    say(f"Judging {networks} on {len(data.validation)} validation images.")
    with data.reading():
        front = ParetoFront.build(
            recipe.model,
            widths,
            data.validation.batches(JUDGED_TOGETHER),
            recipe.calibration_batches(),
            costs=list(costs.values()),
        )
        front = front.measure_test(recipe.model, data.test.batches(JUDGED_TOGETHER))
    front = front.save_models(workdir.place)
    front.save(workdir.front_file)
    if data.corrupt:
        say(data.corrupt.summary())
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
