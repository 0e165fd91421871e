"""Where the bytes of images are: files in folders, or parts of larger files."""

import dataclasses
import os
import pathlib

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class FolderSource:
    """One file an image.

    Args:
        directory: the folder that the names are relative to.
        names: posix paths, one an image.
    """

    directory: pathlib.Path
    names: tuple

    def __len__(self):
        return len(self.names)

    def name(self, index):
        """What the image is called in a message."""
        return self.names[index]

    def read(self, index):
        """The bytes of an image.

        Raises:
            OSError: the file cannot be read.
        """
        with open(f"{self.directory}/{self.names[index]}", "rb", buffering=0) as file:
            return file.read()


@dataclasses.dataclass(frozen=True, eq=False)
class RecordSource:
    """One part of a file an image: its bytes within a TFRecord file.

    Args:
        shards: paths of the files.
        shard: int `(n,)`, number of the file of each image.
        offset: int64 `(n,)`, where in the file the image begins, bytes.
        length: int64 `(n,)`, bytes.
        names: what each image is called.
    """

    shards: tuple
    shard: np.ndarray
    offset: np.ndarray
    length: np.ndarray
    names: tuple

    def __len__(self):
        return len(self.names)

    def name(self, index):
        """What the image is called in a message."""
        shard = pathlib.Path(self.shards[self.shard[index]]).name
        return f"{self.names[index]} at byte {self.offset[index]} of {shard}"

    def read(self, index):
        """The bytes of an image.

        Raises:
            OSError: the file cannot be read.
        """
        # Not kept open: shards may be more than the files that a process may have open.
        handle = os.open(self.shards[self.shard[index]], os.O_RDONLY)
        try:
            return os.pread(handle, int(self.length[index]), int(self.offset[index]))
        finally:
            os.close(handle)
