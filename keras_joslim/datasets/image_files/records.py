"""TFRecord files: where each record begins, and files that are torn."""

import pathlib
import re

import numpy as np

# A record is: its length (8 bytes), the checksum of these 8 bytes, the record, its checksum.
_HEADER, _FOOTER = 12, 4
_SHARD = re.compile(
    r"(?:(?P<name>.+)-)?(?P<part>train|validation|val|test)(?:\.(?P<form>\w+))?"
    r"-(?P<number>\d+)-of-(?P<total>\d+)"
)


def find_shards(directory, parts):
    """The files of one part of a data set, in the layout of the official script or of TFDS.

    Args:
        directory: holds `train-00000-of-01024`, ... or `<name>-train.tfrecord-00000-of-01024`, ...,
            or a folder of the part's name with them.
        parts: what the part may be called; the first one of which there are files is taken.

    Returns:
        A tuple of paths, in order.

    Raises:
        ValueError: none, not all of them, those of several data sets, or of another format.
    """
    directory = pathlib.Path(directory)
    for part in parts:
        for folder in (directory, directory / part):
            found = {}
            for path in folder.iterdir() if folder.is_dir() else ():
                match = _SHARD.fullmatch(path.name)
                if match and match["part"] == part:
                    kind = (match["name"], match["form"], int(match["total"]))
                    found.setdefault(kind, {})[int(match["number"])] = path
            if found:
                return _complete(folder, part, found)
    there = sorted(p.name for p in directory.iterdir()) if directory.is_dir() else None
    held = "There is no such directory" if there is None else f"It holds {there[:3] or 'nothing'}"
    raise ValueError(
        f"Expected TFRecord files such as {parts[0]}-00000-of-01024 or "
        f"imagenet2012-{parts[0]}.tfrecord-00000-of-01024 in directory={str(directory)!r}. {held}. "
        "Name the directory by --config.data.directory=..."
    )


def _complete(folder, part, found):
    if len(found) > 1:
        examples = sorted(next(iter(files.values())).name for files in found.values())
        raise ValueError(
            f"{str(folder)!r} holds the {part} files of several data sets: {', '.join(examples)}. "
            "Move one of them into a folder of its own."
        )
    ((_, form, total), files) = next(iter(found.items()))
    if form not in (None, "tfrecord"):
        raise ValueError(
            f"Expected TFRecord files. Received: {files[min(files)].name!r} in {str(folder)!r}, of "
            f"format {form!r}. TFDS writes records by `tfds build --file_format=tfrecord`."
        )
    missing = sorted(set(range(total)) - set(files))
    if missing:
        raise ValueError(
            f"{len(missing)} of {total} {part} files in {str(folder)!r} are missing, such as "
            f"number {missing[0]} ({len(files)} are there)."
        )
    return tuple(files[number] for number in range(total))


def read_records(path):
    """Goes through a TFRecord file.

    Args:
        path: the file.

    Yields:
        Pairs: where the record begins, bytes from the start of the file, and its bytes. The
        checksum of the length is verified, that of the record is not.

    Raises:
        ValueError: a torn, damaged or compressed file, or something else.
    """
    with open(path, "rb", buffering=1 << 20) as file:
        begins, number = 0, 0
        while header := file.read(_HEADER):
            if len(header) < _HEADER:
                raise _torn(path, number, begins, "its header is cut off")
            if header[8:] != _checksum(header[:8]):
                if begins == 0 and header[:2] == b"\x1f\x8b":
                    raise ValueError(
                        f"{str(path)!r} is compressed. Records are read where they begin, which "
                        "compressed files do not allow: unpack it (gunzip)."
                    )
                raise _torn(path, number, begins, "the checksum of its length is wrong")
            length = int.from_bytes(header[:8], "little")
            record = file.read(length)
            if len(record) < length or len(file.read(_FOOTER)) < _FOOTER:
                raise _torn(path, number, begins, f"of its {length} bytes some are cut off")
            yield begins + _HEADER, record
            begins += _HEADER + length + _FOOTER
            number += 1


def _torn(path, number, begins, what):
    return ValueError(
        f"{str(path)!r} is no complete TFRecord file: record {number}, from byte {begins} on: "
        f"{what}. Copy or make the file again."
    )


def _checksum(data):
    """CRC-32C (Castagnoli) of some bytes, masked as TFRecord files do, 4 bytes."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    masked = ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
    return masked.to_bytes(4, "little")


def _crc_table():
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, table >> 1 ^ np.uint32(0x82F63B78), table >> 1)
    return table.tolist()


_TABLE = _crc_table()
