"""`joslim profile` with the TFLite benchmark tool: on phones over adb, or on this machine."""

import json
import re

from tqdm import tqdm

from keras_joslim import atomic
from keras_joslim.app.profile import exported_files, file_key, profile_settings
from keras_joslim.tflite.manifest import FILE_NAME as MANIFEST

HOST_TOOL = "host-tool"


def profile_with_tool(workdir, device, formats=None, say=print, *, serials=None, **settings):
    """Measures the exported files of a run with the TFLite benchmark tool.

    Args:
        workdir: `Workdir` with an exported front.
        device: "android" or "host", for the tool's Linux build.
        formats: number formats to measure; the first one of the config's if `None`.
        say: where progress is told.
        serials: of the phones; the only one if `None`.
        **settings: of `tflite.profile_android` or `tflite.profile_with_tool`; those that are
            `None` are the config's or the function's own.

    Returns:
        The front, with `latency[<device>]` filled in: a phone is named as its model is,
        "pixel7", this machine "host-tool". The manifest has the latencies too.
        `profiles/<device>.json` holds all that was measured, `profiles/logs/` what the tool wrote,
        `profiles/journal.json` what need not be measured again.

    Raises:
        ValueError: nothing is exported yet, settings that make no sense.
        tflite.AdbError: no phone, or several, without `serials`.
        tflite.DeviceProfileError: a part could not be measured; the rest is in the front.
    """
    from keras_joslim import tflite

    front, config = workdir.front(), workdir.config()
    formats = list(formats or config["export"]["formats"][:1])
    files = exported_files(workdir, front, formats, say)
    # A manifest that cannot be read is better known before the hours of measuring.
    tflite.Manifest.load(workdir.place)
    own = profile_settings(config)
    own["rounds"] = own.pop("processes")
    settings = own | {key: value for key, value in settings.items() if value is not None}
    places = {"journal": workdir.profiles / "journal.json", "logs": workdir.profiles / "logs"}
    where = "this machine" if device == "host" else "the phone" if not serials else serials
    say(f"Profiling {len(files)} files in {settings['rounds']} rounds on {where}.")
    failure = None
    with tqdm(desc="profiling", leave=False) as bar:

        def progress(done, total, what):
            bar.total, bar.n = total, done
            bar.set_postfix_str(what)

        measure = tflite.profile_with_tool if device == "host" else tflite.profile_android
        if device == "android":
            settings["serials"] = serials
        try:
            measured = measure(files, on_progress=progress, **places, **settings)
        except tflite.DeviceProfileError as error:
            measured, failure = error.measured, error
    if device == "host":
        found = {HOST_TOOL: (None, {}, measured)}
    else:
        found = _named(workdir, measured)
    for name, (serial, facts, latencies) in found.items():
        front = _entered(front, name, formats, latencies)
        content = {"device": name, "serial": serial, "facts": facts}
        content["latencies"] = {key: latency.to_dict() for key, latency in latencies.items()}
        atomic.write_json(workdir.profiles / f"{name}.json", content)
    front.save(workdir.front_file)
    manifest = tflite.Manifest.load(workdir.place)
    for name, (_, _, latencies) in found.items():
        manifest = manifest.with_latency(name, latencies)
    manifest.save(workdir.place / MANIFEST)
    for name, (_, facts, latencies) in found.items():
        say(_introduced(name, facts))
        for file_format in formats:
            if any(key.endswith(f".{file_format}") for key in latencies):
                say(front.rank(f"latency:{name}", file_format).table())
    if failure:
        raise failure
    return front


def _entered(front, device, formats, latencies):
    """The front with the latencies of one device."""

    def with_latency(point):
        known = dict(point.latency.get(device, {}))
        for file_format in formats:
            latency = latencies.get(file_key(point.name, file_format))
            if latency is not None:
                # Operators fill pages; profiles/<device>.json has them.
                entry = latency.to_dict()
                known[file_format] = {k: v for k, v in entry.items() if k != "operators"}
        return point.replace(latency={**point.latency, device: known}) if known else point

    return front.with_points([with_latency(point) for point in front])


def _named(workdir, measured):
    """Name of a device -> (serial, facts, latencies); two phones of a model are told apart."""
    found = {}
    for serial, profile in measured.items():
        name = re.sub("[^a-z0-9]+", "", (profile.facts.model or serial).lower()) or "phone"
        if name in found or _is_of_another(workdir, name, serial):
            name += "-" + re.sub("[^a-z0-9]+", "", serial.lower())[-6:]
        found[name] = (serial, profile.facts.to_dict(), profile.latencies)
    return found


def _is_of_another(workdir, name, serial):
    """Was another phone of this name measured before?"""
    path = workdir.profiles / f"{name}.json"
    if name in ("host", "journal", HOST_TOOL):
        return True
    try:
        return json.loads(path.read_text(encoding="utf-8"))["serial"] != serial
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _introduced(name, facts):
    """One line on a phone, of what it told."""
    if not facts:
        return f"{name}: the TFLite benchmark tool on this machine"
    parts = [" ".join(filter(None, (facts["manufacturer"], facts["model"])))]
    parts.append(facts["soc"] or facts["board"])
    parts.append(facts["android"] and f"Android {facts['android']}")
    governors = sorted(set(filter(None, facts["governors"] or ())))
    parts.append(governors and f"governor {'/'.join(governors)}")
    heat = facts["battery_temperature"]
    parts.append(heat is not None and f"battery at {heat:g} degrees")
    return f"{name}: {', '.join(filter(None, parts))}"
