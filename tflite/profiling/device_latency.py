"""Latency of one file on one device: the figures of the benchmark tool's runs, put together.

The tool prints figures of one run, and not every generation prints all of them. Over the rounds
the median of a figure is taken (of the minima the least one): a round that something else disturbed
does not move it. What the tool does not print is None; nothing is computed from other figures.
"""

import dataclasses
import math
import re
import statistics

from keras_joslim.tflite.benchmark_log.delegates import Delegation
from keras_joslim.tflite.benchmark_log.operators import OperatorTime

ROUTES = ("binary", "apk", "host")
_FIGURES = ("mean", "min", "median", "p95", "std", "first", "init")
_COUNTS = ("runs", "memory", "peak_memory", "thermal_before", "thermal_after")


@dataclasses.dataclass(frozen=True)
class DeviceLatency:
    """What the TFLite benchmark tool measured of one file on one device.

    Attributes:
        mean, median, p95, std: milliseconds of one inference, the median over the rounds of what
            the tool printed; None where it does not print it. The mean is always there.
        min: the least inference of all rounds, milliseconds.
        first: milliseconds of the first inference of a process; median over the rounds.
        init: milliseconds of loading the model, delegates included; median over the rounds.
        round_values: tuple, the `milliseconds` of each round.
        runs: timed inferences of all rounds together, None where the tool does not count.
        drift: last over first measurement of the sentinel file, 1 if the device stayed the same;
            None if it was not measured twice.
        delegate: the delegate asked for: "xnnpack", "gpu", "nnapi" or "none".
        delegations: tuple of `Delegation`, what really ran the model, nodes N of M.
        memory: bytes by which the tool's memory grew until the end of the runs.
        peak_memory: bytes, peak of the whole process by the tool's own monitor, which watches a
            run of its own.
        threads: of the CPU kernels.
        cores: tuple of int, those that the tool was pinned to; None if it was not.
        thermal_before, thermal_after: the highest thermal status (0 none to 6 shutdown) at which a
            run began, and ended; None where the device does not tell.
        route: "binary", "apk" (the app) or "host" (this machine).
        tool: sha256 of the tool.
        operators: tuple of `OperatorTime`, if they were asked for.
        warnings: tuple of str, all that makes the figures doubtful.
    """

    mean: float
    min: float | None
    median: float | None
    p95: float | None
    std: float | None
    first: float | None
    init: float | None
    round_values: tuple
    runs: int | None
    drift: float | None
    delegate: str
    delegations: tuple
    memory: int | None
    peak_memory: int | None
    threads: int
    cores: tuple | None
    thermal_before: int | None
    thermal_after: int | None
    route: str
    tool: str
    operators: tuple = ()
    warnings: tuple = ()

    def __repr__(self):
        figure = f"{self.statistic}={self.milliseconds:.3f} ms"
        doubtful = ", doubtful: see .warnings" if self.warnings else ""
        applied = "".join(f", {one}" for one in self.delegations)
        return f"DeviceLatency({figure}, {self.rounds} rounds{applied}{doubtful})"

    @property
    def milliseconds(self):
        """The figure to compare files by: the median, or the mean where the tool prints none."""
        return self.mean if self.median is None else self.median

    @property
    def statistic(self):
        """What `milliseconds` is: "median" or "mean"."""
        return "mean" if self.median is None else "median"

    @property
    def rounds(self):
        """Processes that measured the file."""
        return len(self.round_values)

    @property
    def spread(self):
        """Highest less lowest of the rounds, as a share of `milliseconds`; None for one round."""
        if self.rounds < 2:
            return None
        return (max(self.round_values) - min(self.round_values)) / self.milliseconds

    def to_dict(self):
        """A JSON object, with the derived figures too."""
        values = dataclasses.asdict(self)
        values = {key: list(v) if isinstance(v, tuple) else v for key, v in values.items()}
        derived = ("milliseconds", "statistic", "rounds", "spread")
        return values | {key: getattr(self, key) for key in derived}

    def to_entry(self):
        """What the entry of a manifest holds of it, a JSON object."""
        names = ("milliseconds", "statistic", "min", "p95", "spread", "rounds", "threads")
        values = {name: getattr(self, name) for name in names}
        return values | {"delegate": self.delegate, "warnings": list(self.warnings)}

    @classmethod
    def from_dict(cls, values):
        """The `DeviceLatency` that `to_dict` wrote.

        Raises:
            ValueError: fields are missing, or a value is not what can have been measured.
        """
        names = [field.name for field in dataclasses.fields(cls)]
        if not isinstance(values, dict) or not set(names) <= set(values):
            missing = sorted(set(names) - set(values)) if isinstance(values, dict) else names
            raise ValueError(
                f"Expected a latency as DeviceLatency.to_dict writes it. Received: without "
                f"{missing}. Measure the file again."
            )
        values = {name: values[name] for name in names}
        try:
            values |= {
                "round_values": tuple(values["round_values"]),
                "cores": None if values["cores"] is None else tuple(values["cores"]),
                "delegations": tuple(Delegation(**one) for one in values["delegations"]),
                "operators": tuple(OperatorTime(**one) for one in values["operators"]),
                "warnings": tuple(values["warnings"]),
            }
        except TypeError as error:
            raise ValueError(
                f"Expected lists and objects as DeviceLatency.to_dict writes them. "
                f"Received: {error}. Measure the file again."
            ) from None
        for name, fits in _CHECKS.items():
            if not fits(values[name]):
                raise ValueError(
                    f"Expected {_EXPECTED.get(name, 'a figure above 0, or none')}. "
                    f"Received: {name}={values[name]!r}. Measure the file again."
                )
        return cls(**values)


def device_latency(results, *, memory, operators, **facts):
    """Puts the runs of one file together.

    Args:
        results: list of `BenchmarkResult`, one a round, at least one.
        memory: `BenchmarkResult` of the run that watched the memory, or None.
        operators: `BenchmarkResult` of the run that timed the operators, or None.
        **facts: the other fields of `DeviceLatency`.

    Returns:
        A `DeviceLatency`.
    """
    medians = all(one.median is not None for one in results)
    return DeviceLatency(
        **{name: _over_rounds(name, results) for name in _FIGURES},
        round_values=tuple(one.median if medians else one.mean for one in results),
        runs=_if_all([one.runs for one in results], sum),
        delegations=results[0].delegates,
        memory=_if_all([one.memory_overall for one in results], max),
        peak_memory=None if memory is None else memory.memory_peak,
        operators=() if operators is None else operators.operators,
        **facts,
    )


def drift(results):
    """Last over first measurement of the sentinel; None for less than two of them."""
    if len(results) < 2:
        return None
    first, last = results[0], results[-1]
    if first.median is None or last.median is None:
        return last.mean / first.mean
    return last.median / first.median


def _over_rounds(name, results):
    return _if_all(
        [getattr(one, name) for one in results], min if name == "min" else statistics.median
    )


def _if_all(values, function):
    return None if None in values else function(values)


def _number(value, least=0.0, strict=True):
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return False
    return value > least if strict else value >= least


def _count(value, least=0):
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


_CHECKS = {
    "mean": _number,
    **{name: lambda one: one is None or _number(one) for name in _FIGURES[1:]},
    "std": lambda one: one is None or _number(one, strict=False),
    "init": lambda one: one is None or _number(one, strict=False),
    "round_values": lambda one: len(one) > 0 and all(map(_number, one)),
    "drift": lambda one: one is None or _number(one),
    **{name: lambda one: one is None or _count(one) for name in _COUNTS},
    "threads": lambda one: _count(one, 1),
    "cores": lambda one: one is None or (len(one) > 0 and all(map(_count, one))),
    "delegate": lambda one: isinstance(one, str) and one != "",
    "route": lambda one: one in ROUTES,
    "tool": lambda one: isinstance(one, str) and re.fullmatch("[0-9a-f]{64}", one) is not None,
    "warnings": lambda one: all(isinstance(item, str) for item in one),
}
_EXPECTED = {
    "mean": "milliseconds above 0",
    "round_values": "milliseconds above 0, one a round",
    **dict.fromkeys(_COUNTS, "an int of at least 0, or none"),
    "threads": "an int of at least 1",
    "cores": "indices of cores, or none",
    "delegate": "the name of a delegate",
    "route": f"a route out of {list(ROUTES)}",
    "tool": "a sha256",
    "warnings": "a list of str",
}
