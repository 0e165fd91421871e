"""The methods that one config field selects: a schedule, and what follows the training."""

import dataclasses

import numpy as np

from keras_joslim import costs
from keras_joslim.schedules import FixedWidths, Joslim, RandomWidths, UniformWidths
from keras_joslim.search import GreedySearch, JoslimSearch, NSGA2Search

COSTS = ("macs", "parameters", "memory")
SEARCHES = ("mobo", "nsga2", "greedy")
# Arguments of the Joslim search: ours, or those of the published code.
SURROGATES = {
    "default": {},
    "published": {"lengthscales": "one", "mean": "zero", "surrogate_entries": None},
}


@dataclasses.dataclass(frozen=True)
class Method:
    """One method.

    Attributes:
        schedule: which of `fixed`, `uniform`, `random`, `joslim` trains it.
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
    """The cost object of that name, for `model`.

    Raises:
        ValueError: there is none of that name.
    """
    if name not in COSTS:
        raise ValueError(f"A cost is one of {', '.join(COSTS)}. Received: cost={name!r}")
    kinds = {"macs": costs.MACs, "parameters": costs.Parameters, "memory": costs.Memory}
    return kinds[name](model)


def make_schedule(config, model, cost, calibration_data):
    """The schedule of the config's method.

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
    if options["surrogate"] not in SURROGATES:
        raise ValueError(
            f"method.surrogate is one of {', '.join(SURROGATES)}. "
            f"Received: method.surrogate={options['surrogate']!r}"
        )
    return Joslim(
        calibration_data,
        tau=options["tau"],
        cost=cost,
        num_sampled=count,
        seed=seed,
        recalibration=options["recalibration"],
        recent=options["recent"],
        prior_points=options["prior_points"],
        targets=method.targets,
        bound=options["bound"],
        **SURROGATES[options["surrogate"]],
    )


def make_search(name, space, cost, seed, targets="uniform", greedy_targets=()):
    """The engine of a search after training.

    Args:
        name: one of `SEARCHES`.
        space: the `WidthSpace`.
        cost: a cost object.
        seed: of "mobo" and "nsga2".
        targets: of "mobo".
        greedy_targets: parts of the full cost that "greedy" walks down to; its own if empty.

    Raises:
        ValueError: there is none of that name, or targets that cannot be reached.
    """
    if name not in SEARCHES:
        raise ValueError(f"A search is one of {', '.join(SEARCHES)}. Received: method={name!r}")
    if name == "mobo":
        return JoslimSearch(space, cost, targets=targets, seed=seed)
    if name == "nsga2":
        return NSGA2Search(space, cost, seed=seed)
    return GreedySearch(space, cost, targets=list(greedy_targets) or None)


def calibration_part(config, data):
    """The validation images and labels that losses of a history are measured on."""
    size = min(config["method"]["calibration_size"], len(data.validation))
    rng = np.random.default_rng(config["seed"])
    chosen = np.sort(rng.choice(len(data.validation), size, replace=False))
    return data.validation.images[chosen], data.validation.labels[chosen]
