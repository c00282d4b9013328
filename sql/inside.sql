-- The whole job from psql, where the server's Python can import sqlanon: CALL sqlanon.release('spec as YAML or JSON').
-- Made by `python -m sqlanon.generating`; do not change it here. All of it runs with no rights but the caller's. The
-- language is untrusted: grant EXECUTE to publishers only, and never let a view call it.
CREATE SCHEMA IF NOT EXISTS sqlanon;

CREATE OR REPLACE FUNCTION sqlanon.released(spec text, path text, superuser boolean)
RETURNS jsonb
LANGUAGE plpython3u VOLATILE STRICT PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET row_security = 'off'
SET standard_conforming_strings = 'on'
SET DateStyle = 'ISO, YMD'
SET IntervalStyle = 'postgres'
SET TimeZone = 'UTC'
SET extra_float_digits = '1'
SET bytea_output = 'hex'
SET transform_null_equals = 'off'
SET jit = 'off'
SET enable_sort = 'off'
SET enable_nestloop = 'off'
SET parallel_tuple_cost = '0.001'
SET parallel_setup_cost = '100'
SET client_min_messages = 'warning'
SET work_mem = '131072kB'
SET hash_mem_multiplier = '2'
SET max_parallel_workers_per_gather = '4'
AS $sqlanon$
from sqlanon import serving
found = serving.release(plpy, spec, path, superuser=superuser)
if isinstance(found, serving.Failure):
    plpy.error(found.told, **found.more)
return found
$sqlanon$;
REVOKE EXECUTE ON FUNCTION sqlanon.released(text, text, boolean) FROM PUBLIC;
COMMENT ON FUNCTION sqlanon.released(text, text, boolean) IS
  'What sqlanon.release calls; path is the search path by which the relations of the spec are found.';

-- No SET clause here: with one, a procedure could not begin a transaction, in which the source stays as it is. Within
-- a transaction of the caller's, that must be REPEATABLE READ.
CREATE OR REPLACE PROCEDURE sqlanon.release(
  spec text, INOUT result jsonb DEFAULT NULL, superuser boolean DEFAULT false)
LANGUAGE plpgsql SECURITY INVOKER
AS $sqlanon$
DECLARE
  path pg_catalog.text := pg_catalog.current_setting('search_path');
BEGIN
  IF pg_catalog.current_setting('transaction_isolation') OPERATOR(pg_catalog.=) 'read committed'::pg_catalog.text THEN
    COMMIT;
    SET TRANSACTION ISOLATION LEVEL REPEATABLE READ;
  END IF;
  result := sqlanon.released(spec, path, superuser);
END
$sqlanon$;
REVOKE EXECUTE ON PROCEDURE sqlanon.release(text, jsonb, boolean) FROM PUBLIC;
COMMENT ON PROCEDURE sqlanon.release(text, jsonb, boolean) IS
  'Publishes what a spec says if every model holds on what was made, else nothing; result is that of release --json.';

CREATE OR REPLACE FUNCTION sqlanon.refreshed(name text, path text, superuser boolean)
RETURNS jsonb
LANGUAGE plpython3u VOLATILE STRICT PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET row_security = 'off'
SET standard_conforming_strings = 'on'
SET DateStyle = 'ISO, YMD'
SET IntervalStyle = 'postgres'
SET TimeZone = 'UTC'
SET extra_float_digits = '1'
SET bytea_output = 'hex'
SET transform_null_equals = 'off'
SET jit = 'off'
SET enable_sort = 'off'
SET enable_nestloop = 'off'
SET parallel_tuple_cost = '0.001'
SET parallel_setup_cost = '100'
SET client_min_messages = 'warning'
SET work_mem = '131072kB'
SET hash_mem_multiplier = '2'
SET max_parallel_workers_per_gather = '4'
AS $sqlanon$
from sqlanon import serving
found = serving.refresh(plpy, name, path, superuser=superuser)
if isinstance(found, serving.Failure):
    plpy.error(found.told, **found.more)
return found
$sqlanon$;
REVOKE EXECUTE ON FUNCTION sqlanon.refreshed(text, text, boolean) FROM PUBLIC;
COMMENT ON FUNCTION sqlanon.refreshed(text, text, boolean) IS
  'What sqlanon.refresh calls, within a transaction in which the source stays as it is.';

CREATE OR REPLACE FUNCTION sqlanon.plan(
  spec text, path text DEFAULT pg_catalog.current_setting('search_path'))
RETURNS jsonb
LANGUAGE plpython3u VOLATILE STRICT PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET row_security = 'off'
SET standard_conforming_strings = 'on'
SET DateStyle = 'ISO, YMD'
SET IntervalStyle = 'postgres'
SET TimeZone = 'UTC'
SET extra_float_digits = '1'
SET bytea_output = 'hex'
SET transform_null_equals = 'off'
SET jit = 'off'
SET enable_sort = 'off'
SET enable_nestloop = 'off'
SET parallel_tuple_cost = '0.001'
SET parallel_setup_cost = '100'
SET client_min_messages = 'warning'
SET work_mem = '131072kB'
SET hash_mem_multiplier = '2'
SET max_parallel_workers_per_gather = '4'
AS $sqlanon$
from sqlanon import serving
found = serving.plan(plpy, spec, path)
if isinstance(found, serving.Failure):
    plpy.error(found.told, **found.more)
return found
$sqlanon$;
REVOKE EXECUTE ON FUNCTION sqlanon.plan(text, text) FROM PUBLIC;
COMMENT ON FUNCTION sqlanon.plan(text, text) IS
  'What a spec would publish, as plan --json prints it. Changes nothing but working tables of the session.';

CREATE OR REPLACE FUNCTION sqlanon.execute(
  statements text, path text DEFAULT pg_catalog.current_setting('search_path'), superuser boolean DEFAULT false)
RETURNS jsonb
LANGUAGE plpython3u VOLATILE STRICT PARALLEL UNSAFE SECURITY INVOKER
SET search_path = pg_catalog, pg_temp
SET row_security = 'off'
SET standard_conforming_strings = 'on'
SET DateStyle = 'ISO, YMD'
SET IntervalStyle = 'postgres'
SET TimeZone = 'UTC'
SET extra_float_digits = '1'
SET bytea_output = 'hex'
SET transform_null_equals = 'off'
SET jit = 'off'
SET enable_sort = 'off'
SET enable_nestloop = 'off'
SET parallel_tuple_cost = '0.001'
SET parallel_setup_cost = '100'
SET client_min_messages = 'warning'
SET work_mem = '131072kB'
SET hash_mem_multiplier = '2'
SET max_parallel_workers_per_gather = '4'
AS $sqlanon$
from sqlanon import serving
found = serving.execute(plpy, statements, path, superuser=superuser)
if isinstance(found, serving.Failure):
    plpy.error(found.told, **found.more)
return found
$sqlanon$;
REVOKE EXECUTE ON FUNCTION sqlanon.execute(text, text, boolean) FROM PUBLIC;
COMMENT ON FUNCTION sqlanon.execute(text, text, boolean) IS
  'Runs statements of sqlanon (CREATE ANONYMIZED ...), all or none; those that publish need REPEATABLE READ.';

CREATE OR REPLACE PROCEDURE sqlanon.run(
  statements text, INOUT result jsonb DEFAULT NULL, superuser boolean DEFAULT false)
LANGUAGE plpgsql SECURITY INVOKER
AS $sqlanon$
DECLARE
  path pg_catalog.text := pg_catalog.current_setting('search_path');
BEGIN
  IF pg_catalog.current_setting('transaction_isolation') OPERATOR(pg_catalog.=) 'read committed'::pg_catalog.text THEN
    COMMIT;
    SET TRANSACTION ISOLATION LEVEL REPEATABLE READ;
  END IF;
  result := sqlanon.execute(statements, path, superuser);
END
$sqlanon$;
REVOKE EXECUTE ON PROCEDURE sqlanon.run(text, jsonb, boolean) FROM PUBLIC;
COMMENT ON PROCEDURE sqlanon.run(text, jsonb, boolean) IS
  'Runs statements of sqlanon (CREATE ANONYMIZED ...) in a transaction of their own: all of them or none.';
