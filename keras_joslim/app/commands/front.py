"""`joslim front`: the points by another measure."""

from keras_joslim.app.command import Command, UsageError


def _check_front(request):
    if not request.flags.by:
        raise UsageError("`joslim front` needs --by=MEASURE, such as --by=latency:host")


def _front(request):
    front = request.workdir.front()
    for file_format in request.flags.formats or [None]:
        print(front.rank(request.flags.by, file_format).table())


COMMAND = Command(
    "front",
    summary="the points by another measure: what a device says, bytes, arena, a cost",
    usage="--by=MEASURE [--formats=int8] [--name=SEARCH]",
    example="--workdir=runs/short --by=latency:host --formats=int8",
    flags=("by", "formats", "name"),
    check=_check_front,
    run=_front,
)
