"""Which chunks become bases: never worse than now, never a delta to a delta, and little held at a time."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cas_registry.codecs import Base, Buffer, encode_chunk
from cas_registry.model.ids import ChunkId, PackName
from cas_registry.model.maps import Located, PackInfo
from cas_registry.model.placement import Codec, Placement
from cas_registry.model.tensors import ElementType
from cas_registry.operations import lineages
from cas_registry.operations.lineages import Form, Member, plan_lineage

PACK = PackInfo(PackName(bytes(32)), 10**8)


def _weights(steps: Sequence[float], size: int = 2000) -> list[bytes]:
    rng = np.random.default_rng(5)
    start, way = rng.standard_normal(size) * 0.05, rng.standard_normal(size) * 1e-5
    return [(start + way * step).astype(np.float32).tobytes() for step in steps]


def _members(chunks: Sequence[bytes], bases: Sequence[int | None], fixed: int = 0) -> list[Member]:
    """The chunks as they are stored: whole, or as a delta to the one of that place; the first `fixed` belong to nobody."""
    whole = [encode_chunk(data, ElementType.F32) for data in chunks]
    members: list[Member] = []
    located: dict[int, Located] = {}
    for place in sorted(range(len(chunks)), key=lambda place: bases[place] is not None):
        base = bases[place]
        codec, stored = whole[place]
        if base is not None:
            codec, stored = encode_chunk(chunks[place], ElementType.F32, Base(chunks[base], ElementType.F32, 10**9))
        under = located[base] if codec is Codec.DELTA and base is not None else None
        placement = Placement(
            ChunkId.of(chunks[place]), place, len(stored), len(chunks[place]), codec, ElementType.F32, under.placement.chunk if under else None
        )  # fmt: skip
        located[place] = Located(PACK, placement, under)
        members.append(Member(place + 1, located[place], base + 1 if under and base is not None else None, place < fixed))
    return sorted(members, key=lambda member: member.number)


def _plan(chunks: Sequence[bytes], members: Sequence[Member]) -> list[Form]:
    def fetch(wanted: Sequence[Located]) -> Sequence[Buffer]:
        assert len(wanted) <= lineages.WINDOW_CHUNKS + 1
        return [chunks[located.placement.offset] for located in wanted]

    return plan_lineage(members, fetch)


def _size(members: Sequence[Member]) -> int:
    return sum(member.located.placement.stored_bytes for member in members if not member.fixed)


def test_the_middle_of_what_moves_one_way_becomes_the_base() -> None:
    chunks = _weights(range(5))
    members = _members(chunks, [None, 0, 0, 0, 0])
    forms = _plan(chunks, members)
    assert [form.number for form in forms if form.base is None] == [3]
    assert {form.base for form in forms if form.base} == {3}
    assert sum(form.stored_bytes for form in forms) < _size(members)


def test_planned_sizes_are_what_encoding_gives() -> None:
    chunks = _weights(range(5))
    for form in _plan(chunks, _members(chunks, [None, 0, 0, 0, 0])):
        base = Base(chunks[form.base - 1], ElementType.F32, 10**9) if form.base else None
        assert len(encode_chunk(chunks[form.number - 1], ElementType.F32, base)[1]) == form.stored_bytes


@given(
    st.lists(st.floats(-50, 50), min_size=1, max_size=12, unique=True), st.lists(st.booleans(), min_size=12, max_size=12),
    st.integers(2, 6),
)  # fmt: skip
def test_no_plan_is_worse_than_what_is_or_has_a_delta_to_a_delta(steps: list[float], whole: list[bool], window: int) -> None:
    chunks = _weights(steps, size=200)
    bases: list[int | None] = [None if place == 0 or whole[place] else 0 for place in range(len(chunks))]
    members = _members(chunks, bases)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lineages, "WINDOW_CHUNKS", window)
        forms = _plan(chunks, members)
    assert [form.number for form in forms] == [member.number for member in members]
    wholes = {form.number for form in forms if form.base is None}
    assert {form.base for form in forms if form.base is not None} <= wholes
    if window >= len(chunks):
        assert sum(form.stored_bytes for form in forms) <= _size(members)


def test_what_is_best_already_is_kept() -> None:
    chunks = _weights(range(5))
    best = _members(chunks, [2, 2, None, 2, 2])
    assert all(form.kept for form in _plan(chunks, best))


def test_a_chunk_of_its_own_is_not_even_read() -> None:
    (chunk,) = _weights([0])
    (form,) = plan_lineage(_members([chunk], [None]), lambda _: pytest.fail("it was read"))
    assert (form.base, form.kept) == (None, True)


def test_a_base_that_belongs_to_nobody_serves_and_stays() -> None:
    chunks = _weights([0, 1, 2])
    forms = _plan(chunks, _members(chunks, [None, 0, None], fixed=1))
    assert [(form.number, form.base) for form in forms] == [(2, 1), (3, 1)]


def test_the_notes_for_the_next_commit_add_up() -> None:
    chunks = _weights(range(5))
    forms = _plan(chunks, _members(chunks, [None, 0, 0, 0, 0]))
    deltas = [form for form in forms if form.base]
    assert [form.age for form in deltas] == [1, 2, 3, 4]
    assert deltas[-1].spent == sum(form.stored_bytes for form in forms)
