"""The tables and the figure of `benchmarks/methods.py`, of the results that there are.

python benchmarks/methods.py table --data=glyphs
python benchmarks/methods.py compare --data=glyphs --pairs=joslim:slim
"""

import json
import math
import os
import sys

import numpy as np

ROWS = (
    "joslim",
    "joslim_recent",
    "joslim_all",
    "joslim_upper",
    "lambda",
    "pareco",
    "two_stage",
    "two_stage_nsga2",
    "autoslim",
    "aows",
    "ows",
    "two_stage_held",
    "slim",
    "slim_held",
    "fixed",
    "separate",
)
# Of the full cost: where accuracies are read off.
FRACTIONS = (0.25, 0.5, 0.75, 1.0)
REGIONS = {"low": (0.0, 0.35), "middle": (0.35, 0.7), "high": (0.7, 1.01)}
ERROR_CORNER, COST_CORNER = 1.0, 1.1


def print_table(arguments, folder, drawings):
    """Prints the table in Markdown and writes the figure.

    Args:
        arguments: of the command line: `data`, `cost`, `seeds`.
        folder: path of the results, a JSON file a method and seed.
        drawings: path of the folder for the figure.
    """
    results = read_results(arguments, folder)
    heads = [
        "hypervolume",
        "against joslim",
        *(f"acc. at {f:.0%}" for f in FRACTIONS),
        *REGIONS,
        "full",
        "smallest",
        "overhead",
    ]
    print(f"| method | seeds | {' | '.join(heads)} |")
    print(f"|---|--:|{'--:|' * len(heads)}")
    volumes = {
        row: {result["seed"]: summary(result)[0] for result in found}
        for row, found in results.items()
    }
    for row in [r for r in ROWS if r in results]:
        numbers = np.array([summary(result) for result in results[row]], float)
        means, spreads = zip(*(mean_and_spread(column) for column in numbers.T))
        cells = [fine(means[0], spreads[0])]
        joslim = volumes.get("joslim", {})
        shared = sorted(joslim.keys() & volumes[row].keys()) if row != "joslim" else []
        gains = [volumes[row][seed] - joslim[seed] for seed in shared]
        cells.append(fine(*mean_and_spread(gains), sign="+") if gains else "-")
        cells += [cell(m, s) for m, s in zip(means[1:], spreads[1:])]
        print(f"| {row} | {len(numbers)} | {' | '.join(cells)} |")
    seeds = {seed for found in results.values() for seed in (r["seed"] for r in found)}
    missing = {
        row: sorted(set(arguments.seeds) - {r["seed"] for r in results.get(row, ())})
        for row in ROWS
    }
    lines = [f"{row} (seeds {', '.join(map(str, m))})" for row, m in missing.items() if m]
    print(f"\nNot run: {'; '.join(lines) or 'nothing'}. Seeds here: {sorted(seeds)}.")
    figure(results, arguments, drawings)


def read_results(arguments, folder):
    """row -> results, one a seed."""
    results = {}
    for file in sorted(folder.glob(f"{arguments.data}-{arguments.cost}-*.json")):
        result = json.loads(file.read_text(encoding="utf-8"))
        results.setdefault(result["method"], []).append(result)
    if not results:
        sys.exit(f"There are no results of {arguments.data} against {arguments.cost} yet.")
    return results


def print_pairs(arguments, folder):
    """Prints the differences of pairs of rows, seed by seed and their mean and deviation.

    Args:
        arguments: of the command line: `data`, `cost`, `pairs`, each "row:row".
        folder: path of the results.
    """
    results = read_results(arguments, folder)
    print("| | hypervolume | low | middle | high |\n|---|--:|--:|--:|--:|")
    for pair in arguments.pairs.split(","):
        first, second = pair.split(":")
        numbers = []
        for row in (first, second):
            if row not in results:
                sys.exit(f"There are no results of {row!r}; there are {sorted(results)}.")
            numbers.append({r["seed"]: regions(r) for r in results[row]})
        shared = sorted(numbers[0].keys() & numbers[1].keys())
        columns = np.array([numbers[0][seed] - numbers[1][seed] for seed in shared]).T
        cells = [f"{seed_by_seed(columns[0], 4)} ({fine(*mean_and_spread(columns[0]), '+')})"]
        for column in 100 * columns[1:]:
            mean, spread = mean_and_spread(column)
            both = f"{mean:+.1f}" + ("" if math.isnan(spread) else f" ± {spread:.1f}")
            cells.append(f"{seed_by_seed(column, 1)} ({both})")
        print(f"| `{first}` against `{second}` | {' | '.join(cells)} |")


def regions(result):
    """Hypervolume, and the accuracy of the networks to ship below, in and above the middle."""
    numbers = summary(result)
    start = 1 + len(FRACTIONS)
    return np.array([numbers[0], *numbers[start : start + len(REGIONS)]])


def seed_by_seed(values, digits):
    return " ".join(f"{value:+.{digits}f}" for value in values)


def mean_and_spread(values):
    """Mean and standard deviation over seeds; NaN of one alone."""
    return np.mean(values), np.std(values, ddof=1) if len(values) > 1 else np.nan


def fine(mean, spread, sign=""):
    """A hypervolume, or a difference of two."""
    return f"{mean:{sign}.4f}" + ("" if math.isnan(spread) else f" ± {spread:.4f}")


def cell(mean, spread):
    """Per cent."""
    if math.isnan(mean):
        return "-"
    return f"{100 * mean:.1f}" if math.isnan(spread) else f"{100 * mean:.1f} ± {100 * spread:.1f}"


def summary(result):
    """Hypervolume, accuracy at each fraction of the cost, by region, of the ends, and overhead."""
    from keras_joslim.search import hypervolume

    costs, accuracies = curve(result)
    volume = hypervolume(1.0 - accuracies, costs, (ERROR_CORNER, COST_CORNER))
    at = []
    for fraction in FRACTIONS:
        within = np.flatnonzero(costs <= fraction + 1e-9)
        # Points descend in validation loss: the last one within is the one to ship.
        at.append(accuracies[within[-1]] if len(within) else np.nan)
    ends = [end["test"]["accuracy"] for end in result["ends"]]
    seconds = result["seconds"]
    parts = [seconds.get(key) or 0.0 for key in ("recalibration", "search", "search_after")]
    training = seconds.get("training")
    inside = sum(parts[:2])
    overhead = np.nan
    if training and "search_and_judging" not in seconds:
        overhead = sum(parts) / (training - inside)
    grid = np.linspace(costs[0], 1.0, 400)
    shipped = accuracies[np.searchsorted(costs, grid + 1e-9) - 1]
    at += [shipped[(low <= grid) & (grid < high)].mean() for low, high in REGIONS.values()]
    return [volume, *at, ends[0], ends[1] if len(ends) > 1 else np.nan, overhead]


def curve(result):
    """Costs as parts of the full one, and test accuracies, of the points by ascending cost."""
    points = result["points"]
    costs = np.array([p["costs"][result["cost"]] for p in points]) / result["full_cost"]
    return costs, np.array([p["test"]["accuracy"] for p in points])


def figure(results, arguments, drawings):
    """Test accuracy against cost: the mean over the seeds, and its spread as a band."""
    import plotly.colors
    import plotly.graph_objects as go

    grid = np.linspace(0.05, 1.0, 96)
    drawing, colours = go.Figure(), plotly.colors.qualitative.D3
    for number, row in enumerate(r for r in ROWS if r in results):
        lines = []
        for result in results[row]:
            costs, accuracies = curve(result)
            place = np.searchsorted(costs, grid + 1e-9) - 1
            lines.append(np.where(place >= 0, 100 * accuracies[place], np.nan))
        mean, spread = np.mean(lines, axis=0), np.std(lines, axis=0)
        colour = colours[number % len(colours)]
        if row == "separate":
            drawing.add_scatter(
                x=100 * np.array(FRACTIONS),
                y=np.interp(FRACTIONS, grid, mean),
                name=row,
                mode="markers",
                marker={"color": "black", "symbol": "x", "size": 9},
            )
            continue
        drawing.add_scatter(x=100 * grid, y=mean, name=row, line={"color": colour, "shape": "hv"})
        known = ~np.isnan(mean)
        drawing.add_scatter(
            x=100 * np.concatenate([grid[known], grid[known][::-1]]),
            y=np.concatenate([(mean + spread)[known], (mean - spread)[known][::-1]]),
            fill="toself",
            fillcolor=colour,
            opacity=0.15,
            line={"width": 0},
            showlegend=False,
            hoverinfo="skip",
        )
    drawing.update_layout(
        template="plotly_white",
        title=f"{arguments.data}: test accuracy of the front, mean and deviation over seeds",
        xaxis_title=f"{arguments.cost} in % of the full network's",
        yaxis_title="test accuracy in %",
    )
    drawings.mkdir(parents=True, exist_ok=True)
    path = drawings / f"{arguments.data}-{arguments.cost}.html"
    drawing.write_html(path, include_plotlyjs="cdn")
    print(f"\nfigure: {os.path.relpath(path)}")
