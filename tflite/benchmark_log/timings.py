"""The latencies in the lines of the TFLite benchmark tool, checked against each other.

A run is closed by one line (TFLite, microseconds) or one block (LiteRT, milliseconds), and counted
before that by up to two lines "count=...", the warm-up's and the timed runs'. The same figure
stands in several of them: they must agree to the digits printed.
"""

import dataclasses
import decimal
import re

from keras_joslim.tflite.benchmark_log.errors import InconsistentLogError, UnreadableTimingError

# Powers of ten that make milliseconds of them.
_UNITS = {"s": 3, "ms": 0, "us": -3, "ns": -6}
_STATISTICS = ("min", "p5", "median", "p95", "max")
_AGAIN = "Run the measurement again."
# By what share two lines may differ at most, unless one prints few decimals.
_TOLERANCE = 1e-3
# Comparisons of decimal fractions held as binary ones.
_ROUNDING = 1.001

_TIMINGS = re.compile(r"(?:Average i|I)nference timings(?: in (\w+))?: *(.*)")
_TIMING_NAMES = {
    "Init": "init",
    "First inference": "first",
    "Warmup (avg)": "warmup_mean",
    "Warmup": "warmup_mean",
    "Inference (avg)": "mean",
    "Inference": "mean",
    "no stats": "mean",
}
_RESULT = re.compile(
    r"(Model initialization|First inference|(?:Warmup|Inference) \(\w+\)): +(\S+)"
    r"(?: ([A-Za-z]+))?(?: \((\d+) runs\))?$",
    re.ASCII,
)
_RESULT_NAMES = {
    "Model initialization": "init",
    "First inference": "first",
    "Warmup (first)": "first",
    "Warmup (avg)": "warmup_mean",
    "Inference (avg)": "mean",
} | {f"Inference ({name})": name for name in (*_STATISTICS, "std")}
_COUNT = re.compile(r"count=")
_SESSION = re.compile(r"Initialized session in ([\d.e+]+?)([a-z]+)\.?$", re.ASCII)


@dataclasses.dataclass(frozen=True)
class _Reading:
    """One figure of one line: milliseconds, and by how much printing may have rounded it."""

    value: float
    slack: float
    line: str


def is_closing(line):
    """Does this line hold the mean of the timed runs?"""
    return bool(_TIMINGS.match(line)) or line.startswith("Inference (avg):")


def timings(lines):
    """The latencies of one run.

    Args:
        lines: messages without the prefixes of loggers, a list of str of which exactly one is
            `is_closing`.

    Returns:
        (dict of "mean", "min", "p5", "median", "p95", "max", "std", "first", "init" and
        "warmup_mean", as far as printed, to milliseconds), (timed runs, an int, or None).

    Raises:
        UnreadableTimingError: a figure is zero, negative, not a number, or of an unknown unit.
        InconsistentLogError: lines contradict each other or are out of order.
    """
    readings, runs = _readings(lines)
    return _agreed(readings), runs


def _readings(lines):
    """(figure name -> list of `_Reading`, runs), from all lines that time something."""
    closing = next(index for index, line in enumerate(lines) if is_closing(line))
    readings, runs = {}, []

    def add(name, text, unit, line, fixed=False):
        if unit not in _UNITS:
            raise UnreadableTimingError(
                f"Expected a timing in one of {sorted(_UNITS)}. Received: unit={unit!r}.",
                line,
                "Take another build of the tool.",
            )
        value, slack = number(text, line, _UNITS[unit])
        # Without a fixed number of decimals, zeros at the end are left out: 3 is not 3.3 rounded.
        slack = slack if fixed else min(slack, _TOLERANCE / 2 * value)
        readings.setdefault(name, []).append(_Reading(value, slack, line))

    for line in lines:
        if match := _TIMINGS.match(line):
            # The app of TF 1.x glues "Overall max resident set size..." to the last figure.
            for part in match[2].partition("Overall")[0].split(", "):
                name, _, text = part.partition(": ")
                if name in _TIMING_NAMES:
                    add(_TIMING_NAMES[name], text.strip(), match[1], line)
        elif match := _RESULT.match(line):
            name = _RESULT_NAMES.get(match[1])
            # LiteRT prints the deviation without a unit; the count line has it with one.
            if name and not (name == "std" and match[3] is None):
                add(name, match[2], match[3], line, fixed=True)
            if name == "mean" and match[4]:
                runs.append(_whole(match[4], line))
        elif match := _SESSION.match(line):
            add("init", match[1], match[2], line)
    if "mean" not in readings:
        raise UnreadableTimingError(
            "The closing line holds no mean that could be read.", lines[closing], _AGAIN
        )
    counts = [index for index, line in enumerate(lines) if _COUNT.match(line)]
    if len(counts) > 2 or any(index > closing for index in counts):
        raise InconsistentLogError(
            "Expected one line of counts for the warm-up and one for the runs, both before the "
            f"closing figures. Received: {len(counts)}, of several runs or out of order.",
            lines[counts[-1]],
            _AGAIN,
        )
    # The tool counts microseconds, and says so in the closing line that must agree with them.
    for place, index in enumerate(reversed(counts)):
        values = _count_line(lines[index])
        if place == 0:
            runs.append(_whole(values["count"], lines[index]))
            names = {"avg": "mean", "std": "std"} | {name: name for name in _STATISTICS}
        else:
            names = {"first": "first", "avg": "warmup_mean"}
        for key, name in names.items():
            if key in values:
                add(name, values[key], "us", lines[index])
    if len(set(runs)) > 1:
        raise InconsistentLogError(
            f"Two lines count the runs differently: {sorted(set(runs))}.",
            lines[closing],
            _AGAIN,
        )
    return readings, runs[0] if runs else None


def _count_line(line):
    """Key -> text of a line "count=50 first=... curr=... min=... max=... avg=... std=...".

    Of a single run, or of runs that all took the same time, there is only `curr`.
    """
    same = "(all same)" in line
    pairs = [token.partition("=") for token in line.replace("(all same)", "").split()]
    values = {key: text for key, _, text in pairs}
    if all(equals for _, equals, _ in pairs) and len(values) == len(pairs):
        if same or values["count"] == "1":
            if "curr" in values:
                only = values["curr"]
                return dict.fromkeys(("first", "min", "max", "avg", "median"), only) | values
        elif {"first", "min", "max", "avg", "std"} <= set(values):
            return values
    raise UnreadableTimingError("A line of counts cannot be read.", line, _AGAIN)


def _agreed(readings):
    """Figure name -> milliseconds: the most precise reading, if no line contradicts another."""
    best = {}
    for name, found in readings.items():
        best[name] = min(found, key=lambda one: one.slack)
        for one in found:
            if abs(one.value - best[name].value) > _ROUNDING * (one.slack + best[name].slack):
                raise InconsistentLogError(
                    f"Two lines contradict each other on {name}: {best[name].value:g} ms in "
                    f"{best[name].line!r}.",
                    one.line,
                    f"The lines may be of several runs, or out of order. {_AGAIN}",
                )
        if not best[name].value > 0 and name != "std":
            raise UnreadableTimingError(
                f"The tool reports an impossible {name} of {best[name].value:g} ms.",
                best[name].line,
                "Run with a warm-up, without --dry_run, and with more runs.",
            )
    order = [best[name] for name in _STATISTICS if name in best]
    pairs = [*zip(order, order[1:])]
    if "min" in best and "max" in best:
        pairs += [(best["min"], best["mean"]), (best["mean"], best["max"])]
    for low, high in pairs:
        if low.value - high.value > _ROUNDING * (low.slack + high.slack):
            raise InconsistentLogError(
                f"Expected min <= p5 <= median <= p95 <= max and the mean between. "
                f"Received: {low.value:g} ms before {high.value:g} ms.",
                high.line,
                _AGAIN,
            )
    return {name: one.value for name, one in best.items()}


def number(text, line, shift=0):
    """A number as C++ prints it, not negative.

    Args:
        text: the number.
        line: where it stands, for the message.
        shift: the power of ten to multiply it with.

    Returns:
        (the value, half a unit of its last digit), floats.

    Raises:
        UnreadableTimingError: it is something else.
    """
    if not re.fullmatch(r"\d{1,15}(?:\.\d{1,15})?(?:e[+-]\d{1,2})?", text, re.ASCII):
        raise UnreadableTimingError(
            f"Expected a number that is not negative. Received: {text!r}.", line, _AGAIN
        )
    value = decimal.Decimal(text).scaleb(shift)
    # With an exponent, six digits were printed, and zeros at their end left out.
    slack = 5e-6 * float(value) if "e" in text else 0.5 * 10.0 ** value.as_tuple().exponent
    return float(value), slack


def _whole(text, line):
    """Runs, an int of at least 1."""
    if not re.fullmatch(r"\d{1,9}", text, re.ASCII) or int(text) < 1:
        raise UnreadableTimingError(
            f"Expected at least one timed run. Received: {text!r}.",
            line,
            "Run without --dry_run and with --num_runs of at least 1.",
        )
    return int(text)
