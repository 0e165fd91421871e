"""One network for several platforms: the strategies of `PlatformWidths` side by side.

    python benchmarks/platforms.py run --costs=latency:a.json,latency:b.json,latency:c.json
    python benchmarks/platforms.py table --costs=...
    python benchmarks/platforms.py ranks --costs=...
    python benchmarks/platforms.py run --data=digits --epochs=8 --seeds=0 --costs=macs,parameters

Each cost is a platform: a latency model (`joslim latency fit`), or a stand-in (macs, parameters).
Its budget lies a share of the way from the smallest network's cost there to the full one's. Weights
are drawn by a Chinese restaurant process, once a number of `--draws`. `run` trains what is missing,
a cell after another, and leaves a JSON file each in `benchmarks/results/platforms/<name>/`; a cell
that was killed goes on from its checkpoint in `runs/platforms/`. `table` prints what is there.

* `uniform`: plain slimmable training; it knows no weights, so one training serves all draws.
* `largest`: trained for the platform of largest weight alone; one training for each such platform.
* `mixture`, `averaged`, `argmax`: widths drawn for all of them (Wang and Blaschko, NLDL 2022).
* `joslim`: ours, the history searched for a platform and a cost drawn anew every tau steps;
  `joslim_recent` draws what it trains from the last 20 that were asked (`method.recent=20`).

Of each training the same number of networks is judged (of a history shorter than that, all); for
each platform the one of lowest validation loss within its budget is taken, and tested, once. The
table has the weighted test accuracy, mean and standard deviation over draws and seeds, and the
differences from ours, cell by cell of the same draw and seed: a seed draws data and initial weights
for all alike, so it is these that tell strategies apart. `ranks` prints how alike the platforms and
MACs order 400 random networks.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import subprocess
import sys
import time

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
RESULTS = ROOT / "benchmarks" / "results" / "platforms"
SCRATCH = ROOT / "runs" / "platforms"
UNITS = ("joslim", "joslim_recent", "mixture", "largest", "uniform", "averaged", "argmax")


def main():
    """Parses the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=("run", "cell", "table", "ranks"))
    parser.add_argument("--data", default="glyphs", help="digits or glyphs")
    parser.add_argument("--costs", required=True, help="one a platform, between commas")
    parser.add_argument(
        "--shares", default="0.4", help="where each budget lies; one for all or each"
    )
    parser.add_argument("--name", default="latency", help="of this set of platforms")
    parser.add_argument("--units", default="joslim,mixture,largest,uniform")
    parser.add_argument("--draws", default="0,1", help="seeds of the weights")
    parser.add_argument("--alpha", type=float, default=1.0)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--jobs", type=int, default=1, help="trainings at a time")
    parser.add_argument("--hours", type=float, default=10.0, help="begin no cell after so long")
    parser.add_argument("--epochs", type=int, help="instead of the recipe's; tau in proportion")
    arguments = parser.parse_args()
    arguments.units = arguments.units.split(",")
    unknown = sorted(set(arguments.units) - set(UNITS))
    if unknown:
        parser.error(f"units are of {', '.join(UNITS)}; not {unknown[0]}")
    for name in ("draws", "seeds"):
        setattr(arguments, name, [int(number) for number in getattr(arguments, name).split(",")])
    arguments.costs = arguments.costs.split(",")
    shares = [float(share) for share in arguments.shares.split(",")]
    arguments.shares = shares * len(arguments.costs) if len(shares) == 1 else shares
    if len(arguments.shares) != len(arguments.costs):
        parser.error("--shares are one, or as many as --costs")
    {"run": run, "cell": cell, "table": table, "ranks": ranks}[arguments.command](arguments)


def weights_of(arguments, draw):
    """The platforms' weights of one draw."""
    from keras_joslim.search import restaurant_weights

    return restaurant_weights(len(arguments.costs), arguments.alpha, draw)


def file_of(arguments, unit, draw, seed):
    """The result of a cell; cells that one training serves have one file."""
    which = {"uniform": "any", "largest": f"p{np.argmax(weights_of(arguments, draw))}"}
    which = which.get(unit, f"a{arguments.alpha:g}d{draw}")
    return RESULTS / arguments.name / f"{arguments.data}-{unit}-{which}-{seed}.json"


def cells(arguments):
    """All that are asked for: triples of unit, draw and seed; seeds vary slowest."""
    return [
        (unit, draw, seed)
        for seed in arguments.seeds
        for draw in arguments.draws
        for unit in arguments.units
    ]


def run(arguments):
    """Trains all cells that lack a result, each in its own process."""
    end = time.monotonic() + 3600 * arguments.hours
    missing = {file_of(arguments, *c): c for c in cells(arguments)}
    missing = {file: c for file, c in missing.items() if not file.exists()}
    threads = str(max(1, (os.cpu_count() or 1) // arguments.jobs))
    environment = {**os.environ, "OMP_NUM_THREADS": threads, "TF_CPP_MIN_LOG_LEVEL": "2"}
    environment |= {f"TF_NUM_{kind}OP_THREADS": threads for kind in ("INTRA", "INTER")}

    def one(file, unit, draw, seed):
        if time.monotonic() > end:
            print(f"not begun: {file.stem}", flush=True)
            return 0
        print(f"{time.strftime('%H:%M:%S')} {file.stem}", flush=True)
        command = [sys.executable, __file__, "cell", f"--data={arguments.data}"]
        command += [f"--costs={','.join(arguments.costs)}", f"--name={arguments.name}"]
        command += [f"--shares={','.join(map(str, arguments.shares))}", f"--units={unit}"]
        command += [f"--alpha={arguments.alpha}", f"--draws={draw}", f"--seeds={seed}"]
        command += [f"--epochs={arguments.epochs}"] if arguments.epochs else []
        SCRATCH.mkdir(parents=True, exist_ok=True)
        with open(SCRATCH / f"{arguments.name}-{file.stem}.log", "a", encoding="utf-8") as log:
            code = subprocess.run(command, stdout=log, stderr=log, env=environment).returncode
        print(f"{time.strftime('%H:%M:%S')} {file.stem}: {code}", flush=True)
        return code

    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        waiting = [pool.submit(one, file, *c) for file, c in missing.items()]
        sys.exit(int(any(job.result() for job in waiting)))


def cell(arguments):
    """Trains one cell and writes what each platform got."""
    import tensorflow as tf
    from methods import recipe_config

    from keras_joslim import ParetoFront, atomic
    from keras_joslim.app import train
    from keras_joslim.app.methods import make_platforms
    from keras_joslim.app.recipe import make_recipe
    from keras_joslim.app.workdir import Workdir
    from keras_joslim.platform_choice import platform_points

    tf.config.experimental.enable_op_determinism()
    (unit,), (draw,), (seed,) = arguments.units, arguments.draws, arguments.seeds
    file = file_of(arguments, unit, draw, seed)
    strategy, _, recent = unit.partition("_")
    fields = {"method.name": "uniform", "method.strategy": strategy}
    fields |= {"method.recent": 20} if recent else {}
    config = recipe_config(arguments.data, "macs", seed, fields, epochs=arguments.epochs)
    config["platforms"] = with_budgets(arguments, make_recipe(config).model, draw)
    config["method"]["name"] = "platforms"
    recipe, workdir = make_recipe(config), Workdir(SCRATCH / arguments.name / file.stem)
    workdir.claim(config)
    resumed, start = any(workdir.checkpoints.glob("*")), time.perf_counter()
    train.train_weights(workdir, recipe)
    seconds = None if resumed else time.perf_counter() - start
    validation, test = (
        (part.images, part.labels) for part in (recipe.data.validation, recipe.data.test)
    )
    calibration = recipe.calibration_batches()
    widths = train.networks_to_judge(workdir, recipe)
    judged = ParetoFront.build(recipe.model, widths, validation, calibration)
    platforms = make_platforms(config, recipe.model)
    chosen = platform_points(recipe.model, platforms, judged.history, validation, calibration)
    chosen = chosen.measure_test(recipe.model, test)
    rows = [
        {
            "platform": choice.platform,
            "budget": choice.budget,
            "cost": choice.cost,
            "widths": list(chosen.front[choice.point].widths),
            "validation": chosen.front[choice.point].validation,
            "test": chosen.front[choice.point].test,
        }
        for choice in chosen.choices
    ]
    file.parent.mkdir(parents=True, exist_ok=True)
    facts = {"data": arguments.data, "unit": unit, "seed": seed, "costs": arguments.costs}
    facts |= {"shares": arguments.shares, "weights": weights_of(arguments, draw).tolist()}
    facts |= {"steps": recipe.steps, "judged": len(judged.history), "seconds": seconds}
    atomic.write_json(file, {**facts, "platforms": rows})


def with_budgets(arguments, model, draw):
    """The platforms as a config has them."""
    from keras_joslim.app.methods import make_cost

    entries, weights = [], weights_of(arguments, draw).tolist()
    for number, (spelled, share) in enumerate(zip(arguments.costs, arguments.shares, strict=True)):
        cost, space = make_cost(spelled, model), model.width_space
        least, full = float(cost(space.smallest)), float(cost(space.full))
        budget = float(f"{least + share * (full - least):.6g}")
        name = f"{number}-{pathlib.Path(spelled.partition(':')[2] or spelled).stem}"
        entries.append(
            {"name": name, "cost": spelled, "budgets": budget, "weight": weights[number]}
        )
    return entries


def table(arguments):
    """Prints the table in Markdown, and what is missing in it."""
    accuracies, missing, seconds = {}, [], {}
    for unit, draw, seed in cells(arguments):
        file = file_of(arguments, unit, draw, seed)
        if not file.exists():
            missing.append(f"{unit} (draw {draw}, seed {seed})")
            continue
        result = json.loads(file.read_text(encoding="utf-8"))
        if [result["costs"], result["shares"]] != [arguments.costs, arguments.shares]:
            sys.exit(f"{file} is of costs {result['costs']} at shares {result['shares']}.")
        tested = [row["test"]["accuracy"] for row in result["platforms"]]
        accuracies.setdefault(unit, {})[draw, seed] = float(weights_of(arguments, draw) @ tested)
        seconds.setdefault(unit, {})[file] = result["seconds"]
    for draw in arguments.draws:
        print(f"Weights of draw {draw}: {np.round(weights_of(arguments, draw), 2).tolist()}")
    heads = [f"draw {draw}" for draw in arguments.draws]
    print(
        f"\n| strategy | cells | weighted accuracy | {' | '.join(heads)} | against joslim | min |"
    )
    print(f"|---|--:|--:|{'--:|' * len(heads)}--:|--:|")
    ours = accuracies.get("joslim", {})
    for unit in (unit for unit in UNITS if unit in accuracies):
        own = accuracies[unit]
        columns = [spread(list(own.values()))]
        columns += [
            spread([v for (d, _), v in own.items() if d == draw]) for draw in arguments.draws
        ]
        shared = sorted(own.keys() & ours.keys())
        differences = [own[key] - ours[key] for key in shared]
        columns.append("-" if unit == "joslim" else spread(differences, "+"))
        times = [value for value in seconds[unit].values() if value]
        columns.append(f"{np.mean(times) / 60:.1f}" if times else "-")
        print(f"| {unit} | {len(own)} | {' | '.join(columns)} |")
    print(f"\nNot run: {'; '.join(missing) or 'nothing'}.")


def ranks(arguments):
    """Prints Kendall's tau between each two costs, and between each and MACs."""
    from methods import recipe_config
    from scipy.stats import kendalltau

    from keras_joslim.app.methods import make_cost
    from keras_joslim.app.recipe import make_recipe

    model = make_recipe(recipe_config(arguments.data, "macs", 0, {})).model
    space = model.width_space
    widths = space.sample(np.random.default_rng(0), 400)
    costs = {name: make_cost(name, model) for name in (*arguments.costs, "macs")}
    values = [cost(widths) for cost in costs.values()]
    for (name, cost), own in zip(costs.items(), values, strict=True):
        taus = " ".join(f"{kendalltau(own, other).statistic:.2f}" for other in values)
        extremes = f"{float(cost(space.smallest)):.4g} to {float(cost(space.full)):.4g} {cost.unit}"
        print(f"{pathlib.Path(name).stem}: {extremes}; tau {taus}")


def spread(values, sign=""):
    """Mean and standard deviation in per cent."""
    if not values:
        return "-"
    mean = f"{100 * np.mean(values):{sign}.2f}"
    return f"{mean} ± {100 * np.std(values, ddof=1):.2f}" if len(values) > 1 else mean


if __name__ == "__main__":
    main()
