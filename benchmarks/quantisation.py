"""What each number format makes of the points of a run: accuracy of the file, bytes, seconds.

    python benchmarks/quantisation.py --workdir=runs/digits [--steps=300] [--points=p00,full]

Smallest point, middle point (by cost) and full network, each as fp32, as int8 after training, and
as what training makes of it; validation data, measured on the file itself. "Compressed" is the
file under zlib, as an app store ships it. Files go to a temporary folder; the run stays as it is.
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

# Name in the table, format, int8 or not.
ROWS = (
    ("fp32", "fp32", True),
    ("int8", "int8", True),
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
    arguments = parser.parse_args()
    workdir = Workdir(arguments.workdir)
    front = workdir.front()
    recipe = make_recipe(workdir.config())
    data = recipe.data
    models = {point.name: workdir.place / point.files["keras"] for point in (*front, *front.ends)}
    names = [front[0].name, front[len(front) // 2].name, "full"]
    names = arguments.points.split(",") if arguments.points else names
    fine_tuning = make_fine_tuning(workdir, front, recipe, ["qat"])
    if arguments.steps:
        fine_tuning = dataclasses.replace(fine_tuning, steps=arguments.steps)
    fine_tuning = fine_tuning.with_outputs()
    judge = Judge(recipe.model, (data.validation.images, data.validation.labels))
    print(f"{fine_tuning.steps} steps of {fine_tuning.batch_size}; {judge.size} validation images")
    print("\n| point | format | accuracy % | loss | +- | bytes | compressed | seconds |")
    print("|---|---|--:|--:|--:|--:|--:|--:|")
    with tempfile.TemporaryDirectory() as directory:
        for name in names:
            for row, format_name, int8 in ROWS:
                start = time.perf_counter()
                manifest = tflite.export(
                    {name: models[name]},
                    pathlib.Path(directory) / row,
                    format_name,
                    images=data.validation.images[:16],
                    representative=data.train.images[:200],
                    fine_tuning=dataclasses.replace(fine_tuning, int8=int8),
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
