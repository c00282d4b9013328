"""Who may read, write or make what: rules on grants, memberships, PUBLIC and default privileges."""

from __future__ import annotations

from sqlanon.auditing.rules import Rule, parted, worded

_RAW = """
SELECT format('%s for %s', n.item, $grantee),
  format('%s may %s what releases are made from (and read its statistics in pg_stats)', $grantee,
         string_agg(DISTINCT lower(a.privilege) || coalesce(' (' || quote_ident(a.attname) || ')', ''), ', ')),
  CASE WHEN a.grantee = 0 OR a.grantee IN (SELECT oid FROM reader)
       THEN string_agg(DISTINCT $as_grantor || format('REVOKE ALL ON TABLE %s FROM %s CASCADE;', n.item, $grantee)
                       || $and_back, E'\\n')
       ELSE $parted END
FROM acl AS a JOIN source USING (oid) JOIN named AS n USING (oid)
WHERE a.grantee <> a.owner AND $condition
GROUP BY n.oid, n.item, a.grantee ORDER BY 1
"""


def _raw(condition: str) -> str:
    return worded(_RAW, condition=condition, parted=parted("a.grantee"))


_CHILD = "EXISTS (SELECT FROM pg_inherits AS i WHERE i.inhrelid = a.oid)"
_EVERYTHING = (
    "'pg_read_all_data', 'pg_write_all_data', 'pg_read_server_files', 'pg_write_server_files',"
    " 'pg_execute_server_program', 'pg_maintain'"
)
_STATISTICS = "'pg_read_all_stats', 'pg_monitor', 'pg_read_all_settings', 'pg_stat_scan_tables'"


def _predefined(names: str, told: str) -> str:
    return f"""
    SELECT format('%I for %I', p.rolname, r.rolname), format('%I was granted a release, and has %I: {told}', r.rolname,
      p.rolname), {parted("p.oid")}
    FROM pg_roles AS p JOIN pg_roles AS r ON pg_has_role(r.oid, p.oid, 'MEMBER') JOIN reader AS k ON k.oid = r.oid
    WHERE p.rolname IN ({names}) ORDER BY 1
    """


_ATTRIBUTES = """
SELECT format('role %I', r.rolname), format('%I was granted a release, and has %s', r.rolname, w.word),
  format('ALTER ROLE %I NO%s;', r.rolname, w.word)
FROM pg_roles AS r JOIN reader USING (oid) CROSS JOIN LATERAL (VALUES ('BYPASSRLS', r.rolbypassrls),
  ('REPLICATION', r.rolreplication), ('CREATEROLE', r.rolcreaterole)) AS w (word, has) WHERE w.has ORDER BY 1, 2
"""
_SUPERUSER = """
SELECT DISTINCT format('role %I', r.rolname), format('%I was granted a release, and reads everything as a superuser',
  r.rolname), NULL FROM pg_roles AS r JOIN granted AS g ON g.role = r.oid WHERE r.rolsuper ORDER BY 1
"""
_SEES_ALL = f"""
SELECT format('role %I', r.rolname), format('%I has %s: all tables, or files of the server, are open to it', r.rolname,
  string_agg(p.rolname::text, ', ')), NULL
FROM pg_roles AS p JOIN pg_roles AS r ON r.oid <> p.oid AND pg_has_role(r.oid, p.oid, 'MEMBER')
WHERE p.rolname IN ({_EVERYTHING}) AND NOT r.rolsuper AND r.rolname !~ '^pg_' AND r.oid NOT IN (SELECT oid FROM reader)
GROUP BY r.rolname ORDER BY 1
"""
_RELEASE_PUBLIC = """
SELECT n.item, format('everybody may %s it', string_agg(DISTINCT lower(a.privilege), ', ')),
  string_agg(DISTINCT $as_grantor || format('REVOKE ALL ON TABLE %s FROM PUBLIC;', n.item) || $and_back, E'\\n')
FROM acl AS a JOIN release USING (oid) JOIN named AS n USING (oid) WHERE a.grantee = 0 GROUP BY n.oid, n.item ORDER BY 1
"""
_RELEASE_WRITE = """
SELECT format('%s for %s', n.item, $grantee), format('%s may %s %s', $grantee,
  string_agg(DISTINCT lower(a.privilege), ', '), CASE WHEN pg_relation_is_updatable(n.oid, true) & 28 > 0
  AND n.relkind = 'v' THEN 'the source through this view, with the rights of its owner' ELSE 'this release' END),
  string_agg(DISTINCT $as_grantor || format('REVOKE INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER ON TABLE %s'
    ' FROM %s CASCADE;', n.item, $grantee) || $and_back, E'\\n')
FROM acl AS a JOIN release USING (oid) JOIN named AS n USING (oid)
WHERE a.grantee <> a.owner AND a.privilege IN $write GROUP BY n.oid, n.item, n.relkind, a.grantee ORDER BY 1
"""
_OWNER_WRITE = """
SELECT n.item, format('its owner %I still has the right to %s', pg_get_userbyid(n.owner),
  string_agg(DISTINCT lower(a.privilege_type), ', ')),
  format('REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON TABLE %s FROM %I;', n.item, pg_get_userbyid(n.owner))
FROM release JOIN named AS n USING (oid) JOIN pg_class AS c USING (oid)
CROSS JOIN LATERAL aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) AS a
WHERE a.grantee = n.owner AND a.privilege_type IN ('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE')
GROUP BY n.oid, n.item, n.owner ORDER BY 1
"""
_GRANT_OPTION = """
SELECT format('%s for %s', n.item, $grantee), format('%s may let others read it', $grantee),
  string_agg(DISTINCT $as_grantor || format('REVOKE GRANT OPTION FOR ALL ON TABLE %s FROM %s CASCADE;', n.item,
    $grantee) || $and_back, E'\\n')
FROM acl AS a JOIN release USING (oid) JOIN named AS n USING (oid)
WHERE a.grantee NOT IN (0, a.owner) AND a.grantable GROUP BY n.oid, n.item, a.grantee ORDER BY 1
"""
# Nobody who publishes: those who do are members of the owner of releases, or of the group.
_OUTSIDER = (
    "(a.grantee <> 0 AND pg_get_userbyid(a.grantee) NOT IN ('sqlanon_owner', 'sqlanon_publisher')"
    " AND NOT EXISTS (SELECT FROM publisher AS o WHERE pg_has_role(a.grantee, o.oid, 'MEMBER')))"
)
_PRIVATE = """
SELECT format('%s for %s', n.item, $grantee), format('%s may %s it; only views of the register are for readers',
  $grantee, string_agg(DISTINCT lower(a.privilege), ', ')),
  string_agg(DISTINCT $as_grantor || format('REVOKE ALL ON TABLE %s FROM %s CASCADE;', n.item, $grantee) || $and_back,
    E'\\n')
FROM acl AS a JOIN private USING (oid) JOIN named AS n USING (oid)
WHERE a.grantee <> a.owner AND (a.grantee = 0 OR a.grantee IN (SELECT oid FROM reader) OR $outsider)
GROUP BY n.oid, n.item, a.grantee ORDER BY 1
"""
_SCHEMAS = (
    "(n.nspname IN ('releases', 'sqlanon') OR n.oid IN (SELECT d.schema FROM source JOIN named AS d USING (oid)))"
)
_SCHEMA = """
SELECT format('schema %I for %s', n.nspname, $grantee), format('%s may $told', $grantee),
  format('REVOKE $right ON SCHEMA %I FROM %s;', n.nspname, $grantee)
FROM pg_namespace AS n CROSS JOIN LATERAL aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) AS a
WHERE a.privilege_type = '$right' AND a.grantee <> n.nspowner AND $which ORDER BY 1
"""
_BY_READERS = "(a.grantee = 0 OR a.grantee IN (SELECT oid FROM reader))"
_DATABASE = """
SELECT format('database %I for %s', d.datname, $grantee), format('%s may $told', $grantee),
  $before format('REVOKE $right ON DATABASE %I FROM %s;', d.datname, $grantee)
FROM pg_database AS d CROSS JOIN LATERAL aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) AS a
WHERE d.datname = current_database() AND a.privilege_type = '$right' AND a.grantee <> d.datdba AND $which ORDER BY 1
"""
# Who publishes needs working tables, and may have had that right as everybody has it.
_KEEP = (
    "coalesce((SELECT string_agg(format('GRANT TEMPORARY ON DATABASE %I TO %I;', d.datname, pg_get_userbyid(p.oid)),"
    " E'\\n') || E'\\n' FROM publisher AS p WHERE a.grantee = 0), '') ||"
)
_DEFAULTS = """
SELECT format('default privileges of %I%s for %s', pg_get_userbyid(d.defaclrole),
    coalesce(' in schema ' || quote_ident(n.nspname), ''), $grantee),
  format('%s may %s every $what that %I will make', $grantee, string_agg(lower(a.privilege_type), ', '),
    pg_get_userbyid(d.defaclrole)),
  format('ALTER DEFAULT PRIVILEGES FOR ROLE %I%s REVOKE ALL ON TABLES FROM %s;', pg_get_userbyid(d.defaclrole),
    coalesce(' IN SCHEMA ' || quote_ident(n.nspname), ''), $grantee)
FROM pg_default_acl AS d LEFT JOIN pg_namespace AS n ON n.oid = d.defaclnamespace
CROSS JOIN LATERAL aclexplode(d.defaclacl) AS a
WHERE d.defaclobjtype = 'r' AND a.grantee <> d.defaclrole AND $which
GROUP BY d.defaclrole, n.nspname, a.grantee ORDER BY 1
"""
_OPEN_RELEASES = (
    "(n.nspname IN ('releases', 'sqlanon') OR (n.nspname IS NULL AND d.defaclrole IN (SELECT oid FROM publisher)))"
)
_OPEN_RAW = (
    "(a.grantee = 0 OR $by_reader) AND ((n.nspname IS NULL AND d.defaclrole IN"
    " (SELECT s.owner FROM source JOIN named AS s USING (oid)) AND d.defaclrole NOT IN (SELECT oid FROM publisher))"
    " OR d.defaclnamespace IN (SELECT s.schema FROM source JOIN named AS s USING (oid)))"
)
_FUNCTION_PUBLIC = """
SELECT p.oid::regprocedure::text, 'everybody may execute it; what is in a schema of sqlanon is for roles alone',
  format('REVOKE EXECUTE ON ROUTINE %s FROM PUBLIC;', p.oid::regprocedure)
FROM pg_proc AS p CROSS JOIN LATERAL aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS a
WHERE p.pronamespace IN (to_regnamespace('sqlanon'), to_regnamespace('releases')) AND a.grantee = 0
  AND a.privilege_type = 'EXECUTE' ORDER BY 1
"""
_FUNCTIONS = """
SELECT p.oid::regprocedure::text, format('%s, %s, may execute this', $grantee, '$told'),
  format('REVOKE EXECUTE ON ROUTINE %s FROM %s;', p.oid::regprocedure, $grantee)
FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace JOIN pg_language AS l ON l.oid = p.prolang
CROSS JOIN LATERAL aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS a
WHERE NOT $system AND a.privilege_type = 'EXECUTE' AND a.grantee <> p.proowner
  AND (a.grantee = 0 OR a.grantee IN (SELECT oid FROM reader)) AND $which ORDER BY 1
"""
_LEAKPROOF = """
SELECT p.oid::regprocedure::text, 'it is run on rows that a barrier hides, because it is said to tell nothing',
  format('ALTER FUNCTION %s NOT LEAKPROOF;', p.oid::regprocedure)
FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace WHERE p.proleakproof AND NOT $system ORDER BY 1
"""

GRANTS = (
    Rule(
        "raw-grant",
        "finding",
        "Somebody who was granted a release may read what it is made from.",
        "L7; leaks 5, 8",
        _raw("a.grantee <> 0 AND $by_reader AND NOT " + _CHILD),
    ),
    Rule(
        "raw-public",
        "finding",
        "Everybody may read what a release is made from.",
        "L7; leaks 5, 11",
        _raw("a.grantee = 0"),
    ),
    Rule(
        "partition-grant",
        "finding",
        "A partition or child of a source is granted apart from it.",
        "leaks 21; CVE-2026-105618",
        _raw("a.grantee <> 0 AND $by_reader AND " + _CHILD),
    ),
    Rule(
        "reads-everything",
        "finding",
        "A reader has a role to which every table or file is open.",
        "leaks 5",
        _predefined(_EVERYTHING, "tables, or files of the server, are open to it"),
    ),
    Rule(
        "reads-statistics",
        "finding",
        "A reader has a role that sees what others ask and what is counted.",
        "leaks 5, 7; L8",
        _predefined(_STATISTICS, "it sees the statements of others and their settings"),
    ),
    Rule("reader-attributes", "finding", "A reader has an attribute that goes round grants.", "leaks 5", _ATTRIBUTES),
    Rule("reader-superuser", "note", "A release is granted to a superuser.", "leaks 8", _SUPERUSER),
    Rule("sees-all", "note", "Roles, no readers of a release, to which every table is open.", "leaks 5", _SEES_ALL),
    Rule(
        "release-public",
        "finding",
        "A release is open to everybody who has the schema.",
        "leaks 11",
        worded(_RELEASE_PUBLIC),
    ),
    Rule(
        "release-write",
        "finding",
        "Somebody may write a release, or the source through it.",
        "L11; leaks 10",
        worded(_RELEASE_WRITE),
    ),
    Rule("owner-writes", "note", "The owner of a release has kept the right to write it.", "leaks 10", _OWNER_WRITE),
    Rule("grant-option", "note", "Somebody may hand a release on.", "leaks 11", worded(_GRANT_OPTION)),
    Rule(
        "private-grant",
        "finding",
        "A table of the register is open to somebody who does not publish.",
        "leaks 11; CVE-2026-105616",
        worded(_PRIVATE, outsider=_OUTSIDER),
    ),
    Rule(
        "schema-create",
        "finding",
        "A reader, or everybody, may make things where releases or sources stand; or an outsider where releases do.",
        "leaks 12; CVE-2026-2360",
        worded(
            _SCHEMA,
            told="make things there",
            right="CREATE",
            which=f"({_BY_READERS} AND {_SCHEMAS} OR {_OUTSIDER} AND n.nspname IN ('releases', 'sqlanon'))",
        ),
    ),
    Rule(
        "schema-public",
        "note",
        "Everybody may see what stands in a schema of sqlanon.",
        "leaks 11",
        worded(
            _SCHEMA,
            told="use what is granted there",
            right="USAGE",
            which="a.grantee = 0 AND n.nspname IN ('releases', 'sqlanon')",
        ),
    ),
    Rule(
        "public-create",
        "note",
        "Everybody may make things in another schema, such as functions that are run by name.",
        "leaks 12; CVE-2026-2360",
        worded(
            _SCHEMA, told="make things there", right="CREATE", which=f"a.grantee = 0 AND NOT {_SCHEMAS} AND NOT $system"
        ),
    ),
    Rule(
        "database-create",
        "finding",
        "A reader, or everybody, may make schemas.",
        "leaks 11, 12",
        worded(
            _DATABASE,
            told="make schemas, whose contents are taken for others",
            right="CREATE",
            before="",
            which=_BY_READERS,
        ),
    ),
    Rule(
        "temp-right",
        "note",
        "A reader, or everybody, may make functions of his own in pg_temp.",
        "L1, L2, L15; leaks 1",
        worded(
            _DATABASE,
            told="make functions of their own, which a view without a barrier runs on hidden rows",
            right="TEMPORARY",
            before=_KEEP,
            which=_BY_READERS,
        ),
    ),
    Rule(
        "default-privileges",
        "finding",
        "Future releases would be open without a grant.",
        "leaks 11; anon #666",
        worded(_DEFAULTS, what="release", which=_OPEN_RELEASES),
    ),
    Rule(
        "raw-default-privileges",
        "finding",
        "Future raw tables, or partitions of a source, would be open to readers.",
        "leaks 11",
        worded(_DEFAULTS, what="raw table", which=_OPEN_RAW),
    ),
    Rule(
        "function-public",
        "finding",
        "A function of sqlanon is open to everybody.",
        "leaks 34; CVE-2026-83534",
        _FUNCTION_PUBLIC,
    ),
    Rule(
        "untrusted-function",
        "finding",
        "A function in an untrusted language is open to readers or everybody.",
        "CVE-2024-2339",
        worded(
            _FUNCTIONS,
            told="for whom an untrusted language does whatever the server can",
            which="NOT l.lanpltrusted AND l.lanname NOT IN ('c', 'internal')",
        ),
    ),
    Rule(
        "definer-function",
        "note",
        "A function runs as somebody who may read a source, for readers or everybody.",
        "L9; leaks 9, 34",
        worded(
            _FUNCTIONS,
            told="who gets the rights of its owner on raw tables",
            which="p.prosecdef AND EXISTS (SELECT FROM source AS s WHERE has_table_privilege(p.proowner, s.oid,"
            " 'SELECT'))",
        ),
    ),
    Rule("leakproof-function", "note", "A function of yours is declared LEAKPROOF.", "leaks 3", worded(_LEAKPROOF)),
)
