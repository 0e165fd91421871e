"""The working directory of a run: what is in it, and whose it is."""

import json
import pathlib

from keras_joslim import atomic

_MARK = "keras_joslim run"


class Workdir:
    """Paths of a run, and the guard against mixing two runs.

    Args:
        path: the directory.

    Attributes:
        path: the directory as a `pathlib.Path`.
    """

    def __init__(self, path):
        self.path = pathlib.Path(path)

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
        return self.path / "front.json"

    @property
    def models(self):
        return self.path / "models"

    @property
    def profiles(self):
        return self.path / "profiles"

    @property
    def report_file(self):
        return self.path / "report.html"

    @property
    def logs(self):
        return self.path / "logs"

    def claim(self, config):
        """Takes the directory for a run of `config`, or goes on with that very run.

        Args:
            config: JSON dict.

        Raises:
            ValueError: the directory holds another run (naming the first field that
                differs), or files that no run left.
        """
        if self.config_file.exists():
            difference = _first_difference(self.config(), config)
            if difference:
                field, then, now = difference
                raise ValueError(
                    f"{self.path} holds a run of another config: {field} was {then!r}, now "
                    f"{now!r}. Give the same config to go on with it, or another --workdir."
                )
            return
        strangers = sorted(p.name for p in self.path.glob("*")) if self.path.exists() else []
        if strangers:
            raise ValueError(
                f"{self.path} is not empty and not a run's: it has no config.json but "
                f"{', '.join(strangers[:3])}. Name a new directory by --workdir."
            )
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
        from keras_joslim.front import ParetoFront

        self.config()
        if not self.front_file.exists():
            raise ValueError(
                f"{self.path} has no front yet. `joslim train --workdir={self.path}` goes on "
                "with the training and makes it."
            )
        return ParetoFront.load(self.front_file)


def _first_difference(old, new, prefix=""):
    """The first field in which two nested dicts differ: (dotted name, old, new)."""
    for name in sorted({*old, *new}):
        before, after = old.get(name), new.get(name)
        if isinstance(before, dict) and isinstance(after, dict):
            deeper = _first_difference(before, after, f"{prefix}{name}.")
            if deeper:
                return deeper
        elif before != after or (name in old) != (name in new):
            return f"{prefix}{name}", before, after
    return None
