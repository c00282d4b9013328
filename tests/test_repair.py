"""Any model on any partition: what is repaired holds when it is read back, or is refused where nothing can hold."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations, permutations
from pathlib import Path
from random import Random
from typing import Any

import oracle
import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from server import made
from tries import tries

from sqlanon.engines import Engine, Origin
from sqlanon.errors import ModelNotMet
from sqlanon.models import (
    AlphaKAnonymity,
    BetaLikeness,
    KAnonymity,
    LDiversity,
    Model,
    PSensitivity,
    TCloseness,
    ThetaSensitivity,
)
from sqlanon.plan import Source, resolve
from sqlanon.recoding import hilbert, mondrian
from sqlanon.recoding.covers import publish
from sqlanon.recoding.diverse import diverse
from sqlanon.recoding.local import Way, make
from sqlanon.recoding.partition import Encoded, encode
from sqlanon.recoding.repair import Repaired, repair, smallest
from sqlanon.spec import Column, Publish, Spec
from sqlanon.spec import Source as Where
from sqlanon.verify import Published as Verified
from sqlanon.verify import verify

Row = dict[str, Any]

METHODS: dict[str, Callable[[Encoded, int], None]] = {
    "strict": mondrian.strict,
    "relaxed": mondrian.relaxed,
    "splits": hilbert.hilbert,
    "gray": lambda encoded, k: hilbert.hilbert(encoded, k, order="gray", groups="even"),
}

# -- tables and models -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """A table of two quasi-identifiers, a sensitive value and a person, and the models that it is to satisfy."""

    rows: list[tuple[int | None, int | None, str | None, int]]
    models: tuple[Model, ...]
    entity: bool = False
    limit: int = 0

    @property
    def records(self) -> list[Row]:
        named = ("q0", "q1", "s", "who", "number")
        return [dict(zip(named, (*row, number), strict=True)) for number, row in enumerate(self.rows)]


def theta_holds(rows: Sequence[Row], k: int, mu: Fraction) -> bool:
    """V ≥ mu (k² − 1) / 12, the variance of the values' ranks by frequency."""
    ranked = [(rank, count) for rank, count in enumerate(oracle.frequencies(rows, "s"), start=1)]
    n = len(rows)
    mean = Fraction(sum(rank * count for rank, count in ranked), n)
    return Fraction(sum(rank**2 * count for rank, count in ranked), n) - mean**2 >= mu * Fraction(k * k - 1, 12)


def holds(model: Model, rows: Sequence[Row], table: Sequence[Row], *, entity: bool) -> bool:
    """Whether one class satisfies a model, by definition."""
    if isinstance(model, KAnonymity):
        return len({row["who"] for row in rows} if entity else rows) >= model.k
    if isinstance(model, LDiversity) and model.kind == "entropy":
        return oracle.entropy_l_holds(rows, [], "s", Fraction(str(model.l)))
    if isinstance(model, LDiversity) and model.kind == "recursive":
        return oracle.recursive(rows, [], "s", int(model.l)) < Fraction(str(model.c))
    if isinstance(model, LDiversity | PSensitivity):
        return oracle.distinct_l(rows, [], "s") >= (model.l if isinstance(model, LDiversity) else model.p)
    if isinstance(model, AlphaKAnonymity):
        return oracle.alpha(rows, [], "s") <= Fraction(str(model.alpha))
    if isinstance(model, TCloseness):
        return oracle.t_equal(rows, [], "s", table) <= Fraction(str(model.t))
    if isinstance(model, BetaLikeness):
        return oracle.beta_basic(rows, [], "s", table) <= Fraction(str(model.beta))
    assert isinstance(model, ThetaSensitivity)
    return theta_holds(rows, model.k or 0, Fraction(str(model.mu)))


SENSITIVE: list[Model] = [
    LDiversity("s", 2), LDiversity("s", 3), LDiversity("s", 1.5, "entropy"), LDiversity("s", 2, "recursive", 1.5),
    PSensitivity("s", 2), AlphaKAnonymity("s", 0.5), TCloseness("s", 0.4), TCloseness("s", 0.2), BetaLikeness("s", 1.0),
    ThetaSensitivity("s", mu=0.6, k=3), ThetaSensitivity("s", mu=0.5, k=4),
]  # fmt: skip


@st.composite
def cases(draw: st.DrawFn, limits: Sequence[int] = (0,)) -> Case:
    cells = st.tuples(
        st.sampled_from([None, 0, 1, 2, 5, 9]), st.sampled_from([0, 3, 4]), st.sampled_from(["a", "b", "c", "d", None]),
        st.integers(0, 9),
    )  # fmt: skip
    rows = draw(st.lists(cells, min_size=4, max_size=30))
    models = draw(st.lists(st.sampled_from(SENSITIVE), min_size=1, max_size=2, unique=True))
    k = KAnonymity(draw(st.integers(1, 4)))
    return Case(rows, (k, *models), draw(st.booleans()), draw(st.sampled_from(limits)))


def source_of(engine: Engine, case: Case) -> Source:
    declared = {"q0": "INT", "q1": "INT", "s": "VARCHAR", "who": "INT", "number": "INT"}
    rows = [dict(zip(declared, [*row, number], strict=True)) for number, row in enumerate(case.rows)]
    made(engine, "sick", declared, rows)
    role = "quasi-identifier"
    columns = {"q0": Column(role), "q1": Column(role), "s": Column("sensitive"),
               "who": Column("identifier" if case.entity else "drop"), "number": Column("insensitive")}  # fmt: skip
    spec = Spec(source=Where(table="sick"), entity="who" if case.entity else None, columns=columns,
                privacy=case.models, publish=Publish("r"), base=Path())  # fmt: skip
    origin = Origin(relation="sick")
    return resolve(spec, origin, engine.origin(origin), engine.columns(origin))


@dataclass(frozen=True)
class Read:
    """What is published, read back: its classes with their records as they truly are."""

    classes: list[list[Row]]
    repaired: Repaired | None = None


def read(engine: Engine, encoded: Encoded, case: Case, repaired: Repaired | None = None) -> Read:
    published = publish(encoded)
    source = encoded.source
    carried = [n for n in source.spec.columns if n in (*source.spec.published, *source.carried) and n[0] != "q"]
    names = [*carried, *published.labels]
    found: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    numbers = []
    for row in engine.run("read back", published.recoded()):
        told = dict(zip(names, row, strict=True))
        numbers.append(told["number"])
        truth = case.records[told["number"]]
        assert truth["s"] == told["s"]
        found[told["q0"], told["q1"]].append(truth)
    assert sorted(numbers) == list(range(len(case.rows)))
    return Read(list(found.values()), repaired)


def repaired(engine: Engine, case: Case, method: str) -> Read:
    encoded = encode(engine, source_of(engine, case), "key")
    try:
        METHODS[method](encoded, min(smallest(case.models), encoded.persons))
        done = repair(encoded, case.models, limit=case.limit, boxes=method == "strict")
        return read(engine, encoded, case, done)
    finally:
        encoded.close()


@pytest.fixture(scope="module")
def engine(either: Engine) -> Engine:
    return either


def quick(count: int) -> Any:
    """So many examples, half of them on each engine."""
    return settings(
        max_examples=tries(count), deadline=None, phases=(Phase.explicit, Phase.generate, Phase.shrink),
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )  # fmt: skip


# -- repair ------------------------------------------------------------------------------------------------------------


@quick(15)
@given(case=cases(), method=st.sampled_from(list(METHODS)))
def test_every_class_holds_after_repair_or_the_whole_table_does_not(engine: Engine, case: Case, method: str) -> None:
    table = case.records
    whole = all(holds(model, table, table, entity=case.entity) for model in case.models)
    try:
        found = repaired(engine, case, method)
    except ModelNotMet:
        assert not whole
        return
    for members in found.classes:
        for model in case.models:
            assert holds(model, members, table, entity=case.entity), model


@quick(10)
@given(case=cases(limits=(2, 4, 8)), method=st.sampled_from(list(METHODS)))
def test_no_more_than_the_limit_is_left_to_be_suppressed(engine: Engine, case: Case, method: str) -> None:
    table = case.records
    try:
        found = repaired(engine, case, method)
    except ModelNotMet:
        return
    broken = [
        members
        for members in found.classes
        if not all(holds(model, members, table, entity=case.entity) for model in case.models)
    ]
    assert found.repaired is not None
    assert sum(map(len, broken)) <= found.repaired.suppressed <= case.limit


@quick(6)
@given(seed=st.integers(0, 10**6))
def test_boxes_stay_disjoint_when_they_are_repaired(engine: Engine, seed: int) -> None:
    turn = Random(seed)
    rows = [(turn.randrange(8), turn.randrange(8), turn.choice("aaaab"), 0) for _ in range(120)]
    found = repaired(engine, Case(rows, (KAnonymity(2), LDiversity("s", 2))), "strict")
    assert found.repaired is not None and found.repaired.rounds > 0
    boxes = [[(min(r[q] for r in rows), max(r[q] for r in rows)) for q in ("q0", "q1")] for rows in found.classes]
    for one, other in combinations(boxes, 2):
        assert any(a[1] < b[0] or b[1] < a[0] for a, b in zip(one, other, strict=True))


def test_what_holds_is_left_as_it_is(engine: Engine) -> None:
    case = Case([(q, 0, s, 0) for q in range(4) for s in "ab"], (KAnonymity(2), LDiversity("s", 2)))
    done = repaired(engine, case, "splits").repaired
    assert done == Repaired(rounds=0, before=4, after=4, suppressed=0)


def test_a_class_is_united_with_the_nearer_of_its_neighbours(engine: Engine) -> None:
    values = {0: "ab", 10: "ab", 11: "aa", 20: "ab"}
    case = Case([(q, 0, s, 0) for q, two in values.items() for s in two], (KAnonymity(2), LDiversity("s", 2)))
    found = repaired(engine, case, "splits")
    assert sorted(sorted({row["q0"] for row in rows}) for rows in found.classes) == [[0], [10, 11], [20]]


def test_a_class_that_is_far_from_all_others_is_suppressed_within_the_limit(engine: Engine) -> None:
    rows = [(q, 0, s, 0) for q in range(8) for s in "ab"] + [(1000, 50, "a", 0)] * 2
    models = (KAnonymity(2), LDiversity("s", 2))
    assert repaired(engine, Case(rows, models, limit=1), "splits").repaired == Repaired(1, 9, 8, 0)
    assert repaired(engine, Case(rows, models, limit=2), "splits").repaired == Repaired(0, 9, 8, 2)


def test_what_nothing_can_repair_is_refused_with_the_numbers(engine: Engine) -> None:
    case = Case([(q, 0, "the only value", 0) for q in range(9)], (KAnonymity(2), LDiversity("s", 2)))
    with pytest.raises(ModelNotMet, match=r"9 records is left .*\(l-diversity of s: 1 against 2\)") as caught:
        repaired(engine, case, "splits")
    assert "only" not in str(caught.value)
    (broken,) = [v for v in caught.value.models if not v.to_dict()["holds"]]
    assert broken.to_dict()["value"] == 1


def test_a_sensitive_column_may_be_called_like_anything_of_ours(engine: Engine) -> None:
    rows = [{"home": i % 5, "class": "ab"[i % 7 > 4]} for i in range(40)]
    made(engine, "odd", {"home": "INT", "class": "VARCHAR"}, rows)
    models = (KAnonymity(3), LDiversity("class", 2))
    columns = {"home": Column("quasi-identifier"), "class": Column("sensitive")}
    spec = Spec(source=Where(table="odd"), columns=columns, privacy=models, publish=Publish("r"), base=Path())
    origin = Origin(relation="odd")
    source = resolve(spec, origin, engine.origin(origin), engine.columns(origin))
    encoded = encode(engine, source, "key", beside=["class"])
    try:
        for make in (lambda: hilbert.hilbert(encoded, 3), lambda: diverse(encoded, 3, "class", models)):
            make()
            repair(encoded, models)
            published = publish(encoded)
            found = defaultdict(set)
            for value, home in engine.run("read back", published.recoded()):
                found[home].add(value)
            assert all(len(values) == 2 for values in found.values())
    finally:
        encoded.close()


# -- diverse groups ----------------------------------------------------------------------------------------------------


def dealt(engine: Engine, case: Case, k: int, models: Sequence[Model] = (), m: int = 2) -> tuple[list[list[Row]], int]:
    """The classes of the dealing as they are made, whether or not some are published alike; and the blocks."""
    encoded = encode(engine, source_of(engine, case), "key", beside=["s"])
    try:
        blocks = diverse(encoded, k, "s", models, m=m)
        read(engine, encoded, case)
        sql = (
            'SELECT class, "beside 0", p.records FROM "sqlanon pieces" AS p JOIN "sqlanon combinations" AS c'
            " ON p.id = c.id"
        )
        if case.entity:
            sql = sql.replace("beside 0", "beside 1")
        found: dict[int, list[Row]] = defaultdict(list)
        for number, value, records in engine.run("read the classes", sql):
            found[number] += [{"s": value}] * records
        return list(found.values()), blocks
    finally:
        encoded.close()


@quick(15)
@given(case=cases(), k=st.integers(1, 4), m=st.integers(1, 4))
def test_dealt_classes_hold_k_to_2k_records_and_every_record_once(engine: Engine, case: Case, k: int, m: int) -> None:
    if len({row[3] for row in case.rows} if case.entity else case.rows) < k:
        with pytest.raises(ModelNotMet):
            dealt(engine, case, k, m=m)
        return
    classes, _ = dealt(engine, case, k, m=m)
    assert Counter(row["s"] for rows in classes for row in rows) == Counter(row[2] for row in case.rows)
    assert all(k <= len(rows) < 2 * k for rows in classes)


def duplicates(rows: Sequence[Row]) -> int:
    return sum(count - 1 for count in oracle.frequencies(rows, "s"))


@quick(10)
@given(values=st.lists(st.sampled_from("aaabbcde"), min_size=2, max_size=24), k=st.integers(2, 5))
def test_round_robin_shares_out_the_fewest_duplicates_evenly(engine: Engine, values: list[str], k: int) -> None:
    values = values[: len(values) // k * k]
    assume(values)
    case = Case([(i, 0, value, 0) for i, value in enumerate(values)], (KAnonymity(1), LDiversity("s", 1)))
    classes, blocks = dealt(engine, case, k, m=len(values))
    m = len(values) // k
    extra = sum(max(0, count - m) for count in Counter(values).values())
    assert blocks == 1 and len(classes) == m
    assert {duplicates(rows) for rows in classes} <= {extra // m, -(-extra // m)}
    assert sum(duplicates(rows) for rows in classes) == extra


def test_heavy_values_come_first_so_that_their_extra_records_go_round_too(engine: Engine) -> None:
    for letters in ("abcdef", "fedcba", "cafebd", "bdface", "efabcd"):
        values = letters[0] * 4 + letters[1] * 4 + letters[2:]
        case = Case([(i, 0, value, 0) for i, value in enumerate(values)], (KAnonymity(1), LDiversity("s", 1)))
        classes, _ = dealt(engine, case, 4, m=3)
        assert sorted(duplicates(rows) for rows in classes) == [0, 1, 1]


def test_no_way_to_share_out_a_block_has_fewer_duplicates_in_its_worst_class(engine: Engine) -> None:
    for values in ("aaabbc", "aabbcc", "aaaabb", "aaaaaa", "abcdef", "aabbcd"):
        case = Case([(i, 0, value, 0) for i, value in enumerate(values)], (KAnonymity(1), LDiversity("s", 1)))
        classes, _ = dealt(engine, case, 3, m=2)
        worst = max(duplicates(rows) for rows in classes)
        least = min(max(3 - len(set(order[:3])), 3 - len(set(order[3:]))) for order in set(permutations(values)))
        assert worst == least


def test_blocks_that_fail_grow_until_they_hold(engine: Engine) -> None:
    values = ["a"] * 12 + ["b", "c"] * 6 + ["b"] * 12
    case = Case([(i, 0, value, 0) for i, value in enumerate(values)], (KAnonymity(3), LDiversity("s", 2)))
    _, apart = dealt(engine, case, 3, m=2)
    classes, blocks = dealt(engine, case, 3, case.models, m=2)
    assert 1 <= blocks < apart
    assert all(oracle.distinct_l(rows, [], "s") >= 2 for rows in classes)


def test_a_column_that_does_not_stand_beside_cannot_be_dealt_out(engine: Engine) -> None:
    case = Case([(1, 0, "a", 0)], (KAnonymity(1),))
    encoded = encode(engine, source_of(engine, case), "key")
    try:
        with pytest.raises(ValueError, match="must stand beside"):
            diverse(encoded, 1, "s")
    finally:
        encoded.close()


# -- from the source to what is published ------------------------------------------------------------------------------

WAYS = [
    Way("strict"), Way("relaxed"), Way(), Way(order="gray", groups="even"), Way(order="hilbert"), Way(dealt="s"),
]  # fmt: skip


@quick(12)
@given(case=cases(), way=st.sampled_from(WAYS))
def test_what_is_made_satisfies_the_models_as_the_verifier_reads_them(engine: Engine, case: Case, way: Way) -> None:
    source = source_of(engine, case)
    try:
        made = make(engine, source, way, "key")
    except ModelNotMet:
        return
    try:
        engine.temporary("write the records", "made", made.published.recoded())
        labels, entity = made.published.labels, "who" if case.entity else None
        found = verify(engine, Verified("made", labels, entity, "sick", {}, {}), case.models)
        assert found.holds
        assert (found.rows, found.classes) == (len(case.rows), made.published.classes)
    finally:
        made.close()


def test_values_are_dealt_out_along_a_curve_only() -> None:
    with pytest.raises(ValueError, match="method hilbert"):
        Way("strict", dealt="s")
