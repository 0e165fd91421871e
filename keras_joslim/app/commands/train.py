"""`joslim train`: weights and widths."""

from keras_joslim.app.command import Command
from keras_joslim.app.commands.results import say_results


def _check_train(request):
    # Before TensorFlow is loaded: is there a run to go on with?
    run_config(request)


def _train(request):
    train_only(request, run_config(request))
    say_results(request.workdir)


def train_only(request, config):
    """Trains, or goes on with the training, and tells how many networks were judged."""
    from keras_joslim.app.train import train

    front = train(request.workdir, config)
    print(f"Judged: {len(front.history)} networks; front: {len(front)} points.")


def run_config(request):
    """The recipe's config, or that of the run that is there."""
    return request.workdir.config() if request.config is None else request.config


COMMAND = Command(
    "train",
    summary="weights and widths, then the front",
    usage="[--config=FILE] [--config.FIELD=VALUE ...]",
    example="--config=configs/digits.py --workdir=runs/short --config.train.epochs=20",
    flags=("config",),
    check=_check_train,
    run=_train,
    loads_keras=True,
)
