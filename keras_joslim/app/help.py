"""What `joslim --help` and `joslim COMMAND --help` print."""

import textwrap

from keras_joslim.app.commands import COMMANDS
from keras_joslim.app.flags import COMMON, flag_lines

_ABOUT = """\
Trains a slimmable network, finds its best sub-networks and makes TFLite files of them.

usage: joslim COMMAND --workdir=DIRECTORY [FLAGS]    (`plan` without --workdir)
"""
_NOTES = """\
`joslim COMMAND --help` shows the flags of a command and an example. A run that is there goes on, \
or is read, with its own config: --config is needed to begin one. With --name a command takes the \
front of the search of that name. JOSLIM_TRACEBACK=1 in the environment shows where an error comes \
from."""


def general_help(values):
    """The commands, one line each, and the flags that all take.

    Args:
        values: the `FlagValues` of all flags.
    """
    size = max(map(len, COMMANDS)) + 2
    lines = [
        textwrap.fill(f"  {one.name:<{size}}{one.summary}", 96, subsequent_indent=" " * (size + 2))
        for one in COMMANDS.values()
    ]
    return "\n".join(
        [
            _ABOUT,
            "Commands:",
            *lines,
            "",
            "Flags of every command:",
            *flag_lines(values, COMMON),
            "",
            textwrap.fill(_NOTES, 96),
        ]
    )


def command_help(command, values):
    """What a command does, how it is called, its flags alone, an example.

    Args:
        command: the `Command`.
        values: the `FlagValues` of all flags; those of a recipe that is given are shown too.
    """
    where = COMMON[:1] if command.needs_workdir else ()
    directory = "--workdir=DIRECTORY " if where else ""
    usage = f"usage: joslim {command.words} {directory}{command.usage}".rstrip()
    return "\n".join(
        [
            f"joslim {command.name}: {command.summary}",
            "",
            textwrap.fill(
                usage, 96, subsequent_indent=" " * 7, break_long_words=False, break_on_hyphens=False
            ),
            "",
            "Flags:",
            *flag_lines(values, (*where, *command.flags, *COMMON[1:])),
            "",
            f"Example: joslim {command.name} {command.example}",
        ]
    )
