"""Reads what the TFLite benchmark tool (`benchmark_model`) printed: latency, memory, delegates.

The forms of the tool since TF 1.12 are read: with logger or logcat prefixes or none, in micro- or
milliseconds, on either stream. A figure is what a line says or it is None; what cannot be read, or
contradicts another line, raises a `BenchmarkLogError` that says what to do. A latency guessed, or
0, would become the best point of the front.

The tool's source: tensorflow/lite/tools/benchmark/benchmark_model.cc in TensorFlow,
litert/tools/benchmark_litert_model.h in LiteRT.
"""

import dataclasses
import re

from keras_joslim.tflite.benchmark_log import errors
from keras_joslim.tflite.benchmark_log.delegates import Delegation, delegate_problem, delegations
from keras_joslim.tflite.benchmark_log.errors import BenchmarkLogError
from keras_joslim.tflite.benchmark_log.operators import OperatorTime, operator_times
from keras_joslim.tflite.benchmark_log.timings import is_closing, number, timings

__all__ = [
    "BenchmarkLogError",
    "BenchmarkResult",
    "Delegation",
    "OperatorTime",
    "delegate_problem",
    "operator_times",
    "parse",
]

# The tool's megabyte of memory; that of file sizes is a million.
_MEBIBYTE = 1024 * 1024
_AGAIN = "Run the measurement again."

_LOGCAT = re.compile(
    r"(?:(?:\d{4}-)?\d\d-\d\d +\d\d:\d\d:\d\d\.\d+ +)?"
    r"(?:[VDIWEF]/(?P<brief_tag>[^(]*)\( *(?P<brief_pid>\d+)\): ?"
    r"|(?P<pid>\d+) +\d+ [VDIWEF] (?P<tag>[^:]*): ?)",
    re.ASCII,
)
_PREFIX = re.compile(
    r"^[^\w\s]* ?(?:INFO|VERBOSE|WARNING|ERROR|FATAL|DEBUG):(?: |$)(?:\[[^\]]*:\d+\] ?)?", re.ASCII
)
_MEMORY = tuple(
    (re.compile(pattern), names)
    for pattern, names in (
        (
            r"(?:Peak memory footprint|Memory footprint delta from the start of the tool) "
            r"\(MB\): init=(\S+) overall=(\S+)$",
            ("memory_init", "memory_overall"),
        ),
        (r"Init footprint: +(\S+) MB$", ("memory_init",)),
        (r"Overall footprint: +(\S+) MB$", ("memory_overall",)),
        (r"Peak memory: +(\S+) MB$", ("memory_peak",)),
        (
            r"Overall peak memory footprint \(MB\) via periodic monitoring: (\S+)$",
            ("memory_peak",),
        ),
    )
)
_THREADS = re.compile(r"(?:Num threads|#threads used for CPU inference): \[(\d{1,6})\]$", re.ASCII)
_MODEL_SIZE = re.compile(r"The input model file size \(MB\): (\S+)$")
_IGNORED = re.compile(r"Unconsumed cmdline flags: (.+)$")
_TOOL = re.compile(
    r"STARTING!|Log parameter values|Min num runs: |Num (?:threads|runs): |Graph: \[|Loaded model "
    r"|Loading model from|Initialized session in|Running benchmark for|count=|Use \w+ ?: \["
    r"|(?:Average i|I)nference timings|=* ?BENCHMARK RESULTS"
)


@dataclasses.dataclass(frozen=True)
class BenchmarkResult:
    """What one run of the benchmark tool measured. None: this generation does not print it.

    Attributes:
        mean, min, p5, median, p95, max, std: milliseconds of one inference, over the timed runs.
        first: milliseconds of the first inference, which warmed up.
        init: milliseconds of loading the model, delegates included.
        warmup_mean: milliseconds of one inference, over the warm-up.
        runs: timed inferences.
        memory_init, memory_overall: bytes by which the resident memory grew from the start of
            the tool to the end of loading, and to the end of the runs (TF 2.4: their peaks).
            The tool prints megabytes of 1024 * 1024 bytes, rounded.
        memory_peak: bytes, with --report_peak_memory_footprint.
        model_bytes: size of the model file as the tool prints it: six digits, rounded.
        threads: of the CPU kernels.
        delegates: tuple of `Delegation`, what was really applied.
        refused: tuple of str, delegates that were asked for and do not execute the model.
        created: tuple of str, delegates that were created. It is no proof that they took a node.
        ignored_flags: tuple of str, flags that the tool does not know: it warns and goes on.
        operators: tuple of `OperatorTime`, if the profile was printed.
    """

    mean: float
    min: float | None = None
    p5: float | None = None
    median: float | None = None
    p95: float | None = None
    max: float | None = None
    std: float | None = None
    first: float | None = None
    init: float | None = None
    warmup_mean: float | None = None
    runs: int | None = None
    memory_init: int | None = None
    memory_overall: int | None = None
    memory_peak: int | None = None
    model_bytes: int | None = None
    threads: int | None = None
    delegates: tuple = ()
    refused: tuple = ()
    created: tuple = ()
    ignored_flags: tuple = ()
    operators: tuple = ()

    def __repr__(self):
        median = "" if self.median is None else f", median={self.median:.3f} ms"
        runs = "" if self.runs is None else f", {self.runs} runs"
        applied = "".join(f", {one}" for one in self.delegates)
        return f"BenchmarkResult(mean={self.mean:.3f} ms{median}{runs}{applied})"

    def to_dict(self):
        """A JSON object."""
        values = dataclasses.asdict(self)
        return {key: list(one) if isinstance(one, tuple) else one for key, one in values.items()}


def parse(stdout, stderr="", sentinel=None):
    """The figures of one run of the benchmark tool.

    Args:
        stdout: all that the tool (or `adb shell`, or logcat) wrote, not stripped: a last line
            without its end may be cut in the middle of a number and is not read.
        stderr: likewise; the two need not be told apart.
        sentinel: a word that the shell was told to print after the tool ended, with its exit
            code: `tool ...; echo <sentinel> $?`. adb 29 exits with 0 and half of the text when
            the phone dies, so that only such a line proves that the text is whole.

    Returns:
        A `BenchmarkResult`.

    Raises:
        BenchmarkLogError: one of its kinds, see `keras_joslim.tflite.benchmark_errors`; each says
            what happened, quotes the decisive line, and says what to do.
        ValueError: `sentinel` is empty or not one line.

    Example:

    >>> parse(done.stdout, done.stderr, sentinel="joslim-4711").median
    307.968
    """
    if sentinel is not None and (not sentinel.strip() or "\n" in sentinel):
        raise ValueError(f"Expected one line that is not empty. Received: sentinel={sentinel!r}")
    code = None
    if sentinel is not None:
        stdout, stderr, code = _until_sentinel(stdout, stderr, sentinel)
    (out, out_cut), (err, err_cut) = _messages(stdout), _messages(stderr)
    # Warm-up and runs come before the closing figures, which may be on the other stream.
    lines = [*err, *out] if any(map(is_closing, out)) else [*out, *err]
    cut = [*out_cut, *err_cut]
    closing = [line for line in lines if is_closing(line)]
    if code or not closing or errors.failed([*lines, *cut]):
        raise _failure(lines, cut, code)
    if len(closing) > 1:
        raise errors.InconsistentLogError(
            f"The text holds the closing figures of {len(closing)} runs.",
            closing[1],
            "Read one run at a time; for the app, clear the log first (`adb logcat -c`).",
        )
    figures, runs = timings(lines)
    applied, refused, created = delegations(lines)
    return BenchmarkResult(
        **figures,
        runs=runs,
        **_sizes(lines),
        delegates=applied,
        refused=refused,
        created=created,
        ignored_flags=tuple(
            flag for line in lines if (m := _IGNORED.match(line)) for flag in m[1].split()
        ),
        operators=operator_times(lines),
    )


def _messages(text):
    """([messages of whole lines], [message of a last line without its end])."""
    lines = [line.rstrip("\r \t") for line in text.split("\n")]
    logged = [_LOGCAT.match(line) for line in lines]
    mine = {
        match["pid"] or match["brief_pid"]
        for match in logged
        if match and re.match(r"tflite|litert", match["tag"] or match["brief_tag"])
    }
    messages = []
    for line, match in zip(lines, logged, strict=True):
        if match:
            # What other programs log may look like an error of this one.
            own = (match["pid"] or match["brief_pid"]) in mine
            line = line[match.end() :] if own else ""
        messages.append(_PREFIX.sub("", line, count=1))
    return messages[:-1], messages[-1:]


def _until_sentinel(stdout, stderr, sentinel):
    """The streams without the sentinel, and the exit code."""
    pattern = re.compile(re.escape(sentinel) + r" (\d{1,3})\r*\n", re.ASCII)
    found = [(text, match) for text in (stdout, stderr) for match in pattern.finditer(text)]
    if not found:
        message = [line for text in (stdout, stderr) for line in text.split("\n") if line.strip()]
        if not message:
            raise _empty()
        raise errors.TruncatedLogError(
            "The text ends before the shell reported the tool's end: the device was lost, or the "
            "command was stopped.",
            message[-1].rstrip("\r"),
            "Check the connection (`adb devices`) and run again.",
        )
    text, match = found[0]
    if len(found) > 1 or text[match.end() :].strip():
        raise errors.InconsistentLogError(
            "The text goes on after the tool's end: it holds several runs, or lines out of order.",
            sentinel,
            _AGAIN,
        )
    before = text[: match.start()]
    # `echo` started on the tool's last line if that had no end; the tool wrote no more of it.
    before += "" if before.endswith("\n") or not before else "\n"
    streams = (before, stderr) if text is stdout else (stdout, before)
    return *streams, int(match[1])


def _failure(lines, cut, code):
    """The error of a run that failed or left no figures."""
    told = [line for line in [*lines, *cut] if line.strip()]
    if not told and not code:
        return _empty()
    error = errors.cause(told)
    if error is not None:
        return error
    last = " | ".join(told[-3:])
    if code:
        return errors.of_exit_code(code, last)
    if not any(map(_TOOL.match, told)):
        return errors.UnknownLogError(
            "This is not the text of the TFLite benchmark tool.",
            last,
            "Check that --benchmark_binary is benchmark_model.",
        )
    why = "the run was stopped or the device was lost."
    if any(map(is_closing, cut)):
        why = "their line has no end: it was cut, or the text was stripped, which it must not be."
    return errors.TruncatedLogError(
        f"The tool started, but its closing figures are missing: {why}",
        told[-1],
        f"{_AGAIN} A slow model may need more time.",
    )


def _empty():
    return errors.EmptyLogError(
        "The benchmark tool printed nothing.",
        remedy="Check the connection (`adb devices`) and run again.",
    )


def _sizes(lines):
    """Field name -> bytes or threads, of what the lines hold."""
    found = {}

    def add(name, value, line):
        if found.setdefault(name, value) != value:
            raise errors.InconsistentLogError(
                f"Two lines contradict each other on {name}: {found[name]} and {value}.",
                line,
                f"The lines may be of several runs. {_AGAIN}",
            )

    for line in lines:
        for pattern, names in _MEMORY:
            if match := pattern.match(line):
                for name, text in zip(names, match.groups(), strict=True):
                    add(name, round(number(text, line)[0] * _MEBIBYTE), line)
        if match := _MODEL_SIZE.match(line):
            add("model_bytes", round(number(match[1], line)[0] * 1e6), line)
        elif (match := _THREADS.match(line)) and int(match[1]) > 0:
            add("threads", int(match[1]), line)
    return found
