"""Data-flow models: their states against an oracle, the worked system, scores on data, gates, pictures, and errors."""

from __future__ import annotations

import json
import re
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import oracle_flow as oracle
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from server import working_tables
from shared import needs_shared
from test_prediction import vector
from tries import tries

from sqlanon.cli import main
from sqlanon.engines import Engine
from sqlanon.engines.duckdb import DuckDB
from sqlanon.errors import SpecError
from sqlanon.flow import drawing
from sqlanon.flow.model import FlowModel, load
from sqlanon.flow.risks import Assessment, assess
from sqlanon.flow.states import Generator, States, generate

TABLE_3 = """age,height,weight
30-40,180-200,100
30-40,180-200,102
20-30,180-200,110
20-30,180-200,111
20-30,160-180,80
20-30,160-180,110
"""
MODEL = """name: weights
actors: [admin, researcher]
stores:
  db: {fields: {age: quasi-identifier, height: quasi-identifier, weight: sensitive}}
  adb: {fields: {age.anon: quasi-identifier, height.anon: quasi-identifier, weight.anon: sensitive}}
services:
  care: {actors: [admin], purposes: [treatment]}
permissions:
  - {actor: admin, store: db}
  - {actor: researcher, store: adb}
flows:
  - {order: 1, from: subject, to: admin, fields: [age, height, weight]}
  - {order: 2, from: admin, to: db, fields: [age, height, weight]}
  - {order: 3, from: db, to: adb, by: admin, fields: [age, height, weight], data: table3.csv}
predictions:
  weight: {margin: 5, threshold: 0.9}
rules:
  - IF violations(weight) > 3 THEN block
"""


@pytest.fixture(scope="module")
def engine(either: Engine) -> Engine:
    return either


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "table3.csv").write_text(TABLE_3)
    (tmp_path / "model.yaml").write_text(MODEL)
    return tmp_path


def changed(folder: Path, old: str, new: str) -> Path:
    """The model with one thing changed."""
    assert MODEL.count(old) == 1, old
    (folder / "model.yaml").write_text(MODEL.replace(old, new))
    return folder / "model.yaml"


def bits(by_actor: dict[str, list[str]]) -> frozenset[tuple[str, str]]:
    return frozenset((actor, name) for actor, names in by_actor.items() for name in names)


def told(found: States) -> list[tuple[frozenset[tuple[str, str]], frozenset[tuple[str, str]]]]:
    return [(bits(found.has(i)), bits(found.could(i))) for i in range(len(found.states))]


# -- the states --------------------------------------------------------------------------------------------------------


@needs_shared
def test_the_worked_system_is_found_with_its_risk_transitions(folder: Path, engine: Engine) -> None:
    expected = vector("jisa-lts")["expected"]
    found = assess(load(folder / "model.yaml"), engine)
    states = told(found.states)
    worked = [tuple(frozenset(map(tuple, state[key])) for key in ("has", "could")) for state in expected["states"]]
    assert set(worked) <= set(states)
    moves = {(states[t.source], states[t.target]) for t in found.states.transitions}
    assert set(pairwise(worked)) <= moves
    scores = {(d.actor, d.field, frozenset(d.fields)): d for d in found.dangers}
    assert len(scores) == len(found.dangers) == 4
    for risk in expected["risk_transitions"]:
        danger = scores[risk["actor"], risk["field"], frozenset(risk["F"])]
        assert danger.violations == risk["violations"]
        assert [states[i] for i in danger.states] == [worked[risk["state_after"] - 1]]
    other = expected["other_order"]
    assert scores["researcher", "weight", frozenset(other["F"])].violations == other["violations"]


ENDS = ["subject", "a", "b", "s", "t"]
FIELDS = ["q", "r", "v"]
KINDS = {"q": "quasi-identifier", "r": "quasi-identifier", "v": "sensitive"}


@st.composite
def models(draw: st.DrawFn) -> dict[str, Any]:
    """Small models: two actors, a plain store, one with anonymised fields, up to five flows."""
    schema = {**KINDS, **{f"{name}.anon": kind for name, kind in KINDS.items()}}
    flows: list[dict[str, Any]] = [{"order": 0, "from": "subject", "to": "a", "fields": FIELDS}]
    shapes = [("subject", "b"), ("a", "s"), ("b", "s"), ("s", "a"), ("s", "b"), ("a", "b"), ("t", "b"), ("s", "t"),
              ("s", "t"), ("s", "t"), "s", "t"]  # fmt: skip
    for _ in range(draw(st.integers(0, 4))):
        shape, order = draw(st.sampled_from(shapes)), draw(st.integers(1, 3))
        plain = draw(st.lists(st.sampled_from(FIELDS), min_size=1, max_size=3, unique=True))
        there = [f"{name}.anon" for name in plain] if shape in ("t", ("t", "b")) else plain
        flow: dict[str, Any] = {"order": order, "fields": there}
        flow |= {"delete": shape, "by": "a"} if isinstance(shape, str) else {"from": shape[0], "to": shape[1]}
        flows.append(flow | ({"by": "a"} if shape == ("s", "t") else {}))
    permissions = draw(st.lists(st.sampled_from([
        {"actor": "a", "store": "s"}, {"actor": "b", "store": "t"}, {"actor": "b", "store": "s", "fields": ["q"]},
        {"actor": "b", "store": "t", "fields": ["v.anon"]}, {"actor": "a", "store": "t", "fields": ["q.anon"]},
    ]), max_size=3))  # fmt: skip
    return {"actors": ["a", "b"], "stores": {"s": {"fields": schema}, "t": {"fields": schema}},
            "permissions": permissions, "flows": flows}  # fmt: skip


@settings(max_examples=tries(100), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(models())
def test_states_and_transitions_are_the_oracles(model: dict[str, Any]) -> None:
    if len(oracle.points(model)) > 3000:
        return
    found = Generator(load(model), 100_000).generate()
    states = told(found)
    assert not found.together
    assert len(set(states)) == len(states)
    assert set(states) == oracle.states(model)
    moves = {(states[t.source], states[t.target]) for t in found.transitions if t.source != t.target}
    assert moves == oracle.moves(model)


@settings(max_examples=tries(60), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(models())
def test_nothing_that_somebody_can_come_to_predict_is_lost_when_potential_reads_are_built_together(
    model: dict[str, Any],
) -> None:
    if len(oracle.points(model)) > 3000:
        return
    expected = oracle.dangers(model)
    read = load(model)
    with DuckDB() as engine:
        for limit in (100_000, len(Generator(read, 5000)._points())):
            found = assess(read, engine, limit=limit)
            assert {(d.actor, d.field, frozenset(d.fields)) for d in found.dangers} == expected
            assert all(danger.violations is None for danger in found.dangers)
            assert set(told(found.states)) <= oracle.states(model)


def test_what_is_deleted_can_no_longer_be_read_but_stays_known() -> None:
    ends = (
        {"from": "subject", "to": "a"},
        {"from": "a", "to": "s"},
        {"from": "s", "to": "b"},
        {"delete": "s", "by": "a"},
    )
    flows = [{"order": i, "fields": ["v"], **where} for i, where in enumerate(ends)]
    model = {"actors": ["a", "b", "c"], "stores": {"s": {"fields": {"v": "sensitive"}}}, "flows": flows,
             "permissions": [{"actor": "b", "store": "s"}, {"actor": "c", "store": "s"}]}  # fmt: skip
    found = generate(load(model))
    (last,) = [t for t in found.transitions if t.action == "delete" and found.has(t.source) == {"a": ["v"], "b": ["v"]}]
    assert found.could(last.source) == {"b": ["v"], "c": ["v"]}
    assert (found.has(last.target), found.could(last.target)) == ({"a": ["v"], "b": ["v"]}, {})


def test_what_is_not_there_does_not_flow_and_is_told() -> None:
    model = {"actors": ["a"], "stores": {"s": {"fields": {"v": "sensitive"}}},
             "flows": [{"order": 1, "from": "s", "to": "a", "fields": ["v"]}]}  # fmt: skip
    found = generate(load(model))
    assert (len(found.states), found.transitions) == (1, ())
    assert "flow 1: nothing may have put v there by then" in found.notes[0]


def large(order: Any) -> dict[str, Any]:
    """12 actors, 40 fields, 60 flows; everybody may read everything."""
    actors, fields = [f"actor {i}" for i in range(12)], [f"field {i}" for i in range(40)]
    kinds = {
        name: "sensitive" if i == 0 else "quasi-identifier" if i < 9 else "insensitive" for i, name in enumerate(fields)
    }
    anon = {f"{name}.anon": kind for name, kind in kinds.items()}
    flows: list[dict[str, Any]] = [
        {"order": 0, "from": "subject", "to": actors[0], "fields": fields},
        {"order": 1, "from": actors[0], "to": "plain", "fields": fields},
        {"order": 2, "from": "plain", "to": "anonymised", "by": actors[0], "fields": fields},
    ]
    flows += [
        {"order": order(i), "from": "anonymised", "to": actors[i % 12], "fields": [list(anon)[i % 40]]}
        for i in range(57)
    ]
    permissions = [{"actor": actor, "store": "anonymised"} for actor in actors]
    return {"actors": actors, "stores": {"plain": {"fields": kinds}, "anonymised": {"fields": anon}}, "flows": flows,
            "permissions": permissions, "rules": ["IF violations(\"field 0\") > 2 THEN block"]}  # fmt: skip


def test_a_large_model_takes_seconds_and_says_what_it_put_together(engine: Engine) -> None:
    started = time.monotonic()
    found = assess(load(large(lambda i: 3 + i)), engine)
    assert time.monotonic() - started < 10
    assert found.states.together
    assert "potential reads of each actor are shown together" in found.states.notes[-1]
    # Each actor may come to have any of the eight quasi-identifiers beside the sensitive field.
    assert {d.actor for d in found.dangers} == {f"actor {i}" for i in range(1, 12)}, "actor 0 has the field itself"
    assert sum(d.actor == "actor 5" for d in found.dangers) == 2**8
    assert found.rules[0].unknown and found.blocked, "what has no score must not pass"


def test_a_model_that_explodes_says_so_at_once(engine: Engine) -> None:
    started = time.monotonic()
    with pytest.raises(SpecError, match="more than 5000 states, because many share one place in the order"):
        assess(load(large(lambda _: 3)), engine)
    assert time.monotonic() - started < 10


# -- permissions and policies ------------------------------------------------------------------------------------------


def violations(folder: Path, old: str, new: str) -> set[tuple[int | None, tuple[str, ...]]]:
    return {(t.flow, t.violations) for t in generate(load(changed(folder, old, new))).violations}


def test_what_nobody_agreed_to_is_told_with_its_reason(folder: Path) -> None:
    first = "{order: 1, from: subject, to: admin, fields: [age, height, weight]}"
    read = "  - {order: 4, from: db, to: researcher, fields: [age]}\npredictions:"
    assert violations(folder, "predictions:", read) == {(3, ("researcher may not read age in db",))}
    agreed = "policy: {services: [care]}\nrules:"
    none = {(i, ("it is part of no service",)) for i in range(3)}
    assert violations(folder, "rules:", agreed) == none
    part = first.replace("fields", "service: care, purpose: treatment, fields")
    assert violations(folder, first, part) == set()
    other = first.replace("fields", "service: care, purpose: research, fields")
    assert violations(folder, first, other) == {(0, ("research is no purpose of care",))}
    wrong = (
        "  - {order: 4, from: admin, to: researcher, fields: [age], service: care, purpose: treatment}\npredictions:"
    )
    assert violations(folder, "predictions:", wrong) == {(3, ("researcher has no part in care",))}
    actors = "policy: {actors: [admin]}\nrules:"
    assert violations(folder, "rules:", actors) == {(None, ("nobody agreed to researcher",))}


def test_who_may_read_the_field_itself_need_not_predict_it(folder: Path, engine: Engine) -> None:
    model = load(changed(folder, "- {actor: researcher, store: adb}", "- {actor: researcher, store: adb}\n"
                         "  - {actor: researcher, store: db, fields: [weight]}"))  # fmt: skip
    assert assess(model, engine).dangers == ()


# -- scores ------------------------------------------------------------------------------------------------------------


def scores(found: Assessment) -> dict[frozenset[str], int | None]:
    return {frozenset(d.fields): d.violations for d in found.dangers}


def test_the_worst_subset_is_looked_for_and_not_assumed(folder: Path, engine: Engine) -> None:
    (folder / "table3.csv").write_text("age,height,weight\nx,a,70\nx,a,70\nx,b,70\nx,b,100\ny,a,0\ny,a,50\ny,a,100\n")
    model = load(changed(folder, "threshold: 0.9", "threshold: 0.7"))
    found = assess(model, engine)
    assert scores(found)[frozenset(["age"])] == 3
    assert scores(found)[frozenset(["age", "height"])] == 2
    assert found.worst["researcher", "weight.anon"].fields == ("age",)


def test_without_data_there_is_no_score_and_the_gate_blocks(folder: Path, engine: Engine) -> None:
    found = assess(load(changed(folder, ", data: table3.csv", "")), engine)
    assert set(scores(found).values()) == {None}
    assert [rule.to_dict()["unknown"] for rule in found.rules] == [True]
    assert found.blocked


PEOPLE = "id,age,height,weight,kind,other\n" + "".join(
    f"{i},{20 + i % 40},{150 + i % 30},{60 + (i * 7) % 50},{'fundamentalist' if i % 5 == 0 else 'pragmatist'},{i % 3}\n"
    for i in range(300)
)
SPEC = """source: people.csv
entity: id
columns:
  id: identifier
  age: {role: quasi-identifier, hierarchy: {width: [10, 20]}, represent: bounds}
  height: {role: quasi-identifier, hierarchy: {width: [10, 20]}}
  weight: sensitive
  kind: drop
  other: insensitive
privacy: [{model: k-anonymity, k: 3}]
recoding: {levels: {age: 1, height: 1}}
"""


def with_spec(folder: Path, more: str = "") -> FlowModel:
    (folder / "people.csv").write_text(PEOPLE)
    (folder / "spec.yaml").write_text(SPEC + more)
    return load(changed(folder, "data: table3.csv", "spec: spec.yaml"))


def test_a_spec_is_planned_and_its_rows_are_scored(folder: Path, engine: Engine) -> None:
    model = with_spec(folder)
    found = assess(replace(model, predictions={**model.predictions}), engine)
    rows = [
        dict(zip(PEOPLE.splitlines()[0].split(","), line.split(","), strict=True)) for line in PEOPLE.splitlines()[1:]
    ]
    import oracle_prediction

    recoded = [{"age": int(r["age"]) // 10, "height": int(r["height"]) // 10, "weight": int(r["weight"])} for r in rows]
    for danger in found.dangers:
        expected = oracle_prediction.violations(
            recoded, danger.fields, "weight", 5, lambda _: oracle_prediction.exact(0.9)
        )
        assert danger.violations == len(expected)
    mean = found.utilities["anon"].before["weight"]["mean"]
    assert mean == pytest.approx(sum(r["weight"] for r in recoded) / 300)
    assert found.utilities["anon"].difference("mean", "weight") == 0
    assert found.ask("delta", ["mean", "weight"]) == found.ask("delta", ["mean", "weight.anon"]) == 0
    assert all("copy" in name for name in working_tables(engine))


def test_the_policy_of_a_spec_reaches_its_anonymised_rows_over_the_entity(folder: Path, engine: Engine) -> None:
    policy = "policy: {preference: {column: kind}, thresholds: {fundamentalist: {normal: 0.3, sensitive: 0.2}}}\n"
    model = with_spec(folder, policy)
    model = replace(model, predictions={"weight": replace(model.predictions["weight"], threshold=None)})
    personal = scores(assess(model, engine))
    plain = scores(assess(with_spec(folder), engine))
    assert personal[frozenset()] == plain[frozenset()] == 0
    assert (personal[frozenset(["age", "height"])] or 0) > (plain[frozenset(["age", "height"])] or 0)
    (folder / "spec.yaml").write_text(SPEC.replace("entity: id\n", "").replace("id: identifier", "id: drop") + policy)
    with pytest.raises(SpecError, match=r"without an entity nobody can tell whose row is whose.*found 'kind'"):
        assess(model, engine)


# -- the command -------------------------------------------------------------------------------------------------------


def said(capfd: pytest.CaptureFixture[str], status: int, *words: str) -> str:
    assert main(list(words)) == status
    return "\n".join(filter(None, capfd.readouterr()))


def test_the_gate_stops_a_pipeline_with_the_rule_and_its_numbers(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model = str(folder / "model.yaml")
    text = said(capfd, 1, "flow", model, "--gate")
    assert "blocks: IF violations(weight) > 3 THEN block: violations(weight) = 4" in text
    assert "Worst for weight.anon with researcher: age, height, 4 violations." in text
    said(capfd, 0, "flow", model)
    found = json.loads(said(capfd, 1, "flow", model, "--gate", "--json"))
    assert found["blocked"] is True
    assert found["rules"][0]["numbers"] == {"violations(weight)": 4}
    assert found["risk_transitions"][0]["fields"] == ["age", "height"]
    assert len(found["states"]) == 11
    changed(folder, "> 3 THEN", "> 4 THEN")
    assert "lets it pass" in said(capfd, 0, "flow", model, "--gate")
    changed(folder, "rules:\n  - IF violations(weight) > 3 THEN block\n", "")
    assert "a gate without rules lets everything pass" in said(capfd, 2, "flow", model, "--gate")


def test_the_states_are_drawn_as_text_and_as_pictures(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    model = str(folder / "model.yaml")
    dot = said(capfd, 0, "flow", model, "--dot")
    assert dot.startswith("digraph states {") and dot.rstrip().endswith("}")
    assert re.search(r'"10" -> "researcher: weight" \[label="4 violations", style=dotted, color=red', dot)
    assert dot.count("style=dotted") == 2 and dot.count("style=dashed") == 14 and dot.count("style=solid") == 3
    mermaid = said(capfd, 0, "flow", model, "--mermaid")
    assert mermaid.startswith("flowchart TD\n") and '-.->|"4 violations"|' in mermaid
    for name, head in (("a.svg", b"<?xml"), ("a.png", b"\x89PNG")):
        said(capfd, 0, "flow", model, "--picture", str(folder / name))
        assert (folder / name).read_bytes().startswith(head)
    said(capfd, 0, "flow", model, "--picture", str(folder / "b.svg"))
    svg = (folder / "a.svg").read_text()
    assert svg == (folder / "b.svg").read_text(), "the same states must give the same bytes"
    assert "4 violations" in svg and "researcher knows weight" in svg and "stroke-dasharray" in svg
    assert "an SVG or a PNG" in said(capfd, 2, "flow", model, "--picture", str(folder / "a.gif"))
    (folder / "big.yaml").write_text(yaml.safe_dump(large(lambda i: 3 + i)))
    too_many = said(capfd, 2, "flow", str(folder / "big.yaml"), "--picture", str(folder / "a.svg"))
    assert "a picture of more than 80 states cannot be read" in too_many


HOSTILE = ['x"; DROP TABLE t; --', "it's\nnew", "$x$ ]--> y", "a|b\\"]


def test_names_from_outside_are_drawn_as_text(engine: Engine, tmp_path: Path) -> None:
    from sqlanon import pictures

    actor, store, field, other = HOSTILE
    model = {"actors": [actor], "stores": {store: {"fields": {field: "sensitive", other: "quasi-identifier"}},
             "z": {"fields": {f"{field}.anon": "sensitive", f"{other}.anon": "quasi-identifier"}}},
             "permissions": [{"actor": actor, "store": "z"}],
             "flows": [{"order": 1, "from": "subject", "to": actor, "fields": [other]},
                       {"order": 2, "from": actor, "to": store, "fields": [field, other]},
                       {"order": 3, "from": store, "to": "z", "by": actor, "fields": [field, other]}]}  # fmt: skip
    found = assess(load(model), engine)
    assert len(found.dangers) == 2
    for line in drawing.dot(found).splitlines()[2:-1]:
        assert re.fullmatch(r'  "(\\.|[^"\\])*"( -> "(\\.|[^"\\])*")? \[label="(\\.|[^"\\])*"[^"]*\];', line), line
    for line in drawing.mermaid(found).splitlines()[1:]:
        assert line.count('"') in (0, 2) and line.count("|") in (0, 2), line
    pictures.states(found, tmp_path / "a.svg")
