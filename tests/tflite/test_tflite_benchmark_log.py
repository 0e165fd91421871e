"""Every form of the benchmark tool's output gives the figures printed, or an error that helps."""

import dataclasses
import json
import pickle

import pytest

from keras_joslim.tflite.benchmark_log import errors
from keras_joslim.tflite.benchmark_log.parser import BenchmarkLogError, delegate_problem, parse
from tests.tflite.benchmark_samples import SAMPLES, delegation, sample, text

NIGHTLY = text("nightly2025_android")
CLOSING = "Inference timings in us: Init: 1000, First inference: 900, Inference (avg): 500\n"
COUNTS = "count=9 first=510 curr=500 min=490 max=520 avg=500 std=9 p5=491 median=499 p95=519\n"
STARTED = "STARTING!\nGraph: [p00.tflite]\n"
LINE_PREFIXES = {
    "info": "INFO: ",
    "verbose": "VERBOSE: ",
    "brief": "I/tflite  ( 5395): ",
    "time": "07-08 15:33:55.790 I/tflite  ( 5395): ",
    "threadtime": "07-08 15:33:55.790  5395  5395 I tflite  : ",
    "year": "2025-07-08 15:33:55.790  5395  5395 I tflite  : ",
}


@pytest.mark.parametrize("name", SAMPLES)
def test_sample(name):
    streams, result = sample(name)
    assert parse(*streams) == result


@pytest.mark.parametrize("name", SAMPLES)
def test_streams_may_be_swapped_or_merged(name):
    streams, result = sample(name)
    assert parse(*[*streams, ""][1::-1]) == result
    assert parse("".join(streams)) == result


@pytest.mark.parametrize("end", ["\r\n", "\r\r\n"])
@pytest.mark.parametrize("name", SAMPLES)
def test_line_ends_of_adb(name, end):
    streams, result = sample(name)
    assert parse(*(one.replace("\n", end) for one in streams)) == result


@pytest.mark.parametrize("prefix", LINE_PREFIXES)
@pytest.mark.parametrize("name", ["tf24_android", "hand_csv", "hand_litert_python"])
def test_line_prefixes(name, prefix):
    (log,), result = sample(name)
    log = log.replace("INFO: ", "")
    log = "".join(LINE_PREFIXES[prefix] + line for line in log.splitlines(keepends=True))
    assert parse(log) == result


def test_lines_of_other_programs_are_not_read():
    log = "07-08 15:33:55.790  5395  5395 I tflite  : " + CLOSING
    other = "07-08 15:33:55.799   812   812 E zygote  : "
    assert parse(other + "Benchmarking failed.\n" + log + other + COUNTS).mean == 0.5
    own = "07-08 15:33:55.799  5395  5399 F libc    : "
    with pytest.raises(errors.CrashedError, match="crashed"):
        parse(log + own + "Fatal signal 11 (SIGSEGV), code 1\n")
    with pytest.raises(errors.EmptyLogError):
        parse(other + CLOSING)


@pytest.mark.parametrize(
    ("unit", "mean"), [("s", 500_000.0), ("ms", 500.0), ("us", 0.5), ("ns", 0.0005)]
)
def test_units_are_those_of_the_line(unit, mean):
    assert parse(CLOSING.replace(" us:", f" {unit}:")).mean == mean
    assert parse(f"Inference (avg): 500 {unit} (9 runs)\n").mean == mean


@pytest.mark.parametrize(
    "line",
    [
        CLOSING.replace(" us:", " ticks:"),
        CLOSING.replace(" in us:", ":"),
        "Inference (avg):      0.46 (50 runs)\n",
        "Inference (avg):      0.46 fps (50 runs)\n",
    ],
)
def test_unknown_unit_is_an_error(line):
    with pytest.raises(errors.UnreadableTimingError, match=r"one of \['ms', 'ns', 's', 'us'\]"):
        parse(line)


def test_single_run_is_its_own_mean_min_max_and_median():
    result = parse("count=1 curr=7\n" + CLOSING.replace("500", "7"))
    assert [result.mean, result.min, result.median, result.max] == [0.007] * 4
    assert (result.p5, result.p95, result.std, result.runs) == (None, None, None, 1)


def test_closing_line_alone_leaves_the_rest_open():
    result = parse(CLOSING)
    assert (result.mean, result.init, result.first) == (0.5, 1.0, 0.9)
    assert [result.min, result.median, result.runs, result.threads] == [None] * 4
    assert parse("Num threads: [0]\n" + CLOSING).threads is None


@pytest.mark.parametrize(
    "figure", ["0", "0.00", "nan", "-nan", "inf", "-5", "0x10", "5,0", "٣", ""]
)
@pytest.mark.parametrize(
    "log",
    [
        CLOSING.replace("500", "{}"),
        CLOSING.replace("900", "{}"),
        COUNTS.replace("min=490", "min={}") + CLOSING,
        COUNTS.replace("median=499", "median={}") + CLOSING,
        "Inference (avg): {} ms (9 runs)\n",
        "Inference (avg): 5 ms (9 runs)\nInference (min): {} ms\n",
    ],
)
def test_impossible_figure_is_an_error(log, figure):
    with pytest.raises(errors.UnreadableTimingError):
        parse(log.format(figure))


@pytest.mark.parametrize(
    ("log", "message"),
    [
        (
            COUNTS.replace("avg=500", "avg=501.1") + CLOSING,
            "other on mean: 0.5011 ms",
        ),
        ("count=1 curr=900\n" + COUNTS.replace("avg=500", "avg=510") + CLOSING, "other on mean"),
        ("count=1 curr=800\n" + COUNTS + CLOSING, "other on first"),
        (COUNTS * 3 + CLOSING, "Received: 3, of several runs"),
        (CLOSING + COUNTS, "Received: 1, of several runs or out of order"),
        (CLOSING + CLOSING, "closing figures of 2 runs.*logcat -c"),
        (COUNTS.replace("median=499", "median=519.9") + CLOSING, "Expected min <= p5 <= median"),
        (COUNTS.replace("max=520", "max=499") + CLOSING, "Expected min <= p5 <= median"),
        (COUNTS.replace("min=490", "min=501") + CLOSING, "Expected min <= p5 <= median"),
        ((COUNTS + CLOSING).replace("max=520", "max=519.5").replace("500", "520"), "mean between"),
        ((COUNTS + CLOSING).replace("min=490", "min=491").replace("500", "490"), "mean between"),
        ("Initialized session in 1.1ms.\n" + CLOSING, "on init: 1 ms"),
        (COUNTS + "Inference (avg): 0.50 ms (8 runs)\n", r"count the runs differently: \[8, 9\]"),
        ("Num threads: [4]\nNum threads: [2]\n" + CLOSING, "on threads: 4 and 2"),
        ("Peak memory: 4 MB\nPeak memory: 5 MB\n" + CLOSING, "on memory_peak"),
    ],
)
def test_contradiction_is_an_error(log, message):
    with pytest.raises(errors.InconsistentLogError, match=message) as caught:
        parse(log)
    assert caught.value.retryable


def test_rounding_is_no_contradiction():
    counts = "count=9 first=9 curr=9 min=2732148 max=2732149 avg=2.73215e+06 std=1\n"
    result = parse(counts + CLOSING.replace("500", "2732148.5"))
    assert result.mean == 2732.1485
    block = "Inference (avg): 0.50 ms\n"
    assert parse(COUNTS.replace("avg=500", "avg=504.9") + block).mean == 0.5049
    # 2.7e+06 is all that is printed of 2.70000e+06, and "3" of 3.00000.
    counts = counts.replace("avg=2.73215e+06", "avg=2.7e+06").replace("min=2", "min=1")
    with pytest.raises(errors.InconsistentLogError):
        parse(counts + CLOSING.replace("500", "2700500"))
    with pytest.raises(errors.InconsistentLogError):
        parse("count=9 first=3 curr=3 min=3 max=5 avg=3.3 std=1\n" + CLOSING.replace("500", "3"))
    with pytest.raises(errors.InconsistentLogError):
        parse(COUNTS.replace("avg=500", "avg=506") + block)


@pytest.mark.parametrize(
    "counts",
    ["count=0\n", "count=9 curr=5\n", "count=9 WARNING: x\n", COUNTS.replace("first", "min")],
)
def test_unreadable_line_of_counts_is_an_error(counts):
    with pytest.raises(errors.UnreadableTimingError, match="cannot be read.*Run the measurement"):
        parse(counts + CLOSING)


@pytest.mark.parametrize("log", ["", "\n", " \r\n\n"])
def test_no_text(log):
    with pytest.raises(errors.EmptyLogError, match="printed nothing.*adb devices"):
        parse(log, log)


def test_truncated_log_tells_its_last_line():
    with pytest.raises(errors.TruncatedLogError, match="device was lost.*'Graph: .p00.tflite.'"):
        parse(STARTED)
    with pytest.raises(errors.TruncatedLogError, match="their line has no end.*stripped"):
        parse((STARTED + CLOSING).rstrip())


def test_text_of_another_program():
    with pytest.raises(errors.UnknownLogError, match="<html>.*--benchmark_binary"):
        parse("<html>\n404\n")


SENTINEL = "joslim (4711)*"


def test_sentinel_proves_the_end():
    result = SAMPLES["nightly2025_android"][1]
    for end in ("\n", "\r\n"):
        assert parse(NIGHTLY + f"{SENTINEL} 0{end}", sentinel=SENTINEL) == result
    assert parse("noise\n", NIGHTLY + f"{SENTINEL} 0\n", sentinel=SENTINEL) == result
    # The tool's last line had no end; the shell vouches for it.
    assert parse(CLOSING.rstrip() + f"{SENTINEL} 0\n", sentinel=SENTINEL).mean == 0.5


@pytest.mark.parametrize("end", ["", f"{SENTINEL} 0", SENTINEL, f"{SENTINEL} $?\n", "joslim 0\n"])
def test_log_without_sentinel_is_truncated(end):
    with pytest.raises(errors.TruncatedLogError, match="before the shell reported"):
        parse(NIGHTLY + end, sentinel=SENTINEL)


def test_sentinel_and_nothing_else():
    with pytest.raises(errors.EmptyLogError):
        parse("", "", sentinel=SENTINEL)
    with pytest.raises(errors.EmptyLogError):
        parse(f"{SENTINEL} 0\n", sentinel=SENTINEL)


@pytest.mark.parametrize("after", [f"{SENTINEL} 0\n", "INFO: more\n"])
def test_text_after_the_sentinel(after):
    with pytest.raises(errors.InconsistentLogError, match="goes on after the tool's end"):
        parse(NIGHTLY + f"{SENTINEL} 0\n" + after, sentinel=SENTINEL)


@pytest.mark.parametrize("sentinel", ["", " ", "a\nb"])
def test_bad_sentinel(sentinel):
    with pytest.raises(ValueError, match="Received: sentinel="):
        parse(NIGHTLY, sentinel=sentinel)


@pytest.mark.parametrize(
    ("name", "requested", "words"),
    [
        ("nightly2025_android", "xnnpack", None),
        ("nightly2025_android", "XNNPACK", None),
        ("nightly2025_android", "none", "of TfLiteXNNPackDelegate 49 of 49.*--use_xnnpack=false"),
        ("nightly2025_android", "nnapi", "does not say that it was applied.*XNNPackDelegate 49"),
        ("apk_logcat_brief", "xnnpack", "1036 of 1097 nodes in 23 partitions; the rest .*built-in"),
        ("gpu_nnapi_fallback", "gpu", None),
        ("gpu_nnapi_fallback", "none", r"latency is that of TfLiteGpuDelegateV2 .*1 partition\.$"),
        ("gpu_nnapi_fallback", "nnapi", "does not execute the model.*TfLiteGpuDelegateV2 49 of 49"),
        ("hand_gpu_partial", "gpu", "40 of 49 nodes in 5 part.*rest went to .*XNNPack.* 7 of 12"),
        ("hand_gpu_partial", "hexagon", "does not say that it was applied"),
        ("hand_linux", "none", "XNNPACK was created.*does not print.*--use_xnnpack=false"),
        ("hand_linux", "xnnpack", "created, but the tool did not print"),
        ("hand_litert", "gpu", None),
        ("hand_litert_profile", "gpu", "LITERT_CL 3 of 3.*rest .* 1 of 2 nodes of subgraph 1"),
        ("tf24_android", "none", None),
        ("tf24_android", "coreml", "does not say .*the built-in CPU kernels"),
    ],
)
def test_requested_against_actual_delegate(name, requested, words):
    problem = delegate_problem(SAMPLES[name][1], requested)
    if words is None:
        assert problem is None
    else:
        with pytest.raises(LookupError, match=words):
            raise LookupError(problem)


@pytest.mark.parametrize("requested", ["", "--", None, 4])
def test_bad_name_of_a_delegate(requested):
    with pytest.raises(ValueError, match="Expected the name of a delegate"):
        delegate_problem(SAMPLES["tf24_android"][1], requested)


REPLACING = "Replacing 9 out of 9 node(s) with delegate ({}) node, yielding 1 partitions.\n"


@pytest.mark.parametrize(
    ("log", "applied", "refused"),
    [
        # TF 2.4: the nodes in all are not printed, but one part is the whole graph.
        (
            "Replacing 64 node(s) with delegate (TfLiteNnapiDelegate) node, yielding 1 partitions.",
            [("TfLiteNnapiDelegate", 64, None, 1, True)],
            (),
        ),
        (
            "Replacing 64 node(s) with delegate (TfLiteNnapiDelegate) node, yielding 3 partitions.",
            [("TfLiteNnapiDelegate", 64, None, 3, False)],
            (),
        ),
        # Without node counts, the outcome at least.
        (
            "Explicitly applied EXTERNAL delegate, and the model graph will be completely executed "
            "by the delegate.",
            [("EXTERNAL", None, None, None, True)],
            (),
        ),
        (
            "Applied GPU delegate, and the model graph will be partially executed w/ the delegate.",
            [("GPU", None, None, None, False)],
            (),
        ),
        ("GPU acceleration is unsupported on this platform.", [], ("GPU",)),
        ("Failed to apply Hexagon delegate.", [], ("Hexagon",)),
        ("Failed to apply the default TensorFlow Lite delegate indexed at 0.", [], ("XNNPACK",)),
        # Announced, taken back, and silently run on the CPU.
        (
            REPLACING.format("LITERT_CL")
            + "ERROR: Restored original execution plan after delegate application failure.\n"
            + REPLACING.format("TfLiteXNNPackDelegate"),
            [("TfLiteXNNPackDelegate", 9, 9, 1, True)],
            ("LITERT_CL",),
        ),
        (
            REPLACING.format("TfLiteXNNPackDelegate")
            + "ERROR: Restored previous execution plan after delegate application failure.\n"
            + REPLACING.format("TfLiteXNNPackDelegate"),
            [("TfLiteXNNPackDelegate", 9, 9, 1, True)],
            (),
        ),
    ],
)
def test_delegates_of_other_forms(log, applied, refused):
    result = parse(f"{log}\n{CLOSING}")
    fields = ("name", "nodes_replaced", "nodes_total", "partitions", "complete")
    assert [tuple(getattr(one, key) for key in fields) for one in result.delegates] == applied
    assert result.refused == refused


def test_refused_although_announced():
    log = REPLACING.format("TfLiteNnapiDelegate") + (
        "Though NNAPI delegate is explicitly applied, the model graph will not be executed by the "
        "delegate.\n"
    )
    assert "does not execute" in delegate_problem(parse(log + CLOSING), "nnapi")


def test_result_is_json_and_prints_short():
    for _, result in SAMPLES.values():
        values = json.loads(json.dumps(result.to_dict(), allow_nan=False))
        assert values == result.to_dict()
        assert values.keys() == {field.name for field in dataclasses.fields(result)}
        assert len(repr(result)) < 250
    assert repr(SAMPLES["gpu_nnapi_fallback"][1]) == (
        "BenchmarkResult(mean=309.350 ms, median=307.968 ms, 50 runs, "
        "TfLiteGpuDelegateV2 49 of 49 nodes in 1 partition)"
    )
    assert SAMPLES["apk_logcat_brief"][1].to_dict()["delegates"] == [
        dataclasses.asdict(delegation("TfLiteXNNPackDelegate", 1036, 1097, 23, 0))
    ]


def test_error_survives_pickling():
    with pytest.raises(BenchmarkLogError) as caught:
        parse(text("err_xnnpack"))
    again = pickle.loads(pickle.dumps(caught.value))
    assert (type(again), str(again)) == (errors.DelegateError, str(caught.value))
    assert again.details == {"delegate": "XNNPACK"}
