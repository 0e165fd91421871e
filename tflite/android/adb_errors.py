"""What can go wrong between this machine and a phone, as types, and adb's words turned into them.

A caller that measures many files goes on after some of them and stops after others: a device that
was lost, is offline or was too slow may be well again a minute later; a phone that does not know
this computer, or has no space, needs its owner.
"""

import re

_TAIL = 600


class AdbError(RuntimeError):
    """adb failed; the base of the errors below, and the type of those with no type of their own."""


class AdbNotFoundError(AdbError):
    """The adb binary is missing or does not run on this machine."""


class NoDeviceError(AdbError):
    """No phone is connected."""


class SeveralDevicesError(AdbError):
    """Several phones are connected and none was named. `serials`: a tuple of theirs."""

    def __init__(self, serials, words=""):
        self.serials = tuple(serials)
        super().__init__(
            f"Expected one phone, found {len(self.serials) or 'several'}: "
            f"{', '.join(self.serials) or 'see adb devices'}. Name one by serial= (--serial on the "
            f"command line).{quoted(words)}"
        )


class UnauthorizedError(AdbError):
    """The phone does not trust this computer (yet)."""


class OfflineError(AdbError):
    """The phone is known to adb but does not answer."""


class DeviceNotFoundError(AdbError):
    """The phone asked for is not connected. `serial`, and `serials`: a tuple of those that are."""

    def __init__(self, serial, serials, words=""):
        self.serial, self.serials = serial, tuple(serials)
        known = ", ".join(self.serials) or "there is none"
        super().__init__(
            f"Expected the serial of a connected phone ({known}). Received: serial={serial!r}. "
            f"Connect that phone, or name one that `adb devices` lists.{quoted(words)}"
        )


class DeviceLostError(AdbError):
    """The connection ended before the work did. `output`: its stdout until then, not a result."""

    def __init__(self, message, output=""):
        super().__init__(message)
        self.output = output


class AdbTimeoutError(AdbError):
    """adb, or the program on the phone, took too long and was stopped. `output`: its stdout."""

    def __init__(self, message, output=""):
        super().__init__(message)
        self.output = output


class NoSpaceError(AdbError):
    """The phone's storage is full."""


class ReadOnlyError(AdbError):
    """The phone does not let adb write (or read) there."""


class PushError(AdbError):
    """A file did not arrive on the phone as it is here."""


def quoted(words):
    """` It said: '...'`, the end of what was printed, on one line; "" if nothing was."""
    lines = [line.strip() for line in words.splitlines() if line.strip()]
    text = " / ".join(line for line in lines if not line.startswith("* daemon "))
    return f" It said: {text[-_TAIL:]!r}." if text else ""


# What adb prints -> what it means for the work `{what}` on the phone `{serial}`; the first match
# counts. Wording differs between releases of adb: 'error:' or 'adb:' before it, stdout or stderr.
_CONNECTION = (
    (
        r"no devices(/emulators)? found",
        NoDeviceError,
        "{what}: no phone is connected. Connect one by USB, turn on USB debugging in its developer "
        "options, and see that `adb devices` lists it (over Wi-Fi: `adb connect ADDRESS`).",
    ),
    (
        r"\bunauthorized|failed to authenticate|\bauthorizing",
        UnauthorizedError,
        "{what}: the phone {serial} does not trust this computer. Unlock it and accept the dialog "
        "'Allow USB debugging?'; if none appears, unplug it and plug it in again.",
    ),
    (
        r"\b(offline|connecting)\b",
        OfflineError,
        "{what}: the phone {serial} is offline. Unlock it, plug it in again or run `adb reconnect "
        "offline`.",
    ),
    (
        r"insufficient permissions|no permissions",
        AdbError,
        "{what}: this computer's user may not use the USB device {serial}. Install the udev rules "
        "(Debian: package android-sdk-platform-tools-common), join the group plugdev and plug the "
        "phone in again.",
    ),
    (
        r"cannot connect to daemon|failed to (start daemon|check server version)",
        AdbError,
        "{what}: adb cannot start or reach its own server. Run `adb kill-server`; another program "
        "may hold its port (another port: ANDROID_ADB_SERVER_PORT).",
    ),
    (
        r"failed to (connect|resolve)|unable to connect|cannot connect",
        OfflineError,
        "{what}: no phone answers at this address. See that it is HOST:PORT of a phone in the same "
        "network with wireless debugging on (or after `adb tcpip 5555` over USB).",
    ),
    (
        r"\b(bootloader|recovery|rescue|sideload)\b",
        OfflineError,
        "{what}: Android is not running on the phone {serial}. Start it: `adb reboot`.",
    ),
)
_STORAGE = (
    (
        r"no space left on device|disk quota exceeded",
        NoSpaceError,
        "{what}: the storage of the phone {serial} is full. Free some, or use another folder.",
    ),
    (
        r"read-only file system|permission denied|operation not permitted",
        ReadOnlyError,
        "{what}: the phone {serial} does not let adb in there. Use a folder under /data/local/tmp.",
    ),
)
_LOST = (
    r"(error|failed): closed|: EOF|couldn't read from device|no response|connection reset"
    r"|broken pipe|protocol fault|device lost",
    DeviceLostError,
    "{what}: the connection to the phone {serial} ended in between. See that the cable sits well "
    "and that the phone did not restart, then try again.",
)


def failure(words, serial, what, *, serials=(), names=(), otherwise=AdbError):
    """The error that words of adb itself stand for.

    Args:
        words: what adb printed, stdout and stderr.
        serial: the phone's, or None.
        what: the work that failed, for the message.
        serials: of the phones there are, for the message.
        names: file names, which are not looked at when the words are understood.
        otherwise: the type if no meaning is known.

    Returns:
        An `AdbError` to raise; it quotes the words.
    """
    plain = _without(words, names)
    if re.search(r"more than one (device|emulator)", plain, re.IGNORECASE):
        return SeveralDevicesError(serials, words)
    if re.search(r"device '.*' not found", plain, re.IGNORECASE):
        return DeviceNotFoundError(serial, serials, words)
    meanings = (*_CONNECTION, *_STORAGE, _LOST)
    return _first(meanings, plain, words, serial, what, otherwise)


def command_failure(words, serial, what, *, names=(), otherwise=AdbError):
    """The error that words of a program on the phone stand for, whose exit status was not 0."""
    return _first(_STORAGE, _without(words, names), words, serial, what, otherwise)


def _first(meanings, plain, words, serial, what, otherwise):
    for pattern, error, text in meanings:
        if re.search(pattern, plain, re.IGNORECASE):
            return error(text.format(what=what, serial=serial or "") + quoted(words))
    said = quoted(words) or " It said nothing."
    if otherwise is DeviceLostError:
        return otherwise(_LOST[2].format(what=what, serial=serial or "") + said)
    return otherwise(f"{what} failed, phone {serial}.{said}")


def _without(words, names):
    for name in names:
        words = words.replace(str(name), "")
    return words
