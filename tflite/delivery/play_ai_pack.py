"""A Play AI pack: the points of a front, one for each group of phones.

Google Play installs the folder of the group that a phone is in, without its postfix: in every phone
it is `model/`. Layout and XML are those of Google's page "Play for On-device AI"
(developer.android.com/google/play/on-device-ai). The writer that comes with LiteRT
(`ai_edge_litert.aot.ai_pack.export_lib`) takes files compiled ahead of time for a system on chip
only, none of which these files are, and knows no memory sizes; hence this one.
"""

import dataclasses
import json
import re
import xml.etree.ElementTree as ElementTree

from keras_joslim.tflite.delivery.device_groups import FALLBACK

TARGETING_FILE = "device_targeting_configuration.xml"
_PACK_NAME = re.compile("[A-Za-z][A-Za-z0-9_]*")
_NAMESPACE = "http://schemas.android.com/apk/config"
_GRADLE = """\
plugins {{
    id("com.android.ai-pack")
}}

aiPack {{
    packName = "{name}"
    dynamicDelivery {{
        deliveryType = "install-time"
    }}
}}
"""


def play_ai_pack(name, groups, manifest):
    """The files of an AI pack and the XML that goes with it.

    Args:
        name: of the pack: letters, digits and underscores, a letter first.
        groups: tuple of `DeviceGroup`, "other" among them, by priority.
        manifest: the `Manifest` to take from; it knows its directory.

    Returns:
        dict path -> bytes, forward slashes: `<name>/build.gradle.kts`; for each group
        `<name>/src/main/assets/model#group_<group>/model.tflite` and beside it `manifest.json` of
        that one file; `device_targeting_configuration.xml`.

    Raises:
        ValueError: a name that Play would refuse, a group whose file is not in the manifest.

    Example:

    >>> files = play_ai_pack("digits", read_device_groups("groups.json"), Manifest.load("out"))
    """
    check_pack_name(name)
    files = {f"{name}/build.gradle.kts": _GRADLE.format(name=name).encode()}
    for group in groups:
        entry = group.file(manifest)
        folder = f"{name}/src/main/assets/model#group_{group.name}"
        files[f"{folder}/model.tflite"] = (manifest.directory / entry.path).read_bytes()
        # The folder is all that the app sees of the bundle.
        alone = dataclasses.replace(
            manifest, files=(dataclasses.replace(entry, path="model.tflite"),)
        )
        files[f"{folder}/manifest.json"] = json_bytes(alone.to_dict())
    files[TARGETING_FILE] = device_targeting(groups)
    return files


def check_pack_name(name):
    """Raises ValueError for the name of a pack that Play would refuse."""
    if not _PACK_NAME.fullmatch(name):
        raise ValueError(
            "The name of an AI pack is made of letters, digits and underscores, a letter first. "
            f"Received: {name!r}"
        )


def device_targeting(groups):
    """The XML that tells Play which phones are in which group, as bytes.

    The group "other" is Play's own and does not stand in it.
    """
    ElementTree.register_namespace("config", _NAMESPACE)
    root = ElementTree.Element(_tag("device-targeting-config"))
    for group in groups:
        if group.name == FALLBACK:
            continue
        element = ElementTree.SubElement(root, _tag("device-group"), name=group.name)
        ram = {} if group.ram_min_bytes is None else {"ram-min-bytes": str(group.ram_min_bytes)}
        # One selector: its memory and any of its chips.
        selector = ElementTree.SubElement(element, _tag("device-selector"), ram)
        for manufacturer, model in group.soc:
            ElementTree.SubElement(
                selector, _tag("system-on-chip"), manufacturer=manufacturer, model=model
            )
    ElementTree.indent(root, "    ")
    return ElementTree.tostring(root, "utf-8", xml_declaration=True) + b"\n"


def json_bytes(value):
    """JSON as `atomic.write_json` writes it."""
    return (json.dumps(value, indent=2, allow_nan=False) + "\n").encode()


def _tag(name):
    return f"{{{_NAMESPACE}}}{name}"
