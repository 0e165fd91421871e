"""Milliseconds of each operator, read from the profile that the TFLite benchmark tool prints.

With `--enable_op_profiling=true` (LiteRT: `--use_profiler=true`) the tool prints tables, columns
aligned or, with `--op_profiling_output_mode=csv` (before: `--profiling_output_csv_file`), separated
by commas. The same tables are in the file it may write instead of printing them.
"""

import dataclasses
import re

from keras_joslim.tflite.benchmark_log.errors import InconsistentLogError, TruncatedLogError

_REMEDY = "Run again; without --enable_op_profiling if it happens again."
_SECTION = re.compile(r"(Operator-wise Profiling Info|Profiling Info for Benchmark Init)")
_PART = re.compile(
    r"(Primary graph|Subgraph \(index: (\d{1,9})\)|Delegate internal)(?: profile)?: *$", re.ASCII
)
_TITLE = re.compile(r"=+ (.+?) =+$")
_OBSERVED = re.compile(r"(\d{1,9}) nodes observed$", re.ASCII)
_NUMBER = r"\d{1,15}(?:\.\d{1,15})?(?:e[+-]\d{1,2})?"


@dataclasses.dataclass(frozen=True)
class OperatorTime:
    """One row of the profile.

    Attributes:
        kind: the operator, "CONV_2D", or what a delegate calls its own.
        name: of its output tensors, with its index: "[MobilenetV2/Conv/Relu6]:0".
        first: milliseconds of the first call.
        mean: milliseconds of a call; those of one inference are `mean * calls`.
        calls: calls of one inference.
        part: "" for the main graph, "subgraph 1"..., or "delegate" for what happens within the
            delegate's nodes, whose time the main graph's rows contain already.
    """

    kind: str
    name: str
    first: float
    mean: float
    calls: int
    part: str


def operator_times(lines):
    """The operators of the timed runs, in execution order.

    Args:
        lines: messages without the prefixes of loggers, a list of str; or the text of the file
            that the tool wrote the profile to, a str.

    Returns:
        A tuple of `OperatorTime`, empty if there is no profile.

    Raises:
        TruncatedLogError: the profile ends in the middle of a table.
        InconsistentLogError: a row cannot be read, or the rows are not as many as the tool says.
    """
    if isinstance(lines, str):
        lines = [line.rstrip("\r") for line in lines.split("\n")[:-1]]
    found, rows, columns, part, parts = [], None, None, "", set()
    # LiteRT names no section: its one table is that of the runs.
    timed, wanted = False, True
    for line in lines:
        if match := _TITLE.match(line):
            columns = None
            if match[1] == "Run Order":
                if rows is not None:
                    raise TruncatedLogError("The operator profile misses its end.", line, _REMEDY)
                if part in parts:
                    raise InconsistentLogError(
                        "The operator profile has two tables of one graph.", line, _REMEDY
                    )
                parts.add(part)
                rows, columns = [], ()
        elif columns == ():
            columns = _columns(line)
        elif columns is not None:
            if line.strip():
                rows.append(_row(line, columns, part))
            else:
                columns = None
        elif match := _SECTION.match(line):
            timed, before = match[1] == "Operator-wise Profiling Info", timed
            if before:
                raise InconsistentLogError("The operator profile is out of order.", line, _REMEDY)
            # What happens once, before the runs, is not a part of an inference.
            part, parts, wanted, found = "", set(), timed, []
        elif match := _PART.match(line):
            part = "delegate" if match[1] == "Delegate internal" else ""
            part = f"subgraph {int(match[2])}" if match[2] else part
        elif rows is not None and (match := _OBSERVED.match(line)):
            if int(match[1]) != len(rows):
                raise InconsistentLogError(
                    f"The operator profile has {len(rows)} rows, and not those it counts.",
                    line,
                    _REMEDY,
                )
            found += rows if wanted else []
            rows = None
    if rows is not None:
        raise TruncatedLogError("The operator profile ends in the middle.", remedy=_REMEDY)
    return tuple(found)


def _columns(line):
    """(are they separated by commas, names in lower case without brackets)."""
    commas = ", " in line
    cells = line.split(", ") if commas else _aligned(line)
    names = tuple(cell.strip(" []").lower().replace("_", " ") for cell in cells)
    if not {"node type", "first", "avg ms", "times called", "name"} <= set(names):
        raise InconsistentLogError("The operator profile has no known columns.", line, _REMEDY)
    return commas, names


def _aligned(line):
    cells = [cell.strip() for cell in re.split(r"\t|  ", line)]
    return [cell for cell in cells if cell]


def _row(line, columns, part):
    commas, names = columns
    cells = _aligned(line)
    if commas:
        # Kinds and names may hold commas themselves; the numbers between say where they end.
        pattern = "(.*?)" + f", (-?{_NUMBER})%?" * (len(names) - 2) + ", (.*)"
        match = re.fullmatch(pattern, line, re.ASCII)
        cells = match.groups() if match else ()
    values = dict(zip(names, cells)) if len(cells) == len(names) else {}
    times = [values.get(key, "") for key in ("first", "avg ms", "times called")]
    if not all(re.fullmatch(_NUMBER, time, re.ASCII) for time in times):
        raise InconsistentLogError("A row of the operator profile cannot be read.", line, _REMEDY)
    return OperatorTime(
        kind=values["node type"],
        name=values["name"],
        first=float(times[0]),
        mean=float(times[1]),
        calls=int(float(times[2])),
        part=part,
    )
