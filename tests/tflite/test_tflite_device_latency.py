"""Figures of several runs of the tool become one latency: no figure is made up on the way."""

import dataclasses
import json

import pytest

from keras_joslim.tflite.benchmark_log.delegates import Delegation
from keras_joslim.tflite.benchmark_log.operators import OperatorTime
from keras_joslim.tflite.benchmark_log.parser import BenchmarkResult
from keras_joslim.tflite.profiling.device_latency import DeviceLatency, device_latency, drift

XNNPACK = Delegation("TfLiteXNNPackDelegate", 49, 49, 1, 0, True)
FACTS = {
    "memory": None,
    "operators": None,
    "drift": 1.01,
    "delegate": "xnnpack",
    "threads": 4,
    "cores": (4, 5, 6, 7),
    "thermal_before": 0,
    "thermal_after": 1,
    "route": "binary",
    "tool": "0123456789abcdef" * 4,
    "warnings": ("hot",),
}


def new(mean, **figures):
    """A run of a tool of 2025."""
    figures = {"min": mean - 1, "median": mean - 0.5, "p95": mean + 1, "std": 0.1} | figures
    return BenchmarkResult(
        mean=mean, first=mean * 2, init=100.0, runs=50, delegates=(XNNPACK,), **figures
    )


def test_medians_over_the_rounds():
    runs = [new(10.0, memory_overall=100), new(30.0, memory_overall=300), new(12.0)]
    found = device_latency(runs, **FACTS)
    assert (found.mean, found.median, found.p95, found.min) == (12.0, 11.5, 13.0, 9.0)
    assert (found.first, found.init, found.std) == (24.0, 100.0, 0.1)
    assert found.round_values == (9.5, 29.5, 11.5)
    assert (found.milliseconds, found.statistic, found.rounds) == (11.5, "median", 3)
    assert found.spread == pytest.approx((29.5 - 9.5) / 11.5)
    assert found.runs == 150
    # One round did not print it: no total is known.
    assert found.memory is None
    assert found.delegations == (XNNPACK,)


def test_what_an_old_tool_does_not_print_is_none():
    found = device_latency([BenchmarkResult(mean=80.0), BenchmarkResult(mean=82.0)], **FACTS)
    assert (found.mean, found.milliseconds, found.statistic) == (81.0, 81.0, "mean")
    assert found.round_values == (80.0, 82.0)
    for name in ("min", "median", "p95", "std", "first", "init", "runs", "memory", "peak_memory"):
        assert getattr(found, name) is None, name


def test_memory_and_operators_are_of_runs_of_their_own():
    operator = OperatorTime("CONV_2D", "[x]:0", 1.0, 0.9, 1, "")
    runs = [new(10.0, memory_overall=100), new(11.0, memory_overall=130)]
    extras = {
        "memory": new(99.0, memory_peak=7_000_000),
        "operators": new(99.0, operators=(operator,)),
    }
    found = device_latency(runs, **FACTS | extras)
    assert (found.memory, found.peak_memory, found.operators) == (130, 7_000_000, (operator,))
    assert found.mean == 10.5


def test_drift_is_last_over_first():
    assert drift([new(10.5), new(50.5), new(11.5)]) == pytest.approx(1.1)
    assert drift([BenchmarkResult(mean=4.0), BenchmarkResult(mean=3.0)]) == 0.75
    assert drift([new(10.5)]) is None
    assert drift([]) is None


def test_one_round_has_no_spread():
    assert device_latency([new(10.0)], **FACTS).spread is None


@pytest.mark.parametrize("runs", [[new(10.0), new(11.0)], [BenchmarkResult(mean=80.125)]])
def test_json_and_back(runs):
    operators = new(1.0, operators=(OperatorTime("CONV_2D", "x", 1.0, 0.9, 1, ""),))
    found = device_latency(runs, **FACTS | {"operators": operators})
    values = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert values["milliseconds"] == found.milliseconds
    assert values["delegations"] == [dataclasses.asdict(one) for one in found.delegations]
    assert DeviceLatency.from_dict(values) == found


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("mean", 0, "milliseconds above 0. Received: mean=0"),
        ("mean", None, "Received: mean=None"),
        ("mean", True, "Received: mean=True"),
        ("mean", "4", "Received: mean='4'"),
        ("median", -1.0, "a figure above 0, or none. Received: median=-1.0"),
        ("p95", float("nan"), "Received: p95=nan"),
        ("round_values", [], "one a round"),
        ("round_values", [1.0, 0.0], "one a round"),
        ("runs", 1.5, "Received: runs=1.5"),
        ("peak_memory", -1, "Received: peak_memory=-1"),
        ("threads", 0, "at least 1. Received: threads=0"),
        ("cores", [], "indices of cores"),
        ("route", "usb", "out of .*'apk'.*Received: route='usb'"),
        ("tool", "abc", "a sha256. Received: tool='abc'"),
        ("warnings", [1], "a list of str"),
        ("delegations", [{"name": "x"}], "lists and objects"),
        ("operators", 3, "lists and objects"),
    ],
)
def test_impossible_values_are_refused(name, value, message):
    values = device_latency([new(10.0)], **FACTS).to_dict()
    with pytest.raises(ValueError, match=message):
        DeviceLatency.from_dict(values | {name: value})


@pytest.mark.parametrize("values", [{}, [], None, {"mean": 1.0}])
def test_missing_fields_are_named(values):
    with pytest.raises(ValueError, match=r"without \[.*'median'"):
        DeviceLatency.from_dict(values)


def test_it_shows_what_counts():
    found = device_latency([new(10.0)], **FACTS)
    assert repr(found) == (
        "DeviceLatency(median=9.500 ms, 1 rounds, TfLiteXNNPackDelegate 49 of 49 nodes in 1 "
        "partition, doubtful: see .warnings)"
    )
