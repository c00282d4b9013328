"""Who owns a release in Postgres, who may read it, and whether its source is read whole."""

from __future__ import annotations

import json
import re
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from sqlanon.engines import Origin, Owner
from sqlanon.engines.relations import Relations, state_of
from sqlanon.errors import ReleaseError, SpecError

OWNER = "sqlanon_owner"
_HIMSELF = (
    "the release belongs to {me}, who publishes it; give it a role of its own that may read the source and nothing"
    " else: publish: {{owner: ROLE}}, or a role " + OWNER
)
# What an owner of releases must not be: a view runs with his rights, and whoever logs in as him rewrites releases.
_TOO_MUCH = {
    "rolsuper": "is a superuser", "rolcanlogin": "may log in", "rolbypassrls": "bypasses row security",
    "rolcreaterole": "may create roles", "rolcreatedb": "may create databases", "rolreplication": "may replicate",
}  # fmt: skip

# Everything that is read through a relation: tables under views, children and partitions; `$` are its roots.
UNDER = """WITH RECURSIVE under (oid) AS (
  SELECT to_regclass(r)::oid FROM unnest(?::text[]) AS r
  UNION
  SELECT next.oid FROM under CROSS JOIN LATERAL (
    SELECT d.refobjid AS oid FROM pg_rewrite AS r
    JOIN pg_depend AS d ON d.objid = r.oid AND d.classid = 'pg_rewrite'::regclass
    WHERE r.ev_class = under.oid AND d.refclassid = 'pg_class'::regclass
    UNION ALL
    SELECT i.inhrelid FROM pg_inherits AS i WHERE i.inhparent = under.oid
  ) AS next
)
"""
# Counted changes, which files hold the rows, and what the views say.
STATE = (
    UNDER + "SELECT count(*) FILTER (WHERE c.oid IS NULL OR c.relkind = 'f'),"
    " coalesce(sum(s.n_tup_ins + s.n_tup_upd + s.n_tup_del), 0)::text,"
    " md5(string_agg(concat_ws(':', c.oid, c.relfilenode, CASE c.relkind WHEN 'v' THEN pg_get_viewdef(c.oid) END),"
    " ',' ORDER BY c.oid)) FROM under AS u LEFT JOIN pg_class AS c ON c.oid = u.oid"
    " LEFT JOIN pg_stat_all_tables AS s ON s.relid = c.oid"
)
_PARTS = (
    UNDER + "SELECT c.oid::regclass::text, c.relkind::text, c.relispartition, EXISTS (SELECT 1 FROM pg_inherits AS p"
    " JOIN under AS v ON v.oid = p.inhparent WHERE p.inhrelid = c.oid) AS through,"
    " (SELECT min(p.inhparent::regclass::text) FROM pg_inherits AS p WHERE p.inhrelid = c.oid),"
    " EXISTS (SELECT 1 FROM pg_attribute AS a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped"
    " AND a.attislocal AND a.attinhcount = 0),"
    " CASE WHEN c.relkind IN ('v', 'm') THEN pg_get_viewdef(c.oid) END,"
    " (SELECT min(CASE WHEN x.grantee = 0 THEN 'PUBLIC' ELSE g END) FROM (SELECT (aclexplode(c.relacl)).* UNION ALL"
    " SELECT (aclexplode(a.attacl)).* FROM pg_attribute AS a WHERE a.attrelid = c.oid) AS x LEFT JOIN"
    " unnest(?::text[]) AS g ON CASE WHEN x.grantee = 0 THEN false ELSE pg_has_role(g::name, x.grantee, 'USAGE') END"
    " WHERE x.privilege_type = 'SELECT' AND x.grantee <> c.relowner)"
    " FROM under AS u JOIN pg_class AS c ON c.oid = u.oid ORDER BY 1"
)


class Ownership(Relations):
    """The rights around a release; part of `Postgres`."""

    schema = "releases"
    forced: bool

    @abstractmethod
    def roots(self, origin: Origin) -> list[str]:
        """The relations that a source names, as the server writes their names."""

    def trusts_register(self) -> None:
        sql = "SELECT rolname::text, rolsuper FROM pg_roles WHERE rolname = current_user"
        ((me, over),) = self.run("read the role", sql)
        if over and not self.forced:
            raise ReleaseError(
                f"{me!r} is a superuser, and would run what publishers left in the register; do it as a role that may"
                " read the release and its source, or force it with --superuser", exit_status=2,
            )  # fmt: skip

    def publisher(self, roles: Sequence[str], owner: str | None = None) -> Owner:
        """Refuses a superuser, unless forced, roles to grant to that are not there, and an owner who may too much.

        Without an `owner`, it is `sqlanon_owner`, where that role is there and whoever publishes is a member of it.
        """
        known = dict(self.run("read the roles", "SELECT rolname::text, rolsuper FROM pg_roles"))
        ((me,),) = self.run("read the role", "SELECT current_user::text")
        if known[me] and not self.forced:
            raise ReleaseError(
                f"{me!r} is a superuser, whose releases and views could read everything; publish as a role that has"
                " SELECT on the source and CREATE on the database, or force it with --superuser", exit_status=2,
            )  # fmt: skip
        named = [(role, "publish.grant") for role in roles] + ([(owner, "publish.owner")] if owner else [])
        for role, where in named:
            if role not in known:
                names = [name for name in known if not name.startswith("pg_")]
                raise SpecError("there is no such role", where=where, found=role, allowed=sorted(names))
        asked = owner or (OWNER if OWNER in known else None)
        if asked is None or (owner is None and not self._belongs(me, OWNER)):
            return Owner(None, _HIMSELF.format(me=me))
        self._fit(me, asked)
        return Owner(asked)

    def _belongs(self, me: str, role: str) -> bool:
        """Whether somebody may act as a role, with its rights."""
        ((number,),) = self.run("read the settings", "SELECT current_setting('server_version_num')::int")
        ways = ("USAGE", "MEMBER", "SET") if number >= 160000 else ("USAGE", "MEMBER")
        asked = " AND ".join(f"pg_has_role(?::name, ?::name, '{way}')" for way in ways)
        return bool(self.run("read the roles", f"SELECT {asked}", [me, role] * len(ways))[0][0])

    def _fit(self, me: str, owner: str) -> None:
        """Refuses an owner of releases who may do more than own them. Raises `SpecError`."""
        where, listed = "publish.owner", ", ".join(_TOO_MUCH)
        (found,) = self.run("read the roles", f"SELECT {listed} FROM pg_roles WHERE rolname = ?", [owner])
        for told, has in zip(_TOO_MUCH.values(), found, strict=True):
            if has:
                raise SpecError(f"the owner of releases must not be a role that {told}", where=where, found=owner)
        sql = (
            "SELECT rolname::text FROM pg_roles WHERE rolname <> ? AND (rolsuper OR rolname LIKE 'pg\\_%')"
            " AND pg_has_role(?::name, oid, 'MEMBER') ORDER BY 1"
        )
        if more := self.run("read the roles", sql, [owner, owner]):
            raise SpecError(f"the owner of releases must not be a member of {more[0][0]}", where=where, found=owner)
        if not self._belongs(me, owner):
            told = f"{me} may not act as the owner of releases; run: GRANT {self.own(owner)} TO {self.own(me)}"
            raise SpecError(told, where=where, found=owner)

    def hand_over(self, path: Sequence[str], kind: str, owner: Owner) -> None:
        """Gives a table or view to its owner, who needs CREATE on the schema of releases for that."""
        if owner.role is None:
            return
        role, schema = self.own(owner.role), self.own(self.schema)
        sql = (
            "SELECT has_schema_privilege(?::name, oid, 'CREATE'), pg_has_role(nspowner, 'USAGE') FROM pg_namespace"
            " WHERE nspname = ?"
        )
        ((may, ours),) = self.run("read the grants", sql, [owner.role, self.schema])
        if not may:
            grant = f"GRANT USAGE, CREATE ON SCHEMA {schema} TO {role}"
            if not ours:
                told = f"the owner may not have anything in the schema of releases; run: {grant}"
                raise SpecError(told, where="publish.owner", found=owner.role)
            self.run("grant", grant)
        self.run("hand the release over", f"ALTER {kind.upper()} {self._at(path)} OWNER TO {role}")

    def protect(self, path: Sequence[str], kind: str, roles: Sequence[str]) -> None:
        """Takes away what default privileges gave, and the owner's own right to write; lets `roles` read."""
        item, step = self._at(path), "grant"
        self._closed(item)
        owned = "SELECT pg_get_userbyid(relowner)::text FROM pg_class WHERE oid = ?::regclass"
        ((owner,),) = self.run("read the grants", owned, [item])
        self.run(step, f"REVOKE INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER ON {item} FROM {self.own(owner)}")
        for role in roles:
            self._let_in(role)
            self.run(step, f"GRANT SELECT ON {item} TO {self.own(role)}")

    def _closed(self, item: str, *, schema: bool = False) -> None:
        """Takes a table, view or schema from everybody but its owner."""
        catalog = "pg_namespace AS c, aclexplode(c.nspacl)" if schema else "pg_class AS c, aclexplode(c.relacl)"
        kind, owner = ("SCHEMA", "nspowner") if schema else ("TABLE", "relowner")
        sql = (
            "SELECT DISTINCT CASE a.grantee WHEN 0 THEN NULL ELSE pg_get_userbyid(a.grantee)::text END"
            f" FROM {catalog} AS a WHERE c.oid = ?::reg{'namespace' if schema else 'class'} AND a.grantee <> c.{owner}"
        )
        for (role,) in self.run("read the grants", sql, [item]):
            self.run("grant", f"REVOKE ALL ON {kind} {item} FROM {'PUBLIC' if role is None else self.own(role)}")

    @contextmanager
    def closing(self, schema: str, *tables: str) -> Iterator[None]:
        """Whatever default privileges say, a schema that is made here, and the tables in it, are its maker's alone."""
        asked = "SELECT 1 FROM pg_namespace WHERE nspname = ?"
        there = self.run("read the catalog", asked, [schema])
        yield
        if not there:
            self._closed(self.own(schema), schema=True)
        for table in tables:
            self._closed(self._at([schema, table]))

    def _let_in(self, role: str) -> None:
        """Lets a role look into the schema of releases; who may not let others in only gets a warning from Postgres."""
        asked = "SELECT has_schema_privilege(?::name, ?, 'USAGE')"
        grant = f"GRANT USAGE ON SCHEMA {self.own(self.schema)} TO {self.own(role)}"
        if not self.run("read the grants", asked, [role, self.schema])[0][0]:
            self.run("grant", grant)
            if not self.run("read the grants", asked, [role, self.schema])[0][0]:
                told = f"the role may not look into the schema of releases; have its owner run: {grant}"
                raise SpecError(told, where="publish.grant", found=role)

    def readers(self, name: str) -> tuple[str, ...]:
        """The roles, beside its owner, that may read a release; never PUBLIC."""
        sql = (
            "SELECT DISTINCT pg_get_userbyid(a.grantee)::text FROM pg_class AS c, aclexplode(c.relacl) AS a"
            " WHERE c.oid = to_regclass(?) AND a.grantee NOT IN (0, c.relowner) AND a.privilege_type = 'SELECT'"
            " ORDER BY 1"
        )
        found = self.run("read the grants", sql, [self._at([self.schema, name])])
        return tuple(str(role) for (role,) in found)

    def serves(self, owner: Owner, origins: Sequence[Origin]) -> None:
        """Refuses an owner of a view who may not read what it reads: a view reads with its owner's rights."""
        if file := next((origin.file for origin in origins if origin.file), None):
            told = "a view cannot read a file of yours; publish a table"
            raise SpecError(told, where="publish.as", found=str(file), allowed=("table",))
        if owner.role is None:
            return
        sql = "SELECT r FROM unnest(?::text[]) AS r WHERE NOT has_table_privilege(?::name, to_regclass(r), 'SELECT')"
        roots = [root for origin in origins for root in self.roots(origin)]
        for (root,) in self.run("read the grants", sql, [roots, owner.role]):
            told = "a view reads with the rights of its owner, who may not read the source; run: GRANT SELECT ON"
            raise SpecError(f"{told} {root} TO {self.own(owner.role)}", where="publish.owner", found=owner.role)

    def covers(self, origin: Origin, roles: Sequence[str]) -> None:
        """Refuses a source that is not the whole of a table, or whose parts say, or show, more than it does.

        Parts that some of `roles` or PUBLIC read by themselves show the records that a release is to hide.
        """
        if origin.query is not None and _only(self.origin(origin)):
            raise SpecError("the query reads ONLY a table without its parts", where="source.query")
        for name, kind, part, through, parent, more, told, reads in self.run(
            "read the parts of the source", _PARTS, [self.roots(origin), list(roles)]
        ):
            problem = None
            if part and not through:
                problem = f"{name} is a partition of {parent}, and a release is of the whole; name {parent}"
            elif through and kind == "f":
                problem = f"{name} is a part of {parent} that is in another server; copy it first"
            elif through and more:
                problem = f"{name} inherits from {parent} and has columns that {parent} does not have"
            elif through and reads:
                problem = (
                    f"{reads} may read {name}, a part of {parent}, as it is; run: REVOKE SELECT ON {name} FROM {reads}"
                )
            elif told and _only(told):
                problem = f"{name} reads ONLY a table without its parts"
            if problem:
                raise SpecError(problem, where="source", found=str(origin))

    def named(self, origin: Origin) -> str:
        """What the register calls a source: its schema and name, its query, or the file that was copied."""
        if origin.file is not None:
            return str(origin.file.absolute())
        return origin.query or self.roots(origin)[0]

    def state(self, origin: Origin) -> str | None:
        """A mark that changes when the source does: how many rows were written, which files hold them, what views say.

        It misses what is not counted: changes of the last moments, or all where `track_counts` is off. VACUUM FULL and
        CLUSTER, a crash of the server and a reset of its counters change it too. None for a table in another server,
        and for a query that reads none. Of a file it is the size and the time of its last change.
        """
        if origin.file is not None:
            mark = state_of(origin.file)  # which the server itself cannot compare: it finds no root
            return json.dumps({"roots": [None], "file": mark}) if mark else None
        roots = self.roots(origin)
        ((unknown, changes, files),) = self.run("read the state of the source", STATE, [roots])
        return None if unknown or not roots else json.dumps({"roots": roots, "changes": changes, "files": files})


def _only(definition: str) -> bool:
    """Whether the text of a view reads ONLY a table, whatever its names and constants say."""
    plain = re.sub(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"", "_", definition)
    return re.search(r"(?:\bFROM|\bJOIN|,)\s*\(*\s*ONLY\b", plain) is not None
