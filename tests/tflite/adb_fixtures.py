"""Fixtures: a real adb with a server of its own, and phones on loopback for it (adb_daemon).

Every adb that is here is tried: the one on PATH and the one in the wheel of adbutils, which is
never imported. Without any the tests are skipped.
"""

import contextlib
import importlib.util
import os
import pathlib
import random
import shutil
import socket
import subprocess

import pytest

from keras_joslim.tflite.android.adb import Adb
from tests.tflite.adb_daemon import Phone

FOLDER = "/data/local/tmp/joslim"
# File names of which a careless shell would execute a part.
NAMES = [
    "plain.tflite",
    "two  words.tflite",
    'it\'s "quoted"',
    "$(touch executed)",
    "`touch executed`",
    "a;touch executed;",
    "a && touch executed | tee executed > executed #",
    "--help",
    "-rf *",
    "\\back\\slash$HOME~",
    "a,33188",
    "größe 模型 🙂.tflite",
]


def adb_binaries():
    """Where it comes from -> path of an adb."""
    found = {}
    if on_path := shutil.which("adb"):
        found["path"] = on_path
    spec = importlib.util.find_spec("adbutils")
    if spec and spec.origin:
        binary = pathlib.Path(spec.origin).with_name("binaries") / "adb"
        if os.access(binary, os.X_OK):
            found["adbutils"] = str(binary)
    return found


BINARIES = adb_binaries()
# For tests of what does not depend on the release of adb: with one of them, that of the wheel.
one_adb = pytest.mark.parametrize("adb_binary", [next(reversed(BINARIES), None)], indirect=True)


def free_port():
    """A port that nobody listens on, of those that the system does not hand out by itself."""
    for port in random.SystemRandom().sample(range(20_000, 30_000), 100):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise RuntimeError("no free port")


def kill_server(port):
    """Ends adb's server on a port. `adb kill-server` does the same, and now and then never ends."""
    with (
        contextlib.suppress(OSError),
        socket.create_connection(("127.0.0.1", int(port)), timeout=10) as server,
    ):
        server.sendall(b"0009host:kill")
        while server.recv(64):
            pass


@pytest.fixture(scope="session", params=BINARIES or [None])
def adb_binary(request):
    """Path of an adb; once for each there is."""
    if request.param is None:
        pytest.skip("no adb: apt-get install adb, or pip install --no-deps adbutils")
    return BINARIES[request.param]


@pytest.fixture(scope="session")
def adb_home(tmp_path_factory):
    """Where the keys of the tests' adb servers lie; making them takes longer than a server."""
    return tmp_path_factory.mktemp("adb_home")


@pytest.fixture
def adb_environment(adb_binary, adb_home, monkeypatch):
    """This process's environment is that of an adb server of this test alone.

    One server for all tests would go on looking for the phones of tests that are over, and could
    find one again that has the port of another since.
    """
    for name in list(os.environ):
        if name.startswith(("ADB_", "ANDROID_")):
            monkeypatch.delenv(name)
    # No phone on this desk's USB, in an emulator or announced on the network may join the tests.
    own = {"HOME": str(adb_home), "ADB_USB": "0", "ADB_EMU": "0", "ADB_MDNS": "0"}
    for attempt in range(3):
        own["ANDROID_ADB_SERVER_PORT"] = str(free_port())
        environment = {**os.environ, **own, "TMPDIR": str(adb_home)}
        started = _adb(adb_binary, "start-server", environment)
        if started.returncode == 0:
            break
        # Another process may have taken the port in between.
        if attempt == 2:
            raise RuntimeError(f"{adb_binary} does not start its server: {started.stderr}")
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    yield
    kill_server(own["ANDROID_ADB_SERVER_PORT"])


@pytest.fixture
def make_phone(adb_binary, adb_environment, tmp_path):
    """Called with the arguments of `Phone` but its folder: one that adb is connected to."""
    phones = []

    def make(connect=True, **options):
        phones.append(Phone(tmp_path / f"phone{len(phones)}", **options))
        if connect:
            Adb(adb_binary).connect(phones[-1].serial)
        return phones[-1]

    yield make
    for phone in phones:
        phone.stop()


@pytest.fixture
def phone(make_phone):
    return make_phone()


@pytest.fixture
def adb(adb_binary, phone):
    """The client under test, for `phone`."""
    return Adb(adb_binary, phone.serial)


def unfinished(phone):
    """Temporary files of pushes that are on a phone."""
    return list(phone.path("/data").rglob("*.part"))


def _adb(binary, verb, environment):
    return subprocess.run(
        [binary, verb],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
    )
