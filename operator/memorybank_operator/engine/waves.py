"""Whose turn it is when the operator itself changes the pods of many banks, as its upgrade can do.

At most `size` banks are updated at a time, and none more while one of them does not work. Nothing
is stored here: that a bank is being updated, or failed, is a condition in its status, which is
written before its pod is touched; a new leader reads it there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import Enum, auto

from memorybank_operator.engine.cache import BankKey


class Stand(Enum):
    """How a bank stands in the operator's own update."""

    WAITING = auto()
    ROLLING = auto()
    FAILED = auto()


class Waves:
    """Gives turns to banks. Every call is about one bank and costs no more for thousands."""

    def __init__(
        self,
        size: int,
        *,
        wake: Callable[[BankKey], None],
        underway: Callable[[], Iterable[tuple[BankKey, Stand]]],
    ) -> None:
        """`size` 0 gives no turns at all. `wake` has a waiting bank looked at; `underway` is asked
        once, before the first turn is given, what an operator before left.
        """
        self._size = size
        self._wake = wake
        self._underway = underway
        self._waiting: dict[BankKey, None] = {}
        """In the order in which they asked."""
        self._rolling: set[BankKey] = set()
        self._failed: set[BankKey] = set()
        self._is_informed = False

    def has_turn(self, bank: BankKey) -> bool:
        """Tell whether a bank was given its turn and has not finished."""
        self._learn()
        return bank in self._rolling

    def ask(self, bank: BankKey) -> bool:
        """Ask for a turn; return whether it is given. Who gets none is woken when there is one."""
        self._learn()
        if bank in self._rolling:
            return True
        if self._failed or len(self._rolling) >= self._size:
            self._waiting[bank] = None
            return False
        self._waiting.pop(bank, None)
        self._rolling.add(bank)
        return True

    def stands(self, bank: BankKey, stand: Stand | None) -> None:
        """Note how a bank stands by its status; None when nothing of this is about it."""
        left = bank in self._rolling or bank in self._failed
        if stand is not Stand.WAITING:
            left = left or bank in self._waiting
            self._waiting.pop(bank, None)
        self._rolling.discard(bank)
        self._failed.discard(bank)
        if stand is Stand.ROLLING:
            self._rolling.add(bank)
        elif stand is Stand.FAILED:
            self._failed.add(bank)
        elif left:
            self._wake_next()

    def counts(self) -> Mapping[str, int]:
        """Count the banks by how they stand."""
        return {
            "waiting": len(self._waiting),
            "rolling": len(self._rolling),
            "failed": len(self._failed),
        }

    def _wake_next(self) -> None:
        if self._failed:
            return
        free = max(0, self._size - len(self._rolling))
        for bank in list(self._waiting)[:free]:
            # Who is gone meanwhile says so when it is looked at, and the next one is woken.
            self._wake(bank)

    def _learn(self) -> None:
        if self._is_informed:
            return
        self._is_informed = True
        for bank, stand in self._underway():
            if bank not in self._rolling and bank not in self._failed:
                self.stands(bank, stand)
