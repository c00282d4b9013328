"""The objects of the Postgres extension in a server whose files nobody may touch: the same scripts, in one transaction.

`CREATE EXTENSION sqlanon` and `install` run the same files of `sql/`, so the objects are the same. What belongs to the
whole server (roles) and what must outlive an extension (the schema of releases) are scripts of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import resources

from sqlanon import query
from sqlanon.engines import Engine
from sqlanon.errors import EngineError, ReleaseError, SpecError

# What is installed, from the register that a publisher makes without any installation to the newest.
VERSIONS = ("0.1.0", "0.2.0")
ROLES = ("sqlanon_owner", "sqlanon_publisher", "sqlanon_reader")
_SCHEMA = "sqlanon"


@dataclass(frozen=True)
class State:
    """What there is on a server: `version` is None where there is nothing; `owner` is whose the schema is.

    `installed`: by an installation, and not made by a publisher with the first release.
    """

    version: str | None
    owner: str | None
    user: str
    installed: bool = False

    @property
    def others(self) -> str | None:
        """Whose the schema is, where it is not the installer's."""
        return self.owner if self.owner != self.user else None


@dataclass(frozen=True)
class Installed:
    """What an installation did: from which version to which, and which group roles there are."""

    url: str
    before: str | None
    version: str
    roles: tuple[str, ...]

    def to_dict(self) -> dict[str, object]:
        return {
            "url": self.url, "version": self.version, "before": self.before,
            "changed": self.before != self.version, "roles": list(self.roles),
        }  # fmt: skip


def install(engine: Engine, *, roles: bool = True, plpython: bool = False) -> Installed:
    """Puts the schema `sqlanon`, the schema of releases and (`roles`) the group roles into a server.

    `plpython` adds what runs in the server's own Python, which only a superuser can; who may call it is for him to say.
    In one transaction: all of it or nothing. Where the newest version is there, only roles and rights are given again.
    Raises `SpecError` for an engine without roles or an installer who may not make them, `ReleaseError` where the
    extension is installed or the schema holds what is not sqlanon's, `EngineError`.
    """
    _server(engine)
    with _alone(engine):
        found = state(engine)
        text = script(engine, found, roles=roles, plpython=plpython)
        with engine.transaction():
            engine.run("install", text)
    names = [name for (name,) in engine.run("read the roles", "SELECT rolname::text FROM pg_roles ORDER BY 1")]
    return Installed(engine.url, found.version, VERSIONS[-1], tuple(name for name in names if name in ROLES))


def script(engine: Engine, found: State, *, roles: bool = True, plpython: bool = False) -> str:
    """What `install` runs on a server in this state. Raises `SpecError`."""
    parts = list(_objects(found))
    if roles:
        _may_make_roles(engine)
        parts.insert(0, _read("sqlanon_roles.sql"))
    if plpython:
        _may_use_python(engine)
        parts += ["RESET ROLE;\nCREATE EXTENSION IF NOT EXISTS plpython3u;\n", _read("udfs.sql"), _read("inside.sql")]
    return "\n".join(parts)


def _objects(found: State) -> Iterator[str]:
    """The scripts from what there is to the newest version."""
    if found.version is None:
        if found.owner is None:
            yield f"CREATE SCHEMA {_SCHEMA};\n"
        yield _read(f"sqlanon--{VERSIONS[0]}.sql")
    elif not found.installed:
        yield _TAKEN_OVER
    elif found.others:  # an earlier installer's, whose they stay
        yield f"SET LOCAL ROLE {_quoted(found.others)};\n"
    start = VERSIONS.index(found.version) if found.version else 0
    for before, after in zip(VERSIONS[start:], VERSIONS[start + 1 :], strict=False):
        yield _read(f"sqlanon--{before}--{after}.sql")
    if found.version and not found.installed and found.others:
        yield _still_publishing(_quoted(found.others))
    yield _read("sqlanon_rights.sql")


_TAKEN_OVER = f"""-- The register that a publisher made becomes the installer's.
ALTER SCHEMA {_SCHEMA} OWNER TO CURRENT_USER;
ALTER TABLE {_SCHEMA}.release OWNER TO CURRENT_USER;
ALTER TABLE IF EXISTS {_SCHEMA}.audit_log OWNER TO CURRENT_USER;
ALTER TABLE IF EXISTS {_SCHEMA}.finding OWNER TO CURRENT_USER;
"""


def _still_publishing(role: str) -> str:
    return f"""-- Who published until now may go on.
GRANT USAGE ON SCHEMA {_SCHEMA} TO {role};
GRANT SELECT, INSERT, UPDATE (status, withdrawn_at) ON {_SCHEMA}.release TO {role};
GRANT SELECT, INSERT ON {_SCHEMA}.audit_log TO {role};
"""


def _quoted(role: str) -> str:
    return query.render(query.identifier(role), "postgres")


def _read(name: str) -> str:
    """A script of `sql/` without what is said to psql alone."""
    text = (resources.files("sqlanon.sql") / name).read_text(encoding="utf-8")
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith("\\"))


def _server(engine: Engine) -> None:
    if not engine.can("grant"):
        raise SpecError(
            "only a server with roles has something to install", where="URL", found=engine.name,
            allowed=("postgresql://user@host/database",),
        )  # fmt: skip


@contextmanager
def _alone(engine: Engine) -> Iterator[None]:
    """Nobody else installs in this database meanwhile."""
    key = "hashtext('sqlanon install')"
    engine.run("wait for others who install", f"SELECT pg_advisory_lock({key})")
    try:
        yield
    finally:
        with suppress(EngineError):  # what went wrong before is what must be told; the lock ends with the connection
            engine.run("let others install", f"SELECT pg_advisory_unlock({key})")


def state(engine: Engine) -> State:
    """What is installed on a server. Raises `ReleaseError` where `install` has no business there, `EngineError`."""
    _server(engine)
    extension = engine.run("read the catalog", "SELECT extversion FROM pg_extension WHERE extname = 'sqlanon'")
    if extension:
        raise ReleaseError(
            f"the extension sqlanon {extension[0][0]} is installed there; ALTER EXTENSION sqlanon UPDATE brings"
            f" it up to"
            " date, nothing was touched", exit_status=2,
        )  # fmt: skip
    ((user,),) = engine.run("read the role", "SELECT current_user::text")
    owners = engine.run(
        "read the catalog", "SELECT pg_get_userbyid(nspowner)::text FROM pg_namespace WHERE nspname = 'sqlanon'"
    )
    owner = owners[0][0] if owners else None
    if engine.kind_of("setting", _SCHEMA):
        return State(_recorded(engine), owner, user, installed=True)
    if owner is None or not engine.run("read the catalog", _HOLDS):
        return State(None, owner, user)
    if foreign := engine.run("read the catalog", _FOREIGN):
        raise ReleaseError(
            f"the schema sqlanon holds what sqlanon did not make ({foreign[0][0]}); nothing was touched", exit_status=2
        )
    return State(VERSIONS[0] if engine.kind_of("release", _SCHEMA) else None, owner, user)


def _recorded(engine: Engine) -> str:
    recorded = engine.run("read the settings", "SELECT value FROM sqlanon.setting WHERE name = 'version'")
    version = str(recorded[0][0]) if recorded else "none"
    if version not in VERSIONS:
        raise ReleaseError(
            f"version {version} is installed there, which this sqlanon does not know; nothing was touched",
            exit_status=2,
        )
    return version


def _may_make_roles(engine: Engine) -> None:
    """Refuses where a group role is missing and the installer may not make it."""
    sql = "SELECT count(*) FROM pg_roles WHERE rolname IN ('sqlanon_owner', 'sqlanon_publisher', 'sqlanon_reader')"
    ((there,),) = engine.run("read the roles", sql)
    sql = "SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user"
    ((able,),) = engine.run("read the roles", sql)
    if there < len(ROLES) and not able:
        raise SpecError(
            "who installs may not create the group roles; install with --no-roles, and let somebody with CREATEROLE run"
            " sqlanon_roles.sql", where="URL",
        )  # fmt: skip


def _may_use_python(engine: Engine) -> None:
    """Refuses who is no superuser, and a server without the language, before anything runs."""
    sql = "SELECT rolsuper FROM pg_roles WHERE rolname = current_user"
    if not engine.run("read the roles", sql)[0][0]:
        raise SpecError("only a superuser can make functions in plpython3u; install without --plpython", where="URL")
    sql = "SELECT 1 FROM pg_available_extensions WHERE name = 'plpython3u'"
    if not engine.run("read the catalog", sql):
        told = "the server has no plpython3u (Debian: apt-get install postgresql-plpython3-15); leave --plpython out"
        raise SpecError(told, where="URL")


_IN_SCHEMA = "IN (SELECT oid FROM pg_namespace WHERE nspname = 'sqlanon')"
_HOLDS = (
    f"SELECT 1 FROM pg_class WHERE relnamespace {_IN_SCHEMA} UNION ALL"
    f" SELECT 1 FROM pg_proc WHERE pronamespace {_IN_SCHEMA} UNION ALL"
    f" SELECT 1 FROM pg_type WHERE typnamespace {_IN_SCHEMA} UNION ALL"
    f" SELECT 1 FROM pg_operator WHERE oprnamespace {_IN_SCHEMA}"
)
# A register that a publisher made is plain tables. Anything beside them, or code that would run when they are read or
# written to, could act with the rights of whoever publishes.
_TABLES = f"(SELECT oid FROM pg_class WHERE relnamespace {_IN_SCHEMA} AND relkind = 'r')"
_FOREIGN = (
    f"SELECT 'relation ' || relname FROM pg_class WHERE relnamespace {_IN_SCHEMA} AND relkind <> 'i'"
    " AND (relkind <> 'r' OR relname NOT IN ('release', 'audit_log', 'finding'))"
    f" UNION ALL SELECT 'function ' || proname FROM pg_proc WHERE pronamespace {_IN_SCHEMA}"
    " AND NOT (SELECT rolsuper FROM pg_roles WHERE oid = proowner)"  # such as udfs.sql; he need not take detours
    f" UNION ALL SELECT 'operator ' || oprname FROM pg_operator WHERE oprnamespace {_IN_SCHEMA}"
    f" UNION ALL SELECT 'type ' || typname FROM pg_type WHERE typnamespace {_IN_SCHEMA} AND typrelid = 0 AND"
    f" typelem = 0"
    f" UNION ALL SELECT 'trigger ' || tgname FROM pg_trigger WHERE tgrelid IN {_TABLES}"
    f" UNION ALL SELECT 'rule ' || rulename FROM pg_rewrite WHERE ev_class IN {_TABLES}"
    f" UNION ALL SELECT 'policy ' || polname FROM pg_policy WHERE polrelid IN {_TABLES}"
    f" UNION ALL SELECT 'constraint ' || conname FROM pg_constraint WHERE conrelid IN {_TABLES} AND contype NOT"
    f" IN ('p', 'n')"
    f" UNION ALL SELECT 'index' FROM pg_index WHERE indrelid IN {_TABLES} AND NOT indisprimary"
    f" UNION ALL SELECT 'default' FROM pg_attrdef AS d JOIN pg_depend AS n ON n.classid = 'pg_attrdef'::regclass"
    f" AND n.objid = d.oid WHERE d.adrelid IN {_TABLES} AND n.refclassid = 'pg_proc'::regclass"
    f" UNION ALL SELECT 'inheritance' FROM pg_inherits WHERE inhrelid IN {_TABLES} OR inhparent IN {_TABLES}"
    f" UNION ALL SELECT 'relation ' || relname FROM pg_class WHERE relnamespace {_IN_SCHEMA} AND relkind = 'r'"
    " AND to_regclass('sqlanon.release') IS NULL"
)
