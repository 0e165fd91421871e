"""The table `steps.csv`: a row every so many steps, which survives being killed."""

import contextlib
import csv
import io
import os
import pathlib

from keras_joslim import atomic


class StepsTable:
    """Rows by step, appended one by one.

    A row that was torn by a kill, and rows of steps that are run again after a resume, go away.

    Args:
        path: of the file.

    Example:

    >>> table = StepsTable("logs/steps.csv")
    >>> table.begin(step=200)  # Rows up to step 200 stay.
    >>> table.append({"step": 250, "loss_full": 1.25})
    >>> table.rows()[-1]["loss_full"]
    1.25
    """

    def __init__(self, path):
        self._path = pathlib.Path(path)

    def rows(self):
        """What is in the file: a list of dicts of numbers, NaN where a cell is empty."""
        try:
            text = self._path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return []
        # The last line may be torn: it has no end.
        whole = text[: text.rfind("\n") + 1]
        reader = csv.DictReader(io.StringIO(whole))
        return [
            {name: float(cell) if cell else float("nan") for name, cell in row.items()}
            for row in reader
        ]

    def begin(self, step):
        """Made ready for a training that goes on after `step`."""
        rows = [row for row in self.rows() if row["step"] <= step]
        self._path.parent.mkdir(parents=True, exist_ok=True)
        atomic.write_text(self._path, _text(rows, header=True) if rows else "")

    def append(self, row):
        """Adds a dict of numbers; all rows of a file have the same names."""
        size = self._path.stat().st_size if self._path.exists() else 0
        try:
            with open(self._path, "a", encoding="utf-8") as file:
                file.write(_text([row], header=not size))
        except OSError:
            # A disk that is full takes part of a row; the next one is to begin a line.
            with contextlib.suppress(OSError):
                os.truncate(self._path, size)
            raise


def _text(rows, header):
    file = io.StringIO()
    writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
    if header:
        writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
    return file.getvalue()


def _cell(value):
    if value is None or value != value:
        return ""
    return str(int(value)) if float(value).is_integer() else f"{value:.6g}"
