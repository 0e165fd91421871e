"""Latency models: how far off they are, and what optimising by one is worth.

    python benchmarks/latency.py error [--networks=MobileNet,MobileNetV2] [--samples=600]
    python benchmarks/latency.py fronts --workdir=RUN[,RUN] --latency=FILE [--method=nsga2]

`error`: networks of keras.applications at 96 px, divisor 8, from a quarter of their width up, on
this machine; RMSE on 200 networks held out beside the repeatability of the same statistic, and the
error with fewer samples. `fronts`: two searches of each trained run, by MACs and by the fitted
latency, their points measured together: the loss at equal measured latency, mean and standard
deviation over the runs. Both go on where they were ended.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np

import keras_joslim as kj
from keras_joslim.latency import Samples
from keras_joslim.latency.fit import fit_latency, validate_latency

RESULTS = pathlib.Path(__file__).parent / "results" / "latency"
FEWER = (100, 200, 300, 450)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("command", choices=("error", "fronts"))
    parser.add_argument("--networks", default="MobileNet,MobileNetV2")
    parser.add_argument("--samples", type=int, default=600)
    parser.add_argument("--held_out", type=int, default=200)
    parser.add_argument("--directory", default="runs/latency", help="where samples are kept")
    parser.add_argument("--workdir", help="trained runs of one network, between commas")
    parser.add_argument("--latency", help="a latency model of its network")
    parser.add_argument("--method", default="nsga2", help="mobo, nsga2 or greedy")
    parser.add_argument("--search_only", action="store_true", help="measure another time")
    arguments = parser.parse_args()
    (error if arguments.command == "error" else fronts)(arguments)


def error(arguments):
    """Samples, fits and validates; prints a row a network."""
    rows = []
    for name in arguments.networks.split(","):
        place = pathlib.Path(arguments.directory) / f"{name}.96"
        seconds = _sampled(name, place, arguments.samples, arguments.held_out)
        samples = Samples.load(place / "samples.json")
        start = time.perf_counter()
        kj.latency.fit(place)
        fitting = time.perf_counter() - start
        result = kj.latency.validate(place)
        bound = max(0.05, 1.5 * result.repeatability)
        rows.append(
            {
                "network": name,
                "samples": len(samples.part("fit")[0]),
                "held out": len(result.measured),
                "ms": f"{result.measured.min():.3f}-{result.measured.max():.3f}",
                "error %": 100 * result.error,
                "repeatability %": 100 * result.repeatability,
                "bound %": 100 * bound,
                "met": "yes" if result.error <= bound else "no",
                "bias %": 100 * result.bias,
                "tau": result.rank_correlation,
                "drift": samples.drift,
                "sampling, min": seconds / 60,
                "fit, s": fitting,
            }
            | {f"error % of {n}": 100 * _with_fewer(samples, n).error for n in FEWER}
        )
    _print_table(rows)


def _sampled(name, place, count, held_out):
    """Seconds that sampling took in all, over all calls."""
    import keras

    clock = place / "seconds.json"
    spent = json.loads(clock.read_text()) if clock.exists() else 0.0
    network = getattr(keras.applications, name)(input_shape=(96, 96, 3), weights=None, classes=1000)
    slim = kj.make_slimmable(network, min_width=0.25, divisor=8)
    last = start = time.perf_counter()

    def progress(done, total):
        nonlocal last
        last = time.perf_counter()
        clock.write_text(json.dumps(spent + last - start))
        print(f"{name}: {done} of {total}", flush=True)

    kj.latency.sample(slim, place, count, held_out, on_progress=progress)
    return spent + last - start


def _with_fewer(samples, count):
    """The validation of a model of the first `count` samples."""
    fit = [row for row in samples.rows if row.part == "fit"][:count]
    rest = [row for row in samples.rows if row.part != "fit"]
    fewer = dataclasses.replace(samples, rows=tuple(fit + rest))
    return validate_latency(fit_latency(fewer), fewer)


def fronts(arguments):
    """Two searches of each run, then the points of all measured together, as the samples were."""
    from keras_joslim.app.export import export
    from keras_joslim.app.search import search
    from keras_joslim.app.workdir import Workdir

    facts = json.loads(pathlib.Path(arguments.latency).read_text(encoding="utf-8"))
    stem, settings = pathlib.Path(arguments.latency).stem, facts["settings"]
    searches = (
        ("by MACs", f"macs-{arguments.method}", "macs"),
        ("by latency", f"latency-{arguments.method}-{stem}", f"latency:{arguments.latency}"),
    )
    found, files = {}, {}
    for run in arguments.workdir.split(","):
        for by, name, cost in searches:
            workdir = Workdir(run, name)
            search(workdir, arguments.method, cost)
            export(workdir, [facts["format"]])
            found[run, by] = workdir.front()
            files |= {
                (run, by, point.name): workdir.place / point.files[facts["format"]]
                for point in found[run, by]
            }
    if arguments.search_only:
        return
    measured = kj.tflite.profile(
        {" ".join(key): path for key, path in files.items()},
        processes=7,
        threads=settings["threads"],
        xnnpack=settings["delegate"] == "xnnpack",
        files_per_process=20,
    )
    runs = {run: {} for run, _ in found}
    for (run, by), front in found.items():
        runs[run][by] = [
            (measured[f"{run} {by} {p.name}"].min, p.validation["loss"], p.test["accuracy"])
            for p in front
        ]
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"fronts-{arguments.method}-{stem}.json").write_text(json.dumps(runs, indent=1))
    _print_fronts(runs)


def _print_fronts(runs):
    """At some measured latencies the best point of each front that is as fast, over all runs."""
    fronts_of_all = [rows for of_run in runs.values() for rows in of_run.values()]
    slowest = min(max(ms for ms, *_ in rows) for rows in fronts_of_all)
    fastest = max(min(ms for ms, *_ in rows) for rows in fronts_of_all)
    rows = []
    for limit in np.linspace(fastest, slowest, 8):
        best = {
            by: np.array([_best_within(of_run[by], limit) for of_run in runs.values()])
            for by in ("by MACs", "by latency")
        }
        row = {"measured ms, at most": float(limit)}
        for column, name, unit in ((0, "loss", 1), (1, "test acc. %", 100)):
            for by, values in best.items():
                row[f"{name} {by}"] = float(unit * values[:, column].mean())
            gains = unit * (best["by latency"] - best["by MACs"])[:, column]
            row[f"{name}, difference"] = f"{gains.mean():+.3f}"
            if len(gains) > 1:
                row[f"{name}, difference"] += f" ± {gains.std(ddof=1):.3f}"
        rows.append(row)
    _print_table(rows)


def _best_within(front, limit):
    """Loss and test accuracy of the point of lowest validation loss that is as fast."""
    return min((point for point in front if point[0] <= limit), key=lambda point: point[1])[1:]


def _print_table(rows):
    """Markdown, a line a row."""
    print("| " + " | ".join(rows[0]) + " |")
    print("|" + "---|" * len(rows[0]))
    for row in rows:
        cells = (format(v, ".4g") if isinstance(v, float) else str(v) for v in row.values())
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
