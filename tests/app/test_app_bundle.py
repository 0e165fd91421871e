"""`joslim bundle`: the folder that an app team gets, whole or not at all."""

import dataclasses
import json
import pathlib
import subprocess

import jsonschema
import pytest

from keras_joslim import tflite
from keras_joslim.app.main import UsageError, main
from keras_joslim.tflite.delivery import bundle as bundle_module
from tests.tflite.delivered import GREY, LABELS, exported

GROUPS = [
    {"name": "large", "ram_min_bytes": 8_000_000_000, "point": "p02", "format": "fp32"},
    {"name": "other", "max_ms": 2.0, "device": "pixel7"},
]


@pytest.fixture
def workdir(tmp_path):
    return exported(tmp_path / "run")


def bundle(workdir, *flags):
    main(["joslim", "bundle", f"--workdir={workdir.path}", *map(str, flags)])


def content(folder):
    """Relative path -> bytes of all files in a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in pathlib.Path(folder).rglob("*")
        if path.is_file()
    }


def test_models_manifest_labels_checksums_and_a_page(workdir, tmp_path, capsys):
    output = tmp_path / "out" / "bundle"
    bundle(workdir, f"--output={output}", "--points=p00,p02", "--formats=int8")
    names = {"models/p00.int8.tflite", "models/p02.int8.tflite"}
    files = content(output)
    assert set(files) == names | {"manifest.json", "labels.txt", "README.txt", "SHA256SUMS"}
    for name in names:
        assert files[name] == (workdir.path / name).read_bytes()
    assert files["labels.txt"].decode() == "cat\ndog\ncrème brûlée\n"
    jsonschema.validate(json.loads(files["manifest.json"]), tflite.manifest_schema())
    manifest = tflite.Manifest.load(output)
    assert [entry.path for entry in manifest] == sorted(names)
    assert (manifest.labels, manifest.preprocessing) == (LABELS, GREY)
    manifest.check_files(output)
    whole = tflite.Manifest.load(workdir.place)
    assert manifest.find("p00", "int8") == whole.find("p00", "int8")
    page = files["README.txt"].decode()
    assert page.startswith("run: 2 networks in 2 TFLite files\n")
    assert "  models/p00.int8.tflite  11 bytes, loss 1.0000, accuracy 0.5000, 1.000 ms on" in page
    assert "Divide by 16." in page
    assert f"Bundle of 2 files, 44 bytes: {output}" in capsys.readouterr().out


def test_sha256sum_finds_all_intact_and_notices_a_change(workdir, tmp_path):
    groups = tmp_path / "groups.json"
    groups.write_text(json.dumps(GROUPS))
    bundle(workdir, "--play_ai_pack=front", f"--device_groups={groups}")
    output = workdir.path / "bundle"
    check = ["sha256sum", "--strict", "-c", "SHA256SUMS"]
    result = subprocess.run(check, cwd=output, capture_output=True, text=True, check=True)
    # All of them but the checksums themselves.
    assert len(result.stdout.splitlines()) == len(content(output)) - 1
    (output / "models" / "p00.fp32.tflite").write_bytes(b"changed")
    result = subprocess.run(check, cwd=output, capture_output=True, text=True)
    assert result.returncode == 1
    assert "models/p00.fp32.tflite: FAILED" in result.stdout


def test_all_points_and_formats_by_default_and_the_knees_on_demand(workdir):
    bundle(workdir)
    assert len(tflite.Manifest.load(workdir.path / "bundle")) == 6
    # A straight line has no knees but its ends. It takes the place of the bundle before.
    bundle(workdir, "--points=knees", "--formats=fp32")
    manifest = tflite.Manifest.load(workdir.path / "bundle")
    assert [entry.point for entry in manifest] == ["p00", "p02"]
    assert not (workdir.path / "bundle" / "models" / "p01.fp32.tflite").exists()


def test_the_same_bytes_again(workdir, tmp_path):
    groups = tmp_path / "groups.json"
    groups.write_text(json.dumps(GROUPS))
    for name in ("one", "two"):
        bundle(
            workdir,
            f"--output={tmp_path / name}",
            "--play_ai_pack=front",
            f"--device_groups={groups}",
        )
    assert content(tmp_path / "one") == content(tmp_path / "two")


def test_no_labels_no_file_of_labels(workdir):
    path = workdir.place / "manifest.json"
    value = json.loads(path.read_text())
    path.write_text(json.dumps(value | {"labels": None, "preprocessing": None}))
    bundle(workdir)
    files = content(workdir.path / "bundle")
    assert "labels.txt" not in files
    assert "labels.txt" not in files["README.txt"].decode()


def test_the_front_of_a_search_has_a_bundle_of_its_own(workdir):
    place = workdir.path / "search" / "nsga2-macs"
    place.parent.mkdir()
    inside = exported(place, ("fp32",))
    (inside.path / "config.json").unlink()
    bundle(workdir, "--name=nsga2-macs")
    assert len(tflite.Manifest.load(place / "bundle")) == 3
    assert not (workdir.path / "bundle").exists()


def test_a_killed_bundle_leaves_nothing_and_the_one_before_as_it_was(workdir, monkeypatch):
    class KilledError(BaseException):
        pass

    written = []

    def write_bytes(path, data, original=pathlib.Path.write_bytes):
        if len(written) == 3:
            raise KilledError
        written.append(path)
        return original(path, data)

    output = workdir.path / "bundle"
    with monkeypatch.context() as patch:
        patch.setattr(pathlib.Path, "write_bytes", write_bytes)
        with pytest.raises(KilledError):
            bundle(workdir)
    assert len(written) == 3
    assert not output.exists()
    bundle(workdir, "--points=p00")
    before = content(output)
    written.clear()
    with monkeypatch.context() as patch:
        patch.setattr(pathlib.Path, "write_bytes", write_bytes)
        with pytest.raises(KilledError):
            bundle(workdir)
    assert content(output) == before
    assert not [path for path in workdir.path.iterdir() if path.name.startswith(".")]


def test_a_folder_of_something_else_is_never_overwritten(workdir, tmp_path):
    thesis = tmp_path / "thesis"
    thesis.mkdir()
    (thesis / "thesis.tex").write_text("precious")
    with pytest.raises(ValueError, match="thesis is not a bundle, or not only: thesis.tex would"):
        bundle(workdir, f"--output={thesis}")
    assert content(thesis) == {"thesis.tex": b"precious"}
    # Nor a folder with checksums of all that is in it, nor a bundle with something added.
    (thesis / "SHA256SUMS").write_text(f"{'a' * 64}  thesis.tex\n")
    with pytest.raises(ValueError, match="SHA256SUMS, thesis.tex would be lost"):
        bundle(workdir, f"--output={thesis}")
    bundle(workdir)
    (workdir.path / "bundle" / "notes" / "my").mkdir(parents=True)
    (workdir.path / "bundle" / "notes" / "my" / "own.txt").write_text("precious")
    with pytest.raises(ValueError, match="notes/my/own.txt would be lost"):
        bundle(workdir)
    with pytest.raises(ValueError, match="run is not a bundle"):
        bundle(workdir, f"--output={workdir.path}")
    with pytest.raises(ValueError, match="thesis.tex is a file, not a folder"):
        bundle(workdir, f"--output={thesis / 'thesis.tex'}")


def test_an_empty_folder_is_taken(workdir, tmp_path):
    (tmp_path / "new").mkdir()
    bundle(workdir, f"--output={tmp_path / 'new'}")
    assert len(tflite.Manifest.load(tmp_path / "new")) == 6


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--points=p07"], "names of points out of p00, p01, p02. Received: points='p07'"),
        (["--points=budget:0"], "A budget is of 1 point or more"),
        (["--formats=fp16"], "Point p00 has no fp16 file. .*joslim export .*--formats=fp16"),
        (["--play_ai_pack=front"], "--play_ai_pack=NAME and --device_groups=FILE go together"),
        (["--formats=fp8"], "--formats: Expected a format"),
    ],
)
def test_what_makes_no_sense_is_refused_and_nothing_is_written(workdir, flags, message):
    with pytest.raises(ValueError, match=message):
        bundle(workdir, *flags)
    assert not (workdir.path / "bundle").exists()


def test_flags_of_the_bundle_are_no_flags_of_others(workdir):
    with pytest.raises(UsageError, match="--output is a flag of `joslim bundle`. Received: .*plot"):
        main(["joslim", "plot", f"--workdir={workdir.path}", "--output=x"])
    with pytest.raises(UsageError, match="flag of `joslim export` and `joslim bundle`. Received"):
        main(["joslim", "plot", f"--workdir={workdir.path}", "--points=all"])


def test_points_are_chosen_among_those_that_were_exported(workdir, tmp_path):
    manifest = tflite.Manifest.load(workdir.place)
    kept = tuple(entry for entry in manifest if entry.point != "p01")
    dataclasses.replace(manifest, files=kept).save(workdir.place / "manifest.json")
    for points in ("all", "budget:2", "knees"):
        bundle(workdir, f"--output={tmp_path / points[:3]}", f"--points={points}")
        written = tflite.Manifest.load(tmp_path / points[:3])
        assert {entry.point for entry in written} == {"p00", "p02"}
    with pytest.raises(ValueError, match="Point p01 has no file. Make it with"):
        bundle(workdir, f"--output={tmp_path / 'x'}", "--points=p01")


def test_a_point_that_was_not_exported_and_a_run_without_files_say_so(workdir):
    (workdir.place / "manifest.json").unlink()
    with pytest.raises(ValueError, match="no file. Export first"):
        bundle(workdir)
    tflite.Manifest(directory=workdir.place).save(workdir.place / "manifest.json")
    with pytest.raises(ValueError, match="Point p00 has no file. Make it with `joslim export"):
        bundle(workdir)
    with pytest.raises(ValueError, match="an empty manifest. Export first"):
        bundle_module.write_bundle(tflite.Manifest(), workdir.path / "bundle")


@pytest.mark.parametrize("damage", [lambda p: p.unlink(), lambda p: p.write_bytes(b"other")])
def test_a_file_that_is_missing_or_changed_is_not_handed_over(workdir, damage):
    damage(workdir.models / "p01.fp32.tflite")
    with pytest.raises(ValueError, match=r"missing or changed \['models/p01.fp32.tflite'\]"):
        bundle(workdir)
    assert not (workdir.path / "bundle").exists()
    bundle(workdir, "--points=p00,p02")
