"""The service `sync:` of the phone in adb_daemon: what `adb push` and `adb pull` speak."""

import contextlib
import errno
import os
import struct

_CHUNK = 65536


def serve(stream):
    """Answers until adb quits; EOFError if it goes away."""
    _Sync(stream).run()


class _Sync:
    """Files: messages of 4 letters and a uint32 length, answers of fixed layouts."""

    def __init__(self, stream):
        self.stream, self.phone = stream, stream.phone

    def run(self):
        while True:
            name, size = struct.unpack("<4sI", self.stream.read(8))
            if name == b"QUIT":
                return
            path = os.fsdecode(self.stream.read(size))
            if name in (b"STAT", b"STA2", b"LST2"):
                self._stat(name, path)
            elif name in (b"LIST", b"LIS2"):
                self._list(name, path)
            elif name == b"SEND":
                path, _, mode = path.rpartition(",")
                self._take(path, int(mode))
            elif name == b"SND2":
                _, mode, _ = struct.unpack("<4sII", self.stream.read(12))
                self._take(path, mode)
            elif name in (b"RECV", b"RCV2"):
                if name == b"RCV2":
                    self.stream.read(8)
                self._give(path)
            else:
                self._fail(f"unknown command {name!r}")
                return

    def _fail(self, words):
        self.stream.write(struct.pack("<4sI", b"FAIL", len(words.encode())) + words.encode())

    def _stat(self, name, path):
        self.stream.write(name + self._facts(name != b"STAT", path, name == b"LST2"))

    def _facts(self, v2, path, link=False):
        """Mode, size and time; with v2 error, device, inode, mode, links, owner and times."""
        try:
            found = os.stat(self.phone.path(path), follow_symlinks=not (link or not v2))
        except OSError as error:
            return struct.pack("<I64x", error.errno) if v2 else bytes(12)
        if not v2:
            return struct.pack("<3I", found.st_mode, found.st_size, int(found.st_mtime))
        facts = (0, 0, found.st_ino, found.st_mode, 1, 0, 0, found.st_size)
        return struct.pack("<I2Q4IQ3q", *facts, *(3 * [int(found.st_mtime)]))

    def _list(self, name, path):
        v2 = name == b"LIS2"
        for entry in sorted(self.phone.path(path).iterdir(), key=os.fspath):
            facts, label = self._facts(v2, entry, link=True), os.fsencode(entry.name)
            kind = b"DNT2" if v2 else b"DENT"
            self.stream.write(kind + facts + struct.pack("<I", len(label)) + label)
        self.stream.write(b"DONE" + bytes(72 if v2 else 16))

    def _take(self, device_path, mode):
        """A file that is pushed. A failure is told at once; the rest is read and thrown away."""
        path, failure, taken = self.phone.path(device_path), None, 0
        with contextlib.ExitStack() as stack:
            try:
                if self.phone.read_only:
                    raise OSError(errno.EROFS, os.strerror(errno.EROFS))
                path.parent.mkdir(parents=True, exist_ok=True)
                path.unlink(missing_ok=True)
                file = stack.enter_context(open(path, "xb"))
            except OSError as error:
                failure = f"couldn't create file: {error.strerror}"
                self._fail(failure)
            try:
                while True:
                    name, size = struct.unpack("<4sI", self.stream.read(8))
                    if name == b"DONE":
                        break
                    data, taken = self.stream.read(size), taken + size
                    cut, full = self.phone.cut_file_after, self.phone.no_space_after
                    if cut is not None and taken > cut:
                        self.phone.drop()
                        raise EOFError
                    if failure is None and full is not None and taken > full:
                        failure = f"write failed: {os.strerror(errno.ENOSPC)}"
                        self._fail(failure)
                    elif failure is None:
                        file.write(data)
            except EOFError:
                failure = "adb is gone"
                raise
            finally:
                if failure and not self.phone.read_only:
                    path.unlink(missing_ok=True)
        if failure is None:
            path.chmod(0o600 | (mode & 0o777))
            self.phone.pushes.append(device_path)
            self.stream.write(struct.pack("<4sI", b"OKAY", 0))

    def _give(self, path):
        try:
            data = self.phone.path(path).read_bytes()
        except OSError as error:
            self._fail(f"open failed: {error.strerror}")
            return
        for start in range(0, len(data), _CHUNK):
            if self.phone.cut_file_after is not None and start > self.phone.cut_file_after:
                self.phone.drop()
            part = data[start : start + _CHUNK]
            self.stream.write(struct.pack("<4sI", b"DATA", len(part)) + part)
        self.stream.write(struct.pack("<4sI", b"DONE", 0))
