"""`joslim export`: TFLite files."""

from keras_joslim.app.command import Command, UsageError
from keras_joslim.app.commands.results import say_results
from keras_joslim.app.format_packages import refuse_missing_packages


def _check_export(request):
    if request.flags.single_file:
        for name in ("formats", "jobs"):
            if request.flags[name].value is not None:
                raise UsageError(f"--single_file makes one fp32 file: leave out --{name}")
    request.workdir.front()
    check_packages(request)


def check_packages(request):
    """Refuses formats that this machine cannot make, before hours of training or TensorFlow."""
    config = request.workdir.config() if request.config is None else request.config
    formats = request.flags.formats or config.get("export", {}).get("formats")
    if formats and not request.flags.single_file:
        refuse_missing_packages(request.workdir, formats)


def _export(request):
    take_config(request)
    if request.flags.single_file:
        from keras_joslim.app.export import export_one_file

        export_one_file(request.workdir, request.flags.points)
        return
    export_files(request)
    say_results(request.workdir)


def export_files(request):
    """A file for each point and format."""
    from keras_joslim.app.export import export

    flags = request.flags
    export(request.workdir, flags.formats, flags.points, flags.jobs)


def take_config(request):
    """A trained run takes other fields of `export` and `profile`."""
    if request.config is not None:
        request.workdir.config()
        request.workdir.claim(request.config)


COMMAND = Command(
    "export",
    summary="TFLite files, checked and measured",
    usage="[--formats=fp32,int8] [--points=knees] [--single_file] [--name=SEARCH]",
    example="--workdir=runs/short --formats=fp32,int8 --points=budget:5",
    flags=("formats", "points", "jobs", "single_file", "name", "config"),
    check=_check_export,
    run=_export,
    loads_keras=True,
)
