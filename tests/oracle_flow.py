"""The oracle of data-flow models: every order of flows and potential reads, one after the other, over plain sets.

A model is the mapping that a file would hold. Semantics: shared/reference/models.md, section 3.1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain, combinations
from typing import Any

Bits = frozenset[tuple[str, str]]  # (actor, field) or (store, field)
Point = tuple[Bits, Bits, frozenset[int]]  # who has what, what lies where, which flows ran


def permitted(model: Mapping[str, Any]) -> set[tuple[str, str, str]]:
    """(actor, store, field) of all that may be read."""
    return {
        (p["actor"], p["store"], f)
        for p in model.get("permissions", ())
        for f in p.get("fields") or model["stores"][p["store"]]["fields"]
    }


def could(model: Mapping[str, Any], lying: Bits) -> Bits:
    return frozenset((actor, f) for actor, store, f in permitted(model) if (store, f) in lying)


def run(model: Mapping[str, Any], flow: Mapping[str, Any], has: Bits, lying: Bits) -> tuple[Bits, Bits]:
    """What a flow makes of who has what and what lies where."""
    stores, fields = model["stores"], flow["fields"]
    if "delete" in flow:
        return has, lying - {(flow["delete"], f) for f in fields}
    one, two = flow["from"], flow["to"]
    if one in stores:
        fields = [f for f in fields if (one, f) in lying]
        if two in stores:
            return has, lying | {(two, f"{f}.{flow.get('suffix', 'anon')}") for f in fields}
        return has | {(two, f) for f in fields}, lying
    if two in stores:
        return has, lying | {(two, f) for f in fields}
    return has | {(two, f) for f in fields}, lying


def steps(model: Mapping[str, Any], point: Point) -> Iterator[Point]:
    """What can happen next."""
    has, lying, done = point
    flows = model["flows"]
    for i, flow in enumerate(flows):
        if i not in done and all(j in done for j, other in enumerate(flows) if other["order"] < flow["order"]):
            yield (*run(model, flow, has, lying), done | {i})
    for seen in could(model, lying) - has:
        yield has | {seen}, lying, done


def points(model: Mapping[str, Any]) -> set[Point]:
    """Everything that can happen."""
    start: Point = (frozenset(), frozenset(), frozenset())
    found, ahead = {start}, [start]
    while ahead:
        for after in steps(model, ahead.pop()):
            if after not in found:
                found.add(after)
                ahead.append(after)
    return found


def states(model: Mapping[str, Any]) -> set[tuple[Bits, Bits]]:
    """The states: (has, could), whatever led there."""
    return {(has, could(model, lying)) for has, lying, _ in points(model)}


def moves(model: Mapping[str, Any]) -> set[tuple[tuple[Bits, Bits], tuple[Bits, Bits]]]:
    """The pairs of different states that one step leads from and to."""
    found = set()
    for point in points(model):
        for after in steps(model, point):
            pair = tuple((has, could(model, lying)) for has, lying, _ in (point, after))
            if pair[0] != pair[1]:
                found.add(pair)
    return found  # type: ignore[return-value]


def dangers(model: Mapping[str, Any], suffix: str = "anon") -> set[tuple[str, str, frozenset[str]]]:
    """Who could predict which sensitive field from which others: (actor, field, anonymised quasi-identifiers)."""
    kinds = dict(chain.from_iterable(store["fields"].items() for store in model["stores"].values()))
    entitled = {(actor, f) for actor, _, f in permitted(model)}
    anonymised = {f for flow in model["flows"] if flow.get("to") in model["stores"] and flow.get("from") in
                  model["stores"] for f in flow["fields"]}  # fmt: skip
    found = set()
    for has, _, _ in points(model):
        for actor in model["actors"]:
            there = {f for f in anonymised if (actor, f"{f}.{suffix}") in has}
            quasi = frozenset(f for f in there if kinds[f] == "quasi-identifier")
            for f in there:
                if kinds[f] == "sensitive" and (actor, f) not in has and (actor, f) not in entitled:
                    found.add((actor, f, quasi))
    return found


def subsets(names: list[str]) -> list[tuple[str, ...]]:
    return list(chain.from_iterable(combinations(names, size) for size in range(len(names) + 1)))
