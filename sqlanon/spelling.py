"""What looking at texts and numbers of unknown content needs, as each engine spells it.

Patterns are those that RE2 and Python read alike (`patterns`). Postgres's own expressions read them the same way under
the collation "C", but for `.`, which would match a line break there.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlanon.engines import Engine
from sqlanon.query import Expression, constant, render, text_of

# What DuckDB's trim takes away: the characters of Unicode's category Zs.
_SPACES = " \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
_MOST = "CAST('1.7976931348623157e308' AS DOUBLE PRECISION)"
_DIGITS_OF_DOUBLE = 308


@dataclass(frozen=True)
class Spelling:
    """The words of one engine: all results are SQL text, and so is an `x` unless it is a tree."""

    postgres: bool
    columns_at_once: int  # how many columns `grouping` numbers

    def text(self, x: Expression, family: str) -> str:
        """A value as the text by which every engine knows it."""
        text = render(text_of(x, family), "postgres" if self.postgres else "duckdb", pretty=False)
        return f'({text}) COLLATE "C"' if self.postgres else text

    def trimmed(self, x: str) -> str:
        """Without the spaces at both ends."""
        return f"btrim({x}, {constant(_SPACES)})" if self.postgres else f"trim({x})"

    def is_all(self, x: str, pattern: str) -> str:
        """Whether all of a text is of a pattern."""
        whole = constant(f"^({_ours(pattern)})$")
        return f'({x} COLLATE "C" ~ {whole})' if self.postgres else f"regexp_full_match({x}, {constant(pattern)})"

    def holds(self, x: str, pattern: str) -> str:
        """Whether a text has a part that is of a pattern."""
        return (
            f'({x} COLLATE "C" ~ {constant(_ours(pattern))})'
            if self.postgres
            else f"regexp_matches({x}, {constant(pattern)})"
        )

    def part(self, x: str, before: str, pattern: str, after: str = "") -> str:
        """The first part of a text that is of a pattern, between two others; empty where there is none.

        The patterns hold no groups that are captured.
        """
        whole = constant(f"(?:{before})({pattern})(?:{after})")
        return (
            f"coalesce(substring({x} COLLATE \"C\" from {whole}), '')"
            if self.postgres
            else f"regexp_extract({x}, {whole}, 1)"
        )

    def without(self, x: str, pattern: str) -> str:
        """A text without the first part that is of a pattern."""
        return f"regexp_replace({x}, {constant(pattern)}, '')"

    def number(self, digits: str) -> str:
        """Digits, with a decimal point among them or not, as a double; missing where there are none.

        Past all doubles, an infinity.
        """
        cast = f"CAST({digits} AS DOUBLE PRECISION)"
        if not self.postgres:
            return f"TRY_{cast}"
        long = f"length(ltrim(split_part({digits}, '.', 1), '0')) > {_DIGITS_OF_DOUBLE}"
        infinity = "CAST('Infinity' AS DOUBLE PRECISION)"
        return f"CASE WHEN {digits} = '' THEN NULL WHEN {long} THEN {infinity} ELSE {cast} END"

    def whole(self, x: str) -> str:
        """A double as a whole number; missing where it is none."""
        return f"CAST({x} AS INTEGER)" if self.postgres else f"TRY_CAST({x} AS INTEGER)"

    def double(self, x: str, family: str) -> str:
        """A number as a double; missing where a decimal number is beyond all of them."""
        cast = f"CAST({x} AS DOUBLE PRECISION)"
        if self.postgres and family == "decimal":
            return f"CASE WHEN {x} > -1e308 AND {x} < 1e308 THEN {cast} END"
        return cast

    def quantile(self, x: str, share: float, only: str, *, exact: bool) -> str:
        """A quantile of numbers, between the two nearest of them; where `exact` is False it may be an estimate."""
        if self.postgres:
            return f"percentile_cont({share}) WITHIN GROUP (ORDER BY {x}) {only}"
        return f"{'quantile_cont' if exact else 'approx_quantile'}({x}, {share}) {only}"

    def distinct(self, x: str) -> str:
        """An estimate of the number of different values, good where they are many."""
        if not self.postgres:
            return f"approx_count_distinct({x})"
        hashed = f'hashtextextended(CAST({x} AS VARCHAR) COLLATE "C", 0)'
        return f"16 * count(DISTINCT {hashed}) FILTER (WHERE {hashed} & 15 = 0)"

    def sample(self, item: str, share: float) -> str:
        """About this share of the rows of a FROM item that is called `s`."""
        if self.postgres:
            return f"(SELECT * FROM {item} WHERE random() < {share:.9f}) AS s"
        return f"{item} TABLESAMPLE bernoulli({100 * share:.6f}%)"


def finite(x: str) -> str:
    """Whether a double is a number, which neither NaN nor an infinity is; both engines sort NaN above all else."""
    return f"{x} BETWEEN -{_MOST} AND {_MOST}"


def _ours(pattern: str) -> str:
    return pattern.replace(".*", r"[^\n]*")


_DUCKDB, _POSTGRES = Spelling(False, 50), Spelling(True, 30)


def of(engine: Engine) -> Spelling:
    """The spelling of an engine."""
    return _POSTGRES if engine.dialect == "postgres" else _DUCKDB
