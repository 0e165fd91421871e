"""The methods that one config field selects: a schedule, and what follows the training."""

import dataclasses

import numpy as np

from keras_joslim import costs
from keras_joslim.app.choices import LATENCY, SEARCHES, checked_cost
from keras_joslim.schedules import (
    AdaptiveWidths,
    FixedWidths,
    Joslim,
    Platform,
    PlatformWidths,
    RandomWidths,
    UniformWidths,
)
from keras_joslim.search import GreedySearch, JoslimSearch, MRFSearch, NSGA2Search
from keras_joslim.search.platforms import check_platforms

# Arguments of the Joslim search: ours, or those of the published code.
SURROGATES = {
    "default": {},
    "published": {"lengthscales": "one", "mean": "zero", "surrogate_entries": None},
}


@dataclasses.dataclass(frozen=True)
class Method:
    """One method.

    Attributes:
        schedule: which of `fixed`, `uniform`, `random`, `joslim`, `aows`, `ows`, `platforms` trains
            it.
        targets: of the Joslim search; `None` for others.
        search: what searches the widths after training, one of `SEARCHES`, or `None`.
    """

    schedule: str
    targets: str | None = None
    search: str | None = None


METHODS = {
    "fixed": Method("fixed"),
    "uniform": Method("uniform"),
    "random": Method("random"),
    "two_stage": Method("random", search="mobo"),
    "two_stage_nsga2": Method("random", search="nsga2"),
    "autoslim": Method("random", search="greedy"),
    "joslim": Method("joslim", targets="uniform"),
    "pareco": Method("joslim", targets="gap"),
    "lambda": Method("joslim", targets="lambda"),
    "aows": Method("aows"),
    "ows": Method("ows"),
    "platforms": Method("platforms"),
}


def find_method(config):
    """The `Method` that `config.method.name` says.

    Raises:
        ValueError: there is none of that name.
    """
    name = config["method"]["name"]
    if name not in METHODS:
        raise ValueError(
            f"method.name is one of {', '.join(METHODS)}. Received: method.name={name!r}"
        )
    return METHODS[name]


def make_cost(name, model):
    """The cost object of that name, for `model`; "latency:FILE" is a fitted latency model.

    Raises:
        ValueError: there is none of that name, or the file is of another network.
    """
    checked_cost(name)
    if name.startswith(LATENCY):
        return costs.Latency.load(name.removeprefix(LATENCY), model)
    kinds = {"macs": costs.MACs, "parameters": costs.Parameters, "memory": costs.Memory}
    return kinds[name](model)


def make_schedule(config, model, cost, calibration_data, steps=None):
    """The schedule of the config's method; `steps` is the number of the whole run's.

    Raises:
        ValueError: there is no such method or surrogate.
    """
    method, options, seed = find_method(config), config["method"], config["seed"]
    count, hold = options["num_sampled"], options["hold"]
    if method.schedule == "fixed":
        return FixedWidths(options["multipliers"])
    if method.schedule == "uniform":
        return UniformWidths(count, seed, tau=hold)
    if method.schedule == "random":
        return RandomWidths(count, seed, tau=hold)
    if method.schedule in ("aows", "ows"):
        return _adaptive_schedule(config, model, cost, steps)
    if method.schedule == "platforms":
        return _platform_schedule(config, model, cost, calibration_data, steps)
    return Joslim(
        calibration_data,
        tau=options["tau"],
        num_sampled=count,
        seed=seed,
        targets=method.targets,
        **_search_options(options, cost),
    )


def _search_options(options, cost):
    """Arguments of a search while training, besides its targets."""
    if options["surrogate"] not in SURROGATES:
        raise ValueError(
            f"method.surrogate is one of {', '.join(SURROGATES)}. "
            f"Received: method.surrogate={options['surrogate']!r}"
        )
    return {
        "cost": cost,
        "recalibration": options["recalibration"],
        "recent": options["recent"],
        "prior_points": options["prior_points"],
        "bound": options["bound"],
        **SURROGATES[options["surrogate"]],
    }


def _adaptive_schedule(config, model, cost, steps):
    options, budget = config["method"], None
    if find_method(config).schedule == "aows":
        budget = options["budget"]
        if budget is None:
            budget = 0.5 * float(cost(model.width_space.full))
    arguments = {"num_sampled": options["num_sampled"], "seed": config["seed"]}
    schedule = AdaptiveWidths(budget, steps, cost, **arguments)
    # A budget that no widths meet is refused here, before there is a run.
    schedule.set_model(model)
    return schedule


def _platform_schedule(config, model, cost, calibration_data, steps):
    options = config["method"]
    strategy = options.get("strategy", "joslim")
    searched = _search_options(options, cost) if strategy == "joslim" else {}
    platforms = make_platforms(config, model)
    # Of use after training alone, but refused before it.
    platform_formats(config, platforms)
    schedule = PlatformWidths(
        platforms,
        calibration_data,
        options["tau"],
        strategy,
        options["num_sampled"],
        config["seed"],
        steps,
        **searched,
    )
    # As above: what cannot be trained for is refused here.
    schedule.set_model(model)
    return schedule


def make_platforms(config, model, weights=None):
    """The `Platform`s of the config.

    Args:
        config: JSON dict with `platforms`, a list of dicts of `name`, `cost` ("macs", "parameters"
            or "latency:FILE"), `budgets`, `weight` (1 if not given) and `format` (see
            `joslim platforms`).
        model: the `SlimmableModel` that costs are of.
        weights: in the place of those of the config.

    Raises:
        ValueError: no platforms; a field that is missing or unknown, naming its platform.
    """
    entries = platform_entries(config)
    if weights is None:
        weights = [entry.get("weight", 1.0) for entry in entries]
    return check_platforms(
        Platform(entry["name"], make_cost(entry["cost"], model), entry["budgets"], weight)
        for entry, weight in zip(entries, weights, strict=True)
    )


def platform_formats(config, platforms):
    """The number format that each platform runs, by its name: that of its latency model, if any.

    Raises:
        ValueError: a format that there is not, or that a latency model was not measured of.
    """
    from keras_joslim.tflite.formats import find_formats

    formats = {}
    for platform, entry in zip(platforms, platform_entries(config), strict=True):
        own, given = getattr(platform.cost, "facts", {}).get("format"), entry.get("format")
        if own and given and own != given:
            raise ValueError(
                f"The latency model of platform {platform.name!r} was fitted to {own} files. "
                f"Received: format={given!r}. Leave it out, or fit one of that format."
            )
        formats[platform.name] = given or own or config["export"]["formats"][0]
    find_formats(list(dict.fromkeys(formats.values())))
    return formats


def platform_entries(config):
    """The dicts of `config.platforms`, of which no field is missing or unknown.

    Raises:
        ValueError: as `make_platforms`.
    """
    entries = [dict(entry) for entry in config.get("platforms") or ()]
    if not entries:
        raise ValueError(
            "The config has no platforms. Give it some: config.platforms = "
            '({"name": "phone", "cost": "latency:phone.json", "budgets": [8.0], "weight": 3}, ...)'
        )
    for entry in entries:
        missing = sorted({"name", "cost", "budgets"} - set(entry))
        unknown = sorted(set(entry) - {"name", "cost", "budgets", "weight", "format"})
        if missing or unknown:
            what = f"lacks {missing[0]!r}" if missing else f"has no field {unknown[0]!r}"
            raise ValueError(
                f"A platform of the config is name, cost, budgets, weight and format; this one "
                f"{what}. Received: {entry}"
            )
    return entries


def make_search(name, space, cost, seed, targets="uniform", greedy_targets=(), **of_mrf):
    """The engine of a search after training.

    Args:
        name: one of `SEARCHES`.
        space: the `WidthSpace`.
        cost: a cost object.
        seed: of "mobo", "nsga2" and "mrf".
        targets: of "mobo".
        greedy_targets: parts of the full cost that "greedy" walks down to; its own if empty.
        **of_mrf: further arguments of `MRFSearch`, for "mrf".

    Raises:
        ValueError: there is none of that name, or targets that cannot be reached.
    """
    if name not in SEARCHES:
        raise ValueError(f"A search is one of {', '.join(SEARCHES)}. Received: method={name!r}")
    if name == "mobo":
        return JoslimSearch(space, cost, targets=targets, seed=seed)
    if name == "nsga2":
        return NSGA2Search(space, cost, seed=seed)
    if name == "mrf":
        return MRFSearch(space, cost, seed=seed, **of_mrf)
    return GreedySearch(space, cost, targets=list(greedy_targets) or None)


def calibration_part(config, data):
    """The validation images and labels that losses of a history are measured on."""
    size = min(config["method"]["calibration_size"], len(data.validation))
    rng = np.random.default_rng(config["seed"])
    chosen = np.sort(rng.choice(len(data.validation), size, replace=False))
    return data.validation.arrays(chosen)
