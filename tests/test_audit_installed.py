"""The audit where sqlanon was installed: what install makes is clean, and what is found stands in the catalog."""

from __future__ import annotations

import pytest
from hospital import connected, hospital, installed, published, publishing
from server import as_role, execute, fetch

from sqlanon import auditing
from sqlanon.cli import main

__all__ = ["hospital"]


@pytest.mark.parametrize("way", ["nothing", "install", "extension"])
def test_each_way_to_prepare_a_server_is_clean(hospital: str, way: str) -> None:
    publishing(hospital, way)
    published(hospital)
    published(hospital, name="seen", **{"as": "view"})
    for role in ("postgres", "publisher", "stranger"):
        with connected(hospital, role) as engine:
            found = auditing.audit(engine)
        assert found.findings == ()
        assert found.sources == ("raw.patients",)
    notes = {one.rule for one in found.found}
    assert notes - {"owner-login"} == {"explain-counts", "same-database"}


def test_what_is_found_stands_in_the_catalog_for_publishers(hospital: str) -> None:
    publishing(hospital, "install")
    published(hospital)
    execute(hospital, "GRANT SELECT ON raw.patients TO stranger")
    for _ in range(2):
        assert main(["audit", hospital, "--store"]) == 1
    seen = fetch(
        as_role(hospital, "publisher"), "SELECT rule, object, fix FROM sqlanon.findings WHERE rule LIKE 'raw%'"
    )
    assert seen == [
        ("raw-grant", "raw.patients for stranger", "REVOKE ALL ON TABLE raw.patients FROM stranger CASCADE;")
    ]


def test_a_server_without_a_release_has_nothing_to_find(hospital: str) -> None:
    installed(hospital)
    with connected(hospital) as engine:
        found = auditing.audit(engine)
    assert (found.clean, found.releases) == (True, 0)


@pytest.mark.parametrize("way", ["nothing", "install"])
def test_somebody_who_does_not_publish_has_no_rights_on_the_register_or_beside_releases(
    hospital: str, way: str
) -> None:
    publishing(hospital, way)
    published(hospital)
    execute(hospital, "GRANT SELECT ON sqlanon.release TO stranger", "GRANT CREATE ON SCHEMA releases TO stranger")
    with connected(hospital) as engine:
        found = auditing.audit(engine)
        assert {(one.rule, one.object) for one in found.findings} == {
            ("private-grant", "sqlanon.release for stranger"), ("schema-create", "schema releases for stranger"),
        }  # fmt: skip
        execute(hospital, found.script)
        assert auditing.audit(engine).clean
