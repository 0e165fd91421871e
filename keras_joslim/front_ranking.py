"""A front's points by another measure than the cost they were searched for: what a phone says."""

import dataclasses

import numpy as np

from keras_joslim.search.pareto import non_dominated

_OF_A_FILE = ("bytes", "arena")


@dataclasses.dataclass(frozen=True)
class RankedPoint:
    """A point in the order of a measure.

    Attributes:
        point: the `ParetoPoint`.
        value: of the measure: milliseconds, bytes, or a cost.
        loss: validation loss of the file in the ranking's format where it was measured, else
            of the Keras model.
        dominated_by: name of the point that is no worse in both and better in one, the one of
            least loss; None for a point on the front of this measure.
    """

    point: object
    value: float
    loss: float
    dominated_by: str | None = None


@dataclasses.dataclass(frozen=True)
class Ranking:
    """Points of a front in the order of a measure, dominated ones marked.

    Attributes:
        by: the measure, such as "latency:pixel7" with the device's whole name.
        file_format: whose files, or None where the measure knows no files.
        points: tuple of `RankedPoint`, ascending in the measure.
        missing: names of points that were not measured so.
    """

    by: str
    file_format: str | None
    points: tuple
    missing: tuple = ()

    def __iter__(self):
        return iter(self.points)

    def __len__(self):
        return len(self.points)

    @property
    def front(self):
        """Names of the points that none dominates."""
        return [ranked.point.name for ranked in self.points if ranked.dominated_by is None]

    def table(self):
        """The ranking as aligned text, one point a line."""
        unit = "bytes" if self._in_bytes else self.by
        measure = ["ms", "spread %", "delegate"] if self._device else [unit]
        head = ["point", *measure, "val. loss", "val. acc. %", "test acc. %", "file bytes", ""]
        rows = [head, *(self._row(ranked) for ranked in self.points)]
        widths = [max(len(row[i]) for row in rows) for i in range(len(head) - 1)]
        lines = [
            "  ".join([*(c.rjust(w) for c, w in zip(row, widths)), row[-1]]).rstrip()
            for row in rows
        ]
        files = f", {self.file_format} files" if self.file_format else ""
        title = f"By {self.by}{files}: {len(self.front)} of {len(self)} points on the front."
        drift = self._drift()
        if drift is not None:
            title += f" Drift of the device while measuring: {100 * (drift - 1):+.1f} %."
        notes = [f"Not measured: {', '.join(self.missing)}"] if self.missing else []
        notes += self._warnings()
        return "\n".join([title, lines[0], "-" * len(lines[0]), *lines[1:], *notes])

    @property
    def _device(self):
        """The device of a latency, else ""."""
        return self.by.partition(":")[2]

    @property
    def _in_bytes(self):
        return self.by in (*_OF_A_FILE, "memory")

    def _latency(self, ranked):
        return ranked.point.latency[self._device][self.file_format]

    def _row(self, ranked):
        measured = _measured(ranked.point, self.file_format)
        accuracies = [measured.get("accuracy"), _tested(ranked.point, self.file_format)]
        size = ranked.point.bytes.get(self.file_format)
        if self._device:
            entry = self._latency(ranked)
            spread = _spread(entry)
            measure = [f"{ranked.value:.3f}", "-" if spread is None else f"{100 * spread:.1f}"]
            measure.append(_delegate(entry))
        else:
            measure = [format(ranked.value, ".4f" if self.by == "latency" else ",.0f")]
        return [
            ranked.point.name,
            *measure,
            f"{ranked.loss:.4f}",
            *("-" if value is None else f"{100 * value:.2f}" for value in accuracies),
            "-" if size is None else f"{size:,d}",
            "" if ranked.dominated_by is None else f"dominated by {ranked.dominated_by}",
        ]

    def _drift(self):
        """Of the device, last over first measurement of one file; None if it is not known."""
        if not self._device:
            return None
        return next(iter(self._latency(ranked).get("drift") for ranked in self.points), None)

    def _warnings(self):
        """What makes the milliseconds doubtful, each once."""
        found = {}
        for ranked in self.points if self._device else ():
            entry = self._latency(ranked)
            for text in (entry.get("warning"), *entry.get("warnings", ())):
                if text:
                    found.setdefault(text, []).append(ranked.point.name)
        return [f"Doubtful ({', '.join(names)}): {text}" for text, names in sorted(found.items())]


def _spread(entry):
    """Highest less lowest of the processes that measured, as a share of the figure."""
    values = entry.get("round_values") or entry.get("process_medians") or ()
    return (max(values) - min(values)) / _milliseconds(entry) if len(values) > 1 else None


def _delegate(entry):
    """What ran the model, nodes taken of all; what was asked for where no more is known."""
    if "xnnpack" in entry:
        return "xnnpack" if entry["xnnpack"] else "none"
    taken = [one for one in entry.get("delegations", ()) if one["nodes_replaced"] is not None]
    if not taken:
        return entry.get("delegate", "-")
    parts = [f"{one['nodes_replaced']}/{one['nodes_total'] or '?'}" for one in taken]
    return f"{entry['delegate']} {', '.join(parts)}"


def rank(front, by, file_format=None):
    """See `ParetoFront.rank`."""
    if not isinstance(by, str) or not by:
        raise ValueError(f"Expected the name of a measure: {_known(front)}. Received: by={by!r}")
    kind, colon, device = by.partition(":")
    if kind == "latency" and colon:
        device = _device(front, device)
        by = f"latency:{device}"
        file_format = file_format or _first_format(p.latency.get(device, {}) for p in front)
        values = [_milliseconds(p.latency.get(device, {}).get(file_format)) for p in front]
    elif by in _OF_A_FILE:
        file_format = file_format or _first_format(p.bytes for p in front)
        values = [_file_measure(p, by, file_format) for p in front]
    elif any(by in p.costs for p in front):
        # Asked for files of a format: of the points that have one.
        has = [file_format is None or file_format in p.bytes for p in front]
        values = [p.costs.get(by) if there else None for p, there in zip(front, has)]
    else:
        raise ValueError(
            f"Expected a measure of {_known(front)}. Received: by={by!r}. In general it is a cost "
            "that the front was made with (macs, parameters, memory), bytes or arena of exported "
            "files, or latency:<device> of profiled ones."
        )
    known = [(p, v) for p, v in zip(front, values) if v is not None]
    if not known:
        raise ValueError(
            f"No point has {by} in the format {file_format!r}. There are: {_known(front)}; formats "
            f"of the files: {sorted({name for p in front for name in p.bytes}) or 'none'}"
        )
    known.sort(key=lambda pair: pair[1])
    costs = np.array([v for _, v in known], float)
    losses = np.array([_measured(p, file_format)["loss"] for p, _ in known])
    on_front = non_dominated(losses, costs)
    ranked = []
    for i, (point, value) in enumerate(known):
        over = None
        if not on_front[i]:
            better = (losses <= losses[i]) & (costs <= costs[i])
            better &= (losses < losses[i]) | (costs < costs[i])
            candidates = np.flatnonzero(better & on_front)
            over = known[candidates[np.argmin(losses[candidates])]][0].name
        ranked.append(RankedPoint(point, float(value), float(losses[i]), over))
    missing = tuple(p.name for p, v in zip(front, values) if v is None)
    return Ranking(by, file_format, tuple(ranked), missing)


def _measured(point, file_format):
    """Loss and metrics: of the file where they were measured, else of the Keras model."""
    return {**point.validation, **point.deployed.get(file_format, {})}


def _tested(point, file_format):
    """Test accuracy: of the file where there is a file, else of the Keras model."""
    results = point.test if file_format is None else point.tested.get(file_format, {})
    return results.get("accuracy")


def _milliseconds(entry):
    """The median; of tools that print none, the mean."""
    if entry is None:
        return None
    return entry["mean"] if entry.get("median") is None else entry["median"]


def _file_measure(point, by, file_format):
    if by == "bytes":
        return point.bytes.get(file_format)
    return point.deployed.get(file_format, {}).get("arena")


def _first_format(dicts):
    return next((name for names in dicts for name in names), None)


def _device(front, wanted):
    """The device of that name, or the only one whose name begins so, letters of any case."""
    devices = list(dict.fromkeys(name for p in front for name in p.latency))
    if wanted in devices:
        return wanted
    near = [name for name in devices if wanted and name.lower().startswith(wanted.lower())]
    if len(near) == 1:
        return near[0]
    if not devices:
        raise ValueError(
            f"No latency was measured yet, so there is none of {wanted!r}. Measure: "
            "`joslim profile --workdir=...`, for a phone with --device=android."
        )
    raise ValueError(
        f"Expected a device of {', '.join(devices)}. Received: latency:{wanted}"
        + (f", which may be any of {', '.join(near)}" if near else "")
    )


def _known(front):
    names = list(dict.fromkeys(name for p in front for name in p.costs))
    names += [by for by in _OF_A_FILE if any(p.bytes for p in front)]
    names += [f"latency:{d}" for d in dict.fromkeys(d for p in front for d in p.latency)]
    return ", ".join(names)
