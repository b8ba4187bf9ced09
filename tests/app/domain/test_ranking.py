from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from memorybank.domain import ranking

DAY = 86_400_000_000


def floats(*values: float) -> ranking.Scores:
    return np.array(values, dtype=np.float32)


def places(*values: int) -> ranking.Places:
    return np.array(values, dtype=np.intp)


def scores(low: float, high: float) -> st.SearchStrategy[ranking.Scores]:
    numbers = st.floats(low, high, width=32, allow_subnormal=False)
    return nps.arrays(np.float32, st.integers(1, 20), elements=numbers)


def test_the_rarer_a_term_the_more_it_weighs_and_none_weighs_less_than_nothing() -> None:
    weights = [ranking.inverse_frequency(100, holding) for holding in range(101)]
    assert weights == sorted(weights, reverse=True)
    assert weights[-1] > 0
    assert weights[1] == pytest.approx(math.log(1 + 99.5 / 1.5))


def test_one_occurrence_in_a_document_of_mean_length_counts_once() -> None:
    norms = ranking.length_norm(floats(10, 5, 20), 10)
    once = ranking.saturation(floats(1, 1, 1), norms)
    assert once[0] == pytest.approx(1)
    assert once[1] > 1 > once[2]


def test_repetition_counts_less_and_less() -> None:
    norms = ranking.length_norm(floats(10, 10, 10, 10), 10)
    repeated = ranking.saturation(floats(1, 2, 3, 1_000), norms)
    gains = np.diff(repeated[:3])
    assert gains[0] > gains[1] > 0
    assert repeated[3] < 2.2


def test_neighbours_lend_half_and_the_next_ones_a_quarter() -> None:
    # Rows 0-1-2-3 are one session, row 4 is alone.
    nearest = places(5, 0, 1, 2, 5), places(1, 2, 3, 5, 5)
    next_but_one = places(5, 5, 0, 1, 5), places(2, 3, 5, 5, 5)
    smoothed = ranking.with_neighbours(floats(8, 0, 0, 0, 4), nearest, next_but_one)
    np.testing.assert_allclose(smoothed, [8, 4, 2, 0, 4])
    smoothed = ranking.with_neighbours(floats(0, 8, 0, 4, 0), nearest, next_but_one)
    np.testing.assert_allclose(smoothed, [4 + 0, 8 + 1, 4 + 2, 4 + 2, 0])


@given(scores(0, 100), st.just(0.0) | st.floats(1e-6, 200))
def test_lexical_shares_are_between_0_and_1_and_keep_the_order(
    values: ranking.Scores, weight: float
) -> None:
    shares = ranking.lexical_share(values, weight)
    assert 0 <= shares.min() <= shares.max() <= 1 + 1e-6
    assert (np.diff(shares[np.argsort(values)]) >= 0).all()


def test_a_weak_best_match_is_not_stretched_to_1() -> None:
    assert ranking.lexical_share(floats(1, 0.5), 10).max() < 0.2
    assert ranking.lexical_share(floats(10, 5), 10).max() == 1


@given(scores(-1, 1))
def test_vector_shares_are_above_0_up_to_1_and_keep_the_order(cosines: ranking.Scores) -> None:
    shares = ranking.vector_share(cosines)
    assert 0 < shares.min() <= shares.max() <= 1 + 1e-6
    assert (np.diff(shares[np.argsort(cosines)]) >= 0).all()


def test_a_cosine_is_its_own_share_and_below_0_hardly_any() -> None:
    shares = ranking.vector_share(floats(1, 0.8, 0.4, 0, -1))
    np.testing.assert_allclose(shares, [1, 0.8, 0.4, 0.02, 0.01], rtol=1e-5)


@given(st.integers(1, 6))
def test_taking_the_common_part_off_leaves_the_mean_of_the_cosines_as_it_was(count: int) -> None:
    dice = np.random.default_rng(count)
    vectors = dice.standard_normal((count, 8)).astype(np.float32)
    query = dice.standard_normal(8).astype(np.float32)
    moved, raised = ranking.centred(query, vectors.mean(axis=0))
    assert (vectors @ moved + raised).mean() == pytest.approx((vectors @ query).mean(), abs=1e-5)


def test_a_neighbour_that_is_nearer_lifts_half_way_and_one_that_is_not_does_nothing() -> None:
    lifted = ranking.lifted(floats(0.2, 0.6), floats(0.8, 0.1))
    np.testing.assert_allclose(lifted, [0.5, 0.6])


def test_without_vectors_the_other_parts_make_the_whole_score() -> None:
    full = ranking.fused(floats(1), floats(1), None)
    assert full[0] == pytest.approx(1)
    assert ranking.fused(floats(1), floats(1), floats(1))[0] == pytest.approx(1)
    assert ranking.fused(floats(1), floats(0), floats(0))[0] == pytest.approx(0.5 / 1.65)
    assert ranking.fused(floats(0), floats(0), floats(1))[0] == pytest.approx(1 / 1.65)


def test_words_that_hardly_cover_the_query_do_not_overrule_its_meaning() -> None:
    meant, worded = 0, 1
    vectors, none = floats(0.6, 0.5), floats(0, 0)
    assert ranking.fused(floats(0, 0.25), none, vectors).argmax() == meant
    assert ranking.fused(floats(0, 0.9), none, vectors).argmax() == worded


@given(scores(0, 1), st.integers(0, 10_000))
def test_the_prior_stays_within_its_bounds(importance: ranking.Scores, days: int) -> None:
    moments = np.arange(len(importance), dtype=np.int64) * days * DAY
    factors = ranking.prior(importance, moments, int(moments.max()))
    assert 0.95 - 1e-6 <= factors.min() <= factors.max() <= 1.10 + 1e-6


def test_important_and_recent_memories_come_first_among_equals() -> None:
    factors = ranking.prior(floats(0.5, 0.5, 1), np.array([0, 60 * DAY, 60 * DAY]), 60 * DAY)
    assert factors[0] < factors[1] < factors[2]
