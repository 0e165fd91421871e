"""The working directory of a run: what is in it, and whose it is."""

import json
import pathlib
import re

from keras_joslim import atomic
from keras_joslim.app.long_runs import with_defaults
from keras_joslim.config_difference import first_difference

_MARK = "keras_joslim run"
# Sections of a config that do not shape the training: they may change in a trained run.
_FREE = ("checkpoint", "export", "profile", "watch")


class Workdir:
    """Paths of a run, and the guard against mixing two runs.

    Args:
        path: the directory.
        search: name of a search after training (`joslim search`), whose front, models and
            files are meant rather than those of the training.

    Attributes:
        path: the directory as a `pathlib.Path`.
        place: where the front is: `path`, or `path/search/<name>`.

    Raises:
        ValueError: `path` is a file.
    """

    def __init__(self, path, search=None):
        self.path = pathlib.Path(path)
        self.search = search
        if search is not None and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", search):
            raise ValueError(
                "The name of a search is made of letters, digits, dots, dashes and underscores. "
                f"Received: {search!r}"
            )
        self.place = self.path if search is None else self.path / "search" / search
        if self.path.is_file():
            raise ValueError(
                f"{self.path} is a file, not a directory. Name a directory by --workdir."
            )

    @property
    def name(self):
        """What the run, or its search, is called in a report."""
        return self.path.name if self.search is None else f"{self.path.name}, {self.search}"

    @property
    def config_file(self):
        return self.path / "config.json"

    @property
    def checkpoints(self):
        return self.path / "checkpoint"

    @property
    def history_file(self):
        return self.path / "history.jsonl"

    @property
    def front_file(self):
        return self.place / "front.json"

    @property
    def search_file(self):
        return self.place / "search.json"

    @property
    def models(self):
        return self.place / "models"

    @property
    def single_file(self):
        return self.place / "points.tflite"

    @property
    def profiles(self):
        return self.place / "profiles"

    @property
    def report_file(self):
        return self.place / "report.html"

    @property
    def logs(self):
        return self.path / "logs"

    def claim(self, config):
        """Takes the directory for a run of `config`, or goes on with that very run.

        Fields of `checkpoint`, `export`, `profile` and `watch` may differ from the run's, as may
        all of a run that has not trained yet: the directory then has the new config.

        Args:
            config: JSON dict.

        Raises:
            ValueError: the directory holds another run (naming the first field that
                differs), or files that no run left.
        """
        if self.config_file.exists():
            old = self.config()
            difference = first_difference(_training(old), _training(config))
            if difference and self._is_trained():
                field, then, now = difference
                raise ValueError(
                    f"{self.path} holds a run of another config: {field} was {then!r}, now "
                    f"{now!r}. Give the same config to go on with it, or another --workdir."
                )
            if old != config:
                self._write(config)
            return
        strangers = sorted(p.name for p in self.path.glob("*")) if self.path.exists() else []
        if strangers:
            raise ValueError(
                f"{self.path} is not empty and not a run's: it has no config.json but "
                f"{', '.join(strangers[:3])}. Name a new directory by --workdir."
            )
        self._write(config)

    def _is_trained(self):
        """Whether anything would be lost or mixed up by another config."""
        return self.front_file.exists() or any(self.checkpoints.glob("*"))

    def _write(self, config):
        atomic.write_json(self.config_file, {"format": _MARK, "config": config})

    def config(self):
        """The config of the run that the directory holds.

        Raises:
            ValueError: there is no run, or its config.json is corrupt.
        """
        if not self.config_file.exists():
            raise ValueError(
                f"There is no run in {self.path}: config.json is missing. Start one with "
                f"`joslim run --config=... --workdir={self.path}`."
            )
        try:
            content = json.loads(self.config_file.read_text(encoding="utf-8"))
            if content["format"] != _MARK:
                raise KeyError("format")
            return content["config"]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{self.config_file} is not the config of a keras_joslim run ({error!r})."
            ) from None

    def front(self):
        """The run's front.

        Raises:
            ValueError: it is not trained yet.
        """
        self.config()
        if not self.front_file.exists():
            if self.search is not None:
                made = sorted(p.parent.name for p in self.path.glob("search/*/front.json"))
                raise ValueError(
                    f"{self.path} has no front of a search named {self.search!r}; there are: "
                    f"{', '.join(made) or 'none'}. `joslim search --workdir={self.path} "
                    "--method=... --cost=...` makes one."
                )
            raise ValueError(
                f"{self.path} has no front yet. `joslim train --workdir={self.path}` goes on "
                "with the training and makes it."
            )
        # Here: it loads more than those need who only look for a run.
        from keras_joslim.front import ParetoFront

        return ParetoFront.load(self.front_file)


def _training(config):
    """The part of a config that shapes the training."""
    config = with_defaults(config)
    return {name: value for name, value in config.items() if name not in _FREE}
