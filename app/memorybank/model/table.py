"""A table with one vector per token, for the tiny embedder: the encoder's own word embeddings.

They are what the encoder begins with, less the mean of all, which says nothing. A token weighs
a / (a + p) by how often it is met, p (Arora et al. 2017, "A simple but tough-to-beat baseline for
sentence embeddings"): the vocabulary is in the order of frequency, so p follows Zipf's law of its
place. Weights are part of the table, so a text's vector is the mean of its tokens' rows.

To run every token through the encoder instead (Model2Vec) takes half a minute and finds hardly more
(nDCG@10 .427 instead of .413 over the questions of benchmarks.retrieval). Principal components
would make the table smaller, but their directions hang on rounding, and tables that were made on
two machines have to be one space.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from memorybank.model.weights import Tensors

Table = npt.NDArray[np.float16]

_RARITY = 2e-5
"""`a` above. Of 1e-6 to 1e-3 the value that ranks the questions of benchmarks.retrieval best;
Arora's own 1e-3 lets frequent words drown the others."""


def build_table(tensors: Tensors) -> Table:
    """Return the table, a row of 384 numbers for each token of the vocabulary."""
    vectors = tensors["embeddings.word_embeddings.weight"]
    probability = 1 / (np.arange(len(vectors)) + 2.0)
    probability /= probability.sum()
    weight = _RARITY / (_RARITY + probability)
    table = (vectors - vectors.mean(axis=0)) * weight[:, np.newaxis]
    # Lengths do not matter, so all of them are put where float16 is finest.
    scaled: Table = (table / np.abs(table).max()).astype(np.float16)
    return scaled
