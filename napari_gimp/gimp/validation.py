"""What a model says of single cases, and the losses by which an epoch of training is judged."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import nn

from napari_gimp.gimp.batches import pad_samples
from napari_gimp.gimp.ensemble import Ensemble, EnsembleOutput
from napari_gimp.gimp.heads import PARTS, Part
from napari_gimp.gimp.model import GiMP
from napari_gimp.gimp.steps import Validation
from napari_gimp.types import MODALITIES, Modality, Sample


def validation_losses(model: GiMP | Ensemble, samples: Sequence[Sample]) -> Validation:
    """Mean cross-entropy of each modality over the samples that have what it needs."""
    logits = [case_logits(model, sample) for sample in samples]
    labels = torch.tensor([sample.label for sample in samples])
    losses: dict[Modality, float] = {}
    for modality in MODALITIES:
        has = [i for i, found in enumerate(logits) if modality in found]
        if has:
            stacked = torch.from_numpy(np.stack([logits[i][modality] for i in has]))
            losses[modality] = float(nn.functional.cross_entropy(stacked, labels[has]))
    return losses


@torch.inference_mode()
def case_logits(model: GiMP | Ensemble, sample: Sample) -> dict[Modality, Float[np.ndarray, " C"]]:
    """Logits of one case (whole bag, dropout off) for every modality that its inputs allow, from one pass.

    Without a profile there is no ``both``: image-only is never called both.
    """
    was_training = model.training
    model.eval()
    output = model(*pad_samples([sample]).to(model.device).inputs)
    found = output.members[0] if isinstance(output, EnsembleOutput) else output
    image, genes = bool(found.has_image[0]), bool(found.has_genes[0])
    there: dict[Modality, bool] = {"both": image and genes, "image": image, "genes": genes}
    model.train(was_training)
    return {name: output.answers[name][0].float().cpu().numpy() for name in MODALITIES if there[name]}


@torch.inference_mode()
def case_parts(model: GiMP | Ensemble, sample: Sample) -> dict[Part, Float[np.ndarray, " C"]]:
    """What each part of a `SumHead` says of one case, mean over the members; only parts that have their input."""
    was_training = model.training
    model.eval()
    output = model(*pad_samples([sample]).to(model.device).inputs)
    outputs = output.members if isinstance(output, EnsembleOutput) else (output,)
    found: dict[Part, Float[np.ndarray, " C"]] = {}
    for part in PARTS:
        there = outputs[0].has_image if part == "image" else outputs[0].has_genes
        if bool(there[0]) and outputs[0].parts is not None:
            logits = torch.stack([output.parts[part][0] for output in outputs if output.parts is not None])
            found[part] = logits.mean(0).float().cpu().numpy()
    model.train(was_training)
    return found
