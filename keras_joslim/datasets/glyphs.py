"""Glyphs: 100 characters in 16 fonts, drawn at random as 32x32 colour images.

Nothing is downloaded: Pillow draws the characters, from fonts that come with matplotlib. These
are DejaVu (Sans, Sans Mono, Serif; the Bitstream Vera licence, its changes in the public domain)
and STIX (SIL Open Font License 1.1); both licences stand beside the fonts and allow any use.

All three splits draw from the same fonts and differ by their seeds alone: the data measure how
much a network can hold, not whether it knows a typeface that it has never seen.
"""

import pathlib

import numpy as np

from keras_joslim.datasets.dataset import Dataset, Split
from keras_joslim.datasets.glyph_images import draw_images
from keras_joslim.preprocessing import Preprocessing

# The class of a character is its place here. Every font has all of them; left out are those that
# are another one turned, sheared or resized within the ranges of glyph_images (O and 0, I and l,
# c and C, Cyrillic and Greek letters of Latin shape), and those whose italic is another letter.
CHARACTERS = (
    "0123456789"
    "ABCDEFGHJKLMNPQRSTUVWXYZ"
    "abdefghmnqrt"
    "ΓΔΛΞΠΣΦΨΩ"
    "βγδεζλμξσω"
    "БДЖИЛЦЧШЫЮЯЭЪЊ"
    "?&%@#$€£¥§¶+=±÷©*{"
    "æŒþ"
)
FONTS = (
    "DejaVuSans.ttf",
    "DejaVuSans-Bold.ttf",
    "DejaVuSans-Oblique.ttf",
    "DejaVuSans-BoldOblique.ttf",
    "DejaVuSansMono.ttf",
    "DejaVuSansMono-Bold.ttf",
    "DejaVuSansMono-Oblique.ttf",
    "DejaVuSansMono-BoldOblique.ttf",
    "DejaVuSerif.ttf",
    "DejaVuSerif-Bold.ttf",
    "DejaVuSerif-Italic.ttf",
    "DejaVuSerif-BoldItalic.ttf",
    "STIXGeneral.ttf",
    "STIXGeneralBol.ttf",
    "STIXGeneralItalic.ttf",
    "STIXGeneralBolIta.ttf",
)
# Of the pixels in [0, 1], over all channels: 0.501 and 0.247 in 20,000 training images, rounded.
# Constants, as for CIFAR, so that all runs scale alike.
MEAN = 0.5
DEVIATION = 0.25
PREPROCESSING = Preprocessing(
    "Red, green, blue, 32x32 pixels, from 0 to 1 (a byte divided by 255): less 0.5, over 0.25.",
    raw_range=(0, 1),
    scale=(1 / DEVIATION,) * 3,
    offset=(-MEAN / DEVIATION,) * 3,
)

# Pixels of a mask, and of the longer side of the glyph in it: the empty margin is what a warp
# reads outside of the glyph.
MASK_SIZE = 52
GLYPH_SIZE = 44

# Not an option, so that no two runs can disagree on what the test set is.
SEED = 0
# Images are drawn by so many; each chunk has a generator of its own.
CHUNK = 500


def load_glyphs(train_size=20000, validation_size=4000, test_size=4000):
    """The glyphs: 100 classes, drawn with random font, shape, colours, ground and noise.

    Args:
        train_size, validation_size, test_size: number of images. A larger split begins with
            the images of a smaller one.

    Returns:
        A `Dataset` of images of shape (32, 32, 3), `(pixel - MEAN) / DEVIATION` with pixels in
        [0, 1], labelled by the place in `CHARACTERS`. Any 100 images from a multiple of 100 on
        hold each class once. The same sizes give the same images, up to what releases of
        FreeType draw differently.

    Raises:
        ValueError: a size that is no whole number from 1, or a package that is missing.

    Example:

    >>> data = load_glyphs(200, 100, 100)
    >>> data.image_shape
    (32, 32, 3)
    >>> CHARACTERS[data.train.labels[0]] in CHARACTERS
    True
    """
    sizes = {"train": train_size, "validation": validation_size, "test": test_size}
    for part, size in sizes.items():
        if isinstance(size, bool) or not isinstance(size, (int, np.integer)) or size < 1:
            raise ValueError(
                f"{part}_size must be a whole number of images from 1. "
                f"Received: {part}_size={size!r}"
            )
    masks = glyph_masks()
    splits = (_split(masks, number, size) for number, size in enumerate(sizes.values()))
    return Dataset(
        *("glyphs", *splits),
        num_classes=len(CHARACTERS),
        class_names=tuple(CHARACTERS),
        preprocessing=PREPROCESSING,
    )


def font_paths():
    """The files of `FONTS` in matplotlib's folder.

    Raises:
        ValueError: matplotlib is not installed, or lacks a font.
    """
    try:
        import matplotlib
    except ImportError as error:
        raise _missing("matplotlib", error) from None
    folder = pathlib.Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    paths = [folder / name for name in FONTS]
    for path in paths:
        if not path.is_file():
            raise ValueError(
                f"Expected the fonts of matplotlib in {str(folder)!r}, which has no {path.name}. "
                "Some systems package them apart; that of PyPI has them: "
                "pip install --force-reinstall matplotlib"
            )
    return paths


def glyph_masks():
    """Every character in every font, fitted into one size.

    Returns:
        How much of a pixel is ink, in [0, 1]: float32 of shape
        `(characters, fonts, MASK_SIZE, MASK_SIZE)`. The box around the ink is in the middle
        and its longer side is GLYPH_SIZE pixels.

    Raises:
        ValueError: as `load_glyphs`.
    """
    try:
        from PIL import Image, ImageDraw, ImageFont
    except ImportError as error:
        raise _missing("pillow", error) from None
    shape = (len(CHARACTERS), len(FONTS), MASK_SIZE, MASK_SIZE)
    masks = np.zeros(shape, np.float32)

    def ink(character, font):
        # Room for what sticks out of the line. The box that the font itself tells is no use: it
        # holds the distance to the next character too.
        image = Image.new("L", (4 * GLYPH_SIZE, 4 * GLYPH_SIZE))
        place = (GLYPH_SIZE, GLYPH_SIZE)
        ImageDraw.Draw(image).text(place, character, fill=255, font=font)
        return np.asarray(image.crop(image.getbbox()), np.float32) / 255

    for number, path in enumerate(font_paths()):
        plain = ImageFont.truetype(path, GLYPH_SIZE)
        for label, character in enumerate(CHARACTERS):
            size = GLYPH_SIZE**2 / max(ink(character, plain).shape)
            glyph = ink(character, ImageFont.truetype(path, size))
            top, left = (MASK_SIZE - np.array(glyph.shape)) // 2
            height, width = glyph.shape
            masks[label, number, top : top + height, left : left + width] = glyph
    return masks


def _split(masks, number, size):
    """The split of that number: chunk by chunk, each from its own seed."""
    images = np.empty((size, 32, 32, 3), np.float32)
    labels = np.empty(size, np.int32)
    for chunk, start in enumerate(range(0, size, CHUNK)):
        rng = np.random.default_rng([SEED, number, chunk])
        # The whole chunk is drawn, whatever is left of the split, so that the images of a larger
        # split are the same.
        order = np.concatenate([rng.permutation(len(masks)) for _ in range(CHUNK // len(masks))])
        drawn = (draw_images(masks, GLYPH_SIZE, order, rng) - np.float32(MEAN)) / np.float32(
            DEVIATION
        )
        part = slice(start, min(start + CHUNK, size))
        images[part], labels[part] = drawn[: size - start], order[: size - start]
    return Split(images, labels)


def _missing(package, error):
    return ValueError(
        "The glyphs are drawn by Pillow from the fonts of matplotlib (the extra 'glyphs'). "
        f"{package} cannot be imported: {error}. Install both: pip install matplotlib pillow"
    )
