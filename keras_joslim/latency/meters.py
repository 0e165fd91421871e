"""What measures latency samples: this machine, by LiteRT or the benchmark tool, or a phone."""

import os
import pathlib
import platform
import shutil

# Settings of a measurement where they are not given. Few runs: the least of many short processes
# moves less than that of one long one.
PROCESSES, RUNS, MIN_SECONDS = 5, 20, 0.05


def find_meter(
    directory, device, threads, delegate, processes, benchmark_binary, serial, adb, big_cores
):
    """The meter that the arguments of `latency.sample` mean.

    Returns:
        `(meter, device, settings)`: `meter(files)` gives the milliseconds, dict name -> float, of a
        dict name -> path; the dicts tell what the latencies are of.

    Raises:
        ValueError: settings that make no sense.
    """
    if device not in ("host", "android"):
        raise ValueError(f"A device is 'host' or 'android'. Received: device={device!r}")
    if device == "android" and benchmark_binary is None:
        raise ValueError(
            "A phone is measured with the TFLite benchmark tool. Received: device='android' and "
            "benchmark_binary=None"
        )
    if benchmark_binary is None:
        return host_meter(threads, delegate, processes)
    return tool_meter(
        directory,
        benchmark_binary,
        device,
        threads,
        delegate,
        processes,
        serial,
        adb,
        big_cores,
    )


def host_meter(threads=1, delegate="xnnpack", processes=PROCESSES):
    """Measures in fresh processes of LiteRT in Python, as `tflite.profile` does.

    Args:
        threads: of one inference.
        delegate: "xnnpack" or "none".
        processes: that measure a file, one a call of the meter.

    Returns:
        As `find_meter`.

    Raises:
        ValueError: another delegate.
    """
    from keras_joslim import tflite

    if delegate not in ("xnnpack", "none"):
        raise ValueError(
            "LiteRT in Python runs with the delegate xnnpack or none; others are for the benchmark "
            f"tool (benchmark_binary). Received: delegate={delegate!r}"
        )
    settings = {
        "statistic": "min",
        "threads": threads,
        "delegate": delegate,
        "processes": processes,
        "runs": RUNS,
        "min_seconds": MIN_SECONDS,
    }

    def meter(files):
        measured = tflite.profile(
            files,
            1,
            RUNS,
            threads=threads,
            xnnpack=delegate == "xnnpack",
            min_seconds=MIN_SECONDS,
            files_per_process=len(files),
        )
        return {name: latency.min for name, latency in measured.items()}

    return meter, host_facts(), settings


def host_facts():
    """What this machine says of itself: a JSON dict."""
    return {
        "name": "host",
        "system": platform.system(),
        "machine": platform.machine(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "litert": _version("ai-edge-litert"),
    }


def _processor():
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or None
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or None


def _version(package):
    import importlib.metadata

    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def tool_meter(
    directory,
    benchmark_binary,
    device="host",
    threads=1,
    delegate="xnnpack",
    processes=PROCESSES,
    serial=None,
    adb=None,
    big_cores=True,
):
    """Measures with the TFLite benchmark tool: on a phone over adb, or on this machine.

    Args:
        directory: where journal and logs of what is being measured are kept.
        benchmark_binary: path of the tool.
        device: "android" or "host".
        threads, delegate, big_cores: as in `tflite.profile_android`.
        processes: that measure a file, one a call of the meter.
        serial: of the phone; the only one if `None`.
        adb: path of adb.

    Returns:
        As `find_meter`. The facts of a phone are known once it has
        measured something: `device` is filled in then.
    """
    from keras_joslim import tflite

    directory = pathlib.Path(directory)
    facts = {"name": "host-tool" if device == "host" else serial or "android"}
    settings = {
        "statistic": "min",
        "threads": threads,
        "delegate": delegate,
        "processes": processes,
        "runs": RUNS,
        "min_seconds": MIN_SECONDS,
    }
    own = {"num_threads": threads, "delegate": delegate, "rounds": 1}
    own |= {"runs": RUNS, "min_seconds": MIN_SECONDS, "memory": False}
    places = {"journal": directory / "journal.json", "logs": directory / "logs"}

    def meter(files):
        if device == "host":
            measured = tflite.profile_with_tool(files, benchmark_binary, **places, **own)
        else:
            serials = None if serial is None else [serial]
            phones = tflite.profile_android(
                files,
                benchmark_binary,
                serials=serials,
                adb=adb,
                big_cores=big_cores,
                cool_down=0.0,
                **places,
                **own,
            )
            (one,) = phones.values()
            measured = one.latencies
            facts.update(one.facts.to_dict())
        # The batch is in the samples from now on.
        places["journal"].unlink(missing_ok=True)
        shutil.rmtree(places["logs"], ignore_errors=True)
        return {
            name: found.mean if found.min is None else found.min for name, found in measured.items()
        }

    return meter, facts, settings
