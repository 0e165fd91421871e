"""`joslim status`: how far a run is, from its files alone."""

import datetime
import json
import time

from keras_joslim.watching.steps_table import StepsTable

# A run that has written nothing for so many times its usual pace may be dead.
_SILENT = 20


def status(workdir, say=print, now=None):
    """Tells how far a run is, running or finished. Nothing is loaded but its small files.

    Args:
        workdir: `Workdir`.
        say: is given the lines.
        now: seconds since 1970, for tests.

    Returns:
        The dict of what was told: `step`, `epoch`, `history`, `front`, ...

    Raises:
        ValueError: there is no run.
    """
    config = workdir.config()
    now = time.time() if now is None else now
    rows = StepsTable(workdir.logs / "steps.csv").rows()
    epochs = _json_lines(workdir.logs / "epochs.jsonl")
    data, model = config["data"]["name"], config["model"]["name"]
    say(f"run         {workdir.path}: {config['method']['name']}, {model} on {data}")
    facts = {**_progress(config, rows, epochs, workdir, say, now)}
    facts |= _losses(rows, epochs, say)
    facts |= _history(workdir, say)
    _checkpoints(workdir, say, now)
    facts |= _results(workdir, say)
    if rows:
        say(f"tables      {workdir.logs / 'steps.csv'}, {workdir.logs / 'epochs.jsonl'}")
    return facts


def _progress(config, rows, epochs, workdir, say, now):
    total = config["train"]["epochs"]
    done = sum(1 for _ in {entry["epoch"] for entry in epochs})
    trained = workdir.front_file.exists()
    if not rows:
        say(f"training    {'finished' if trained else f'{done} of {total} epochs'}")
        return {"step": None, "epoch": done, "finished": trained}
    last, pace = rows[-1], rows[-1]["seconds"]
    line = f"step {int(last['step']):,}, {done} of {total} epochs"
    left = None
    steps = _steps_of(epochs, total)
    if steps:
        line = f"step {int(last['step']):,} of {steps:,}, {done} of {total} epochs"
        left = (steps - last["step"]) * pace
    if trained:
        # The table has a row every so many steps, and so not always one of the last.
        say(f"training    finished: {f'{steps:,} steps, {total} epochs' if steps else line}")
    else:
        written = (workdir.logs / "steps.csv").stat().st_mtime
        silent = now - written
        line += f"; {pace:.3g} s a step"
        if left:
            line += f", some {_span(left)} to go"
        say(f"training    {line}")
        gap = pace * (last["step"] - (rows[-2]["step"] if len(rows) > 1 else 0))
        doubt = "" if silent <= max(60, _SILENT * gap) else ": it may have been ended"
        say(f"            last written {_span(silent)} ago{doubt}")
    shares = ", ".join(
        f"{name} {100 * last[name]:.0f} %" for name in ("search", "recalibration", "input")
    )
    say(f"time        of the last {_count(rows)} steps: {shares}")
    return {"step": int(last["step"]), "epoch": done, "finished": trained}


def _steps_of(epochs, total):
    """Optimizer steps of the whole run, once an epoch has ended; else `None`."""
    # Logs of older releases have no such field.
    if not epochs or "end" not in epochs[-1]:
        return None
    return total * epochs[-1]["end"] // (epochs[-1]["epoch"] + 1)


def _count(rows):
    return int(rows[-1]["step"] - (rows[-2]["step"] if len(rows) > 1 else 0))


def _losses(rows, epochs, say):
    facts = {}
    if rows:
        last = rows[-1]
        names = [name for name in last if name.startswith("loss_")]
        facts["losses"] = {name.removeprefix("loss_"): last[name] for name in names}
        told = ", ".join(f"{name} {value:.4g}" for name, value in facts["losses"].items())
        say(f"losses      of the networks of that step: {told}")
    if epochs:
        skipped = ("epoch", "steps", "end")
        last = {k: v for k, v in epochs[-1].items() if k not in skipped}
        facts["epoch_logs"] = last
        told = ", ".join(f"{name} {value:.4g}" for name, value in last.items())
        say(f"epoch {epochs[-1]['epoch'] + 1:<5} {told}")
    return facts


def _history(workdir, say):
    entries = _json_lines(workdir.history_file)
    if not entries:
        return {"history": 0}
    measured = [entry for entry in entries if entry["loss"] is not None]
    say(f"history     {len(entries)} networks, {len(measured)} of them measured")
    return {"history": len(entries)}


def _checkpoints(workdir, say, now):
    found = sorted(p for p in workdir.checkpoints.glob("step-*") if p.is_dir())
    if not found:
        say("checkpoint  none")
        return
    step, when = int(found[-1].name.removeprefix("step-")), found[-1].stat().st_mtime
    say(f"checkpoint  of step {step:,}, {_span(now - when)} ago; {len(found)} in all")


def _results(workdir, say):
    if not workdir.front_file.exists():
        return {"front": None}
    # Plain JSON: loading a front loads more.
    content = json.loads(workdir.front_file.read_text(encoding="utf-8"))
    points = content["points"]
    files = sum(name != "keras" for point in points for name in point.get("files", {}))
    measured = sum(bool(point.get("latency")) for point in points)
    say(
        f"front       {len(points)} points; {files} TFLite files; latency measured of {measured} "
        f"points (`joslim front --workdir={workdir.path}` lists them)"
    )
    searches = sorted(p.parent.name for p in workdir.path.glob("search/*/front.json"))
    if searches:
        say(f"searches    {', '.join(searches)}")
    return {"front": len(points)}


def _json_lines(path):
    """The records of a file of JSON lines, none if there is none; a torn last line is left out."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines() if line]


def _span(seconds):
    """A time span as people say it."""
    if seconds < 90:
        return f"{max(seconds, 0):.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return str(datetime.timedelta(seconds=60 * round(seconds / 60))).removesuffix(":00") + " h"
