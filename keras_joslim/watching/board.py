"""What is written for TensorBoard: numbers, widths over time as an image, the front as a figure."""

import io

import numpy as np
import tensorflow as tf

# Columns of the image of widths; older periods are thinned out.
_MOST_COLUMNS = 400


class Board:
    """Writes event files.

    Args:
        directory: of the event files.
        schedule: whose `history`, if it has one, is the front's.
        cost: a cost object.

    Raises:
        ImportError: TensorBoard or matplotlib is not installed.
    """

    def __init__(self, directory, schedule, cost):
        require_packages()
        self._writer = tf.summary.create_file_writer(str(directory))
        self._schedule, self._cost = schedule, cost
        self._seen = 0

    def write(self, step, row):
        """One row of `steps.csv`; images when the history has grown by a tenth."""
        with self._writer.as_default(step=step):
            for name, value in row.items():
                if name != "step" and np.isfinite(value):
                    kind, _, which = name.partition("_")
                    tag = f"{kind}/{which}" if kind in ("loss", "cost", "front") else name
                    tf.summary.scalar(tag, value)
            history = self._schedule.history if self._schedule.keeps_history else None
            if history is not None and len(history) >= max(2, 1.1 * self._seen):
                self._seen = len(history)
                space = self._schedule.space
                multipliers = space.multipliers(history.widths)
                tf.summary.image("widths", widths_image(multipliers)[None])
                tf.summary.image("front", front_image(history.losses, history.costs)[None])
        self._writer.flush()


def require_packages():
    """Refuses to begin without what is needed.

    Raises:
        ImportError: naming the package and how to install it.
    """
    for package in ("tensorboard", "matplotlib"):
        try:
            __import__(package)
        except ImportError:
            raise ImportError(
                f"Writing for TensorBoard needs the package {package}: "
                "pip install 'keras_joslim[tensorboard]'"
            ) from None


def widths_image(multipliers):
    """The widths of all networks visited, in the order of the visits.

    Args:
        multipliers: `(visited, groups)` in (0, 1].

    Returns:
        uint8 `(height, width, 3)`: a row of pixels a group, the first one on top, a column a
        network, the first one on the left; dark is narrow.
    """
    from matplotlib import colormaps

    thinned = np.asarray(multipliers)
    if len(thinned) > _MOST_COLUMNS:
        thinned = thinned[np.linspace(0, len(thinned) - 1, _MOST_COLUMNS).astype(int)]
    colours = colormaps["viridis"](thinned.T)[..., :3]
    # Rows and columns wide enough to see.
    tall, wide = max(1, 200 // colours.shape[0]), max(1, _MOST_COLUMNS // colours.shape[1])
    return (255 * np.kron(colours, np.ones((tall, wide, 1)))).astype(np.uint8)


def front_image(losses, costs):
    """The history and its front.

    Args:
        losses: `(n,)`, NaN where there is none.
        costs: `(n,)`.

    Returns:
        uint8 `(height, width, 3)`.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from PIL import Image

    from keras_joslim.search.pareto import front_indices

    known = np.isfinite(losses)
    losses, costs = np.asarray(losses)[known], np.asarray(costs)[known]
    figure = Figure(figsize=(6, 4), dpi=100, layout="constrained")
    axes = FigureCanvasAgg(figure).figure.add_subplot()
    axes.plot(costs, losses, ".", color="0.7", label="visited")
    if len(losses):
        front = front_indices(losses, costs)
        axes.step(costs[front], losses[front], "o-", where="post", label="front")
    axes.set_xlabel("cost")
    axes.set_ylabel("loss on calibration data")
    axes.legend()
    file = io.BytesIO()
    figure.savefig(file, format="png")
    file.seek(0)
    return np.asarray(Image.open(file).convert("RGB"))
