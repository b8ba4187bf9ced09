"""How well search finds what is asked for, by words, by meaning and by both.

    python -m benchmarks.retrieval [--half tune|report|all] [--misses KIND] [--domains]

Starts a real service with the built-in embedder, stores the corpus through HTTP and asks every
question in each mode. Ranking was tuned with one half of the questions, so the other half is what
counts (`report`, the default). Prints tables in Markdown.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import httpx

from benchmarks.retrieval import metrics
from benchmarks.retrieval.corpus import Corpus, Kind, Note, Question, load
from tests.support.server_process import Server, serving

MODES = ("lexical", "vector", "hybrid")
DEPTHS = (1, 5, 10)
_DEEPEST = max(DEPTHS)
_PER_BATCH = 500
_TIMEOUT_SECONDS = 300

Depth = Callable[[Sequence[str], frozenset[str], int], float]
_RECALLS: tuple[Depth, ...] = (
    metrics.recall_any,
    metrics.recall_all,
    metrics.recall_fraction,
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a mode made of a question."""

    question: Question
    ranked: list[str]
    """Keys, best first."""
    score: float
    """That of the best; 0 when nothing was found."""


def main() -> None:
    """Store, ask and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.retrieval", description=__doc__)
    parser.add_argument("--half", choices=("tune", "report", "all"), default="report")
    parser.add_argument("--misses", type=Kind, help="show what hybrid search missed of a kind")
    parser.add_argument("--domains", action="store_true", help="nDCG by domain, too")
    options = parser.parse_args()
    corpus = load()
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder) / "bank") as server:
        answers = asked(server, corpus)
    tune, report = ({each.text for each in half} for half in corpus.halves())
    chosen = {"tune": tune, "report": report, "all": tune | report}[options.half]
    print(f"{len(corpus.notes)} memories; questions: {options.half}, {len(chosen)}\n")
    found = {
        mode: [each for each in answers[mode] if each.question.text in chosen] for mode in MODES
    }
    print_found(found)
    print_differences(found)
    print_refused(answers, tune, chosen)
    if options.domains:
        print_domains(found, corpus.notes)
    if options.misses:
        print_misses(found["hybrid"], options.misses, corpus.notes)


def asked(server: Server, corpus: Corpus) -> dict[str, list[Answer]]:
    """Store the corpus and return the answers of each mode, in the order of the questions."""
    headers = {"Authorization": f"Bearer {server.key}"}
    with httpx.Client(base_url=server.url, headers=headers, timeout=_TIMEOUT_SECONDS) as client:
        keys = stored(client, corpus.notes)
        return {
            mode: [_answer(client, question, mode, keys) for question in corpus.questions]
            for mode in MODES
        }


def stored(client: httpx.Client, notes: Sequence[Note]) -> dict[str, str]:
    """Store all memories; return the key of each id. Raises ValueError when one is not kept."""
    keys: dict[str, str] = {}
    for start in range(0, len(notes), _PER_BATCH):
        batch = notes[start : start + _PER_BATCH]
        body = {"memories": [note.request() for note in batch]}
        answer = client.post("/v1/memories:batch", json=body).raise_for_status().json()
        for note, result in zip(batch, answer["results"], strict=True):
            if result.get("id") is None or result["id"] in keys:
                raise ValueError(f"{note.key} was not kept as a memory of its own: {result}")
            keys[result["id"]] = note.key
    return keys


def _answer(client: httpx.Client, question: Question, mode: str, keys: dict[str, str]) -> Answer:
    body = {
        "query": question.text,
        "mode": mode,
        "limit": _DEEPEST,
        "as_of": question.as_of.isoformat(),
    }
    answer = client.post("/v1/search", json=body).raise_for_status().json()
    if answer["degraded"] is not None:
        raise ValueError(f"only words decided: {answer['degraded']}")
    results = answer["results"]
    ranked = [keys[result["memory"]["id"]] for result in results]
    return Answer(question, ranked, results[0]["score"] if results else 0.0)


def print_found(found: dict[str, list[Answer]]) -> None:
    """Print the figures of the questions that have an answer, by kind and mode."""
    names = ("any", "all", "part")
    columns = [f"{name}@{depth}" for name in names for depth in DEPTHS] + ["nDCG@10", "MRR"]
    print("| kind (questions) | mode | " + " | ".join(columns) + " |")
    print("|---|---|" + "---|" * len(columns))
    kinds = [kind for kind in Kind if kind is not Kind.NONE]
    for kind in kinds:
        _print_rows(found, kind.value, [kind])
    _print_rows(found, "all of these", kinds)
    print()


def _print_rows(found: dict[str, list[Answer]], name: str, kinds: Sequence[Kind]) -> None:
    for mode in MODES:
        answers = [each for each in found[mode] if each.question.kind in kinds]
        figures = [
            fmean(recall(each.ranked, each.question.answers, depth) for each in answers)
            for recall in _RECALLS
            for depth in DEPTHS
        ]
        figures.append(
            fmean(metrics.ndcg(each.ranked, each.question.answers, _DEEPEST) for each in answers)
        )
        figures.append(
            fmean(metrics.reciprocal_rank(each.ranked, each.question.answers) for each in answers)
        )
        cells = " | ".join(f"{figure:.3f}" for figure in figures)
        print(f"| {name} ({len(answers)}) | {mode} | {cells} |")


def print_differences(found: dict[str, list[Answer]]) -> None:
    """Print by how much hybrid search is ahead of the others, question by question."""
    print("| hybrid is ahead of | kind | nDCG@10 | 95 % interval | any@1 | 95 % interval |")
    print("|---|---|---|---|---|---|")
    measures: tuple[Depth, ...] = (metrics.ndcg, metrics.recall_any)
    depths = (_DEEPEST, 1)
    for mode in MODES[:-1]:
        for kind in Kind:
            if kind is Kind.NONE:
                continue
            cells = []
            for measure, depth in zip(measures, depths, strict=True):
                ahead, least, most = metrics.interval(
                    [
                        measure(ours.ranked, ours.question.answers, depth)
                        - measure(theirs.ranked, theirs.question.answers, depth)
                        for ours, theirs in zip(found["hybrid"], found[mode], strict=True)
                        if ours.question.kind is kind
                    ]
                )
                cells += [f"{ahead:+.3f}", f"{least:+.3f} to {most:+.3f}"]
            print(f"| {mode} | {kind.value} | " + " | ".join(cells) + " |")
    print()


def print_refused(answers: dict[str, list[Answer]], tune: set[str], chosen: set[str]) -> None:
    """Print how well the best score tells questions without answer, by mode.

    The threshold is the best one of the half that is for tuning.
    """
    print("| none | separation | min_score | refused of none | kept of the others | balanced |")
    print("|---|---|---|---|---|---|")
    for mode in MODES:
        yes, no = _scores(answers[mode], tune)
        least = metrics.best_threshold(yes, no)
        yes, no = _scores(answers[mode], chosen)
        figures = (
            metrics.separation(yes, no),
            least,
            fmean(score < least for score in no),
            fmean(score >= least for score in yes),
            metrics.balanced_accuracy(yes, no, least),
        )
        print(f"| {mode} | " + " | ".join(f"{figure:.3f}" for figure in figures) + " |")
    print()


def _scores(answers: Sequence[Answer], chosen: set[str]) -> tuple[list[float], list[float]]:
    """Return the best scores of questions with an answer and of those without."""
    mine = [each for each in answers if each.question.text in chosen]
    return (
        [each.score for each in mine if each.question.kind is not Kind.NONE],
        [each.score for each in mine if each.question.kind is Kind.NONE],
    )


def print_domains(found: dict[str, list[Answer]], notes: Sequence[Note]) -> None:
    """Print nDCG by domain of the answer and mode."""
    domains = {note.key: note.domain for note in notes}
    print("| domain (questions) | " + " | ".join(MODES) + " |")
    print("|---|" + "---|" * len(MODES))
    for domain in sorted(set(domains.values())):
        cells = []
        for mode in MODES:
            mine = [
                metrics.ndcg(each.ranked, each.question.answers, _DEEPEST)
                for each in found[mode]
                if any(domains[key] == domain for key in each.question.answers)
            ]
            cells.append(f"{fmean(mine):.3f}" if mine else "-")
        print(f"| {domain} ({len(mine)}) | " + " | ".join(cells) + " |")
    print()


def print_misses(answers: Sequence[Answer], kind: Kind, notes: Sequence[Note]) -> None:
    """Print the questions of a kind whose answers are not all at the top, with what was there."""
    texts = {note.key: note.content for note in notes}
    for each in answers:
        wanted = each.question.answers
        if each.question.kind is kind and not wanted <= set(each.ranked[: len(wanted)]):
            print(f"? {each.question.text}")
            print("".join(f"  wanted: {texts[key]}\n" for key in sorted(wanted)), end="")
            print("".join(f"  found:  {texts[key]}\n" for key in each.ranked[:3]))


if __name__ == "__main__":
    main()
