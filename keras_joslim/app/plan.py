"""`joslim plan`: what a run will be, before it starts: sizes, steps, time, memory, disk."""

import contextlib
import dataclasses
import math
import resource
import sys
import time

import keras
import numpy as np
from absl import logging

from keras_joslim.app import methods
from keras_joslim.app.recipe import make_recipe
from keras_joslim.costs import MACs, Parameters

# Steps that a probe runs before it looks at the clock, and those that it times. The first trace
# the graph, and a prefetched batch or two come for nothing.
_WARM, _TIMED = 3, 6
_NETWORKS_PROBED = 4


@dataclasses.dataclass(frozen=True)
class Searches:
    """How often a history is searched and measured in a run.

    Attributes:
        count: searches.
        history: networks in the history at the end.
        measured: losses measured, of all searches and the last look together.
    """

    count: int
    history: int
    measured: int


def searches_of(steps, tau, num_sampled, budget):
    """The `Searches` of a schedule with a history.

    Search k finds `num_sampled * k` networks in the history and measures all of them again, or as
    many as the budget has; at the end all are measured once more.

    Args:
        steps: optimizer steps of the run.
        tau: steps between two searches.
        num_sampled: networks asked for at a time.
        budget: networks measured at a search; `None`: all.
    """
    count = math.ceil(steps / tau)
    sizes = num_sampled * np.arange(count)
    measured = sizes if budget is None else np.minimum(sizes, budget)
    history = num_sampled * count
    return Searches(count, history, int(measured.sum()) + history)


@dataclasses.dataclass(frozen=True)
class Probe:
    """What a few steps took on this machine.

    Attributes:
        step: seconds of a training step, the median.
        network: seconds to measure the loss of one network on the calibration data.
        memory: bytes, the most that the process had.
    """

    step: float
    network: float
    memory: int


def plan(config, say=print):
    """Tells what a run of a config will be. Nothing is written.

    Args:
        config: JSON dict.
        say: is given the lines.

    Returns:
        The dict of what was told, numbers in it: `macs`, `networks`, `steps`, `history`, ...

    Raises:
        ValueError: a config that does not fit, data that are not there.
    """
    recipe = make_recipe(config)
    facts = {**_network(recipe, say), **_training(recipe, say)}
    probe = probed(recipe)
    facts |= _time(recipe, facts, probe, say)
    return facts | _disk(recipe, facts, say)


def _network(recipe, say):
    model, space = recipe.model, recipe.model.width_space
    macs, parameters = MACs(model), Parameters(model)
    ends = np.stack([space.full, space.smallest])
    full, least = (int(v) for v in macs(ends))
    weights, fewest = (int(v) for v in parameters(ends))
    shape = "x".join(str(size) for size in recipe.data.image_shape)
    say(
        f"network        {recipe.config['model']['name']}, {shape}, {recipe.data.num_classes} "
        f"classes: {full / 1e6:,.1f} M MACs, the smallest {least / 1e6:,.1f} M "
        f"({100 * least / full:.0f} %); {weights:,} parameters, {fewest:,}"
    )
    exponent = sum(math.log10(len(legal)) for legal in space.legal)
    say(
        f"search space   {len(space)} channel groups, {len(space.searchable)} of them searchable: "
        f"10^{exponent:.1f} networks"
    )
    return {"macs": full, "smallest_macs": least, "parameters": weights, "log10_networks": exponent}


def _training(recipe, say):
    config, train = recipe.config, recipe.config["train"]
    sizes = [len(recipe.data.splits[name]) for name in ("train", "validation", "test")]
    say("data           {:,} training, {:,} validation, {:,} test images".format(*sizes))
    # The first sandwich is asked for by a schedule that has seen nothing: how many it holds.
    networks = _networks_a_step(recipe)
    say(
        f"training       {recipe.epochs} epochs of {recipe.stream.steps_per_epoch:,} steps of "
        f"{train['batch_size']} images: {recipe.steps:,} steps of {networks} networks each, "
        f"{networks * recipe.steps:,} passes forwards and backwards"
    )
    facts = {"steps": recipe.steps, "networks": networks, "searches": None}
    method = config["method"]
    if not recipe.schedule.keeps_history:
        say(f"method         {method['name']}: no history, so nothing is measured while training")
        return facts
    searches = searches_of(
        recipe.steps, method["tau"], method["num_sampled"], method["recalibration"]
    )
    images = len(recipe.calibration_data[1])
    share = searches.measured * images / (networks * recipe.steps * train["batch_size"])
    say(
        f"method         {method['name']}: {searches.count:,} searches, every {method['tau']:,} "
        f"steps; the history ends with {searches.history:,} networks"
    )
    if searches.history <= method["prior_points"]:
        say(
            f"               That is no more than the {method['prior_points']} uniform ones that "
            "it begins with: nothing would be searched. Lower method.tau."
        )
    budget = method["recalibration"]
    say(
        f"re-calibration {'all' if budget is None else budget} of it a search, "
        f"{searches.measured:,} networks in all, each on {images:,} images: {100 * share:.1f} % of "
        "the images that training passes forwards"
    )
    return facts | {"searches": searches, "recalibration_share": share}


def _networks_a_step(recipe):
    method, fixed = recipe.config["method"], methods.find_method(recipe.config).schedule == "fixed"
    return len(method["multipliers"]) if fixed else method["num_sampled"] + 2


def probed(recipe):
    """The `Probe` of a recipe; its model is trained by a few steps."""
    clock = _Clock()
    with _errors_alone():
        recipe.model.fit(
            recipe.stream.from_step(0),
            epochs=1,
            steps_per_epoch=_probe_steps(recipe.model),
            callbacks=[recipe.schedule, clock],
            shuffle=False,
            verbose=0,
        )
    space = recipe.model.width_space
    rows = np.stack([space.uniform(m) for m in np.linspace(space.min_multiplier, 1, 4)])
    recipe.model.losses_at(rows, *recipe.calibration_data)
    start = time.perf_counter()
    recipe.model.losses_at(rows, *recipe.calibration_data)
    network = (time.perf_counter() - start) / len(rows)
    step = float(np.median(clock.seconds)) / recipe.model.steps_per_execution
    return Probe(step, network, peak_memory())


@contextlib.contextmanager
def _errors_alone():
    """Without warnings, such as a schedule's that so few steps are too few for a search."""
    before = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        yield
    finally:
        logging.set_verbosity(before)


def _probe_steps(model):
    return (_WARM + _TIMED) * model.steps_per_execution


class _Clock(keras.callbacks.Callback):
    """Seconds of each execution but the first ones."""

    def __init__(self):
        super().__init__()
        self.seconds = []
        self._last, self._seen = None, 0

    def on_train_batch_end(self, batch, logs=None):
        now = time.perf_counter()
        self._seen += 1
        if self._seen > _WARM:
            self.seconds.append(now - self._last)
        self._last = now


def peak_memory():
    """Bytes: the most memory that this process has had."""
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used if sys.platform == "darwin" else used * 1024


def _time(recipe, facts, probe, say):
    config, data = recipe.config, recipe.data
    images = config["train"]["batch_size"] / probe.step
    say(
        f"probe          on this machine, {_TIMED} steps: {probe.step:.3g} s a step ({images:,.0f} "
        f"images/s), {probe.network:.3g} s to measure a network; {_amount(probe.memory)} of main "
        "memory"
    )
    times = {"training": facts["steps"] * probe.step}
    if facts["searches"]:
        times["re-calibration"] = facts["searches"].measured * probe.network
    each = probe.network / len(recipe.calibration_data[1])
    if methods.find_method(config).search is not None:
        times["search"] = config["search"]["evaluations"] * probe.network
    calibration = config["calibration"]["batches"] * config["calibration"]["batch_size"]
    judged = config["front"]["networks"]
    if facts["searches"]:
        judged = min(judged, facts["searches"].history)
    times["judging"] = judged * each * (calibration + len(data.validation))
    total = sum(times.values())
    parts = ", ".join(f"{name} {_duration(seconds)}" for name, seconds in times.items())
    say(f"time           {_duration(total)}: {parts}; some more for what is not in the probe")
    return {"seconds": times, "memory": probe.memory, "judged": judged}


def _disk(recipe, facts, say):
    config, model = recipe.config, recipe.model
    variables = {id(v): v for v in (*model.variables, *model.optimizer.variables)}
    one = sum(math.prod(v.shape) * _itemsize(v) for v in variables.values())
    fields = config["checkpoint"]
    every, last = fields["every_steps"], fields.get("keep_last", 2)
    kept, hours = last, fields.get("keep_every_hours")
    if hours:
        kept += int(facts["seconds"]["training"] / 3600 / hours)
    when = "after each epoch" if every is None else f"every {every:,} steps"
    # While one is written the others are still there.
    checkpoints = (kept + 1) * one
    # A point is a .keras file and a file a format, none of more than 4 bytes a weight.
    formats = len(config["export"]["formats"])
    models = facts["judged"] * facts["parameters"] * 4 * (1 + formats)
    say(
        f"checkpoints    {_amount(one)} each, {when}; {kept} are kept\n"
        f"disk           {_amount(checkpoints)} of checkpoints, and at most {_amount(models)} of "
        f"models ({facts['judged']} points in {1 + formats} files)"
    )
    return {"checkpoint": one, "disk": checkpoints + models}


def _itemsize(variable):
    return np.dtype("float16" if variable.dtype == "bfloat16" else variable.dtype).itemsize


def _amount(count):
    """Bytes, in the unit that fits."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.3g} {unit}" if count < 1000 else f"{count:,.0f} {unit}"
        count /= 1000
    return None


def _duration(seconds):
    """Seconds, minutes, hours or days."""
    for limit, size, unit in ((90, 1, "s"), (5400, 60, "min"), (172800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds / 86400:.1f} days"
