"""The life of a release on Postgres, by roles: whose it is, who reads it, and what of its source it must cover."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from hospital import published as prepared
from hospital import publishing as prepare
from psycopg import errors
from server import as_role, execute, fetch
from test_postgres_release import LEAK, RARE, READ, REFUSED, SPEC, clinic, published
from test_release import NAME

import sqlanon
from sqlanon import life, refreshing
from sqlanon.engines import publishing
from sqlanon.errors import EngineError, ReleaseError, SpecError
from sqlanon.release import release
from sqlanon.spec import load

__all__ = ["clinic"]

FORMS = ["table", "view", "materialized view"]


def refreshed(url: str, role: str = "publisher", **more: Any) -> sqlanon.Refreshed:
    with sqlanon.connect(as_role(url, role)) as engine:
        return refreshing.refresh(engine, "patients", **more)


@pytest.fixture
def owned(clinic: str) -> Iterator[str]:
    """The clinic with a role that owns releases, of which the publisher is a member, and which reads the source."""
    execute(
        clinic, "CREATE ROLE sqlanon_owner NOLOGIN", "GRANT sqlanon_owner TO publisher",
        "GRANT SELECT ON raw.patients TO sqlanon_owner",
    )  # fmt: skip
    yield clinic
    execute(clinic, "DROP OWNED BY sqlanon_owner CASCADE", "DROP ROLE sqlanon_owner")


OWNED_BY = "SELECT pg_get_userbyid(relowner)::text FROM pg_class WHERE oid = 'releases.patients'::regclass"


# -- whose it is -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_releases_belong_to_the_role_that_is_there_for_it_and_nobody_writes_them(owned: str, form: str) -> None:
    first = published(owned, **{"as": form})
    assert (first.entry.owner, first.notes) == ("sqlanon_owner", ())
    assert refreshed(owned).to_dict()["owner"] == "sqlanon_owner"
    assert fetch(owned, OWNED_BY) == [("sqlanon_owner",)]
    rights = "SELECT count(*) FROM pg_class AS c, aclexplode(c.relacl) AS a WHERE c.oid = 'releases.patients'::regclass"
    assert fetch(owned, f"{rights} AND a.privilege_type IN ('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE')") == [(0,)]
    assert len(fetch(as_role(owned, "reader"), READ)) == 60
    for role in ("publisher", "reader", "holder", "stranger"):
        with pytest.raises(REFUSED):
            execute(as_role(owned, role), "DELETE FROM releases.patients")
    with sqlanon.connect(as_role(owned, "publisher")) as engine:
        assert life.verify(engine, "patients").holds
        life.withdraw(engine, "patients")
    assert fetch(owned, "SELECT to_regclass('releases.patients')") == [(None,)]


def test_without_such_a_role_the_publisher_has_it_and_is_told(clinic: str) -> None:
    made = published(clinic)
    assert made.entry.owner == "publisher"
    assert made.to_dict()["notes"][-1].startswith("the release belongs to publisher, who publishes it")
    assert fetch(clinic, OWNED_BY) == [("publisher",)]


@pytest.mark.parametrize(("attributes", "told"), [
    ("SUPERUSER", "is a superuser"), ("LOGIN", "may log in"), ("BYPASSRLS", "bypasses row security"),
    ("CREATEROLE", "may create roles"), ("CREATEDB", "may create databases"), ("REPLICATION", "may replicate"),
    ("IN ROLE pg_read_all_data", "member of pg_read_all_data"),
])  # fmt: skip
def test_an_owner_who_may_too_much_is_refused(clinic: str, attributes: str, told: str) -> None:
    execute(clinic, f"CREATE ROLE too_much {attributes}", "GRANT too_much TO publisher")
    try:
        with pytest.raises(SpecError, match=told) as caught:
            published(clinic, owner="too_much")
        assert caught.value.where == "publish.owner"
        assert fetch(clinic, "SELECT nspname FROM pg_namespace WHERE nspname IN ('releases', 'sqlanon')") == []
    finally:
        execute(clinic, "DROP ROLE too_much")


def test_an_owner_that_is_not_there_or_not_ones_own_is_refused_with_what_to_run(clinic: str) -> None:
    with pytest.raises(SpecError, match="no such role") as caught:
        published(clinic, owner='"; DROP TABLE raw.patients; --')
    assert caught.value.where == "publish.owner"
    execute(clinic, 'CREATE ROLE "odd ""owner"')
    try:
        with pytest.raises(SpecError, match='run: GRANT "odd ""owner" TO "publisher"'):
            published(clinic, owner='odd "owner')
        execute(clinic, 'GRANT "odd ""owner" TO publisher')
        assert published(clinic, owner='odd "owner').entry.owner == 'odd "owner'
    finally:
        execute(clinic, 'DROP OWNED BY "odd ""owner" CASCADE', 'DROP ROLE "odd ""owner"')


def test_the_owner_of_a_view_must_be_able_to_read_its_source(owned: str) -> None:
    execute(owned, "REVOKE SELECT ON raw.patients FROM sqlanon_owner")
    told = 'run: GRANT SELECT ON raw.patients TO "sqlanon_owner"'
    with pytest.raises(SpecError, match=told):
        published(owned, **{"as": "view"})
    published(owned)  # a table is filled by who publishes
    execute(owned, "GRANT SELECT ON raw.patients TO sqlanon_owner")
    published(owned, **{"as": "view"})
    execute(owned, "REVOKE ALL ON raw.patients FROM publisher")  # whose rights the view does not need
    assert len(fetch(as_role(owned, "reader"), READ)) == 60


def test_an_owner_without_a_place_in_a_schema_of_somebody_elses_is_told_what_to_run(owned: str) -> None:
    execute(owned, "CREATE SCHEMA releases AUTHORIZATION holder", "GRANT USAGE, CREATE ON SCHEMA releases TO publisher")
    with pytest.raises(SpecError, match='run: GRANT USAGE, CREATE ON SCHEMA "releases" TO "sqlanon_owner"'):
        published(owned)
    execute(
        owned, "GRANT USAGE, CREATE ON SCHEMA releases TO sqlanon_owner", "GRANT USAGE ON SCHEMA releases TO reader"
    )
    assert published(owned).entry.owner == "sqlanon_owner"
    with pytest.raises(SpecError, match='have its owner run: GRANT USAGE ON SCHEMA "releases" TO "stranger"'):
        published(owned, grant=["stranger"])


def test_two_publishers_of_one_owner_refresh_each_others_releases(owned: str) -> None:
    published(owned)
    execute(
        owned, "GRANT sqlanon_owner TO holder", "GRANT USAGE ON SCHEMA releases, sqlanon TO holder",
        "GRANT TEMP ON DATABASE fresh TO holder", "GRANT SELECT, INSERT, UPDATE ON sqlanon.release TO holder",
        "GRANT SELECT, INSERT ON sqlanon.audit_log TO holder",
        "GRANT USAGE ON SCHEMA releases TO sqlanon_owner WITH GRANT OPTION",
    )  # fmt: skip
    assert refreshed(owned, "holder").entry.released_by == "holder"
    assert fetch(owned, 'SELECT "by", action, version FROM sqlanon.audit_log ORDER BY version') == [
        ("publisher", "released", 1), ("holder", "refreshed", 2),
    ]  # fmt: skip


# -- what readers see, after a refresh too -----------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_after_a_refresh_readers_still_see_released_rows_only(owned: str, form: str) -> None:
    published(owned, **{"as": form})
    execute(owned, f"INSERT INTO raw.patients SELECT 100 + i, '{NAME}', 30, '47000', 'flu1', 'w1' FROM"
            " generate_series(1, 5) AS i")  # fmt: skip
    refreshed(owned)
    reader, stranger = as_role(owned, "reader"), as_role(owned, "stranger")
    assert len(fetch(reader, READ)) == 65
    saw: list[str] = []
    with psycopg.connect(reader, autocommit=True) as connection:
        connection.add_notice_handler(lambda notice: saw.append(notice.message_primary or ""))
        for volatility in ("VOLATILE", "IMMUTABLE"):
            connection.execute(LEAK.format("text", volatility).encode())
            for column in ("zip", "disease"):
                connection.execute(f"SELECT * FROM releases.patients WHERE pg_temp.leak(age, {column})".encode())
            connection.execute(b"DROP FUNCTION pg_temp.leak")
        for hidden in ("1 / (age - 81) IS NOT NULL", "1 / (length(ward) - 1) IS NOT NULL"):
            connection.execute(f"SELECT count(*) FROM releases.patients WHERE {hidden}".encode())
    assert any("flu" in word for word in saw)
    assert not any(word in told for told in saw for word in (RARE[:4], "rare", NAME))
    for forbidden in (
        "SELECT * FROM raw.patients", "SELECT spec, source, source_state FROM sqlanon.release",
        "SELECT * FROM sqlanon.audit_log", "INSERT INTO sqlanon.audit_log DEFAULT VALUES",
        "UPDATE releases.patients SET ward = 'x'", "TRUNCATE releases.patients", "DROP TABLE releases.patients",
        "REFRESH MATERIALIZED VIEW releases.patients",
    ):  # fmt: skip
        with pytest.raises(REFUSED):
            execute(reader, forbidden)
    assert fetch(reader, "SELECT count(*) FROM pg_stats WHERE schemaname = 'raw'") == [(0,)]
    for statement in (READ, "SELECT * FROM raw.patients", "SELECT * FROM sqlanon.release"):
        with pytest.raises(errors.InsufficientPrivilege):
            execute(stranger, statement)


def test_a_materialized_view_stands_in_an_order_of_its_content_and_is_told_when_it_is_changed(owned: str) -> None:
    published(owned, **{"as": "materialized view"})
    first = fetch(owned, READ)
    execute(owned, "CREATE TABLE raw.other AS SELECT * FROM raw.patients ORDER BY id DESC",
            "TRUNCATE raw.patients", "INSERT INTO raw.patients SELECT * FROM raw.other")  # fmt: skip
    refreshed(owned)
    assert fetch(owned, READ) == first
    kinds = "SELECT relkind::text, relname::text FROM pg_class WHERE relnamespace = 'releases'::regnamespace"
    assert fetch(owned, kinds) == [("m", "patients")]
    with sqlanon.connect(as_role(owned, "publisher")) as engine:
        found = life.verify(engine, "patients")
        assert (found.holds, found.unchanged, found.rows) == (True, True, 60)
        execute(owned, "DELETE FROM raw.patients WHERE id < 3", "REFRESH MATERIALIZED VIEW releases.patients")
        assert life.verify(engine, "patients").unchanged is False
        shown = release(load({**SPEC, "publish": {**SPEC["publish"], "as": "table"}}), engine)  # another form
    assert shown.entry.kind == "table"
    assert Counter(fetch(owned, READ)) <= Counter(first)


def test_the_plan_prints_a_materialized_view(clinic: str) -> None:
    spec = {**SPEC, "publish": {**SPEC["publish"], "as": "materialized view"}}
    with sqlanon.connect(as_role(clinic, "publisher")) as engine:
        text = sqlanon.plan(spec, engine).sql(engine)
    _, made = text.split('CREATE MATERIALIZED VIEW "releases"."patients" AS')
    assert "ORDER BY" in made and "key of the order" not in made


# -- whose records are covered -----------------------------------------------------------------------------------------

PARTED = (
    "CREATE TABLE raw.parted (id int, age int, zip text, disease text) PARTITION BY RANGE (age)",
    "CREATE TABLE raw.young PARTITION OF raw.parted FOR VALUES FROM (0) TO (50)",
    "CREATE TABLE raw.old PARTITION OF raw.parted FOR VALUES FROM (50) TO (200) PARTITION BY RANGE (age)",
    "CREATE TABLE raw.oldest PARTITION OF raw.old FOR VALUES FROM (80) TO (200)",
    "CREATE TABLE raw.elder PARTITION OF raw.old FOR VALUES FROM (50) TO (80)",
    "INSERT INTO raw.parted SELECT i, 30 + 10 * (i % 6), '47000', 'flu' || i % 3 FROM generate_series(1, 60) AS i",
    "GRANT SELECT ON raw.parted TO publisher",
)
COLUMNS = {"id": "identifier", "age": {"role": "quasi-identifier", "hierarchy": {"width": [10, 20]}},
           "zip": "quasi-identifier", "disease": "sensitive"}  # fmt: skip


def parted(url: str, source: Any = "raw.parted", **publish: Any) -> sqlanon.Release:
    spec = {
        "source": source, "columns": COLUMNS, "privacy": [{"model": "k-anonymity", "k": 3}],
        "publish": {"name": "parts", "grant": ["reader"], **publish}, "recoding": {"method": "full-domain"},
    }  # fmt: skip
    with sqlanon.connect(as_role(url, "publisher")) as engine:
        return release(load(spec), engine)


@pytest.mark.parametrize("form", FORMS)
def test_a_partitioned_table_is_released_whole(clinic: str, form: str) -> None:
    execute(clinic, *PARTED)
    assert parted(clinic, **{"as": form}).measured.rows == 60
    assert len(fetch(as_role(clinic, "reader"), "SELECT * FROM releases.parts")) == 60
    with sqlanon.connect(as_role(clinic, "publisher")) as engine:
        assert refreshing.standing(engine)[0].stale is False
        execute(clinic, "INSERT INTO raw.oldest VALUES (99, 90, '47000', 'flu1')")
        assert refreshing.standing(engine)[0].stale is True


@pytest.mark.parametrize("source", ["raw.oldest", "raw.old", {"query": "SELECT * FROM raw.young"}, "raw.through"])
def test_a_part_of_a_table_is_no_source(clinic: str, source: Any) -> None:
    execute(
        clinic, *PARTED, "CREATE VIEW raw.through AS SELECT * FROM raw.oldest",
        "GRANT SELECT ON raw.oldest, raw.old, raw.young, raw.through TO publisher",
    )  # fmt: skip
    with pytest.raises(
        SpecError, match=r"is a partition of raw\.(parted|old), and a release is of the whole"
    ) as caught:
        parted(clinic, source)
    assert caught.value.where == "source"


@pytest.mark.parametrize("grant", [
    "SELECT ON raw.oldest TO reader", "SELECT ON raw.oldest TO PUBLIC", "SELECT (age) ON raw.oldest TO reader",
    "ALL ON raw.old TO readers",
])  # fmt: skip
def test_a_part_that_readers_may_read_by_itself_is_refused(clinic: str, grant: str) -> None:
    execute(clinic, *PARTED, "CREATE ROLE readers", "GRANT readers TO reader", f"GRANT {grant}")
    try:
        with pytest.raises(SpecError, match=r"may read raw\.old(est)?, a part of raw\.(parted|old), as it is"):
            parted(clinic)
        assert parted(clinic, grant=["stranger"]).measured.rows == 60 if "PUBLIC" not in grant else True
    finally:
        execute(clinic, "DROP OWNED BY readers", "DROP ROLE readers")


def test_children_with_columns_of_their_own_and_foreign_parts_are_refused(clinic: str) -> None:
    plain = "CREATE TABLE raw.parted (id int, age int, zip text, disease text)"
    execute(clinic, plain, "GRANT SELECT ON raw.parted TO publisher",
            "INSERT INTO raw.parted SELECT i, 30, '47000', 'flu' FROM generate_series(1, 9) AS i",
            "CREATE TABLE raw.child () INHERITS (raw.parted)",
            "INSERT INTO raw.child SELECT * FROM ONLY raw.parted")  # fmt: skip
    assert parted(clinic).measured.rows == 18
    for only in ("SELECT * FROM ONLY raw.parted", "SELECT a.* FROM (SELECT 1) AS b, ONLY raw.parted AS a"):
        with pytest.raises(SpecError, match="reads ONLY a table without its parts"):
            parted(clinic, {"query": only})
    execute(clinic, "CREATE TABLE raw.wide (email text) INHERITS (raw.parted)")
    with pytest.raises(SpecError, match=r"raw\.wide inherits from raw\.parted and has columns that"):
        parted(clinic)
    execute(
        clinic, "DROP TABLE raw.wide", "CREATE FOREIGN DATA WRAPPER nothing",
        "CREATE SERVER far FOREIGN DATA WRAPPER nothing",
        "CREATE FOREIGN TABLE raw.away () INHERITS (raw.parted) SERVER far",
    )  # fmt: skip
    with pytest.raises(SpecError, match=r"raw\.away is a part of raw\.parted that is in another server"):
        parted(clinic)


# -- readers and publishers at once ------------------------------------------------------------------------------------


def test_a_publisher_gives_way_to_a_reader_who_takes_long_and_others_read_meanwhile(
    clinic: str, monkeypatch: Any
) -> None:
    published(clinic)
    monkeypatch.setattr(publishing, "PATIENCE", 0.5)
    with psycopg.connect(as_role(clinic, "reader")) as reader:
        before = reader.execute(READ.encode()).fetchall()
        with pytest.raises(EngineError, match="somebody else holds a lock; try again"):
            refreshed(clinic)
        assert reader.execute(READ.encode()).fetchall() == before
    assert refreshed(clinic).entry.version == 2


@pytest.mark.parametrize("isolation", [psycopg.IsolationLevel.READ_COMMITTED, psycopg.IsolationLevel.REPEATABLE_READ])
def test_a_reader_of_the_version_before_keeps_it_or_gets_the_new_one_whole(clinic: str, isolation: Any) -> None:
    published(clinic)
    with psycopg.connect(as_role(clinic, "reader")) as reader:
        reader.isolation_level = isolation
        reader.execute(b"SELECT 1")
        refreshed(clinic)
        found = len(reader.execute(READ.encode()).fetchall())
    # A transaction that is older than the version, and had not read the one before, sees none of its rows.
    assert found == (60 if isolation == psycopg.IsolationLevel.READ_COMMITTED else 0)


def test_the_state_of_a_source_sees_what_it_can(clinic: str) -> None:
    execute(clinic, "CREATE VIEW raw.seen AS SELECT * FROM raw.patients", "GRANT SELECT ON raw.seen TO publisher")
    seen = {}
    for source in ("raw.patients", "raw.seen"):
        with sqlanon.connect(as_role(clinic, "publisher")) as engine:
            seen[source] = release(load({**SPEC, "source": source, "publish": {"name": source}}), engine).entry
    assert json.loads(seen["raw.seen"].source_state)["roots"] == ["raw.seen"]

    def stale() -> list[bool | None]:
        with sqlanon.connect(as_role(clinic, "publisher")) as engine:
            return [one.stale for one in sorted(refreshing.standing(engine), key=lambda one: one.entry.name)]

    assert stale() == [False, False]
    execute(clinic, "CREATE OR REPLACE VIEW raw.seen AS SELECT * FROM raw.patients WHERE id > 1")
    assert stale() == [False, True]
    execute(clinic, "TRUNCATE raw.patients")
    assert stale() == [True, True]


def test_a_withdrawn_release_cannot_be_refreshed(clinic: str) -> None:
    published(clinic)
    with sqlanon.connect(as_role(clinic, "publisher")) as engine:
        life.withdraw(engine, "patients")
    with pytest.raises(ReleaseError, match="there is no release 'patients'"):
        refreshed(clinic)


@pytest.mark.parametrize("form", FORMS)
def test_on_a_server_that_a_dba_prepared_a_release_lives_without_more_rights(hospital: str, form: str) -> None:
    prepare(hospital, "install")
    made = prepared(hospital, **{"as": form})
    assert made.entry.owner == "sqlanon_owner"
    with sqlanon.connect(as_role(hospital, "publisher")) as engine:
        assert refreshing.refresh(engine, "patients").entry.version == 2
        assert life.verify(engine, "patients").holds
        life.withdraw(engine, "patients")
    told = 'SELECT "by", action, version FROM sqlanon.audit_log ORDER BY "at", version, action'
    assert fetch(hospital, told) == [
        ("publisher", "released", 1), ("publisher", "refreshed", 2), ("publisher", "withdrawn", 2),
    ]  # fmt: skip


def test_a_superuser_does_not_run_what_a_publisher_left_in_the_register(clinic: str) -> None:
    """Whoever publishes may write the register, and the register holds the queries that a release is measured with."""
    published(clinic, **{"as": "view"})
    publisher = as_role(clinic, "publisher")
    execute(
        publisher,
        "CREATE FUNCTION releases.mine() RETURNS text LANGUAGE plpgsql AS"
        " $$ BEGIN CREATE TABLE IF NOT EXISTS releases.planted AS SELECT current_user::text AS who;"
        " RETURN 'x'; END $$",
        "UPDATE sqlanon.release SET recheck = jsonb_set(recheck::jsonb, '{staged}', to_jsonb('SELECT"
        " releases.mine() AS zip, p.age, p.disease FROM releases.patients AS p'::text))::text",
    )
    for tried in (life.verify, lambda engine, _: sqlanon.ledger(engine)):
        with sqlanon.connect(clinic) as engine, pytest.raises(ReleaseError, match="would run what publishers left"):
            tried(engine, "patients")
    assert fetch(clinic, "SELECT to_regclass('releases.planted')") == [(None,)]
