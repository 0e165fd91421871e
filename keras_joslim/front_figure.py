"""The picture of a front."""

import numpy as np

from keras_joslim.search.pareto import non_dominated

_TITLES = {
    "macs": "MACs per image",
    "parameters": "parameters",
    "memory": "bytes in memory",
    "latency": "milliseconds, by the fitted latency model",
    "loss": "validation loss",
}


def front_figure(front, cost, metric):
    """The plotly figure of a `ParetoFront`; see `ParetoFront.plot`."""
    import plotly.graph_objects as go

    points = front.points
    for name, results, what in (
        (cost, points[0].costs, "cost"),
        (metric, points[0].validation, "metric"),
    ):
        if name not in results:
            raise ValueError(f"The points have no {what} {name!r}. They have: {sorted(results)}")
    figure = go.Figure()
    if metric == "loss" and all(cost in network for network in front.history):
        on_front = {point.widths for point in points}
        rest = [n for n in front.history if tuple(n["widths"]) not in on_front]
        figure.add_scatter(
            x=[n[cost] for n in rest],
            y=[n["loss"] for n in rest],
            mode="markers",
            name=f"other networks visited ({len(rest)})",
            marker={"color": "#b8bfc9", "size": 6},
            hovertemplate="%{x:,} %{y:.4f}<extra>visited</extra>",
        )
    error = [p.validation.get("loss_se", 0.0) for p in points] if metric == "loss" else None
    figure.add_scatter(
        x=[p.costs[cost] for p in points],
        y=[p.validation[metric] for p in points],
        error_y={"type": "data", "array": error, "thickness": 1} if error else None,
        mode="lines+markers",
        name=f"front ({len(points)} points)",
        line={"color": "#1f5fbf", "shape": "hv" if metric == "loss" else "linear"},
        marker={"size": 9},
        text=[_hover(p) for p in points],
        hovertemplate="%{text}<extra></extra>",
    )
    for name in dict.fromkeys(name for p in points for name in p.deployed):
        if name != "fp32":
            _add_format(figure, front, name, cost, metric)
    figure.update_layout(
        template="plotly_white",
        title=f"Pareto front: {_TITLES.get(metric, f'validation {metric}')}",
        xaxis_title=_TITLES.get(cost, cost),
        yaxis_title=_TITLES.get(metric, f"validation {metric}"),
        legend={"x": 0.99, "xanchor": "right", "y": 0.99},
        width=860,
        height=520,
    )
    return figure


def _add_format(figure, front, name, cost, metric):
    """The front of the files of a format, of what was measured on the files themselves."""
    measured = [(p, p.deployed[name]) for p in front.points if metric in p.deployed.get(name, {})]
    if not measured:
        return
    kept = non_dominated(
        np.array([results["loss"] for _, results in measured]),
        np.array([p.costs[cost] for p, _ in measured], float),
    )
    measured = [pair for pair, stays in zip(measured, kept) if stays]
    figure.add_scatter(
        x=[p.costs[cost] for p, _ in measured],
        y=[results[metric] for _, results in measured],
        mode="lines+markers",
        name=f"{name} files ({len(measured)} points)",
        line={"dash": "dot", "width": 1, "shape": "hv" if metric == "loss" else "linear"},
        marker={"size": 6, "symbol": "diamond"},
        # Next to single precision, whose line it would hide.
        visible="legendonly" if name == "fp16" else True,
        text=[p.name for p, _ in measured],
        hovertemplate="%{text} %{y:.4f}<extra>" + name + "</extra>",
    )


def _milliseconds(latency):
    """The median; of tools that print none, the mean."""
    return latency["mean"] if latency["median"] is None else latency["median"]


def _hover(point):
    lines = [f"<b>{point.name}</b>"]
    lines += [f"{name}: {value:,}" for name, value in point.costs.items()]
    lines += [f"validation {name}: {value:.4f}" for name, value in point.validation.items()]
    for device, formats in point.latency.items():
        lines += [f"{device} {name}: {_milliseconds(v):.3f} ms" for name, v in formats.items()]
    return "<br>".join(lines)
