"""The folder that an app team gets: models, manifest, labels, checksums, a page that explains."""

import dataclasses
import pathlib
import re

from keras_joslim import atomic
from keras_joslim.tflite.delivery.play_ai_pack import check_pack_name, json_bytes, play_ai_pack
from keras_joslim.tflite.manifest import FILE_NAME, Manifest, sha256

CHECKSUMS = "SHA256SUMS"
AI_PACK_FOLDER = "play_ai_pack"
_CHECKSUM = re.compile(r"([0-9a-f]{64})  (.+)")


def write_bundle(manifest, output, title="front", ai_pack=None, device_groups=()):
    """Writes a bundle, whole or not at all.

    The same files give the same bytes. A bundle that is already there is replaced; any other
    folder that holds something is not.

    Args:
        manifest: a `Manifest` of the files to hand over; it knows its directory.
        output: the folder.
        title: first words of README.txt.
        ai_pack: name of a Play AI pack to write too, into `play_ai_pack/`.
        device_groups: tuple of `DeviceGroup`, what each group of phones gets; needed by it.

    Returns:
        The `Manifest` of the bundle.

    Raises:
        ValueError: no files, a file that is missing or changed, a folder of something else, groups
            that ask for what there is not.

    Example:

    >>> write_bundle(Manifest.load("out"), "bundle", "digits")
    """
    output = pathlib.Path(output)
    if not len(manifest):
        raise ValueError("Expected files to hand over. Received: an empty manifest. Export first.")
    if bool(ai_pack) != bool(device_groups):
        raise ValueError(
            "A Play AI pack needs a name and groups of phones. "
            f"Received: ai_pack={ai_pack!r}, {len(device_groups)} device_groups"
        )
    if ai_pack:
        check_pack_name(ai_pack)
    refuse_other_folder(output)
    # Before anything is written: nothing of this is read again.
    manifest.check_files(manifest.directory)
    files = {entry.path: path.read_bytes() for entry, path in _paths(manifest)}
    files[FILE_NAME] = json_bytes(manifest.to_dict())
    files["README.txt"] = _readme(manifest, title, ai_pack).encode()
    if manifest.labels:
        files["labels.txt"] = "".join(f"{name}\n" for name in manifest.labels).encode()
    if ai_pack:
        pack = play_ai_pack(ai_pack, device_groups, manifest)
        files |= {f"{AI_PACK_FOLDER}/{path}": data for path, data in pack.items()}
    sums = [f"{sha256(files[path])}  {path}\n" for path in sorted(files)]
    files[CHECKSUMS] = "".join(sums).encode()
    with atomic.directory(output) as folder:
        for path, data in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(data)
    return dataclasses.replace(manifest, directory=output)


def refuse_other_folder(path):
    """Raises ValueError if a bundle may not take the place of what is at `path`.

    It may take that of nothing, of an empty folder, and of a bundle: a folder with a manifest and
    checksums, in which all files are those that the checksums name.
    """
    path = pathlib.Path(path)
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    if not path.is_dir():
        raise ValueError(f"{path} is a file, not a folder. Name another --output.")
    there = {p.relative_to(path).as_posix() for p in path.rglob("*") if not p.is_dir()}
    try:
        Manifest.load(path)
        lines = (path / CHECKSUMS).read_text(encoding="utf-8").splitlines()
        named = {_CHECKSUM.fullmatch(line)[2] for line in lines} | {CHECKSUMS}
    except (ValueError, OSError, TypeError):
        named = set()
    strangers = sorted(there - named)
    if strangers:
        raise ValueError(
            f"{path} is not a bundle, or not only: {', '.join(strangers[:3])} would be lost. Name "
            "another --output, or remove it."
        )


def _paths(manifest):
    return zip(manifest, manifest.paths().values(), strict=True)


def _readme(manifest, title, ai_pack):
    """What is in the folder, in brief, as text."""
    points = list(dict.fromkeys(entry.point for entry in manifest))
    lines = [f"{title}: {len(points)} networks in {len(manifest)} TFLite files", ""]
    lines += [_line(entry) for entry in manifest]
    lines += ["", "Inputs and outputs:"]
    described = {}
    for entry in manifest:
        tensors = [f"{way} {_tensor(facts)}" for way, facts in _tensors(entry)]
        # Scales differ from file to file; the manifest has them.
        described.setdefault(entry.format, "; ".join(tensors))
    lines += [f"  {name}: {text}" for name, text in described.items()]
    if manifest.preprocessing:
        lines += ["", f"Before a network sees an image: {manifest.preprocessing.text}"]
    lines += ["", "manifest.json   all that is known of each file; preprocessing; labels"]
    if manifest.labels:
        lines += ["labels.txt      names of the classes, one a line, in order of the outputs"]
    lines += [f"{CHECKSUMS}      `sha256sum -c {CHECKSUMS}` checks that nothing is damaged"]
    if ai_pack:
        lines += [f"{AI_PACK_FOLDER}/   a Play AI pack: move {ai_pack}/ beside the app's module"]
    return "\n".join(lines) + "\n"


def _line(entry):
    parts = [f"  {entry.path}  {entry.bytes:,d} bytes"]
    metrics = entry.validation.get("metrics", {})
    parts += [f"{name} {value:.4f}" for name, value in metrics.items() if name != "loss_se"]
    parts += [f"{one['milliseconds']:.3f} ms on {name}" for name, one in entry.latency.items()]
    return ", ".join(parts)


def _tensors(entry):
    return [("input", facts) for facts in entry.inputs] + [
        ("output", facts) for facts in entry.outputs
    ]


def _tensor(facts):
    quantised = "" if facts.scale is None else ", quantised"
    return f"{facts.name}, {facts.dtype} {list(facts.shape)}{quantised}"
