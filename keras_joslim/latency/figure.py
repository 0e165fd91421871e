"""The picture of a validation: predicted against measured latency."""

import numpy as np


def draw(validation, latency):
    """The plotly figure of a `Validation`.

    Args:
        validation: a `Validation`.
        latency: the `costs.Latency` that it is of.

    Returns:
        `plotly.graph_objects.Figure`.
    """
    import plotly.graph_objects as go

    measured, predicted = validation.measured, validation.predicted
    ends = np.array([min(measured.min(), predicted.min()), max(measured.max(), predicted.max())])
    figure = go.Figure()
    figure.add_scatter(
        x=ends, y=ends, mode="lines", name="predicted = measured", line={"color": "#b8bfc9"}
    )
    figure.add_scatter(
        x=measured,
        y=predicted,
        mode="markers",
        name=f"{len(measured)} networks held out",
        marker={"color": "#1f5fbf", "size": 6},
        hovertemplate="measured %{x:.4g} ms, predicted %{y:.4g} ms<extra></extra>",
    )
    facts, settings = latency.facts, latency.facts["settings"]
    where = facts["device"].get("model") or facts["device"].get("name")
    title = (
        f"Latency on {where}: {facts['format']}, {settings['delegate']}, "
        f"{settings['threads']} thread{'s' if settings['threads'] > 1 else ''}; "
        f"error {validation.error:.1%}"
    )
    if validation.repeatability is not None:
        title += f", repeatability {validation.repeatability:.1%}"
    figure.update_layout(
        template="plotly_white",
        title=title,
        xaxis_title="measured, ms",
        yaxis_title="predicted, ms",
        legend={"x": 0.01, "y": 0.99},
        width=680,
        height=640,
    )
    return figure
