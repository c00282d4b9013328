"""House SQL as trees: what is copied is the same and shares nothing, and what stands inside is translated too."""

from __future__ import annotations

import pytest
from sqlglot import exp

from sqlanon.query import column, copied, fragment, identifier, render
from sqlanon.translation import written

QUERIES = [
    "select a.b, cast(x as decimal(18, 3)), count(distinct y) filter (where z is null) from t as a where a in (1, 2)",
    "select sum(x) over (partition by a order by b desc rows between unbounded preceding and current row) from t",
    "select case when a is not distinct from b then 1.5 else -2 end from t join u as v on t.a = v.a order by 1 limit 3",
    "select date_trunc('month', d) > d + interval '1' day, struct_pack(a := 1), [1, 2] from (select * from u) as u",
    "with s as (select 1 as a union all select 2) select /* told */ * from s group by a having not exists (select 1)",
]


def alike(one: exp.Expr, other: exp.Expr) -> None:
    assert one is not other
    assert type(one) is type(other)
    for name in ("arg_key", "index", "comments", "_type", "_meta"):
        assert getattr(one, name) == getattr(other, name), name
    assert list(one.args) == list(other.args)
    for key, value in one.args.items():
        several = isinstance(value, list)
        assert several is isinstance(other.args[key], list)
        pairs = zip(value, other.args[key], strict=True) if several else [(value, other.args[key])]
        for left, right in pairs:
            if isinstance(left, exp.Expr):
                assert (left.parent, right.parent) == (one, other)
                assert right.parent is other
                alike(left, right)
            else:
                assert left == right


@pytest.mark.parametrize("text", QUERIES)
def test_a_copy_is_what_sqlglot_copies(text: str) -> None:
    tree = fragment(text)
    tree.set("expressions", [*tree.expressions, exp.cast(column("x"), "varchar")])
    made = copied(tree)
    assert made == tree
    assert made.sql("duckdb") == tree.sql("duckdb")
    alike(tree.copy(), made)


def test_a_copy_is_changed_alone() -> None:
    tree = fragment("select a, b from t where a = 1")
    made = copied(tree)
    for node in made.find_all(exp.Identifier):
        node.set("this", "changed")
    assert "changed" not in tree.sql()


@pytest.mark.parametrize("name", ['a"b', "x; DROP TABLE t; --", "ä" * 40, "q\n$s", "it's", "select", ""])
@pytest.mark.parametrize("dialect", ["duckdb", "postgres"])
def test_a_name_alone_is_quoted_as_in_a_query(name: str, dialect: str) -> None:
    within = render(fragment("select $n", n=column(name)), dialect, pretty=False).removeprefix("SELECT ")
    assert render(identifier(name), dialect) == within


def test_what_stands_inside_of_a_text_is_translated_for_postgres_too() -> None:
    """Postgres would cut a long name off, and compare the inner texts by the collation of the database."""
    long = "x" * 70
    inner = fragment("cast($a as varchar) || cast(b as varchar)", a=column(long))
    told = render(fragment("select cast($inner as varchar) from t", inner=inner), "postgres", pretty=False)
    assert long not in told
    assert told.count('COLLATE "C"') == told.count("AS TEXT)") == 3
    assert render(fragment("cast((a // b) // c as varchar)"), "postgres").count("BIGINT") == 4


def test_names_that_look_like_the_text_of_a_tree_are_told_apart() -> None:
    names = ["a", "a' this 'b", "Identifier this 'a'", "a\n", "a\\n", "'a'", '"a"', "(", ") , ]", "a quoted True"]
    trees = [exp.Select(expressions=[column(one), column(two)]) for one in names for two in names]
    trees += [exp.Select(expressions=[column(one, two)]) for one in names for two in names]
    assert len({written(tree) for tree in trees}) == len(trees)
