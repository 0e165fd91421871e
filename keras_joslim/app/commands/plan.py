"""`joslim plan`: what a run will be."""

from keras_joslim.app.command import Command, UsageError


def _check_plan(request):
    if request.config is None:
        raise UsageError(
            "`joslim plan` needs --config=FILE, such as --config=configs/imagenet_mobilenet_v2.py"
        )


def _plan(request):
    from keras_joslim.app.plan import plan

    plan(request.config)


COMMAND = Command(
    "plan",
    summary="what a run will be, before it starts: steps, time, memory, disk",
    usage="--config=FILE [--config.FIELD=VALUE ...]",
    example="--config=configs/glyphs.py",
    flags=("config",),
    check=_check_plan,
    run=_plan,
    loads_keras=True,
    needs_workdir=False,
)
