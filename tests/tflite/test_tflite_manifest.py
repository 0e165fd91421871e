"""A manifest comes back as it was written; anything else is refused with a reason."""

import json

import pytest

from keras_joslim import tflite
from keras_joslim.datasets import Preprocessing
from keras_joslim.tflite.interpreter import TensorFacts
from tests.tflite.manifest_entries import DATA, entry, host_latency, latency_entry

GREY = Preprocessing("Divide by 16.", (0, 16), (1 / 16,), (0.0,))


@pytest.fixture
def written(tmp_path):
    """A directory with a manifest of one file."""
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "p00.fp32.tflite").write_bytes(DATA)
    tflite.Manifest((entry(),)).save(tmp_path / "manifest.json")
    return tmp_path


def rewrite(directory, change):
    path = directory / "manifest.json"
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def test_round_trip(written):
    expected = tflite.Manifest((entry(),))
    assert tflite.Manifest.load(written / "manifest.json") == expected
    assert tflite.Manifest.load(written) == expected


def test_quantisation_and_measurements_come_back(written):
    quantised = entry(
        format="int8",
        representative="b" * 64,
        inputs=(TensorFacts("image", (1, 8, 8, 1), "int8", 0.003921302, -128),),
        outputs=(TensorFacts("logits", (1, 10), "int8", 0.25, 3),),
        validation={"metrics": {"loss": 0.5}, "examples": 3, "data": "c" * 64},
        test={"metrics": {"loss": 0.75}, "examples": 2, "data": "d" * 64},
    )
    expected = tflite.Manifest((entry(), quantised))
    expected.save(written / "manifest.json")
    assert tflite.Manifest.load(written) == expected
    value = json.loads((written / "manifest.json").read_text())["files"]
    assert (value[1]["inputs"][0]["scale"], value[1]["outputs"][0]["zero_point"]) == (
        0.003921302,
        3,
    )
    assert value[0]["inputs"][0]["scale"] is None


def test_an_entry_can_be_taken_out():
    manifest = tflite.Manifest((entry(), entry(format="fp16")), "out")
    assert [e.format for e in manifest.without("p00", "fp16")] == ["fp32"]
    assert manifest.without("p00", "int8") == manifest
    assert manifest.without("p00", "fp16").directory == "out"


def test_one_entry_a_point_and_format_in_order():
    manifest = tflite.Manifest()
    for new in (entry(point="p01"), entry(), entry(format="fp16"), entry(bytes=7)):
        manifest = manifest.replace(new)
    assert [(e.point, e.format) for e in manifest] == [
        ("p00", "fp16"),
        ("p00", "fp32"),
        ("p01", "fp32"),
    ]
    assert manifest.find("p00", "fp32").bytes == 7
    assert manifest.find("p02", "fp32") is None


def test_a_manifest_knows_its_directory_and_does_not_save_it(written):
    loaded = tflite.Manifest.load(written)
    assert loaded.directory == written
    assert loaded.replace(entry(format="fp16")).directory == written
    assert loaded.paths() == {"p00.fp32": written / "models" / "p00.fp32.tflite"}
    assert str(written) not in json.dumps(loaded.to_dict())


def test_a_manifest_without_a_directory_has_no_paths():
    manifest = tflite.Manifest((entry(),))
    with pytest.raises(ValueError, match=r"knows no directory. Read it with `Manifest.load"):
        manifest.paths()
    with pytest.raises(ValueError, match="knows no directory"):
        tflite.profile(manifest)


def test_repr_is_short():
    manifest = tflite.Manifest((entry(), entry(format="fp16"), entry(point="p01")), "out")
    expected = "Manifest(3 files, 2 points, formats=['fp16', 'fp32'], directory='out')"
    assert repr(manifest) == expected


def test_changed_and_missing_files_are_named(written):
    manifest = tflite.Manifest.load(written)
    manifest.check_files(written)
    (written / "models" / "p00.fp32.tflite").write_bytes(DATA + b"!")
    with pytest.raises(ValueError, match=r"missing or changed \['models/p00.fp32.tflite'\]"):
        manifest.check_files(written)
    (written / "models" / "p00.fp32.tflite").unlink()
    with pytest.raises(ValueError, match="missing or changed"):
        manifest.check_files(written)


def test_missing_manifest(tmp_path):
    with pytest.raises(ValueError, match=r"manifest.json': no file. Export first"):
        tflite.Manifest.load(tmp_path / "manifest.json")


@pytest.mark.parametrize("text", ["", '{"kind": "keras_jos', "\x00\x01"])
def test_damaged_file(written, text):
    (written / "manifest.json").write_text(text)
    with pytest.raises(ValueError, match="is not JSON .*move it away"):
        tflite.Manifest.load(written)


@pytest.mark.parametrize("text", ["[]", "3", "{}", '{"kind": "another", "schema": 1}'])
def test_foreign_file(written, text):
    (written / "manifest.json").write_text(text)
    with pytest.raises(ValueError, match="Received: something else"):
        tflite.Manifest.load(written)


def test_newer_schema(written):
    rewrite(written, lambda value: value.update(schema=99))
    with pytest.raises(ValueError, match="of schema 4 in .*schema=99"):
        tflite.Manifest.load(written)


def test_labels_and_preprocessing_come_back_and_are_kept(written):
    manifest = tflite.Manifest.load(written).described(["cat", "dog"], GREY)
    manifest.save(written / "manifest.json")
    loaded = tflite.Manifest.load(written)
    assert (loaded.labels, loaded.preprocessing) == (("cat", "dog"), GREY)
    value = json.loads((written / "manifest.json").read_text())
    assert value["labels"] == ["cat", "dog"]
    assert value["preprocessing"] == {
        "text": "Divide by 16.",
        "raw_range": [0, 16],
        "scale": [0.0625],
        "offset": [0],
    }
    changed = loaded.replace(entry(format="fp16")).without("p00", "fp32").with_peaks({}).described()
    assert (changed.labels, changed.preprocessing) == (("cat", "dog"), GREY)
    assert changed.described(labels=["x"]).labels == ("x",)


@pytest.mark.parametrize("labels", [[], [""], ["two\nlines"], [1, 2], {"cat": 0}, "cat"])
def test_labels_that_are_not_lines_are_refused(labels):
    with pytest.raises(ValueError, match="names of classes, each one line of text, as labels"):
        tflite.Manifest(labels=labels)


def test_a_preprocessing_of_another_type_is_refused():
    with pytest.raises(
        ValueError, match=r"Expected a keras_joslim.datasets.Preprocessing. .*'/16'"
    ):
        tflite.Manifest().described(preprocessing="/16")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v.update(labels=[1]), "names of classes, .* as labels of"),
        (lambda v: v.update(preprocessing={"text": "x"}), "preprocessing of .*Expected .*fields"),
        (lambda v: v.pop("labels"), r"Expected the fields \['files', 'kind', 'labels',"),
        (lambda v: v.update(surprise=1), "Received: .*'surprise'"),
    ],
)
def test_impossible_head(written, change, message):
    rewrite(written, change)
    with pytest.raises(ValueError, match=message):
        tflite.Manifest.load(written)


def test_latencies_of_a_profile_are_entered_by_device_and_name(written):
    manifest = tflite.Manifest((entry(), entry(format="fp16")), written)
    first = manifest.with_latency("host", {"p00.fp32": host_latency(2.0, warning="busy")})
    assert first.find("p00", "fp32").latency == {
        "host": {
            "milliseconds": 2.0,
            "statistic": "median",
            "min": 1.0,
            "p95": 6.0,
            "spread": pytest.approx(0.2),
            "rounds": 2,
            "threads": 1,
            "delegate": "xnnpack",
            "warnings": ["busy"],
        }
    }
    assert first.find("p00", "fp16").latency == {}
    both = first.with_latency("pixel7", {"p00.fp32": host_latency(3.0, xnnpack=False)})
    found = both.find("p00", "fp32").latency
    assert {name: one["milliseconds"] for name, one in found.items()} == {"host": 2, "pixel7": 3}
    assert found["pixel7"]["delegate"] == "none"
    both.save(written / "manifest.json")
    assert tflite.Manifest.load(written) == both
    # A new measurement takes the place of the old one.
    again = both.with_latency("host", {"p00.fp32": host_latency(1.0)})
    assert again.find("p00", "fp32").latency["host"]["milliseconds"] == 1.0


def test_a_latency_that_cannot_be_is_not_entered():
    manifest = tflite.Manifest((entry(),))
    with pytest.raises(ValueError, match=r"latency of p00.fp32. Received: milliseconds=-1.0"):
        manifest.with_latency("host", {"p00.fp32": host_latency(-1.0)})
    with pytest.raises(ValueError, match="name of a device. Received: device=''"):
        manifest.with_latency("", {})


def test_peaks_of_a_profile_are_entered_by_name(written):
    def latency(peak, xnnpack=True):
        return host_latency(1.0, peak=peak, xnnpack=xnnpack)

    manifest = tflite.Manifest((entry(), entry(format="fp16"), entry(point="p01")), written)
    profiled = manifest.with_peaks({"p00.fp32": latency(4096), "p07.fp32": latency(1)})
    assert [e.peak_memory for e in profiled] == [4096, None, None]
    # Later profiles of other files, or without the delegate, change nothing.
    later = profiled.with_peaks({"p01.fp32": latency(7), "p00.fp32": latency(9, xnnpack=False)})
    assert [e.peak_memory for e in later] == [4096, None, 7]
    assert later.directory == written
    later.save(written / "manifest.json")
    assert tflite.Manifest.load(written) == later


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda e: e.pop("sha256"), "Expected the fields .* in entry 0"),
        (lambda e: e.update(surprise=1), "Expected the fields"),
        (lambda e: e.update(bytes="many"), "Expected int in entry 0 .*bytes='many'"),
        (lambda e: e.update(bytes=True), "Expected int in entry 0 .*bytes=True"),
        (lambda e: e.update(arena="8 kB"), r"Expected int \| None in entry 0 .*arena='8 kB'"),
        (lambda e: e.update(peak_memory="2 MB"), r"Expected int \| None .*peak_memory='2 MB'"),
        (lambda e: e.update(sha256="feed"), "Expected a sha256 in entry 0 .*sha256='feed'"),
        (lambda e: e.update(representative="feed"), "Expected a sha256 .*representative='feed'"),
        (lambda e: e.update(weights=7), r"Expected dict \| None in entry 0 .*weights=7"),
        (lambda e: e.update(inputs=[{"name": "x"}]), "Expected tensors .* as inputs of entry 0"),
        (lambda e: e["outputs"][0].update(scale=0.5), "Expected tensors .*zero_point. as outputs"),
        (lambda e: e.update(path="../../etc/passwd"), "path inside the manifest's directory"),
        (lambda e: e.update(path="/etc/passwd"), "path inside the manifest's directory"),
        (lambda e: e.update(latency={"": latency_entry(1.0)}), "names of devices .* Received: ''"),
        (lambda e: e.update(latency=[]), r"Expected dict .*latency=\[\]"),
        (lambda e: e.update(latency={"x": {}}), "Expected the fields .* latency of 'x' in entry 0"),
        (
            lambda e: e.update(latency={"x": latency_entry(1.0) | {"milliseconds": 0}}),
            "latency of 'x' in entry 0 .*milliseconds=0",
        ),
        (
            lambda e: e.update(latency={"x": latency_entry(1.0) | {"min": float("nan")}}),
            "latency of 'x' in entry 0 .*min=nan",
        ),
    ],
)
def test_impossible_entry(written, change, message):
    rewrite(written, lambda value: change(value["files"][0]))
    with pytest.raises(ValueError, match=message):
        tflite.Manifest.load(written)


def test_files_must_be_a_list(written):
    rewrite(written, lambda value: value.update(files={}))
    with pytest.raises(ValueError, match="Expected a list 'files'"):
        tflite.Manifest.load(written)
