"""Writes one small made-up expression matrix in every layout of the field, exactly as its source writes it.

The layouts are those of the files that GDC, Xena, cBioPortal and PanCanAtlas hand out; all numbers are random.
"""

import gzip
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

SYMBOLS = ("TP53", "EGFR", "KRAS", "HLA-A", "C1orf112", "KRT5", "NKX2-1", "SFTPC", "TP63", "GAPDH", "XIST", "SOX2")
ENSEMBL = tuple(f"ENSG{place:011d}" for place in (141510, 146648, 133703, 206503, 460, 186081, *range(136352, 136358)))
ENTREZ = (7157, 1956, 3845, 3105, 55732, 3852, 7080, 6440, 8626, 2597, 7503, 6657)
CASES = ("TCGA-05-4249", "TCGA-05-4250", "TCGA-22-4591", "TCGA-44-2656", "TCGA-97-7938")


@dataclass(frozen=True, eq=False)
class Truth:
    """What a reader must find again: counts and linear values (S, G) of samples x SYMBOLS / ENSEMBL."""

    counts: np.ndarray
    linear: np.ndarray

    def frame(self, samples: tuple[str, ...] = CASES, genes: tuple[str, ...] = SYMBOLS) -> pd.DataFrame:
        """Linear values, samples in rows."""
        return pd.DataFrame(self.linear, index=list(samples), columns=list(genes))


def truth(seed: int = 0) -> Truth:
    """Counts over the range of real ones, and linear values with decimals."""
    rng = np.random.default_rng(seed)
    counts = rng.negative_binomial(2, 0.001, (len(CASES), len(SYMBOLS))).astype(float)
    linear = np.round(counts * rng.uniform(0.02, 0.3, len(SYMBOLS)), 4)
    counts[1, 3] = linear[1, 3] = 0.0
    return Truth(counts, linear)


def write_gdc(path: Path, facts: Truth, row: int, *, extra_genes: int = 0) -> Path:
    """``<uuid>.rna_seq.augmented_star_gene_counts.tsv`` of one sample."""
    columns = "gene_id gene_name gene_type unstranded stranded_first stranded_second tpm_unstranded"
    header = [*columns.split(), "fpkm_unstranded", "fpkm_uq_unstranded"]
    lines = ["# gene-model: GENCODE v36", "\t".join(header)]
    sums = ("N_unmapped", "N_multimapping", "N_noFeature", "N_ambiguous")
    lines += ["\t".join([name, "", "", "3000000", "3000000", "3000000", "", "", ""]) for name in sums]
    genes = list(zip(ENSEMBL, SYMBOLS, facts.counts[row], facts.linear[row], strict=True))
    genes += [(f"ENSG{900000 + k:011d}", f"LINC{k:05d}", 7.0, 0.5) for k in range(extra_genes)]
    for ensembl, symbol, count, fpkm in genes:
        whole = f"{int(count)}"
        lines.append("\t".join([f"{ensembl}.12", symbol, "protein_coding", whole, whole, whole, f"{2 * fpkm:.4f}"]))
        lines[-1] += f"\t{fpkm:.4f}\t{1.3 * fpkm:.4f}"
    twin = [f"{ENSEMBL[10]}.12_PAR_Y", SYMBOLS[10], "lncRNA", "0", "0", "0", "0.0000", "0.0000", "0.0000"]
    lines.append("\t".join(twin))
    path.write_text("\n".join(lines) + "\n")
    return path


def write_gdc_folder(folder: Path, facts: Truth, kinds: tuple[str, ...] = ("01A",) * 5) -> Path:
    """What the GDC client leaves: a folder a file, logs beside it, and the sample sheet on top."""
    rows = ["File ID\tFile Name\tData Category\tData Type\tProject ID\tCase ID\tSample ID\tSample Type"]
    for row, (case, kind) in enumerate(zip(CASES, kinds, strict=True)):
        file_id = f"{row:08d}-aaaa-bbbb-cccc-0123456789ab"
        name = f"{99 - row:08d}-dddd-eeee-ffff-0123456789ab.rna_seq.augmented_star_gene_counts.tsv"
        (folder / file_id / "logs").mkdir(parents=True)
        (folder / file_id / "logs" / f"{name}.parcel").write_bytes(b"\0\1")
        write_gdc(folder / file_id / name, facts, row)
        kind_name = "Solid Tissue Normal" if kind.startswith("11") else "Primary Tumor"
        cells = [file_id, name, "Transcriptome Profiling", "Gene Expression Quantification", "TCGA-LUAD"]
        rows.append("\t".join([*cells, case, f"{case}-{kind}", kind_name]))
    (folder / "gdc_sample_sheet.2024-05-01.tsv").write_text("\n".join(rows) + "\n")
    return folder


def write_xena(path: Path, facts: Truth, *, centred: bool = False) -> Path:
    """``HiSeqV2`` or, centred per gene, ``HiSeqV2_PANCAN``: log2(norm_count + 1), genes in rows."""
    values = np.log2(facts.linear + 1)
    values = values - values.mean(axis=0) if centred else values
    frame = pd.DataFrame(values.T, index=list(SYMBOLS), columns=[f"{case}-01" for case in CASES])
    frame.rename_axis("sample").round(6).to_csv(path, sep="\t")
    return path


def write_xena_gdc_hub(path: Path, facts: Truth) -> Path:
    """``TCGA-LUAD.htseq_counts.tsv.gz`` of the GDC hub: log2(count + 1), versioned Ensembl, five rows of sums."""
    values = np.log2(facts.counts + 1)
    frame = pd.DataFrame(values.T, index=[f"{gene}.7" for gene in ENSEMBL], columns=[f"{case}-01A" for case in CASES])
    for name in ("no_feature", "ambiguous", "too_low_aQual", "not_aligned", "alignment_not_unique"):
        frame.loc[f"__{name}"] = 21.5
    with gzip.open(path, "wt") as file:
        frame.rename_axis("Ensembl_ID").to_csv(file, sep="\t")
    return path


def write_cbioportal(path: Path, facts: Truth, *, zscores: bool = False) -> Path:
    """``data_mrna_seq_v2_rsem.txt``, or its ``_zscores_ref_all_samples`` sister."""
    values = facts.linear
    if zscores:
        logs = np.log2(values + 1)
        values = (logs - logs.mean(axis=0)) / logs.std(axis=0)
    frame = pd.DataFrame(values.T.round(4), columns=[f"{case}-01" for case in CASES])
    frame.insert(0, "Hugo_Symbol", list(SYMBOLS))
    frame.insert(1, "Entrez_Gene_Id", list(ENTREZ))
    frame.to_csv(path, sep="\t", index=False)
    return path


def write_pancanatlas(path: Path, facts: Truth) -> Path:
    """``EBPlusPlusAdjustPANCAN_IlluminaHiSeq_RNASeqV2.geneExp.tsv``: SYMBOL|ENTREZ, aliquot barcodes, NA cells."""
    names = [f"{symbol}|{entrez}" for symbol, entrez in zip(SYMBOLS, ENTREZ, strict=True)]
    columns = [f"{case}-01A-11R-A24H-07" for case in CASES]
    frame = pd.DataFrame(facts.linear.T, index=["?|100130426", *names][1:], columns=columns)
    frame.loc["?|100130426"] = 0.0
    frame.iloc[2, 4] = np.nan
    frame.rename_axis("gene_id").to_csv(path, sep="\t", na_rep="NA")
    return path


def write_mcat(path: Path, facts: Truth) -> Path:
    """``tcga_luad_all_clean.csv``: one row a slide (the first case has two), clinic and mutations beside the genes."""
    rows = [0, *range(len(CASES))]
    frame = pd.DataFrame(
        {
            "case_id": [CASES[row] for row in rows],
            "slide_id": [f"{CASES[row]}-01Z-00-DX{1 + (k == 0)}.ab.svs" for k, row in enumerate(rows)],
            "site": [CASES[row][5:7] for row in rows],
            "is_female": 1.0,
            "oncotree_code": "LUAD",
            "age": 61,
            "survival_months": 20.5,
            "censorship": 0.0,
            "TP53_mut": 1.0,
            "TP53_cnv": -1.0,
        }
    )
    logs = np.log2(facts.linear + 1)
    scores = ((logs - logs.mean(axis=0)) / logs.std(axis=0)).round(4)
    genes = pd.DataFrame(scores[rows], columns=[f"{gene}_rnaseq" for gene in SYMBOLS])
    pd.concat([frame, genes], axis=1).to_csv(path)
    return path


def write_plain(path: Path, frame: pd.DataFrame, *, corner: str = "", sep: str = ",", decimal: str = ".") -> Path:
    """CSV or TSV, packed as the ending says."""
    text = frame.rename_axis(corner or None).to_csv(sep=sep, decimal=decimal)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    elif path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("matrix.csv", text)
            archive.writestr("__MACOSX/._matrix.csv", "x")
    else:
        path.write_text(text)
    return path
