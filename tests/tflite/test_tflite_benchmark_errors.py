"""What the benchmark tool and the shells say when a run fails becomes an error that helps."""

import pytest

from keras_joslim.tflite.benchmark_log import errors
from keras_joslim.tflite.benchmark_log.parser import parse
from tests.tflite.benchmark_samples import SAMPLES, text

STARTED = "INFO: STARTING!\nINFO: Graph: [/data/local/tmp/p00.tflite]\n"
FAILED = "ERROR: Benchmarking failed.\n"
CLOSING = "Inference timings in us: Init: 1000, First inference: 900, Inference (avg): 500\n"
SH = "/system/bin/sh: "

# (text, error, what the message says, what `details` holds)
CASES = [
    (f"{SH}./benchmark_model: not executable: 64-bit ELF file", "WrongAbi", "cpu.abi", {}),
    (f"{SH}./benchmark_model: not executable: 32-bit ELF file", "WrongAbi", "cpu.abi", {}),
    (
        "-bash: ./benchmark_model: cannot execute binary file: Exec format error",
        "WrongAbi",
        None,
        {},
    ),
    ("taskset: can't execute './benchmark_model': Exec format error", "WrongAbi", None, {}),
    ("error: only position independent executables (PIE) are supported.", "WrongAbi", None, {}),
    (
        'CANNOT LINK EXECUTABLE "./x": "/a/libc.so" is 32-bit instead of 64-bit',
        "WrongAbi",
        "another processor",
        {},
    ),
    (STARTED + "Illegal instruction", "WrongAbi", "instructions that this processor lacks", {}),
    (
        'CANNOT LINK EXECUTABLE "./x": library "libhexagon_interface.so" not found: needed by main',
        "MissingLibrary",
        "LD_LIBRARY_PATH",
        {"library": "libhexagon_interface.so"},
    ),
    (
        "./x: error while loading shared libraries: libOpenCL.so.1: cannot open shared object file",
        "MissingLibrary",
        "needs the library libOpenCL.so.1,",
        {"library": "libOpenCL.so.1"},
    ),
    (
        'CANNOT LINK EXECUTABLE "./x": cannot locate symbol "__cxa_y" referenced by "./x"',
        "MissingLibrary",
        "does not fit",
        {},
    ),
    (f"{SH}./benchmark_model: can't execute: Permission denied", "PermissionDenied", "chmod", {}),
    ("sh: 1: ./benchmark_model: Permission denied", "PermissionDenied", "chmod 755", {}),
    ("mkdir: '/data/x': Read-only file system", "PermissionDenied", "/data/local/tmp", {}),
    ("taskset: sched_setaffinity: Permission denied", "PermissionDenied", None, {}),
    (
        f"{STARTED}ERROR: Mmap of '3' at offset '0' failed with error '13'.\n{FAILED}",
        "PermissionDenied",
        "Mmap of '3'",
        {},
    ),
    (f"{SH}/data/x/benchmark_model: not found", "ToolNotFound", "build for Linux", {}),
    (f"{SH}benchmark_model: inaccessible or not found", "ToolNotFound", "Push the tool", {}),
    ("bash: line 1: ./x: cannot execute: required file not found", "ToolNotFound", None, {}),
    ("taskset: can't execute './x': No such file or directory", "ToolNotFound", None, {}),
    (f"{SH}cd: /data/local/tmp/joslim: No such file or directory", "ToolNotFound", "folder", {}),
    (
        f"{STARTED}ERROR: Could not open '/data/local/tmp/a b.tflite'.\n"
        f"Failed to load model /data/local/tmp/a b.tflite\n{FAILED}",
        "ModelNotFound",
        "could not open /data/local/tmp/a b.tflite. The log",
        {"model": "/data/local/tmp/a b.tflite"},
    ),
    (f"{STARTED}Failed to mmap model p00.tflite\n{FAILED}", "ModelNotFound", None, {}),
    (
        f"{STARTED}└ ERROR: [litert/tools/benchmark_litert_model.cc:140] Failed to load model.\n",
        "ModelNotFound",
        None,
        {},
    ),
    (
        f"{STARTED}ERROR: The model is not a valid Flatbuffer buffer\n"
        f"Failed to load model p00.tflite\n{FAILED}",
        "InvalidModel",
        "checksum",
        {},
    ),
    (
        "Model provided has model identifier '<htm', should be 'TFL3'",
        "InvalidModel",
        "damaged or no TFLite file",
        {},
    ),
    ("ERROR: Mmap of '3' at offset '0' failed with error '22'.", "InvalidModel", None, {}),
    (
        f"{STARTED}ERROR: Didn't find op for builtin opcode 'CONV_2D' version '12'. An older "
        "version of this builtin might be supported. Are you using an old TFLite binary with a "
        "newer model?\n\nERROR: Registration failed.\n\nFailed to initialize the interpreter\n"
        + FAILED,
        "UnsupportedOperator",
        "lacks operator CONV_2D in version 12: it is older than the model.*newer build",
        {"operator": "CONV_2D", "version": "12"},
    ),
    (
        f"{STARTED}ERROR: Encountered unresolved custom op: Convolution2DTransposeBias.\n"
        "See instructions: https://www.tensorflow.org/lite/guide/ops_custom\n"
        f"ERROR: Node number 3 (Convolution2DTransposeBias) failed to prepare.\n{FAILED}",
        "UnsupportedOperator",
        "custom operator Convolution2DTransposeBias",
        {"operator": "Convolution2DTransposeBias"},
    ),
    (
        f"{STARTED}ERROR: Select TensorFlow op(s), included in the given model, is(are) not "
        "supported by this interpreter. Make sure you apply/link the Flex delegate before "
        f"inference.\nERROR: Node number 0 (FlexErf) failed to prepare.\n{FAILED}",
        "FlexOperator",
        "Flex operator FlexErf.*SELECT_TF_OPS",
        {"operator": "FlexErf"},
    ),
    (
        "ERROR: Regular TensorFlow ops are not supported by this interpreter.",
        "FlexOperator",
        "needs Flex operators",
        {},
    ),
    (
        "Encountered unresolved custom op: FlexTensorListReserve.",
        "FlexOperator",
        "FlexTensorListReserve",
        {"operator": "FlexTensorListReserve"},
    ),
    (
        f"{STARTED}GPU delegate created.\nFailed to apply GPU delegate.\n{FAILED}",
        "Delegate",
        "The GPU delegate could not be applied.*another delegate",
        {"delegate": "GPU"},
    ),
    (
        f"{STARTED}ERROR: Disallowed CPU fallback detected.\n{FAILED}",
        "Delegate",
        "did not take the whole model.*--require_full_delegation",
        {},
    ),
    (
        "ERROR: Node number 64 (TfLiteGpuDelegateV2) failed to invoke.",
        "Delegate",
        "A delegate failed",
        {"delegate": "TfLiteGpuDelegateV2"},
    ),
    (
        f"{STARTED}ERROR: [litert/x.cc:131] Failed to create a dispatch delegate kernel: No usable "
        "Dispatch runtime found\n",
        "Delegate",
        "dispatch delegate kernel",
        {},
    ),
    ("adb: error: failed to copy: No space left on device", "OutOfSpace", "df /data/local/tmp", {}),
    (STARTED + "Killed ", "OutOfMemory", "smaller sub-network", {}),
    (STARTED + "bash: line 1:  4711 Killed    ./benchmark_model", "OutOfMemory", None, {}),
    (
        STARTED + "terminate called after throwing an instance of 'std::bad_alloc'",
        "OutOfMemory",
        None,
        {},
    ),
    (STARTED + "Aborted", "Crashed", "logcat -b crash", {}),
    (STARTED + "Segmentation fault (core dumped)", "Crashed", "'Segmentation fault", {}),
    (STARTED + "Bus error", "Crashed", None, {}),
    (f"{STARTED}Failed to allocate tensors!\n{FAILED}", "BenchmarkFailed", "on the host first", {}),
    (f"{STARTED}ERROR: [x.cc:9] Failed to compile model.\n", "BenchmarkFailed", None, {}),
    (STARTED + FAILED, "BenchmarkFailed", "without a reason known here", {}),
]


@pytest.mark.parametrize(("log", "error", "words", "details"), CASES)
def test_failed_run(log, error, words, details):
    error = getattr(errors, f"{error}Error")
    for arguments in ((log, ""), ("", log), (log + "\n", ""), (log.replace("\n", "\r\n"), "")):
        with pytest.raises(errors.BenchmarkLogError, match=words) as caught:
            parse(*arguments)
        assert type(caught.value) is error
        assert caught.value.details == details
        assert caught.value.line in log
        assert not caught.value.retryable
        assert caught.value.remedy in str(caught.value)
        # The exit code says no more than the text does.
        with pytest.raises(error):
            parse(f"{arguments[0]}\nend 1\n", arguments[1], sentinel="end")


def test_recorded_failure():
    with pytest.raises(errors.DelegateError, match="The XNNPACK delegate could not be applied"):
        parse(text("err_xnnpack"))


@pytest.mark.parametrize(
    "line",
    [
        # Inferences that fail are timed all the same, and the tool tells only at the end.
        "ERROR: Node number 3 (CONV_2D) failed to invoke.",
        "ERROR: Benchmarking failed.",
        "Segmentation fault ",
        "Killed",
        "Aborted (core dumped)",
    ],
)
def test_failure_wins_over_a_latency(line):
    for log in (f"{CLOSING}{line}\n", f"{line}\n{CLOSING}", CLOSING + line):
        with pytest.raises(errors.BenchmarkLogError):
            parse(log)


@pytest.mark.parametrize(
    "line",
    [
        "Failed to apply GPU delegate.",
        "ERROR: Node number 3 (TfLiteGpuDelegateV2) failed to prepare.",
        "chmod: /data/local/tmp/benchmark_model: Permission denied",
        "ERROR: Could not open '/vendor/lib64/libOpenCL-pixel.so'.",
        "WARNING: linker: cannot execute binary file",
        "Graph: [/data/local/tmp/Killed.tflite]",
        "Killed.tflite",
        "Loaded model Failed to load model.tflite",
    ],
)
def test_latency_wins_over_what_does_not_end_a_run(line):
    assert parse(f"{line}\n{CLOSING}").mean == 0.5


@pytest.mark.parametrize("name", SAMPLES)
def test_names_of_models_are_no_failures(name):
    log = "".join(text(file) for file in SAMPLES[name][0]).replace("p03.fp32", "Aborted, Killed: x")
    assert parse(log).mean == SAMPLES[name][1].mean


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (1, "BenchmarkFailed"),
        (126, "PermissionDenied"),
        (127, "ToolNotFound"),
        (132, "WrongAbi"),
        (134, "Crashed"),
        (137, "OutOfMemory"),
        (139, "Crashed"),
        (255, "BenchmarkFailed"),
    ],
)
@pytest.mark.parametrize("log", ["", "a\nb\n\nc\nd\n", CLOSING])
def test_exit_code_without_a_known_reason(log, code, error):
    with pytest.raises(errors.BenchmarkLogError, match=f"Exit code {code}") as caught:
        parse(f"{log}end {code}\n", sentinel="end")
    assert type(caught.value) is getattr(errors, f"{error}Error")
    assert caught.value.details == {"code": str(code)}
    if log.startswith("a"):
        assert "'b | c | d'" in str(caught.value)


def test_long_lines_are_not_quoted_whole():
    with pytest.raises(errors.UnknownLogError) as caught:
        parse("x" * 100_000 + "\n")
    assert len(str(caught.value)) < 600


def test_what_may_succeed_when_run_again():
    again = {
        kind.__name__
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, RuntimeError) and kind.retryable
    }
    assert again == {"TruncatedLogError", "EmptyLogError", "InconsistentLogError"}
