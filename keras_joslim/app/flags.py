"""The flags of the command `joslim`, and their help."""

import textwrap

from absl import flags
from ml_collections import config_flags

from keras_joslim.app.methods import COSTS, SEARCHES
from keras_joslim.search.joslim_search import TARGETS
from keras_joslim.tflite.formats import FORMATS

# Flags that absl adds to every command.
_FROM_ABSL = ("flagfile", "undefok")


def flag_values(argv):
    """The flags of the command, not parsed yet; a fresh set for every command line."""
    values = flags.FlagValues()
    config_flags.DEFINE_config_file(
        "config",
        None,
        "Recipe: a file whose get_config() gives a ConfigDict. A field is overridden by, for "
        "example, --config.train.epochs=20.",
        flag_values=values,
        sys_argv=argv,
    )
    flags.DEFINE_string("workdir", None, "Directory of the run; required.", flag_values=values)
    flags.DEFINE_enum(
        "method", None, SEARCHES, "How to search; needed by search.", flag_values=values
    )
    flags.DEFINE_enum(
        "cost", None, COSTS, "Cost of a search (default: from the config).", flag_values=values
    )
    flags.DEFINE_enum(
        "targets",
        None,
        TARGETS,
        "Where mobo wants its points (default: uniform).",
        flag_values=values,
    )
    flags.DEFINE_string(
        "name", None, "Name of a search (default: <method>-<cost>).", flag_values=values
    )
    flags.DEFINE_string(
        "by",
        None,
        "Measure of `joslim front`: a cost, bytes, arena or latency:<device>; needed by it.",
        flag_values=values,
    )
    flags.DEFINE_list(
        "formats",
        None,
        f"Number formats of {', '.join(FORMATS)} (default: export those of the config, profile the "
        "first of them).",
        flag_values=values,
    )
    flags.DEFINE_string(
        "points",
        None,
        "Points to export or bundle: all, knees, budget:<n> or names such as p00,p03 (default: "
        "export those of the config, bundle all).",
        flag_values=values,
    )
    flags.DEFINE_bool(
        "single_file",
        None,
        "Export the points to one fp32 file with a signature each, kernels stored once.",
        flag_values=values,
    )
    _profile_flags(values)
    _bundle_flags(values)
    for name, what in (
        ("processes", "Fresh processes a file"),
        ("runs", "Timed runs a process, at least"),
        ("num_threads", "Threads of an inference"),
        ("evaluations", "Networks that a search measures; greedy: until its end"),
    ):
        what = f"{what} (default: from the config)."
        flags.DEFINE_integer(name, None, what, lower_bound=1, flag_values=values)
    flags.DEFINE_integer(
        "jobs",
        None,
        "Processes that convert (default: as many as there are cores, and memory for).",
        lower_bound=1,
        flag_values=values,
    )
    flags.DEFINE_bool("help", False, "Show this help.", short_name="h", flag_values=values)
    return values


def _profile_flags(values):
    """Those of `joslim profile`; most are the TFLite benchmark tool's own."""
    flags.DEFINE_enum(
        "device",
        "host",
        ["host", "android"],
        "Where to profile: this machine, or phones over adb (default: host).",
        flag_values=values,
    )
    for name, what in (
        ("benchmark_binary", "The TFLite benchmark tool: a build for Android, or for Linux"),
        ("adb", "Path of adb (default: the one on PATH)"),
    ):
        flags.DEFINE_string(name, None, f"{what}.", flag_values=values)
    flags.DEFINE_list(
        "serial", None, "Phones, as `adb devices` names them (default: the only one).", values
    )
    flags.DEFINE_enum(
        "delegate",
        None,
        ["xnnpack", "gpu", "nnapi", "none"],
        "What is to run the model (default: xnnpack).",
        flag_values=values,
    )
    flags.DEFINE_enum(
        "route",
        None,
        ["binary", "apk"],
        "On a phone: the tool itself, or the benchmark app (default: binary).",
        flag_values=values,
    )
    flags.DEFINE_bool(
        "big_cores", None, "On a phone: pin to the fastest cores (default: yes).", values
    )
    flags.DEFINE_bool("operators", None, "Time the operators too (default: no).", values)


def _bundle_flags(values):
    """Those of `joslim bundle`."""
    for name, what in (
        ("output", "Folder of the bundle (default: bundle/ beside the front)"),
        ("play_ai_pack", "Name of a Play AI pack to write into the bundle"),
        (
            "device_groups",
            "JSON file of the groups of phones that the pack is for, and their points",
        ),
    ):
        flags.DEFINE_string(name, None, f"{what}.", flag_values=values)


def flag_lines(values):
    """Help for each flag of ours and, of a recipe that is given, for its fields."""
    texts = {values[name].name: values[name].help for name in values}
    names = sorted(set(texts) - set(_FROM_ABSL))
    lines = [f"  --{name:<16} {' '.join(texts[name].split())}" for name in names]
    return [textwrap.fill(line, 96, subsequent_indent=" " * 21) for line in lines]
