"""``report.html``: one file that opens anywhere, without a network."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path

from napari_gimp.files import write_whole
from napari_gimp.study.crossvalidation import CrossValidation
from napari_gimp.study.report import tables
from napari_gimp.study.report.pictures import INPUTS, pictures

REPORT = "report.html"
NOTICE = "For research use only. Not for diagnosis, not for any decision on a patient."
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1d2129; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: .2rem; } h2 { font-size: 1.15rem; margin: 2.2rem 0 .4rem; }
table { border-collapse: collapse; font-size: .85rem; margin: .5rem 0; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .6rem; text-align: left; border-bottom: 1px solid #e3e6ea; white-space: nowrap; }
th { border-bottom: 2px solid #b8bec6; } tr.gimp td { background: #eef5fb; font-weight: 600; }
small { color: #646a73; font-weight: 400; } img { max-width: 100%; }
.wide { overflow-x: auto; } .pair { display: flex; flex-wrap: wrap; gap: 1rem; }
.notice { border-left: 4px solid #b3261e; padding: .3rem .8rem; background: #fdf1f0; }
.leak { border-left: 4px solid #d08700; padding: .3rem .8rem; background: #fff7e6; margin: .4rem 0; }
.big { font-size: 1.1rem; } details summary { cursor: pointer; }
"""


def write_report(result: CrossValidation, out: Path) -> Path:
    """Write ``report.html`` to a folder.

    Raises
    ------
    InputError
        It cannot be written there.
    """
    text = page(result)

    def fill(beside: Path) -> None:
        beside.write_text(text, encoding="utf-8")

    write_whole(out / REPORT, fill)
    return out / REPORT


def page(result: CrossValidation) -> str:
    """The whole page. Patients are named by their case alone."""
    title = f"Cross-validation of GiMP on {escape(result.cohort)}"
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head><body><h1>{title}</h1>'
        f"{_top(result)}{_models(result)}{_hard_patients(result)}{_end(result)}</body></html>\n"
    )


def _top(result: CrossValidation) -> str:
    summary = result.by_modality[result.modality]
    leaks = "".join(f'<p class="leak">{escape(warning)}</p>' for warning in result.warnings)
    return (
        f'<p class="notice">{NOTICE}</p><p>{len(result.cases)} cases, classes {escape(", ".join(result.classes))};'
        f" {len(result.folds)} folds; seed {result.seed}.</p>{_headline(result)}{leaks}"
        f"<p><small>Accuracy, balanced accuracy, AUC, F1 and Brier score are means of the folds, the ECE is over the"
        f" pooled predictions (10 bins of equal count); intervals are 95 % of a bootstrap over patients. Each model is"
        f" judged on the cases that have what it sees; {summary.n} have {INPUTS[result.modality]}.</small></p>"
    )


def _headline(result: CrossValidation) -> str:
    found = result.by_modality[result.modality]
    area = found.figures["auc"]
    said = f"accuracy {found.figures['accuracy']:.3f}" + ("" if area is None else f", AUC {area:.3f}")
    return f'<p class="big">GiMP, {INPUTS[result.modality]}: {said}, ECE {found.figures["ece"]:.3f}.</p>'


def _models(result: CrossValidation) -> str:
    drawn = pictures(result)
    rivals = (
        "<h2>Against the best baseline of the same inputs</h2><p><small>On the cases that both predict. The baseline is"
        " the best on these very cases, which leans against GiMP. p: two-sided, from the bootstrap.</small></p>"
        f'<div class="wide">{tables.comparisons(result.comparison)}</div>'
        if result.comparison
        else ""
    )
    return (
        f'<h2>All models</h2><div class="wide">{tables.models(result)}</div>{_image(drawn, "forest")}{rivals}'
        f'<h2>Curves</h2><div class="pair">{_image(drawn, "roc")}{_image(drawn, "calibration")}</div>'
        "<details><summary>All models on the cases that every model predicts</summary>"
        f'<div class="wide">{tables.shared_cases(result)}</div></details>'
        f"<h2>Folds</h2>{tables.per_fold(result)}{_sites(result, drawn)}"
    )


def _sites(result: CrossValidation, drawn: dict[str, str]) -> str:
    if "sites" not in drawn:
        return ""
    return (
        f"<h2>Sites</h2>{_image(drawn, 'sites')}<details><summary>Confusion by site</summary>"
        f'<div class="wide">{tables.by_site(result)}</div></details>'
    )


def _image(drawn: dict[str, str], name: str) -> str:
    return f'<img alt="{name}" src="{drawn[name]}">' if name in drawn else ""


def _hard_patients(result: CrossValidation) -> str:
    if not result.baselines:
        return ""
    count = len(result.hard_cases)
    words = (
        f"{count} patients whom GiMP and every baseline that predicts them call wrong. Some of these labels may be"
        " wrong, or the tissue unusual: look at them."
        if count
        else "No patient is called wrong by all models."
    )
    return f"<h2>Hard patients</h2><p>{words}</p>" + (f'<div class="wide">{tables.hard(result)}</div>' if count else "")


def _end(result: CrossValidation) -> str:
    notes = _list(result.notes)
    details = {f"fold {d.get('fold', k)}": dict(d) for k, d in enumerate(result.folds, 1)}
    return (
        f"<h2>Cohort and settings</h2>{notes}<details><summary>Settings</summary>{tables.pairs(result.settings)}"
        f"</details><details><summary>What each fold's model says of itself</summary>{tables.pairs(details)}</details>"
        f"<details><summary>Versions</summary>{tables.pairs(result.versions)}</details>"
        f"<p><small>{result.seconds:.0f} s of computing; page of {datetime.now(UTC):%Y-%m-%d %H:%M} UTC. {NOTICE}"
        "</small></p>"
    )


def _list(lines: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>" if lines else ""
