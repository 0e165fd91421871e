"""A front as a table of text."""


def front_table(front, file_format=None):
    """The points of a front as text, one a line; the full network below if it is dominated.

    Args:
        front: `ParetoFront`.
        file_format: whose bytes and latency are shown; the first one there is if `None`.

    Returns:
        Aligned lines. What is not known yet is a dash.
    """
    known = [name for point in front.points for name in point.bytes]
    file_format = file_format or next(iter(known), "fp32")
    head = [
        "point",
        "MACs",
        "parameters",
        f"{file_format} bytes",
        "val. loss",
        "+-",
        "test acc. %",
        "ms min",
        "ms median",
    ]
    rows = [_row(point, point.name, file_format) for point in front.points]
    on_front = {point.widths for point in front.points}
    rows += [
        _row(end, f"({end.name})", file_format) for end in front.ends if end.widths not in on_front
    ]
    lines = [head, *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    text = ["  ".join(cell.rjust(w) for cell, w in zip(line, widths)) for line in lines]
    notes = {"+- is the bootstrap standard error of the validation loss over its images."}
    for point in front.points:
        warning = _latency(point, file_format).get("warning")
        if warning:
            notes.add(f"Doubtful latencies: {warning}")
    return "\n".join([text[0], "-" * len(text[0]), *text[1:], *sorted(notes)])


def _latency(point, file_format):
    return point.latency.get("host", {}).get(file_format, {})


def _row(point, name, file_format):
    latency = _latency(point, file_format)
    return [
        name,
        f"{point.costs['macs']:,}",
        f"{point.costs['parameters']:,}",
        _number(point.bytes.get(file_format), ",d"),
        _number(point.validation["loss"], ".4f"),
        _number(point.validation["loss_se"], ".4f"),
        _number(100 * point.test["accuracy"] if "accuracy" in point.test else None, ".2f"),
        _number(latency.get("min"), ".4f"),
        _number(latency.get("median"), ".4f"),
    ]


def _number(value, form):
    return "-" if value is None else format(value, form)
