"""`joslim latency`: a latency model of a run's network, before or after its training."""

import pathlib

from tqdm import tqdm

from keras_joslim import latency
from keras_joslim.costs import Latency
from keras_joslim.latency.fit import FEWEST_SAMPLES
from keras_joslim.latency.samples import FILE_NAME


def sample(workdir, config=None, samples=None, held_out=None, say=print, **options):
    """Measures sub-networks of the config's network, or goes on with that.

    Args:
        workdir: `Workdir`; with a config it may be a new one.
        config: JSON dict, `None` for the run's own.
        samples, held_out: how many; if `None` as many as the directory has, 600 and 200 of a new
            one.
        say: where progress is told.
        **options: of `latency.sample`, and `directory`; those that are `None` are the default's.

    Returns:
        Where the samples are, a `pathlib.Path`.

    Raises:
        ValueError: a config or options that do not fit.
    """
    from keras_joslim.app.recipe import make_model

    if config is None:
        config = workdir.config()
    else:
        workdir.claim(config)
    options = {name: value for name, value in options.items() if value is not None}
    place = options.pop("directory", None) or default_directory(workdir, **options)
    file = pathlib.Path(place) / FILE_NAME
    parts = [row.part for row in latency.Samples.load(file).rows] if file.exists() else []
    # What is there is gone on with, unless told otherwise.
    then = (parts.count("fit"), parts.count("held_out")) if parts else (600, 200)
    samples = then[0] if samples is None else samples
    held_out = then[1] if held_out is None else held_out
    if samples < FEWEST_SAMPLES or held_out == 1:
        raise ValueError(
            f"A latency model is fitted to {FEWEST_SAMPLES} samples or more, and validated with 2 "
            "held out or more; hundreds are better. "
            f"Received: samples={samples}, held_out={held_out}"
        )
    model = make_model(config)
    say(f"Measuring {samples} + {held_out} sub-networks into {place}.")
    bar = None

    def progress(done, total):
        nonlocal bar
        bar = bar or tqdm(desc="measuring", total=total, leave=False)
        bar.update(done - bar.n)

    try:
        measured = latency.sample(model, place, samples, held_out, on_progress=progress, **options)
    finally:
        if bar:
            bar.close()
    again = len(measured.part("again")[0])
    say(
        f"Measured: {len(measured.rows) - again} sub-networks, {again} of those held out twice; "
        f"the slowest measurement of the full network was {measured.drift:.2f} times the fastest."
    )
    return place


def fit(place, say=print):
    """Fits a model to samples and says how well it does; returns the `costs.Latency`."""
    model = latency.fit(place)
    facts = model.facts["fit"]
    say(
        f"Fitted to {facts['samples']} samples: cross-validated error "
        f"{facts['cross_validated_error']:.1%} (smoothness {facts['smoothness']:g}, monotony "
        f"{facts['monotony']:g})."
    )
    path = place / "latency.json"
    say(f"model:  {path}")
    say(f"as a cost: --config.cost=latency:{path}, `joslim search --cost=latency:{path}`")
    return model


def validate(place, say=print):
    """Compares the model with the networks held out; returns the `latency.Validation`."""
    validation = latency.validate(place)
    say(validation)
    fitted = Latency.read(place / "latency.json").facts["fit"].get("samples")
    there = len(latency.Samples.load(place / FILE_NAME).part("fit")[0])
    if fitted != there:
        say(f"The model was fitted to {fitted} samples of {there}; `joslim latency fit` takes all.")
    say(f"plot:   {place / 'validation.html'}")
    return validation


def default_directory(
    workdir,
    device="host",
    format="fp32",  # noqa: A002
    delegate="xnnpack",
    threads=1,
    **options,
):
    """Where the samples of these settings are kept, unless told."""
    if device == "host" and options.get("benchmark_binary"):
        device = "host-tool"
    name = options.get("serial") or device
    return workdir.path / "latency" / f"{name}.{format}.{delegate}.{threads}"


def find_directory(workdir):
    """The only directory of samples in a run.

    Raises:
        ValueError: there is none, or there are several.
    """
    found = sorted(path.parent for path in (workdir.path / "latency").glob("*/samples.json"))
    if not found:
        raise ValueError(
            f"There are no latency samples in {workdir.path}. `joslim latency sample "
            f"--workdir={workdir.path}` measures some."
        )
    if len(found) > 1:
        names = ", ".join(map(str, found))
        raise ValueError(f"There are several: give one of them by --directory. {names}")
    return found[0]
