"""h5ad files (samples x genes) through anndata, an extra."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

from napari_gimp.genes.formats import RawMatrix
from napari_gimp.settings import InputError

_SYMBOL_COLUMNS = ("gene_name", "gene_symbol", "gene_symbols", "symbol", "feature_name", "hugo_symbol")
_MOST_VALUES = 1_000_000_000


def read_h5ad(path: Path) -> RawMatrix:
    """Read ``X`` of an h5ad file, dense or sparse.

    Raises
    ------
    InputError
        anndata is not installed, the file is no AnnData, has no ``X``, or holds cells by the hundred thousand.
    """
    try:
        import anndata
    except ImportError as error:
        raise InputError(
            f"Expected anndata for the h5ad file {path}, it is not installed; run: pip install 'napari-gimp[h5ad]'."
        ) from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of old layouts and repeated names: both are dealt with here
            data = anndata.read_h5ad(path)
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise InputError(
            f"Expected an AnnData file (samples x genes), could not read {path} as one; write it with"
            " AnnData.write_h5ad, or give a CSV."
        ) from error
    if data.X is None or not data.n_obs or not data.n_vars:
        raise InputError(f"Expected a matrix X in {path}, found none of its own; put the expression into X.")
    if data.n_obs * data.n_vars > _MOST_VALUES:
        raise InputError(
            f"Expected bulk samples in {path}, found {data.n_obs} x {data.n_vars} values; sum the cells of each sample."
        )
    values = data.X.toarray() if hasattr(data.X, "toarray") else np.asarray(data.X)
    raw = RawMatrix(
        [str(name) for name in data.obs_names],
        [str(name) for name in data.var_names],
        values.astype(np.float64),
        "h5ad",
        written_whole=values.dtype.kind in "iu",
        notes=["Orientation: samples in rows (AnnData)."],
    )
    column = next((name for name in data.var.columns if str(name).lower() in _SYMBOL_COLUMNS), None)
    if column is not None:
        raw.symbols = {gene: str(symbol) for gene, symbol in zip(raw.genes, data.var[column], strict=True)}
    return raw
