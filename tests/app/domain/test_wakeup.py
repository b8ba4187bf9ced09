"""What a wake-up tells fits its budget, is told once, and leaves no layer out for another."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from memorybank.domain.context import PREFACE, token_bound
from memorybank.domain.wakeup import Entry, Layer, pack_layers
from tests.support.memory_samples import a_memory

_TEXTS = st.text(alphabet=st.sampled_from("ab[]> ,猫\n\r\x85\u2028x1"), min_size=1, max_size=300)
_MEMORIES = [a_memory(f"memory {number}") for number in range(12)]
_ENTRIES = st.builds(Entry, st.sampled_from(_MEMORIES), _TEXTS)
_LAYERS = st.dictionaries(st.sampled_from(list(Layer)), st.lists(_ENTRIES, max_size=6)).map(
    lambda layers: [
        (layer, list({each.memory.id: each for each in entries}.values()))
        for layer, entries in layers.items()
    ]
)
_TOKENS = st.integers(100, 3_000)


@given(_LAYERS, _TOKENS)
def test_what_is_told_fits_and_the_rest_is_counted(
    layers: list[tuple[Layer, list[Entry]]], tokens: int
) -> None:
    pack = pack_layers(layers, tokens)
    assert pack.tokens == token_bound(pack.text) <= tokens
    told = [each.memory_id for layer in pack.layers for each in layer.memories]
    known = {entry.memory.id for _, entries in layers for entry in entries}
    assert len(told) == len(set(told)), "each is told once"
    assert len(told) + pack.omitted == len(known)
    assert set(told) <= known
    assert [each.layer for each in pack.layers] == [layer for layer, _ in layers]


@given(_LAYERS, _TOKENS)
def test_every_line_is_the_preface_a_heading_a_head_of_ours_or_quoted(
    layers: list[tuple[Layer, list[Entry]]], tokens: int
) -> None:
    pack = pack_layers(layers, tokens)
    told = iter([each.memory_id for layer in pack.layers for each in layer.memories])
    headings = 0
    for line in pack.text.splitlines():
        if line.startswith("["):
            assert line[1:].split(",")[0] == next(told)
        elif line.startswith("# "):
            headings += 1
        else:
            assert line == PREFACE or line.startswith("> ")
    assert next(told, None) is None
    assert headings == sum(bool(layer.memories) for layer in pack.layers)


@given(_LAYERS)
def test_with_room_for_all_nothing_is_left_out(layers: list[tuple[Layer, list[Entry]]]) -> None:
    pack = pack_layers(layers, 100_000)
    assert pack.omitted == 0
    assert not any(each.truncated for layer in pack.layers for each in layer.memories)


@given(_TEXTS, st.integers(1, 40), _TOKENS)
def test_a_short_layer_is_told_whole_however_much_another_one_has(
    text: str, count: int, tokens: int
) -> None:
    long = [Entry(a_memory("x"), text * 20) for _ in range(count)]
    short = Entry(a_memory("y"), "Go on with the login")
    pack = pack_layers([(Layer.TASKS, long), (Layer.HANDOFF, [short])], tokens + 200)
    assert [each.memory_id for each in pack.layers[1].memories] == [short.memory.id]
