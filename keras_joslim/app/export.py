"""`joslim export`: every point becomes TFLite files, checked and measured on validation data."""

from tqdm import tqdm

from keras_joslim.app.recipe import make_recipe
from keras_joslim.evaluation import Judge
from keras_joslim.tflite.formats import find_formats

# Single precision through another kernel library: sums in another order, no more.
LOSS_TOLERANCE = 1e-4
_IMAGES_COMPARED = 16


def export(workdir, formats=None, say=print):
    """Converts the points of a trained run, resumable file by file.

    Args:
        workdir: `Workdir` with a front.
        formats: number formats; those of the config if `None`.
        say: where progress is told.

    Returns:
        The front, with `files`, `bytes` and `deployed` filled in.

    Raises:
        ValueError: no front yet, an unknown format, a file that disagrees with Keras in
            its outputs or in its loss on the validation data.
    """
    from keras_joslim import tflite

    front = workdir.front()
    config = workdir.config()
    formats = find_formats(formats or config["export"]["formats"])
    recipe = make_recipe(config)
    validation = recipe.data.validation
    judge = Judge(recipe.model, (validation.images, validation.labels))
    say(f"Exporting {len(front)} points as {', '.join(formats)}.")
    with tqdm(total=len(front) * len(formats), desc="exporting", leave=False) as bar:
        manifest = tflite.export(
            {point.name: workdir.place / point.files["keras"] for point in front},
            workdir.place,
            formats,
            images=validation.images[:_IMAGES_COMPARED],
            metadata={
                point.name: {
                    "widths": list(point.widths),
                    "costs": point.costs,
                    "validation": point.validation,
                }
                for point in front
            },
            on_progress=lambda *_: bar.update(),
        )

    def shipped(point):
        files, sizes, deployed = dict(point.files), dict(point.bytes), dict(point.deployed)
        for name in formats:
            entry = manifest.find(point.name, name)
            file = tflite.Interpreter(workdir.place / entry.path)
            measured = judge.measure(file.run)
            _refuse_other_loss(point, name, entry.path, measured["loss"])
            files[name], sizes[name] = entry.path, entry.bytes
            difference = entry.difference["max_abs"]
            deployed[name] = {**measured, "max_difference": difference, "arena": entry.arena}
        return point.replace(files=files, bytes=sizes, deployed=deployed)

    front = front.with_points([shipped(point) for point in front])
    front.save(workdir.front_file)
    return front


def _refuse_other_loss(point, name, path, loss):
    expected = point.validation["loss"]
    if name == "fp32" and not abs(loss - expected) <= LOSS_TOLERANCE:
        raise ValueError(
            f"{path} has a validation loss of {loss:.6f}, its Keras model {expected:.6f}: more "
            f"than {LOSS_TOLERANCE} apart. Remove the file and export again; if it stays, the "
            "converter changed the network."
        )
