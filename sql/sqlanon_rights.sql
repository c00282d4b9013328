-- What the group roles may do in this database, and the schema of releases. Run again, it changes nothing; a group role
-- that is not there gets nothing. Run it as the role that installed sqlanon.

DO $rights$
DECLARE
  publishers pg_catalog.text := 'sqlanon_publisher';
  readers pg_catalog.text := 'sqlanon_reader';
  owners pg_catalog.text := 'sqlanon_owner';
  routine pg_catalog.regprocedure;
BEGIN
  PERFORM pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true);
  -- No part of the extension, so that releases outlive it.
  IF NOT EXISTS (SELECT FROM pg_catalog.pg_namespace AS n WHERE n.nspname = 'releases') THEN
    CREATE SCHEMA releases;
  END IF;
  REVOKE ALL ON SCHEMA releases FROM PUBLIC;
  IF EXISTS (SELECT FROM pg_catalog.pg_roles AS r WHERE r.rolname = owners) THEN
    EXECUTE format('GRANT USAGE, CREATE ON SCHEMA releases TO %I', owners);
  END IF;
  IF EXISTS (SELECT FROM pg_catalog.pg_roles AS r WHERE r.rolname = publishers) THEN
    -- With the option, because a publisher lets readers into the schema of the releases that he grants to them.
    EXECUTE format('GRANT USAGE ON SCHEMA releases TO %I WITH GRANT OPTION', publishers);
    EXECUTE format('GRANT CREATE ON SCHEMA releases TO %I', publishers);
    EXECUTE format('GRANT USAGE ON SCHEMA sqlanon TO %I', publishers);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE (status, withdrawn_at) ON sqlanon.release TO %I', publishers);
    EXECUTE format('GRANT SELECT, INSERT ON sqlanon.audit_log TO %I', publishers);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON sqlanon.hierarchy TO %I', publishers);
    EXECUTE format('GRANT SELECT ON sqlanon.setting, sqlanon.finding TO %I', publishers);
    EXECUTE format(
      'GRANT SELECT ON sqlanon.releases, sqlanon.models, sqlanon.columns, sqlanon.findings TO %I', publishers
    );
    FOR routine IN
      -- Not what a superuser put there in plpython3u (udfs.sql, inside.sql): he decides who may call it.
      SELECT p.oid FROM pg_catalog.pg_proc AS p JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
        JOIN pg_catalog.pg_language AS l ON l.oid = p.prolang
      WHERE n.nspname = 'sqlanon' AND p.prorettype <> 'pg_catalog.trigger'::pg_catalog.regtype AND p.prokind = 'f'
        AND l.lanname IN ('sql', 'plpgsql') AND p.proowner = n.nspowner
    LOOP
      EXECUTE format('GRANT EXECUTE ON ROUTINE %s TO %I', routine, publishers);
    END LOOP;
  END IF;
  IF EXISTS (SELECT FROM pg_catalog.pg_roles AS r WHERE r.rolname = readers) THEN
    -- Not the findings: they tell where the walls are thin.
    EXECUTE format('GRANT USAGE ON SCHEMA sqlanon TO %I', readers);
    EXECUTE format('GRANT SELECT ON sqlanon.releases, sqlanon.models, sqlanon.columns TO %I', readers);
    -- What a view calls is called by who reads it; this one reads the catalog of the server alone.
    EXECUTE format('GRANT EXECUTE ON FUNCTION sqlanon.changed_since(text) TO %I', readers);
  END IF;
  -- Whoever owns a schema can drop what stands in it.
  IF EXISTS (
    SELECT FROM pg_catalog.pg_namespace AS n
    WHERE n.nspname = 'releases' AND NOT has_table_privilege(n.nspowner, 'sqlanon.release', 'INSERT')
  ) THEN
    RAISE EXCEPTION 'the schema releases belongs to somebody who does not publish' USING ERRCODE = '42501';
  END IF;
END
$rights$;
