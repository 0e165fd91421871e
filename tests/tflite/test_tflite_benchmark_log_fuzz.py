"""Damaged output of the benchmark tool gives a typed error or the figures of the whole one."""

import dataclasses
import itertools
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_joslim.tflite.benchmark_log.errors import BenchmarkLogError, TruncatedLogError
from keras_joslim.tflite.benchmark_log.parser import BenchmarkResult, delegate_problem, parse
from tests.tflite.benchmark_samples import SAMPLES, sample, text

LOGS = {name: "".join(sample(name)[0]) for name in SAMPLES}
TUPLES = [field.name for field in dataclasses.fields(BenchmarkResult) if field.default == ()]
FIGURES = [field.name for field in dataclasses.fields(BenchmarkResult) if field.name not in TUPLES]
LATENCIES = ("mean", "min", "p5", "median", "p95", "max", "std", "first", "init", "warmup_mean")
SENTINEL = "joslim-4711"


def outcome(log, **arguments):
    """The result, or None after a typed error; any other exception fails the test."""
    try:
        return parse(log, **arguments)
    except BenchmarkLogError as error:
        if not error.what or len(str(error)) > 1500:
            raise AssertionError("not a message for people") from error
        return None


def assert_part_of(part, whole, names=FIGURES, decimals=6):
    """No figure is another one than that of the whole log; it may be missing.

    Where the line with all digits is lost, another one that rounds the figure may be left.
    """
    for name in names:
        figure = getattr(part, name)
        assert figure is None or math.isclose(
            figure, getattr(whole, name) or 0, rel_tol=5e-6, abs_tol=0.50001 * 10**-decimals
        ), name


def cuts(log, rng):
    """Where lines end, the characters around, those of the lines with figures, and some more."""
    places = {0, len(log)}
    start = 0
    for line in log.splitlines(keepends=True):
        if "avg" in line or "overall=" in line:
            places |= set(range(start, start + len(line), 3))
        start += len(line)
        places |= {start - 2, start - 1, start}
    return sorted(place for place in places | set(rng.choices(range(len(log)), k=50)) if place >= 0)


@pytest.mark.parametrize("name", [*SAMPLES, "err_xnnpack"])
def test_truncated(name):
    log = LOGS[name] if name in LOGS else text(name)
    results = 0
    for place in cuts(log, random.Random(1)):
        result = outcome(log[:place])
        if result is not None:
            results += 1
            whole = SAMPLES[name][1]
            for key in FIGURES:
                assert getattr(result, key) in (None, getattr(whole, key)), key
            for key in TUPLES:
                assert getattr(result, key) == getattr(whole, key)[: len(getattr(result, key))]
        with pytest.raises(TruncatedLogError):
            parse(log[:place], sentinel=SENTINEL)
    assert (results > 0) == (name != "err_xnnpack")


def test_truncated_standard_output_of_litert():
    (out, err), whole = sample("hand_litert")
    for place in range(0, len(out), 7):
        result = outcome(out[:place], stderr=err)
        if result is not None:
            assert_part_of(result, whole, decimals=2)


@pytest.mark.parametrize("name", SAMPLES)
def test_lines_removed_swapped_doubled_or_shuffled(name):
    rng = random.Random(2)
    lines = LOGS[name].splitlines(keepends=True)
    whole = SAMPLES[name][1]
    results = 0
    for index in range(len(lines)):
        changed = lines[:index] + lines[index + 1 :]
        other = rng.randrange(len(lines))
        swapped = list(lines)
        swapped[index], swapped[other] = lines[other], lines[index]
        doubled = lines[:other] + [lines[index]] + lines[other:]
        for log in (changed, swapped, doubled, rng.sample(lines, len(lines))):
            result = outcome("".join(log))
            if result is not None:
                results += 1
                assert_part_of(result, whole, decimals=2 if "litert" in name else 6)
                assert set(result.operators) <= set(whole.operators)
    assert results > 0


def interleaved(one, other, rng):
    """The lines of two logs, each in its own order."""
    queues = [one.splitlines(keepends=True), other.splitlines(keepends=True)]
    turns = [0] * len(queues[0]) + [1] * len(queues[1])
    rng.shuffle(turns)
    return "".join(queues[turn].pop(0) for turn in turns)


@pytest.mark.parametrize("name", SAMPLES)
def test_two_whole_logs_interleaved(name):
    rng = random.Random(3)
    for other in [*LOGS.values(), text("err_xnnpack")]:
        for _ in range(3):
            assert outcome(interleaved(LOGS[name], other, rng)) is None


def test_a_whole_and_a_truncated_log_interleaved():
    rng = random.Random(4)
    results = 0
    for name, other in itertools.product(SAMPLES, LOGS.values()):
        lines = other.splitlines(keepends=True)
        part = "".join(lines[: rng.randrange(len(lines))])
        result = outcome(interleaved(LOGS[name], part, rng))
        if result is not None:
            results += 1
            if "nference (avg)" not in part and "nference timings" not in part:
                assert_part_of(result, SAMPLES[name][1], LATENCIES)
    assert results > 0


POOL = sorted({line for log in LOGS.values() for line in log.splitlines()}) + [
    "Benchmarking failed.",
    "Killed",
    "Didn't find op for builtin opcode 'MUL' version '5'.",
    f"{SENTINEL} 0",
    f"{SENTINEL} 139",
    "count=9999999999999999999999 curr=1e999",
    "Inference timings in us: Inference (avg): 1e99",
    "Init footprint: 1e99 MB",
    "Num threads: [999999]",
    "Replacing 9 out of 3 node(s) with delegate () node, yielding 0 partitions",
    "============================== Run Order ==============================",
]


@given(
    lines=st.lists(st.one_of(st.sampled_from(POOL), st.text(max_size=40)), max_size=25),
    end=st.sampled_from(["", "\n", "\r\n"]),
    sentinel=st.sampled_from([None, SENTINEL]),
)
def test_any_text(lines, end, sentinel):
    result = outcome("\n".join(lines) + end, sentinel=sentinel)
    if result is not None:
        for name in LATENCIES:
            value = getattr(result, name)
            assert value is None or (math.isfinite(value) and (value > 0 or name == "std"))
        order = [getattr(result, name) for name in ("min", "p5", "median", "p95", "max")]
        order = [value for value in order if value is not None]
        assert order == sorted(order)
        assert result.runs is None or result.runs >= 1
        assert isinstance(delegate_problem(result, "gpu"), str | None)
        result.to_dict()
