"""Checkpoints of a whole run: weights, optimizer, statistics, schedule, data position."""

import pathlib
import shutil
import time

import keras
from absl import logging

from keras_joslim import atomic, checkpoint_files
from keras_joslim.search.whole_number import whole_number
from keras_joslim.termination import Terminated
from keras_joslim.weight_averages import WeightAverages


class Checkpoint(keras.callbacks.Callback):
    """Saves all that a run needs to go on, so that a killed one ends as if it had not been.

    It comes last among the callbacks: what those before it did at a step is in the checkpoint.

    Keras's BackupAndRestore knows nothing of the history, the search engine and the
    data position. A checkpoint is one directory, complete before it gets its name, with the
    digests of its files; what was written is read back and compared. One that is torn or changed
    is told when the run goes on, and the one before it is used.

    A checkpoint that cannot be written (a full or read-only disk) does not end the training: it is
    told, those before stay, and the next save is another attempt. Compare `saved_step` with `step`
    when the training is over.

    With an optimizer that averages weights (`use_ema`) the model has the averages after `fit` and
    after a restart, as Keras has it; checkpoints, and what is trained further, have the weights.

    Args:
        directory: where checkpoints are kept.
        model: the compiled `SlimmableModel`.
        schedule: its schedule; `state()` and `restore()` carry it over.
        every_steps: batches between two checkpoints; `None` saves after each epoch only.
        on_save: called without arguments after each checkpoint.
        monitor: a `FrontMonitor`, which is carried over as well.
        keep_last: how many checkpoints to keep, the oldest are removed; with 2 or more a damaged
            one leaves the one before.
        keep_every_hours: of so many hours of training one checkpoint is kept for good.
        stop: called without arguments after each execution; where it returns true a checkpoint is
            saved and `Terminated` raised.
        say: where a damaged checkpoint, or one that could not be written, is told; a warning of
            absl's log if `None`.

    Attributes:
        step: batches trained so far in the whole run, the data position.
        saved_step: the same when the last checkpoint was written; `None` before the first.
        restored: whether a checkpoint was there.
        epochs: the logs of every epoch that has ended; `steps` says how many steps
            they are the mean of, fewer in an epoch that was interrupted, `end` the run's step then.

    Raises:
        ValueError: an argument out of range; in `fit`, steps of an epoch that are no whole number
            of executions; checkpoints of another model, optimizer or schedule;
            checkpoints of which none can be read.

    Example:

    >>> checkpoint = Checkpoint("run/checkpoint", slim, joslim, every_steps=100)
    >>> while checkpoint.step < epochs * stream.steps_per_epoch:
    ...     slim.fit(
    ...         stream.from_step(checkpoint.step),
    ...         callbacks=[joslim, checkpoint],
    ...         **checkpoint.rest_of_run(epochs, stream.steps_per_epoch),
    ...     )
    """

    def __init__(
        self,
        directory,
        model,
        schedule,
        every_steps=None,
        on_save=None,
        monitor=None,
        keep_last=2,
        keep_every_hours=None,
        stop=None,
        say=None,
    ):
        super().__init__()
        if every_steps is not None and every_steps < 1:
            raise ValueError(f"Expected at least one step. Received: every_steps={every_steps}")
        if keep_every_hours is not None and not keep_every_hours > 0:
            raise ValueError(
                "One checkpoint in so many hours is kept, a number above 0, or none: None. "
                f"Received: keep_every_hours={keep_every_hours!r}"
            )
        self._directory = pathlib.Path(directory)
        self._model_to_save = model
        self._schedule = schedule
        self._every_steps = every_steps
        self._on_save = on_save
        self._monitor = monitor
        self._keep_last = whole_number("keep_last", keep_last, 1)
        self._keep_every_hours = keep_every_hours
        self._stop = stop
        self._say = say or logging.warning
        self._begun = 0
        self.step = 0
        self.saved_step = None
        self.restored = False
        self.epochs = []
        self._tried_step = 0
        self._damaged = set()
        # Hours that were trained before this process, and when it began.
        self._hours_before, self._since = 0.0, time.monotonic()
        model.optimizer.build(model.trainable_variables)
        self._averages = WeightAverages(model)
        schedule.set_model(model)
        self._restore()

    def rest_of_run(self, epochs, steps_per_epoch):
        """Arguments of the next `fit`: the rest of a begun epoch, or all epochs that are left."""
        epoch, done = divmod(self.step, steps_per_epoch)
        return {
            "initial_epoch": epoch,
            "epochs": epoch + 1 if done else epochs,
            "steps_per_epoch": steps_per_epoch - done,
        }

    # -- while training ------------------------------------------------------

    def on_train_begin(self, logs=None):
        steps, count = self.params.get("steps"), self.model.steps_per_execution
        if steps and steps % count:
            raise ValueError(
                f"steps_per_execution={count} does not divide the {steps} steps of this `fit`. "
                "Keras runs the last execution of an epoch in full, so that epochs are longer than "
                "they say, and other ones after a restart. Take a number of steps that it divides."
            )
        self._averages.put_back()

    def on_epoch_begin(self, epoch, logs=None):
        self._averages.forget()

    def on_train_batch_begin(self, batch, logs=None):
        self._begun = batch

    def on_train_batch_end(self, batch, logs=None):
        self.step += batch - self._begun + 1
        # After the last step `on_epoch_end` saves: an epoch resumed at its end has no logs.
        if batch + 1 != self.params["steps"]:
            self._save_if_due()
            self._stop_if_asked()

    def on_epoch_end(self, epoch, logs=None):
        logs = {name: float(value) for name, value in (logs or {}).items()}
        steps = {"steps": self.params["steps"], "end": self.step}
        self.epochs.append({"epoch": epoch, **steps, **logs})
        if self._every_steps is None:
            self._try_to_save()
        else:
            self._save_if_due()
        self._stop_if_asked()
        self._averages.keep()

    def on_train_end(self, logs=None):
        self._averages.refuse_zeros()
        if self.step != self._tried_step:
            self._try_to_save()

    def _save_if_due(self):
        if self._every_steps and self.step - self._tried_step >= self._every_steps:
            self._try_to_save()

    def _stop_if_asked(self):
        if self._stop is not None and self._stop():
            if self.step != self.saved_step:
                self.save()
            raise Terminated(f"stopped at step {self.step}, which is saved")

    # -- the files -----------------------------------------------------------

    def save(self):
        """Writes a checkpoint of this moment.

        Raises:
            OSError: it could not be written; those that are there stay as they were.
        """
        self._tried_step = self.step
        if not self._model_to_save.workers.is_chief:
            # Of several workers one writes, and all read.
            self.saved_step = self.step
            return
        # What a process that was killed was writing is no use to anybody.
        atomic.remove_leftovers(self._directory)
        state = {
            "step": self.step,
            "epochs": self.epochs,
            "schedule": self._schedule.state(),
            "monitor": self._monitor and self._monitor.state(),
        }
        hours = self._hours_before + (time.monotonic() - self._since) / 3600
        facts = {"hours": hours, "kept": self._begins_a_stretch(hours)}
        with atomic.directory(self._folder(self.step)) as folder:
            checkpoint_files.write(folder, self._arrays(), state, facts)
        self.saved_step = self.step
        for old in self._outdated():
            shutil.rmtree(old, ignore_errors=True)
        self._damaged.clear()
        if self._on_save is not None:
            try:
                self._on_save()
            except OSError as error:
                self._say(f"What goes with a checkpoint could not be written ({error}).")

    def _try_to_save(self):
        """Saves; if that fails it is told, and the training goes on."""
        try:
            self.save()
        except OSError as error:
            last = "There is none yet"
            if self.saved_step is not None:
                last = f"The last one that was is of step {self.saved_step}"
            self._say(
                f"The checkpoint of step {self.step} could not be written ({error}). {last}. "
                "Training goes on; the next save tries again."
            )

    def _begins_a_stretch(self, hours):
        """Whether this is the first checkpoint in another so many hours, to be kept for good."""
        every = self._keep_every_hours
        if every is None:
            return False
        last = max((facts.get("hours", 0.0) for _, facts in self._kept()), default=0.0)
        return hours // every > last // every

    def _kept(self):
        """`(folder, facts)` of the checkpoints that are kept for good."""
        for folder in self._saved():
            try:
                _, facts = checkpoint_files.index(folder)
            except ValueError:
                continue
            if facts.get("kept"):
                yield folder, facts

    def _outdated(self):
        """Checkpoints to remove: older than those to keep, or left by what was found damaged."""
        damaged = self._damaged - {self._folder(self.step)}
        good = [folder for folder in self._saved() if folder not in damaged]
        kept = {folder for folder, _ in self._kept()}
        return [*damaged, *(folder for folder in good[: -self._keep_last] if folder not in kept)]

    def _restore(self):
        problems = []
        for folder in reversed(self._saved()):
            try:
                arrays, state, facts = checkpoint_files.read(folder)
                step, epochs, schedule = (state[name] for name in ("step", "epochs", "schedule"))
            except (checkpoint_files.DamagedCheckpointError, KeyError) as error:
                problems.append(f"{folder} is damaged: {error}")
                self._damaged.add(folder)
                continue
            for problem in problems:
                self._say(f"{problem}. Going on from the checkpoint before it, step {step}.")
            self._assign(arrays, step)
            self._schedule.restore(schedule)
            if self._monitor is not None:
                self._monitor.restore(state["monitor"])
            self.step = self.saved_step = self._tried_step = step
            self.epochs = epochs
            self._hours_before = facts.get("hours", 0.0)
            self.restored = True
            self._averages.show()
            return
        if problems:
            raise ValueError(
                f"No checkpoint can be read. {'; '.join(problems)}. Put back a good copy, or "
                f"remove {self._directory} to begin anew."
            )

    def _arrays(self):
        model = self._model_to_save
        arrays = {
            f"{name}/{i}": keras.ops.convert_to_numpy(variable)
            for name, variables in self._variables().items()
            for i, variable in enumerate(variables)
        }
        if self._averages.trained is not None:
            places = {id(variable): i for i, variable in enumerate(model.variables)}
            for weight, value in zip(model.trainable_weights, self._averages.trained, strict=True):
                arrays[f"model/{places[id(weight)]}"] = value
        return arrays

    def _assign(self, arrays, step):
        for name, variables in self._variables().items():
            stored = [key for key in arrays if key.startswith(f"{name}/")]
            if len(stored) != len(variables):
                raise ValueError(
                    f"The checkpoint at step {step} holds {len(stored)} variables of the {name}, "
                    f"this run has {len(variables)}: it is of another model or optimizer."
                )
            for i, variable in enumerate(variables):
                value = arrays[f"{name}/{i}"]
                if value.shape != tuple(variable.shape):
                    raise ValueError(
                        f"The checkpoint at step {step} does not fit {name} variable "
                        f"{variable.path!r}: shape {value.shape} instead of "
                        f"{tuple(variable.shape)}. It is of another model."
                    )
                variable.assign(value)

    def _variables(self):
        model = self._model_to_save
        return {"model": model.variables, "optimizer": model.optimizer.variables}

    def _folder(self, step):
        return self._directory / f"step-{step:09d}"

    def _saved(self):
        """Complete checkpoints, oldest first."""
        return sorted(self._directory.glob("step-*"))
