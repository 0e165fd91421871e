"""Measured latencies of sub-networks: a file that grows batch by batch and goes on after a kill."""

import dataclasses
import json
import math
import pathlib
import tempfile

import numpy as np

from keras_joslim import atomic
from keras_joslim.costs.latency_tables import Term
from keras_joslim.costs.network_identity import refuse_other_network
from keras_joslim.latency.plan import held_out_widths, sample_widths

KIND = "keras_joslim latency samples"
SCHEMA = 1
FILE_NAME = "samples.json"
# Files that one process measures; what is lost at most when it is killed.
_BATCH = 20
# Of the networks held out so many are measured a second time: the repeatability.
_AGAIN = 50
PARTS = ("fit", "held_out", "again")


@dataclasses.dataclass(frozen=True)
class Sample:
    """One sub-network, measured by some processes.

    Attributes:
        part: "fit", "held_out", or "again" for one of those held out, measured once more.
        widths: tuple of ints.
        times: the least milliseconds of each process, a tuple; empty before the first.
    """

    part: str
    widths: tuple
    times: tuple = ()

    @property
    def ms(self):
        """Milliseconds, the least of all processes."""
        return min(self.times)


@dataclasses.dataclass(frozen=True)
class Samples:
    """All that was measured of one network on one device.

    Attributes:
        about: JSON dict: "network" (see `costs.network_identity`), "operators" (`Term`s), "legal"
            (widths of each group), "format", "device" (its facts), "settings" (of the
            measurement) and "seed".
        rows: tuple of `Sample`, those not measured yet among them.
        sentinels: milliseconds of the full network in each batch, a tuple.
    """

    about: dict
    rows: tuple = ()
    sentinels: tuple = ()

    @property
    def terms(self):
        """The operators that widths change: a list of `costs.latency_tables.Term`."""
        groups = len(self.about["legal"])
        return [Term.from_dict(values, groups) for values in self.about["operators"]]

    @property
    def legal(self):
        """Per group an ascending int array of its legal widths."""
        return [np.array(widths) for widths in self.about["legal"]]

    def part(self, name):
        """What is measured of one part: widths int `(n, groups)`, milliseconds float `(n,)`."""
        rows = [row for row in self.rows if row.part == name and row.times]
        groups = len(self.about["legal"])
        widths = np.array([row.widths for row in rows], np.int32).reshape(len(rows), groups)
        return widths, np.array([row.ms for row in rows], np.float64)

    @property
    def repeatability(self):
        """Deviation of one measurement as a share of the mean; `None` if none was repeated.

        Of two measurements of the same networks: the root mean square of their differences by the
        square root of 2.
        """
        widths, again = self.part("again")
        known = dict(zip(map(tuple, self.part("held_out")[0].tolist()), self.part("held_out")[1]))
        twice = [tuple(row) in known for row in widths.tolist()]
        widths, again = widths[twice], again[twice]
        if not len(widths):
            return None
        first = np.array([known[tuple(row)] for row in widths.tolist()])
        return float(np.sqrt(np.mean((first - again) ** 2) / 2) / first.mean())

    @property
    def drift(self):
        """The slowest by the fastest measurement of the full network over the batches."""
        return max(self.sentinels) / min(self.sentinels) if self.sentinels else None

    def save(self, path):
        """Writes the file, whole."""
        content = {
            "kind": KIND,
            "schema": SCHEMA,
            **{name: self.about[name] for name in ABOUT},
            "sentinels": list(self.sentinels),
            "samples": [[row.part, list(row.times), *map(int, row.widths)] for row in self.rows],
        }
        # A line a sample: indented JSON would be a line a number.
        rows = ",\n".join(json.dumps(row, allow_nan=False) for row in content.pop("samples"))
        head = json.dumps(content, indent=1, allow_nan=False)[:-2]
        atomic.write_text(path, f'{head},\n "samples": [\n{rows}\n]}}\n')

    @classmethod
    def load(cls, path):
        """What `save` wrote.

        Raises:
            ValueError: there is no such file, something else is in it, or it is damaged: a latency
                that is no number above 0 among others.
        """
        path = pathlib.Path(path)
        if not path.is_file():
            raise ValueError(
                f"There are no latency samples in {path}: no such file. Measure some with "
                "`joslim latency sample`."
            )
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if (content["kind"], content["schema"]) != (KIND, SCHEMA):
                raise ValueError(f"kind {content['kind']!r}, schema {content['schema']!r}")
            about = {name: content[name] for name in ABOUT}
            rows = tuple(
                Sample(part, tuple(widths), tuple(checked_latency(ms, widths) for ms in times))
                for part, times, *widths in content["samples"]
            )
            sentinels = tuple(checked_latency(ms, "full") for ms in content["sentinels"])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{path} does not hold latency samples that can be read ({error}). Move it away "
                "and measure again."
            ) from None
        return cls(about, rows, sentinels)


ABOUT = ("network", "operators", "legal", "format", "device", "settings", "seed")


def checked_latency(ms, widths):
    """A measured latency, milliseconds.

    Raises:
        ValueError: it is not a finite number above 0, naming the network.
    """
    good = isinstance(ms, int | float) and not isinstance(ms, bool) and math.isfinite(ms) and ms > 0
    if not good:
        raise ValueError(
            f"A latency is a finite number of milliseconds above 0. Received: {ms!r} of the "
            f"sub-network of widths={widths}. Look at what the device's log says of that run."
        )
    return float(ms)


def measure_samples(network, about, meter, directory, count=600, held_out=200, on_progress=None):
    """Measures sub-networks, or goes on where an earlier call was ended.

    All are measured once, in a random order, then all once more, and so on: what slows a device
    down for a while slows down one process of each, and the least counts.

    Args:
        network: a `FileNetwork`.
        about: what `Samples.about` holds, without "operators". Facts of the device may be filled
            in while it measures.
        meter: `meter(files)` gives the milliseconds, dict name -> float, of a dict name -> path.
        directory: where `samples.json` is.
        count: networks to fit a model to. More than an earlier call had are added to those.
        held_out: networks to judge it by; some of them are measured a second time.
        on_progress: called as `on_progress(done, total)` after each batch.

    Returns:
        `Samples`.

    Raises:
        ValueError: the file has samples of another network, device or settings, naming the first
            difference; a measurement that is no number above 0.
    """
    path = pathlib.Path(directory) / FILE_NAME
    samples = stored_samples(directory, about)
    if samples is None:
        operators = [term.to_dict() for term in network.terms]
        samples = Samples({**about, "operators": operators})
    samples = _planned(samples, network, path, count, held_out)
    processes = about["settings"]["processes"]
    total = processes * len(samples.rows)
    for turn in range(processes):
        order = np.random.default_rng([about["seed"], turn]).permutation(len(samples.rows))
        missing = [i for i in order.tolist() if len(samples.rows[i].times) <= turn]
        for start in range(0, len(missing), _BATCH):
            samples = _with_batch(samples, network, meter, missing[start : start + _BATCH])
            samples.save(path)
            if on_progress:
                on_progress(sum(len(row.times) for row in samples.rows), total)
    return samples


def _planned(samples, network, path, count, held_out):
    """The samples with a row for all that is to be measured."""
    space, seed = network.space, samples.about["seed"]
    judged = held_out_widths(space, held_out, seed)
    fit = sample_widths(network.terms, space, count, seed)
    rows = []
    for name, widths in zip(PARTS, (fit, judged, judged[:_AGAIN]), strict=True):
        known = [row for row in samples.rows if row.part == name]
        planned = [Sample(name, tuple(row)) for row in widths.tolist()]
        if any(a.widths != b.widths for a, b in zip(known, planned)):
            raise ValueError(
                f"{path} has samples of other widths than this network's plan: its legal widths, "
                "or the way they are drawn, have changed. Name another directory."
            )
        rows += known + planned[len(known) :]
    return dataclasses.replace(samples, rows=tuple(rows))


def stored_samples(directory, about):
    """The `Samples` in a directory, which must be those of `about`; `None` if there are none.

    Raises:
        ValueError: they are of something else, naming the first difference.
    """
    path = pathlib.Path(directory) / FILE_NAME
    if not path.exists():
        return None
    samples = Samples.load(path)
    stored, settings = samples.about, samples.about["settings"]
    refuse_other_network(stored["network"], about["network"], f"What {path} has")
    pairs = [("device", stored["device"].get("name"), about["device"].get("name"))]
    pairs += [(name, stored[name], about[name]) for name in ("format", "seed", "legal")]
    names = {**settings, **about["settings"]}
    pairs += [(name, settings.get(name), about["settings"].get(name)) for name in names]
    for name, then, now in pairs:
        if then != now:
            raise ValueError(
                f"{path} has samples of {name}={then!r}, now {now!r}. Give the same to go on with "
                "them, or name another directory."
            )
    return samples


def _with_batch(samples, network, meter, batch):
    """The samples with one more process for those of the batch, indices into the rows."""
    rows, full = list(samples.rows), tuple(network.space.full.tolist())
    with tempfile.TemporaryDirectory(prefix="keras_joslim-") as folder:
        files = {}
        for name, widths in [("full", full), *((f"s{i}", rows[i].widths) for i in batch)]:
            files[name] = pathlib.Path(folder) / f"{name}.tflite"
            files[name].write_bytes(network.file(widths))
        measured = meter(files)
    for i in batch:
        ms = checked_latency(measured[f"s{i}"], list(rows[i].widths))
        rows[i] = dataclasses.replace(rows[i], times=(*rows[i].times, ms))
    sentinel = checked_latency(measured["full"], list(full))
    return dataclasses.replace(samples, rows=tuple(rows), sentinels=(*samples.sentinels, sentinel))
