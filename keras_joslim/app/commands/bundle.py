"""`joslim bundle`: the folder for an app team."""

from keras_joslim.app.command import Command, UsageError


def _check_bundle(request):
    if (request.flags.play_ai_pack is None) != (request.flags.device_groups is None):
        raise UsageError("--play_ai_pack=NAME and --device_groups=FILE go together: give both")


def _bundle(request):
    from keras_joslim.app.bundle import bundle

    flags = request.flags
    bundle(
        request.workdir,
        flags.output,
        flags.points or "all",
        flags.formats,
        ai_pack=flags.play_ai_pack,
        device_groups=flags.device_groups,
    )


COMMAND = Command(
    "bundle",
    summary="models, manifest, labels and checksums for an app",
    usage="[--output=DIR] [--points=p00,p03] [--formats=int8] [--name=SEARCH] "
    "[--play_ai_pack=NAME --device_groups=FILE]",
    example="--workdir=runs/short --points=budget:3",
    flags=("output", "points", "formats", "play_ai_pack", "device_groups", "name"),
    check=_check_bundle,
    run=_bundle,
)
