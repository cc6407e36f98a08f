"""Word vectors and models of gensim. It writes into a model when it was saved."""

from pathlib import Path
from typing import Any

import pytest

from tests.frameworks.round_trip import Case, check

TEXTS = [["human", "computer", "interface"], ["survey", "user", "computer", "system"], ["graph", "trees", "user"]] * 20


def _model(seed: int) -> Any:
    from gensim.models import Word2Vec

    return Word2Vec(TEXTS, vector_size=16, min_count=1, workers=1, seed=seed + 1, epochs=3)


def _vectors(seed: int) -> Any:
    return _model(seed).wv


def _topics(seed: int) -> Any:
    from gensim.corpora import Dictionary
    from gensim.models import LdaModel

    words = Dictionary(TEXTS)
    return LdaModel([words.doc2bow(text) for text in TEXTS], id2word=words, num_topics=3, random_state=seed, passes=2)


def _near(found: Any) -> Any:
    return [
        found.vectors,
        found.index_to_key,
        found.most_similar("user"),
        [found.get_vecattr(word, "count") for word in found.index_to_key],
    ]


CASES = (
    Case("gensim KeyedVectors", ("gensim",), _vectors, _near, "gensim", "word2vec"),
    Case(
        "gensim Word2Vec",
        ("gensim",),
        _model,
        lambda found: _near(found.wv),
        "gensim",
        "gensim",
        needs_pickle=True,
        same_bytes=False,
    ),
    Case(
        "gensim LdaModel",
        ("gensim",),
        _topics,
        lambda found: [found.get_topics(), found.id2word.token2id],
        "gensim",
        "gensim",
        needs_pickle=True,
        same_bytes=False,
    ),
)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", CASES, ids=str)
def test_round_trip(case: Case, tmp_path: Path) -> None:
    check(case, tmp_path)
