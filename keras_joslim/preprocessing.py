"""How raw pixels become what a network takes: a data set declares it, its files ship it."""

import dataclasses
import math


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """What is done to raw images before a network sees them: `raw * scale + offset`.

    Args:
        text: a sentence for whoever writes the app.
        raw_range: (lowest, highest) value of a raw pixel, such as (0, 255). An app whose pixels
            have another range brings them into this one first.
        scale: tuple of floats other than 0, one a channel.
        offset: tuple of floats, one a channel.

    Raises:
        ValueError: numbers that are not finite, a scale of 0, not one of each a channel, a range
            that is empty, no text.

    Example:

    >>> Preprocessing("Pixels from 0 to 255 become -1 to 1.", (0, 255), (2 / 255,), (-1.0,))([255])
    [1.0]
    """

    text: str
    raw_range: tuple
    scale: tuple
    offset: tuple

    def __post_init__(self):
        for name in ("raw_range", "scale", "offset"):
            object.__setattr__(self, name, _numbers(name, getattr(self, name)))
        if not isinstance(self.text, str) or not self.text.strip():
            raise ValueError(f"Expected a sentence. Received: text={self.text!r}")
        if len(self.raw_range) != 2 or not self.raw_range[0] < self.raw_range[1]:
            raise ValueError(
                f"Expected the lowest and the highest raw value. "
                f"Received: raw_range={self.raw_range}"
            )
        if not self.scale or len(self.scale) != len(self.offset):
            raise ValueError(
                "Expected one scale and one offset a channel. "
                f"Received: scale={self.scale}, offset={self.offset}"
            )
        if 0.0 in self.scale:
            raise ValueError(
                f"A scale of 0 would make all images the same. Received: scale={self.scale}"
            )

    def __call__(self, pixel):
        """The values of one raw pixel, a number a channel, as the network takes them."""
        return [v * s + o for v, s, o in zip(pixel, self.scale, self.offset, strict=True)]

    def to_dict(self):
        """A JSON object."""
        values = dataclasses.asdict(self)
        return {key: list(v) if isinstance(v, tuple) else v for key, v in values.items()}

    @classmethod
    def from_dict(cls, values):
        """The `Preprocessing` that `to_dict` wrote.

        Raises:
            ValueError: other fields, or values that make no sense.
        """
        names = sorted(field.name for field in dataclasses.fields(cls))
        if not isinstance(values, dict) or sorted(values) != names:
            raise ValueError(
                f"Expected a preprocessing of the fields {names}. Received: {values!r}"
            )
        return cls(**values)


def _numbers(name, values):
    try:
        numbers = tuple(float(value) for value in values)
    except (TypeError, ValueError):
        numbers = (math.nan,)
    if not all(map(math.isfinite, numbers)):
        raise ValueError(f"Expected a list of finite numbers. Received: {name}={values!r}")
    return numbers
