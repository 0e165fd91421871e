"""The adb client, by real adb binaries and phones on loopback: whole results or typed errors."""

import concurrent.futures
import contextlib
import os
import re
import shlex
import socket
import threading

import pytest

from keras_joslim.tflite.android import adb_errors
from keras_joslim.tflite.android.adb import Adb
from tests.tflite.adb_daemon import CHECKSUMS, FEATURES_6, FEATURES_8, FEATURES_12, NO_CHECKSUMS
from tests.tflite.adb_fixtures import FOLDER, NAMES, free_port, kill_server, unfinished


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(b"not much of a model\n" * 100)
    return path


# Commands


def test_output_and_exit_status(adb):
    script = "echo to stdout; echo to stderr >&2; exit 7"
    assert adb.shell(["sh", "-c", script]) == ("to stdout\n", "to stderr\n", 7)
    assert adb.shell(["true"]) == ("", "", 0)
    assert adb.shell(["printf", "%s", "no newline"]).stdout == "no newline"
    assert adb.shell(["no_such_program"]).code == 127
    assert adb.shell(["sh", "-c", "kill -9 $$"]).code == 137


@pytest.mark.parametrize("version", [CHECKSUMS, NO_CHECKSUMS])
@pytest.mark.parametrize("features", [FEATURES_6, FEATURES_8, FEATURES_12])
def test_every_generation_of_the_protocol(make_phone, adb_binary, tmp_path, version, features):
    phone = make_phone(version=version, features=features)
    adb = Adb(adb_binary, phone.serial)
    output = adb.shell(["sh", "-c", "echo to stdout; echo to stderr >&2; exit 7"])
    assert output.code == 7
    if features == FEATURES_6:
        assert sorted(output.stdout.splitlines()) == ["to stderr", "to stdout"]
    else:
        assert output == ("to stdout\n", "to stderr\n", 7)
    content = os.urandom(300_001)
    (tmp_path / "sent").write_bytes(content)
    adb.push(tmp_path / "sent", f"{FOLDER}/sent")
    assert phone.path(f"{FOLDER}/sent").read_bytes() == content
    adb.pull(f"{FOLDER}/sent", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == content
    assert phone.errors == []


def test_a_long_output_arrives_whole(adb):
    lines = adb.shell(["seq", "200000"]).stdout.splitlines()
    assert lines == [str(i) for i in range(1, 200_001)]


@pytest.mark.parametrize("name", NAMES)
def test_nothing_in_an_argument_is_executed(adb, phone, name):
    assert adb.shell(["printf", "%s|", name, name]).stdout == f"{name}|{name}|"
    assert not list(phone.folder.rglob("executed"))


@pytest.mark.parametrize("name", NAMES)
def test_nothing_in_a_file_name_is_executed(adb, phone, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    local, remote = tmp_path / name, f"{FOLDER}/{name}/{name}"
    local.write_bytes(b"content")
    adb.make_folder(f"{FOLDER}/{name}")
    adb.push(local, remote)
    assert phone.path(remote).read_bytes() == b"content"
    assert not adb.push_if_changed(name, remote)
    adb.chmod(remote, 0o640)
    assert phone.path(remote).stat().st_mode & 0o777 == 0o640
    assert adb.free_bytes(remote) > 0
    adb.pull(remote, tmp_path / "back" / name)
    assert (tmp_path / "back" / name).read_bytes() == b"content"
    adb.remove([remote, f"{FOLDER}/{name}"])
    assert list(phone.path(FOLDER).iterdir()) == []
    executed = [*phone.folder.rglob("executed"), *tmp_path.glob("executed")]
    assert executed == []


@pytest.mark.parametrize("serial", ["x; touch executed", "$(touch executed)", "-H 1.2.3.4", "a b"])
def test_nothing_in_a_serial_is_executed(adb_binary, phone, tmp_path, monkeypatch, serial):
    monkeypatch.chdir(tmp_path)
    for call in (
        lambda adb: adb.select(),
        lambda adb: adb.shell(["true"]),
        lambda adb: adb.push(__file__, f"{FOLDER}/x"),
    ):
        with pytest.raises(adb_errors.DeviceNotFoundError, match=re.escape(repr(serial))) as error:
            call(Adb(adb_binary, serial))
        assert error.value.serial == serial
        # Phones of tests before may not be gone from adb's list yet.
        assert phone.serial in error.value.serials
        assert phone.serial in str(error.value)
    assert not list(tmp_path.rglob("executed"))


@pytest.mark.parametrize("arguments", ["ls -l", [], ()])
def test_arguments_are_a_list(arguments):
    with pytest.raises(ValueError, match="a list of a program and its arguments. Received"):
        Adb().shell(arguments)


def test_the_timeout_is_above_zero():
    with pytest.raises(ValueError, match="timeout above 0 seconds. Received: timeout=0"):
        Adb(timeout=0)


def test_stdin_is_not_read(adb):
    read, write = os.pipe()
    os.write(write, b"for somebody else")
    os.close(write)
    kept = os.dup(0)
    os.dup2(read, 0)
    try:
        assert adb.shell(["cat"]) == ("", "", 0)
        assert os.read(0, 100) == b"for somebody else"
    finally:
        os.dup2(kept, 0)
        os.close(kept)
        os.close(read)


# Files


def test_megabytes_arrive_byte_for_byte(adb, phone, tmp_path):
    content = os.urandom(7_000_003)
    (tmp_path / "big").write_bytes(content)
    adb.push(tmp_path / "big", f"{FOLDER}/big")
    assert phone.path(f"{FOLDER}/big").read_bytes() == content
    assert unfinished(phone) == []
    adb.pull(f"{FOLDER}/big", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == content
    assert sorted(path.name for path in tmp_path.iterdir()) == ["back", "big", "phone0"]


def test_push_if_changed_pushes_what_changed(adb, phone, file):
    remote = f"{FOLDER}/model"
    assert adb.push_if_changed(file, remote)
    assert not adb.push_if_changed(file, remote)
    assert len(phone.pushes) == 1
    # The same size, another content.
    file.write_bytes(file.read_bytes().replace(b"much", b"MUCH"))
    assert adb.push_if_changed(file, remote)
    assert not adb.push_if_changed(file, remote)
    assert len(phone.pushes) == 2
    assert phone.path(remote).read_bytes() == file.read_bytes()


@pytest.mark.parametrize("missing", [["sha256sum"], ["sha256sum", "md5sum"]])
def test_phones_without_checksum_programs(adb, phone, file, tmp_path, missing):
    for name in missing:
        phone.program(name, "exit 127")
    remote = f"{FOLDER}/model"
    adb.push(file, remote)
    assert phone.path(remote).read_bytes() == file.read_bytes()
    # A size alone proves nothing: without any checksum it is pushed again.
    assert adb.push_if_changed(file, remote) == ("md5sum" in missing)
    adb.pull(remote, tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == file.read_bytes()


def test_a_file_that_arrived_as_another_one(adb, phone, file):
    phone.program("sha256sum", f"echo {'0' * 64}  -")
    with pytest.raises(adb_errors.PushError, match="2000 bytes, sha256 0000.*expected 2000 bytes"):
        adb.push(file, f"{FOLDER}/model")
    assert list(phone.path(FOLDER).iterdir()) == []
    phone.program("wc", "echo 1999")
    with pytest.raises(adb_errors.PushError, match="arrived as 1999 bytes"):
        adb.push(file, f"{FOLDER}/model")


def test_push_replaces_a_file_and_not_a_folder(adb, phone, file):
    adb.make_folder(FOLDER)
    with pytest.raises(adb_errors.PushError, match="is a folder"):
        adb.push(file, FOLDER)
    assert list(phone.path(FOLDER).iterdir()) == []
    phone.path(f"{FOLDER}/model").write_text("an older one")
    adb.push(file, f"{FOLDER}/model")
    assert phone.path(f"{FOLDER}/model").read_bytes() == file.read_bytes()
    assert unfinished(phone) == []


def test_pull_of_a_missing_file_leaves_the_old_one(adb, tmp_path):
    (tmp_path / "here").write_text("older")
    with pytest.raises(adb_errors.AdbError, match="no such file"):
        adb.pull(f"{FOLDER}/missing", tmp_path / "here")
    assert (tmp_path / "here").read_text() == "older"


def test_pull_of_a_file_that_arrives_as_another_one(adb, phone, tmp_path):
    phone.path("/sdcard/log").write_text("content")
    (tmp_path / "here").write_text("older")
    phone.program("sha256sum", f"echo {'0' * 64}  -")
    with pytest.raises(adb_errors.AdbError, match="another file than 7 bytes, sha256 0000"):
        adb.pull("/sdcard/log", tmp_path / "here")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here", "phone0"]
    assert (tmp_path / "here").read_text() == "older"


def test_remove_takes_no_more_than_what_is_named(adb, phone):
    for name in ("a/1", "a/2", "b/3"):
        phone.path(f"{FOLDER}/{name}").parent.mkdir(parents=True, exist_ok=True)
        phone.path(f"{FOLDER}/{name}").write_text(name)
    adb.remove([])
    adb.remove([f"{FOLDER}/missing", f"{FOLDER}/b/3", f"{FOLDER}/b"])
    with pytest.raises(adb_errors.AdbError, match="not empty"):
        adb.remove([f"{FOLDER}/a/1", f"{FOLDER}/a"])
    assert [path.name for path in phone.path(FOLDER).rglob("*")] == ["a", "2"]


@pytest.mark.parametrize("path", ["relative", "", "/data/local/tmp/", "/data/a\nb", "~/x"])
def test_a_path_on_the_phone_is_absolute(path):
    with pytest.raises(ValueError, match="an absolute path on the phone"):
        Adb().make_folder(path)


def test_a_file_that_is_not_here(adb, phone, tmp_path):
    for push in (adb.push, adb.push_if_changed):
        with pytest.raises(ValueError, match=r"Expected a file. Received: local='.*missing'"):
            push(tmp_path / "missing", f"{FOLDER}/x")
    assert phone.commands == []


def test_free_bytes(adb, phone):
    table = "Filesystem 1K-blocks Used Available Use% Mounted on\n/dev/x 300 100 200 34% /data"
    phone.program("df", f"echo {shlex.quote(table)}")
    assert adb.free_bytes("/data/local/tmp") == 200 * 1024
    phone.program("df", "echo df: no such path >&2; exit 1")
    with pytest.raises(adb_errors.AdbError, match="df: no such path"):
        adb.free_bytes("/data/local/tmp")


# Phones


def test_the_only_phone_is_taken(adb_binary, phone):
    adb = Adb(adb_binary)
    assert adb.shell(["echo", "hello"]).stdout == "hello\n"
    assert adb.serial == phone.serial
    (device,) = adb.devices()
    assert (device.serial, device.state) == (phone.serial, "device")
    assert device.facts["model"] == "Pixel_7"


def test_no_phone(adb_binary, adb_environment):
    adb = Adb(adb_binary)
    assert adb.devices() == []
    for call in (adb.select, lambda: adb.shell(["true"])):
        with pytest.raises(adb_errors.NoDeviceError, match="USB debugging"):
            call()


def test_two_phones(make_phone, adb_binary, file, monkeypatch):
    phones = [make_phone(model="Pixel 7"), make_phone(model="SM-G973F")]
    serials = sorted(phone.serial for phone in phones)
    adb = Adb(adb_binary)
    for call in (adb.select, lambda: adb.shell(["true"]), lambda: adb.push(file, f"{FOLDER}/x")):
        with pytest.raises(adb_errors.SeveralDevicesError, match="--serial") as error:
            call()
        assert sorted(error.value.serials) == serials
        assert all(serial in str(error.value) for serial in serials)
    for phone in phones:
        Adb(adb_binary, phone.serial).push(file, f"{FOLDER}/{phone.model}")
    for phone in phones:
        assert [path.name for path in phone.path(FOLDER).iterdir()] == [phone.model]
    monkeypatch.setenv("ANDROID_SERIAL", phones[1].serial)
    assert Adb(adb_binary).select() == phones[1].serial


def test_phones_are_used_at_the_same_time(make_phone, adb_binary, tmp_path):
    phones = [make_phone() for _ in range(3)]
    contents = [os.urandom(1_000_000) for _ in phones]

    def work(number):
        adb = Adb(adb_binary, phones[number].serial)
        (tmp_path / f"{number}").write_bytes(contents[number])
        adb.push(tmp_path / f"{number}", f"{FOLDER}/file")
        return [adb.shell(["echo", f"{number} {i}"]).stdout for i in range(5)]

    with concurrent.futures.ThreadPoolExecutor(len(phones)) as pool:
        printed = list(pool.map(work, range(len(phones))))
    assert printed == [[f"{number} {i}\n" for i in range(5)] for number in range(len(phones))]
    assert [phone.path(f"{FOLDER}/file").read_bytes() for phone in phones] == contents


def test_the_first_call_starts_adbs_server(adb_binary, adb_environment, tmp_path, monkeypatch):
    port = free_port()
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(port))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    try:
        assert Adb(adb_binary).devices() == []
    finally:
        kill_server(port)
    # It is gone, whatever it was killed by.
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port), timeout=10)


def test_another_program_holds_the_port_of_adbs_server(adb_binary, adb_environment, monkeypatch):
    def refuse(server):
        with contextlib.suppress(OSError):
            while True:
                server.accept()[0].close()

    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(server.getsockname()[1]))
        threading.Thread(target=refuse, args=(server,), daemon=True).start()
        with pytest.raises(adb_errors.AdbError, match="ANDROID_ADB_SERVER_PORT.*It said"):
            Adb(adb_binary).devices()
        server.shutdown(socket.SHUT_RDWR)


def test_connect_reads_adbs_words(adb_binary, adb_environment, make_phone):
    adb = Adb(adb_binary)
    phone = make_phone()
    assert adb.connect(phone.serial) == phone.serial
    phone.stop()
    for address in (phone.serial, "no such host; touch executed"):
        with pytest.raises(adb_errors.OfflineError, match="HOST:PORT.*It said"):
            adb.connect(address)


def test_a_binary_that_is_missing_or_does_not_run(tmp_path):
    broken = tmp_path / "adb"
    broken.write_bytes(b"\x7fELF of another machine")
    broken.chmod(0o755)
    for binary in (tmp_path / "missing", broken):
        with pytest.raises(adb_errors.AdbNotFoundError, match="apt-get install adb"):
            Adb(binary).devices()
