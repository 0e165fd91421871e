"""A directory of one latency model: samples, the model fitted to them, how good it is."""

import pathlib

from keras_joslim import atomic
from keras_joslim.costs.network_identity import network_identity
from keras_joslim.latency import meters
from keras_joslim.latency.fit import fit_latency, validate_latency
from keras_joslim.latency.samples import FILE_NAME, Samples, measure_samples, stored_samples
from keras_joslim.search.whole_number import whole_number

MODEL_FILE = "latency.json"
VALIDATION_FILE = "validation.json"
FIGURE_FILE = "validation.html"


def sample(
    model,
    directory,
    count=600,
    held_out=200,
    *,
    format="fp32",  # noqa: A002 - the word of the field
    device="host",
    threads=1,
    delegate="xnnpack",
    processes=meters.PROCESSES,
    benchmark_binary=None,
    serial=None,
    adb=None,
    big_cores=True,
    seed=0,
    on_progress=None,
):
    """Measures sub-networks on a device, or goes on where an earlier call was ended.

    Files are written for the widths of the plan, at random weights, which latency does not depend
    on. All are measured by one process after the other, each time in a new order, and the least
    latency counts. The plan prefers widths that operators were not seen at yet. All is kept in
    `directory/samples.json`, so that a call that is killed loses one batch at most.

    Args:
        model: a `SlimmableModel`, trained or not.
        directory: made if it is not there; of this model, device, format and settings alone.
        count: sub-networks to fit a model to, 20 or more; some 300 to 600 are good. More than an
            earlier call had are added to those, here and of `held_out`.
        held_out: further ones, to validate it; 2 or more.
        format: number format of the files: "fp32", "fp16", "dynamic", "int8", "int16x8".
        device: "host" for this machine, "android" for a phone over adb.
        threads: of one inference.
        delegate: "xnnpack", "none", and for the benchmark tool "gpu" or "nnapi".
        processes: that measure each file.
        benchmark_binary: the TFLite benchmark tool for that device; without it this machine is
            measured by LiteRT in Python, as `tflite.profile` does.
        serial, adb, big_cores: as for `tflite.profile_android`; one phone.
        seed: of the widths.
        on_progress: called as `on_progress(done, total)` after each batch.

    Returns:
        `Samples`.

    Raises:
        ValueError: samples of something else in the directory, settings that make no sense, a
            network whose files are not understood at all widths, a latency that is no number
            above 0.
        tflite.ProfileError, tflite.AdbError: a measurement failed; the same call goes on.

    Example:

    >>> kj.latency.sample(slim, "latency/pixel", device="android", benchmark_binary="benchmark")
    """
    from keras_joslim.latency.network import FileNetwork
    from keras_joslim.tflite.formats import find_format

    for name, value, least in (
        ("count", count, 1),
        ("held_out", held_out, 0),
        ("threads", threads, 1),
        ("processes", processes, 1),
    ):
        whole_number(name, value, least)
    if find_format(format).fine_tuned:
        raise ValueError(
            f"Weights do not matter to latency: a {format} file is as fast as the format that it "
            f"ends as, such as int8. Sample that one. Received: format={format!r}"
        )

    meter, facts, settings = meters.find_meter(
        directory, device, threads, delegate, processes, benchmark_binary, serial, adb, big_cores
    )
    about = {
        "network": network_identity(model),
        "legal": [list(map(int, legal)) for legal in model.width_space.legal],
        "format": find_format(format).name,
        "device": facts,
        "settings": settings,
        "seed": seed,
    }
    # Said now, not after the minute that exporting takes.
    stored_samples(directory, about)
    network = FileNetwork(model, format)
    return measure_samples(network, about, meter, directory, count, held_out, on_progress)


def fit(directory):
    """Fits a latency model to the samples in a directory and writes `latency.json` there.

    Args:
        directory: of `sample`.

    Returns:
        `costs.Latency`, a cost like any other. `costs.Latency.load(path, model)` reads it.

    Raises:
        ValueError: no samples, or too few.

    Example:

    >>> kj.latency.fit("latency/host")(slim.width_space.full)
    1.114
    """
    directory = pathlib.Path(directory)
    latency = fit_latency(Samples.load(directory / FILE_NAME))
    latency.save(directory / MODEL_FILE)
    return latency


def validate(directory):
    """Compares the model in a directory with the networks held out, and draws them.

    Args:
        directory: of `sample` and `fit`.

    Returns:
        `Validation`; it is in `validation.json` too, and drawn in `validation.html`.

    Raises:
        ValueError: no samples, none held out, or no model.

    Example:

    >>> print(kj.latency.validate("latency/host"))
    200 networks held out, 0.237 to 1.345 ms: error 1.3% of the mean (RMSE), ...
    """
    from keras_joslim.costs.latency import Latency
    from keras_joslim.latency.figure import draw

    directory = pathlib.Path(directory)
    samples = Samples.load(directory / FILE_NAME)
    latency = Latency.read(directory / MODEL_FILE)
    validation = validate_latency(latency, samples)
    atomic.write_json(directory / VALIDATION_FILE, validation.to_dict())
    atomic.write_text(directory / FIGURE_FILE, draw(validation, latency).to_html("cdn"))
    return validation
