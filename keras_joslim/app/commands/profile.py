"""`joslim profile`: latency here, or on phones."""

from keras_joslim.app.command import Command, UsageError
from keras_joslim.app.commands.export import take_config
from keras_joslim.app.commands.results import say_results

_PHONE = ("adb", "serial", "route", "big_cores")
_TOOL = ("benchmark_binary", "delegate", "operators", *_PHONE)
PROFILE = ("processes", "runs", "num_threads", "device", *_TOOL)


def check_profile(request):
    """Refuses flags of phones and of the benchmark tool where there are none."""
    flags = request.flags
    on_a_phone = flags.device == "android"
    for name in _TOOL:
        if flags[name].value is None or on_a_phone:
            continue
        if name in _PHONE:
            raise UsageError(f"--{name} is for phones: give --device=android too")
        if flags.benchmark_binary is None:
            raise UsageError(f"--{name} is of the TFLite benchmark tool: --benchmark_binary=PATH")
    if on_a_phone and not flags.benchmark_binary and flags.route != "apk":
        raise UsageError(
            "--device=android needs --benchmark_binary=PATH, the TFLite benchmark tool built for "
            "the phone (docs/android.md says where it is to be had)"
        )


def _profile(request):
    take_config(request)
    profile_files(request)
    say_results(request.workdir)


def profile_files(request):
    """By LiteRT in Python, or by the benchmark tool where one is given."""
    workdir, flags = request.workdir, request.flags
    counts = {name: flags[name].value for name in ("processes", "runs", "num_threads")}
    device = flags.device or "host"
    if device == "host" and flags.benchmark_binary is None:
        from keras_joslim.app.profile import profile

        profile(workdir, flags.formats, **counts)
        return
    from keras_joslim.app.profile_tool import profile_with_tool

    names = ["benchmark_binary", "delegate", "operators"]
    if device == "android":
        names += ["adb", "route", "big_cores"]
    counts["rounds"] = counts.pop("processes")
    profile_with_tool(
        workdir,
        device,
        flags.formats,
        serials=flags.serial,
        **counts,
        **{name: flags[name].value for name in names},
    )


COMMAND = Command(
    "profile",
    summary="latency on this machine, or on phones over adb",
    usage="[--processes=5] [--formats=int8] [--name=SEARCH] [--device=android "
    "--benchmark_binary=PATH [--serial=...] [--delegate=gpu] ...]",
    example="--workdir=runs/short --processes=5 --num_threads=1",
    flags=("formats", *PROFILE, "name", "config"),
    check=check_profile,
    run=_profile,
)
