"""One case as one page: ``report.html`` (everything, opens anywhere) and ``report.pdf`` (A4, the same in short)."""

from napari_gimp.export.report.case import Mark as Mark
from napari_gimp.export.report.case import PatchPicture as PatchPicture
from napari_gimp.export.report.case import RegionRow as RegionRow
from napari_gimp.export.report.case import ReportCase as ReportCase
from napari_gimp.export.report.case import ShownMap as ShownMap
from napari_gimp.export.report.case import WhatIf as WhatIf
from napari_gimp.export.report.from_slide import report_case as report_case
from napari_gimp.export.report.writing import write_report as write_report
