"""Checkpoints of a whole run: weights, optimizer, statistics, schedule, data position."""

import json
import pathlib
import shutil
import zipfile

import keras
import numpy as np

from keras_joslim import atomic

_STATE = "state.json"
_VARIABLES = "variables.npz"


class Checkpoint(keras.callbacks.Callback):
    """Saves all that a run needs to go on, so that a killed one ends as if it had not been.

    Keras's BackupAndRestore knows nothing of the history, the search engine and the
    data position. A checkpoint is one directory, complete before it gets its name;
    the one before is removed after that.

    Args:
        directory: where checkpoints are kept.
        model: the compiled `SlimmableModel`.
        schedule: its schedule; `state()` and `restore()` carry it over.
        every_steps: batches between two checkpoints; `None` saves after each epoch only.
        on_save: called without arguments after each checkpoint.
        monitor: a `FrontMonitor`, which is carried over as well.

    Attributes:
        step: batches trained so far in the whole run, the data position.
        epochs: the logs of every epoch that has ended; `steps` says how many steps
            they are the mean of, fewer in an epoch that was interrupted.

    Example:

    >>> checkpoint = Checkpoint("run/checkpoint", slim, joslim, every_steps=100)
    >>> while checkpoint.step < epochs * stream.steps_per_epoch:
    ...     slim.fit(
    ...         stream.from_step(checkpoint.step),
    ...         callbacks=[joslim, checkpoint],
    ...         **checkpoint.rest_of_run(epochs, stream.steps_per_epoch),
    ...     )
    """

    def __init__(self, directory, model, schedule, every_steps=None, on_save=None, monitor=None):
        super().__init__()
        if every_steps is not None and every_steps < 1:
            raise ValueError(f"Expected at least one step. Received: every_steps={every_steps}")
        self._directory = pathlib.Path(directory)
        self._model_to_save = model
        self._schedule = schedule
        self._every_steps = every_steps
        self._on_save = on_save
        self._monitor = monitor
        self._begun = 0
        self.step = 0
        self.epochs = []
        self._saved_step = 0
        model.optimizer.build(model.trainable_variables)
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

    def on_train_batch_begin(self, batch, logs=None):
        self._begun = batch

    def on_train_batch_end(self, batch, logs=None):
        self.step += batch - self._begun + 1
        # After the last step `on_epoch_end` saves: an epoch resumed at its end has no logs.
        if batch + 1 != self.params["steps"]:
            self._save_if_due()

    def on_epoch_end(self, epoch, logs=None):
        logs = {name: float(value) for name, value in (logs or {}).items()}
        self.epochs.append({"epoch": epoch, "steps": self.params["steps"], **logs})
        if self._every_steps is None:
            self.save()
        else:
            self._save_if_due()

    def _save_if_due(self):
        if self._every_steps and self.step - self._saved_step >= self._every_steps:
            self.save()

    def on_train_end(self, logs=None):
        if self.step != self._saved_step:
            self.save()

    # -- the files -----------------------------------------------------------

    def save(self):
        """Writes a checkpoint of this moment."""
        groups = self._variables()
        with atomic.directory(self._directory / f"step-{self.step:09d}") as folder:
            arrays = {
                f"{name}/{i}": keras.ops.convert_to_numpy(variable)
                for name, variables in groups.items()
                for i, variable in enumerate(variables)
            }
            np.savez(folder / _VARIABLES, **arrays)
            state = {
                "step": self.step,
                "epochs": self.epochs,
                "schedule": self._schedule.state(),
                "monitor": self._monitor and self._monitor.state(),
            }
            (folder / _STATE).write_text(json.dumps(state), encoding="utf-8")
        self._saved_step = self.step
        for old in self._saved()[:-1]:
            shutil.rmtree(old, ignore_errors=True)
        if self._on_save is not None:
            self._on_save()

    def _restore(self):
        saved = self._saved()
        if not saved:
            return
        folder = saved[-1]
        try:
            state = json.loads((folder / _STATE).read_text(encoding="utf-8"))
            with open(folder / _VARIABLES, "rb") as file, np.load(file) as arrays:
                self._assign(arrays, state["step"])
            self._schedule.restore(state["schedule"])
            if self._monitor is not None:
                self._monitor.restore(state["monitor"])
        except (OSError, KeyError, zipfile.BadZipFile, json.JSONDecodeError) as error:
            raise ValueError(
                f"Checkpoint {folder} cannot be read ({error!r}). Remove it to begin anew, or put "
                "back a good copy."
            ) from None
        self.step = self._saved_step = state["step"]
        self.epochs = state["epochs"]

    def _assign(self, arrays, step):
        groups = self._variables()
        for name, variables in groups.items():
            stored = [key for key in arrays.files if key.startswith(f"{name}/")]
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

    def _saved(self):
        """Complete checkpoints, oldest first."""
        return sorted(self._directory.glob("step-*"))
