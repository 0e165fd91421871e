"""The flags of the command `joslim`, each once; which command takes which is in commands/."""

import dataclasses
import textwrap
from collections.abc import Callable

from absl import flags
from ml_collections import config_flags

from keras_joslim.app.choices import SEARCHES, TARGETS, checked_cost
from keras_joslim.distribution.choice import STRATEGIES
from keras_joslim.tflite.formats import FORMATS

# What every command takes.
COMMON = ("workdir", "help")


@dataclasses.dataclass(frozen=True)
class Flag:
    """One flag.

    Attributes:
        name: without dashes.
        help: one sentence or two.
        define: an absl function that defines a flag of its type, default None.
        options: further arguments of it.
        refusal: what is said to a command that does not take it, `{command}` being its name;
            where it is empty, whose flag it is.
    """

    name: str
    help: str
    define: Callable = flags.DEFINE_string
    options: dict = dataclasses.field(default_factory=dict)
    refusal: str = ""


class _Cost(flags.ArgumentParser):
    """Costs as `checked_cost` has them."""

    def parse(self, argument):
        return checked_cost(argument)


def _cost(name, **options):
    flags.DEFINE(_Cost(), name, **options)


def _one_of(*words):
    return {"define": flags.DEFINE_enum, "options": {"enum_values": list(words)}}


_COUNT = {"define": flags.DEFINE_integer, "options": {"lower_bound": 1}}
_AMOUNT = {"define": flags.DEFINE_float, "options": {"lower_bound": 0.0}}
_YES_OR_NO = {"define": flags.DEFINE_bool}
_LIST = {"define": flags.DEFINE_list}
_OF_A_TRAINING = (
    "--{flag} is a flag of `joslim search`; `joslim {command}` takes fields of its config, such "
    "as --config.method.name=... or --config.cost=..."
)

_ALL = (
    Flag(
        "workdir",
        "Directory of the run; required.",
        refusal="--workdir is the directory of a run; `joslim {command}` needs and makes none",
    ),
    # -- run, train
    Flag(
        "strategy",
        "On what to train: none, one device; mirrored, all devices of this machine; multi_worker, "
        "the machines that TF_CONFIG names (default: none).",
        **_one_of(*STRATEGIES),
    ),
    # -- search
    Flag(
        "method",
        f"How to search: {', '.join(SEARCHES)}; required.",
        **_one_of(*SEARCHES),
        refusal=_OF_A_TRAINING,
    ),
    Flag(
        "cost",
        "Cost of a search: macs, parameters, memory, or latency:FILE, a fitted latency model "
        "(default: from the config).",
        _cost,
        refusal=_OF_A_TRAINING,
    ),
    Flag(
        "evaluations",
        "Networks that a search measures; greedy: until its end (default: from the config).",
        **_COUNT,
        refusal=_OF_A_TRAINING,
    ),
    Flag(
        "targets",
        f"Where mobo wants its points: {', '.join(TARGETS)} (default: uniform).",
        **_one_of(*TARGETS),
        refusal=_OF_A_TRAINING,
    ),
    Flag(
        "budget",
        "What the network that mrf looks for may cost at most, in the cost's unit (default: a "
        "spread of budgets).",
        **_AMOUNT,
    ),
    Flag("budget_ms", "The same in milliseconds, for --cost=latency:FILE.", **_AMOUNT),
    Flag(
        "name",
        "Name of a search, whose front is meant rather than the training's (default of search: "
        "<method>-<cost>[-<budget>]).",
        refusal="--name is the name of a search; `joslim {command}` has none",
    ),
    # -- front
    Flag("by", "The measure: a cost, bytes, arena or latency:<device>; required."),
    # -- export, bundle
    Flag(
        "formats",
        f"Number formats of {', '.join(FORMATS)} (default: export those of the config, profile the "
        "first of them, latency fp32; it takes one).",
        **_LIST,
    ),
    Flag(
        "points",
        "Points to export or bundle: all, knees, budget:<n> or names such as p00,p03 (default: "
        "export those of the config, bundle all).",
    ),
    Flag(
        "jobs",
        "Processes that convert (default: as many as there are cores, and memory for).",
        **_COUNT,
    ),
    Flag(
        "single_file",
        "Export the points to one fp32 file with a signature each, kernels stored once.",
        **_YES_OR_NO,
    ),
    Flag("output", "Folder of the bundle (default: bundle/ beside the front)."),
    Flag("play_ai_pack", "Name of a Play AI pack to write into the bundle."),
    Flag(
        "device_groups",
        "JSON file of the groups of phones that the pack is for, and their points.",
    ),
    # -- profile; most are the TFLite benchmark tool's own
    Flag("processes", "Fresh processes a file (default: from the config; latency 5).", **_COUNT),
    Flag("runs", "Timed runs a process, at least (default: from the config).", **_COUNT),
    Flag("num_threads", "Threads of an inference (default: from the config; latency 1).", **_COUNT),
    Flag(
        "device",
        "Where to profile: host, this machine, or android, phones over adb (default: host).",
        **_one_of("host", "android"),
    ),
    Flag("benchmark_binary", "The TFLite benchmark tool: a build for Android, or for Linux."),
    Flag(
        "delegate",
        "What is to run the model: xnnpack, gpu, nnapi or none (default: xnnpack).",
        **_one_of("xnnpack", "gpu", "nnapi", "none"),
    ),
    Flag("operators", "Time the operators too (default: no).", **_YES_OR_NO),
    Flag("adb", "Path of adb (default: the one on PATH)."),
    Flag("serial", "Phones, as `adb devices` names them (default: the only one).", **_LIST),
    Flag(
        "route",
        "On a phone: binary, the tool itself, or apk, the benchmark app (default: binary).",
        **_one_of("binary", "apk"),
    ),
    # -- platforms
    Flag(
        "alpha",
        "Draws weights of platforms by a Chinese restaurant process of this concentration; with "
        "--seed.",
        **_AMOUNT,
    ),
    Flag("seed", "Of that draw.", define=flags.DEFINE_integer, options={"lower_bound": 0}),
    # -- latency
    Flag(
        "samples",
        "Sub-networks to fit a latency model to (default: 600, or those begun).",
        **_COUNT,
    ),
    Flag(
        "held_out",
        "Further sub-networks, to validate it (default: 200, or those begun).",
        define=flags.DEFINE_integer,
        options={"lower_bound": 0},
    ),
    Flag(
        "directory",
        "Of samples and latency model (default: latency/<device>.<format>.<delegate>.<threads> in "
        "the run's).",
    ),
    Flag("big_cores", "On a phone: pin to the fastest cores (default: yes).", **_YES_OR_NO),
)
FLAGS = {flag.name: flag for flag in _ALL}


def flag_values(argv):
    """The flags of all commands, not parsed yet; a fresh set for every command line."""
    values = flags.FlagValues()
    config_flags.DEFINE_config_file(
        "config",
        None,
        "Recipe: a file whose get_config() gives a ConfigDict. A field is overridden by, for "
        "example, --config.train.epochs=20.",
        flag_values=values,
        sys_argv=argv,
    )
    for flag in FLAGS.values():
        flag.define(flag.name, default=None, help=flag.help, flag_values=values, **flag.options)
    flags.DEFINE_bool("help", False, "Show this help.", short_name="h", flag_values=values)
    return values


def given_flags(values):
    """Names of our flags that the command line gives, `config` among them."""
    names = [name for name in FLAGS if values[name].present]
    return ["config", *names] if values.config is not None else names


def refusal(name, command, owners):
    """What is said to a command that was given a flag it does not take.

    Args:
        name: of the flag.
        command: name of the command.
        owners: names of those that take it.
    """
    if name == "config":
        return f"`joslim {command}` takes the run's own config: leave out --config"
    if FLAGS[name].refusal:
        return FLAGS[name].refusal.format(flag=name, command=command)
    # `run` does what others do one at a time.
    owners = [owner for owner in owners if owner != "run"] or owners
    whose = [f"`joslim {owner}`" for owner in owners]
    listed = " and ".join(filter(None, (", ".join(whose[:-1]), whose[-1])))
    return f"--{name} is a flag of {listed}. Received: `joslim {command}`"


def flag_lines(values, names):
    """Help for flags of those names and, of a recipe that is given, for its fields."""
    texts = {name: (FLAGS if name in FLAGS else values)[name].help for name in names}
    if "config" in names:
        texts |= {name: values[name].help for name in values if name.startswith("config.")}
    lines = [f"  --{name:<16} {' '.join(text.split())}" for name, text in texts.items()]
    return [textwrap.fill(line, 96, subsequent_indent=" " * 21) for line in lines]
