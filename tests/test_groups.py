"""The functions of `udfs` behind the curve: the cheapest groups against all groups, and the curve against geometry."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tries import tries

from sqlanon.udfs import groups
from sqlanon.udfs.curves import hilbert
from sqlanon.udfs.groups import Block, Loss, Pieces, best


@dataclass(frozen=True)
class Sequence:
    """Rows in their order: places, records, persons (None: every record counts), and how they come in blocks."""

    places: list[tuple[int, ...]]
    records: list[int]
    persons: list[int] | None
    k: int
    loss: Loss
    ends: list[int]

    @property
    def blocks(self) -> list[Block]:
        counted = [None] * len(self.records) if self.persons is None else self.persons
        found = []
        for first, last in pairwise([0, *self.ends, len(self.records)]):
            part = slice(first, last)
            places = np.array(self.places[part], dtype=np.int64).reshape(-1, len(self.loss.weights))
            persons = None if self.persons is None else np.array(counted[part], dtype=np.int64)
            found.append(Block(places, np.array(self.records[part], dtype=np.int64), persons))
        return found

    def width(self, rows: list[int]) -> int:
        """What a record costs in a group of these rows."""
        total = 0
        for column, (weight, whole) in enumerate(zip(self.loss.weights, self.loss.whole, strict=True)):
            here = [self.places[row][column] for row in rows]
            wide = max(here) - min(here)
            total += weight * (min(wide, self.loss.span) if not whole else self.loss.span * (wide > 0))
        return total

    def units(self) -> list[tuple[list[int], int]]:
        """What may be grouped, each with its rows and records: a record, or a person with those who follow."""
        if self.persons is None:
            return [([row], 1) for row, count in enumerate(self.records) for _ in range(count)]
        found: list[tuple[list[int], int]] = []
        early: list[int] = []
        for row, person in enumerate(self.persons):
            if not person and not found:
                early.append(row)
            elif person:
                found.append(([*early, row], sum(self.records[r] for r in early) + self.records[row]))
                early = []
            else:
                rows, count = found[-1]
                found[-1] = ([*rows, row], count + self.records[row])
        return found

    def least(self) -> int | None:
        """The least that any cut costs: every beginning of every length, however long."""
        units = self.units()
        costs: list[int | None] = [0]
        for end in range(1, len(units) + 1):
            found = []
            for start in range(end - self.k + 1):
                before = costs[start]
                if before is not None:
                    rows = [row for members, _ in units[start:end] for row in members]
                    found.append(before + self.width(rows) * sum(count for _, count in units[start:end]))
            costs.append(min(found, default=None))
        return costs[-1] if units else None

    def cost(self, pieces: Pieces) -> int:
        total = 0
        for group in set(pieces.groups.tolist()):
            here = pieces.groups == group
            total += self.width(pieces.rows[here].tolist()) * int(pieces.records[here].sum())
        return total


@st.composite
def sequences(draw: st.DrawFn) -> Sequence:
    width = draw(st.integers(1, 3))
    place = st.integers(0, 6)
    places = draw(st.lists(st.tuples(*[place] * width), min_size=1, max_size=9))
    count = len(places)
    most = draw(st.sampled_from([1, 4, 25]))
    records = draw(st.lists(st.integers(1, most), min_size=count, max_size=count))
    persons = draw(st.none() | st.lists(st.integers(0, 1), min_size=count, max_size=count))
    loss = Loss(
        draw(st.integers(2, 8)), tuple(draw(st.lists(st.integers(1, 3), min_size=width, max_size=width))),
        tuple(draw(st.lists(st.booleans(), min_size=width, max_size=width))),
    )  # fmt: skip
    ends = sorted(draw(st.lists(st.integers(0, count), max_size=3)))
    return Sequence(places, records, persons, draw(st.integers(1, 4)), loss, ends)


@settings(max_examples=tries(400), deadline=None)
@given(sequence=sequences(), cells=st.sampled_from([1, 20, 2_000_000]))
def test_the_groups_of_records_are_the_cheapest_of_all_and_hold_every_one_once(sequence: Sequence, cells: int) -> None:
    least = sequence.least()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(groups, "_CELLS", cells)  # small blocks: the hand-over between them must not be seen
        if least is None:
            with pytest.raises(ValueError, match="fewer than k persons"):
                best(sequence.blocks, sequence.k, sequence.loss)
            return
        pieces = best(sequence.blocks, sequence.k, sequence.loss)
    assert sequence.cost(pieces) == least
    for row, count in enumerate(sequence.records):
        assert pieces.records[pieces.rows == row].sum() == count
    for group in set(pieces.groups.tolist()):
        here = pieces.groups == group
        counted = pieces.records[here].sum()
        if sequence.persons is not None:
            counted = sum(sequence.persons[row] for row in pieces.rows[here])
        assert counted >= sequence.k
    assert list(zip(pieces.rows, pieces.groups, strict=True)) == sorted(
        set(zip(pieces.rows, pieces.groups, strict=True))
    )


def test_a_long_run_of_equal_records_is_divided_into_three_pieces_at_most() -> None:
    block = Block(np.array([[0], [5], [9]]), np.array([3, 1_000_000, 3]))
    pieces = best([block], 5, Loss(10, (1,), (False,)))
    middle = pieces.records[pieces.rows == 1].tolist()
    assert sorted(middle) == [2, 2, 999_996]


def test_an_empty_sequence_and_a_k_below_one_are_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        best([], 2, Loss(1, (1,), (False,)))
    with pytest.raises(ValueError, match="at least 1"):
        best([Block(np.array([[0]]), np.array([1]))], 0, Loss(1, (1,), (False,)))


@pytest.mark.parametrize(("columns", "bits"), [(1, 5), (2, 3), (3, 3), (4, 2), (8, 1)])
def test_the_hilbert_curve_goes_through_every_cell_once_and_from_neighbour_to_neighbour(
    columns: int, bits: int
) -> None:
    cells = np.array(list(product(range(1 << bits), repeat=columns)), dtype=np.int64)
    ranks = hilbert(cells, bits)
    assert sorted(ranks.tolist()) == list(range(len(cells)))
    steps = np.abs(np.diff(cells[np.argsort(ranks)], axis=0))
    assert (steps.sum(axis=1) == 1).all()


def test_the_curve_keeps_its_arguments_as_they_are_and_refuses_what_has_no_place_on_it() -> None:
    cells = np.array([[3, 1], [0, 2]], dtype=np.int64)
    hilbert(cells, 2)
    assert cells.tolist() == [[3, 1], [0, 2]]
    assert hilbert(np.empty((0, 3), dtype=np.int64), 4).tolist() == []
    for wrong, bits in ((cells, 1), (-cells, 2), (np.zeros((1, 8), dtype=np.int64), 8), (cells, 0)):
        with pytest.raises(ValueError, match="bits"):
            hilbert(wrong, bits)
