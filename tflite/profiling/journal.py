"""What the benchmark tool has measured so far, so that a second call measures only the rest.

A measurement is one run of the tool that came to its end and whose text could be read. It is known
by the device, the tool's and the model file's sha256, the settings, and which run it was; names of
files and their order do not matter.
"""

import dataclasses
import json
import pathlib
import threading

from keras_joslim import atomic
from keras_joslim.tflite.benchmark_log.delegates import Delegation
from keras_joslim.tflite.benchmark_log.operators import OperatorTime
from keras_joslim.tflite.benchmark_log.parser import BenchmarkResult

KIND = "keras_joslim measurement journal"
SCHEMA = 1
_LISTS = ("delegates", "refused", "created", "ignored_flags", "operators")


@dataclasses.dataclass(frozen=True)
class Measurement:
    """One run of the tool.

    Attributes:
        result: its `BenchmarkResult`.
        thermal_before, thermal_after: the device's thermal status, None if it does not tell.
        log: path of the raw text, relative to the folder of the logs.
    """

    result: BenchmarkResult
    thermal_before: int | None
    thermal_after: int | None
    log: str


def journal_key(*, device, tool, file, settings, kind, number):
    """The name of a measurement, a str.

    Args:
        device: serial of the phone, or a name of the host.
        tool, file: sha256 of the tool, and of the model file.
        settings: dict of all that a latency depends on.
        kind: "round", "sentinel", "memory" or "operators".
        number: int, which one of this kind.
    """
    return json.dumps(locals(), sort_keys=True, allow_nan=False)


class Journal:
    """A JSON file of measurements; written whole after each one. One process writes it at a time.

    Args:
        path: of the file; it is made when there is something to write.

    Raises:
        ValueError: the file is something else, or damaged.
    """

    def __init__(self, path):
        self.path = pathlib.Path(path)
        self._lock = threading.Lock()
        self._entries = self._read() if self.path.exists() else {}

    def __len__(self):
        return len(self._entries)

    def find(self, key):
        """The `Measurement` of this key, or None."""
        with self._lock:
            return self._entries.get(key)

    def add(self, key, measurement):
        """Enters a measurement; it is on disk when this returns."""
        with self._lock:
            entries = {**self._entries, key: measurement}
            rows = [
                {"key": json.loads(key), **dataclasses.asdict(one)} for key, one in entries.items()
            ]
            atomic.write_json(self.path, {"kind": KIND, "schema": SCHEMA, "measurements": rows})
            self._entries = entries

    def _read(self):
        try:
            value = json.loads(self.path.read_text(encoding="utf-8"))
        except (UnicodeDecodeError, json.JSONDecodeError, IsADirectoryError) as error:
            raise ValueError(
                f"Expected a journal of measurements. Received: journal={str(self.path)!r}, which "
                f"is not JSON ({error}). Name another file, or move this one away."
            ) from None
        if not isinstance(value, dict) or (value.get("kind"), value.get("schema")) != (
            KIND,
            SCHEMA,
        ):
            raise ValueError(
                f"Expected a journal of measurements of schema {SCHEMA}. Received: "
                f"journal={str(self.path)!r}, which holds something else. Name another file."
            )
        try:
            return {journal_key(**row["key"]): _measurement(row) for row in value["measurements"]}
        except (TypeError, KeyError, ValueError, AttributeError) as error:
            raise ValueError(
                f"Expected a journal of measurements. Received: journal={str(self.path)!r}, which "
                f"is damaged ({type(error).__name__}: {error}). Move it away and measure again."
            ) from None


def _measurement(row):
    values = dict(row["result"])
    values |= {
        "delegates": [Delegation(**one) for one in values["delegates"]],
        "operators": [OperatorTime(**one) for one in values["operators"]],
    }
    values |= {name: tuple(values[name]) for name in _LISTS}
    result = BenchmarkResult(**values)
    if isinstance(result.mean, bool) or not isinstance(result.mean, int | float):
        raise ValueError(f"mean={result.mean!r}")
    if not result.mean > 0:
        raise ValueError(f"mean={result.mean!r}")
    return Measurement(result, row["thermal_before"], row["thermal_after"], str(row["log"]))
