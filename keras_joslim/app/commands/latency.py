"""`joslim latency`: a latency model, measured and fitted."""

import pathlib

from keras_joslim.app.command import Command, UsageError

_SAMPLING = (
    "samples",
    "held_out",
    "formats",
    "processes",
    "num_threads",
    "device",
    "benchmark_binary",
    "delegate",
    "adb",
    "serial",
    "big_cores",
)


def _check_latency(request):
    flags = request.flags
    if request.action != "sample":
        for name in _SAMPLING:
            if flags[name].value is not None:
                raise UsageError(
                    f"--{name} is a flag of `joslim latency sample`. Received: "
                    f"`joslim latency {request.action}`"
                )
        return
    for name in ("formats", "serial"):
        if len(flags[name].value or ()) > 1:
            raise UsageError(
                f"A latency model is of one of --{name}. Received: {','.join(flags[name].value)}"
            )
    if flags.device == "android" and not flags.benchmark_binary:
        raise UsageError(
            "--device=android needs --benchmark_binary=PATH, the TFLite benchmark tool built for "
            "the phone (docs/android.md says where it is to be had)"
        )
    for name in ("adb", "serial", "big_cores"):
        if flags[name].value is not None and flags.device != "android":
            raise UsageError(f"--{name} is for phones: give --device=android too")


def _latency(request):
    from keras_joslim.app import latency

    flags, workdir = request.flags, request.workdir
    directory = None if flags.directory is None else pathlib.Path(flags.directory)
    if request.action == "sample":
        formats, serials = flags.formats or [None], flags.serial or [None]
        latency.sample(
            workdir,
            request.config,
            flags.samples,
            flags.held_out,
            directory=directory,
            device=flags.device,
            format=formats[0],
            threads=flags.num_threads,
            delegate=flags.delegate,
            processes=flags.processes,
            benchmark_binary=flags.benchmark_binary,
            serial=serials[0],
            adb=flags.adb,
            big_cores=flags.big_cores,
        )
        return
    directory = directory or latency.find_directory(workdir)
    if request.action == "fit":
        latency.fit(directory)
    else:
        latency.validate(directory)


COMMAND = Command(
    "latency",
    summary="a latency model of a device: measured, fitted, validated; then a cost like any other",
    usage="[sample: --config=RECIPE --samples=600 --held_out=200 --formats=int8 "
    "--num_threads=1 --delegate=xnnpack --device=android --benchmark_binary=PATH ...] "
    "[--directory=DIR]",
    example="sample --config=configs/digits.py --workdir=runs/short --samples=300",
    flags=(*_SAMPLING, "directory", "config"),
    check=_check_latency,
    run=_latency,
    actions=("sample", "fit", "validate"),
    loads_keras=True,
)
