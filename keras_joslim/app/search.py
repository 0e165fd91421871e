"""`joslim search`: the widths of a trained run searched anew, a new front beside the old one."""

import json

import numpy as np

from keras_joslim import atomic
from keras_joslim.app.choices import in_full
from keras_joslim.app.methods import make_cost, make_search
from keras_joslim.app.recipe import make_recipe
from keras_joslim.app.train import restored, save_front
from keras_joslim.front import ParetoFront
from keras_joslim.search import MRFSearch
from keras_joslim.width_search import search_widths


def search(workdir, method, cost=None, evaluations=None, targets="uniform", budget=None, say=print):
    """Searches the widths of a trained run, whatever method trained it.

    Args:
        workdir: `Workdir` of a trained run, with the name of this search.
        method: one of `choices.SEARCHES`.
        cost: as `choices.checked_cost` has it; that of the config if `None`.
        evaluations: networks to measure; that of the config if `None`, where "greedy" goes
            on to its end, and "mrf" measures none if the training gathered scores of widths.
        targets: of "mobo", see `keras_joslim.search.JoslimSearch`.
        budget: of "mrf", the most that the network sought may cost, in the unit of the cost; a
            spread of budgets if `None`.
        say: where progress is told.

    Returns:
        The `ParetoFront`, in `search/<name>/` with its models.

    Raises:
        ValueError: the run is not trained yet; a search of that name with other settings; a budget
            that is none of "mrf", or that no widths meet.
    """
    if budget is not None and method != "mrf":
        raise ValueError(
            'A budget is what the search by "mrf" looks within; others give a front. '
            f"Received: method={method!r}, budget={budget}"
        )
    config = workdir.config()
    recipe = make_recipe(config)
    checkpoint = restored(workdir, recipe)
    if checkpoint.step < recipe.steps:
        raise ValueError(
            f"The training in {workdir.path} is at step {checkpoint.step} of {recipe.steps}. "
            f"`joslim train --workdir={workdir.path}` ends it; then search."
        )
    settings = {
        "method": method,
        "cost": cost or config["cost"],
        "evaluations": _evaluations(method, evaluations, recipe),
        "targets": targets,
        "budget": budget,
    }
    if method == "mrf" and (settings["evaluations"] or 3) < 3:
        raise ValueError(
            'The search by "mrf" scores widths by random networks, measured after the full and the '
            "smallest one: 3 networks or more, hundreds to be of use. "
            f"Received: evaluations={evaluations}"
        )
    _refuse_other_settings(workdir, settings)
    if workdir.front_file.exists():
        say(f"{workdir.place} has its front already.")
        return ParetoFront.load(workdir.front_file)
    found = make_cost(settings["cost"], recipe.model)
    engine = _searched(workdir, recipe, settings, found, say)
    widths = candidates(engine, config["front"]["networks"])
    front = save_front(workdir, recipe, widths, say, costs=[found])
    if budget is not None:
        _say_answer(front, widths[0], found, budget, say)
    return front


def _say_answer(front, widths, cost, budget, say):
    """What became of the answer within the budget: a point, or beaten by a cheaper one."""
    unit = cost.unit
    say(f"The best widths within {in_full(budget)} {unit} cost {in_full(float(cost(widths)))}.")
    names = {tuple(point.widths): point.name for point in front}
    name = names.get(tuple(widths.tolist()))
    if name is not None:
        say(f"They are point {name}.")
        return
    # Points ascend in cost and descend in loss.
    best = [point for point in front if point.costs[cost.name] <= budget][-1]
    say(
        f"They are no point of the front: {best.name} costs no more and has the lower validation "
        "loss, so it is the one to take within this budget."
    )


def after_training(workdir, recipe, method, say=print):
    """The second stage of a two-stage method, part of its training: the engine, at its end."""
    settings = {
        "method": method,
        "cost": recipe.cost.name,
        "evaluations": _evaluations(method, None, recipe),
        "targets": "uniform",
        "budget": None,
    }
    return _searched(workdir, recipe, settings, recipe.cost, say)


def _evaluations(method, evaluations, recipe):
    """How many networks to measure; `None` where the search ends by itself and is not told."""
    by_itself = method == "greedy" or method == "mrf" and recipe.schedule.scores is not None
    if evaluations is not None or by_itself:
        return evaluations
    return recipe.config["search"]["evaluations"]


def _searched(workdir, recipe, settings, cost, say):
    """Runs a search to its end, from its last state if there is one."""
    method, evaluations = settings["method"], settings["evaluations"]
    of_mrf = {}
    if method == "mrf":
        of_mrf["budget"] = settings["budget"]
        if evaluations is None:
            schedule = recipe.schedule
            of_mrf |= {"choices": schedule.choices, "scores": schedule.scores}
    engine = make_search(
        method,
        recipe.model.width_space,
        cost,
        recipe.config["seed"],
        settings["targets"],
        recipe.config["search"]["greedy_targets"],
        **of_mrf,
    )
    state = _saved(workdir)
    if state is not None:
        try:
            engine.restore(state["engine"])
        except ValueError as error:
            raise _unreadable(workdir, error) from None
        say(f"Going on with the search at {len(engine.history)} networks.")
    else:
        most = f"up to {evaluations} networks"
        if evaluations is None:
            most = "until it ends" if method == "greedy" else "by the scores of the training"
        say(f"Searching widths: {method} over {cost.name}, {most}.")

    def save():
        content = {"settings": settings, "engine": engine.state()}
        atomic.write_json(workdir.search_file, content)

    search_widths(recipe.model, engine, recipe.calibration_data, evaluations, on_round=save)
    if not workdir.search_file.exists():
        # Nothing was measured, but what the front is of is to be known.
        save()
    if method == "greedy" and not engine.done:
        say(
            f"Stopped at {evaluations} networks with {len(engine.chosen)} of the targets reached. "
            "To go on to the last, search under another --name without --evaluations."
        )
    return engine


def candidates(engine, count):
    """The widths worth judging: `count` that the losses put first, and what greedy chose.

    Of the search by an MRF its answers: what it measured scores widths, and is random itself.
    """
    if isinstance(engine, MRFSearch):
        return engine.answers(count)
    widths = engine.history.widths[engine.history.leading(count)]
    chosen = list(getattr(engine, "chosen", {}).values())
    return np.unique([*widths, *chosen], axis=0)


def _saved(workdir):
    if not workdir.search_file.exists():
        return None
    try:
        state = json.loads(workdir.search_file.read_text(encoding="utf-8"))
        if not {"settings", "engine"} <= set(dict(state)):
            raise ValueError("it has no settings and engine")
        return state
    except (ValueError, TypeError) as error:
        raise _unreadable(workdir, error) from None


def _unreadable(workdir, error):
    return ValueError(
        f"{workdir.search_file} cannot be taken up ({error}). Remove it to search anew."
    )


def _refuse_other_settings(workdir, settings):
    state = _saved(workdir)
    for name, value in settings.items():
        then = value if state is None else state["settings"].get(name)
        if then != value:
            raise ValueError(
                f"{workdir.place} holds a search with {name}={_given(then)}, now {_given(value)}. "
                "Give the same settings to go on with it, or another --name."
            )


def _given(value):
    return "not given" if value is None else repr(value)
