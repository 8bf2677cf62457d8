import numpy as np
import pytest

from training.scores import fit_temperature, perplexity, reliability, scores


def test_scores_of_a_small_table() -> None:
    probabilities = np.array([[0.7, 0.2, 0.1], [0.3, 0.4, 0.3], [0.5, 0.25, 0.25]])
    found = scores(probabilities, np.array([0, 2, 1]))
    assert found.top1 == pytest.approx(1 / 3, abs=1e-6)
    assert found.top5 == 1
    assert found.nll == pytest.approx(-np.log([0.7, 0.3, 0.25]).mean(), abs=1e-6)
    assert found.ece == pytest.approx((0.3 + 0.4 + 0.5) / 3, abs=1e-6)


def test_top1_is_what_argmax_gives_on_ties() -> None:
    probabilities, random = np.full((1000, 12), 1 / 12), np.random.default_rng(0)
    labels = random.integers(12, size=1000)
    found = scores(probabilities, labels)
    assert found.top1 == pytest.approx((labels == 0).mean())
    assert found.top5 == pytest.approx((labels < 5).mean())


def test_honest_probabilities_are_calibrated() -> None:
    random = np.random.default_rng(0)
    probabilities = random.dirichlet(np.ones(5), 50_000)
    labels = (probabilities.cumsum(1) > random.random((50_000, 1))).argmax(1)
    assert scores(probabilities, labels).ece < 0.01
    overconfident = probabilities**4 / (probabilities**4).sum(1, keepdims=True)
    assert scores(overconfident, labels).ece > 0.1


def test_perplexity_counts_the_codewords_in_use() -> None:
    random = np.random.default_rng(0)
    assert perplexity(random.integers(16, size=(40_000, 3))) == pytest.approx(16, rel=0.01)
    assert perplexity(np.zeros((100, 3), int)) == 1


def test_the_temperature_that_made_answers_too_sure_is_found() -> None:
    random = np.random.default_rng(0)
    honest = random.dirichlet(np.ones(5), 5000)
    labels = (honest.cumsum(1) > random.random((5000, 1))).argmax(1)
    sharpened = honest**2 / (honest**2).sum(1, keepdims=True)
    assert fit_temperature(sharpened, labels) == pytest.approx(2, rel=0.05)
    assert fit_temperature(honest, labels) == pytest.approx(1, rel=0.05)
    assert 1 < fit_temperature(sharpened[:5], labels[:5]) < 2  # few pictures say little


def test_reliability_is_the_share_that_is_right_by_how_sure_it_is() -> None:
    confidence = np.array([0.95, 0.95, 0.58, 1.0])
    said, kept, count = reliability(confidence, np.array([True, False, True, True]))
    assert count.tolist() == [1, 3]
    assert said == pytest.approx([0.58, 2.9 / 3]) and kept == pytest.approx([1.0, 2 / 3])
