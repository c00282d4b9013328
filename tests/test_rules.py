"""Rules: parsed by precedence, checked against what there is, judged so that nothing unknown passes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tries import tries

from sqlanon.errors import SpecError
from sqlanon.rules import FUNCTIONS, Known, parse

KNOWN = Known(("weight",), ("weight", "age", 'odd "name"'), ("doctor", "data team"), ("mean", "p95"))


class Told:
    """Facts by what a rule asks; anything else is unknown."""

    def __init__(self, **numbers: float | None) -> None:
        self.numbers = numbers

    def ask(self, function: str, words: Sequence[str]) -> float | None:
        return self.numbers.get(function)


def judged(condition: str, **numbers: float | None) -> tuple[bool, bool]:
    found = parse(f"IF {condition} THEN block", KNOWN).judge(Told(**numbers))
    return found.blocks, found.unknown


# -- what a rule comes to ----------------------------------------------------------------------------------------------

# A rule's tree, as text and as Python's own three-valued logic: None is unknown.
Tree = tuple[str, Any]
NUMBERS = {"violations(weight)": 3.0, "risk(weight)": None, "delta(mean, age)": -2.5, "7": 7.0, "0.5": 0.5, "1e1": 10.0}


def atom(text: str) -> Tree:
    return text, NUMBERS[text]


def negative(part: Tree) -> Tree:
    return f"-({part[0]})", None if part[1] is None else -part[1]


def worked(one: Tree, sign: str, two: Tree) -> Tree:
    text, numbers = f"({one[0]} {sign} {two[0]})", (one[1], two[1])
    if None in numbers or (sign == "/" and two[1] == 0):
        return text, None
    return text, {"+": lambda a, b: a + b, "-": lambda a, b: a - b, "*": lambda a, b: a * b, "/": lambda a, b: a / b}[
        sign
    ](*numbers)


def compared(one: Tree, sign: str, two: Tree) -> Tree:
    text = f"{one[0]} {sign} {two[0]}"
    if None in (one[1], two[1]):
        return text, None
    a, b = one[1], two[1]
    return text, {">": a > b, ">=": a >= b, "<": a < b, "<=": a <= b, "=": a == b, "!=": a != b}[sign]


def joined(one: Tree, word: str, two: Tree) -> Tree:
    values, decides = (one[1], two[1]), word == "OR"
    value = decides if decides in values else (None if None in values else not decides)
    return f"({one[0]}) {word} ({two[0]})", value


numbers = st.recursive(
    st.sampled_from(list(NUMBERS)).map(atom),
    lambda inner: st.one_of(inner.map(negative), st.builds(worked, inner, st.sampled_from("+-*/"), inner)),
    max_leaves=5,
)
conditions = st.recursive(
    st.builds(compared, numbers, st.sampled_from([">", ">=", "<", "<=", "=", "!="]), numbers),
    lambda inner: st.one_of(
        inner.map(lambda part: (f"NOT ({part[0]})", None if part[1] is None else not part[1])),
        st.builds(joined, inner, st.sampled_from(["AND", "OR"]), inner),
    ),
    max_leaves=6,
)


@settings(max_examples=tries(400), deadline=None)
@given(conditions)
def test_a_rule_is_judged_by_the_logic_of_three_values_and_blocks_unless_it_is_surely_false(tree: Tree) -> None:
    text, value = tree
    blocks, unknown = judged(text, violations=3.0, delta=-2.5)
    assert (blocks, unknown) == (value is not False, value is None)


@pytest.mark.parametrize(
    ("condition", "blocks"),
    [
        ("violations(weight) > 20 OR abs(delta(mean, weight)) > 0.5", True),
        ("1 > 2 AND 1 > 2 OR 1 < 2", True),
        ("1 > 2 AND (1 > 2 OR 1 < 2)", False),
        ("NOT 1 > 2 AND 1 > 2", False),
        ("1 + 2 * 3 = 7 AND 10 - 4 - 3 = 3 AND 8 / 4 / 2 = 1", True),
        ("-2 * -3 = 6 and 2 - -2 == 4 and 1 <> 2", True),
        ("abs(violations(weight) - 25) <= 5", True),
        ('after(p95, "odd \\"name\\"") >= 1', True),
        ('share(weight, "data team") < 0.5', True),
    ],
)
def test_operators_bind_as_usual_and_words_may_be_quoted(condition: str, blocks: bool) -> None:
    assert judged(condition, violations=21, delta=-0.1, after=1, share=0.2) == (blocks, False)


def test_what_is_unknown_decides_only_where_it_could() -> None:
    assert judged("violations(weight) > 1 OR 1 < 2") == (True, False)
    assert judged("violations(weight) > 1 AND 1 > 2") == (False, False)
    assert judged("violations(weight) > 1 AND 1 < 2") == (True, True)
    for number in (None, float("nan"), float("inf")):
        assert judged("violations(weight) > 1", violations=number) == (True, True)
        assert judged("NOT violations(weight) > 1", violations=number) == (True, True)
    assert judged("1 / 0 > 1") == (True, True)
    assert judged("1e308 * 10 > 1") == (True, True)


def test_the_verdict_tells_the_rule_and_each_number_once() -> None:
    rule = parse("if violations(weight)>20 or  abs(delta(mean, weight)) > 0.5 then BLOCK", KNOWN)
    found = rule.judge(Told(violations=30))
    assert str(found).endswith(": violations(weight) = 30, delta(mean, weight) = unknown")
    assert found.to_dict() == {
        "rule": "if violations(weight)>20 or abs(delta(mean, weight)) > 0.5 then BLOCK", "blocks": True,
        "unknown": False, "numbers": {"violations(weight)": 30, "delta(mean, weight)": None},
    }  # fmt: skip


# -- what is wrong -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("IF violations(wieght) > 1 THEN block", r"character 15: .*found 'wieght'; .*did you mean 'weight'"),
        ("IF violations(age) > 1 THEN block", r"no such sensitive field that is scored; found 'age'"),
        ("IF delta(maen, age) > 1 THEN block", r"no such statistic; found 'maen'; .*did you mean 'mean'"),
        ("IF delta(mean, agee) > 1 THEN block", r"no such field; found 'agee'; .*did you mean 'age'"),
        ("IF violations(weight, nurse) > 1 THEN block", r"no such actor; found 'nurse'"),
        ("IF violation(weight) > 1 THEN block", r"character 4: a number or a function .*did you mean 'violations'"),
        ("IF violations(weight) THEN block", r"character 4: this needs a comparison .*is a number"),
        ("IF violations(weight) > 1 AND 2 THEN block", r"character 31: this needs a comparison"),
        ("IF NOT 3 THEN block", r"this needs a comparison"),
        ("IF (1 > 2) > 3 THEN block", r"this needs a number, and is a condition"),
        ("IF (1 > 2) + 3 > 1 THEN block", r"this needs a number, and is a condition"),
        ("IF abs((1 > 2)) > 1 THEN block", r"this needs a number"),
        ("IF -(1 > 2) > 1 THEN block", r"this needs a number"),
        ("IF 1 > 2 > 3 THEN block", r"character 10: another word is needed here; found '>'; allowed: THEN"),
        ("IF violations() > 1 THEN block", r"violations takes"),
        ("IF violations(weight, doctor, doctor) > 1 THEN block", r"violations takes"),
        ("IF policy_violations(weight) > 1 THEN block", r"policy_violations takes nothing"),
        ("IF violations(weight > 1 THEN block", r"found '>'"),
        ("violations(weight) > 1 THEN block", r"character 1: another word is needed here; found 'violations'"),
        ("IF violations(weight) > 1", r"found 'the end'; allowed: THEN"),
        ("IF violations(weight) > 1 THEN stop", r"found 'stop'; allowed: BLOCK"),
        ("IF violations(weight) > 1 THEN block now", r"a rule ends with block; found 'now'"),
        ("IF violations(weight) > 1; THEN block", r"character 26: this has no place in a rule; found ';'"),
        ('IF violations("weight) > 1 THEN block', r"this has no place in a rule"),
        ("IF 1e999 > 1 THEN block", r"this number is too large"),
        ("IF " + "(" * 60 + "1 > 2" + ")" * 60 + " THEN block", r"nested too deeply"),
        ("IF " + "NOT " * 60 + "1 > 2 THEN block", r"nested too deeply"),
        ("IF 1 > 2" + " OR 1 > 2" * 300 + " THEN block", r"at most 2000 characters"),
        ("", r"another word is needed here; found 'the end'"),
    ],
)
def test_a_wrong_rule_is_told_with_place_and_word(text: str, told: str) -> None:
    with pytest.raises(SpecError, match=told):
        parse(text, KNOWN)


def test_every_function_can_be_asked() -> None:
    words = {"predicted": "weight", "actor": "doctor", "field": "age", "statistic": "mean", "number": "-1"}
    for name, kinds in FUNCTIONS.items():
        call = f"{name}({', '.join(words[kind.strip('[]')] for kind in kinds)})"
        assert judged(f"{call} > 0", **{name: 1.0}) == (True, False), call
