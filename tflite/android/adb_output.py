"""What adb and the programs it runs on a phone print, read by pure functions of text."""

import re
import typing

from keras_joslim.tflite.android.adb_errors import AdbError, quoted

_DEVICE = re.compile(
    r"(?P<serial>\S.*?)\s+(?P<state>no permissions.*?|[a-z]+)(?P<facts>(?:\s+[\w-]+:\S+)*)\s*"
)


class Device(typing.NamedTuple):
    """A line of `adb devices -l`; `facts` is a dict such as {"model": "Pixel_7"}."""

    serial: str
    state: str
    facts: dict


class RemoteFile(typing.NamedTuple):
    """A file on a phone: its bytes and, where the phone has a program for it, a checksum."""

    size: int
    algorithm: str | None
    digest: str | None

    def __str__(self):
        return f"{self.size} bytes" + (f", {self.algorithm} {self.digest}" if self.digest else "")


def parsed_devices(text):
    """The `Device`s of `adb devices -l`; lines before its head are about adb's server."""
    lines = text.partition("List of devices attached")[2].splitlines()[1:]
    found = []
    for line in lines:
        if not line.strip() or line.startswith("* "):
            continue
        match = _DEVICE.fullmatch(line)
        if not match:
            raise AdbError(f"Expected a serial and a state from `adb devices -l`.{quoted(line)}")
        facts = dict(fact.split(":", 1) for fact in match["facts"].split())
        found.append(Device(match["serial"], match["state"], facts))
    return found


def parsed_shell(text, word):
    """(did the command start?, what it printed, its exit status or None if it has no end)."""
    _, starts, printed = text.partition(f"{word}-starts\n")
    if not starts:
        return False, text, None
    ends = re.search(rf"{word}-ends ([0-9]+)\n\Z", printed)
    if not ends:
        return True, printed, None
    return True, printed[: ends.start()], int(ends[1])


def parsed_file(text):
    """`RemoteFile` of what wc and a checksum program printed, None if there is no file."""
    size, _, line = text.strip().partition("\n")
    if not re.fullmatch(r"\s*\d+\s*", size):
        return None
    digest = re.match(r"(?:[0-9a-f]{64}|[0-9a-f]{32})(?![0-9a-f])", line)
    if not digest:
        return RemoteFile(int(size), None, None)
    return RemoteFile(int(size), "sha256" if len(digest[0]) == 64 else "md5", digest[0])


def parsed_df(text):
    """Available bytes out of `df -k`; the columns are counted from the one in percent."""
    head, _, rest = text.strip().partition("\n")
    match = re.search(r"\s\d+\s+\d+\s+(-?\d+)\s+\d+%\s", rest + "\n")
    if not match or not re.search(r"1K-blocks|1024-blocks", head):
        raise AdbError(f"Expected a table of 1K-blocks from df.{quoted(text) or ' It was empty.'}")
    return max(0, int(match[1])) * 1024
