"""A file that says which classes there are, in which order, and what they are called."""

import collections
import dataclasses
import pathlib


@dataclasses.dataclass(frozen=True)
class ClassMap:
    """The classes of a data set.

    Attributes:
        keys: what a class is called in the data: a folder, a synset.
        names: what it is called for people.
        path: the file it was read from.
    """

    keys: tuple
    names: tuple
    path: str

    def refuse_other(self, keys, where):
        """Compares with the classes that the data have.

        Args:
            keys: those.
            where: what has them, for the message.

        Raises:
            ValueError: they are not the same, naming one that is not.
        """
        problems = []
        for wrong, text in (
            (sorted({*keys} - {*self.keys}), "has the class {}, which the class map does not have"),
            (sorted({*self.keys} - {*keys}), "does not have the class {} of the class map"),
        ):
            if wrong:
                more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
                problems.append(text.format(repr(wrong[0]) + more))
        if problems:
            raise ValueError(
                f"{where} {', and '.join(problems)}. Received: class_map={self.path!r} with "
                f"{len(self.keys)} classes, {len(set(keys))} in the data"
            )


def read_class_map(path):
    """Reads a class map: a class a line, its key, then (after spaces) a name for people.

    Args:
        path: a text file, UTF-8, such as that of ImageNet's synsets: `n01440764 tench, Tinca
            tinca`. Empty lines are left out.

    Returns:
        A `ClassMap`; the name of a class without one is its key.

    Raises:
        ValueError: no such file, no text, a class twice, fewer than two.
    """
    path = pathlib.Path(path)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(
            f"The class map cannot be read: {getattr(error, 'strerror', None) or error}. "
            f"Received: class_map={str(path)!r}"
        ) from None
    parts = [line.split(maxsplit=1) for line in lines if line.strip()]
    keys = [part[0] for part in parts]
    key, times = (collections.Counter(keys).most_common(1) or [("", 0)])[0]
    if times > 1:
        raise ValueError(
            f"The class map has the class {key!r} {times} times. Received: class_map={str(path)!r}"
        )
    if len(keys) < 2:
        raise ValueError(
            f"A class map has two classes or more, one a line. Received: {len(keys)} in "
            f"class_map={str(path)!r}"
        )
    return ClassMap(tuple(keys), tuple(part[-1].strip() for part in parts), str(path))
