"""What a ranking is worth: the usual figures, from ranked keys and the keys that were wanted."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence, Set
from statistics import fmean

_DRAWS = 10_000


def recall_any(ranked: Sequence[str], wanted: Set[str], depth: int) -> float:
    """Return 1 when at least one of the wanted is among the first `depth`, else 0."""
    return float(bool(wanted & set(ranked[:depth])))


def recall_all(ranked: Sequence[str], wanted: Set[str], depth: int) -> float:
    """Return 1 when all of the wanted are among the first `depth`, else 0.

    More wanted than `depth` can never all be there: those who ask for 1 see 0 then.
    """
    return float(wanted <= set(ranked[:depth]))


def recall_fraction(ranked: Sequence[str], wanted: Set[str], depth: int) -> float:
    """Return which part of the wanted is among the first `depth`."""
    return len(wanted & set(ranked[:depth])) / len(wanted)


def ndcg(ranked: Sequence[str], wanted: Set[str], depth: int) -> float:
    """Return the discounted gain of the first `depth` as a part of the best that is possible.

    A wanted one on place n (from 1) gains 1 / log2(n + 1) (Järvelin and Kekäläinen 2002).
    """
    gained = sum(_gain(place) for place, key in enumerate(ranked[:depth]) if key in wanted)
    best = sum(_gain(place) for place in range(min(depth, len(wanted))))
    return gained / best


def reciprocal_rank(ranked: Sequence[str], wanted: Set[str]) -> float:
    """Return 1 / place of the first wanted one, 0 when there is none."""
    return next((1 / place for place, key in enumerate(ranked, 1) if key in wanted), 0.0)


def separation(answered: Sequence[float], unanswerable: Sequence[float]) -> float:
    """Return how surely a score tells an answerable question from one without answer.

    The chance that of one of each the answerable one has the higher best score (the area under the
    ROC curve): 1 is perfect, .5 a guess.
    """
    wins = sum((yes > no) + (yes == no) / 2 for yes in answered for no in unanswerable)
    return wins / (len(answered) * len(unanswerable))


def best_threshold(answered: Sequence[float], unanswerable: Sequence[float]) -> float:
    """Return the score from which on an answer is best believed: by balanced accuracy."""
    return max(
        sorted({*answered, *unanswerable}),
        key=lambda least: balanced_accuracy(answered, unanswerable, least),
    )


def balanced_accuracy(
    answered: Sequence[float], unanswerable: Sequence[float], least: float
) -> float:
    """Return the mean of what is rightly answered and what is rightly refused from a score on."""
    kept = sum(score >= least for score in answered) / len(answered)
    refused = sum(score < least for score in unanswerable) / len(unanswerable)
    return (kept + refused) / 2


def interval(differences: Sequence[float]) -> tuple[float, float, float]:
    """Return the mean of paired differences and the bounds of its 95 % interval.

    By bootstrap: the mean of as many questions drawn with replacement, 10,000 times over (Sakai
    2006, "Evaluating evaluation metrics based on the bootstrap"). The draw is the same each time.
    """
    dice = random.Random(len(differences))  # noqa: S311  # the same each time
    means = sorted(fmean(dice.choices(differences, k=len(differences))) for _ in range(_DRAWS))
    return fmean(differences), means[round(0.025 * _DRAWS)], means[round(0.975 * _DRAWS) - 1]


def _gain(place: int) -> float:
    return 1 / math.log2(place + 2)
