"""`joslim platforms`: the point and the file of every target platform of a run."""

from keras_joslim.app.command import Command, UsageError


def _check_platforms(request):
    flags = request.flags
    if (flags.alpha is None) != (flags.seed is None):
        given, missing = ("alpha", "seed") if flags.seed is None else ("seed", "alpha")
        raise UsageError(f"--alpha and --seed draw weights together: --{given} needs --{missing}")


def _platforms(request):
    from keras_joslim.app.platforms import platforms

    flags = request.flags
    platforms(request.workdir, flags.alpha, flags.seed, request.config)


COMMAND = Command(
    "platforms",
    summary="the point and TFLite file of each target platform, and their weighted accuracy",
    usage="[--alpha=1 --seed=0]",
    example="--workdir=runs/shipped",
    flags=("alpha", "seed", "config"),
    check=_check_platforms,
    run=_platforms,
    loads_keras=True,
)
