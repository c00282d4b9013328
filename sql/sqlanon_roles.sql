-- The group roles of sqlanon. Roles belong to the whole server, so they are no part of the extension: run this once per
-- server, as a role with CREATEROLE; run again, it changes nothing. Then run sqlanon_rights.sql in each database.
--   sqlanon_owner      owns releases; nobody logs in as it
--   sqlanon_publisher  makes releases: GRANT sqlanon_publisher TO ...
--   sqlanon_reader     reads the catalog of releases; each release is granted by itself

DO $roles$
DECLARE
  wanted pg_catalog.text;
BEGIN
  PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
  FOREACH wanted IN ARRAY ARRAY['sqlanon_owner', 'sqlanon_publisher', 'sqlanon_reader'] LOOP
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles AS r WHERE r.rolname = wanted) THEN
      EXECUTE format('CREATE ROLE %I NOLOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS', wanted);
    END IF;
    IF EXISTS (
      SELECT FROM pg_catalog.pg_roles AS r
      WHERE r.rolname = wanted
        AND (r.rolsuper OR r.rolbypassrls OR r.rolcreaterole OR r.rolcanlogin AND wanted = 'sqlanon_owner')
    ) THEN
      RAISE EXCEPTION 'the role % is there already and may do more than it should', wanted USING ERRCODE = '42710';
    END IF;
  END LOOP;
  -- Whoever publishes gives releases to their owner, and replaces those of other publishers.
  IF NOT pg_catalog.pg_has_role('sqlanon_publisher', 'sqlanon_owner', 'MEMBER') THEN
    GRANT sqlanon_owner TO sqlanon_publisher;
  END IF;
END
$roles$;
