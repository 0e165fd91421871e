"""`joslim train`: weights and widths."""

import os

from keras_joslim.app.command import Command, UsageError
from keras_joslim.app.commands.results import say_results
from keras_joslim.distribution.choice import checked_strategy


def _check_train(request):
    check_strategy(request)
    # Before TensorFlow is loaded: is there a run to go on with?
    run_config(request)


def _train(request):
    if train_only(request, run_config(request)):
        say_results(request.workdir)


def check_strategy(request):
    """Refuses a strategy that cannot be had, before TensorFlow is loaded."""
    name = request.flags.strategy or "none"
    try:
        checked_strategy(name)
    except ValueError as error:
        raise UsageError(f"--strategy={name}: {error}") from None
    if name == "multi_worker":
        # When a worker is lost TensorFlow writes pages; there is a line on it at the end.
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def train_only(request, config):
    """Trains, or goes on with the training, and tells how many networks were judged.

    Returns:
        Whether there is more to do here: not on other workers than worker 0.
    """
    from keras_joslim.app.train import train

    front = train(request.workdir, config, strategy=request.flags.strategy or "none")
    if front is None:
        return False
    print(f"Judged: {len(front.history)} networks; front: {len(front)} points.")
    return True


def run_config(request):
    """The recipe's config, or that of the run that is there."""
    return request.workdir.config() if request.config is None else request.config


COMMAND = Command(
    "train",
    summary="weights and widths, then the front",
    usage="[--config=FILE] [--config.FIELD=VALUE ...]",
    example="--config=configs/digits.py --workdir=runs/short --config.train.epochs=20",
    flags=("config", "strategy"),
    check=_check_train,
    run=_train,
    loads_keras=True,
)
