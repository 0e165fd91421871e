"""`joslim status`: how far a run is."""

from keras_joslim.app.command import Command


def _status(request):
    from keras_joslim.app.status import status

    status(request.workdir)


COMMAND = Command(
    "status",
    summary="how far a run is, running or finished",
    usage="",
    example="--workdir=runs/digits",
    flags=(),
    run=_status,
)
