"""`joslim plot`: the front as one self-contained HTML page."""

import html

from keras_joslim import atomic

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<style>body{{font-family:sans-serif;margin:2em;max-width:920px}}pre{{font-size:13px}}</style></head>
<body><h1>{title}</h1>
<p>{points} points out of a history of {history} networks. Widths were chosen on validation data;
test accuracy was measured once, afterwards.</p>
{figures}
<pre>{table}</pre>
</body></html>
"""


def write_report(workdir):
    """Draws the front of a run into `report.html`, which needs no network to open.

    Returns:
        The path of the page.

    Raises:
        ValueError: no front yet.
    """
    front = workdir.front()
    figures = [front.plot(metric="loss")]
    if "accuracy" in front.points[0].validation:
        figures.append(front.plot(metric="accuracy"))
    parts = [
        # The first figure carries the drawing library for all.
        figure.to_html(full_html=False, include_plotlyjs=i == 0, div_id=f"figure-{i}")
        for i, figure in enumerate(figures)
    ]
    page = _PAGE.format(
        title=html.escape(f"Front of {workdir.name}"),
        points=len(front),
        history=len(front.history),
        figures="\n".join(parts),
        table=html.escape(front.table()),
    )
    atomic.write_text(workdir.report_file, page)
    return workdir.report_file
