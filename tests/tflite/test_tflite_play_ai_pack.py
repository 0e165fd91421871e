"""The Play AI pack: Google's layout and XML, and groups of phones that make sense."""

import json
import xml.etree.ElementTree as ElementTree

import jsonschema
import pytest

from keras_joslim import tflite
from tests.tflite.delivered import GREY, LABELS, exported

GROUPS = [
    {"name": "flagship", "soc": [{"manufacturer": "QTI", "model": "SM8750"}], "point": "p02"},
    {
        "name": "large",
        "ram_min_bytes": 8_000_000_000,
        "soc": [
            {"manufacturer": "Google", "model": "Tensor G4"},
            {"manufacturer": 'A & "B"', "model": "<1>"},
        ],
        "max_ms": 4,
        "device": "pixel7",
    },
    {"name": "large_2", "ram_min_bytes": 8_000_000_000, "point": "p01"},
    {"name": "other", "max_ms": 2, "device": "pixel7", "format": "fp32"},
]
XML = """<?xml version='1.0' encoding='utf-8'?>
<config:device-targeting-config xmlns:config="http://schemas.android.com/apk/config">
    <config:device-group name="flagship">
        <config:device-selector>
            <config:system-on-chip manufacturer="QTI" model="SM8750" />
        </config:device-selector>
    </config:device-group>
    <config:device-group name="large">
        <config:device-selector ram-min-bytes="8000000000">
            <config:system-on-chip manufacturer="Google" model="Tensor G4" />
            <config:system-on-chip manufacturer="A &amp; &quot;B&quot;" model="&lt;1&gt;" />
        </config:device-selector>
    </config:device-group>
    <config:device-group name="large_2">
        <config:device-selector ram-min-bytes="8000000000" />
    </config:device-group>
</config:device-targeting-config>
"""


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    return exported(tmp_path_factory.mktemp("run") / "run")


@pytest.fixture
def groups(tmp_path):
    """Writes groups to a file and reads them."""

    def read(value):
        path = tmp_path / "groups.json"
        path.write_text(value if isinstance(value, str) else json.dumps(value))
        return tflite.read_device_groups(path)

    return read


def write(workdir, tmp_path, groups, name="front", formats=("fp32",)):
    manifest = tflite.Manifest.load(workdir.place)
    chosen = [entry for entry in manifest if entry.format in formats]
    manifest = tflite.Manifest(tuple(chosen), workdir.place, LABELS, GREY)
    tflite.write_bundle(manifest, tmp_path / "bundle", "run", name, groups)
    return tmp_path / "bundle" / "play_ai_pack"


def test_layout_xml_and_the_file_of_each_group(workdir, tmp_path, groups):
    pack = write(workdir, tmp_path, groups(GROUPS))
    assert (pack / "device_targeting_configuration.xml").read_text() == XML
    assert ElementTree.fromstring(XML).tag == (
        "{http://schemas.android.com/apk/config}device-targeting-config"
    )
    assets = pack / "front" / "src" / "main" / "assets"
    # Three networks: by name, the best within 4 ms, by name, the best within 2 ms.
    expected = {"flagship": "p02", "large": "p01", "large_2": "p01", "other": "p00"}
    assert {path.name for path in assets.iterdir()} == {f"model#group_{g}" for g in expected}
    for group, point in expected.items():
        folder = assets / f"model#group_{group}"
        assert {path.name for path in folder.iterdir()} == {"model.tflite", "manifest.json"}
        original = workdir.place / "models" / f"{point}.fp32.tflite"
        assert (folder / "model.tflite").read_bytes() == original.read_bytes()
        manifest = tflite.Manifest.load(folder)
        manifest.check_files(folder)
        (entry,) = manifest
        assert (entry.point, entry.path) == (point, "model.tflite")
        assert (manifest.labels, manifest.preprocessing) == (LABELS, GREY)
        jsonschema.validate(
            json.loads((folder / "manifest.json").read_text()), tflite.manifest_schema()
        )
    gradle = (pack / "front" / "build.gradle.kts").read_text()
    assert 'id("com.android.ai-pack")' in gradle
    assert 'packName = "front"' in gradle
    assert 'deliveryType = "install-time"' in gradle


def test_of_several_formats_a_budget_takes_the_best(workdir, tmp_path, groups):
    chosen = groups([{"name": "other", "max_ms": 2.5, "device": "pixel7"}])
    pack = write(workdir, tmp_path, chosen, formats=("fp32", "int8"))
    (entry,) = tflite.Manifest.load(next(pack.glob("front/src/main/assets/*")))
    # p01 in int8 loses 0.7 and takes 2.5 ms, p00 in fp32 loses 0.9.
    assert (entry.point, entry.format) == ("p01", "int8")


@pytest.mark.parametrize(
    ("group", "formats", "message"),
    [
        ({"point": "p09"}, ("fp32",), "Device group 'other': .*of p00, p01, p02. .*point='p09'"),
        ({"point": "p01"}, ("fp32", "int8"), "'other': .*the format too, as p01 has fp32, int8"),
        ({"point": "p01", "format": "fp16"}, ("fp32",), "'other': .*that p01 has, fp32.*'fp16'"),
        (
            {"max_ms": 0.5, "device": "pixel7"},
            ("fp32",),
            "'other': No file is within max_ms=0.5. The fastest of 3 is p00.fp32 with 2.0",
        ),
        ({"max_ms": 5, "device": "pixel9"}, ("fp32",), "'other': .*of pixel7. .*'pixel9'"),
    ],
)
def test_a_group_that_asks_for_what_there_is_not(
    workdir, tmp_path, groups, group, formats, message
):
    with pytest.raises(ValueError, match=message):
        write(workdir, tmp_path, groups([{"name": "other", **group}]), formats=formats)
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize("name", ["1st", "my-pack", "a b", "x/../y"])
def test_the_name_of_a_pack(workdir, tmp_path, groups, name):
    with pytest.raises(ValueError, match="letters, digits and underscores, a letter first"):
        write(workdir, tmp_path, groups([{"name": "other", "point": "p00"}]), name)


def test_a_pack_needs_groups(workdir, tmp_path):
    with pytest.raises(ValueError, match="a name and groups of phones. .*'front', 0 device_groups"):
        write(workdir, tmp_path, ())


OTHER = {"name": "other", "point": "p00"}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("{", "are not JSON"),
        ([], r"a list of device groups in .*, at least one named 'other'. Received: \[\]"),
        ({"name": "other"}, "a list of device groups"),
        (["other"], "an object as group 0 of .* Received: 'other'"),
        ([{"name": "other", "points": "p00"}], r"fields of name, .* Received: also \['points'\]"),
        ([{**OTHER, "name": "High"}], "letter first, in group 0 .*name='High'"),
        ([{**OTHER, "name": "a-b"}], "digits and underscores, .*name='a-b'"),
        ([{**OTHER, "name": "2gb"}], "a letter first, .*name='2gb'"),
        ([OTHER, OTHER], "names that differ in .* Received: 'other' twice"),
        ([{**OTHER, "name": "x", "ram_min_bytes": 5}], "Expected a group 'other' .*groups x"),
        ([{**OTHER, "name": "x"}, OTHER], "ram_min_bytes or soc in group 'x': which phones"),
        ([{**OTHER, "ram_min_bytes": 5}], "neither ram_min_bytes nor soc in group 'other'"),
        ([{**OTHER, "name": "x", "ram_min_bytes": "8 GB"}], "bytes from 1 .*ram_min_bytes='8 GB'"),
        ([{**OTHER, "name": "x", "ram_min_bytes": 0}], "bytes from 1 .*ram_min_bytes=0"),
        ([{**OTHER, "name": "x", "soc": []}], r"at least one, in group 'x'. Received: soc=\[\]"),
        ([{**OTHER, "name": "x", "soc": [{"model": "SM8750"}]}], "manufacturer.*group 'x'"),
        ([{"name": "other"}], "either point, or max_ms and device, in group 'other'"),
        ([{**OTHER, "max_ms": 5, "device": "a"}], "either point, or max_ms and device"),
        ([{"name": "other", "max_ms": 5}], "either point, or max_ms and device"),
        ([{"name": "other", "point": 3}], "text in group 'other'. Received: point=3"),
        (
            [
                {**OTHER, "name": "small", "ram_min_bytes": 4},
                {**OTHER, "name": "large", "ram_min_bytes": 8},
                OTHER,
            ],
            "No phone would ever be in group 'large' .*'small' before it.* the larger one first",
        ),
    ],
)
def test_groups_that_make_no_sense(groups, value, message):
    with pytest.raises(ValueError, match=message):
        groups(value)


def test_a_file_of_groups_that_is_not_there(tmp_path):
    with pytest.raises(ValueError, match="Cannot read the device groups of .*No such file"):
        tflite.read_device_groups(tmp_path / "groups.json")
