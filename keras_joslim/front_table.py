"""A front as a table of text."""

_TITLES = {"macs": "MACs", "memory": "memory bytes", "latency": "ms fitted"}
_MEMORY_NOTE = (
    "arena: what the built-in interpreter allocates for tensors; peak: by how much the memory of "
    "a process with XNNPACK grew."
)


def front_table(front, file_format=None):
    """The points of a front as text, one a line; the full network below if it is dominated.

    Args:
        front: `ParetoFront`.
        file_format: whose bytes, latency and memory are shown; fp32, or the first one there
            is, if `None`.

    Returns:
        Aligned lines. What is not known yet is a dash.
    """
    known = [name for point in front.points for name in point.bytes]
    file_format = file_format or ("fp32" if "fp32" in known else next(iter(known), "fp32"))
    costs = list(dict.fromkeys(name for point in front.points for name in point.costs))
    metrics = _metrics(front)
    head = [
        "point",
        *(_TITLES.get(name, name) for name in costs),
        f"{file_format} bytes",
        "val. loss",
        "+-",
        *(_test_title(name) for name in metrics),
        "ms min",
        "ms median",
        "arena bytes",
        "peak bytes",
    ]
    rows = [_row(point, point.name, costs, metrics, file_format) for point in front.points]
    on_front = {point.widths for point in front.points}
    rows += [
        _row(end, f"({end.name})", costs, metrics, file_format)
        for end in front.ends
        if end.widths not in on_front
    ]
    lines = [head, *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    text = ["  ".join(cell.rjust(w) for cell, w in zip(line, widths)) for line in lines]
    notes = {"+- is the bootstrap standard error of the validation loss over its images."}
    if any(file_format in point.deployed for point in front.points):
        notes.add(_MEMORY_NOTE)
    for point in front.points:
        warning = _latency(point, file_format).get("warning")
        if warning:
            notes.add(f"Doubtful latencies: {warning}")
    return "\n".join([text[0], "-" * len(text[0]), *text[1:], *sorted(notes)])


def _metrics(front):
    """Names of what is measured beside the loss; the accuracy where nothing is yet."""
    measured = (name for point in front.points for name in (*point.validation, *point.test))
    names = [name for name in dict.fromkeys(measured) if name not in ("loss", "loss_se")]
    return names or ["accuracy"]


def _is_share(metric):
    return metric.endswith("accuracy")


def _test_title(metric):
    if not _is_share(metric):
        return f"test {metric}"
    return f"test {metric.removesuffix('accuracy')}acc. %".replace("_acc", " acc")


def _measured(metric, value):
    if value is None:
        return "-"
    return _number(100 * value, ".2f") if _is_share(metric) else _number(value, ".4f")


def _latency(point, file_format):
    return point.latency.get("host", {}).get(file_format, {})


def _row(point, name, costs, metrics, file_format):
    latency = _latency(point, file_format)
    return [
        name,
        *(_number(point.costs.get(cost), cost_format(point.costs.get(cost))) for cost in costs),
        _number(point.bytes.get(file_format), ",d"),
        _number(point.validation["loss"], ".4f"),
        _number(point.validation["loss_se"], ".4f"),
        *(_measured(metric, point.test.get(metric)) for metric in metrics),
        _number(latency.get("min"), ".4f"),
        _number(latency.get("median"), ".4f"),
        _number(point.deployed.get(file_format, {}).get("arena"), ",d"),
        _number(latency.get("peak_memory"), ",d"),
    ]


def cost_format(value):
    """How a cost is written: counts with commas, milliseconds and the like to four digits."""
    return ".4f" if isinstance(value, float) else ",d"


def _number(value, form):
    return "-" if value is None else format(value, form)
