"""Profiles of phones, by real adb binaries, loopback phones and a stand-in for the tool."""

import json
import re
import threading

import pytest

from keras_joslim import tflite
from keras_joslim.tflite.android import phone_tool
from keras_joslim.tflite.android.phone import PhoneFacts
from tests.tflite import benchmark_samples
from tests.tflite.adb_fixtures import NAMES, one_adb
from tests.tflite.android_profiles import TMP
from tests.tflite.phone_programs import ANDROID_8
from tests.tflite.tool_stand_ins import PHONE, needs_x86, runs, write_model, write_real_tool

pytestmark = needs_x86


def test_a_model_that_really_runs(bench, path):
    phone, calls = bench.phone(), []
    options = {
        "files": {"small": path},
        "benchmark_binary": write_real_tool(bench.folder),
        "runs": 20,
        "num_threads": 2,
    }
    measured = bench.profile(**options, on_progress=lambda *arguments: calls.append(arguments))
    facts, latencies = measured[phone.serial]
    assert (facts.model, facts.abis) == ("Pixel 7", ("x86_64", "x86"))
    found = latencies["small"]
    assert 0 < found.min <= found.median <= found.p95
    assert found.runs >= 20
    assert (found.rounds, found.threads, found.cores) == (1, 2, (6, 7))
    assert (found.thermal_before, found.thermal_after) == (0, 0)
    (delegation,) = found.delegations
    assert (delegation.name, delegation.complete) == ("TfLiteXNNPackDelegate", True)
    assert found.peak_memory > found.memory >= 0
    assert found.drift > 0
    assert tflite.DeviceLatency.from_dict(json.loads(json.dumps(found.to_dict()))) == found
    # Pinned once to see whether it can be, then in each of 2 + 1 + 1 runs.
    assert phone.path("/tasksets").read_text() == "c0\n" * 5
    assert calls == [(n, 4, f"small on {phone.serial}") for n in (1, 2, 3, 4)]
    bench.assert_clean()
    # Nothing is run, or pushed, that is in the journal.
    pushes = len(phone.pushes)
    assert bench.profile(**options) == measured
    assert len(phone.path("/tasksets").read_text().splitlines()) == 6
    assert len(phone.pushes) == pushes == 2


@one_adb
def test_what_the_tool_is_asked(bench):
    phone = bench.phone()
    measured = bench.profile(rounds=2, runs=7, min_seconds=0.5, warmup=2, delegate="none")
    assert list(measured[phone.serial].latencies) == ["a", "b"]
    asked = runs(phone)
    # Sentinel, round, sentinel, round, sentinel, memory.
    assert len(asked) == 1 + 2 + 1 + 2 + 1 + 2
    graphs = [arguments[0] for arguments in asked]
    assert graphs[0] == graphs[3] == graphs[6]
    assert set(graphs[1:3]) == set(graphs[4:6]) == set(graphs[7:9]) == set(graphs)
    assert len(set(graphs)) == 2
    base = ["--num_threads=4", "--num_runs=7", "--min_secs=0.5", "--warmup_runs=2"]
    for arguments in asked[:7]:
        assert arguments[1:] == [*base, "--use_xnnpack=false"]
    for arguments in asked[7:]:
        assert arguments[1:] == [
            *base,
            "--use_xnnpack=false",
            "--report_peak_memory_footprint=true",
        ]
    found = measured[phone.serial].latencies
    assert (found["a"].milliseconds, found["b"].milliseconds) == (2.0, 3.0)
    assert (found["a"].memory, found["a"].peak_memory) == (2 * 1024**2, 7.5 * 1024**2)
    assert "No delegate was requested, but the latency is that of TfLite" in found["a"].warnings[0]
    bench.assert_clean()


@one_adb
def test_nothing_in_a_name_is_executed(bench, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    phone = bench.phone()
    names = [*NAMES[3:9], NAMES[-1]]
    files = {name: write_model(tmp_path / name, 2000 + index) for index, name in enumerate(names)}
    found = bench.profile(files=files)[phone.serial].latencies
    assert list(found) == names
    for index, name in enumerate(names):
        assert found[name].milliseconds == pytest.approx(2 + index / 1000)
    assert not [*tmp_path.rglob("executed")]
    graphs = {arguments[0] for arguments in runs(phone)}
    folder = phone.path(TMP)
    for graph in graphs:
        assert re.fullmatch(
            rf"--graph={folder}/keras_joslim-[0-9a-f]{{12}}/[0-9a-f]{{24}}.tflite", graph
        )
    assert len(graphs) == len(names)
    bench.assert_clean()


@one_adb
def test_raw_texts_are_kept(bench):
    phone = bench.phone()
    bench.profile(files=[bench.files["a"]])
    texts = [path.read_text() for path in bench.logs.rglob("*.out.txt")]
    assert len(texts) == len(runs(phone)) == 4
    assert all(text.startswith("INFO: STARTING!\n") for text in texts)
    rows = json.loads(bench.journal.read_text())["measurements"]
    assert {row["log"] for row in rows} == {
        path.relative_to(bench.logs).as_posix() for path in bench.logs.rglob("*.txt")
    }
    assert {row["key"]["device"] for row in rows} == {phone.serial}


@one_adb
def test_drift_is_told(bench):
    phone = bench.phone()
    phone.path("/latencies").write_text("1000\n5000\n1200\n")
    found = bench.profile(files={"a": bench.files["a"]})[phone.serial].latencies["a"]
    assert (found.milliseconds, found.drift) == (5.0, pytest.approx(1.2))
    assert "took 1.20 times as long at the end" in found.warnings[-1]


@one_adb
def test_operators(bench):
    phone = bench.phone()
    sample = benchmark_samples.FOLDER / "hand_csv.txt"
    phone.path("/fault").write_text(
        f'case "$*" in *--op_profiling_output_mode=csv*) cat {sample}; exit 0;; esac\n'
    )
    found = bench.profile(operators=True)[phone.serial].latencies["a"]
    main = [one for one in found.operators if one.part == ""]
    assert [(one.kind, one.mean) for one in main] == [
        ("QUANTIZE", 0.0990388),
        ("TfLiteXNNPackDelegate", 4.79),
        ("SOFTMAX", 1e-05),
    ]
    # The latency is not that of the run that was slowed down.
    assert found.milliseconds == 2.0
    assert "--enable_op_profiling=true" in runs(phone)[-1]


@one_adb
def test_a_hot_phone_is_measured_with_a_warning(bench):
    phone = bench.phone(PHONE.replace("Thermal Status: 0", "Thermal Status: 2"))
    found = bench.profile(thermal_wait=0.05)[phone.serial].latencies["b"]
    assert (found.thermal_before, found.thermal_after) == (2, 2)
    assert "The phone was hot: measured at thermal status 2" in found.warnings[0]


@one_adb
@pytest.mark.parametrize(
    ("text", "options", "cores", "warning"),
    [
        (PHONE, {"num_threads": 4}, (4, 5, 6, 7), None),
        (PHONE, {"num_threads": 1}, (6, 7), None),
        (PHONE, {"num_threads": 9}, tuple(range(8)), "9 threads took turns on the 8 cores"),
        (PHONE, {"big_cores": False}, None, None),
        ("no taskset", {}, None, "Not pinned to the cores 4, 5, 6, 7: the phone does not let adb"),
        ("no cores", {}, None, "the phone does not tell which they are"),
    ],
)
def test_pinning(bench, text, options, cores, warning):
    phone = bench.phone(PHONE if text.startswith("no") else text)
    if text == "no taskset":
        phone.program("taskset", "echo 'sh: taskset: inaccessible or not found' >&2; exit 127")
    if text == "no cores":
        for file in phone.path("/sys").rglob("cpuinfo_max_freq"):
            file.unlink()
    found = bench.profile(files=[bench.files["a"]], **options)[phone.serial].latencies
    (found,) = found.values()
    assert found.cores == cores
    assert found.warnings == () if warning is None else warning in found.warnings[0]


@pytest.mark.parametrize(
    ("frequencies", "big", "threads", "expected"),
    [
        ((1, 1, 2, 2, 3, 3), (4, 5), 2, (4, 5)),
        ((1, 1, 2, 2, 3, 3), (4, 5), 3, (2, 3, 4, 5)),
        ((1, 1, 2, 2, 3), (2, 3, 4), 1, (2, 3, 4)),
        ((1, None, 2, None), (2,), 2, (0, 2)),
        ((5, 5), (0, 1), 8, (0, 1)),
        (None, None, 4, None),
    ],
)
def test_as_many_cores_as_threads(frequencies, big, threads, expected):
    facts = PhoneFacts(max_frequencies=frequencies, big_cores=big)
    assert phone_tool.fastest_cores(facts, threads) == expected


@pytest.mark.parametrize(("cores", "mask"), [((6, 7), "c0"), ((0,), "1"), ((0, 3, 8), "109")])
def test_the_mask_of_cores(cores, mask):
    assert phone_tool.mask(cores) == mask


@one_adb
def test_android_8_is_measured_without_what_it_does_not_tell(bench):
    text = ANDROID_8.replace("armeabi-v7a", "x86_64")
    phone = bench.phone(text)
    facts, latencies = bench.profile()[phone.serial]
    assert facts.thermal_status is None
    assert latencies["a"].thermal_before is None
    assert latencies["a"].warnings == ()


@one_adb
def test_phones_are_measured_at_the_same_time(bench):
    phones = [bench.phone() for _ in range(2)]
    # Each tool waits until the other phone's has begun too.
    for phone, other in (phones, phones[::-1]):
        phone.path("/fault").write_text(
            f"n=0; while [ ! -f {other.folder}/runs ] && [ $n -lt 200 ]; do "
            "sleep 0.1; n=$((n + 1)); done; [ $n -lt 200 ] || exit 9\n"
        )
    names, lock = [], threading.Lock()

    def progress(done, total, what):
        assert lock.acquire(blocking=False)
        names.append((done, total, what))
        lock.release()

    measured = bench.profile(on_progress=progress)
    assert list(measured) == [phone.serial for phone in phones]
    assert [len(one.latencies) for one in measured.values()] == [2, 2]
    assert [done for done, _, _ in names] == list(range(1, 13))
    assert {total for _, total, _ in names} == {12}
    bench.assert_clean()


@one_adb
def test_the_only_phone_is_taken(bench):
    phone = bench.phone()
    assert list(bench.profile(serials=None)) == [phone.serial]
    bench.phone()
    with pytest.raises(tflite.SeveralDevicesError):
        bench.profile(serials=None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"files": []}, "at least one TFLite file"),
        ({"files": ["gone.tflite"]}, "path='gone.tflite': no file"),
        ({"benchmark_binary": None}, "Received: benchmark_binary=None"),
        ({"route": "usb"}, "Received: route='usb'"),
        ({"route": "apk", "operators": True}, "route='binary' to time operators"),
        ({"delegate": "tpu"}, "Received: delegate='tpu'"),
        ({"rounds": 0}, "Received: rounds=0"),
        ({"rounds": True}, "Received: rounds=True"),
        ({"timeout": 0}, "timeout=0"),
        ({"cool_down": -1}, "cool_down=-1"),
        ({"thermal_wait": float("nan")}, "thermal_wait=nan"),
        ({"serials": []}, r"each once. Received: serials=\[\]"),
        ({"serials": ["x", "x"]}, "each once"),
        ({"journal": __file__}, "Expected a journal of measurements"),
    ],
)
def test_impossible_arguments(tmp_path, options, message):
    given = {
        "files": [write_model(tmp_path / "a.tflite", 2000)],
        "benchmark_binary": "tool",
        "journal": tmp_path / "journal.json",
        "logs": tmp_path / "logs",
        "serials": ["x"],
        "adb": tmp_path / "no adb",
    }
    with pytest.raises(ValueError, match=message):
        tflite.profile_android(**given | options)
    assert not (tmp_path / "journal.json").exists()
