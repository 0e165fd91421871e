"""Android phones through the user's own adb: commands, files, and errors that have a type.

The adb binary does the work: its wire protocol, keys and server are its own. Every call is a list
of arguments, without a shell on this side, with stdin closed and under a timeout. What reaches the
phone's shell is quoted, so that no file name is ever executed.

adb's exit status is not believed alone: adb 29 exits with 0, and what was printed so far, when the
phone dies in the middle of a command. A command has run to its end if and only if the line that is
put after it, with a random word in it, has arrived.
"""

import contextlib
import hashlib
import os
import pathlib
import re
import secrets
import shlex
import subprocess
import tempfile
import threading
import time
import typing

from keras_joslim.tflite.android import adb_output
from keras_joslim.tflite.android.adb_errors import (
    AdbError,
    AdbNotFoundError,
    AdbTimeoutError,
    DeviceLostError,
    DeviceNotFoundError,
    OfflineError,
    PushError,
    SeveralDevicesError,
    command_failure,
    failure,
    quoted,
)

# Seconds for what is done after a failure, when the phone may be gone.
_CLEANING = 5.0
# Seconds between attempts to connect.
_PAUSE = 0.1
# Bytes a second that a transfer reaches at least: USB 2 has 30e6, a weak Wi-Fi 1e6.
_SLOWEST = 1e6
# When adb goes away, be it killed here or cut off, the phone sends SIGHUP to the shell, and to it
# alone: its program would run on and disturb what is measured next. A shell that waits hears it.
_COMMAND = (
    "trap 'kill -s KILL -- -$$ $!' HUP; "
    "echo {word}-starts; {arguments} & wait $!; echo {word}-ends $?"
)
# Size and, where the phone has the programs, checksum of a file.
_FACTS = 'wc -c < "$1" && { sha256sum < "$1" || md5sum < "$1"; } 2>/dev/null; :'
# mv would move a file into a folder that has the final name.
_MOVE = 'if [ -d "$2" ]; then echo "$2 is a folder" >&2; exit 1; fi; mv -f "$1" "$2"'
_REMOVE = (
    'bad=0; for p; do if [ -d "$p" ] && [ ! -L "$p" ]; then rmdir "$p"; else rm -f "$p"; fi '
    "|| bad=1; done; exit $bad"
)


class Output(typing.NamedTuple):
    """What a command on a phone printed, and its exit status.

    Before the shell protocol v2 (Android 7) all is in `stdout`, stderr's lines among the others.
    """

    stdout: str
    stderr: str
    code: int


class Adb:
    """One phone, through the adb binary.

    Args:
        binary: name or path of adb.
        serial: of the phone, as `adb devices` prints it. None for $ANDROID_SERIAL or, without it,
            the only phone there is.
        timeout: seconds for one call; transfers get a second more for each MB.

    Every method raises an `AdbError`; which ones there are says `keras_joslim.tflite.adb_errors`.

    Example:

    >>> phone = Adb()
    >>> phone.push("small.tflite", "/data/local/tmp/joslim/small.tflite")
    >>> phone.shell(["ls", "/data/local/tmp/joslim"]).stdout
    'small.tflite\\n'
    """

    def __init__(self, binary="adb", serial=None, timeout=30.0):
        if timeout <= 0:
            raise ValueError(f"Expected a timeout above 0 seconds. Received: timeout={timeout!r}")
        self.binary, self.serial, self.timeout = os.fspath(binary), serial, timeout
        self._running, self._lock, self._interrupted = set(), threading.Lock(), False

    def __repr__(self):
        return f"Adb(binary={self.binary!r}, serial={self.serial!r})"

    def devices(self):
        """The phones that adb knows, ready or not: a list of `Device`."""
        done = self._run(["devices", "-l"], self.timeout)
        if done.returncode != 0 or "List of devices attached" not in done.stdout:
            raise failure(done.stdout + done.stderr, None, "Listing the phones")
        return adb_output.parsed_devices(done.stdout)

    def select(self):
        """The serial of the phone to use; it is kept, later calls go to the same phone.

        Raises:
            NoDeviceError, SeveralDevicesError, DeviceNotFoundError: none, several, another one.
            UnauthorizedError, OfflineError: it is there and cannot be used.
        """
        there = self.devices()
        serials = [device.serial for device in there]
        serial = self.serial or os.environ.get("ANDROID_SERIAL")
        if serial and serial not in serials:
            raise DeviceNotFoundError(serial, serials)
        if not serial and not there:
            # What adb says when it is asked for the only phone there is.
            raise failure("no devices/emulators found", None, "Choosing a phone")
        if not serial and len(there) > 1:
            raise SeveralDevicesError(serials)
        device = there[serials.index(serial)] if serial else there[0]
        if device.state != "device":
            what = f"Choosing the phone {device.serial}"
            words = f"{device.serial} {device.state}"
            raise failure(words, device.serial, what, otherwise=OfflineError)
        self.serial = device.serial
        return self.serial

    def connect(self, address):
        """Connects to a phone over the network; returns its serial.

        adb exits with 0 when it fails to, and says 'already connected' of a phone that is gone.
        """
        what, deadline = f"Connecting to {address}", time.monotonic() + self.timeout
        while True:
            words = self._words(["connect", address])
            connected = re.search(r"^(?:already )?connected to (\S+)", words, re.MULTILINE)
            if not connected:
                raise failure(words, address, what, otherwise=OfflineError)
            states = {device.serial: device.state for device in self.devices()}
            if states.get(connected[1]) == "device":
                return connected[1]
            if time.monotonic() > deadline:
                words += f"{connected[1]} {states.get(connected[1], 'offline')}"
                raise failure(words, address, what, otherwise=OfflineError)
            # An old connection to a phone that was gone, which adb takes a moment to give up.
            self._words(["disconnect", address])
            time.sleep(_PAUSE)

    def shell(self, arguments, timeout=None):
        """Runs a program on the phone.

        Args:
            arguments: list of str, the program and its arguments, each passed on as it is; for the
                phone's shell: `["sh", "-c", 'script with "$1"', "sh", "value"]`.
            timeout: seconds.

        Returns:
            `Output`, whatever the program's exit status is (126: cannot be executed, 127: there is
            no such program, 128 + n: killed by signal n).

        Raises:
            DeviceLostError: the command did not run to its end; nothing of its output counts.
            AdbTimeoutError: it took too long. The program on the phone is stopped.
            Both have an `output`: what had been printed until then.
        """
        if isinstance(arguments, str) or not arguments:
            raise ValueError(
                f"Expected a list of a program and its arguments. Received: arguments={arguments!r}"
            )
        word = secrets.token_hex(8)
        command = _COMMAND.format(word=word, arguments=shlex.join(arguments))
        try:
            done = self._on_phone(["shell", command], timeout or self.timeout)
        except AdbTimeoutError as error:
            error.output = adb_output.parsed_shell(error.output, word)[1]
            raise
        started, printed, code = adb_output.parsed_shell(done.stdout, word)
        if code is not None:
            return Output(printed, done.stderr, code)
        what = f"Running {arguments[0]} on the phone"
        if started:
            raise DeviceLostError(
                f"{what} {self.serial} did not come to its end: the connection was lost or its "
                "shell was killed. See that the cable sits well and that the phone did not "
                f"restart, then try again.{quoted(done.stderr or printed)}",
                output=printed,
            )
        raise self._failure(done.stdout + done.stderr, what, otherwise=DeviceLostError)

    def push(self, local, remote, timeout=None):
        """Copies a file to the phone, where it appears whole or not at all.

        It goes under a temporary name, is compared by size and sha256 (by md5 or size alone where
        the phone has no program for it) and moved into place. Folders on the way are made.

        Args:
            local: path of a file.
            remote: absolute path on the phone, of a file.
            timeout: seconds.

        Raises:
            ValueError: no such file; a path on the phone that is not absolute.
            NoSpaceError, ReadOnlyError: the phone does not take it.
            PushError: it arrived as something else, or `remote` is a folder.
        """
        local, remote = _local_path(local), _device_path(remote)
        timeout = timeout or self.timeout + local.stat().st_size / _SLOWEST
        what = f"Pushing {local} to {remote}"
        # The name is that of the content: what a dead phone kept, the next push replaces.
        part = f"{remote}.{_digest(local, 'sha256')[:12]}.part"
        try:
            done = self._on_phone(["push", str(local), part], timeout)
            if done.returncode != 0:
                words, names = done.stdout + done.stderr, (local, part)
                raise self._failure(words, what, names=names, otherwise=PushError)
            arrived = self._file(part, timeout)
            if not _same(local, arrived):
                raise PushError(
                    f"{what}: it arrived as {arrived or 'no file'}, expected "
                    f"{local.stat().st_size} bytes, sha256 {_digest(local, 'sha256')}. Push again; "
                    "if it happens again, the cable or the phone's storage is faulty."
                )
            self._done(["sh", "-c", _MOVE, "sh", part, remote], what, PushError)
        except BaseException:
            with contextlib.suppress(AdbError):
                self.shell(["rm", "-f", part], _CLEANING)
            raise

    def push_if_changed(self, local, remote, timeout=None):
        """`push` unless the phone has the same file there, by checksum; returns: was it pushed?"""
        local, remote = _local_path(local), _device_path(remote)
        there = self._file(remote, timeout or self.timeout + local.stat().st_size / _SLOWEST)
        # A size alone does not tell one model from another of the same widths.
        if there and there.algorithm and _same(local, there):
            return False
        self.push(local, remote, timeout)
        return True

    def pull(self, remote, local, timeout=None):
        """Copies a file from the phone; `local` appears whole, compared as in `push`, or not."""
        local, remote = pathlib.Path(local), _device_path(remote)
        what = f"Pulling {remote} to {local}"
        there = self._file(remote, timeout or self.timeout)
        if there is None:
            raise AdbError(f"{what}: the phone {self.serial} has no such file, or hides it.")
        local.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=local.parent, prefix=f".{local.name}.") as folder:
            part = pathlib.Path(folder).absolute() / "part"
            seconds = timeout or self.timeout + there.size / _SLOWEST
            done = self._on_phone(["pull", remote, str(part)], seconds)
            if done.returncode != 0 or not part.is_file():
                words = done.stdout + done.stderr
                # Of a lost phone adb says no word here: the last line is how far it had come.
                error = AdbError if "error:" in words else DeviceLostError
                raise self._failure(words, what, names=(remote, part), otherwise=error)
            if not _same(part, there):
                raise AdbError(f"{what}: it arrived as another file than {there}. Pull it again.")
            os.replace(part, local)

    def remove(self, paths):
        """Removes files, and folders that are empty by then, in this order; missing ones are fine.

        Never more than what is named: a folder that has other files in it raises `AdbError`.
        """
        paths = [_device_path(path) for path in paths]
        if paths:
            self._done(["sh", "-c", _REMOVE, "sh", *paths], f"Removing {', '.join(paths)}")

    def make_folder(self, path):
        """Makes a folder and those above it; one that is there is fine."""
        self._done(["mkdir", "-p", _device_path(path)], f"Making the folder {path}")

    def chmod(self, path, mode):
        """Sets the permissions, for instance `mode=0o755`."""
        self._done(["chmod", f"{mode:o}", _device_path(path)], f"Changing the mode of {path}")

    def free_bytes(self, path):
        """Bytes that the file system of this path has left for adb."""
        what = f"Asking for the space at {path}"
        return adb_output.parsed_df(self._done(["df", "-k", _device_path(path)], what).stdout)

    def interrupt(self):
        """Ends the calls under way in other threads with an `AdbError`, and refuses later ones.

        A program on the phone is stopped as by a timeout.
        """
        with self._lock:
            self._interrupted = True
            for process in self._running:
                process.kill()

    def _run(self, arguments, timeout):
        """The finished process; text, with the line ends of an old phone's terminal mended."""
        command = [self.binary, *arguments]
        try:
            out, err, code = self._finished(command, timeout)
        except subprocess.TimeoutExpired as expired:
            words = _text(expired.stdout) + _text(expired.stderr)
            raise AdbTimeoutError(
                f"adb {' '.join(arguments[:3])} took more than {timeout:g} s and was stopped. See "
                f"that the phone is awake, or pass a longer timeout=.{quoted(words)}",
                output=_text(expired.stdout),
            ) from None
        except OSError as error:
            raise AdbNotFoundError(
                f"Expected the adb program, which does not start ({error.strerror}). Received: "
                f"binary={self.binary!r}. Install it (Debian: apt-get install adb; or the Android "
                "SDK platform tools, https://developer.android.com/tools/releases/platform-tools) "
                "or pass the path of one as binary=."
            ) from None
        return subprocess.CompletedProcess(command, code, _text(out), _text(err))

    def _finished(self, command, timeout):
        """Runs adb: (stdout, stderr, exit status)."""
        pipe = subprocess.PIPE
        with self._lock:
            if self._interrupted:
                raise AdbError(f"adb {' '.join(command[1:4])} was interrupted.")
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe)
            self._running.add(process)
        with process:
            try:
                out, err = process.communicate(timeout=timeout)
            except BaseException:
                process.kill()
                raise
            finally:
                with self._lock:
                    self._running.discard(process)
        if self._interrupted:
            raise AdbError(f"adb {' '.join(command[1:4])} was interrupted.")
        return out, err, process.returncode

    def _on_phone(self, arguments, timeout):
        return self._run(["-s", self.serial or self.select(), *arguments], timeout)

    def _words(self, arguments):
        done = self._run(arguments, self.timeout)
        return done.stdout + done.stderr

    def _done(self, arguments, what, otherwise=AdbError):
        """The output of a program that must succeed."""
        output = self.shell(arguments)
        if output.code != 0:
            words = output.stdout + output.stderr
            paths = [argument for argument in arguments if argument.startswith("/")]
            raise command_failure(words, self.serial, what, names=paths, otherwise=otherwise)
        return output

    def _failure(self, words, what, **options):
        serials = ()
        if "not found" in words or "more than one" in words:
            with contextlib.suppress(AdbError):
                serials = [device.serial for device in self.devices()]
        return failure(words, self.serial, what, serials=serials, **options)

    def _file(self, path, timeout):
        """What the phone says of a file, or None if there is none."""
        return adb_output.parsed_file(self.shell(["sh", "-c", _FACTS, "sh", path], timeout).stdout)


def _same(local, there):
    """Is a file here the one described? By size and, where it is known, checksum."""
    if there is None or local.stat().st_size != there.size:
        return False
    return there.algorithm is None or _digest(local, there.algorithm) == there.digest


def _digest(path, algorithm):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def _local_path(path):
    path = pathlib.Path(path).absolute()
    if not path.is_file():
        raise ValueError(f"Expected a file. Received: local={str(path)!r}: no file")
    return path


def _device_path(path):
    path = os.fspath(path)
    if not path.startswith("/") or path.endswith("/") or not path.isprintable():
        raise ValueError(
            "Expected an absolute path on the phone, such as /data/local/tmp/joslim/a.tflite, "
            f"without control characters. Received: {path!r}"
        )
    return path


def _text(data):
    return (data or b"").decode(errors="replace").replace("\r\n", "\n")
