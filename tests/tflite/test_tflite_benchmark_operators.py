"""The benchmark tool's operator profile is read whole, or not at all."""

import pytest

from keras_joslim.tflite.benchmark_log import errors
from keras_joslim.tflite.benchmark_log.parser import OperatorTime, operator_times, parse
from tests.tflite.benchmark_samples import SAMPLES, text

HEADER = "node type, first, avg_ms, %, cdf%, mem KB, times called, name\n"
TABLE = (
    "=============== Run Order ===============\n"
    + HEADER
    + "CONV_2D, 0.5, 0.25, 60%, 60%, 0, 1, [a]:0\n"
    + "ADD, 0.1, 0.125, 40%, 100%, 0, 2, [b, c]:1\n"
    + "\n"
)
END = "Memory (bytes): count=0\n2 nodes observed\n\n"
RUNS = "Operator-wise Profiling Info for Regular Benchmark Runs:\n"
INITIAL = "Profiling Info for Benchmark Initialization:\n"
ROWS = (
    OperatorTime("CONV_2D", "[a]:0", 0.5, 0.25, 1, ""),
    OperatorTime("ADD", "[b, c]:1", 0.1, 0.125, 2, ""),
)


@pytest.mark.parametrize(
    ("name", "start"), [("hand_csv", "Profiling Info"), ("hand_litert_profile", "Primary graph")]
)
def test_file_that_holds_the_profile_alone(name, start):
    log = text(name)
    log = log[log.index(start) :]
    assert operator_times(log) == SAMPLES[name][1].operators
    assert operator_times(log.replace("\n", "\r\n")) == SAMPLES[name][1].operators


@pytest.mark.parametrize("log", ["", "Graph: [x]\n", INITIAL + TABLE + END])
def test_no_profile_of_the_runs(log):
    assert operator_times(log) == ()


@pytest.mark.parametrize(
    "log",
    [
        TABLE + END,
        RUNS + TABLE + END,
        INITIAL + TABLE.replace("CONV_2D", "AllocateTensors") + END + RUNS + TABLE + END,
        # logcat leaves empty lines out
        (TABLE + "====== Top by Computation Time ======\n" + TABLE[40:] + END).replace(
            "\n\n", "\n"
        ),
        TABLE.replace(", ", "\t").replace("b\tc", "b, c") + END,
        TABLE.replace(", ", "   ").replace("b   c", "b, c") + END,
    ],
)
def test_forms_of_the_table(log):
    assert operator_times(log) == ROWS


@pytest.mark.parametrize("log", [TABLE, TABLE[:-1], TABLE[:60], TABLE + TABLE + END])
def test_truncated_profile(log):
    with pytest.raises(errors.TruncatedLogError, match="operator profile"):
        operator_times(log)


@pytest.mark.parametrize(
    ("log", "message"),
    [
        (TABLE + END.replace("2 nodes", "3 nodes"), "has 2 rows, and not those it counts"),
        (TABLE.replace("0.25", "nan") + END, "A row .* cannot be read.*nan"),
        (TABLE.replace("0.25", "1.2.3") + END, "A row .* cannot be read"),
        (TABLE.replace(", ", "\t").replace("0.25", "1_0") + END, "A row .* cannot be read"),
        (TABLE.replace(", ", "\t").replace("0.25", "") + END, "A row .* cannot be read"),
        (TABLE.replace("0.25", "1e999") + END, "A row .* cannot be read"),
        (TABLE.replace("CONV_2D, ", "WARNING: x\nCONV_2D, ") + END, "cannot be read.*WARNING"),
        (TABLE.replace("avg_ms", "avg_us") + END, "no known columns.*avg_us"),
        (TABLE + END + TABLE + END, "two tables of one graph"),
        (RUNS + TABLE + END + INITIAL + TABLE + END, "out of order"),
    ],
)
def test_contradictory_profile(log, message):
    with pytest.raises(errors.InconsistentLogError, match=message):
        operator_times(log)


def test_damaged_profile_spoils_the_run():
    closing = "Inference timings in us: Inference (avg): 500\n"
    assert parse(closing + TABLE + END).operators == ROWS
    with pytest.raises(errors.TruncatedLogError, match="without --enable_op_profiling"):
        parse(closing + TABLE)
