"""Latency of TFLite files on Android phones, by the TFLite benchmark tool over adb.

Several phones are measured at the same time, each by a thread of its own. A phone is left as it was
found: tool and models lie in one folder of their own, which goes in the end.
"""

import concurrent.futures
import hashlib
import platform
import threading
import typing

from keras_joslim.tflite.android.adb import Adb
from keras_joslim.tflite.android.adb_errors import AdbError
from keras_joslim.tflite.android.phone import PhoneFacts
from keras_joslim.tflite.android.phone_app import PhoneApp
from keras_joslim.tflite.android.phone_tool import PhoneTool
from keras_joslim.tflite.benchmark_log.parser import BenchmarkLogError
from keras_joslim.tflite.profiling.benchmark_tool import BenchmarkSettings
from keras_joslim.tflite.profiling.journal import Journal
from keras_joslim.tflite.profiling.rounds import (
    DeviceProfileError,
    Rounds,
    check_plan,
    hashed_files,
    steps,
)


class PhoneProfile(typing.NamedTuple):
    """What a phone says of itself, and dict file name -> `DeviceLatency`."""

    facts: PhoneFacts
    latencies: dict


def profile_android(
    files,
    benchmark_binary=None,
    *,
    journal,
    logs,
    serials=None,
    adb=None,
    num_threads=4,
    delegate="xnnpack",
    require_delegate=False,
    big_cores=True,
    rounds=3,
    runs=50,
    min_seconds=1.0,
    warmup=1,
    route="binary",
    operators=False,
    memory=True,
    seed=0,
    timeout=400.0,
    cool_down=5.0,
    thermal_wait=300.0,
    on_progress=None,
):
    """Measures TFLite files on phones.

    Each round goes over all files in a new random order; the first file is measured once more at
    the beginning and after each round, which shows whether the phone drifts. Memory and operators
    are measured by further runs, for to watch them takes time.

    Args:
        files: dict name -> path, an iterable of paths (then named by `str(path)`), or the
            `Manifest` of an export (then named "<point>.<format>").
        benchmark_binary: path of the tool, built for Android; for `route="apk"` of the app, or
            None if it is installed.
        journal: path of a JSON file. A measurement that is in it is not taken again; the key is
            serial, sha256 of tool and file, and settings.
        logs: folder that keeps what the tool wrote in each run.
        serials: of the phones, a list of str; None for the only one (or $ANDROID_SERIAL).
        adb: name or path of adb; the one on PATH if None.
        num_threads: threads of the CPU kernels.
        delegate: "xnnpack", "gpu", "nnapi" or "none".
        require_delegate: make it an error of a file if the delegate does not take all its nodes,
            not only a warning in its latency.
        big_cores: pin the tool to the fastest cores, as many as there are threads or more.
        rounds: processes that measure a file.
        runs, min_seconds: timed inferences and seconds of a process, at least.
        warmup: untimed inferences before them; the tool warms up for half a second at least.
        route: "binary", or "apk": the benchmark app, whose latencies are nearer to those of an
            app, and which cannot be pinned or profiled by operator. The phone must be unlocked. An
            app that is installed for the measurement is uninstalled again; one of another build
            that was there is replaced.
        operators: time the operators too.
        memory: measure the peak of memory, by one more run of each file.
        seed: of the order of the files within the rounds.
        timeout: seconds that one run of the tool may take.
        cool_down: seconds of pause before each run.
        thermal_wait: seconds to wait, before each run, for a phone to stop throttling; what is
            measured on a hot phone after all carries a warning.
        on_progress: called as `on_progress(done, total, what)` after each run, by one thread at a
            time.

    Returns:
        dict serial -> `PhoneProfile`, a pair of `PhoneFacts` and dict name -> `DeviceLatency`, in
        the order of `serials` and `files`.

    Raises:
        ValueError: impossible arguments, files that are none, a damaged journal.
        AdbError: without `serials`, there is not exactly one phone to be used.
        DeviceProfileError: after all has been tried: what could not be measured, and why. It
            holds the rest.

    Example:

    >>> measured = profile_android(
    ...     manifest, "android_aarch64_benchmark_model", journal="journal.json", logs="logs"
    ... )
    >>> measured["2A091FDH2000XY"].latencies["p00.fp32"].median
    4.213
    """
    if route not in ("binary", "apk"):
        raise ValueError(f"Expected route 'binary' or 'apk'. Received: route={route!r}")
    if benchmark_binary is None and route == "binary":
        raise ValueError(
            "Expected the path of the TFLite benchmark tool, a build for Android. "
            "Received: benchmark_binary=None"
        )
    if operators and route == "apk":
        raise ValueError(
            "Expected route='binary' to time operators: the app's profile cannot be read. "
            "Received: route='apk', operators=True"
        )
    settings = BenchmarkSettings(num_threads, delegate, runs, min_seconds, warmup)
    check_plan(rounds, timeout, cool_down, thermal_wait)
    files, kept = hashed_files(files), Journal(journal)
    planned = steps(files, rounds, seed, operators, memory)
    adbs = _adbs(adb or "adb", serials)
    folder, stop, progress = _folder(kept.path), threading.Event(), threading.Lock()
    done, total = 0, len(planned) * len(adbs)

    def on_step(step, serial):
        nonlocal done
        with progress:
            done += 1
            if on_progress:
                on_progress(done, total, f"{step.name} on {serial}")

    def worker(phone_adb):
        kind = PhoneApp if route == "apk" else PhoneTool
        device = kind(phone_adb, benchmark_binary, settings, folder, timeout, stop, big_cores)
        rounds_of_phone = Rounds(
            device,
            files,
            settings,
            planned,
            kept,
            logs,
            cool_down=cool_down,
            thermal_wait=thermal_wait,
            require_delegate=require_delegate,
            on_step=lambda step: on_step(step, device.name),
        )
        return _measured(device, rounds_of_phone)

    with concurrent.futures.ThreadPoolExecutor(len(adbs)) as pool:
        working = {one.serial: pool.submit(worker, one) for one in adbs}
        try:
            concurrent.futures.wait(working.values())
        except BaseException:
            # Leaving the block waits for the threads, which clean their phones.
            stop.set()
            for one in adbs:
                one.interrupt()
            raise
    outcomes = {serial: one.result() for serial, one in working.items()}
    errors = {
        (serial, name): error
        for serial, outcome in outcomes.items()
        for name, error in outcome.errors.items()
    }
    measured = {serial: outcome.profile for serial, outcome in outcomes.items() if outcome.profile}
    if errors:
        left = [f"{folder} on {serial}" for serial, one in outcomes.items() if one.left]
        raise DeviceProfileError(errors, measured, kept.path, left) from next(iter(errors.values()))
    return measured


class _Outcome(typing.NamedTuple):
    """What came of a phone: its profile or None, file name or None -> error, is its folder left?"""

    profile: PhoneProfile | None
    errors: dict
    left: bool


def _measured(device, rounds):
    """The `_Outcome` of one phone."""
    try:
        facts = device.prepare()
    except (AdbError, BenchmarkLogError) as error:
        return _Outcome(None, {None: error}, False)
    failed, left = {}, False
    try:
        try:
            rounds.measure()
        finally:
            try:
                device.clean()
            except AdbError as error:
                failed[None], left = error, True
    except (AdbError, BenchmarkLogError) as error:
        failed[None] = error
    profile = PhoneProfile(facts, rounds.latencies())
    return _Outcome(profile, {**rounds.errors, **failed}, left)


def _adbs(binary, serials):
    """An `Adb` of each phone, its serial known."""
    if serials is None:
        only = Adb(binary)
        only.select()
        return [only]
    serials = [serials] if isinstance(serials, str) else list(serials)
    if not serials or len(set(serials)) < len(serials):
        raise ValueError(f"Expected serials of phones, each once. Received: serials={serials!r}")
    return [Adb(binary, serial) for serial in serials]


def _folder(journal):
    """The folder on the phones: that of the journal, so that a second call finds its files."""
    whose = f"{platform.node()}:{journal.absolute()}"
    return f"/data/local/tmp/keras_joslim-{hashlib.sha256(whose.encode()).hexdigest()[:12]}"
