"""Every method of optimising widths, side by side: same data, steps and evaluation for all.

    python benchmarks/methods.py run --data=glyphs --seeds=0,1,2 [--units=joslim,slim] [--jobs=2]
    python benchmarks/methods.py table [--data=glyphs]
    python benchmarks/methods.py compare [--data=glyphs] --pairs=joslim:slim,joslim:two_stage_held

`run` trains what is missing, a unit after another, and leaves one JSON file a method and seed in
`benchmarks/results/methods/`; those that are there are not trained again, and a unit that was
killed goes on from its checkpoint in `runs/methods/`. `table` prints the table of what is there
and writes the figure; `compare` prints differences of two rows, seed by seed. Every unit is one
training:

* `slim`, `fixed`, `random`: widths drawn anew at every step (US-Net; the fixed list of slimmable
  networks; TwoStage). `random` serves three searches after training: `two_stage` (the engine of
  Joslim), `two_stage_nsga2` and `autoslim` (greedy).
* `slim_held`, `random_held`: the controls, widths held for tau steps as Joslim holds its own.
* `joslim`, `pareco`, `lambda`: the history searched while training, the last widths held for tau
  steps; `joslim_recent` draws those of a step from the 20 asked last, `joslim_all` measures the
  whole history again at each search, `joslim_upper` minimises the upper bound of the loss.
* `aows`, `ows`: widths scored while training, drawn towards half the full cost, or evenly.
* `separate`: networks of uniform multipliers with at most 25, 50, 75 and 100 % of the cost, each
  trained alone from scratch for as many steps: what one pays four trainings for.

Widths are chosen on validation data; test data is measured once on the front. Of every method the
same number of networks is judged. In the table, the accuracy at 25 % of the cost is the test
accuracy of the front's point of lowest validation loss among those that cost no more. The
hypervolume is that of (test error, cost as part of the full network's), up to the corner (1, 1.1);
low, middle and high are mean test accuracies below 35 % of the cost, to 70 %, and above, of the
networks to ship (the best point that costs no more), all costs from the smallest network's alike.
A seed draws the data too, which moves all methods alike: "against joslim" is the difference of
the hypervolumes seed by seed, so it is this one and its spread that tell methods apart.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
RESULTS = ROOT / "benchmarks" / "results" / "methods"
SCRATCH = ROOT / "runs" / "methods"

# Fields of the config that make a unit, `{tau}` standing for the recipe's own.
UNITS = {
    "joslim": {"method.name": "joslim"},
    "joslim_recent": {"method.name": "joslim", "method.recent": 20},
    "random": {"method.name": "two_stage"},
    "slim": {"method.name": "uniform"},
    "random_held": {"method.name": "two_stage", "method.hold": "{tau}"},
    "slim_held": {"method.name": "uniform", "method.hold": "{tau}"},
    "separate": {"method.name": "fixed", "method.multipliers": [1.0]},
    "pareco": {"method.name": "pareco"},
    "fixed": {"method.name": "fixed"},
    "joslim_all": {"method.name": "joslim", "method.recalibration": None},
    "lambda": {"method.name": "lambda"},
    "aows": {"method.name": "aows"},
    "ows": {"method.name": "ows"},
    "joslim_upper": {"method.name": "joslim", "method.bound": "upper"},
}
# What the first front of a unit is called in the table, and its further searches.
FIRST = {"random": "two_stage", "random_held": "two_stage_held"}
SEARCHES = {"random": {"nsga2": "two_stage_nsga2", "greedy": "autoslim"}}


# Of the full cost: the sizes of the networks that are trained alone.
FRACTIONS = (0.25, 0.5, 0.75, 1.0)


def main():
    """Parses the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=("run", "unit", "table", "compare"))
    parser.add_argument("--data", default="glyphs", help="digits, glyphs or mobilenet (V2, 64 px)")
    parser.add_argument("--cost", default="macs")
    parser.add_argument("--units", default=",".join(UNITS))
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--jobs", type=int, default=1, help="trainings at a time")
    parser.add_argument("--pairs", default="joslim:slim", help="of rows, for compare")
    parser.add_argument("--hours", type=float, default=12.0, help="begin no unit after so long")
    parser.add_argument("--epochs", type=int, help="instead of the recipe's (to try things out)")
    arguments = parser.parse_args()
    arguments.units = arguments.units.split(",")
    arguments.seeds = [int(seed) for seed in arguments.seeds.split(",")]
    commands = {"run": run, "unit": unit, "table": table, "compare": compare}
    commands[arguments.command](arguments)


def table(arguments):
    """Prints the table in Markdown and writes the figure."""
    from methods_table import print_table

    print_table(arguments, RESULTS, SCRATCH)


def compare(arguments):
    """Prints the differences of pairs of rows."""
    from methods_table import print_pairs

    print_pairs(arguments, RESULTS)


# -- running -----------------------------------------------------------------


def name_of(data, cost, row, seed):
    """Of a result file, without its ending."""
    return f"{data}-{cost}-{row}-{seed}"


def rows_of(name):
    """The rows of the table that a unit fills."""
    return [FIRST.get(name, name), *SEARCHES.get(name, {}).values()]


def run(arguments):
    """Trains all units that lack a result, `jobs` of them at a time, each in its own process."""
    end = time.monotonic() + 3600 * arguments.hours
    waiting = [
        (name, seed)
        for seed in arguments.seeds
        for name in arguments.units
        if not all(
            (RESULTS / f"{name_of(arguments.data, arguments.cost, row, seed)}.json").exists()
            for row in rows_of(name)
        )
    ]
    threads = max(1, (os.cpu_count() or 1) // arguments.jobs)
    running, failed = [], 0
    while waiting or running:
        while waiting and len(running) < arguments.jobs and time.monotonic() < end:
            name, seed = waiting.pop(0)
            print(f"{time.strftime('%H:%M:%S')} {arguments.data} {name} seed {seed}", flush=True)
            running.append((name, seed, start(arguments, name, seed, threads)))
        if not running:
            break
        time.sleep(2)
        for entry in list(running):
            name, seed, process = entry
            if process.poll() is not None:
                running.remove(entry)
                failed += process.returncode != 0
                print(f"{time.strftime('%H:%M:%S')} {name} seed {seed}: {process.returncode}")
    for name, seed in waiting:
        print(f"not begun: {arguments.data} {name} seed {seed}")
    sys.exit(1 if failed else 0)


def start(arguments, name, seed, threads):
    """A process of one unit, its output in a log beside its checkpoints."""
    SCRATCH.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, __file__, "unit", f"--data={arguments.data}"]
    command += [f"--cost={arguments.cost}", f"--units={name}", f"--seeds={seed}"]
    if arguments.epochs:
        command.append(f"--epochs={arguments.epochs}")
    log = SCRATCH / f"{name_of(arguments.data, arguments.cost, name, seed)}.log"
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "TF_CPP_MIN_LOG_LEVEL": "2"}
    environment |= {f"TF_NUM_{kind}OP_THREADS": str(threads) for kind in ("INTRA", "INTER")}
    with open(log, "a", encoding="utf-8") as file:
        return subprocess.Popen(command, stdout=file, stderr=file, env=environment)


def recipe_config(data, cost, seed, fields, epochs=None):
    """The config of a unit, as JSON would give it back."""
    from configs import digits, glyphs

    config = {"digits": digits, "glyphs": glyphs, "mobilenet": digits}[data].get_config()
    config.seed, config.cost = seed, cost
    if data == "mobilenet":
        # On glyphs a MobileNetV2 of this size is at chance for 400 steps; digits it learns.
        config.data.image_size = 64
        config.train.augment.padding = 8
        config.model.name = "mobilenet_v2"
        config.model.options = {"alpha": 0.35}
        config.slim.divisor = 8
    config.method.recalibration = 12
    if epochs:
        # As many networks are visited in a shorter training.
        config.method.tau = max(1, round(config.method.tau * epochs / config.train.epochs))
        config.train.epochs = epochs
    config.front.networks = 40
    for field, value in fields.items():
        section, key = field.split(".")
        config[section][key] = config.method.tau if value == "{tau}" else value
    return json.loads(config.to_json())


def unit(arguments):
    """Trains one unit of one seed and writes its results."""
    (name,), (seed,) = arguments.units, arguments.seeds
    config = recipe_config(
        arguments.data, arguments.cost, seed, UNITS[name], epochs=arguments.epochs
    )
    place = SCRATCH / name_of(arguments.data, arguments.cost, name, seed)
    if name == "separate":
        results = {name: separate(config, place)}
    else:
        results = trained(name, config, place)
    for row, result in results.items():
        facts = {"data": arguments.data, "method": row, "seed": seed, "cost": arguments.cost}
        path = RESULTS / f"{name_of(arguments.data, arguments.cost, row, seed)}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({**facts, **result}, indent=1) + "\n", encoding="utf-8")


def trained(name, config, place):
    """A training by the app's own steps, and the searches that it serves."""
    import tensorflow as tf

    from keras_joslim.app import search, train
    from keras_joslim.app.recipe import make_recipe
    from keras_joslim.app.workdir import Workdir

    tf.config.experimental.enable_op_determinism()
    workdir = Workdir(place)
    recipe = make_recipe(config)
    workdir.claim(config)
    resumed = any(workdir.checkpoints.glob("*"))
    seconds, clock = {}, time.perf_counter()

    def lap(what):
        nonlocal clock
        now = time.perf_counter()
        # The time of a resumed training is not known here.
        seconds[what], clock = None if resumed else now - clock, now

    train.train_weights(workdir, recipe)
    lap("training")
    inside = getattr(recipe.schedule, "seconds", {})
    seconds |= {what: None if resumed else value for what, value in inside.items()}
    widths = train.networks_to_judge(workdir, recipe)
    lap("search_after")
    front = train.save_front(workdir, recipe, widths)
    lap("judging")
    results = {FIRST.get(name, name): result_of(recipe, front, seconds)}
    for method, row in SEARCHES.get(name, {}).items():
        clock = time.perf_counter()
        front = search.search(Workdir(place, method), method)
        after = {**seconds, "search_after": None, "search_and_judging": time.perf_counter() - clock}
        results[row] = result_of(recipe, front, after)
    return results


def result_of(recipe, front, seconds):
    """What the table needs of a front."""
    return {
        "steps": recipe.steps,
        "epochs": recipe.epochs,
        "full_cost": int(recipe.cost(recipe.model.width_space.full)),
        "seconds": seconds,
        "judged": len(front.history),
        "points": [point_of(point) for point in front],
        "ends": [point_of(point) for point in front.ends],
    }


def point_of(point):
    return {
        "costs": point.costs,
        "widths": list(point.widths),
        "validation": point.validation,
        "test": point.test,
    }


def separate(config, place):
    """Networks of four sizes, each trained alone; results of finished ones are kept."""
    import keras
    import numpy as np
    import tensorflow as tf

    import keras_joslim as kj
    from keras_joslim.app.recipe import make_recipe
    from keras_joslim.evaluation import Judge

    tf.config.experimental.enable_op_determinism()
    place.mkdir(parents=True, exist_ok=True)
    points, space, steps, full_cost = [], None, None, None
    for fraction in FRACTIONS:
        file = place / f"{fraction}.json"
        recipe = make_recipe(config)
        space, steps = recipe.model.width_space, recipe.steps
        multipliers = np.linspace(space.min_multiplier, 1.0, 400)
        rows = np.unique([space.uniform(m) for m in multipliers], axis=0)
        costs, full_cost = recipe.cost(rows), int(recipe.cost(space.full))
        widths = rows[np.flatnonzero(costs <= fraction * full_cost)[-1]]
        if not file.exists():
            # Cloned, so initialised for its own size; slimmable for the decay of the recipe alone.
            alone = keras.models.clone_model(kj.extract(recipe.model, widths))
            slim = kj.make_slimmable(alone, **config["slim"])
            train = config["train"]
            slim.compile(
                recipe.model.optimizer.from_config(recipe.model.optimizer.get_config()),
                recipe.model.loss,
                metrics=["accuracy"],
                weight_decay=train["weight_decay"],
            )
            slim.fit(
                recipe.stream.from_step(0),
                epochs=recipe.epochs,
                steps_per_epoch=recipe.stream.steps_per_epoch,
                callbacks=[kj.FixedWidths([1.0])],
                shuffle=False,
                verbose=2,
            )
            network = kj.extract(slim, slim.width_space.full)
            kj.calibrate_batch_norm(network, recipe.calibration_batches())
            splits = (recipe.data.validation, recipe.data.test)
            validation, test = (
                Judge(slim, (s.images, s.labels)).measure(lambda x, n=network: n(x, training=False))
                for s in splits
            )
            content = {
                "costs": {recipe.cost.name: int(recipe.cost(widths))},
                "widths": widths.tolist(),
                "validation": validation,
                "test": test,
            }
            file.write_text(json.dumps(content), encoding="utf-8")
        points.append(json.loads(file.read_text(encoding="utf-8")))
    return {
        "steps": steps,
        "epochs": config["train"]["epochs"],
        "full_cost": full_cost,
        "seconds": {},
        "judged": len(points),
        "points": points,
        "ends": [points[-1]],
    }


if __name__ == "__main__":
    main()
