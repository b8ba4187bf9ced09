"""Hypothesis strategies for memories and filters, drawn so that they meet often."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from memorybank.domain.memory import Memory, MemoryFilter, MemoryState, MemoryType, Origin

from .memory_samples import a_memory, later

TENANTS = st.sampled_from(["acme", "beta"])
_NAMES = st.sampled_from(["red", "green", "blå"])
_MOMENTS = st.integers(0, 5).map(later)
_TYPES = st.sampled_from([MemoryType.NOTE, MemoryType.FACT, MemoryType.CODE])
_STATES = st.sampled_from([MemoryState.LIVE] * 3 + [MemoryState.ARCHIVED, MemoryState.TRASH])
FINDABLE = st.sampled_from([MemoryState.LIVE] * 3 + [MemoryState.ARCHIVED])
_SHARES = st.sampled_from([0.0, 0.25, 0.5, 1.0])  # the same in single precision
_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
_TEXTS = st.text(min_size=1)
_METADATA = st.dictionaries(st.text(max_size=5), _JSON, max_size=3)


def memories(
    content: st.SearchStrategy[str] = _TEXTS,
    metadata: st.SearchStrategy[dict[str, Any]] = _METADATA,
    states: st.SearchStrategy[MemoryState] = _STATES,
) -> st.SearchStrategy[Memory]:
    """Any memory, of one of two tenants."""
    return st.builds(
        a_memory,
        content=content,
        tenant=TENANTS,
        created_at=_MOMENTS,
        updated_at=_MOMENTS,
        occurred_at=st.none() | _MOMENTS,
        title=st.none() | st.text(max_size=20),
        type=_TYPES,
        project=st.none() | _NAMES,
        session=st.none() | _NAMES,
        tags=st.lists(_NAMES, unique=True, max_size=3).map(tuple),
        metadata=metadata,
        importance=st.floats(0, 1),
        details=metadata,
        state=states,
        pinned=st.booleans(),
        valid_from=st.none() | _MOMENTS,
        valid_to=st.none() | _MOMENTS,
        origin=st.sampled_from(Origin),
        trust=_SHARES,
    )


def filters() -> st.SearchStrategy[MemoryFilter]:
    """Any filter; most mean something among `memories`."""
    optional: dict[str, st.SearchStrategy[Any]] = {
        "project": _NAMES,
        "session": _NAMES,
        "types": st.frozensets(_TYPES),
        "tags_all": st.frozensets(_NAMES, max_size=2),
        "created_after": _MOMENTS,
        "created_before": _MOMENTS,
        "states": st.frozensets(_STATES),
        "pinned": st.booleans(),
        "valid_at": _MOMENTS,
        "origins": st.frozensets(st.sampled_from(Origin), max_size=2),
        "trust_min": _SHARES,
    }
    return st.fixed_dictionaries({}, optional=optional).map(lambda fields: MemoryFilter(**fields))
