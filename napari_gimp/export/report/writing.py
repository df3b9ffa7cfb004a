"""Both files of a report, each whole or not at all."""

from __future__ import annotations

from pathlib import Path

from napari_gimp.export.report.case import ReportCase, unnamed
from napari_gimp.export.report.page import page
from napari_gimp.export.report.sheet import write_sheet
from napari_gimp.files import write_text_whole, write_whole

HTML, PDF = "report.html", "report.pdf"


def write_report(case: ReportCase, where: Path) -> list[Path]:
    """Write a case as HTML and as one page of PDF.

    Parameters
    ----------
    where
        A folder, for ``report.html`` and ``report.pdf`` in it, or the path of one file that ends in .html or .pdf.

    Returns
    -------
    list of Path
        What was written.

    Raises
    ------
    InputError
        It cannot be written there.
    """
    case, where = unnamed(case), Path(where)
    alone = where.suffix.lower() in (".html", ".pdf") and not where.is_dir()
    files = [where] if alone else [where / HTML, where / PDF]
    for path in files:
        if path.suffix.lower() == ".pdf":
            write_whole(path, lambda beside: write_sheet(beside, case))
        else:
            write_text_whole(path, page(case))
    return files
