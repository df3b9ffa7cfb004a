"""A cross-validation as one readable page: tables and pictures in a single HTML file."""

from napari_gimp.study.report.page import write_report as write_report
