"""The command `joslim`: flags, steps, and errors as one clear line."""

import difflib
import importlib.util
import os
import pathlib
import re
import sys

from absl import flags

from keras_joslim.app.flags import flag_lines, flag_values
from keras_joslim.app.methods import SEARCHES
from keras_joslim.app.workdir import Workdir
from keras_joslim.tflite.formats import find_formats

STEPS = ("run", "train", "search", "export", "profile", "plot", "front", "bundle")
HELP = """\
Trains a slimmable network, finds its best sub-networks and makes TFLite files of them.

joslim run     --config=configs/digits.py --workdir=runs/digits   train, export, profile, plot
joslim train   --config=... --workdir=...   weights and widths, then the front
joslim search  --workdir=... --method=mobo|nsga2|greedy [--cost=macs|parameters|memory]
               [--evaluations=500] [--targets=uniform|gap|lambda] [--name=...]
                                            another front of a trained run, beside the first
joslim export  --workdir=... [--formats=fp32,int8] [--points=knees] [--single_file]
                                            TFLite files, checked and measured
joslim profile --workdir=... [--processes=5] [--formats=int8]
               [--device=android --benchmark_binary=PATH [--serial=...] [--delegate=gpu] ...]
                                            latency on this machine, or on phones over adb
joslim plot    --workdir=...
joslim front   --workdir=... --by=latency:host [--formats=int8]
                                            the points by another measure: what a device says,
                                            bytes, arena, macs, parameters, memory
joslim bundle  --workdir=... [--output=DIR] [--points=p00,p03] [--formats=int8]
               [--play_ai_pack=NAME --device_groups=FILE]
                                            models, manifest, labels and checksums for an app

With --name, export, profile, plot, front and bundle take the front of the search of that name.
Every command needs --workdir. A run that is there goes on, or is read, with its own config:
--config is needed to begin one. JOSLIM_TRACEBACK=1 in the environment shows where an error
comes from.

Flags:"""

_EXPORT_FLAGS = ("points", "jobs", "single_file")
_BUNDLE_FLAGS = ("output", "play_ai_pack", "device_groups")
_PHONE_FLAGS = ("adb", "serial", "route", "big_cores")
_PROFILE_FLAGS = ("device", "benchmark_binary", "delegate", "operators", *_PHONE_FLAGS)


class UsageError(ValueError):
    """The command line cannot be understood."""


def run():
    """Entry point of the command: exits 0, or 2 after one line on what is wrong."""
    try:
        main(sys.argv)
    except BrokenPipeError:
        # `joslim --help | head`: nobody reads on.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        sys.exit("joslim: interrupted; the same command goes on from the last checkpoint")
    except Exception as error:
        if os.environ.get("JOSLIM_TRACEBACK"):
            raise
        message = " ".join(str(error).split())
        if not isinstance(error, (ValueError, ArithmeticError, OSError, RuntimeError)):
            kind = type(error).__name__
            message = f"unexpected {kind}: {message} (JOSLIM_TRACEBACK=1 shows where)"
        print(f"joslim: {message}", file=sys.stderr)
        sys.exit(2)


def main(argv):
    """Runs one command.

    Args:
        argv: the command line, program name first.

    Raises:
        UsageError: an unknown command or flag, or one that is missing.
        ValueError: what the steps raise.
    """
    parsed = _parsed(argv)
    if parsed is None:
        return
    step, config, values = parsed
    workdir = Workdir(values.workdir, values.name)
    if step == "front":
        front = workdir.front()
        for file_format in values.formats or [None]:
            print(front.rank(values.by, file_format).table())
        return
    if step == "bundle":
        _bundle(workdir, values)
        return
    if step == "search":
        from keras_joslim.app.search import search

        targets = values.targets or "uniform"
        search(workdir, values.method, values.cost, values.evaluations, targets)
    if step in ("run", "train"):
        config = workdir.config() if config is None else config
        from keras_joslim.app.train import train

        front = train(workdir, config)
        print(f"Judged: {len(front.history)} networks; front: {len(front)} points.")
    if values.single_file:
        from keras_joslim.app.export import export_one_file

        export_one_file(workdir, values.points)
        return
    if step in ("run", "export"):
        from keras_joslim.app.export import export

        export(workdir, values.formats, values.points, values.jobs)
    if step in ("run", "profile"):
        _profile(workdir, values)
    if step in ("run", "plot"):
        from keras_joslim.app.report import write_report

        write_report(workdir)
    _say_results(workdir)


def _bundle(workdir, values):
    from keras_joslim.app.bundle import bundle

    bundle(
        workdir,
        values.output,
        values.points or "all",
        values.formats,
        ai_pack=values.play_ai_pack,
        device_groups=values.device_groups,
    )


def _profile(workdir, values):
    """By LiteRT in Python, or by the benchmark tool where one is given."""
    counts = {key: values[key].value for key in ("processes", "runs", "num_threads")}
    if values.device == "host" and values.benchmark_binary is None:
        from keras_joslim.app.profile import profile

        profile(workdir, values.formats, **counts)
        return
    from keras_joslim.app.profile_tool import profile_with_tool

    names = ["benchmark_binary", "delegate", "operators"]
    if values.device == "android":
        names += ["adb", "route", "big_cores"]
    counts["rounds"] = counts.pop("processes")
    profile_with_tool(
        workdir,
        values.device,
        values.formats,
        serials=values.serial,
        **counts,
        **{name: values[name].value for name in names},
    )


def _say_results(workdir):
    front = workdir.front()
    print(front.table())
    for name in dict.fromkeys(name for point in front for name in point.deployed):
        if name != "fp32":
            print(f"\n{front.rank(front.cost, name).table()}")
    print(f"front:  {workdir.front_file}")
    print(f"models: {workdir.models}{os.sep}")
    if workdir.report_file.exists():
        print(f"plot:   {workdir.report_file}")


def _parsed(argv):
    """The step, the config (or `None`) and the flags; `None` after help."""
    argv = _with_packaged_recipe(argv)
    values = flag_values(argv)
    try:
        rest = values(argv)
        config = values.config
    except (flags.Error, AttributeError, KeyError, TypeError, OSError, ImportError) as error:
        message = _unknown_field(argv) or _text(error)
        raise UsageError(f"{message} (`joslim --help` lists the flags)") from None
    if values.help or len(rest) == 1:
        print(HELP, *flag_lines(values), sep="\n")
        return None
    if len(rest) > 2 or rest[1] not in STEPS:
        raise UsageError(
            f"Expected one command of {', '.join(STEPS)}. Received: {' '.join(rest[1:])!r}"
        )
    step = rest[1]
    if not values.workdir:
        raise UsageError(f"`joslim {step}` needs --workdir=DIRECTORY")
    _refuse_unused(step, values)
    if step == "search":
        if not values.method:
            raise UsageError(f"`joslim search` needs --method, one of {', '.join(SEARCHES)}")
        if config is not None:
            raise UsageError("`joslim search` takes the run's own config: leave out --config")
        if values.name is None:
            cost = values.cost or Workdir(values.workdir).config().get("cost", "macs")
            values.name = f"{values.method}-{cost}"
    elif step == "front" and not values.by:
        raise UsageError("`joslim front` needs --by=MEASURE, such as --by=latency:host")
    elif values.name is not None and step in ("run", "train"):
        raise UsageError(f"--name is the name of a search; `joslim {step}` has none")
    if step == "run" and config is None and not Workdir(values.workdir).config_file.exists():
        raise UsageError(
            "`joslim run` needs --config=FILE, such as --config=configs/digits.py: there is no "
            f"run in {values.workdir} to go on with"
        )
    config = None if config is None else _plain(config.to_dict())
    if values.formats == []:
        raise UsageError("--formats= names no format: leave it out for those of the config")
    _check_formats(values.formats, "--formats")
    _check_formats((config or {}).get("export", {}).get("formats"), "config.export.formats")
    return step, config, values


def _refuse_unused(step, values):
    """Refuses flags that the command would not look at."""
    if values.by is not None and step != "front":
        raise UsageError(f"--by is a flag of `joslim front`. Received: `joslim {step}`")
    for name in _EXPORT_FLAGS:
        steps = ("run", "export", "bundle") if name == "points" else ("run", "export")
        if values[name].value is not None and step not in steps:
            owners = " and ".join(f"`joslim {owner}`" for owner in steps[1:])
            raise UsageError(f"--{name} is a flag of {owners}. Received: `joslim {step}`")
    for name in _BUNDLE_FLAGS:
        if values[name].value is not None and step != "bundle":
            raise UsageError(f"--{name} is a flag of `joslim bundle`. Received: `joslim {step}`")
    if (values.play_ai_pack is None) != (values.device_groups is None):
        raise UsageError("--play_ai_pack=NAME and --device_groups=FILE go together: give both")
    if values.single_file:
        if step == "run":
            raise UsageError("--single_file is a flag of `joslim export`. Received: `joslim run`")
        for name in ("formats", "jobs"):
            if values[name].value is not None:
                raise UsageError(f"--single_file makes one fp32 file: leave out --{name}")
    for name in _PROFILE_FLAGS:
        if values[name].value is None or (name, values[name].value) == ("device", "host"):
            continue
        if step not in ("run", "profile"):
            raise UsageError(f"--{name} is a flag of `joslim profile`. Received: `joslim {step}`")
        if values.device == "host" and name in _PHONE_FLAGS:
            raise UsageError(f"--{name} is for phones: give --device=android too")
        if values.device == "host" and values.benchmark_binary is None:
            raise UsageError(f"--{name} is of the TFLite benchmark tool: --benchmark_binary=PATH")
    if values.device == "android" and not values.benchmark_binary and values.route != "apk":
        raise UsageError(
            "--device=android needs --benchmark_binary=PATH, the TFLite benchmark tool built for "
            "the phone (docs/android.md says where it is to be had)"
        )
    if step != "search":
        for name in ("method", "cost", "evaluations", "targets"):
            if values[name].value is not None:
                raise UsageError(
                    f"--{name} is a flag of `joslim search`; `joslim {step}` takes fields of its "
                    "config, such as --config.method.name=... or --config.cost=..."
                )
    elif values.targets is not None and values.method != "mobo":
        raise UsageError(f"--targets are those of --method=mobo. Received: {values.method!r}")


def _check_formats(names, where):
    """Refuses a format that does not exist before hours of training."""
    if names:
        try:
            find_formats(names)
        except ValueError as error:
            raise UsageError(f"{where}: {error}") from None


def _unknown_field(argv):
    """What to say of the first `--config.a.b` that names no field of the config, or `None`."""
    fields = [re.match(r"--?config\.([^=]+)", argument) for argument in argv]
    names = [match[1] for match in fields if match]
    rest = [argument for argument, match in zip(argv, fields) if not match]
    try:
        values = flag_values(rest)
        values(rest, known_only=True)
        config = values.config
    except (flags.Error, AttributeError, KeyError, TypeError, OSError, ImportError):
        return None
    if config is None and names:
        return f"--config.{names[0]} sets a field of a recipe: give the recipe too, --config=FILE"
    for name in names:
        message = _missing(config.to_dict(), name)
        if message:
            return message
    return None


def _missing(config, name):
    """A sentence on the first part of a dotted name that is no field of a nested dict."""
    place = "config"
    for part in name.split("."):
        if not isinstance(config, dict) or part not in config:
            near = difflib.get_close_matches(part, config if isinstance(config, dict) else (), 1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            return f"{place} has no field {part!r}.{hint}"
        place, config = f"{place}.{part}", config[part]
    return None


def _text(error):
    """The message of an error; of a recipe that raised, without the traceback it quotes."""
    text = str(error.args[0]) if error.args else type(error).__name__
    start, quoted, trace = text.partition("Error whilst parsing config file:")
    if not quoted:
        return text
    raised = re.split(r"^(?=[\w.]+: )", trace, flags=re.MULTILINE)[-1]
    return f"{start}{raised.removeprefix('ValueError: ').strip()}"


def _plain(value):
    """A config as JSON would give it back: tuples as lists."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (tuple, list)) else value


def _with_packaged_recipe(argv):
    """`--config=configs/x.py` means the recipe inside the package where no such file is."""
    result = []
    for i, argument in enumerate(argv):
        flag, equals, value = argument.partition("=")
        before = argv[i - 1] if i else ""
        if flag in ("--config", "-config") and equals:
            argument = f"{flag}={_recipe_path(value)}"
        elif before in ("--config", "-config"):
            argument = _recipe_path(argument)
        result.append(argument)
    return result


def _recipe_path(value):
    path, colon, options = value.partition(":")
    if pathlib.Path(path).exists():
        return value
    spec = importlib.util.find_spec("keras_joslim.configs")
    name = pathlib.Path(path).name
    places = list(spec.submodule_search_locations) if spec else []
    for folder in places:
        for candidate in (name, f"{name}.py"):
            if (pathlib.Path(folder) / candidate).is_file():
                return f"{pathlib.Path(folder) / candidate}{colon}{options}"
    names = sorted(p.stem for f in places for p in pathlib.Path(f).glob("[!_]*.py"))
    raise UsageError(
        f"There is no recipe {path!r}: no such file, and no recipe of that name in the package. "
        f"Recipes: {', '.join(names)}"
    )


if __name__ == "__main__":
    run()
