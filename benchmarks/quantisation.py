"""What each number format makes of the points of a run: accuracy of the file, bytes, seconds.

    python benchmarks/quantisation.py --workdir=runs/digits [--steps=300] [--points=p00,full]
        [--formats=fp32,int8,litert_int8]

Smallest point, middle point (by cost) and full network, each as fp32, as int8 after training by the
converter and by LiteRT Quantizer, and as what training makes of it; validation data, measured on
the file itself. "Compressed" is the file under zlib, as an app store ships it. Files go to a
temporary folder; the run stays as it is.
"""

import argparse
import os
import pathlib
import tempfile
import time
import zlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import dataclasses

from keras_joslim import tflite
from keras_joslim.app.fine_tuning import make_fine_tuning
from keras_joslim.app.recipe import make_recipe
from keras_joslim.app.workdir import Workdir
from keras_joslim.evaluation import Judge
from keras_joslim.tflite.formats import find_formats

# Name in the table, format, int8 or not.
ROWS = (
    ("fp32", "fp32", True),
    ("int8", "int8", True),
    ("litert_int8", "litert_int8", True),
    ("qat", "qat", True),
    ("cluster, fp32", "cluster", False),
    ("cluster, int8", "cluster", True),
    ("prune, fp32", "prune", False),
    ("prune, int8", "prune", True),
)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", required=True, help="of a trained run")
    parser.add_argument("--steps", type=int, help="optimizer steps (default: of the config)")
    parser.add_argument("--points", help="names; default: smallest, middle, full")
    parser.add_argument("--formats", help="number formats (default: all, which takes both extras)")
    arguments = parser.parse_args()
    workdir = Workdir(arguments.workdir)
    front = workdir.front()
    recipe = make_recipe(workdir.config())
    data = recipe.data
    models = {point.name: workdir.place / point.files["keras"] for point in (*front, *front.ends)}
    names = [front[0].name, front[len(front) // 2].name, "full"]
    names = arguments.points.split(",") if arguments.points else names
    formats = {row[1] for row in ROWS}
    if arguments.formats:
        formats &= set(find_formats(arguments.formats.split(",")))
    fine_tuning = make_fine_tuning(workdir, front, recipe, formats)
    if fine_tuning and arguments.steps:
        fine_tuning = dataclasses.replace(fine_tuning, steps=arguments.steps)
    fine_tuning = fine_tuning and fine_tuning.with_outputs()
    judge = Judge(recipe.model, (data.validation.images, data.validation.labels))
    if fine_tuning:
        print(f"{fine_tuning.steps} steps of {fine_tuning.batch_size}")
    print(f"{judge.size} validation images")
    print("\n| point | format | accuracy % | loss | +- | bytes | compressed | seconds |")
    print("|---|---|--:|--:|--:|--:|--:|--:|")
    with tempfile.TemporaryDirectory() as directory:
        for name in names:
            for row, format_name, int8 in ROWS:
                if format_name not in formats:
                    continue
                start = time.perf_counter()
                manifest = tflite.export(
                    {name: models[name]},
                    pathlib.Path(directory) / row,
                    format_name,
                    images=data.validation.images[:16],
                    representative=data.train.images[:200],
                    fine_tuning=fine_tuning and dataclasses.replace(fine_tuning, int8=int8),
                    judge=judge,
                )
                seconds = time.perf_counter() - start
                entry = manifest.find(name, format_name)
                path = pathlib.Path(directory) / row / entry.path
                packed = len(zlib.compress(path.read_bytes(), 9))
                measured = entry.validation["metrics"]
                print(
                    f"| {name} | {row} | {100 * measured['accuracy']:.2f} | {measured['loss']:.4f} "
                    f"| {measured['loss_se']:.4f} | {entry.bytes:,} | {packed:,} | {seconds:.0f} |",
                    flush=True,
                )
    print(f"\nLoad average at the end: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores.")


if __name__ == "__main__":
    main()
