"""A phone on loopback: the device's end of adb's wire protocol, for a real adb to talk to.

Packets, AUTH and the services `shell:`, `shell,v2:` and `sync:` behave as adbd's do, their error
messages are those of phones, and faults can be switched on at any time. What is on the phone lies
in a folder; its shell is this machine's `/bin/sh`.
"""

import contextlib
import itertools
import os
import pathlib
import queue
import re
import secrets
import signal
import socket
import struct
import subprocess
import threading

from tests.tflite import adb_sync

# Versions of the protocol: from the second one on nobody looks at the checksums.
CHECKSUMS, NO_CHECKSUMS = 0x01000000, 0x01000001
# What daemons say they can do: Android 12 and later, 8, and those before 7.
FEATURES_12 = ("shell_v2", "cmd", "stat_v2", "ls_v2", "fixed_push_mkdir", "sendrecv_v2")
FEATURES_8 = ("shell_v2", "cmd")
FEATURES_6 = ()

_TOKEN, _PUBLIC_KEY = 1, 3
_STDOUT, _STDERR, _EXIT = 1, 2, 3
# Folders of a phone that a command may name. A path that merely ends like one is left alone.
_DEVICE_PATH = re.compile(r"(?<![\w/.:-])/(?=(data/local/tmp|sdcard|sys|proc)(?![\w.-]))")


class Phone:
    """One daemon, its own thread, listening on a free port of 127.0.0.1.

    Args:
        folder: the root of the phone's files; its path must have no characters special to a shell.
        model: what `adb devices -l` shows.
        version: CHECKSUMS or NO_CHECKSUMS.
        features: what the daemon says it can do, of FEATURES_12.

    Attributes:
        serial: the address, adb's name of the phone.
        pushes: paths of the files that arrived whole, in order.
        commands: what its shell was given, in order.
        errors: what was wrong with the packets received.
        and the faults, all settable, each off at first:
        authorised: False: it asks for a key and accepts none.
        offline: it takes connections and never greets.
        read_only: nothing can be created by a push.
        no_space_after, cut_file_after, cut_shell_after: bytes of a pushed file after which the
            storage is full, and of a pushed or pulled file, or of a command's output, after which
            the connection is closed; None for never.
        hangs: its shell prints nothing and does not end.
        garbage: "shell": its shell prints random bytes; "packets": packets are random bytes.
    """

    def __init__(self, folder, model="Pixel 7", version=NO_CHECKSUMS, features=FEATURES_12, port=0):
        self.folder = pathlib.Path(folder)
        self.model, self.version, self.features = model, version, features
        self.pushes, self.commands, self.errors = [], [], []
        self.authorised = True
        self.offline = self.read_only = self.hangs = False
        self.no_space_after = self.cut_file_after = self.cut_shell_after = None
        self.garbage = None
        self.programs = self.folder / "system" / "bin"
        for path in (self.programs, self.path("/data/local/tmp"), self.path("/sdcard")):
            path.mkdir(parents=True, exist_ok=True)
        self.connections, self.processes = set(), set()
        self._server = socket.create_server(("127.0.0.1", port))
        self.port = self._server.getsockname()[1]
        self.serial = f"127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self):
        while True:
            try:
                connected, _ = self._server.accept()
            except OSError:
                return
            _Connection(self, connected).start()

    def path(self, device_path):
        """Where a path of the phone lies on this machine."""
        device_path = os.fspath(device_path)
        if device_path.startswith(f"{self.folder}/"):
            return pathlib.Path(device_path)
        return self.folder / device_path.lstrip("/")

    def program(self, name, script):
        """Puts a shell script on the phone's PATH."""
        path = self.programs / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def accept_dialog(self):
        """The owner taps on "allow": the connections that wait for it are greeted."""
        self.authorised = True
        for connection in list(self.connections):
            if connection.asked:
                connection.greet()

    def drop(self):
        """Closes all connections, as a phone that dies; its programs die too."""
        for connection in list(self.connections):
            connection.close()
        for process in list(self.processes):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

    def stop(self):
        # accept() in another thread does not notice close() alone.
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self.drop()
        self._thread.join(10)


class _Connection(threading.Thread):
    """Packets: 6 little-endian uint32 (command, 2 arguments, length, checksum, magic) and data."""

    def __init__(self, phone, connected):
        super().__init__(daemon=True)
        self.phone, self._socket = phone, connected
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.asked = False
        self.streams = {}
        self.checksums, self.largest = True, 4096
        self._numbers, self._sending = itertools.count(1), threading.Lock()
        phone.connections.add(self)

    def run(self):
        try:
            while True:
                self._handle(*self._receive())
        except (OSError, EOFError):
            pass
        finally:
            self.close()
            self._socket.close()

    def close(self):
        self.phone.connections.discard(self)
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        for stream in list(self.streams.values()):
            stream.end()

    def _exactly(self, size):
        data = bytearray()
        while len(data) < size:
            part = self._socket.recv(min(size - len(data), 1 << 20))
            if not part:
                raise EOFError
            data += part
        return bytes(data)

    def _receive(self):
        command, first, second, size, checksum, magic = struct.unpack("<6I", self._exactly(24))
        data = self._exactly(size)
        if magic != command ^ 0xFFFFFFFF or (self.checksums and checksum != sum(data)):
            self.phone.errors.append(f"bad packet {command:#x} of {size} bytes")
            raise EOFError
        return struct.pack("<I", command), first, second, data

    def send(self, command, first, second, data=b""):
        number = struct.unpack("<I", command)[0]
        checksum = sum(data) & 0xFFFFFFFF if self.checksums else 0
        head = struct.pack("<6I", number, first, second, len(data), checksum, number ^ 0xFFFFFFFF)
        if self.phone.garbage == "packets":
            head = secrets.token_bytes(24)
        with self._sending:
            self._socket.sendall(head + data)

    def greet(self):
        words = (
            f"device::ro.product.name=loopback;ro.product.model={self.phone.model};"
            f"ro.product.device=loopback;features={','.join(self.phone.features)}"
        )
        self.asked = False
        self.send(b"CNXN", self.phone.version, 1 << 20, words.encode())
        self.checksums = min(self.phone.version, self._version) < NO_CHECKSUMS

    def _handle(self, command, first, second, data):
        if command == b"CNXN":
            self._version, self.largest = first, min(second, 1 << 20)
            if self.phone.offline:
                return
            if self.phone.authorised:
                self.greet()
            else:
                self.send(b"AUTH", _TOKEN, 0, secrets.token_bytes(20))
        elif command == b"AUTH":
            # adb offers a signature by each of its keys, and at last a public key: the dialog.
            if self.phone.authorised:
                self.greet()
            elif first == _PUBLIC_KEY:
                self.asked = True
            else:
                self.send(b"AUTH", _TOKEN, 0, secrets.token_bytes(20))
        elif command == b"OPEN":
            number = next(self._numbers)
            self.streams[number] = stream = _Stream(self, number, first)
            threading.Thread(target=stream.serve, args=(data,), daemon=True).start()
        elif second in self.streams:
            stream = self.streams[second]
            if command == b"WRTE":
                stream.inbox.put(data)
            elif command == b"OKAY":
                stream.acknowledged.release()
            elif command == b"CLSE":
                stream.end()


class _Stream:
    """One service: bytes both ways, each WRTE waits for the OKAY of the one before."""

    def __init__(self, connection, number, remote):
        self.connection, self.phone = connection, connection.phone
        self._ids = (number, remote)
        self.inbox, self._read = queue.Queue(), b""
        self.acknowledged = threading.Semaphore(0)
        self._writing, self.ended = threading.Lock(), threading.Event()

    def end(self):
        self.ended.set()
        self.inbox.put(None)
        self.acknowledged.release()

    def serve(self, service):
        service = os.fsdecode(service.rstrip(b"\0"))
        try:
            if service == "sync:":
                self._send(b"OKAY")
                adb_sync.serve(self)
            elif service.startswith("shell"):
                self._send(b"OKAY")
                kind, _, command = service.partition(":")
                _shell(self, command, "v2" in kind.split(","))
            self._send(b"CLSE")
        except (OSError, EOFError):
            pass
        finally:
            self.connection.streams.pop(self._ids[0], None)

    def _send(self, command, data=b""):
        self.connection.send(command, *self._ids, data)

    def read(self, size):
        """Exactly `size` bytes, or EOFError."""
        parts, missing = [self._read[:size]], size - len(self._read)
        self._read = self._read[size:]
        while missing > 0:
            data = self.inbox.get()
            if data is None:
                self.inbox.put(None)
                raise EOFError
            self._send(b"OKAY")
            parts.append(data[:missing])
            self._read, missing = data[missing:], missing - len(data)
        return b"".join(parts)

    def write(self, data):
        with self._writing:
            for start in range(0, len(data), self.connection.largest):
                if self.ended.is_set():
                    raise EOFError
                self._send(b"WRTE", data[start : start + self.connection.largest])
                self.acknowledged.acquire()


def _shell(stream, command, v2):
    """Runs a command. With the protocol v2 stdout, stderr and the exit code arrive apart."""
    phone = stream.phone
    phone.commands.append(command)
    threading.Thread(target=_discard, args=(stream,), daemon=True).start()
    if phone.hangs:
        stream.ended.wait()
        return
    command = _DEVICE_PATH.sub(f"{phone.folder}/", command)
    if phone.garbage == "shell":
        command = "head -c 5000 /dev/urandom; head -c 700 /dev/urandom >&2; exit 3"
    process = subprocess.Popen(
        # Under nohup, or in the background of a script, signals are ignored, and a shell that is
        # born so can never trap them. Those of a phone can.
        ["env", "--default-signal=HUP,INT,QUIT", "/bin/sh", "-c", command],
        cwd=phone.folder,
        env={"PATH": f"{phone.programs}:/usr/local/bin:/usr/bin:/bin", "PHONE": str(phone.folder)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE if v2 else subprocess.STDOUT,
        start_new_session=True,
    )
    phone.processes.add(process)
    left = phone.cut_shell_after

    def pump(pipe, kind):
        nonlocal left
        with pipe, contextlib.suppress(OSError, EOFError):
            while data := os.read(pipe.fileno(), 4096):
                whole = left is None or len(data) <= left
                data = data if left is None else data[:left]
                # Before the protocol v2 adbd ran everything on a pseudo terminal.
                stream.write(_packet(kind, data) if v2 else data.replace(b"\n", b"\r\n"))
                if not whole:
                    phone.drop()
                left = left and left - len(data)

    pipes = [(process.stdout, _STDOUT)] + ([(process.stderr, _STDERR)] if v2 else [])
    pumps = [threading.Thread(target=pump, args=one, daemon=True) for one in pipes]
    for thread in [*pumps, threading.Thread(target=_hang_up, args=(stream, process), daemon=True)]:
        thread.start()
    for thread in pumps:
        thread.join()
    code = process.wait()
    phone.processes.discard(process)
    if v2:
        stream.write(_packet(_EXIT, bytes([code if code >= 0 else 128 - code])))
    stream.ended.set()


def _packet(kind, data):
    return struct.pack("<BI", kind, len(data)) + data


def _discard(stream):
    """Takes what adb sends to a command's stdin, or adb would wait."""
    with contextlib.suppress(OSError, EOFError):
        while True:
            stream.read(1)


def _hang_up(stream, process):
    """adbd's way to stop a command that nobody listens to: SIGHUP to its shell only."""
    stream.ended.wait()
    if process.poll() is None:
        process.send_signal(signal.SIGHUP)
