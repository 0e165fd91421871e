"""A manifest comes back as it was written; anything else is refused with a reason."""

import json

import pytest

from keras_joslim import tflite
from keras_joslim.tflite.interpreter import TensorFacts
from keras_joslim.tflite.manifest import sha256

DATA = b"the bytes of a file"


def entry(**changes):
    fields = {
        "point": "p00",
        "format": "fp32",
        "path": "models/p00.fp32.tflite",
        "sha256": sha256(DATA),
        "bytes": len(DATA),
        "arena": 8192,
        "source": "a" * 64,
        "representative": None,
        "operators": {"CONV_2D": 2},
        "weights": {"float32": 5},
        "difference": {"max_abs": 1e-7},
        "tolerance": {"absolute": 1e-6, "relative": 1e-5},
        "inputs": (TensorFacts("image", (1, 8, 8, 1), "float32"),),
        "outputs": (TensorFacts("logits", (1, 10), "float32"),),
        "versions": {"keras": "3"},
        "metadata": {"widths": [4, 8]},
    }
    return tflite.ExportedFile(**(fields | changes))


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
    with pytest.raises(ValueError, match="of schema 3 in .*schema=99"):
        tflite.Manifest.load(written)


def test_peaks_of_a_profile_are_entered_by_name(written):
    def latency(peak, xnnpack=True):
        return tflite.Latency(1.0, 1.0, 1.0, peak, 5, 1, (1.0,), 1, xnnpack, 0.0)

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
