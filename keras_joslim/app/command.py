"""What a command of `joslim` is: what it says of itself, the flags it takes, what it runs."""

import dataclasses
from collections.abc import Callable

from keras_joslim.app.workdir import Workdir


class UsageError(ValueError):
    """The command line cannot be understood."""


@dataclasses.dataclass(frozen=True)
class Request:
    """What a command is asked to do.

    Attributes:
        flags: the parsed `absl.flags.FlagValues`; one that was not given is None.
        config: JSON dict of the recipe that was given, flags applied, or None.
        action: the second word, of a command that has some.
    """

    flags: object
    config: dict | None = None
    action: str | None = None

    @property
    def workdir(self):
        """The `Workdir`, with the search that --name means."""
        return Workdir(self.flags.workdir, self.flags.name)


@dataclasses.dataclass(frozen=True)
class Command:
    """One command.

    Attributes:
        name: the first word.
        summary: one line.
        usage: what follows `joslim <name> --workdir=DIRECTORY`.
        example: of a whole command line, what follows `joslim <name>`.
        flags: names of the flags it takes besides those all take, in the order of its help;
            "config" among them if it takes a recipe.
        run: function of a `Request`.
        check: function of a `Request` that raises a `UsageError` for flags that make no sense
            together, before anything is loaded.
        actions: the second words that it has, one of which must be given.
        loads_keras: does it need TensorFlow and Keras?
        needs_workdir: must --workdir be given?

    Example:

    >>> Command("plot", "the front as a page", "", "--workdir=x", ("name",), run=write_page)
    """

    name: str
    summary: str
    usage: str
    example: str
    flags: tuple
    run: Callable
    check: Callable | None = None
    actions: tuple = ()
    loads_keras: bool = False
    needs_workdir: bool = True

    @property
    def words(self):
        """As it is called: "export", or "latency sample|fit|validate"."""
        return " ".join(filter(None, (self.name, "|".join(self.actions))))
