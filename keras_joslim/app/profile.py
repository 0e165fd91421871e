"""`joslim profile`: latency and peak memory of every file, on this machine."""

from tqdm import tqdm

from keras_joslim import atomic
from keras_joslim.tflite.manifest import FILE_NAME as MANIFEST


def profile(workdir, formats=None, say=print, **settings):
    """Measures the exported files of a run in fresh processes.

    Args:
        workdir: `Workdir` with an exported front.
        formats: number formats to measure; the first one of the config's if `None`.
        say: where progress is told.
        **settings: `processes`, `runs`, `num_threads` in the place of the config's.

    Returns:
        The front, with `latency["host"]` filled in; `profiles/host.json` holds all
        that was measured, and the manifest latency and peak memory of each file.

    Raises:
        ValueError: nothing is exported yet.
        tflite.ProfileError: a measuring process failed.
    """
    from keras_joslim import tflite

    front = workdir.front()
    config = workdir.config()
    formats = list(formats or config["export"]["formats"][:1])
    given = {key: value for key, value in settings.items() if value is not None}
    settings = profile_settings(config) | given
    settings["threads"] = settings.pop("num_threads")
    files = exported_files(workdir, front, formats, say)
    say(f"Profiling {len(files)} files in {settings['processes']} processes each.")
    with tqdm(total=len(files) * settings["processes"], desc="profiling", leave=False) as bar:
        measured = tflite.profile(files, on_progress=lambda *_: bar.update(), **settings)
    results = {key: latency.to_dict() for key, latency in measured.items()}
    warnings = sorted({latency.warning for latency in measured.values() if latency.warning})
    for warning in warnings:
        say(f"Doubtful: {warning}")

    def with_latency(point):
        host = dict(point.latency.get("host", {}))
        new = {name: results.get(file_key(point.name, name)) for name in formats}
        host.update({name: result for name, result in new.items() if result is not None})
        return point.replace(latency={**point.latency, "host": host}) if host else point

    front = front.with_points(map(with_latency, front.points))
    front.save(workdir.front_file)
    atomic.write_json(workdir.profiles / "host.json", results)
    manifest = tflite.Manifest.load(workdir.place).with_peaks(measured)
    manifest.with_latency("host", measured).save(workdir.place / MANIFEST)
    return front


def exported_files(workdir, front, formats, say):
    """dict "<point>.<format>" -> path of all files exported in these formats.

    Points that were not exported so are told, and left out.

    Raises:
        ValueError: none was exported in a format.
    """
    files = {}
    for name in formats:
        missing = [point.name for point in front if name not in point.files]
        if len(missing) == len(front):
            raise ValueError(
                f"No point has a {name} file. Make them with `joslim export "
                f"--workdir={workdir.path} --formats={name}`."
            )
        if missing:
            say(f"Not profiled, for they have no {name} file: {', '.join(missing)}.")
    for point in front:
        for name in formats:
            if name in point.files:
                files[file_key(point.name, name)] = workdir.place / point.files[name]
    return files


def file_key(point, file_format):
    return f"{point}.{file_format}"


def profile_settings(config):
    """How often a config wants files measured; a run of an older release lacks some fields."""
    defaults = {"processes": 5, "runs": 50, "num_threads": 1}
    return {key: config["profile"].get(key, value) for key, value in defaults.items()}
