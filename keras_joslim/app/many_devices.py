"""What the workers of a run agree on besides its config: the folder, the step, when to stop."""

import time

from keras_joslim import atomic

# A shared folder may show a file that another machine wrote only after a while.
_SHOWN_WITHIN_SECONDS = 60
# How often the workers ask each other whether one of them is to stop.
_ASK_SECONDS = 2.0


def claim(workdir, config, workers):
    """Worker 0 takes the directory for the run; the others look whether they see it.

    Args:
        workdir: `Workdir`.
        config: JSON dict.
        workers: `OneWorker` or `Workers`.

    Raises:
        ValueError: as `Workdir.claim`; a worker whose directory is another one.
    """

    def claimed():
        workdir.claim(config)
        for folder in (workdir.path, workdir.logs):
            atomic.remove_leftovers(folder)

    workers.from_chief(claimed)
    seen = workers.gather(_appears(workdir.config_file))
    for index, sees in enumerate(seen):
        if not sees:
            raise ValueError(
                f"Worker {index} does not see {workdir.config_file}, which worker 0 wrote: "
                "--workdir must name a folder that all machines share."
            )


def _appears(path):
    deadline = time.monotonic() + _SHOWN_WITHIN_SECONDS
    while not path.exists():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.5)
    return True


def refuse_other_steps(workdir, step, workers):
    """Refuses workers that go on from another checkpoint than worker 0.

    Args:
        workdir: `Workdir`.
        step: of the checkpoint restored.
        workers: `OneWorker` or `Workers`.

    Raises:
        ValueError: naming the worker and both steps.
    """
    steps = workers.gather(step)
    for index, other in enumerate(steps):
        if other != steps[0]:
            raise ValueError(
                f"Worker {index} has read the checkpoint of step {other}, worker 0 that of step "
                f"{steps[0]}, in {workdir.checkpoints}: --workdir must name a folder that all "
                "machines share."
            )


def agreed_stop(stop, workers):
    """What `Checkpoint(stop=...)` takes: all stop after the same step if one is to stop.

    Args:
        stop: function without arguments: whether this worker is to stop.
        workers: `OneWorker` or `Workers`.
    """
    if workers.count == 1:
        return stop
    asked = time.monotonic()

    def due():
        nonlocal asked
        if not stop() and time.monotonic() - asked < _ASK_SECONDS:
            return False
        asked = time.monotonic()
        return True

    return lambda: workers.from_chief(due) and any(workers.gather(stop()))
