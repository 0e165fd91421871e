"""Every model of keras.applications, at its own input size: is it slimmable, exactly, how fast?

    python benchmarks/architectures.py --output=docs/architectures.md
    python benchmarks/architectures.py --names=MobileNetV2,NASNetMobile

Each constructor has a process of its own, which converts the model once and extracts one
sub-network of random widths. Differences are those of logits of one random image, relative to
the largest: of the slimmable network at full width from the model itself, and of the extracted
network from the slimmable one. Seconds are CPU time of the process, since the work is that of
one thread and other work on the machine stretches wall time. Rows are kept in --rows: a second
run measures what is missing. The table in --output stands between two comments.
"""

import argparse
import functools
import inspect
import json
import os
import pathlib
import subprocess
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

import keras_joslim as kj

BEGIN, END = "<!-- table: benchmarks/architectures.py -->", "<!-- end of table -->"
HEADER = (
    "| model | pixels | MACs | parameters | groups | searchable MACs % | conversion s "
    "| extraction s | full width | extracted |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n"
)


def constructors():
    """Names of what `keras.applications` exports at top level to build models with."""
    return sorted(
        name
        for name, value in vars(keras.applications).items()
        if inspect.isfunction(value) and "weights" in inspect.signature(value).parameters
    )


def measured(name):
    """The row of one model, as a dict."""
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    build = functools.partial(
        getattr(keras.applications, name), weights=None, classifier_activation=None
    )
    model = build()
    if None in model.input_shape[1:]:
        # MobileNetV3 takes images of any size if it is not told one.
        model = build(input_shape=(224, 224, 3))
    image = rng.uniform(0, 255, (1, *model.input_shape[1:])).astype("float32")
    for weight in model.weights:
        # Stock initial values hide layers: a LayerScale of 1e-6, offsets of 0.
        if weight.name == "gamma":
            weight.assign(rng.uniform(0.5, 1.5, weight.shape))
        elif weight.name in ("beta", "bias"):
            weight.assign(rng.normal(size=weight.shape) / 5)
    kj.calibrate_batch_norm(model, [image])

    start = time.process_time()
    slim = kj.make_slimmable(model)
    conversion = time.process_time() - start
    full = _difference(slim(image), model(image))

    widths = slim.width_space.sample(rng, 1)[0]
    start = time.process_time()
    sub = kj.extract(slim, widths)
    extraction = time.process_time() - start
    macs = kj.costs.MACs(slim)
    return {
        "model": name,
        "pixels": model.input_shape[1],
        "macs": int(macs(slim.width_space.full)),
        "parameters": model.count_params(),
        "groups": len(slim.width_space.searchable),
        "share": macs.searchable_share,
        "conversion": conversion,
        "extraction": extraction,
        "full": full,
        "extracted": _difference(sub(image), slim(image, widths)),
    }


def _difference(found, expected):
    found, expected = np.asarray(found), np.asarray(expected)
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def line(row):
    """A row of the table in markdown."""
    exact = {True: "exact"}
    full, extracted = (exact.get(row[k] == 0, f"{row[k]:.0e}") for k in ("full", "extracted"))
    return (
        f"| {row['model']} | {row['pixels']} | {row['macs']:,} | {row['parameters']:,} "
        f"| {row['groups']} | {100 * row['share']:.2f} | {row['conversion']:.2f} "
        f"| {row['extraction']:.2f} | {full} | {extracted} |\n"
    )


def table(rows):
    """All rows, by name."""
    return HEADER + "".join(line(rows[name]) for name in sorted(rows))


def write(path, text):
    """Puts the table where the comments in a file mark its place."""
    before, begin, rest = path.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        sys.exit(f"{path} has no place for the table: expected the lines {BEGIN!r} and {END!r}")
    path.write_text(f"{before}{BEGIN}\n{text}{END}{after}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--names", default=",".join(constructors()))
    parser.add_argument("--rows", type=pathlib.Path, default="runs/architectures.jsonl")
    parser.add_argument("--output", type=pathlib.Path, help="the markdown file with the table")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        tf.config.threading.set_intra_op_parallelism_threads(options.threads)
        tf.config.threading.set_inter_op_parallelism_threads(options.threads)
        print(json.dumps(measured(options.child)))
        return

    options.rows.parent.mkdir(parents=True, exist_ok=True)
    options.rows.touch()
    rows = {row["model"]: row for row in map(json.loads, options.rows.open())}
    print(HEADER, end="")
    for name in options.names.split(","):
        if name not in rows:
            command = [sys.executable, __file__, f"--child={name}", f"--threads={options.threads}"]
            text = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            rows[name] = json.loads(text)
            with options.rows.open("a") as file:
                file.write(text)
        print(line(rows[name]), end="", flush=True)
    if options.output:
        write(options.output, table(rows))


if __name__ == "__main__":
    main()
