"""Who is updated when, and that one bank that does not work stops the others."""

from __future__ import annotations

from memorybank_operator.engine.cache import BankKey
from memorybank_operator.engine.waves import Stand, Waves

BANKS = [BankKey("team", f"bank-{number}") for number in range(6)]
ONE, TWO, THREE, *OTHERS = BANKS


class Fixture:
    def __init__(self, size: int, *left: tuple[BankKey, Stand]) -> None:
        self.woken: list[BankKey] = []
        self.asked = 0

        def underway() -> tuple[tuple[BankKey, Stand], ...]:
            self.asked += 1
            return left

        self.waves = Waves(size, wake=self.woken.append, underway=underway)


def test_no_more_than_a_wave_has_turns() -> None:
    waves = Fixture(2).waves
    assert [waves.ask(bank) for bank in BANKS] == [True, True, False, False, False, False]
    assert waves.counts() == {"waiting": 4, "rolling": 2, "failed": 0}
    assert waves.ask(ONE)


def test_who_waited_longest_is_woken_when_a_turn_is_free() -> None:
    fixture = Fixture(2)
    for bank in BANKS:
        fixture.waves.ask(bank)
    fixture.waves.stands(ONE, Stand.ROLLING)
    assert fixture.woken == []
    fixture.waves.stands(ONE, None)
    assert fixture.woken == [THREE]
    assert fixture.waves.ask(THREE)
    assert not fixture.waves.ask(OTHERS[0])


def test_a_bank_that_fails_stops_the_others_until_it_is_mended_or_gone() -> None:
    fixture = Fixture(2)
    for bank in (ONE, TWO, THREE):
        fixture.waves.ask(bank)
    fixture.waves.stands(ONE, Stand.FAILED)
    fixture.waves.stands(TWO, None)
    assert fixture.woken == []
    assert not fixture.waves.ask(THREE)
    fixture.waves.stands(ONE, None)
    assert fixture.woken == [THREE]
    assert fixture.waves.ask(THREE)


def test_who_waits_and_needs_no_turn_any_more_makes_way_for_the_next() -> None:
    fixture = Fixture(1)
    for bank in (ONE, TWO, THREE):
        fixture.waves.ask(bank)
    fixture.waves.stands(ONE, None)
    fixture.waves.stands(TWO, None)
    assert fixture.woken == [TWO, THREE]


def test_a_new_leader_goes_on_where_the_one_before_stopped() -> None:
    fixture = Fixture(1, (ONE, Stand.ROLLING))
    assert fixture.waves.has_turn(ONE)
    assert not fixture.waves.ask(TWO)
    broken = Fixture(5, (ONE, Stand.FAILED))
    assert not broken.waves.ask(TWO)
    broken.waves.stands(ONE, None)
    assert broken.waves.ask(TWO)
    assert fixture.asked == broken.asked == 1


def test_a_wave_of_none_gives_no_turns() -> None:
    assert not Fixture(0).waves.ask(ONE)
