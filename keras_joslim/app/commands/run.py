"""`joslim run`: the whole of it."""

from keras_joslim.app.command import Command, UsageError
from keras_joslim.app.commands.export import check_packages, export_files
from keras_joslim.app.commands.profile import PROFILE, check_profile, profile_files
from keras_joslim.app.commands.results import say_results
from keras_joslim.app.commands.train import check_strategy, run_config, train_only


def _check_run(request):
    if request.config is None and not request.workdir.config_file.exists():
        raise UsageError(
            "`joslim run` needs --config=FILE, such as --config=configs/digits.py: there is no "
            f"run in {request.flags.workdir} to go on with"
        )
    check_strategy(request)
    check_profile(request)
    check_packages(request)


def _run(request):
    from keras_joslim.app.report import write_report

    if not train_only(request, run_config(request)):
        return
    export_files(request)
    profile_files(request)
    write_report(request.workdir)
    say_results(request.workdir)


COMMAND = Command(
    "run",
    summary="train, export, profile and plot in turn",
    usage="[--config=FILE] [--config.FIELD=VALUE ...]",
    example="--config=configs/digits.py --workdir=runs/digits",
    flags=("config", "strategy", "formats", "points", "jobs", *PROFILE),
    check=_check_run,
    run=_run,
    loads_keras=True,
)
