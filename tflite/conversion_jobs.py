"""Conversions side by side: a process a point, as many as there are cores and memory for."""

import concurrent.futures.process
import multiprocessing
import os
import pathlib

# What a process that converts takes: TensorFlow, a network of phone size, its graph and file.
_BYTES_A_JOB = 1_500_000_000
# What the process that trains for "qat" takes beside it.
_BYTES_OF_TRAINING = 1_000_000_000


def usable_jobs(count, training=False):
    """How many of `count` conversions can go on side by side on this machine.

    No more than there are cores to run on, or 1.5 GB of memory each, 2.5 GB with `training` (for
    "qat", "cluster" and "prune"); 1 where the free memory is
    not known (systems without /proc/meminfo).

    Example:

    >>> usable_jobs(12)  # on a machine with 4 cores and 8 GB free
    4
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    each = _BYTES_A_JOB + training * _BYTES_OF_TRAINING
    return max(1, min(count, cores, _available_bytes() // each))


def side_by_side(work, tasks, jobs):
    """Runs `work(*task)` for each task in up to `jobs` fresh processes.

    Args:
        work: a generator function of a module, as the processes import it.
        tasks: iterable of tuples of arguments, picklable.
        jobs: processes; 1 is this one, which takes a task when those before are done.

    Yields:
        (task, value) for each value that `work` yields; of several processes as they end.

    Raises:
        RuntimeError: a process died, as the system ends those that take too much memory.
    """
    if jobs == 1:
        for task in tasks:
            for value in work(*task):
                yield task, value
        return
    # Not forked: TensorFlow's threads do not survive that.
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(jobs, mp_context=context) as pool:
        running = {pool.submit(_listed, work, task): task for task in tasks}
        try:
            for done in concurrent.futures.as_completed(running):
                for value in done.result():
                    yield running[done], value
        except concurrent.futures.process.BrokenProcessPool:
            raise RuntimeError(
                f"One of the {jobs} processes that convert died; the system ends those that take "
                "too much memory. What was finished is kept: the same export with jobs=1 goes on "
                "from there."
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)


def _listed(work, task):
    return list(work(*task))


def _available_bytes():
    try:
        lines = pathlib.Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    fields = dict(line.split(":", 1) for line in lines)
    available = int(fields["MemAvailable"].split()[0]) * 1024
    return min(available, *_cgroup_limits()) if _cgroup_limits() else available


def _cgroup_limits():
    """What a container may take yet, where it is limited."""
    folder = pathlib.Path("/sys/fs/cgroup")
    try:
        limit = (folder / "memory.max").read_text(encoding="ascii").strip()
        used = int((folder / "memory.current").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return []
    return [] if limit == "max" else [max(0, int(limit) - used)]
