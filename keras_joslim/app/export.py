"""`joslim export`: every point becomes TFLite files, checked and measured on validation data."""

import dataclasses

import numpy as np
from tqdm import tqdm

from keras_joslim import atomic
from keras_joslim.app.fine_tuning import make_fine_tuning
from keras_joslim.app.format_packages import refuse_missing_packages
from keras_joslim.app.recipe import make_recipe
from keras_joslim.evaluation import JUDGED_TOGETHER, Judge
from keras_joslim.tflite.conversion_jobs import usable_jobs
from keras_joslim.tflite.formats import find_format, find_formats
from keras_joslim.tflite.manifest import FILE_NAME, sha256

# Single precision through another kernel library: sums in another order, no more.
LOSS_TOLERANCE = 1e-4
_IMAGES_COMPARED = 16
# Files that a further process must have to make, or it does not win back its start.
_FILES_A_JOB = 10
# Training images that the ranges of integer activations are measured on.
_REPRESENTATIVE = 200


def export(workdir, formats=None, points=None, jobs=None, say=print):
    """Converts points of a trained run, resumable file by file.

    Loss and metrics of every file are measured on validation data. Files on the front of their
    format are measured on test data too: once, and nothing is chosen by it.

    Args:
        workdir: `Workdir` with a front.
        formats: number formats; those of the config if `None`.
        points: which points, see `ParetoFront.select`; those of the config, else all, if `None`.
        jobs: processes that convert; `None`: as many as there are cores, and memory for.
        say: where progress is told, and each file that could not be made.

    Returns:
        The front, with `files`, `bytes`, `deployed` and `tested` filled in; a format that a
        point cannot have is missing in them.

    Raises:
        ValueError: no front yet, an unknown format or point, an fp32 file that disagrees with
            Keras in its outputs or in its loss on the validation data, no file at all, a package
            that is not installed.
    """
    from keras_joslim import tflite

    front = workdir.front()
    config = workdir.config()
    formats = find_formats(formats or config["export"]["formats"])
    names = front.select(points or config["export"].get("points", "all"))
    refuse_missing_packages(workdir, formats, names)
    recipe = make_recipe(config)
    data = recipe.data
    count = (
        f"{len(names)} of {len(front)} points"
        if len(names) < len(front)
        else f"{len(front)} points"
    )
    chosen = f" ({', '.join(names)})" if len(names) < len(front) else ""
    say(f"Exporting {count}{chosen} as {', '.join(formats)}.")
    failures = {}
    progress = tqdm(total=len(names) * len(formats), desc="exporting", leave=False)
    with data.reading(), progress as bar:

        def failed(point, name, error):
            failures[point, name] = error
            bar.update()

        manifest = tflite.export(
            {name: workdir.place / front[name].files["keras"] for name in names},
            workdir.place,
            formats,
            images=data.validation.arrays(_IMAGES_COMPARED)[0],
            representative=_representative(recipe),
            fine_tuning=make_fine_tuning(workdir, front, recipe, formats),
            judge=Judge(recipe.model, data.validation.batches(JUDGED_TOGETHER)),
            metadata={
                name: {
                    "widths": list(front[name].widths),
                    "costs": front[name].costs,
                    "validation": front[name].validation,
                }
                for name in names
            },
            labels=data.class_names,
            preprocessing=data.preprocessing,
            embed_metadata=config["export"].get("embed_metadata", False),
            jobs=jobs or _jobs(len(names), formats),
            on_progress=lambda *_: bar.update(),
            on_failure=failed,
        )
    for (point, name), error in failures.items():
        say(f"Not exported: {point} as {name}: {' '.join(str(error).split())}")
    if len(failures) == len(names) * len(formats):
        raise ValueError(f"No point could be exported as {', '.join(formats)}: see above.")
    _say_unquantised(manifest, names, formats, say)
    front = _with_files(front, manifest, names, formats)
    front.save(workdir.front_file)
    judge = Judge(recipe.model, data.test.batches(JUDGED_TOGETHER))
    with data.reading():
        front = _with_tests(front, manifest, judge)
    front.save(workdir.front_file)
    return front


def export_one_file(workdir, points=None, say=print):
    """Writes points of a trained run into one fp32 file with a signature each.

    Beside `points.tflite` stands `points.json`, which says what is in it and what it weighs.

    Args:
        workdir: `Workdir` with a front.
        points: which points; see `export`.
        say: where progress is told, and what kernels are not shared.

    Returns:
        The `SingleFileReport`.

    Raises:
        ValueError: no front yet, unknown points, a model whose kernels cannot be told apart, a
            point that computes something else than Keras.
    """
    from keras_joslim import tflite

    front = workdir.front()
    config = workdir.config()
    names = front.select(points or config["export"].get("points", "all"))
    validation = make_recipe(config).data.validation
    with tqdm(total=len(names), desc="one file", leave=False) as bar:
        report = tflite.export_single_file(
            {name: workdir.place / front[name].files["keras"] for name in names},
            workdir.single_file,
            images=validation.arrays(_IMAGES_COMPARED)[0],
            on_progress=lambda *_: bar.update(),
        )
    largest = max(point.own_bytes for point in report.points)
    atomic.write_json(
        workdir.single_file.with_suffix(".json"),
        {
            "file": workdir.single_file.name,
            "sha256": sha256(workdir.single_file.read_bytes()),
            "bytes": report.bytes,
            "largest_point_bytes": largest,
            "points": {
                point.name: {
                    "widths": list(front[point.name].widths),
                    "validation": front[point.name].validation,
                    "own_bytes": point.own_bytes,
                    "max_difference": point.difference.max_abs,
                }
                for point in report.points
            },
            "unshared": [vars(item) for item in report.unshared],
        },
    )
    say(
        f"One file of {len(names)} points: {report.bytes:,} bytes, {report.bytes / largest:.3f} "
        f"times the largest point's own; separate files: "
        f"{sum(point.own_bytes for point in report.points):,}."
    )
    if report.unshared:
        say(
            f"Kernels that points store for themselves: {len(report.unshared)}, "
            f"{sum(item.bytes for item in report.unshared):,} bytes; points.json says why."
        )
    say(f"file:   {workdir.single_file}")
    return report


def _jobs(points, formats):
    """Processes that convert: no more than win back their start."""
    training = any(find_format(name).fine_tuned for name in formats)
    count = points if training else points * len(formats) // _FILES_A_JOB
    return usable_jobs(count, training)


def _with_files(front, manifest, names, formats):
    """The front with what the manifest says of the files just asked for."""

    def shipped(point):
        facts = (dict(point.files), dict(point.bytes), dict(point.deployed), dict(point.tested))
        files, sizes, deployed, _ = facts
        for name in formats:
            for known in facts:
                known.pop(name, None)
            entry = manifest.find(point.name, name)
            if entry is None:
                continue
            measured = entry.validation["metrics"]
            _refuse_other_loss(point, name, entry.path, measured["loss"])
            files[name], sizes[name] = entry.path, entry.bytes
            difference = entry.difference["max_abs"]
            deployed[name] = {**measured, "max_difference": difference, "arena": entry.arena}
        files, sizes, deployed, tested = facts
        return point.replace(files=files, bytes=sizes, deployed=deployed, tested=tested)

    return front.with_points([shipped(p) if p.name in names else p for p in front])


def _with_tests(front, manifest, judge):
    """The front with the test results of the files on the front of their format."""
    from keras_joslim import tflite

    kept = [
        (ranked.point.name, name)
        for name in dict.fromkeys(name for point in front for name in point.deployed)
        for ranked in front.rank(front.cost, name)
        if ranked.dominated_by is None and name in ranked.point.deployed
    ]
    entries = [entry for entry in (manifest.find(*pair) for pair in kept) if entry]
    new = [entry for entry in entries if not entry.test]
    if new:
        chosen = dataclasses.replace(manifest, files=tuple(new))
        with tqdm(total=len(new), desc="testing", leave=False) as bar:
            for entry in tflite.measure_test(chosen, judge, on_progress=lambda *_: bar.update()):
                manifest = manifest.replace(entry)
        manifest.save(manifest.directory / FILE_NAME)

    def told(point):
        found = {name: manifest.find(point.name, name) for name in point.deployed}
        return point.replace(
            tested={
                name: entry.test["metrics"] for name, entry in found.items() if entry and entry.test
            }
        )

    return front.with_points(map(told, front))


def _representative(recipe):
    """Training images without augmentation, the same ones each time."""
    train = recipe.data.train
    count = min(_REPRESENTATIVE, len(train))
    chosen = np.random.default_rng(0).choice(len(train), count, replace=False)
    images, _ = train.arrays(np.sort(chosen))
    return images


def _say_unquantised(manifest, names, formats, say):
    """Tells which dynamic files hold no int8: their kernels are too small for the converter."""
    if "dynamic" not in formats:
        return
    entries = [manifest.find(name, "dynamic") for name in names]
    names = [e.point for e in entries if e and e.weights is not None and "int8" not in e.weights]
    if names:
        say(
            f"Nothing to quantise in dynamic files of {', '.join(names)}: no kernel has 1,024 "
            "elements, from which on the converter stores int8. They are fp32 files but in name."
        )


def _refuse_other_loss(point, name, path, loss):
    expected = point.validation["loss"]
    if name == "fp32" and not abs(loss - expected) <= LOSS_TOLERANCE:
        raise ValueError(
            f"{path} has a validation loss of {loss:.6f}, its Keras model {expected:.6f}: more "
            f"than {LOSS_TOLERANCE} apart. Remove the file and export again; if it stays, the "
            "converter changed the network."
        )
