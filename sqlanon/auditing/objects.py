"""What releases and sources are and hang on: rules on views, owners, statistics, publications, servers, secrets."""

from __future__ import annotations

from sqlanon.auditing.rules import Rule, guarded, parted, worded

_OPTION = (
    "EXISTS (SELECT FROM pg_options_to_table(n.options) AS o WHERE o.option_name = '{}' AND o.option_value::boolean)"
)

_BARRIER = f"""
SELECT n.item, 'a reader''s own function, or 1/(x - 5), is run on the rows that this view hides',
  format('ALTER VIEW IF EXISTS %s SET (security_barrier = true);', n.item)
FROM release JOIN named AS n USING (oid) WHERE n.relkind = 'v' AND NOT {_OPTION.format("security_barrier")} ORDER BY 1
"""
_INVOKER = f"""
SELECT n.item, 'this view reads with the rights of its reader, who then needs the raw table',
  format('ALTER VIEW IF EXISTS %s RESET (security_invoker);', n.item)
FROM release JOIN named AS n USING (oid) WHERE n.relkind = 'v' AND {_OPTION.format("security_invoker")} ORDER BY 1
"""
_MATERIALIZED = """
SELECT n.item, 'it has no barrier, and is filled anew when a dump is restored; a table is not', NULL
FROM release JOIN named AS n USING (oid) WHERE n.relkind = 'm' ORDER BY 1
"""
_EXPLAIN = """
SELECT n.item, 'EXPLAIN ANALYZE tells its readers how many rows it hides; for those who may not learn that,'
  ' publish a table', NULL FROM release JOIN named AS n USING (oid)
WHERE n.relkind = 'v' AND EXISTS (SELECT FROM granted AS g WHERE g.oid = n.oid) ORDER BY 1
"""
_TWO_VIEWS = """
SELECT format('%s and %s for %I', one.item, two.item, pg_get_userbyid(g.role)),
  'two live views of one table are read in one order, so that their rows can be put together by position',
  format('REVOKE ALL ON TABLE %s FROM %I;', two.item, pg_get_userbyid(g.role))
FROM named AS one JOIN named AS two ON one.oid < two.oid AND one.relkind = 'v' AND two.relkind = 'v'
JOIN granted AS g ON g.oid = one.oid JOIN granted AS h ON h.oid = two.oid AND h.role = g.role
WHERE EXISTS (SELECT FROM under AS a JOIN under AS b ON b.oid = a.oid JOIN pg_class AS c ON c.oid = a.oid
  WHERE a.view = one.oid AND b.view = two.oid AND c.relkind IN ('r', 'p', 'm', 'f')) ORDER BY 1
"""
_OWNERLESS = """coalesce((SELECT string_agg(DISTINCT format('GRANT USAGE ON SCHEMA %s TO sqlanon_owner; GRANT SELECT'
    ' ON %s TO sqlanon_owner;', s.schema::regnamespace, s.item), E'\\n') || E'\\n'
  FROM under AS u JOIN named AS s ON s.oid = u.oid WHERE u.view = n.oid AND n.relkind = 'v'), '')
  || format('ALTER %s IF EXISTS %s OWNER TO sqlanon_owner;', n.kind, n.item)"""
_GIVEN = f"""format('DO %L;', 'BEGIN IF to_regrole(''sqlanon_owner'') IS NULL THEN CREATE ROLE sqlanon_owner NOLOGIN;'
  ' END IF; END') || E'\\n' || {_OWNERLESS}"""
_OWNER = f"""
SELECT n.item, format('its owner %I $told', r.rolname), {_GIVEN}
FROM release JOIN named AS n USING (oid) JOIN pg_roles AS r ON r.oid = n.owner WHERE $which ORDER BY 1
"""
_OF_RAW = "EXISTS (SELECT FROM source JOIN named AS s USING (oid) WHERE pg_has_role(n.owner, s.owner, 'MEMBER'))"
_BYPASS = """
SELECT format('role %I', r.rolname), format('%I owns a release, and no row-level security holds for it', r.rolname),
  format('ALTER ROLE %I NOBYPASSRLS;', r.rolname)
FROM pg_roles AS r JOIN publisher USING (oid) WHERE r.rolbypassrls AND NOT r.rolsuper ORDER BY 1
"""
_READER_OWNS = f"""
SELECT format('%s for %I', $what, r.rolname), format('%I was granted a release, and can become %I', r.rolname,
  pg_get_userbyid(o.owner)), {parted("o.owner")}
FROM (SELECT DISTINCT n.owner FROM $of JOIN named AS n USING (oid)) AS o
JOIN pg_roles AS r ON r.oid <> o.owner AND pg_has_role(r.oid, o.owner, 'MEMBER') JOIN reader AS k ON k.oid = r.oid
ORDER BY 1
"""
_RAW_OWNER = """
SELECT n.item, format('its owner %I was granted a release that is made from it', pg_get_userbyid(n.owner)), NULL
FROM source JOIN named AS n USING (oid) WHERE n.owner IN (SELECT oid FROM reader) ORDER BY 1
"""
_PUBLISHER_WRITES = """
SELECT format('%s for %I', n.item, pg_get_userbyid(a.grantee)), format('%I owns releases, and may %s their source',
  pg_get_userbyid(a.grantee), string_agg(DISTINCT lower(a.privilege), ', ')),
  format('REVOKE INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER ON TABLE %s FROM %I;', n.item,
    pg_get_userbyid(a.grantee))
FROM acl AS a JOIN source USING (oid) JOIN named AS n USING (oid) JOIN publisher AS p ON p.oid = a.grantee
WHERE a.grantee <> a.owner AND a.privilege IN $write GROUP BY n.oid, n.item, a.grantee ORDER BY 1
"""
_EXTENDED = """
SELECT format('statistics %I.%I', p.nspname, s.stxname), format('they hold combinations of cells of %s, for the planner'
  ' and for whoever may read them all', n.item), NULL
FROM pg_statistic_ext AS s JOIN pg_namespace AS p ON p.oid = s.stxnamespace JOIN source ON source.oid = s.stxrelid
JOIN named AS n ON n.oid = s.stxrelid ORDER BY 1
"""
_SECURITY = """
SELECT n.item, 'it has row-level security: what is released depends on which rows its publisher saw', NULL
FROM pg_class AS c JOIN named AS n USING (oid) WHERE c.relrowsecurity
AND (c.oid IN (SELECT oid FROM source) OR c.oid IN (SELECT oid FROM release)) ORDER BY 1
"""
_TRIGGERS = """
SELECT format('trigger %I on %s', t.tgname, n.item), 'it runs when this release is written',
  format('DROP TRIGGER IF EXISTS %I ON %s;', t.tgname, n.item)
FROM pg_trigger AS t JOIN release ON release.oid = t.tgrelid JOIN named AS n ON n.oid = t.tgrelid
WHERE NOT t.tgisinternal ORDER BY 1
"""
_RULES = """
SELECT format('rule %I on %s', r.rulename, n.item), 'it rewrites what is asked of this release',
  format('DROP RULE IF EXISTS %I ON %s;', r.rulename, n.item)
FROM pg_rewrite AS r JOIN release ON release.oid = r.ev_class JOIN named AS n ON n.oid = r.ev_class
WHERE r.rulename <> '_RETURN' ORDER BY 1
"""
_CHILDREN = f"""
SELECT format('%s of %s', c.item, n.item), 'its rows are read with the release, and nobody judged them',
  {
    guarded(
        "format('SELECT FROM pg_inherits WHERE inhrelid = to_regclass(%L) AND inhparent = to_regclass(%L)', c.item,"
        " n.item)",
        "format('ALTER TABLE %s NO INHERIT %s', c.item, n.item)",
    )
}
FROM pg_inherits AS i JOIN release ON release.oid = i.inhparent JOIN named AS n ON n.oid = i.inhparent
JOIN named AS c ON c.oid = i.inhrelid WHERE n.relkind <> 'p' ORDER BY 1
"""
_EVENT_TRIGGERS = """
SELECT format('event trigger %I', e.evtname), format('it runs %s as whoever publishes', e.evtfoid::regprocedure), NULL
FROM pg_event_trigger AS e WHERE e.evtenabled <> 'D' ORDER BY 1
"""
_IN_PUBLICATION = guarded(
    "format('SELECT FROM pg_publication_rel AS r JOIN pg_publication AS p ON p.oid = r.prpubid WHERE p.pubname = %L"
    " AND r.prrelid = to_regclass(%L)', p.pubname, n.item)",
    "format('ALTER PUBLICATION %I DROP TABLE ONLY %s', p.pubname, n.item)",
)
_PUBLICATION = f"""
SELECT format('publication %I', p.pubname), format('it sends the rows of %s to its subscribers',
    string_agg(DISTINCT n.item, ', ')),
  CASE WHEN p.puballtables THEN format('DROP PUBLICATION IF EXISTS %I;', p.pubname) ELSE
    string_agg(DISTINCT {_IN_PUBLICATION}, E'\\n') END
FROM pg_publication AS p LEFT JOIN pg_publication_rel AS r ON r.prpubid = p.oid
JOIN $of ON p.puballtables OR $of.oid = r.prrelid JOIN named AS n ON n.oid = $of.oid AND n.relkind IN ('r', 'p')
GROUP BY p.oid, p.pubname, p.puballtables ORDER BY 1
"""
_PUBLICATION_SCHEMA = f"""
SELECT format('publication %I of schema %I', p.pubname, s.nspname), 'it sends the rows of sources to its subscribers',
  {
    guarded(
        "format('SELECT FROM pg_publication_namespace AS n JOIN pg_publication AS p ON p.oid = n.pnpubid WHERE"
        " p.pubname = %L AND n.pnnspid = to_regnamespace(%L)', p.pubname, quote_ident(s.nspname))",
        "format('ALTER PUBLICATION %I DROP TABLES IN SCHEMA %I', p.pubname, s.nspname)",
    )
}
FROM pg_publication_namespace AS m JOIN pg_publication AS p ON p.oid = m.pnpubid
JOIN pg_namespace AS s ON s.oid = m.pnnspid
WHERE s.oid IN (SELECT n.schema FROM source JOIN named AS n USING (oid)) ORDER BY 1
"""
_SECRET_OPTION = "o.option_name ~* 'passw|secret|token|credential|api_?key'"
_FOREIGN_SERVER = f"""
SELECT format('server %I', s.srvname), format('its option %I stands where every role reads it', o.option_name),
  {
    guarded(
        "format('SELECT FROM pg_foreign_server AS s, pg_options_to_table(s.srvoptions) AS o WHERE s.srvname = %L AND"
        " o.option_name = %L', s.srvname, o.option_name)",
        "format('ALTER SERVER %I OPTIONS (DROP %I)', s.srvname, o.option_name)",
    )
}
FROM pg_foreign_server AS s CROSS JOIN LATERAL pg_options_to_table(s.srvoptions) AS o WHERE {_SECRET_OPTION}
UNION ALL
SELECT format('foreign table %s', n.item), format('its option %I stands where every role reads it', o.option_name),
  {
    guarded(
        "format('SELECT FROM pg_foreign_table AS t, pg_options_to_table(t.ftoptions) AS o WHERE t.ftrelid ="
        " to_regclass(%L) AND o.option_name = %L', n.item, o.option_name)",
        "format('ALTER FOREIGN TABLE %s OPTIONS (DROP %I)', n.item, o.option_name)",
    )
}
FROM pg_foreign_table AS t JOIN named AS n ON n.oid = t.ftrelid
CROSS JOIN LATERAL pg_options_to_table(t.ftoptions) AS o WHERE {_SECRET_OPTION} ORDER BY 1
"""
_FOREIGN_MAPPING = """
SELECT DISTINCT format('user mapping for %s at %I', w.who, u.srvname),
  format('%s can use the server %I, and read the password of this mapping', w.who, u.srvname),
  format('DROP USER MAPPING IF EXISTS FOR %s SERVER %I;', w.who, u.srvname)
FROM pg_user_mappings AS u JOIN reader AS r ON u.umuser IN (0, r.oid)
CROSS JOIN LATERAL (SELECT CASE u.umuser WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(u.umuser)::text) END)
  AS w (who)
WHERE has_server_privilege(r.oid, u.srvid, 'USAGE') ORDER BY 1
"""
_FOREIGN_SOURCE = """
SELECT n.item, 'it stands on another server, which this audit does not see', NULL
FROM source JOIN named AS n USING (oid) WHERE n.relkind = 'f' ORDER BY 1
"""
_SECRET = "(salt|secret|passw|token|credential|pepper|(^|[._])key)"
_SETTING = f"""
SELECT format('setting %s of %s', w.name, w.place), 'its value stands in the catalog, where every role reads it',
  format('ALTER %s RESET %s;', w.place, (SELECT string_agg(quote_ident(part), '.') FROM
    unnest(string_to_array(w.name, '.')) AS part))
FROM (SELECT split_part(setting, '=', 1) AS name, CASE WHEN s.setrole = 0 THEN format('DATABASE %I', d.datname)
      WHEN s.setdatabase = 0 THEN format('ROLE %I', pg_get_userbyid(s.setrole))
      ELSE format('ROLE %I IN DATABASE %I', pg_get_userbyid(s.setrole), d.datname) END AS place
  FROM pg_db_role_setting AS s LEFT JOIN pg_database AS d ON d.oid = s.setdatabase
  CROSS JOIN LATERAL unnest(s.setconfig) AS setting
  WHERE s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))) AS w
WHERE (w.name ~* '{_SECRET}' OR w.name LIKE 'sqlanon.%') AND NOT EXISTS (SELECT FROM pg_settings AS g WHERE
  lower(g.name) = lower(w.name) AND g.category <> 'Customized Options') ORDER BY 1
"""
# No view lists custom settings of the server's files, so these names are asked for one by one.
_FILE_SETTING = """
SELECT format('setting %s of the server', w.name), 'its value is shown to every role',
  format('ALTER SYSTEM RESET %s;', w.name) || E'\\nSELECT pg_catalog.pg_reload_conf();'
FROM (SELECT prefix || '.' || word AS name
  FROM unnest(ARRAY['sqlanon', 'anon', 'pgcrypto', 'my', 'app', 'myapp']) AS prefix,
  unnest(ARRAY['key', 'salt', 'secret', 'password', 'token']) AS word) AS w
WHERE current_setting(w.name, true) <> '' AND NOT EXISTS (
  SELECT FROM pg_db_role_setting AS s, unnest(s.setconfig) AS setting WHERE split_part(setting, '=', 1) = w.name)
ORDER BY 1
"""
_LITERAL = (
    r"(salt|secret|passw|pepper|token|api_?key|[^a-z]key)\w*\W{0,3}(\w+\W{0,3})?(:=|=>?|,|\(|\mis\M)\s*E?''[^'']{6,}''"
    r"|''[0-9a-f]{32,}''|(md5|sha\d+|hmac|digest|crypt|encrypt)\s*\(.{0,160}?(\|\||,)\s*E?''[^''\s]{8,}''"
)
# CASE: the definition of a view is written, and searched, only where the view is one of ours.
_VIEW_TEXT = f"""
SELECT n.item, 'its definition, which every role reads, holds what looks like a key', NULL
FROM named AS n WHERE n.relkind IN ('v', 'm') AND CASE
  WHEN n.oid IN (SELECT oid FROM release UNION SELECT u.oid FROM under AS u)
  THEN pg_get_viewdef(n.oid) ~* '{_LITERAL}' END ORDER BY 1
"""
_FUNCTION_TEXT = f"""
SELECT p.oid::regprocedure::text, 'its body, which every role reads, holds what looks like a key', NULL
FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace JOIN pg_language AS l ON l.oid = p.prolang
WHERE p.oid >= 16384 AND NOT $system AND l.lanname NOT IN ('c', 'internal') AND p.prosrc ~* '{_LITERAL}'
AND (n.nspname IN ('sqlanon', 'releases')) = $ours ORDER BY 1
"""
_SAME_DATABASE = """
SELECT format('database %I', current_database()), 'sources and readers share it: everybody who may connect sees about'
  ' how many rows they have and how often they change', NULL
WHERE EXISTS (SELECT FROM source) AND EXISTS (SELECT FROM reader)
"""

OBJECTS = (
    Rule("missing-barrier", "finding", "A released view without security_barrier.", "L1-L3, L5; leaks 1, 2", _BARRIER),
    Rule(
        "security-invoker", "finding", "A released view that reads with its reader's rights.", "leaks 8", _INVOKER, 15
    ),
    Rule("materialized-view", "note", "A materialized view is released.", "L14; leaks 26", _MATERIALIZED),
    Rule("explain-counts", "note", "A view is released, and its readers may explain it.", "L6; leaks 4", _EXPLAIN),
    Rule("two-views", "finding", "Two live views of one table for one reader.", "L12; leaks 19", _TWO_VIEWS),
    Rule(
        "owner-superuser",
        "finding",
        "A release belongs to a superuser.",
        "leaks 8; CVE-2024-2339",
        worded(_OWNER, told="is a superuser, who could read and write everything", which="r.rolsuper"),
    ),
    Rule(
        "owner-bypassrls",
        "finding",
        "A release belongs to a role that row-level security does not hold for.",
        "leaks 8",
        _BYPASS,
    ),
    Rule(
        "owner-of-source",
        "finding",
        "A released view belongs to the owner of its source.",
        "L11; leaks 8, 10",
        worded(
            _OWNER,
            told="owns its source too, and a view works with all rights of its owner",
            which=f"NOT r.rolsuper AND n.relkind = 'v' AND {_OF_RAW}",
        ),
    ),
    Rule(
        "table-owner-of-source",
        "note",
        "A release table belongs to the owner of its source.",
        "leaks 8",
        worded(_OWNER, told="owns its source too", which=f"NOT r.rolsuper AND n.relkind <> 'v' AND {_OF_RAW}"),
    ),
    Rule(
        "owner-login",
        "note",
        "The owner of a release may log in.",
        "leaks 8",
        worded(
            _OWNER,
            told="may log in; a role that may not, such as sqlanon_owner, is safer",
            which="r.rolcanlogin AND NOT r.rolsuper",
        ),
    ),
    Rule(
        "reader-owns",
        "finding",
        "A reader can become the owner of a release.",
        "leaks 8",
        worded(_READER_OWNS, what="'owner of releases'", of="release"),
    ),
    Rule(
        "reader-of-owner",
        "finding",
        "A reader can become the owner of a source.",
        "leaks 5, 8",
        worded(_READER_OWNS, what="'owner of sources'", of="source"),
    ),
    Rule("owner-reads", "note", "The owner of a source was granted a release.", "leaks 5", _RAW_OWNER),
    Rule(
        "publisher-writes",
        "note",
        "The owner of a release may write its source.",
        "L11; leaks 8",
        worded(_PUBLISHER_WRITES),
    ),
    Rule("extended-statistics", "note", "Extended statistics on a source.", "leaks 5, 6", _EXTENDED),
    Rule("row-security", "note", "Row-level security on a source or a release.", "leaks 21", _SECURITY),
    Rule("release-trigger", "finding", "A trigger on a release.", "leaks 10", _TRIGGERS),
    Rule("release-rule", "finding", "A rewrite rule on a release.", "leaks 10", _RULES),
    Rule("release-child", "finding", "A table inherits from a release.", "leaks 21", _CHILDREN),
    Rule(
        "event-trigger", "note", "An event trigger runs when something is published.", "CVE-2024-2339", _EVENT_TRIGGERS
    ),
    Rule(
        "publication",
        "finding",
        "A logical publication carries a source.",
        "leaks 22",
        worded(_PUBLICATION, of="source"),
    ),
    Rule(
        "publication-schema",
        "finding",
        "A logical publication carries the whole schema of a source.",
        "leaks 22",
        _PUBLICATION_SCHEMA,
        15,
    ),
    Rule(
        "release-publication",
        "note",
        "A logical publication carries a release.",
        "leaks 22",
        worded(_PUBLICATION, of="release"),
    ),
    Rule(
        "foreign-secret",
        "finding",
        "A password in the options of a foreign server or table.",
        "leaks 14, 22",
        _FOREIGN_SERVER,
    ),
    Rule(
        "foreign-mapping", "finding", "A reader can use another server through a mapping.", "leaks 22", _FOREIGN_MAPPING
    ),
    Rule("foreign-source", "note", "A source is a foreign table.", "leaks 22", _FOREIGN_SOURCE),
    Rule(
        "secret-setting",
        "finding",
        "A key or password in the settings of a database or role.",
        "L13; leaks 14; CVE-2026-105616",
        _SETTING,
    ),
    Rule(
        "secret-file-setting",
        "finding",
        "A key or password in the settings of the server.",
        "leaks 14; CVE-2026-105616",
        _FILE_SETTING,
    ),
    Rule("secret-view", "finding", "What looks like a key in the text of a view.", "leaks 14", _VIEW_TEXT),
    Rule(
        "secret-function",
        "finding",
        "What looks like a key in a function of sqlanon.",
        "leaks 14",
        worded(_FUNCTION_TEXT, ours="true"),
    ),
    Rule(
        "secret-other-function",
        "note",
        "What looks like a key in a function of yours.",
        "leaks 14",
        worded(_FUNCTION_TEXT, ours="false"),
    ),
    Rule("same-database", "note", "Sources stand in the database of their readers.", "L8; leaks 7", _SAME_DATABASE),
)
