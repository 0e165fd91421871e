"""`joslim profile` with the benchmark tool: phones and this machine, what the front then knows."""

import functools
import json

import pytest

import keras_joslim as kj
from keras_joslim import tflite
from keras_joslim.app.main import UsageError, main
from keras_joslim.app.workdir import Workdir
from keras_joslim.front import ParetoPoint
from keras_joslim.tflite.profiling import host_tool
from tests.tflite.adb_fixtures import one_adb
from tests.tflite.manifest_entries import entry
from tests.tflite.tool_stand_ins import needs_x86, runs, write_model, write_tool

pytestmark = needs_x86
QUICK = {"min_seconds": 0, "cool_down": 0}
# Milliseconds of the stand-in are thousands of bytes.
SIZES = {"p00": 2000, "p01": 3000, "p02": 2500}


@pytest.fixture
def workdir(tmp_path, monkeypatch):
    """A run of three exported points, the last of which is faster than its MACs say."""
    quick = functools.partial(tflite.profile_android, **QUICK, thermal_wait=0)
    monkeypatch.setattr(tflite, "profile_android", quick)
    monkeypatch.setattr(
        tflite, "profile_with_tool", functools.partial(tflite.profile_with_tool, **QUICK)
    )
    monkeypatch.setattr(host_tool, "load_average", lambda: 0.0)
    workdir = Workdir(tmp_path / "run")
    workdir.claim(
        {
            "export": {"formats": ["fp32"]},
            "profile": {"processes": 2, "runs": 5, "num_threads": 1},
        }
    )
    workdir.models.mkdir()
    points = []
    for rank, (name, size) in enumerate(SIZES.items()):
        write_model(workdir.models / f"{name}.fp32.tflite", size)
        points.append(
            ParetoPoint(
                name,
                (rank,),
                {"macs": 100 * (rank + 1)},
                {"loss": 0.9 - 0.1 * rank, "loss_se": 0.01, "accuracy": 0.5},
                files={"fp32": f"models/{name}.fp32.tflite"},
                bytes={"fp32": size},
            )
        )
    kj.ParetoFront(points).save(workdir.front_file)
    entries = [entry(point=name, path=f"models/{name}.fp32.tflite") for name in SIZES]
    tflite.Manifest(tuple(entries)).save(workdir.place / "manifest.json")
    return workdir


def joslim(step, workdir, *flags):
    main(["joslim", step, f"--workdir={workdir.path}", *map(str, flags)])


def in_manifest(workdir, point):
    """The latencies that the manifest has of a point's file."""
    return tflite.Manifest.load(workdir.place).find(point, "fp32").latency


def test_this_machine_by_the_tool(workdir, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PHONE", str(tmp_path))
    joslim("profile", workdir, f"--benchmark_binary={write_tool(tmp_path)}")
    printed = capsys.readouterr().out
    assert "By latency:host-tool, fp32 files: 2 of 3 points on the front." in printed
    for point in workdir.front():
        found = point.latency["host-tool"]["fp32"]
        assert found["milliseconds"] == SIZES[point.name] / 1000
        assert (found["rounds"], found["route"], found["threads"]) == (2, "host", 1)
        assert "operators" not in found
        told = in_manifest(workdir, point.name)["host-tool"]
        assert told == {key: found[key] for key in told}
    joslim("front", workdir, "--by=latency:host-tool")
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[3:6]]
    assert [row[0] for row in rows] == ["p00", "p02", "p01"]
    assert rows[2][-3:] == ["dominated", "by", "p02"]
    assert rows[0][1:4] == ["2.000", "0.0", "xnnpack"]


@one_adb
def test_a_phone_is_called_as_its_model(workdir, bench, capsys):
    phone = bench.phone()
    flags = ["--device=android", f"--benchmark_binary={bench.tool}", f"--adb={bench.adb_binary}"]
    flags += [f"--serial={phone.serial}", "--num_threads=2", "--processes=1"]
    joslim("profile", workdir, *flags)
    printed = capsys.readouterr().out
    assert "pixel7: Google Pixel 7, " in printed
    assert "Drift of the device while measuring: +0.0 %." in printed
    front = workdir.front()
    assert [p.latency["pixel7"]["fp32"]["milliseconds"] for p in front] == [2.0, 3.0, 2.5]
    for point in front:
        told = in_manifest(workdir, point.name)["pixel7"]
        assert told["milliseconds"] == SIZES[point.name] / 1000
        assert (told["rounds"], told["threads"], told["delegate"]) == (1, 2, "xnnpack")
    assert front[0].latency["pixel7"]["fp32"]["threads"] == 2
    content = json.loads((workdir.profiles / "pixel7.json").read_text())
    assert (content["serial"], content["facts"]["model"]) == (phone.serial, "Pixel 7")
    bench.assert_clean()
    # A point measured is not measured again.
    before = len(runs(phone))
    joslim("profile", workdir, *flags)
    assert len(runs(phone)) == before


@one_adb
def test_two_phones_of_a_model_are_told_apart(workdir, bench):
    phones = [bench.phone(), bench.phone()]
    serials = ",".join(phone.serial for phone in phones)
    flags = ["--device=android", f"--benchmark_binary={bench.tool}", f"--adb={bench.adb_binary}"]
    joslim("profile", workdir, *flags, f"--serial={serials}", "--processes=1")
    first, second = workdir.front()[0].latency
    assert first == "pixel7"
    assert second.startswith("pixel7-")
    files = [workdir.profiles / f"{name}.json" for name in (first, second)]
    known = [json.loads(file.read_text())["serial"] for file in files]
    assert known == [phone.serial for phone in phones]


@one_adb
def test_what_could_be_measured_is_in_the_front(workdir, bench):
    phone = bench.phone()
    # The model of p01 cannot be read by the tool.
    phone.path("/fault").write_text(
        'case "$(wc -c < "$graph")" in 3000) echo "ERROR: Failed to load model"; exit 1;; esac\n'
    )
    flags = ["--device=android", f"--benchmark_binary={bench.tool}", f"--adb={bench.adb_binary}"]
    with pytest.raises(tflite.DeviceProfileError, match="p01.fp32"):
        joslim("profile", workdir, *flags, f"--serial={phone.serial}", "--processes=1")
    assert [list(p.latency) for p in workdir.front()] == [["pixel7"], [], ["pixel7"]]
    assert [list(in_manifest(workdir, name)) for name in SIZES] == [["pixel7"], [], ["pixel7"]]


def test_a_manifest_that_cannot_be_read_is_told_before_measuring(workdir, tmp_path, monkeypatch):
    monkeypatch.setattr(tflite, "profile_with_tool", lambda *_, **__: pytest.fail("measured"))
    (workdir.place / "manifest.json").write_text("{")
    with pytest.raises(ValueError, match="is not JSON"):
        joslim("profile", workdir, f"--benchmark_binary={write_tool(tmp_path)}")


@pytest.mark.parametrize(
    ("step", "flags", "message"),
    [
        ("profile", ["--device=android"], "--device=android needs --benchmark_binary=PATH"),
        ("profile", ["--delegate=gpu"], "--delegate is of the TFLite benchmark tool"),
        ("profile", ["--serial=x", "--benchmark_binary=y"], "--serial is for phones"),
        ("export", ["--device=android"], "--device is a flag of `joslim profile`"),
        ("profile", ["--device=iphone"], "device"),
    ],
)
def test_flags_that_make_no_sense_are_refused(workdir, step, flags, message):
    with pytest.raises(UsageError, match=message):
        joslim(step, workdir, *flags)
