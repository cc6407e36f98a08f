"""Every decoder against bytes that no writer made: a value or FormatError (UnsupportedFormatError for a newer version),
nothing else, soon; and what is accepted is what the encoder writes."""

import bisect
import dataclasses
import json
import random
import re
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cas_registry.errors import FormatError, UnsupportedFormatError
from cas_registry.model import canonical
from cas_registry.model.canonical import seal
from cas_registry.model.collection import (
    Done,
    Verdict,
    decode_condemned,
    decode_done,
    decode_verdict,
    encode_condemned,
    encode_done,
    encode_verdict,
)
from cas_registry.model.commit import decode_commit, encode_commit
from cas_registry.model.entry import decode_entry, decode_ref_table, encode_entry, encode_ref_table
from cas_registry.model.ids import CollectionId, EntryId, FormatId, ObjectId, SignatureId
from cas_registry.model.maps import decode_map
from cas_registry.model.packs import HEADER_BYTES, TRAILER_BYTES, PackFooter, decode_footer, decode_pack, footer_bytes
from cas_registry.model.registry_format import decode_format, encode_format
from cas_registry.model.signature import decode_signature, encode_signature
from cas_registry.model.tree import decode_tree, encode_tree
from tests.model.test_signature import make_signature
from tests.support import strategies as make

MUTATIONS = 6_000  # T7 (tests/reliability) feeds a million of them
SLOWEST_S = 0.5


@dataclasses.dataclass(frozen=True)
class Subject:
    """A decoder with valid encodings to damage. `check` judges what it still accepts; `refusals` is how many different
    objections the mutations are known to reach, less a margin: fewer means that they no longer get past the first one."""

    decode: Callable[[bytes], Any]
    seeds: list[bytes]
    mutate: make.Mutation
    check: Callable[[bytes, Any], None]
    refusals: int
    sealed_as: type[ObjectId] | None = None


def _writes_again(encode: Callable[[Any], bytes]) -> Callable[[bytes, Any], None]:
    def check(data: bytes, value: Any) -> None:
        assert encode(value) == data

    return check


def _check_entry(data: bytes, value: Any) -> None:
    identity, entry = value
    assert encode_entry(entry) == data
    assert identity == EntryId.of(data[65:])


def _check_map(data: bytes, value: Any) -> None:
    for digest, (size_bytes, _, count, _) in value.files.items():
        located = value.file(digest)
        assert len(located) == count
        assert sum(item.placement.raw_bytes for item in located) == size_bytes
    for number in range(len(value)):
        item = value.located(number)
        assert item.placement.offset + item.placement.stored_bytes <= item.pack.size_bytes


def _check_footer(data: bytes, value: PackFooter) -> None:
    end = len(data) - TRAILER_BYTES - footer_bytes(data[-TRAILER_BYTES:], pack_bytes=len(data))
    for placement in value.placements:
        assert placement.offset >= HEADER_BYTES
        assert placement.offset + placement.stored_bytes <= end
    for recipe in value.recipes:
        assert all(len(chunk) == 32 for chunk in recipe.chunks)
        assert recipe.first + len(recipe.chunks) <= recipe.total


def _decode_parts(data: bytes) -> PackFooter:
    """A pack as `fsck` reads it: the trailer first, then the footer that it announces."""
    trailer = data[-TRAILER_BYTES:]
    length = footer_bytes(trailer, pack_bytes=len(data))
    end = len(data) - TRAILER_BYTES
    return decode_footer(data[end - length : end], trailer, pack_bytes=len(data))


SUBJECTS = {
    "tree": Subject(
        decode_tree, [encode_tree(tree) for tree in make.example_trees()], make.mutate_json, _writes_again(encode_tree), 22
    ),
    "commit": Subject(
        decode_commit,
        [encode_commit(commit) for commit in make.example_commits()],
        make.mutate_json,
        _writes_again(encode_commit),
        40,
    ),
    "refs": Subject(
        decode_ref_table,
        [encode_ref_table(table) for table in make.example_ref_tables()],
        make.mutate_json,
        _writes_again(encode_ref_table),
        24,
    ),
    "entry": Subject(
        decode_entry,
        [encode_entry(entry) for entry in make.example_entries()],
        make.mutate_sealed(EntryId),
        _check_entry,
        48,
        EntryId,
    ),
    "format": Subject(
        decode_format,
        [encode_format(value) for value in make.example_formats()],
        make.mutate_sealed(FormatId),
        _writes_again(encode_format),
        30,
        FormatId,
    ),
    "condemned": Subject(
        partial(decode_condemned, kind="condemned"),
        [encode_condemned(record, kind="condemned") for record in make.example_condemned()],
        make.mutate_sealed(CollectionId),
        _writes_again(partial(encode_condemned, kind="condemned")),
        20,
        CollectionId,
    ),
    "verdict": Subject(
        decode_verdict,
        [encode_verdict(Verdict("ab" * 16, 7, delete=delete, time_ms=5, who="ada", why="due")) for delete in (True, False)],
        make.mutate_sealed(CollectionId),
        _writes_again(encode_verdict),
        16,
        CollectionId,
    ),
    "done": Subject(
        decode_done,
        [encode_done(Done(registry * 32, 7, 3, 5000, 5, "ada")) for registry in "ab"],
        make.mutate_sealed(CollectionId),
        _writes_again(encode_done),
        16,
        CollectionId,
    ),
    "signature": Subject(
        decode_signature,
        [encode_signature(make_signature()), encode_signature(make_signature(n=1, log="ranker", time_ms=0))],
        make.mutate_sealed(SignatureId),
        _writes_again(encode_signature),
        22,
        SignatureId,
    ),
    "map": Subject(decode_map, [make.example_map()], make.mutate_map, _check_map, 16),
    "pack": Subject(decode_pack, [make.example_pack()], make.mutate_pack, _check_footer, 11),
    "footer": Subject(_decode_parts, [make.example_pack()], make.mutate_pack, _check_footer, 10),
}
JSON_SUBJECTS = ("tree", "commit", "refs", "entry", "format", "condemned", "verdict", "done", "signature")
SEALED_SUBJECTS = ("entry", "format", "signature", "condemned")

every_decoder = pytest.mark.parametrize("subject", SUBJECTS.values(), ids=list(SUBJECTS))
every_json_decoder = pytest.mark.parametrize("subject", [SUBJECTS[name] for name in JSON_SUBJECTS], ids=JSON_SUBJECTS)
every_sealed_decoder = pytest.mark.parametrize("subject", [SUBJECTS[name] for name in SEALED_SUBJECTS], ids=SEALED_SUBJECTS)


def _refusal(subject: Subject, data: bytes) -> str | None:
    """The objection to `data`, or None when it is accepted and good. Any other exception passes through."""
    try:
        value = subject.decode(data)
    except (FormatError, UnsupportedFormatError) as error:
        return str(error)
    subject.check(data, value)
    return None


def _body(subject: Subject, seed: bytes) -> dict[str, Any]:
    return json.loads(seed[65:] if subject.sealed_as else seed)


def _spell(subject: Subject, text: str) -> bytes:
    """JSON text as an object of the subject's kind, sealed where that is needed."""
    data = text.encode("utf-8", "surrogatepass")
    return seal(data, subject.sealed_as) if subject.sealed_as else data


def _canonical(subject: Subject, value: Any) -> bytes:
    return _spell(subject, json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")))


@every_decoder
def test_the_seeds_are_accepted(subject: Subject) -> None:
    assert [_refusal(subject, seed) for seed in subject.seeds] == [None] * len(subject.seeds)


@every_decoder
def test_mutated_encodings_are_refused_in_one_way_or_read_as_written(subject: Subject) -> None:
    objections: set[str] = set()
    accepted_changed = 0
    for number in range(MUTATIONS):
        seed = subject.seeds[number % len(subject.seeds)]
        data = subject.mutate(random.Random(number), seed)
        start = time.process_time()
        try:
            objection = _refusal(subject, data)
        except Exception as error:
            error.add_note(f"mutation {number}: {data[:2000]!r}")
            raise
        assert time.process_time() - start < SLOWEST_S, f"mutation {number}"
        if objection is None:
            accepted_changed += data != seed
        else:
            objections.add(re.sub(r"['\"].*|[\d,]+", "", objection)[:50])
    assert len(objections) >= subject.refusals
    assert accepted_changed > MUTATIONS // 200, "mutations that keep an encoding valid probe the rules between the fields"


@every_decoder
@given(data=st.binary(max_size=400))
def test_random_bytes_are_refused(subject: Subject, data: bytes) -> None:
    assert _refusal(subject, data) is not None


@every_decoder
def test_every_truncation_is_refused(subject: Subject) -> None:
    for seed in subject.seeds:
        assert [length for length in range(len(seed)) if _refusal(subject, seed[:length]) is None] == []


@every_decoder
def test_bytes_after_the_end_are_refused(subject: Subject) -> None:
    for seed in subject.seeds:
        for tail in (b"\x00", b" ", b"\n", b"}", seed[:56]):
            assert _refusal(subject, seed + tail) is not None


@every_sealed_decoder
def test_every_flipped_bit_breaks_the_seal(subject: Subject) -> None:
    for seed in subject.seeds:
        for position in range(len(seed)):
            damaged = bytearray(seed)
            damaged[position] ^= 1 << position % 8
            with pytest.raises(FormatError, match="seal"):
                subject.decode(bytes(damaged))


@every_json_decoder
def test_each_field_is_needed_and_no_other_is_known(subject: Subject) -> None:
    for seed in subject.seeds:
        body = _body(subject, seed)
        for name in body:
            without = {key: value for key, value in body.items() if key != name}
            assert _refusal(subject, _canonical(subject, without)) is not None, name
        for name in ("", "V", "extra", "zzz"):
            assert _refusal(subject, _canonical(subject, {**body, name: 1})) is not None, name


@every_json_decoder
def test_each_field_refuses_values_of_another_type(subject: Subject) -> None:
    for seed in subject.seeds:
        body = _body(subject, seed)
        for name in body:
            for wrong in (True, False, [True], [[]], [{}], {"": []}, 1.5, float("nan"), 2**63, -(2**63), 10**400, -1):
                assert _refusal(subject, _canonical(subject, {**body, name: wrong})) is not None, (name, wrong)


@every_json_decoder
def test_a_field_given_twice_is_refused_even_with_equal_values(subject: Subject) -> None:
    for seed in subject.seeds:
        for name, value in _body(subject, seed).items():
            member = json.dumps({name: value}, ensure_ascii=False, sort_keys=True, separators=(",", ":"))[1:-1]
            text = (seed[65:] if subject.sealed_as else seed).decode()
            assert member in text
            assert _refusal(subject, _spell(subject, text.replace(member, f"{member},{member}", 1))) is not None, name


@every_json_decoder
def test_other_spellings_of_the_same_value_are_refused(subject: Subject) -> None:
    for seed in subject.seeds:
        body = _body(subject, seed)
        plain = _spell(subject, json.dumps(body, ensure_ascii=False, sort_keys=True, separators=(",", ":")))
        assert plain == seed
        text = plain[65:].decode() if subject.sealed_as else plain.decode()
        spellings = {
            "BOM": "\ufeff" + text,
            "leading space": " " + text,
            "line feed at the end": text + "\n",
            "spaces": json.dumps(body, ensure_ascii=False, sort_keys=True),
            "indented": json.dumps(body, ensure_ascii=False, sort_keys=True, indent=1),
            "unsorted": json.dumps(dict(sorted(body.items(), reverse=True)), ensure_ascii=False, separators=(",", ":")),
            "escaped": text.replace('"kind"', '"\\u006bind"'),
            "float version": text.replace('"v":1', '"v":1.0'),
            "exponent": text.replace('"v":1', '"v":1e0'),
            "true as version": text.replace('"v":1', '"v":true'),
        }
        for what, spelling in spellings.items():
            assert spelling != text
            assert _refusal(subject, _spell(subject, spelling)) is not None, what
        for encoding in ("utf-16", "utf-16-le", "utf-32"):
            data = text.encode(encoding)
            assert _refusal(subject, seal(data, subject.sealed_as) if subject.sealed_as else data) is not None


@every_json_decoder
def test_upper_case_hex_is_refused(subject: Subject) -> None:
    refused = 0
    for seed in subject.seeds:
        text = (seed[65:] if subject.sealed_as else seed).decode()
        for digits in set(re.findall(r'"((?=[0-9]*[a-f])[0-9a-f]{32,64})"', text)):
            assert _refusal(subject, _spell(subject, text.replace(digits, digits.upper()))) is not None
            refused += 1
    assert refused >= 2


@every_json_decoder
def test_lone_surrogates_and_broken_utf8_are_refused(subject: Subject) -> None:
    seed = subject.seeds[0]
    body = seed[65:] if subject.sealed_as else seed
    for broken in (b"\xed\xa0\x80", b"\xff", b"\xc0\x80", b"\xf4\x90\x80\x80", b"\\ud800", b"\\udc00\\ud800"):
        data = body.replace(b'"kind"', b'"' + broken + b'":1,"kind"', 1)
        assert _refusal(subject, seal(data, subject.sealed_as) if subject.sealed_as else data) is not None


@every_json_decoder
def test_a_newer_version_is_told_from_damage(subject: Subject) -> None:
    body = _body(subject, subject.seeds[0])
    with pytest.raises(UnsupportedFormatError, match="upgrade"):
        subject.decode(_canonical(subject, {**body, "v": 2}))
    for version in (0, -1, "1", None, [2]):
        with pytest.raises(FormatError):
            subject.decode(_canonical(subject, {**body, "v": version}))


@every_json_decoder
def test_one_kind_is_not_read_as_another(subject: Subject) -> None:
    for other in SUBJECTS.values():
        for seed in other.seeds:
            if seed not in subject.seeds:
                assert _refusal(subject, seed) is not None
    body = _body(subject, subject.seeds[0])
    for kind in {"tree", "commit", "refs", "entry", "format", "", None, 1} - {body["kind"]}:
        assert _refusal(subject, _canonical(subject, {**body, "kind": kind})) is not None


@every_json_decoder
def test_nesting_of_any_depth_is_refused_without_exhausting_the_stack(subject: Subject) -> None:
    body = _body(subject, subject.seeds[0])
    fields = {"tree": "kind", "commit": "tree", "refs": "kind", "entry": "n", "format": "format", "signature": "n"}
    printed = fields.get(body["kind"], "epoch")
    deepest = bisect.bisect_left(range(200_000), True, key=lambda depth: not _parses("[" * depth + "]" * depth))
    for name in {"kind", "v", printed}:
        around = json.dumps({**body, name: "HERE"}, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        before, after = around.split('"HERE"')
        for depth in (2, 100, *range(max(deepest - 120, 1), deepest + 20), 100_000):
            for nested in ("[" * depth + "]" * depth, '{"":' * depth + "0" + "}" * depth):
                assert _refusal(subject, _spell(subject, before + nested + after)) is not None, (name, depth)
    for text in ("[" * 100_000, '{"a":' * 100_000, '{"kind":' + "[" * 100_000):
        assert _refusal(subject, _spell(subject, text)) is not None


def _parses(text: str) -> bool:
    try:
        json.loads(text)
    except RecursionError:
        return False
    return True


def test_floats_huge_numbers_and_constants_are_refused_in_any_place() -> None:
    for token in (
        "1e400",
        "-1e400",
        "1.0",
        "0.0",
        "-0",
        "NaN",
        "Infinity",
        "-Infinity",
        "9" * 5_000,
        str(2**63),
        str(-(2**63)),
    ):
        with pytest.raises(FormatError):
            canonical.decode(f'{{"kind":"x","n":{token},"v":1}}'.encode(), kind="x")
    accepted = canonical.decode(b'{"kind":"x","n":[9223372036854775807,-9223372036854775807],"v":1}', kind="x")
    assert accepted["n"] == [2**63 - 1, -(2**63) + 1]


@pytest.mark.parametrize(
    "which", range(8), ids=["packs", "placements", "files", "chunks", "trees", "references", "indexes", "attached"]
)
def test_a_map_that_announces_four_billion_rows_is_refused_before_anything_is_allocated(which: int) -> None:
    counted = [0] * 8
    counted[which] = 2**32 - 1
    start = time.process_time()
    with pytest.raises(FormatError, match="length does not match"):
        decode_map(make.map_header(*counted))
    assert time.process_time() - start < 0.1


@pytest.mark.parametrize("counted", [(2**32 - 1, 0), (0, 2**32 - 1), (2**32 - 1, 2**32 - 1)], ids=["chunks", "recipes", "both"])
def test_a_pack_that_announces_four_billion_rows_is_refused_before_anything_is_allocated(counted: tuple[int, int]) -> None:
    start = time.process_time()
    with pytest.raises(FormatError):
        decode_pack(make.example_pack()[:HEADER_BYTES] + make.sealed_trailer(b"", *counted))
    assert time.process_time() - start < 0.1


@pytest.mark.parametrize("length", [1, 2**31, 2**32 - 1])
def test_a_pack_whose_footer_is_longer_than_the_pack_is_refused(length: int) -> None:
    _, _, trailer = make.split_pack(make.example_pack())
    with pytest.raises(FormatError, match="trailer is damaged"):
        footer_bytes(trailer[:32] + length.to_bytes(4, "little") + trailer[36:], pack_bytes=HEADER_BYTES + TRAILER_BYTES)
