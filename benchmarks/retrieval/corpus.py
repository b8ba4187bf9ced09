"""The memories and the questions: read from `data/`, the same ones each time.

`notes.txt` holds memories written one by one, with their questions. A `*.yaml` is a cast: things,
what is known of each (`facts`), what changed over time (`histories`), and ways to ask. Each thing
gets one memory per fact and several per history, in one of the wordings and with one of the values;
so there are many memories about one thing, and many that say the like about others. `none.txt`
holds questions that nothing answers.

A paraphrased question names a thing by what it is for, never by its name, and is asked only of
memories that say what it is for, in other words. What is drawn is drawn by
seeds made of names: an addition to one file changes nothing that comes from another.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

import yaml

DATA = Path(__file__).parent / "data"
TODAY = datetime(2026, 11, 20, 12, tzinfo=UTC)
"""The day on which all questions are asked; nothing in the corpus is later."""

_NOON = timedelta(hours=12)
_MOST_HOLDERS = 5
"""A question for all things of a value has two to so many answers."""
_INTRODUCED = 0.5
"""So many memories of a cast say what their thing is."""
_LAST_MONTH = 10
_LAST_DAY = 28


class Kind(StrEnum):
    """What makes a question hard."""

    DIRECT = "direct"
    PARAPHRASED = "paraphrased"
    TEMPORAL = "temporal"
    MULTI = "multi-part"
    NONE = "none"


_MARKS = {"d": Kind.DIRECT, "p": Kind.PARAPHRASED, "t": Kind.TEMPORAL, "m": Kind.MULTI}


@dataclass(frozen=True, slots=True)
class Note:
    """A memory before it is stored."""

    key: str
    content: str
    domain: str
    project: str
    type: str = "note"
    session: str | None = None
    occurred_at: datetime | None = None
    valid_from: datetime | None = None
    valid_to: datetime | None = None

    def request(self) -> dict[str, Any]:
        """Return the body that stores it."""
        times = {
            name: moment.isoformat()
            for name in ("occurred_at", "valid_from", "valid_to")
            if (moment := getattr(self, name)) is not None
        }
        body = {"content": self.content, "project": self.project, "type": self.type, **times}
        return body if self.session is None else {**body, "session": self.session}


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, and the keys of all memories that answer it."""

    text: str
    kind: Kind
    answers: frozenset[str]
    as_of: datetime = TODAY


@dataclass(slots=True)
class Corpus:
    """All memories and questions, in a fixed order."""

    notes: list[Note] = field(default_factory=list)
    questions: list[Question] = field(default_factory=list)

    def halves(self) -> tuple[list[Question], list[Question]]:
        """Return the questions to tune with, and those to report: every other one of each kind."""
        seen: dict[Kind, int] = defaultdict(int)
        halves: tuple[list[Question], list[Question]] = ([], [])
        for question in self.questions:
            halves[seen[question.kind] % 2].append(question)
            seen[question.kind] += 1
        return halves


def load() -> Corpus:
    """Read everything."""
    corpus = Corpus()
    for file in sorted(DATA.glob("*.yaml")):
        cast = _Cast(file.stem, yaml.safe_load(file.read_text(encoding="utf-8")))
        corpus.notes += cast.notes
        corpus.questions += cast.questions()
    notes, questions = parsed((DATA / "notes.txt").read_text(encoding="utf-8"))
    corpus.notes += notes
    corpus.questions += questions
    for line in _lines((DATA / "none.txt").read_text(encoding="utf-8")):
        corpus.questions.append(Question(line, Kind.NONE, frozenset()))
    return corpus


def parsed(text: str) -> tuple[list[Note], list[Question]]:
    """Read memories that were written one by one; the form is told at the top of the file."""
    notes: list[Note] = []
    questions: list[Question] = []
    domain, project = "", ""
    head: dict[str, Any] = {}
    for line in _lines(text):
        mark, _, rest = line.partition(" ")
        if mark == "==":
            domain, project = rest.split(" / ")
        elif mark in _MARKS:
            names, bar, asked = rest.partition(" | ")
            answers = [f"notes/{name}" for name in names.split()] if bar else [notes[-1].key]
            questions.append(Question(asked if bar else rest, _MARKS[mark], frozenset(answers)))
        elif line[0] == "@":
            head["occurred_at"] = datetime.fromisoformat(f"{mark[1:]}T12:00:00+00:00")
            head["session"] = rest or None
        elif line[0] == "=":
            head["key"] = f"notes/{line[1:]}"
        else:
            note = {"key": f"notes/{len(notes)}"} | head
            notes.append(Note(content=line, domain=domain, project=project, **note))
            head = {}
    return notes, questions


def _lines(text: str) -> Iterator[str]:
    return (line for line in text.splitlines() if line and not line.startswith("#"))


@dataclass(frozen=True, slots=True)
class _Told:
    """A memory of a cast, and what was put into its wording."""

    note: Note
    thing: str
    about: str
    words: Mapping[str, str]
    as_of: datetime = TODAY


class _Cast:
    """Things and what is known of them."""

    def __init__(self, name: str, data: Mapping[str, Any]) -> None:
        self._name = name
        self._data = data
        self._things = {
            thing: {"name": thing, "is": what, "alias": alias}
            for thing, what, alias in (line.split(" | ") for line in data["things"])
        }
        self._facts = [told for thing in self._things for told in self._facts_of(thing)]
        self._past = [
            told
            for thing in self._things
            for about, history in data.get("histories", {}).items()
            for told in self._history_of(thing, about, history)
        ]

    @property
    def notes(self) -> list[Note]:
        """All memories."""
        return [told.note for told in (*self._facts, *self._past)]

    def questions(self) -> Iterator[Question]:
        """Yield as many questions of each kind as the file wants."""
        wanted = self._data["questions"]
        for kind in (Kind.DIRECT, Kind.PARAPHRASED):
            dice = self._dice(kind)
            facts = self._facts if kind is Kind.DIRECT else self._introduced()
            for told in dice.sample(facts, wanted.get(kind.value, 0)):
                form = dice.choice(self._data["facts"][told.about][kind.value])
                yield self._question(form, told.words, kind, [told])
        dice = self._dice(Kind.TEMPORAL)
        for told in dice.sample(self._past, wanted.get("temporal", 0)):
            form = dice.choice(self._data["histories"][told.about]["asks"])
            yield self._question(form, told.words, Kind.TEMPORAL, [told], told.as_of)
        yield from self._multi(wanted.get("multi", 0))

    def _introduced(self) -> list[_Told]:
        """Return the memories that can be meant without the name of their thing.

        That are those that say what it is for; all, where that is common knowledge.
        """
        common = self._data.get("common_knowledge", False)
        return [told for told in self._facts if common or told.words["is"] in told.note.content]

    def _multi(self, count: int) -> Iterator[Question]:
        """Yield questions that several memories answer, of each form in turn."""
        dice = self._dice(Kind.MULTI)
        forms = []
        for form in self._data["multi"]:
            sets = self._holders(form["all"]) if "all" in form else self._sides(form["of"])
            forms.append((form["ask"], dice.sample(sets, len(sets))))
        for number in range(count):
            ask, sets = forms[number % len(forms)]
            if sets:
                answers = sets.pop()
                yield self._question(ask, answers[0].words, Kind.MULTI, answers)

    def _sides(self, abouts: Sequence[str]) -> list[list[_Told]]:
        """Return, per thing, what is known of these sides of it."""
        known = {(told.thing, told.about): told for told in self._facts}
        return [[known[thing, about] for about in abouts] for thing in self._things]

    def _holders(self, about: str) -> list[list[_Told]]:
        """Return, per value, the memories that hold it, where they are few enough to be asked."""
        holders: dict[str, list[_Told]] = defaultdict(list)
        for told in self._facts:
            if told.about == about:
                holders[told.words["v"]].append(told)
        return [each for each in holders.values() if 2 <= len(each) <= _MOST_HOLDERS]

    def _facts_of(self, thing: str) -> Iterator[_Told]:
        begun = datetime(2026, 1, 1, tzinfo=UTC) + _NOON
        begun += timedelta(days=self._dice(thing).randrange(280))
        session = f"{self._name}/{thing}" if self._data.get("session") else None
        for number, (about, fact) in enumerate(self._data["facts"].items()):
            dice = self._dice(thing, about)
            words = self._things[thing] | self._value(dice, fact)
            later = timedelta(hours=number) if session else timedelta(days=dice.randrange(30))
            moment = begun + later
            yield _Told(
                self._note(f"{thing}/{about}", dice, fact, words, session, occurred_at=moment),
                thing,
                about,
                words,
            )

    def _history_of(self, thing: str, about: str, history: Mapping[str, Any]) -> Iterator[_Told]:
        """Yield what came one after the other, in different months, and never twice the same."""
        dice = self._dice(thing, about)
        count = history["entries"]
        dates = [
            datetime(2026, month, dice.randint(1, _LAST_DAY), tzinfo=UTC) + _NOON
            for month in sorted(dice.sample(range(1, _LAST_MONTH + 1), count))
        ]
        values = dice.sample(history["values"], count)
        if about == "release":
            values.sort(key=lambda value: str(value["v"]))
        for number, (date, value) in enumerate(zip(dates, values, strict=True)):
            end = dates[number + 1] if number + 1 < count else None
            words = self._things[thing] | _plain(value)
            words |= {"date": _written(date, dice), "month": f"{date:%B %Y}"}
            times: dict[str, Any] = {"occurred_at": date}
            as_of = TODAY
            if history.get("valid"):
                times |= {"valid_from": date, "valid_to": end}
                as_of = TODAY if end is None else date + (end - date) / 2
            note = self._note(f"{thing}/{about}/{number}", dice, history, words, None, **times)
            yield _Told(note, thing, about, words, as_of)

    def _note(
        self,
        key: str,
        dice: random.Random,
        fact: Mapping[str, Any],
        words: Mapping[str, str],
        session: str | None,
        **times: Any,
    ) -> Note:
        form = dice.choice(fact["says"])
        if "{is}" not in form and "{name}'s" not in form and dice.random() < _INTRODUCED:
            form = form.replace("{name}", "{name} ({is})", 1)
        content = form.format_map(words)
        return Note(
            key=f"{self._name}/{key}",
            content=content[0].upper() + content[1:],
            domain=self._data["domain"],
            project=self._data["project"],
            type=fact["type"],
            session=session,
            **times,
        )

    def _value(self, dice: random.Random, fact: Mapping[str, Any]) -> dict[str, str]:
        if "number" in fact:
            return {"v": str(dice.randint(*fact["number"]))}
        return _plain(dice.choice(fact["values"]))

    def _question(
        self,
        form: str,
        words: Mapping[str, str],
        kind: Kind,
        answers: Sequence[_Told],
        as_of: datetime = TODAY,
    ) -> Question:
        keys = frozenset(told.note.key for told in answers)
        return Question(form.format_map(words), kind, keys, as_of)

    def _dice(self, *names: str) -> random.Random:
        return random.Random("/".join((self._name, *names)))  # noqa: S311  # the same each time


def _plain(value: Any) -> dict[str, str]:
    """Return a value, which may have several parts, as words to put into a wording."""
    return dict(value) if isinstance(value, dict) else {"v": str(value)}


def _written(date: datetime, dice: random.Random) -> str:
    """Return a date in one of the ways in which people write it."""
    forms = (f"{date.day} {date:%B %Y}", f"{date:%B} {date.day}, {date.year}", f"{date:%Y-%m-%d}")
    return dice.choice(forms)
