"""A command line becomes a command and what it is asked to do, or one line on what is wrong."""

import difflib
import importlib.util
import pathlib
import re

from absl import flags

from keras_joslim.app.command import Request, UsageError
from keras_joslim.app.commands import COMMANDS
from keras_joslim.app.flags import COMMON, flag_values, given_flags, refusal
from keras_joslim.app.help import command_help, general_help
from keras_joslim.tflite.formats import find_formats

# What absl and ml_collections raise of a flag, or of a recipe, that they cannot take.
_UNREADABLE = (flags.Error, AttributeError, KeyError, TypeError, OSError, ImportError)


def parse(argv):
    """Reads a command line.

    Args:
        argv: the command line, program name first.

    Returns:
        The `Command` and its `Request`; None where help was asked for, which is printed.

    Raises:
        UsageError: an unknown command or flag, or one that is missing or makes no sense.
    """
    argv = _with_packaged_recipe(argv)
    values = flag_values(argv)
    try:
        words = values(argv)[1:]
        config = values.config
    except _UNREADABLE as error:
        name = next((word for word in argv[1:] if word in COMMANDS), None)
        asked = f"joslim {name} --help" if name else "joslim --help"
        message = _unknown_field(argv) or _text(error)
        raise UsageError(f"{message} (`{asked}` lists the flags)") from None
    if not words:
        print(general_help(values))
        return None
    command = _command(words, values.help)
    if values.help:
        print(command_help(command, values))
        return None
    if command.needs_workdir and not values.workdir:
        raise UsageError(f"`joslim {command.words}` needs --workdir=DIRECTORY")
    for name in given_flags(values):
        if name not in (*_common(command), *command.flags):
            taking = ((*_common(other), *other.flags) for other in COMMANDS.values())
            owners = [key for key, flags in zip(COMMANDS, taking) if name in flags]
            raise UsageError(refusal(name, command.name, owners))
    config = None if config is None else _plain(config.to_dict())
    if values.formats == []:
        raise UsageError("--formats= names no format: leave it out for those of the config")
    _check_formats(values.formats, "--formats")
    _check_formats((config or {}).get("export", {}).get("formats"), "config.export.formats")
    request = Request(values, config, words[1] if command.actions else None)
    if command.check:
        command.check(request)
    return command, request


def _common(command):
    """The flags that every command takes, as far as this one does."""
    return [name for name in COMMON if name != "workdir" or command.needs_workdir]


def _command(words, asks_for_help):
    """The command that the words are."""
    command = COMMANDS.get(words[0])
    actions = () if command is None else command.actions
    if command is None or len(words) > 1 + bool(actions):
        raise UsageError(
            f"Expected one command of {', '.join(COMMANDS)}. Received: {' '.join(words)!r}"
        )
    if actions and not asks_for_help and (len(words) < 2 or words[1] not in actions):
        raise UsageError(
            f"Expected `joslim {words[0]}` and one of {', '.join(actions)}. "
            f"Received: {' '.join(words)!r}"
        )
    return command


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
    except _UNREADABLE:
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
