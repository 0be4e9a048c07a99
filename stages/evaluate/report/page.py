"""A review -> one page and a folder beside it, without a server or outside resources; same review, same bytes."""

import shutil
from pathlib import Path

import jinja2
import plotly

from stages.evaluate.report.review import Review, to_values
from stages.files import atomic_file

HERE = Path(__file__).parent
SCRIPTS = ("page.js", "charts.js")
PLOTLY = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"


def write_scripts(folder: Path) -> None:
    """Copy the scripts of the page into an existing folder, beside the pictures."""
    for name in SCRIPTS:
        shutil.copyfile(HERE / name, folder / name)
    shutil.copyfile(PLOTLY, folder / PLOTLY.name)


def write_page(page: Path, folder: str, review: Review) -> None:
    """Write the page.

    Args:
        page: HTML file to write, atomically.
        folder: Folder of pictures and scripts, relative to the page.
        review: Content of the page.
    """
    # The values may be file names from anybody: they are escaped.
    loader = jinja2.FileSystemLoader(HERE, encoding="utf-8")
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters |= {"figure": _figure, "signed": _signed}
    text = environment.get_template("page.html").render(to_values(review, folder))
    with atomic_file(page) as draft:
        draft.write_text(text, encoding="utf-8")


def _figure(value: float) -> str:
    return f"{value:.3f}"


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "\N{MINUS SIGN}")
