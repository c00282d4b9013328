"""The file of a data-flow model: what is wrong in it is told with line and word; OPERANDO's XML is read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from test_flow import MODEL, TABLE_3, changed, said, scores

from sqlanon.engines.duckdb import DuckDB
from sqlanon.errors import SpecError
from sqlanon.flow import operando
from sqlanon.flow.model import load
from sqlanon.flow.risks import assess


@pytest.fixture(scope="module")
def engine() -> Iterator[DuckDB]:
    with DuckDB() as found:
        yield found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "table3.csv").write_text(TABLE_3)
    (tmp_path / "model.yaml").write_text(MODEL)
    return tmp_path


# -- what is wrong is told with line and word --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("from: admin, to: db", "from: admim, to: db", r":13:22: flows\[1\].from: there is no such actor or store; "
         r"found 'admim'; .*did you mean 'admin'"),
        ("from: admin, to: db", "from: admin, to: bd", r":13:33: flows\[1\].to: .*found 'bd'"),
        ("{order: 2, from: admin, to: db, fields: [age, height, weight]}", "{order: 2, from: admin, to: db, fields: "
         "[age, hieght]}",
         r":13:51: flows\[1\].fields\[1\]: the store 'db' has no such field; found 'hieght'; .*'height'"),
        ("weight.anon: sensitive", "w.anon: sensitive", r":14:68: flows\[2\].fields\[2\]: the store 'adb' has no field "
         r"'weight.anon' for this one to arrive in; found 'weight'"),
        ("by: admin, fields", "by: adnim, fields", r":14:39: flows\[2\].by: there is no such actor; found 'adnim'"),
        ("to: adb, by: admin,", "to: adb,", r"flows\[2\]: a flow that does anon needs by"),
        ("to: db, fields", "to: db, by: admin, fields", r"flows\[1\]: a flow that does create has no by"),
        ("{actor: researcher, store: adb}", "{actor: researcher, store: adb, fields: [weigth.anon]}", r":10:46: "
         r"permissions\[1\].fields\[0\]: the store 'adb' has no such field; found 'weigth.anon'; .*'weight.anon'"),
        ("{actor: researcher, store: adb}", "{actor: resercher, store: adb}",
         r":10:13: permissions\[1\].actor: .*'resercher'"),
        ("actors: [admin], purposes", "actors: [amdin], purposes",
         r":7:19: services.care.actors\[0\]: .*found 'amdin'"),
        ("weight: {margin: 5, threshold: 0.9}", "wieght: {margin: 5}",
         r":16:11: predictions.wieght: no flow anonymises"),
        ("weight: {margin: 5, threshold: 0.9}", "age: {margin: 5}", r"predictions.age: this field is quasi-identifier"),
        ("threshold: 0.9", "threshold: 1.9",
         r":16:34: predictions.weight.threshold: threshold must be at most 1; found '1.9'"),
        ("margin: 5", "margin: -5", r"number must be at least 0; found '-5'"),
        ("margin: 5", "margin: 5 days", r"time must be like 30d, 12h or 5min; found '5 days'"),
        ("violations(weight) > 3", "violations(wieght) > 3", r":18:5: rules\[0\]: rule, character 15: there is no such "
         r"sensitive field that is scored; found 'wieght'; .*did you mean 'weight'"),
        ("violations(weight) > 3", "violations(age) > 3", r"no such sensitive field that is scored; found 'age'"),
        ("violations(weight) > 3", "violations(weight)", r"this needs a comparison"),
        ("order: 2, from", "after: [nobody], from",
         r":13:14: flows\[1\].after\[0\]: there is no such flow; found 'nobody'"),
        ("order: 2, from", "from", r"flows\[1\]: a flow has an order, or comes after others"),
        ("to: admin, fields", "to: subject, fields", r"flows\[0\]: a subject gives to an actor"),
        ("from: admin, to: db", "from: db, to: db", r"flows\[1\]: .*nothing flows from a node to itself"),
        ("actors: [admin, researcher]", "actors: [admin, researcher, db]",
         r"every actor and store has a name of its own"),
        ("data: table3.csv", "data: table3.csv, spec: x.yaml", "data stands instead of a spec"),
        ("to: db, fields", "to: db, spec: x.yaml, fields", "only a flow from store to store is anonymised"),
        ("to: db, fields", "to: db, service: cure, fields",
         r"flows\[1\].service: there is no such service; found 'cure'"),
        ("rules:", "policy: {services: [cure]}\nrules:",
         r"policy.services\[0\]: there is no such service; found 'cure'"),
        ("rules:", "policy: {actors: [amdin]}\nrules:", r"policy.actors\[0\]: there is no such actor; found 'amdin'"),
        ("rules:", "policy: {sensitivity: {wight: high}}\nrules:", r"policy.sensitivity.wight: there is no such field"),
        ("rules:", "ruless:", r"there is no such key; found 'ruless'; .*did you mean 'rules'"),
        ("name: weights", "name: weights\nbase: /", r"there is no such key; found 'base'"),
    ],
)  # fmt: skip
def test_a_wrong_model_is_told_with_line_and_word(folder: Path, old: str, new: str, told: str) -> None:
    with pytest.raises(SpecError, match=told):
        load(changed(folder, old, new))


def test_a_cycle_in_the_order_is_told_with_its_flows(folder: Path) -> None:
    flows = MODEL.replace("order: 2, from", "name: keep, after: [hide], from").replace(
        "order: 3, from", "name: hide, after: [keep], from"
    )
    (folder / "model.yaml").write_text(flows)
    with pytest.raises(SpecError, match=r":1[34]:\d+: flows\[[12]\].after: a cycle in the order: (keep|hide) after"):
        load(folder / "model.yaml")
    late = MODEL.replace("order: 1, from", "name: first, order: 1, after: [last], from").replace(
        "order: 3, from", "name: last, order: 3, from"
    )
    (folder / "model.yaml").write_text(late)
    with pytest.raises(SpecError, match="a cycle in the order"):
        load(folder / "model.yaml")


def test_flows_with_one_suffix_share_their_data(folder: Path, engine: DuckDB) -> None:
    more = "  - {order: 4, from: db, to: adb, by: admin, fields: [age], data: other.csv}\npredictions:"
    with pytest.raises(SpecError, match=r"flows with one suffix share one spec or data.*found 'anon'"):
        load(changed(folder, "predictions:", more))
    schema = "  adb: {fields: {age.k5: quasi-identifier, age.anon:"
    text = MODEL.replace("  adb: {fields: {age.anon:", schema).replace(
        "predictions:", more.replace("data:", "suffix: k5, data:")
    )
    (folder / "model.yaml").write_text(text)
    (folder / "other.csv").write_text("age,height\n1,2\n")
    assert len(assess(load(folder / "model.yaml"), engine).dangers) == 4


def test_data_without_a_column_for_a_field_are_refused(folder: Path, engine: DuckDB) -> None:
    (folder / "table3.csv").write_text("age,weight\n1,2\n")
    with pytest.raises(SpecError, match="the anonymised records have no column for this field; found 'height'"):
        assess(load(folder / "model.yaml"), engine)
    (folder / "table3.csv").write_text("age.anon,height.anon,weight.anon\n" + TABLE_3.split("\n", 1)[1])
    assert scores(assess(load(folder / "model.yaml"), engine))[frozenset(["age", "height"])] == 4


# -- OPERANDO's form ---------------------------------------------------------------------------------------------------

XML = """<?xml version="1.0"?>
<dfd>
  <roles><role><name>nurse</name></role></roles>
  <records><name>patient</name><fields>
    <field><name>name</name><type>ei</type></field>
    <field><name>age</name><type>qi</type></field>
  </fields></records>
  <flow>
    <actor><label>subject</label><id>c1</id>
      <flow><to>c2</to><data><field>name</field><field>age</field></data><purpose>visit</purpose><sequence>1</sequence></flow>
    </actor>
    <actor><label>receptionist</label><id>c2</id>
      <flow><to>EHR</to><data><field>name</field><field>age</field></data><purpose>visit</purpose><sequence>2</sequence></flow>
    </actor>
    <datastore><label>EHR</label></datastore>
  </flow>
</dfd>
"""


def test_a_diagram_in_operandos_xml_is_read(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "model.xml").write_text(XML)
    model = load(tmp_path / "model.xml")
    assert model.actors == ("receptionist", "nurse")
    assert model.stores["EHR"].fields == {"name": "identifier", "age": "quasi-identifier"}
    # Nobody may read the store, so that what lies there changes nothing for anybody: two states.
    assert [(f.order, f.ends, f.purpose) for f in model.flows] == [
        (1, ("subject", "receptionist"), "visit"), (2, ("receptionist", "EHR"), "visit"),
    ]  # fmt: skip
    assert "2 states, 2 transitions" in said(capfd, 0, "flow", str(tmp_path / "model.xml"))


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("<to>c2</to>", "<to>c9</to>", "leads nowhere that is declared; found 'c9'"),
        ("<sequence>2</sequence>", "", "its sequence is a whole number"),
        ("<dfd>", "<!DOCTYPE dfd [<!ENTITY a 'b'>]><dfd>", "no document type and no entities"),
        ("</dfd>", "", r"model.xml:\d+:\d+: this is not XML"),
        ("<label>EHR</label>", "", r"a part of the flow \(datastore\) has no label"),
        ("dfd>", "graph>", "the diagram has no flow"),
    ],
)
def test_a_wrong_diagram_is_told(tmp_path: Path, old: str, new: str, told: str) -> None:
    (tmp_path / "model.xml").write_text(XML.replace(old, new))
    with pytest.raises(SpecError, match=told):
        operando.read(tmp_path / "model.xml")
