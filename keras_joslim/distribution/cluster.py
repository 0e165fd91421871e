"""The workers of a training on many machines, as the environment variable TF_CONFIG names them."""

import dataclasses
import json
import os

# The jobs that take part in a training, in the order in which TensorFlow numbers them.
_JOBS = ("chief", "worker")
_EXAMPLE = (
    'TF_CONFIG=\'{"cluster": {"worker": ["10.0.0.1:2222", "10.0.0.2:2222"]}, '
    '"task": {"type": "worker", "index": 0}}\', with "index": 1 on the second machine'
)


@dataclasses.dataclass(frozen=True)
class Cluster:
    """All workers, and which of them this process is.

    Worker 0 is the chief: the job "chief" if there is one, else the first of "worker".

    Attributes:
        tasks: `(job, index in the job, "host:port")` of every worker.
        index: this process's place in `tasks`.

    Example:

    >>> Cluster.from_environment().name(1)
    'worker 1 (10.0.0.2:2222)'
    """

    tasks: tuple
    index: int

    @property
    def count(self):
        """Number of workers."""
        return len(self.tasks)

    @property
    def jobs(self):
        """Dict of job to number of its workers, in the order of `tasks`."""
        names = [job for job, _, _ in self.tasks]
        return {job: names.count(job) for job in names}

    def name(self, index):
        """What a worker is called in messages."""
        return f"worker {index} ({self.tasks[index][2]})"

    @classmethod
    def from_environment(cls, environment=None):
        """The cluster that TF_CONFIG describes.

        Args:
            environment: a mapping; `os.environ` if `None`.

        Raises:
            ValueError: there is no TF_CONFIG, or it is not what TensorFlow takes.
        """
        text = (os.environ if environment is None else environment).get("TF_CONFIG", "")
        if not text.strip():
            raise ValueError(
                "Several workers need the environment variable TF_CONFIG, which names them all and "
                f"says which of them this one is. Example: {_EXAMPLE}"
            )
        try:
            content = json.loads(text)
            if not isinstance(content, dict):
                raise ValueError("it is no object")
            return cls._parsed(content.get("cluster"), content.get("task"))
        except ValueError as error:
            raise ValueError(
                f"TF_CONFIG cannot be used: {error}. Example: {_EXAMPLE}. Received: {text}"
            ) from None

    @classmethod
    def from_dict(cls, cluster, job, index):
        """The cluster of a TensorFlow cluster resolver.

        Args:
            cluster: dict of job to list of addresses.
            job, index: of this process.
        """
        tasks = [
            (name, i, address) for name in _JOBS for i, address in enumerate(cluster.get(name, []))
        ]
        places = [task[:2] for task in tasks]
        return cls(tuple(tasks), places.index((job, index)))

    @classmethod
    def _parsed(cls, cluster, task):
        if not isinstance(cluster, dict) or not cluster:
            raise ValueError('"cluster" is missing')
        for job, addresses in cluster.items():
            if job not in _JOBS:
                raise ValueError(f'a job is "worker" or "chief", not {job!r}')
            if not isinstance(addresses, list) or not addresses:
                raise ValueError(f'"{job}" is no list of addresses')
            for address in addresses:
                _refuse_bad_address(address)
        if len(cluster.get("chief", [])) > 1:
            raise ValueError("there is more than one chief")
        every = [address for addresses in cluster.values() for address in addresses]
        twice = next((one for one in every if every.count(one) > 1), None)
        if twice:
            raise ValueError(f"{twice} is there twice")
        if not isinstance(task, dict) or "type" not in task or "index" not in task:
            raise ValueError('"task" with its "type" and "index" is missing')
        job, index = task["type"], task["index"]
        if isinstance(index, str) and index.isdecimal():
            # As a shell or Kubernetes writes it; TensorFlow takes it too.
            index = int(index)
        if job not in cluster:
            raise ValueError(f'the task is of type {job!r}, which "cluster" does not have')
        if isinstance(index, bool) or not isinstance(index, int):
            raise ValueError(f"the task's index is {index!r}, no whole number")
        if not 0 <= index < len(cluster[job]):
            raise ValueError(
                f"the task's index is {index}, and there are {len(cluster[job])} of {job!r}, "
                "counted from 0"
            )
        return cls.from_dict(cluster, job, index)


def _refuse_bad_address(address):
    host, _, port = address.rpartition(":") if isinstance(address, str) else ("", "", "")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f"an address is host:port, not {address!r}")
