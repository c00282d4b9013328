"""The words of the statements: for completion, and as the grammar that the documentation shows."""

from __future__ import annotations

from dataclasses import MISSING, dataclass
from typing import Any

from sqlanon.annotations import keys_of
from sqlanon.hierarchies import HIERARCHIES
from sqlanon.models import MODELS
from sqlanon.recoding.catalogue import TRANSFORMS
from sqlanon.spec import Column, Related
from sqlanon.statements.options import ROLE_WORDS, ROLES, options
from sqlanon.statements.values import spelled

# What a statement of ours may begin with.
STARTS = (
    "CREATE ANONYMIZED TABLE", "CREATE ANONYMIZED VIEW", "CREATE ANONYMIZED MATERIALIZED VIEW",
    "CREATE ANONYMIZED FILE", "CREATE OR REPLACE ANONYMIZED", "EXPLAIN ANONYMIZATION", "CHECK ANONYMIZATION OF",
    "REFRESH ANONYMIZED", "VERIFY ANONYMIZED", "WITHDRAW ANONYMIZED", "SHOW ANONYMIZED RELEASES",
    "SHOW ANONYMIZATION OF",
)  # fmt: skip

_RULES = """\
statement   = create | explain | check | refresh | verify | withdraw | show | hana ;
create      = "CREATE" , [ "OR" , "REPLACE" ] , "ANONYMIZED" , form , name , declaration ;
form        = "TABLE" | "VIEW" | "MATERIALIZED VIEW" | "FILE" ;
declaration = "AS" , ( query | source ) , "WITH" , "(" , option , { "," , option } , ")" ;
source      = "TABLE" , name | "FILE" , text , [ "DELIMITER" , text ] | "QUERY" , text ;
explain     = "EXPLAIN" , "ANONYMIZATION" , [ "(" , "FORMAT" , ( "TEXT" | "JSON" | "SQL" ) , ")" ] ,
              ( create | declaration | hana ) ;
check       = "CHECK" , "ANONYMIZATION" , "OF" , ( name | "(" , query , ")" | source ) ,
              [ "QUASI_IDENTIFIERS" , columns ] , [ "SENSITIVE" , columns ] ,
              [ "WITH" , "(" , option , { "," , option } , ")" ] ;
refresh     = "REFRESH" , ( "ANONYMIZED" , [ form ] , name , [ "ANEW" ] | name | "VIEW" , name , "ANONYMIZATION" ) ;
verify      = "VERIFY" , [ "ANONYMIZED" , [ form ] ] , name ;
withdraw    = "WITHDRAW" , [ "ANONYMIZED" , [ form ] ] , name ;
show        = "SHOW" , ( "ANONYMIZED" , "RELEASES" | "ANONYMIZATION" , "OF" , name ) ;

option      = "k" , "=" , number | "preset" , "=" , text | model
            | list , [ "=" ] , columns | "columns" , [ "=" ] , "(" , described , { "," , described } , ")"
            | key , "=" , value ;
columns     = column | "(" , column , { "," , column } , ")" ;
column      = name , [ hierarchy ] , { setting , [ "=" ] , value } ;
described   = name , role , [ hierarchy ] , { setting , [ "=" ] , value } ;
hierarchy   = {hierarchies} ;
branch      = text , [ "(" , branch , { "," , branch } , ")" | "NULL" ] ;
numbers     = number | "(" , number , { "," , number } , ")" ;
words       = word | "(" , word , { "," , word } , ")" ;
texts       = "(" , text , { "," , text } , ")" ;

list        = {lists} ;
role        = {roles} ;
setting     = {settings} ;
key         = {keys} ;
model       = ( {models} ) , arguments ;
transform   = ( {transforms} ) , arguments ;
arguments   = "(" , [ ( value | pair ) , { "," , ( value | pair ) } ] , ")" ;

value       = number | text | word | name | "true" | "false" | "null"
            | "(" , value , { "," , value } , ")" | "(" , pair , { "," , pair } , ")" | transform | related
            | ( "TABLE" , name | "FILE" , text , [ "DELIMITER" , text ] | "QUERY" , text | "(" , query , ")" ) ;
pair        = name , ( "=>" | ":=" | "=" ) , value ;
related     = name , "AS" , ( source | "(" , query , ")" ) , "WITH" , "(" , option , { "," , option } , ")" ;

hana        = "CREATE" , [ "OR" , "REPLACE" ] , "VIEW" , name , [ "(" , name , { "," , name } , ")" ] , "AS" , query ,
              "WITH" , "ANONYMIZATION" , "(" , "ALGORITHM" , ( "'K-ANONYMITY'" | "'L-DIVERSITY'" ) ,
              [ "PARAMETERS" , json ] , { "COLUMN" , name , "PARAMETERS" , json } , ")" ;
"""

_CONTENTS = {
    "width": "numbers", "mask": "number", "date": "words", "csv": "text",
    "tree": '( text | "(" , branch , { "," , branch } , ")" )', "order": 'texts , [ "groups" , numbers ]',
}  # fmt: skip


@dataclass(frozen=True)
class Words:
    """What can be written where: beginnings, options, models and transforms with their parameters, presets aside."""

    starts: tuple[str, ...]
    options: tuple[str, ...]
    models: dict[str, tuple[str, ...]]
    transforms: dict[str, tuple[str, ...]]
    hierarchies: tuple[str, ...]


def keywords() -> Words:
    """The words of the statements, for completion."""
    return Words(
        STARTS, ("k", "preset", *ROLES, "columns", *options()), _parameters(MODELS), _parameters(TRANSFORMS),
        tuple(HIERARCHIES),
    )  # fmt: skip


def _parameters(kinds: dict[str, Any]) -> dict[str, tuple[str, ...]]:
    return {spelled(name): tuple(map(spelled, keys_of(kind))) for name, kind in kinds.items()}


def ebnf() -> str:
    """The grammar, its lists made of what the parser knows: the documentation shows just this."""
    related = [f'"{word}"' for word in options(Related) if word not in options()]
    parts = {
        "hierarchies": _either(f'"{name}" , {_CONTENTS[name]}' for name in HIERARCHIES),
        "lists": _either(f'"{word}"' for word in ROLES), "roles": _either(f'"{word}"' for word in ROLE_WORDS),
        "settings": _either(f'"{key}"' for key in keys_of(Column) if key not in ("role", "hierarchy")),
        "keys": _either([*(f'"{word}"' for word in options()), *related]),
        "models": _either(f'"{spelled(name)}"' for name in MODELS),
        "transforms": _either(f'"{spelled(name)}"' for name in TRANSFORMS),
    }  # fmt: skip
    text = _RULES
    for name, told in parts.items():
        text = text.replace(f"{{{name}}}", told)
    return text


def _either(words: Any) -> str:
    lines, line = [], ""
    for word in words:
        if line and len(line) + len(word) > 90:
            lines.append(line)
            line = ""
        line = f"{line} | {word}" if line else word
    return "\n            | ".join([*lines, line])


def calls() -> tuple[str, ...]:
    """The models and transforms with their parameters, those that may be left out in brackets."""
    return tuple(_called(name, kind) for name, kind in (*MODELS.items(), *TRANSFORMS.items()))


def _called(name: str, kind: Any) -> str:
    """`l_diversity(column, l, [kind], [c])`."""
    keys = [spelled(key) if found.default is MISSING else f"[{spelled(key)}]" for key, found in keys_of(kind).items()]
    return f"{spelled(name)}({', '.join(keys)})"
