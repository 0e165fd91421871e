"""Order, journal, waiting and warnings of the rounds, on a device that is made up."""

import json

import pytest

from keras_joslim.tflite.benchmark_log import errors as benchmark_errors
from keras_joslim.tflite.profiling import rounds as measurement_rounds
from keras_joslim.tflite.profiling.benchmark_tool import BenchmarkSettings
from keras_joslim.tflite.profiling.journal import Journal, Measurement, journal_key
from keras_joslim.tflite.profiling.rounds import Rounds, RunTimeoutError, Step, ToolOutput, steps

FILES = {"a": ("a.tflite", "a" * 64), "b": ("b.tflite", "b" * 64)}
KEY = {"device": "x", "tool": "t", "file": "f", "settings": {"runs": 5}, "kind": "round"}


def text(us, replaced=9):
    return (
        "INFO: STARTING!\n"
        f"INFO: Replacing {replaced} out of 9 node(s) with delegate (TfLiteXNNPackDelegate) node, "
        "yielding 1 partitions for subgraph 0.\n"
        f"INFO: Inference timings in us: Init: 5, First inference: {us}, Warmup (avg): {us}, "
        f"Inference (avg): {us}\n"
    )


class Device:
    """Answers from lists; what it was asked is in `asked`."""

    name, route, tool, cores, warnings = "phone 1", "binary", "0" * 64, (6, 7), ()

    def __init__(self, outputs=(), statuses=()):
        self.outputs, self.statuses = list(outputs), list(statuses)
        self.asked, self.paused, self.placed = [], [], {}

    def place(self, paths):
        self.placed |= paths

    def run(self, file, extra):
        self.asked.append((file[0], extra))
        output = self.outputs.pop(0) if self.outputs else text(2000)
        if isinstance(output, Exception):
            raise output
        return output if isinstance(output, ToolOutput) else ToolOutput(output, "", 0)

    def thermal_status(self):
        return self.statuses.pop(0) if self.statuses else 0

    def pause(self, seconds):
        self.paused.append(seconds)


def rounds_of(tmp_path, device, files=FILES, number=1, operators=False, delegate="xnnpack", **more):
    return Rounds(
        device,
        files,
        BenchmarkSettings(delegate=delegate),
        steps(files, number, 0, operators),
        Journal(tmp_path / "journal.json"),
        tmp_path / "logs",
        **more,
    )


def test_the_sentinel_stands_around_the_rounds():
    planned = steps(["a", "b", "c"], 2, seed=0, operators=True)
    assert [step for step in planned if step.kind == "sentinel"] == [
        Step("sentinel", 0, "a"),
        Step("sentinel", 1, "a"),
        Step("sentinel", 2, "a"),
    ]
    assert [step.kind for step in planned] == [
        *(["sentinel"] + ["round"] * 3) * 2,
        "sentinel",
        *["memory"] * 3,
        *["operators"] * 3,
    ]


def test_each_round_has_an_order_of_its_own():
    names = [f"p{index}" for index in range(8)]

    def orders(**options):
        planned = steps(names, **options)
        numbers = sorted({step.number for step in planned if step.kind == "round"})
        return [
            [step.name for step in planned if step[:2] == ("round", number)] for number in numbers
        ]

    found = orders(rounds=3, seed=0, operators=False)
    assert all(sorted(one) == names for one in found)
    assert len({tuple(one) for one in found}) == 3
    # More rounds go on where fewer ended, which a second call relies on.
    assert orders(rounds=5, seed=0, operators=False)[:3] == found
    assert orders(rounds=3, seed=1, operators=False) != found


def test_latencies_drift_and_logs(tmp_path):
    device = Device([text(us) for us in (1000, 1100, 2000, 1020)])
    rounds = rounds_of(tmp_path, device)
    rounds.measure()
    order = [step.name for step in rounds.planned]
    assert [file for file, _ in device.asked] == order
    assert [extra for _, extra in device.asked] == [None] * 4 + ["memory"] * 2
    found = rounds.latencies()
    at = order.index("a", 1)
    assert found["a"].milliseconds == (1.1, 2.0)[at - 1]
    assert found["b"].milliseconds == (2.0, 1.1)[at - 1]
    assert found["a"].drift == found["b"].drift == pytest.approx(1.02)
    assert found["a"].warnings == ()
    assert found["a"].cores == (6, 7)
    logs = sorted(path.name for path in (tmp_path / "logs").rglob("*.txt"))
    assert logs == sorted(
        f"{step.name}.{step.kind}{step.number}.run1.out.txt" for step in rounds.planned
    )
    (folder,) = (tmp_path / "logs").iterdir()
    assert (folder / "a.sentinel0.run1.out.txt").read_text() == text(1000)


@pytest.mark.parametrize(
    ("last", "warns"), [(1049, False), (1051, True), (951, False), (949, True)]
)
def test_drift_above_5_percent_is_told(tmp_path, last, warns):
    rounds = rounds_of(tmp_path, Device([text(us) for us in (1000, 1000, last)]), {"a": FILES["a"]})
    rounds.measure()
    warnings = rounds.latencies()["a"].warnings
    assert (
        any(f"drifted: the same file took {last / 1000:.2f} times" in one for one in warnings)
        == warns
    )


def test_what_is_in_the_journal_is_not_measured_again(tmp_path):
    device = Device([text(1000), text(1100), benchmark_errors.CrashedError("crashed")])
    first = rounds_of(tmp_path, device)
    first.measure()
    failed = device.asked[2][0]
    assert list(first.errors) == [failed]
    again = Device()
    second = rounds_of(tmp_path, again)
    second.measure()
    # The file that failed missed all its later runs, the other one none.
    left = [step.name for step in second.planned[2:] if step.name == failed]
    assert [file for file, _ in again.asked] == left
    assert set(again.placed) == {failed * 64}
    assert sorted(second.latencies()) == ["a", "b"]
    third = rounds_of(tmp_path, idle := Device())
    third.measure()
    assert (idle.asked, idle.placed, idle.paused) == ([], {}, [])
    assert third.latencies() == second.latencies()


def test_more_rounds_measure_only_those(tmp_path):
    rounds_of(tmp_path, Device(), number=1).measure()
    device = Device()
    more = rounds_of(tmp_path, device, number=3)
    more.measure()
    assert len(device.asked) == 2 * 2 + 2
    assert more.latencies()["b"].rounds == 3


@pytest.mark.parametrize(
    "change",
    [
        {"device": "y"},
        {"tool": "u"},
        {"file": "g"},
        {"settings": {"runs": 6}},
        {"settings": {"runs": 5, "cores": [7]}},
        {"kind": "sentinel"},
        {"number": 1},
    ],
)
def test_another_measurement_has_another_key(change):
    assert journal_key(**KEY, number=0) == journal_key(**KEY, number=0)
    assert journal_key(**KEY | {"number": 0} | change) != journal_key(**KEY, number=0)


def test_other_settings_are_other_measurements(tmp_path):
    rounds_of(tmp_path, Device()).measure()
    for device, options in (
        (Device(), {"delegate": "gpu"}),
        (type("Other", (Device,), {"name": "phone 2"})(), {}),
        (type("Other", (Device,), {"tool": "1" * 64})(), {}),
        (type("Other", (Device,), {"cores": None})(), {}),
        (type("Other", (Device,), {"route": "apk"})(), {}),
        (Device(), {"files": {"a": ("a.tflite", "c" * 64)}}),
    ):
        rounds_of(tmp_path, device, **options).measure()
        assert len(device.asked) >= 4, options
    # Another name of the same files is not.
    renamed = {"x": FILES["a"], "y": FILES["b"]}
    rounds_of(tmp_path, device := Device(), renamed).measure()
    assert device.asked == []


def test_a_hot_device_is_waited_for(tmp_path):
    device = Device(statuses=[2, 1, 0])
    rounds = rounds_of(tmp_path, device, {"a": FILES["a"]}, cool_down=3.0, thermal_wait=60.0)
    rounds.measure()
    assert device.paused == [3.0, 5.0, 5.0, 3.0, 3.0, 3.0]
    found = rounds.latencies()["a"]
    assert (found.thermal_before, found.thermal_after, found.warnings) == (0, 0, ())


def test_a_device_that_stays_hot_is_measured_with_a_warning(tmp_path):
    device = Device(statuses=[3] * 100)
    rounds = rounds_of(tmp_path, device, {"a": FILES["a"]}, thermal_wait=12.0)
    rounds.measure()
    assert device.paused == [0.0, 5.0, 5.0, 2.0] * 4
    (warning,) = rounds.latencies()["a"].warnings
    assert "measured at thermal status 3 (0 is cool) after waiting 12 s" in warning


def test_a_device_that_grows_hot_is_told(tmp_path):
    # Before and after of the first sentinel, then of the round.
    rounds = rounds_of(tmp_path, Device(statuses=[0, 0, 0, 2]), {"a": FILES["a"]})
    rounds.measure()
    found = rounds.latencies()["a"]
    assert (found.thermal_before, found.thermal_after) == (0, 2)
    assert "grew hot during a run: thermal status 2" in found.warnings[0]


def test_a_device_that_does_not_tell_its_heat(tmp_path):
    rounds = rounds_of(tmp_path, Device(statuses=[None] * 99), {"a": FILES["a"]}, thermal_wait=9.0)
    rounds.measure()
    found = rounds.latencies()["a"]
    assert (found.thermal_before, found.thermal_after, found.warnings) == (None, None, ())


@pytest.mark.parametrize("replaced", [0, 4])
def test_silent_fallback_is_a_warning_or_an_error(tmp_path, replaced):
    output = text(2000, 4) if replaced else text(2000, 9).replace("Replacing", "Not replacing")
    words = "took a part of the model only.* 4 of 9" if replaced else "does not say that it was"
    rounds = rounds_of(tmp_path, Device([output] * 9), {"a": FILES["a"]})
    rounds.measure()
    (warning,) = rounds.latencies()["a"].warnings
    assert "xnnpack was requested, but" in warning
    # From the journal too.
    strict = rounds_of(tmp_path, Device(), {"a": FILES["a"]}, require_delegate=True)
    strict.measure()
    with pytest.raises(benchmark_errors.DelegateError, match=words):
        raise strict.errors["a"]
    assert strict.latencies() == {}


def test_flags_that_the_tool_ignored_are_told(tmp_path):
    output = "WARNING: Unconsumed cmdline flags: --use_nnapi=true\n" + text(2000)
    rounds = rounds_of(tmp_path, Device([output] * 4), {"a": FILES["a"]})
    rounds.measure()
    assert rounds.latencies()["a"].warnings == (
        "The tool does not know, and ignored: --use_nnapi=true.",
    )


@pytest.mark.parametrize(
    ("output", "error"),
    [
        (ToolOutput("INFO: STARTING!\n", "", 0), benchmark_errors.TruncatedLogError),
        (
            ToolOutput("INFO: STARTING!\n", "Segmentation fault\n", 139),
            benchmark_errors.CrashedError,
        ),
        (ToolOutput(text(0), "", 0), benchmark_errors.UnreadableTimingError),
        (ToolOutput(text(2000), "", 137), benchmark_errors.OutOfMemoryError),
        (RunTimeoutError("hangs", "half a li"), RunTimeoutError),
    ],
)
def test_one_file_that_fails_does_not_stop_the_others(tmp_path, output, error):
    device = Device([text(2000), output])
    rounds = rounds_of(tmp_path, device, number=2)
    rounds.measure()
    ((name, caught),) = rounds.errors.items()
    assert type(caught) is error
    other = "b" if name == "a" else "a"
    assert list(rounds.latencies()) == [other]
    assert rounds.latencies()[other].rounds == 2
    assert [file for file, _ in device.asked].count(name) <= 2
    # Nothing of it is in the journal, its text is in the logs.
    assert len(Journal(tmp_path / "journal.json")) == len(device.asked) - 1
    log = (
        tmp_path / "logs" / measurement_rounds.file_name("phone 1") / f"{name}.round0.run1.out.txt"
    )
    assert log.read_text() == getattr(output, "stdout", "half a li")


def test_without_the_sentinel_drift_is_unknown(tmp_path):
    crashed = benchmark_errors.CrashedError("crashed")
    rounds = rounds_of(tmp_path, Device([crashed]), number=2)
    rounds.measure()
    assert rounds.errors == {"a": crashed}
    found = rounds.latencies()["b"]
    assert found.drift is None
    assert "Whether the device drifted is not known" in found.warnings[0]


@pytest.mark.parametrize(
    "output",
    [
        ToolOutput("", "sh: ./benchmark_model: not executable: 64-bit ELF file\n", 126),
        ToolOutput("\x00\x1b[2Jgarbage\n", "", 0),
        RuntimeError("the phone is gone"),
    ],
)
def test_a_tool_or_device_that_fails_ends_it(tmp_path, output):
    device = Device([text(1000), text(1000), output])
    rounds = rounds_of(tmp_path, device)
    with pytest.raises((benchmark_errors.BenchmarkLogError, RuntimeError)):
        rounds.measure()
    assert len(device.asked) == 3
    assert rounds.errors == {}
    (name,) = rounds.latencies()
    assert name == device.asked[1][0]


def test_rounds_that_are_missing_are_told(tmp_path):
    gone = RuntimeError("the phone is gone")
    rounds = rounds_of(
        tmp_path, Device([text(1000), text(1000), text(1000), gone]), {"a": FILES["a"]}, number=2
    )
    with pytest.raises(RuntimeError):
        rounds.measure()
    assert rounds.latencies()["a"].warnings == ("1 of 2 rounds were measured.",)


def test_a_log_never_takes_the_place_of_another(tmp_path):
    for _ in range(3):
        rounds_of(tmp_path, Device(["INFO: STARTING!\n"]), {"a b": FILES["a"]}).measure()
    (folder,) = (tmp_path / "logs").iterdir()
    names = sorted(path.name for path in folder.iterdir())
    assert [name.rpartition("sentinel0.")[2] for name in names] == [
        "run1.out.txt",
        "run2.out.txt",
        "run3.out.txt",
    ]


def test_file_names_are_plain_and_differ():
    names = ["a/b", "a b", "../x", "", "p00.fp32", "$(rm)", "größe", "x" * 300, "x" * 299, "-rf"]
    plain = [measurement_rounds.file_name(name) for name in names]
    assert plain[4] == "p00.fp32"
    assert len(set(plain)) == len(names)
    for name in plain:
        assert name.isascii()
        assert len(name) < 80
        assert not set(name) & set("/ $()\\")
        assert name[0] not in ".-" or len(name) == 9


# The journal


def measurement(us=2000.0):
    from keras_joslim.tflite.benchmark_log.parser import parse

    return Measurement(parse(text(us)), 0, 1, "phone/a.txt")


def test_a_journal_is_read_as_it_was_written(tmp_path):
    journal = Journal(tmp_path / "deep" / "journal.json")
    key = journal_key(**KEY, number=0)
    assert journal.find(key) is None
    journal.add(key, measurement())
    again = Journal(journal.path)
    assert (len(again), again.find(key)) == (1, measurement())
    assert [path.name for path in journal.path.parent.iterdir()] == ["journal.json"]


def test_a_journal_that_cannot_be_written_keeps_the_old_one(tmp_path, monkeypatch):
    journal = Journal(tmp_path / "journal.json")
    journal.add(journal_key(**KEY, number=0), measurement())
    before = journal.path.read_bytes()

    def full(path, value):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("keras_joslim.atomic.write_json", full)
    with pytest.raises(OSError, match="No space"):
        journal.add(journal_key(**KEY, number=1), measurement())
    assert journal.path.read_bytes() == before
    assert journal.find(journal_key(**KEY, number=1)) is None


def damaged(change):
    def write(path):
        journal = Journal(path)
        journal.add(journal_key(**KEY, number=0), measurement())
        value = json.loads(path.read_text())
        change(value["measurements"][0])
        path.write_text(json.dumps(value))

    return write


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: path.write_text("{"), "is not JSON"),
        (lambda path: path.write_bytes(b"\xff\xfe"), "is not JSON"),
        (lambda path: path.mkdir(), "is not JSON"),
        (lambda path: path.write_text("[]"), "something else"),
        (lambda path: path.write_text('{"kind": "manifest", "schema": 1}'), "something else"),
        (damaged(lambda row: row["key"].pop("tool")), "is damaged"),
        (damaged(lambda row: row["result"].update(mean=0)), r"is damaged \(ValueError: mean=0"),
        (damaged(lambda row: row["result"].update(mean=True)), "is damaged"),
        (damaged(lambda row: row["result"].update(speed=3)), "is damaged .*speed"),
        (damaged(lambda row: row.pop("result")), "is damaged"),
    ],
)
def test_a_damaged_journal_is_refused(tmp_path, write, message):
    write(tmp_path / "journal.json")
    with pytest.raises(ValueError, match=f"(?s)journal='.*journal.json'.*{message}"):
        Journal(tmp_path / "journal.json")
