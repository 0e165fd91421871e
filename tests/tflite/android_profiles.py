"""What the tests of profiles on loopback phones share."""

import threading
import time

import pytest

from keras_joslim.tflite import DeviceProfileError, profile_android
from tests.tflite.phone_programs import stand_in
from tests.tflite.tool_stand_ins import PHONE, runs, write_model, write_tool

PATIENCE = 30.0
TMP = "/data/local/tmp"


class Bench:
    """Phones, models and a tool, ready to be measured.

    Attributes:
        files: dict of two models, whose latencies are 2 and 3 ms.
        tool, journal, logs: paths.
        phones: list of `Phone`, as many as were made.
    """

    def __init__(self, folder, adb_binary, make_phone):
        self.folder, self.adb_binary, self._make_phone = folder, adb_binary, make_phone
        self.files = {
            "a": write_model(folder / "a.tflite", 2000),
            "b": write_model(folder / "b.tflite", 3000),
        }
        self.tool = write_tool(folder)
        self.journal, self.logs = folder / "journal.json", folder / "logs"
        self.phones = []

    def phone(self, text=PHONE):
        phone = self._make_phone()
        stand_in(phone, text)
        self.phones.append(phone)
        return phone

    def profile(self, **options):
        quick = {"rounds": 1, "runs": 5, "min_seconds": 0, "cool_down": 0, "thermal_wait": 0}
        given = {
            "files": self.files,
            "benchmark_binary": self.tool,
            "journal": self.journal,
            "logs": self.logs,
            "serials": [phone.serial for phone in self.phones],
            "adb": self.adb_binary,
        }
        return profile_android(**given | quick | options)

    def failed(self, **options):
        """The error of a profile that must fail."""
        with pytest.raises(DeviceProfileError) as caught:
            self.profile(**options)
        return caught.value

    def assert_clean(self):
        for phone in self.phones:
            assert list(phone.path(TMP).iterdir()) == []
            until(lambda phone=phone: not phone.processes)

    def assert_finishes(self):
        """A second call measures the rest, and nothing twice."""
        measured = self.profile()
        for phone in self.phones:
            assert {
                name: one.milliseconds for name, one in measured[phone.serial].latencies.items()
            } == {
                "a": 2.0,
                "b": 3.0,
            }
        self.assert_clean()
        before = [len(runs(phone)) for phone in self.phones]
        assert self.profile() == measured
        assert [len(runs(phone)) for phone in self.phones] == before
        return measured


def until(condition):
    """Waits for what another process or thread is about to do."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError("waited in vain")
        time.sleep(0.02)


def soon(condition, action):
    """Does something, once, when a condition holds; in another thread, which is returned."""

    def work():
        until(condition)
        action()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


@pytest.fixture
def bench(tmp_path, adb_binary, make_phone):
    return Bench(tmp_path, adb_binary, make_phone)
