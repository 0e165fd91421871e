"""`joslim search`: another front of a trained run."""

import math

from keras_joslim.app.choices import COSTS, LATENCY, SEARCHES, TARGETS, cost_kind, in_full
from keras_joslim.app.command import Command, UsageError
from keras_joslim.app.commands.results import say_results
from keras_joslim.app.workdir import Workdir


def _check_search(request):
    flags = request.flags
    if not flags.method:
        raise UsageError(f"`joslim search` needs --method, one of {', '.join(SEARCHES)}")
    if flags.targets is not None and flags.method != "mobo":
        raise UsageError(f"--targets are those of --method=mobo. Received: {flags.method!r}")
    for name in ("budget", "budget_ms"):
        value = flags[name].value
        if value is not None and flags.method != "mrf":
            raise UsageError(f"--{name} is that of --method=mrf. Received: {flags.method!r}")
        if value is not None and not 0 < value < math.inf:
            raise UsageError(f"--{name} is a number above 0. Received: {value}")
    if flags.method == "mrf" and cost_kind(_cost(request)) == "memory":
        raise UsageError(
            "--method=mrf needs a cost that is a sum over layers; memory is a peak. Take mobo, "
            "nsga2 or greedy, or another --cost"
        )
    if flags.budget_ms is not None:
        if flags.budget is not None:
            raise UsageError("--budget and --budget_ms say the same: give one of them")
        if not _cost(request).startswith(LATENCY):
            raise UsageError(
                f"--budget_ms is for --cost={LATENCY}FILE, other costs have --budget. "
                f"Received: cost={_cost(request)!r}"
            )
    _search_workdir(request)


def _cost(request):
    """The cost of the search that is asked for."""
    return request.flags.cost or Workdir(request.flags.workdir).config().get("cost", "macs")


def _search_workdir(request):
    """Where the search is kept: under its name, or one made of what it searches."""
    flags = request.flags
    budget = flags.budget if flags.budget_ms is None else flags.budget_ms
    # Other targets and another budget are another search.
    targets = flags.targets if flags.targets != "uniform" else None
    name = "-".join(filter(None, (flags.method, targets, cost_kind(_cost(request)))))
    if budget is not None:
        # In full: what is made of 1e6 must be a name, and two budgets two of them.
        name += f"-{in_full(budget)}"
    workdir = Workdir(flags.workdir, flags.name or name)
    workdir.config()
    return workdir


def _search(request):
    from keras_joslim.app.search import search

    flags, workdir = request.flags, _search_workdir(request)
    search(
        workdir,
        flags.method,
        flags.cost,
        flags.evaluations,
        flags.targets or "uniform",
        flags.budget if flags.budget_ms is None else flags.budget_ms,
    )
    say_results(workdir)


COMMAND = Command(
    "search",
    summary="another front of a trained run, beside the first",
    usage=f"--method={'|'.join(SEARCHES)} [--cost={'|'.join(COSTS)}|{LATENCY}FILE] "
    f"[--evaluations=500] [--targets={'|'.join(TARGETS)}] [--budget=COST|--budget_ms=8] "
    "[--name=NAME]",
    example="--workdir=runs/short --method=nsga2 --cost=parameters",
    flags=("method", "cost", "evaluations", "targets", "budget", "budget_ms", "name"),
    check=_check_search,
    run=_search,
    loads_keras=True,
)
