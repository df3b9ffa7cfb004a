"""The bundled demo checkpoint on a few unseen synthetic cases, beside an untrained network and a colour threshold.

The full table is printed by ``tests/benchmarks/bench_synthetic.py``.
"""

from pathlib import Path

import bench_synthetic as bench
import pytest

from napari_gimp.bundled import DEMO_CHECKPOINT, resource
from napari_gimp.gimp.checkpoint import load_model, read_facts

CASES = 16


@pytest.fixture(scope="module")
def cases(tmp_path_factory) -> list[bench.SyntheticTestCase]:
    cohort, features = bench.embedded_cohort(tmp_path_factory.mktemp("demo"), CASES, bench.TEST_SEED + 1)
    return bench.load_cases(cohort, features)


def test_the_checkpoint_says_that_it_is_synthetic_and_is_small() -> None:
    folder = resource(DEMO_CHECKPOINT)
    facts = read_facts(folder)
    assert facts.synthetic == "synthetic"
    assert "synthetic" in DEMO_CHECKPOINT
    assert sum(path.stat().st_size for path in Path(folder).iterdir()) <= 4e6


def test_trained_beats_untrained_clearly_on_unseen_cases(cases) -> None:
    loaded = load_model(resource(DEMO_CHECKPOINT))
    trained, untrained = bench.figures(loaded, cases), bench.figures(bench.untrained_twin(loaded), cases)
    colour = bench.colour_threshold(cases, cases)  # fitted on the very cases: an upper bound of the rule
    assert trained["both"] >= 0.85
    assert trained["image"] >= 0.7
    assert trained["genes"] >= 0.7
    assert trained["attention AUC"] > 0.9
    assert trained["both"] > untrained["both"] + 0.15
    assert trained["attention AUC"] > untrained["attention AUC"] + 0.03
    assert trained["both"] >= colour["image"]
