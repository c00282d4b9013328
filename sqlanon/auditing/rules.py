"""What a rule of the audit is, and the words of SQL that rules share.

A rule is one query over the server's catalogs. Each of its rows is something found: the object, a sentence, and the
statements that mend it, whose names the server itself has quoted. A query may read the relations of `SCENE`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from string import Template
from typing import Any, Literal

Level = Literal["finding", "note"]


@dataclass(frozen=True)
class Finding:
    """Something that the audit found. `fix`: statements that mend it, which may be run twice; None where none can.

    A `finding` is a way to more than was released; a `note` is something to know, or to decide.
    """

    rule: str
    level: Level
    object: str
    told: str
    fix: str | None
    why: str

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Rule:
    """A way to more than was released: `says` what is looked for, `why` where the danger is described.

    `sql` returns rows of object, sentence and fix. `since`: the first version of the server that has what it reads.
    """

    name: str
    level: Level
    says: str
    why: str
    sql: str
    since: int = 14


# What every rule may read. release, source: relations; under: what a released view reads, directly or through other
# views; private: tables of the register; granted: who was given a release, by an entry of its own; reader: every role
# that has such an entry or can become one who has, but superusers and the releases' own owners.
SCENE = """
WITH RECURSIVE release (oid) AS (SELECT unnest('{$releases}'::oid[])),
source (oid) AS (SELECT unnest('{$sources}'::oid[])),
named (oid, item, schema, kind, relkind, owner, options) AS (
  SELECT c.oid, format('%I.%I', n.nspname, c.relname), n.oid, CASE c.relkind WHEN 'v' THEN 'VIEW'
    WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'f' THEN 'FOREIGN TABLE' ELSE 'TABLE' END, c.relkind, c.relowner,
    c.reloptions
  FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'p', 'f', 'v', 'm')
),
under (view, oid) AS (
  SELECT r.oid, d.refobjid FROM release AS r JOIN pg_rewrite AS w ON w.ev_class = r.oid
  JOIN pg_depend AS d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid
  WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid <> r.oid
  UNION
  SELECT u.view, d.refobjid FROM under AS u JOIN pg_rewrite AS w ON w.ev_class = u.oid
  JOIN pg_depend AS d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid
  WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid <> u.oid
),
private (oid) AS (
  SELECT c.oid FROM pg_class AS c WHERE c.relnamespace = to_regnamespace('sqlanon') AND c.relkind IN ('r', 'p')
),
acl (oid, attname, grantee, grantor, privilege, grantable, owner) AS (
  SELECT c.oid, NULL::name, a.grantee, a.grantor, a.privilege_type, a.is_grantable, c.relowner
  FROM pg_class AS c CROSS JOIN LATERAL aclexplode(c.relacl) AS a
  WHERE c.oid IN (SELECT oid FROM release UNION SELECT oid FROM source UNION SELECT oid FROM private)
  UNION ALL
  SELECT c.oid, t.attname, a.grantee, a.grantor, a.privilege_type, a.is_grantable, c.relowner
  FROM pg_class AS c JOIN pg_attribute AS t ON t.attrelid = c.oid CROSS JOIN LATERAL aclexplode(t.attacl) AS a
  WHERE c.oid IN (SELECT oid FROM release UNION SELECT oid FROM source UNION SELECT oid FROM private)
),
granted (oid, role) AS (
  SELECT DISTINCT a.oid, a.grantee FROM acl AS a JOIN release USING (oid) WHERE a.grantee NOT IN (0, a.owner)
),
publisher (oid) AS (SELECT DISTINCT n.owner FROM release JOIN named AS n USING (oid)),
reader (oid) AS (
  SELECT DISTINCT m.oid FROM pg_roles AS m JOIN granted AS g ON pg_has_role(m.oid, g.role, 'MEMBER')
  WHERE NOT m.rolsuper AND m.oid NOT IN (SELECT oid FROM publisher)
)
"""

_WORDS = {
    "grantee": "CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)::text) END",
    # A grant is taken back by who gave it: a superuser's own REVOKE takes back what the owner gave.
    "as_grantor": "CASE WHEN a.grantor = a.owner THEN '' ELSE format('SET ROLE %I; ', pg_get_userbyid(a.grantor)) END",
    "and_back": "CASE WHEN a.grantor = a.owner THEN '' ELSE ' RESET ROLE;' END",
    "by_reader": "EXISTS (SELECT FROM reader AS r WHERE pg_has_role(r.oid, a.grantee, 'MEMBER'))",
    "write": "('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER')",
    "system": "(n.nspname ~ '^pg_' OR n.nspname = 'information_schema')",
}


def worded(sql: str, **more: str) -> str:
    """SQL with the shared words put in, also into what is put in."""
    words = {**_WORDS, **more}
    return Template(Template(sql).safe_substitute(words)).safe_substitute(words)


def parted(role: str) -> str:
    """SQL for the statements that take a role from every reader, wherever in a chain of memberships he gets it."""
    return f"""(
      SELECT string_agg(DISTINCT format('REVOKE %I FROM %I', pg_get_userbyid(m.roleid), pg_get_userbyid(m.member))
        || CASE WHEN current_setting('server_version_num')::int < 160000 THEN ';'
           ELSE format(' GRANTED BY %I;', pg_get_userbyid(m.grantor)) END, E'\\n')
      FROM pg_auth_members AS m JOIN reader AS r ON pg_has_role(r.oid, m.member, 'MEMBER') WHERE m.roleid = {role}
    )"""


def guarded(exists: str, statement: str) -> str:
    """SQL for a statement that is run only while something is there, so that it may be run twice.

    `exists` and `statement` are SQL for the texts of a query and of the statement.
    """
    return f"format('DO %L;', format('BEGIN IF EXISTS (%s) THEN EXECUTE %L; END IF; END', {exists}, {statement}))"
