"""What a server has of ours: which of the functions in `sql/udfs.sql` somebody may call on a connection."""

from __future__ import annotations

from sqlanon.engines import Engine


def server_functions(engine: Engine) -> frozenset[str]:
    """The names of our plpython3u functions that stand in the server, and that whoever works here may call.

    The language is untrusted, so a function of it can only have been made by a superuser. That it stands there is no
    proof that the server's Python has numpy.
    """
    if engine.dialect != "postgres":
        return frozenset()
    sql = (
        "SELECT p.proname::text FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace"
        " JOIN pg_language AS l ON l.oid = p.prolang WHERE n.nspname = 'sqlanon' AND l.lanname = 'plpython3u'"
        " AND p.proname LIKE 'sqlanon\\_%' AND has_schema_privilege(n.oid, 'USAGE')"
        " AND has_function_privilege(p.oid, 'EXECUTE')"
    )
    return frozenset(str(name) for (name,) in engine.run("read the functions", sql))
