"""`joslim plot`: the front as a page."""

from keras_joslim.app.command import Command
from keras_joslim.app.commands.results import say_results


def _plot(request):
    from keras_joslim.app.report import write_report

    write_report(request.workdir)
    say_results(request.workdir)


COMMAND = Command(
    "plot",
    summary="the front as a page, report.html",
    usage="[--name=SEARCH]",
    example="--workdir=runs/short",
    flags=("name",),
    run=_plot,
)
