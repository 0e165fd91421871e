"""`joslim platforms`: the point and the TFLite file of every target platform of a trained run."""

from keras_joslim import atomic
from keras_joslim.app.export import export
from keras_joslim.app.methods import make_platforms, platform_entries, platform_formats
from keras_joslim.app.recipe import make_recipe
from keras_joslim.app.train import restored
from keras_joslim.app.workdir import Workdir
from keras_joslim.evaluation import JUDGED_TOGETHER
from keras_joslim.front import ParetoFront
from keras_joslim.platform_choice import (
    PlatformPoints,
    choices_of,
    choose_points,
    platform_points,
)
from keras_joslim.search.restaurant import restaurant_weights

# Their front stands beside that of the training, as that of a search does: `--name=platforms`
# exports, profiles, draws and bundles it.
NAME = "platforms"
FILE = "platforms.json"


def platforms(workdir, alpha=None, seed=None, config=None, say=print):
    """Chooses, makes, measures and exports the point of every platform, and prints them.

    Points are chosen by validation loss among the networks that the training judged, whatever
    method it was. They are tested once, when they are made; weights play no part in the choice,
    so other ones give another mean of the same points.

    Args:
        workdir: `Workdir` of a trained run whose config has platforms.
        alpha: draws the weights by a Chinese restaurant process of this parameter instead of those
            of the config. Of a run that is not trained yet they are printed, and that is all.
        seed: of that draw; needed by it.
        config: JSON dict in the place of that of a workdir that holds no run yet.
        say: where all is told.

    Returns:
        The content of `platforms.json`; of a run that is not trained yet the drawn weights.

    Raises:
        ValueError: a run without platforms, one that is not trained, an alpha without a seed or the
            other way round, budgets that nothing is within.
    """
    if (alpha is None) != (seed is None):
        raise ValueError(
            "Weights are drawn by an alpha and a seed, both or neither. "
            f"Received: alpha={alpha}, seed={seed}"
        )
    if config is None or workdir.config_file.exists():
        if config is not None:
            # One of another run is refused, naming the field.
            workdir.claim(config)
        config = workdir.config()
    entries = platform_entries(config)
    weights = None
    if alpha is not None:
        weights = restaurant_weights(len(entries), alpha, seed).tolist()
        say(f"Weights drawn by a Chinese restaurant process, alpha={alpha:g}, seed={seed}:")
        for entry, weight in zip(entries, weights, strict=True):
            say(f"  {entry['name']}: {weight:g}")
        if not workdir.front_file.exists():
            say("Write them into the config as `weight` of each platform, then train.")
            return {"alpha": alpha, "seed": seed, "weights": weights}
    judged = workdir.front()
    recipe = make_recipe(config)
    targets = make_platforms(config, recipe.model, weights)
    formats = platform_formats(config, targets)
    made = _made(workdir, recipe, targets, judged, say)
    place = Workdir(workdir.path, NAME)
    for name in dict.fromkeys(formats.values()):
        _exported(place, name, [c.point for c in made.choices if formats[c.platform] == name], say)
    made = PlatformPoints(place.front(), made.choices)
    spelled = {entry["name"]: entry["cost"] for entry in entries}
    units = {platform.name: getattr(platform.cost, "unit", "") for platform in targets}
    content = _content(made, spelled, units, formats) | {"alpha": alpha, "seed": seed}
    atomic.write_json(workdir.path / FILE, content)
    say(_table(content))
    say(f"points: {place.front_file}, table: {workdir.path / FILE}")
    return content


def _made(workdir, recipe, targets, judged, say):
    """The `PlatformPoints`, made if they are not there yet."""
    model, place = recipe.model, Workdir(workdir.path, NAME)
    chosen = choose_points(targets, model.width_space, judged.history)
    if place.front_file.exists():
        front = ParetoFront.load(place.front_file)
        names = {point.widths: point.name for point in front}
        if set(names) == {tuple(judged.history[index]["widths"]) for _, index in chosen}:
            return PlatformPoints(front, choices_of(chosen, judged.history, names))
        raise ValueError(
            f"{place.place} holds the points of other platforms or budgets, or of other latency "
            "files. Remove it to choose anew."
        )
    checkpoint = restored(workdir, recipe)
    if checkpoint.step < recipe.steps:
        raise ValueError(
            f"The training in {workdir.path} is at step {checkpoint.step} of {recipe.steps}. "
            f"`joslim train --workdir={workdir.path}` ends it."
        )
    data = recipe.data
    say(f"Choosing among {len(judged.history)} networks for {len(chosen)} budgets.")
    with data.reading():
        made = platform_points(
            model,
            targets,
            judged.history,
            data.validation.batches(JUDGED_TOGETHER),
            recipe.calibration_batches(),
        )
        made = made.measure_test(model, data.test.batches(JUDGED_TOGETHER))
    front = made.front.save_models(place.place)
    front.save(place.front_file)
    return PlatformPoints(front, made.choices)


def _exported(place, name, points, say):
    """Sees to it that points have files of a format."""
    front = place.front()
    missing = [
        point
        for point in dict.fromkeys(points)
        if name not in front[point].files or not (place.place / front[point].files[name]).is_file()
    ]
    if missing:
        export(place, [name], ",".join(missing), say=say)


def _content(made, spelled, units, formats):
    """What `platforms.json` holds, besides how weights were drawn."""
    rows = []
    for choice in made.choices:
        point, name = made.front[choice.point], formats[choice.platform]
        path = point.files.get(name)
        rows.append(
            {
                "platform": choice.platform,
                "weight": choice.weight,
                "budget": choice.budget,
                "cost_name": spelled[choice.platform],
                "unit": units[choice.platform],
                "cost": choice.cost,
                "point": choice.point,
                "widths": list(point.widths),
                "validation": point.validation,
                "test": point.test,
                "format": name,
                "deployed": point.deployed.get(name),
                # Relative to the workdir.
                "file": None if path is None else f"search/{NAME}/{path}",
            }
        )
    return {
        "points": rows,
        "weighted": {
            split: {metric: made.weighted(metric, split) for metric in ("accuracy", "loss")}
            for split in ("validation", "test")
        },
    }


def _table(content):
    """The points as aligned text, one a budget, and the weighted accuracies below."""
    head = ("platform", "weight", "budget", "unit", "point", "cost", "val. acc. %", "test acc. %")
    rows = [(*head, "file")]
    for row in content["points"]:
        rows.append(
            (
                row["platform"],
                f"{row['weight']:.4g}",
                f"{row['budget']:,.6g}",
                row["unit"],
                row["point"],
                f"{row['cost']:,.6g}",
                f"{100 * row['validation']['accuracy']:.2f}",
                f"{100 * row['test']['accuracy']:.2f}",
                row["file"] or "-",
            )
        )
    sizes = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    left = {0, 3, 4, 8}
    lines = [
        "  ".join(
            cell.ljust(size) if column in left else cell.rjust(size)
            for column, (cell, size) in enumerate(zip(row, sizes, strict=True))
        ).rstrip()
        for row in rows
    ]
    validation, test = (100 * content["weighted"][s]["accuracy"] for s in ("validation", "test"))
    lines.append(f"weighted accuracy: {validation:.2f} % on validation data, {test:.2f} % on test")
    return "\n".join(lines)
