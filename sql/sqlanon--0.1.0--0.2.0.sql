\echo Use "ALTER EXTENSION sqlanon UPDATE TO '0.2.0'" to load this file. \quit

-- All of sqlanon 0.2.0 beside the register of 0.1.0. Nothing here needs a superuser, and every function runs with the
-- rights of who calls it. Names are resolved in pg_catalog alone, so that nothing of somebody else's is called instead.
SET LOCAL search_path = pg_catalog, pg_temp;

DO $$
BEGIN
  IF NOT EXISTS (
    SELECT FROM pg_namespace AS n WHERE n.nspname = 'sqlanon' AND pg_get_userbyid(n.nspowner) = current_user
  ) THEN
    RAISE EXCEPTION 'the schema sqlanon belongs to somebody else, who could change what is made in it'
      USING ERRCODE = '42501', HINT = 'Install as its owner, or give it to whoever installs.';
  END IF;
END
$$;

-- == tables ===========================================================================================================

-- IF NOT EXISTS: a register that a publisher made without the extension may have them already. The defaults let an
-- older client go on writing.
ALTER TABLE sqlanon.release
  ADD COLUMN IF NOT EXISTS owner        VARCHAR NOT NULL DEFAULT '',     -- the role that has it
  -- For publishers alone.
  ADD COLUMN IF NOT EXISTS source       VARCHAR NOT NULL DEFAULT '',     -- what it was made from
  ADD COLUMN IF NOT EXISTS grants       VARCHAR NOT NULL DEFAULT '[]',   -- JSON: the roles that may read it
  ADD COLUMN IF NOT EXISTS source_state VARCHAR NOT NULL DEFAULT '',     -- a mark that changes when the source does
  ADD COLUMN IF NOT EXISTS spec         VARCHAR NOT NULL DEFAULT '';     -- JSON: all that a refresh needs
ALTER TABLE sqlanon.release
  ALTER COLUMN owner SET DEFAULT '', ALTER COLUMN source SET DEFAULT '', ALTER COLUMN grants SET DEFAULT '[]',
  ALTER COLUMN source_state SET DEFAULT '', ALTER COLUMN spec SET DEFAULT '';

CREATE TABLE IF NOT EXISTS sqlanon.audit_log (
  "at"    TIMESTAMP NOT NULL,   -- UTC
  "by"    VARCHAR NOT NULL,     -- the role that connected
  action  VARCHAR NOT NULL,     -- released, refreshed or withdrawn
  name    VARCHAR NOT NULL,
  version INTEGER NOT NULL,
  detail  VARCHAR NOT NULL
);

CREATE TABLE sqlanon.hierarchy (
  name   VARCHAR NOT NULL CHECK (name <> ''),
  value  VARCHAR NOT NULL,
  levels VARCHAR[] NOT NULL,   -- its ancestors, from level 1 to the root
  PRIMARY KEY (name, value),
  CHECK (
    cardinality(levels) > 0 AND array_ndims(levels) = 1 AND array_lower(levels, 1) = 1
    AND array_position(levels, NULL) IS NULL
  )
);
COMMENT ON TABLE sqlanon.hierarchy IS
  'hierarchies of values, a row per value, as in a csv hierarchy: value;level1;level2;…';

CREATE TABLE IF NOT EXISTS sqlanon.finding (
  at     TIMESTAMP NOT NULL,   -- UTC
  rule   VARCHAR NOT NULL,
  object VARCHAR NOT NULL,
  told   VARCHAR NOT NULL,
  fix    VARCHAR
);

CREATE TABLE sqlanon.setting (
  name  VARCHAR PRIMARY KEY CHECK (name <> '' AND name !~* '(key|password|secret|token|salt)'),
  value VARCHAR NOT NULL
);
COMMENT ON TABLE sqlanon.setting IS 'settings of sqlanon in this database; never a key or a password';
INSERT INTO sqlanon.setting (name, value) VALUES ('version', '0.2.0');

-- == the audit log is only ever written to ============================================================================

CREATE FUNCTION sqlanon.append_only() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY INVOKER PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  RAISE EXCEPTION 'the audit log is only ever written to' USING ERRCODE = '42501';
END
$$;
COMMENT ON FUNCTION sqlanon.append_only() IS 'internal: refuses to change or empty the audit log, by its owner too';

CREATE FUNCTION sqlanon.written_by() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY INVOKER PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF NOT pg_has_role(current_user, (SELECT c.relowner FROM pg_class AS c WHERE c.oid = TG_RELID), 'USAGE') THEN
    NEW.at := date_trunc('second', now() AT TIME ZONE 'UTC');
    NEW.by := session_user;
  END IF;
  RETURN NEW;
END
$$;
COMMENT ON FUNCTION sqlanon.written_by() IS
  'internal: whoever writes a line of the audit log writes it in his own name; its owner restores what was dumped';

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON sqlanon.audit_log
  FOR EACH STATEMENT EXECUTE FUNCTION sqlanon.append_only();
CREATE TRIGGER written_by BEFORE INSERT ON sqlanon.audit_log
  FOR EACH ROW EXECUTE FUNCTION sqlanon.written_by();

-- == generalization ===================================================================================================
-- Every range contains its value; the ranges of a width (a step) do not overlap; those of a multiple contain them.
-- Where an end would lie beyond its type, the range has no end there.

CREATE FUNCTION sqlanon.generalize_int8range(value bigint, width bigint) RETURNS int8range
LANGUAGE plpgsql IMMUTABLE STRICT SECURITY INVOKER PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  wide CONSTANT numeric := width;
  below numeric;
  above numeric;
BEGIN
  IF width <= 0 THEN
    RAISE EXCEPTION 'the width of a range is a number above 0' USING ERRCODE = '22023';
  END IF;
  below := value - mod(mod(value::numeric, wide) + wide, wide);
  above := below + wide;
  RETURN int8range(
    CASE WHEN below >= -9223372036854775808 THEN below::bigint END,
    CASE WHEN above <= 9223372036854775807 THEN above::bigint END
  );
END
$$;

CREATE FUNCTION sqlanon.generalize_int4range(value integer, width integer) RETURNS int4range
LANGUAGE plpgsql IMMUTABLE STRICT SECURITY INVOKER PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  wide CONSTANT bigint := width;
  below bigint;
BEGIN
  IF width <= 0 THEN
    RAISE EXCEPTION 'the width of a range is a number above 0' USING ERRCODE = '22023';
  END IF;
  below := value - mod(mod(value, wide) + wide, wide);
  RETURN int4range(
    CASE WHEN below >= -2147483648 THEN below::integer END,
    CASE WHEN below + wide <= 2147483647 THEN (below + wide)::integer END
  );
END
$$;

CREATE FUNCTION sqlanon.generalize_numrange(value numeric, width numeric) RETURNS numrange
LANGUAGE plpgsql IMMUTABLE STRICT SECURITY INVOKER PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  below numeric;
BEGIN
  IF width <= 0 OR width >= 'Infinity' THEN
    RAISE EXCEPTION 'the width of a range is a number above 0' USING ERRCODE = '22023';
  END IF;
  IF value IN ('NaN', 'Infinity', '-Infinity') THEN
    RETURN numrange(value, value, '[]');
  END IF;
  below := value - mod(mod(value, width) + width, width);
  -- Without trailing zeros, so that equal ranges have one text.
  RETURN numrange(trim_scale(below), trim_scale(below + width));
END
$$;

CREATE FUNCTION sqlanon.first_of(year integer, month integer) RETURNS date
LANGUAGE sql IMMUTABLE STRICT SECURITY INVOKER PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT CASE
    WHEN year < -4713 OR year = -4713 AND month < 12 OR year > 5874897 THEN NULL   -- 4714-11-24 BC is the first date
    ELSE make_date(CASE WHEN year > 0 THEN year ELSE year - 1 END, month, 1)
  END
$$;
COMMENT ON FUNCTION sqlanon.first_of(integer, integer) IS
  'internal: the first day of a month, its year counted through 0 (the year 0 is 1 BC); NULL beyond the type';

CREATE FUNCTION sqlanon.generalize_daterange(value date, step text) RETURNS daterange
LANGUAGE plpgsql IMMUTABLE STRICT SECURITY INVOKER PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  months CONSTANT integer := CASE step
    WHEN 'month' THEN 1 WHEN 'quarter' THEN 3 WHEN 'year' THEN 12 WHEN 'decade' THEN 120 WHEN 'century' THEN 1200 END;
  days CONSTANT integer := CASE step WHEN 'day' THEN 1 WHEN 'week' THEN 7 END;
  year integer;
  place integer;
BEGIN
  IF months IS NULL AND days IS NULL THEN
    RAISE EXCEPTION 'a step is day, week, month, quarter, year, decade or century' USING ERRCODE = '22023';
  END IF;
  IF NOT isfinite(value) THEN
    RETURN daterange(value, value, '[]');
  END IF;
  IF days IS NOT NULL THEN
    place := value - date '2006-01-02';
    place := place - mod(mod(place, days) + days, days);
    RETURN daterange(
      CASE WHEN place >= date '4714-11-24 BC' - date '2006-01-02' THEN date '2006-01-02' + place END,
      CASE WHEN place <= date '5874897-12-31' - date '2006-01-02' - days THEN date '2006-01-02' + (place + days) END
    );
  END IF;
  year := extract(year FROM value);
  place := 12 * CASE WHEN year > 0 THEN year ELSE year + 1 END + extract(month FROM value)::integer - 1;
  place := place - mod(mod(place, months) + months, months);
  RETURN daterange(
    sqlanon.first_of(div(place - mod(mod(place, 12) + 12, 12), 12)::integer, mod(mod(place, 12) + 12, 12) + 1),
    sqlanon.first_of(
      div(place + months - mod(mod(place + months, 12) + 12, 12), 12)::integer,
      mod(mod(place + months, 12) + 12, 12) + 1
    )
  );
END
$$;

CREATE FUNCTION sqlanon.generalize_tsrange(value timestamp, step text) RETURNS tsrange
LANGUAGE plpgsql IMMUTABLE STRICT SECURITY INVOKER PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  days daterange;
  below timestamp;
  above timestamp;
BEGIN
  IF step NOT IN ('second', 'minute', 'hour', 'day', 'week', 'month', 'quarter', 'year', 'decade', 'century') THEN
    RAISE EXCEPTION 'a step is second, minute, hour, day, week, month, quarter, year, decade or century'
      USING ERRCODE = '22023';
  END IF;
  IF NOT isfinite(value) THEN
    RETURN tsrange(value, value, '[]');
  END IF;
  IF step IN ('second', 'minute', 'hour') THEN
    below := date_trunc(step, value);
    RETURN tsrange(
      below,
      CASE WHEN below < date_trunc(step, timestamp '294276-12-31 23:59:59') THEN below + ('1 ' || step)::interval END
    );
  END IF;
  days := sqlanon.generalize_daterange(value::date, step);
  IF lower(days) >= date '4714-11-24 BC' THEN
    below := lower(days)::timestamp;
  END IF;
  IF upper(days) <= date '294276-12-31' THEN
    above := upper(days)::timestamp;
  END IF;
  RETURN tsrange(below, above);
END
$$;

CREATE FUNCTION sqlanon.mask(value text, characters integer, symbol text DEFAULT '*') RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT SECURITY INVOKER PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  IF characters < 0 OR length(symbol) <> 1 THEN
    RAISE EXCEPTION 'a mask hides a number of characters, at least 0, behind one symbol' USING ERRCODE = '22023';
  END IF;
  RETURN left(value, greatest(length(value) - characters, 0)) || repeat(symbol, least(length(value), characters));
END
$$;

COMMENT ON FUNCTION sqlanon.generalize_int4range(integer, integer) IS 'the range of this width that contains the value';
COMMENT ON FUNCTION sqlanon.generalize_int8range(bigint, bigint) IS 'the range of this width that contains the value';
COMMENT ON FUNCTION sqlanon.generalize_numrange(numeric, numeric) IS
  'the range of this width that contains the value; NaN and infinities stand alone';
COMMENT ON FUNCTION sqlanon.generalize_daterange(date, text) IS
  'the day, week, month, quarter, year, decade or century that contains the value; infinities stand alone';
COMMENT ON FUNCTION sqlanon.generalize_tsrange(timestamp, text) IS
  'the second, minute, hour, day, week, month, quarter, year, decade or century of the value; infinities stand alone';
COMMENT ON FUNCTION sqlanon.mask(text, integer, text) IS
  'the value with its last characters hidden, as the hierarchy mask does';

-- == measures =========================================================================================================
-- The same numbers as `sqlanon check`. A missing value is a value, equal to itself. Relations are read with the rights
-- of the caller and in the settings in which sqlanon itself reads; a policy that would hide rows is an error.

CREATE FUNCTION sqlanon.columns_of(
  relation regclass, names name[], raw name[], OUT own name, OUT read text, OUT family text
) RETURNS SETOF record
LANGUAGE plpgsql STABLE STRICT SECURITY INVOKER PARALLEL RESTRICTED SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  wanted name;
  base record;
BEGIN
  IF cardinality(names) = 0 THEN
    RAISE EXCEPTION 'at least one column is needed' USING ERRCODE = '22023';
  END IF;
  IF NOT EXISTS (SELECT FROM pg_class AS c WHERE c.oid = relation AND c.relkind IN ('r', 'p', 'v', 'm', 'f')) THEN
    RAISE EXCEPTION 'there is no such table or view' USING ERRCODE = '42P01';
  END IF;
  FOREACH wanted IN ARRAY names LOOP
    WITH RECURSIVE under AS (
      SELECT a.attname, a.atttypid AS type, a.atttypmod AS modifier FROM pg_attribute AS a
      WHERE a.attrelid = relation AND a.attname = wanted AND a.attnum > 0 AND NOT a.attisdropped
      UNION ALL
      SELECT u.attname, t.typbasetype, CASE WHEN u.modifier = -1 THEN t.typtypmod ELSE u.modifier END
      FROM under AS u JOIN pg_type AS t ON t.oid = u.type WHERE t.typtype = 'd'
    )
    SELECT u.attname, t.typname, t.typtype, u.modifier, t.typnamespace INTO base
    FROM under AS u JOIN pg_type AS t ON t.oid = u.type WHERE t.typtype <> 'd';
    IF NOT FOUND THEN
      RAISE EXCEPTION 'the relation has no such column: %', coalesce(quote_ident(wanted), 'NULL')
        USING ERRCODE = '42703';
    END IF;
    own := base.attname;
    family := CASE
      WHEN base.typtype = 'e' THEN 'text'
      WHEN base.typname IN ('int2', 'int4', 'int8') THEN 'integer'
      WHEN base.typname = 'numeric' THEN 'decimal'
      WHEN base.typname IN ('float4', 'float8') THEN 'float'
      WHEN base.typname IN ('text', 'varchar', 'bpchar', 'name', 'citext', 'uuid') THEN 'text'
      WHEN base.typname IN ('bool', 'date', 'timestamp') THEN base.typname
      ELSE 'other'
    END;
    -- What looks different is different, whatever the type or its collation compares.
    read := CASE
      WHEN family = 'decimal' AND base.modifier = -1 THEN format('trim_scale(s.%I)', own)
      WHEN family IN ('text', 'other') OR family = 'float' AND own <> ALL (raw) THEN
        format('CAST(s.%I AS varchar) COLLATE "C"', own)
      ELSE format('s.%I', own)
    END;
    RETURN NEXT;
  END LOOP;
END
$$;
COMMENT ON FUNCTION sqlanon.columns_of(regclass, name[], name[]) IS
  'internal: columns of a relation from the catalog, how they are read, and what kind of type they have';

CREATE FUNCTION sqlanon.relation_named(relation regclass) RETURNS text
LANGUAGE sql STABLE STRICT SECURITY INVOKER PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
  WHERE c.oid = relation
$$;
COMMENT ON FUNCTION sqlanon.relation_named(regclass) IS 'internal: a relation by its quoted name';

CREATE FUNCTION sqlanon.class_sizes(
  relation regclass, quasi_identifiers name[], entity name, raw name[],
  OUT records bigint, OUT classes bigint, OUT smallest bigint, OUT alone bigint
)
LANGUAGE plpgsql STABLE SECURITY INVOKER PARALLEL RESTRICTED SET search_path = pg_catalog, pg_temp
  SET row_security = off SET "TimeZone" = 'UTC' SET "DateStyle" = 'ISO, YMD' SET "IntervalStyle" = 'postgres'
  SET extra_float_digits = 1 SET bytea_output = 'hex'
AS $$
DECLARE
  keys text;
  size text := 'count(*)';
BEGIN
  SELECT string_agg(c.read, ', ') INTO keys FROM sqlanon.columns_of(relation, quasi_identifiers, raw) AS c;
  IF entity IS NOT NULL THEN
    IF EXISTS (
      SELECT FROM pg_attribute AS a JOIN pg_type AS t ON t.oid = a.atttypid
      LEFT JOIN pg_collation AS n ON n.oid = a.attcollation
      WHERE a.attrelid = relation AND a.attname = entity AND (t.typname = 'citext' OR NOT n.collisdeterministic))
    THEN
      RAISE EXCEPTION 'one person may be written in several ways in %', quote_ident(entity) USING ERRCODE = '0A000',
        HINT = 'Measure a view that has lower(...) of it, with a deterministic collation.';
    END IF;
    -- Records whose entity is missing may all be about one person, so together they count as one.
    SELECT format('count(DISTINCT %1$s) + max(CASE WHEN s.%2$I IS NULL THEN 1 ELSE 0 END)', c.read, c.own) INTO size
    FROM sqlanon.columns_of(relation, ARRAY[entity], '{}') AS c;
  END IF;
  EXECUTE format(
    'SELECT coalesce(sum(c.n), 0)::bigint, count(*), min(c.n)::bigint, (count(*) FILTER (WHERE c.n = 1))::bigint'
    ' FROM (SELECT %s AS n FROM %s AS s GROUP BY %s) AS c', size, sqlanon.relation_named(relation), keys
  ) INTO records, classes, smallest, alone;
END
$$;
COMMENT ON FUNCTION sqlanon.class_sizes(regclass, name[], name, name[]) IS
  'internal: records (persons), classes, the smallest class, and classes of one record (person)';

CREATE FUNCTION sqlanon.sensitive_measures(
  relation regclass, quasi_identifiers name[], sensitive name, raw name[], l integer, c numeric, OUT family text,
  OUT least_distinct bigint, OUT least_entropy float8, OUT recursive float8, OUT alpha float8, OUT theta float8,
  OUT span float8, OUT equal float8, OUT ordered float8, OUT beta float8, OUT enhanced_beta float8, OUT delta float8,
  OUT beyond_c bigint
)
LANGUAGE plpgsql STABLE STRICT SECURITY INVOKER PARALLEL RESTRICTED SET search_path = pg_catalog, pg_temp
  SET row_security = off SET "TimeZone" = 'UTC' SET "DateStyle" = 'ISO, YMD' SET "IntervalStyle" = 'postgres'
  SET extra_float_digits = 1 SET bytea_output = 'hex'
AS $$
DECLARE
  reads text;
  keys text;
  value text;
  number text;
  moved text;
BEGIN
  SELECT string_agg(format('%s AS k%s', c.read, c.place), ', ' ORDER BY c.place),
         string_agg(format('k%s', c.place), ', ' ORDER BY c.place)
  INTO reads, keys
  FROM sqlanon.columns_of(relation, quasi_identifiers, raw) WITH ORDINALITY AS c (own, read, family, place);
  SELECT c.read, c.family INTO value, family FROM sqlanon.columns_of(relation, ARRAY[sensitive], raw) AS c;
  number := CASE family
    WHEN 'date' THEN 'CASE WHEN isfinite(v) THEN v - date ''1970-01-01'' END::numeric'
    WHEN 'float' THEN 'CASE WHEN abs(v::float8) < 1e18 THEN v::varchar::numeric(38, 10) END'
    WHEN 'integer' THEN 'CASE WHEN abs(v::float8) < 1e18 THEN v::numeric(38, 10) END'
    WHEN 'decimal' THEN 'CASE WHEN abs(v::float8) < 1e18 THEN v::numeric(38, 10) END'
    ELSE 'NULL::numeric'
  END;
  -- Between two values of a class its cumulative share stands still while the table's grows; `passed` is the last rank
  -- at which the table's is not above it. Prefix sums do the rest, in whole numbers.
  moved := CASE
    WHEN family IN ('integer', 'decimal', 'float', 'date', 'timestamp') THEN
      'reached * total * (2 * passed - rank - next + 2)'
      ' + size * (coalesce(pp[next - 1], 0) + coalesce(pp[rank - 1], 0) - 2 * coalesce(pp[passed], 0))'
    ELSE 'NULL::numeric'
  END;
  EXECUTE format(
    $query$
      WITH records AS (SELECT %1$s, %2$s AS v FROM %3$s AS s),
      histogram AS (SELECT %4$s, v, count(*)::numeric AS n FROM records GROUP BY %4$s, v),
      reference AS (SELECT v, sum(n) AS n FROM histogram GROUP BY v),
      ranked AS (SELECT rank, sum(n) OVER (ORDER BY rank) AS p FROM (
        SELECT n, row_number() OVER (ORDER BY v NULLS FIRST) AS rank FROM reference) AS r),
      line AS (
        SELECT array_agg(p::bigint ORDER BY rank) AS p, array_agg(pp::bigint ORDER BY rank) AS pp, count(*) AS ranks
        FROM (SELECT rank, p, sum(p) OVER (ORDER BY rank) AS pp FROM ranked) AS r
      ),
      shares AS (
        SELECT %4$s, v, n, sum(n) OVER (PARTITION BY v) AS t, sum(n) OVER (PARTITION BY %4$s) AS size,
          sum(n) OVER () AS total, row_number() OVER (PARTITION BY %4$s ORDER BY n DESC, v) AS place,
          sum(n) OVER (PARTITION BY %4$s ORDER BY v NULLS FIRST) AS reached,
          dense_rank() OVER (ORDER BY v NULLS FIRST) AS rank
        FROM histogram
      ),
      placed AS (
        SELECT shares.*, (SELECT ranks FROM line) AS ranks, %5$s AS number,
          n * total - t * size AS surplus, (n::float8 * total::float8) / (t::float8 * size::float8) AS ratio,
          coalesce(lead(rank) OVER (PARTITION BY %4$s ORDER BY v NULLS FIRST), (SELECT ranks FROM line) + 1)::integer
            AS next,
          div(reached * total, size)::bigint AS reach
        FROM shares
      ),
      stretched AS (
        SELECT placed.*, (SELECT pp FROM line) AS pp,
          greatest(least(width_bucket(reach, (SELECT p FROM line)), next - 1), rank - 1)::integer AS passed FROM placed
      ),
      measured AS (
        SELECT count(*) AS distinct_values, max(n) AS top, max(size) AS size,
          greatest(ln(sum(n)::float8) - (sum(n::float8 * ln(n::float8)) / sum(n)::float8), 0) AS entropy,
          coalesce(sum(n) FILTER (WHERE place >= $1), 0) AS tail,
          sum(n) * sum(n * place * place) - sum(n * place) * sum(n * place) AS spread,
          max(number) - min(number) AS span,
          sum(greatest(surplus, 0))::float8 / (max(size) * max(total))::float8 AS equal,
          (sum(%6$s) + max(size) * min(coalesce(pp[rank - 1], 0)))::float8
            / (max(size) * max(total) * greatest(max(ranks) - 1, 1))::float8 AS ordered,
          max(surplus::float8 / (t * size)::float8) AS gain,
          count(*) FILTER (WHERE NOT surplus::float8 / (t * size)::float8 <= -ln(t::float8 / total::float8) + 1e-12)
            AS beyond,
          CASE WHEN count(*) = max(ranks) THEN max(abs(ln(ratio))) / ln(2::float8) END AS delta
        FROM stretched GROUP BY %4$s
      )
      SELECT min(distinct_values), min(entropy),
        CASE WHEN count(*) = count(nullif(tail, 0)) THEN max(top::float8 / nullif(tail, 0)::float8) END,
        max(top::float8 / size::float8), min(spread::float8 / (size * size)::float8),
        CASE WHEN count(*) = count(span) THEN min(span)::float8 END, max(equal), max(ordered), max(gain),
        CASE WHEN max(beyond) = 0 THEN max(gain) END, CASE WHEN count(*) = count(delta) THEN max(delta) END,
        count(*) FILTER (WHERE (top < $2 * tail) IS NOT TRUE)
      FROM measured
    $query$,
    reads, value, sqlanon.relation_named(relation), keys, number, moved
  ) INTO least_distinct, least_entropy, recursive, alpha, theta, span, equal, ordered, beta, enhanced_beta, delta,
         beyond_c USING l, c;
END
$$;
COMMENT ON FUNCTION sqlanon.sensitive_measures(regclass, name[], name, name[], integer, numeric) IS
  'internal: the worst class of each measure of one sensitive column, in one pass over the relation, and how many'
  ' classes are not (c,l)-diverse';

CREATE FUNCTION sqlanon.k_anonymity(relation regclass, quasi_identifiers name[]) RETURNS bigint
LANGUAGE sql STABLE STRICT SECURITY INVOKER PARALLEL RESTRICTED SET search_path = pg_catalog, pg_temp
AS $$
  SELECT c.smallest FROM sqlanon.class_sizes(relation, quasi_identifiers, NULL, '{}') AS c
$$;
COMMENT ON FUNCTION sqlanon.k_anonymity(regclass, name[]) IS
  'k: the records of the smallest equivalence class; NULL for an empty relation';

CREATE FUNCTION sqlanon.k_anonymity(relation regclass, quasi_identifiers name[], entity name) RETURNS bigint
LANGUAGE sql STABLE STRICT SECURITY INVOKER PARALLEL RESTRICTED SET search_path = pg_catalog, pg_temp
AS $$
  SELECT c.smallest FROM sqlanon.class_sizes(relation, quasi_identifiers, entity, '{}') AS c
$$;
COMMENT ON FUNCTION sqlanon.k_anonymity(regclass, name[], name) IS
  'k: the persons of the smallest equivalence class, told apart by a column; NULL for an empty relation';

CREATE FUNCTION sqlanon.l_diversity(
  relation regclass, quasi_identifiers name[], sensitive name, kind text DEFAULT 'distinct', l integer DEFAULT 2
) RETURNS float8
LANGUAGE plpgsql STABLE STRICT SECURITY INVOKER PARALLEL RESTRICTED SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  found record;
BEGIN
  IF kind NOT IN ('distinct', 'entropy', 'recursive') OR l < 1 THEN
    RAISE EXCEPTION 'the kind of an l-diversity is distinct, entropy or recursive, and l is at least 1'
      USING ERRCODE = '22023';
  END IF;
  SELECT m.* INTO found
  FROM sqlanon.sensitive_measures(relation, quasi_identifiers, sensitive, ARRAY[sensitive], l, 0) AS m;
  RETURN CASE kind
    WHEN 'distinct' THEN found.least_distinct WHEN 'entropy' THEN exp(found.least_entropy) ELSE found.recursive END;
END
$$;
COMMENT ON FUNCTION sqlanon.l_diversity(regclass, name[], name, text, integer) IS
  'the worst class: distinct values; exp of the entropy; recursive: r1 / (r_l + … + r_m), NULL where it is infinite';

CREATE FUNCTION sqlanon.t_closeness(
  relation regclass, quasi_identifiers name[], sensitive name, distance text DEFAULT 'equal'
) RETURNS float8
LANGUAGE plpgsql STABLE STRICT SECURITY INVOKER PARALLEL RESTRICTED SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  found record;
BEGIN
  IF distance NOT IN ('equal', 'ordered') THEN
    RAISE EXCEPTION 'a distance is equal or ordered' USING ERRCODE = '22023',
      HINT = 'The hierarchical distance needs a hierarchy: sqlanon check --hierarchy measures it.';
  END IF;
  SELECT m.* INTO found
  FROM sqlanon.sensitive_measures(relation, quasi_identifiers, sensitive, ARRAY[sensitive], 2, 0) AS m;
  IF distance = 'ordered' AND found.family IN ('text', 'bool', 'other') THEN
    RAISE EXCEPTION 'an ordered distance needs numbers or dates' USING ERRCODE = '42804';
  END IF;
  RETURN CASE distance WHEN 'equal' THEN found.equal ELSE found.ordered END;
END
$$;
COMMENT ON FUNCTION sqlanon.t_closeness(regclass, name[], name, text) IS
  'the largest earth mover''s distance between a class and the relation as a whole: equal, or ordered (numbers, dates)';

CREATE FUNCTION sqlanon."check"(relation regclass, quasi_identifiers name[], sensitive name[] DEFAULT '{}')
RETURNS TABLE (model text, "column" name, kind text, value float8)
LANGUAGE plpgsql STABLE STRICT SECURITY INVOKER PARALLEL RESTRICTED SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  sizes record;
  found record;
  wanted name;
BEGIN
  SELECT c.* INTO sizes FROM sqlanon.class_sizes(relation, quasi_identifiers, NULL, sensitive) AS c;
  RETURN QUERY VALUES
    ('k-anonymity', NULL::name, NULL, sizes.smallest::float8),
    ('average-risk', NULL, NULL, sizes.classes::float8 / nullif(sizes.records, 0)),
    ('sample-uniqueness', NULL, NULL, sizes.alone::float8 / nullif(sizes.records, 0));
  FOREACH wanted IN ARRAY sensitive LOOP
    SELECT m.* INTO found
    FROM sqlanon.sensitive_measures(relation, quasi_identifiers, wanted, sensitive, 2, 0) AS m;
    RETURN QUERY
      SELECT v.model, wanted, v.kind, v.value FROM (VALUES
        (1, 'l-diversity', 'distinct', found.least_distinct::float8),
        (2, 'l-diversity', 'entropy', exp(found.least_entropy)),
        (3, 'l-diversity', 'recursive', found.recursive),
        (4, 'alpha-k-anonymity', NULL, found.alpha),
        (5, 'p-sensitivity', NULL, found.least_distinct::float8),
        (6, 'theta-sensitivity', NULL, found.theta),
        (7, 'k-e-anonymity', NULL, found.span),
        (8, 't-closeness', 'equal', found.equal),
        (9, 't-closeness', 'ordered', found.ordered),
        (10, 'beta-likeness', 'basic', found.beta),
        (11, 'beta-likeness', 'enhanced', found.enhanced_beta),
        (12, 'delta-disclosure', NULL, found.delta)
      ) AS v (place, model, kind, value)
      WHERE (v.place <> 7 OR found.family IN ('integer', 'decimal', 'float', 'date'))
        AND (v.place <> 9 OR found.family IN ('integer', 'decimal', 'float', 'date', 'timestamp'))
      ORDER BY v.place;
  END LOOP;
END
$$;
COMMENT ON FUNCTION sqlanon."check"(regclass, name[], name[]) IS
  'every measure that the columns allow, each in its worst class, as sqlanon check tells them (recursive: l = 2)';

-- == the catalog ======================================================================================================
-- For readers of releases: nothing of the source, no digest of rows, nothing that the verifier needs to measure again.

CREATE FUNCTION sqlanon.changed_since(source_state text) RETURNS boolean
LANGUAGE plpgsql STABLE STRICT SECURITY INVOKER PARALLEL RESTRICTED SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  told CONSTANT jsonb := nullif(source_state, '');
  seen record;
BEGIN
  IF told IS NULL THEN
    RETURN NULL;
  END IF;
  WITH RECURSIVE under (oid) AS (
    -- By name in the catalog: who reads this need not be let into the schema of the source.
    SELECT c.oid FROM jsonb_array_elements_text(told -> 'roots') AS r (root) CROSS JOIN parse_ident(r.root) AS p (name)
    LEFT JOIN pg_namespace AS n ON n.nspname = p.name[1] AND cardinality(p.name) = 2
    LEFT JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relname = p.name[2]
    UNION
    SELECT next.oid FROM under CROSS JOIN LATERAL (
      SELECT d.refobjid AS oid FROM pg_rewrite AS w
      JOIN pg_depend AS d ON d.objid = w.oid AND d.classid = 'pg_rewrite'::regclass
      WHERE w.ev_class = under.oid AND d.refclassid = 'pg_class'::regclass
      UNION ALL
      SELECT i.inhrelid FROM pg_inherits AS i WHERE i.inhparent = under.oid
    ) AS next
  )
  SELECT count(*) FILTER (WHERE c.oid IS NULL OR c.relkind = 'f') AS unknown,
    coalesce(sum(s.n_tup_ins + s.n_tup_upd + s.n_tup_del), 0)::text AS changes,
    string_agg(concat_ws(':', c.oid, c.relfilenode, CASE c.relkind WHEN 'v' THEN pg_get_viewdef(c.oid) END),
               ',' ORDER BY c.oid) AS files
  INTO seen
  FROM under AS u LEFT JOIN pg_class AS c ON c.oid = u.oid LEFT JOIN pg_stat_all_tables AS s ON s.relid = c.oid;
  RETURN CASE WHEN seen.unknown = 0 THEN
    (told ->> 'changes', told ->> 'files') IS DISTINCT FROM (seen.changes, md5(seen.files)) END;
END
$$;
COMMENT ON FUNCTION sqlanon.changed_since(text) IS
  'internal: whether a source has another mark than when it was released from, as far as the server counts changes;'
  ' NULL where nobody can tell';

CREATE VIEW sqlanon.releases WITH (security_barrier = true) AS
SELECT r.name, r.version, r.status, r.kind, r.location, r.fingerprint, r.versions::jsonb AS versions, r.rows_out,
  r.suppressed_at_most, r.classes, r.quasi_identifiers::jsonb AS quasi_identifiers, r.counted,
  r.utility::jsonb AS utility, r.released_at, r.released_by, r.owner, r.expires_at, r.withdrawn_at,
  r.made::jsonb AS made, s.expired, s.stale,
  coalesce(s.stale AND r.kind <> 'view' AND NOT s.expired, false) AS refresh_recommended
FROM sqlanon.release AS r CROSS JOIN LATERAL (
  SELECT r.expires_at IS NOT NULL AND r.expires_at <= (now() AT TIME ZONE 'UTC') AS expired,
    CASE WHEN r.status = 'published' AND r.spec <> '' THEN sqlanon.changed_since(r.source_state) END AS stale
) AS s;
COMMENT ON VIEW sqlanon.releases IS
  'every version of every release; times are UTC; stale: the source has changed since (NULL: nobody can tell)';

CREATE VIEW sqlanon.models WITH (security_barrier = true) AS
SELECT r.name, r.version, r.status, p.place::integer AS place, p.told ->> 'model' AS model,
  p.told ->> 'column' AS "column",
  p.told -> 'parameters' AS parameters, (p.told ->> 'value')::float8 AS value, (p.told ->> 'bound')::float8 AS bound,
  (p.told ->> 'holds')::boolean AS holds
FROM sqlanon.release AS r CROSS JOIN LATERAL jsonb_array_elements(r.promises::jsonb) WITH ORDINALITY AS p (told, place);
COMMENT ON VIEW sqlanon.models IS
  'the models that every version of a release promises, and what was measured on its rows';

CREATE VIEW sqlanon.columns WITH (security_barrier = true) AS
SELECT r.name, r.version, a.attname AS "column", format_type(a.atttypid, a.atttypmod) AS type,
  split_part(d.description, ', ', 1) AS role,
  nullif(substr(d.description, length(split_part(d.description, ', ', 1)) + 3), '') AS method,
  substring(d.description FROM 'level (\d+) of \d+')::integer AS level,
  substring(d.description FROM 'level \d+ of (\d+)')::integer AS levels, d.description AS comment
FROM sqlanon.release AS r
  JOIN pg_namespace AS n ON n.nspname = 'releases'
  -- The comment by which a published relation is known to be the one in the register.
  JOIN pg_description AS l ON l.classoid = 'pg_class'::regclass AND l.objsubid = 0
    AND l.description = format('released by sqlanon, version %s, %s', r.version, r.fingerprint)
  JOIN pg_class AS c ON c.oid = l.objoid AND c.relnamespace = n.oid
    AND (c.relname = r.name OR octet_length(r.name) > 63 AND starts_with(r.name, split_part(c.relname, '…', 1)))
  JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
  LEFT JOIN pg_description AS d ON d.classoid = 'pg_class'::regclass AND d.objoid = c.oid AND d.objsubid = a.attnum
WHERE r.status = 'published';
COMMENT ON VIEW sqlanon.columns IS 'the columns of what is published, and what was done to each';

CREATE VIEW sqlanon.findings WITH (security_barrier = true) AS
SELECT f.at, f.rule, f.object, f.told, f.fix FROM sqlanon.finding AS f;
COMMENT ON VIEW sqlanon.findings IS 'what sqlanon audit found; for publishers, since it tells where the walls are thin';

-- == the life of a release ============================================================================================

CREATE FUNCTION sqlanon.relation_of(release_name text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT SECURITY INVOKER PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT format('releases.%I', CASE
    WHEN octet_length(release_name) <= 63 THEN release_name
    ELSE (SELECT left(release_name, max(n)) FROM generate_series(0, 30) AS n
          WHERE octet_length(left(release_name, n)) <= 30)
      || '…' || left(encode(sha256(convert_to(release_name, 'UTF8')), 'hex'), 24)
  END)
$$;
COMMENT ON FUNCTION sqlanon.relation_of(text) IS
  'internal: where a release stands, quoted; sqlanon shortens a name that Postgres would cut off';

CREATE FUNCTION sqlanon.published(
  release_name text, OUT entry sqlanon.release, OUT relation regclass, OUT relkind "char"
)
LANGUAGE plpgsql STABLE STRICT SECURITY INVOKER PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
  SELECT r.* INTO entry FROM sqlanon.release AS r WHERE r.name = release_name AND r.status = 'published';
  IF NOT FOUND THEN
    RAISE EXCEPTION 'there is no release %', quote_literal(release_name) USING ERRCODE = 'P0002',
      HINT = 'SELECT name FROM sqlanon.releases WHERE status = ''published''';
  END IF;
  relation := to_regclass(sqlanon.relation_of(release_name));
  IF relation IS NULL THEN
    RETURN;
  END IF;
  SELECT c.relkind INTO relkind FROM pg_class AS c WHERE c.oid = relation;
  IF obj_description(relation, 'pg_class') IS DISTINCT FROM
      format('released by sqlanon, version %s, %s', entry.version, entry.fingerprint) THEN
    RAISE EXCEPTION 'what stands there is not this version of the release; nothing was touched' USING ERRCODE = '55000';
  END IF;
END
$$;
COMMENT ON FUNCTION sqlanon.published(text) IS
  'internal: the line of the register for a published release, and the relation with its label (NULL: it is gone)';

CREATE FUNCTION sqlanon.released_together(entry sqlanon.release) RETURNS SETOF text
LANGUAGE sql STABLE STRICT SECURITY INVOKER PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
  SELECT r.name::text FROM sqlanon.release AS r
  WHERE r.status = 'published' AND (
    r.name = entry.name
    OR entry.made::jsonb -> 'related' -> 'tables' @> to_jsonb(r.name::text)
      AND coalesce(r.made::jsonb -> 'related' -> 'tables', entry.made::jsonb -> 'related' -> 'tables')
        = entry.made::jsonb -> 'related' -> 'tables'
  )
  ORDER BY 1
$$;
COMMENT ON FUNCTION sqlanon.released_together(sqlanon.release) IS
  'internal: a release and the related tables that were released with it, about the same persons, and still are';

CREATE FUNCTION sqlanon.listed(names text[]) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT SECURITY INVOKER PARALLEL SAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  name text;
  quote text;
  made text := '';
BEGIN
  FOREACH name IN ARRAY names LOOP
    quote := CASE WHEN strpos(name, '''') > 0 AND strpos(name, '"') = 0 THEN '"' ELSE '''' END;
    name := replace(name, '\', '\\');
    name := replace(name, quote, '\' || quote);
    name := replace(replace(replace(name, E'\n', '\n'), E'\r', '\r'), E'\t', '\t');
    made := made || CASE WHEN made = '' THEN '' ELSE ', ' END || quote || name || quote;
  END LOOP;
  RETURN '[' || made || ']';
END
$$;
COMMENT ON FUNCTION sqlanon.listed(text[]) IS
  'internal: names as the client writes them into a digest; other control characters are not told';

CREATE FUNCTION sqlanon.digest(relation regclass) RETURNS text
LANGUAGE plpgsql STABLE STRICT SECURITY INVOKER PARALLEL RESTRICTED SET search_path = pg_catalog, pg_temp
  SET row_security = off SET "TimeZone" = 'UTC' SET "DateStyle" = 'ISO, YMD' SET "IntervalStyle" = 'postgres'
  SET extra_float_digits = 1 SET bytea_output = 'hex'
AS $$
DECLARE
  names name[];
  reads text;
  told text;
BEGIN
  SELECT array_agg(a.attname ORDER BY a.attnum) INTO names FROM pg_attribute AS a
  WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped;
  SELECT string_agg(format(CASE c.family WHEN 'other' THEN 'CAST(a.%I AS text)' ELSE 'a.%I' END, c.own), ', '
                    ORDER BY c.place) INTO reads
  FROM sqlanon.columns_of(relation, names, '{}') WITH ORDINALITY AS c (own, read, family, place);
  EXECUTE format(
    'SELECT count(*) || '':'' || coalesce(sum(hash_record_extended(ROW($1::text, %s), 0)::numeric)::text, ''None'')'
    ' FROM %s AS a', reads, sqlanon.relation_named(relation)
  ) INTO told USING sqlanon.listed(names::text[]);
  RETURN format('postgres-%s:%s', current_setting('server_version_num')::integer / 10000, told);
END
$$;
COMMENT ON FUNCTION sqlanon.digest(regclass) IS
  'internal: of the rows in any order and the names of their columns, as the register has it';

CREATE FUNCTION sqlanon.verify(release_name text)
RETURNS TABLE (model text, "column" name, parameters jsonb, value float8, bound float8, holds boolean, note text)
LANGUAGE plpgsql STABLE STRICT SECURITY INVOKER PARALLEL RESTRICTED SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  found record;
  promise jsonb;
  keys name[];
  unchanged boolean;
  measured record;
  other record;
  linked jsonb;
  beside regclass;
  asked text;
  now_digest text;
BEGIN
  SELECT p.* INTO found FROM sqlanon.published(release_name) AS p;
  IF found.relation IS NULL THEN
    RETURN QUERY SELECT 'digest', NULL::name, NULL::jsonb, NULL::float8, NULL::float8, false, 'the release is gone';
  ELSIF found.relkind NOT IN ('r', 'm') THEN
    RETURN QUERY SELECT 'digest', NULL::name, NULL::jsonb, NULL::float8, NULL::float8, NULL::boolean,
      'a view has no rows of its own, and SQL does not read it for you: sqlanon verify measures it';
  ELSE
    now_digest := sqlanon.digest(found.relation);
    unchanged := now_digest = (found.entry).digest;
    IF split_part(now_digest, ':', 1) <> split_part((found.entry).digest, ':', 1) THEN
      unchanged := NULL;
    ELSIF NOT unchanged AND split_part(now_digest, ':', 2) = split_part((found.entry).digest, ':', 2) AND EXISTS (
      SELECT FROM pg_attribute AS a WHERE a.attrelid = found.relation AND a.attnum > 0 AND a.attname ~ '[^ -~\n\r\t]'
    ) THEN
      unchanged := NULL;   -- the client may write such a name otherwise
    END IF;
    -- What related tables promise, they promise together.
    FOR other IN
      SELECT p.* FROM sqlanon.released_together(found.entry) AS t (name), sqlanon.published(t.name) AS p
      WHERE t.name <> release_name
    LOOP
      unchanged := unchanged AND other.relation IS NOT NULL
        AND coalesce(sqlanon.digest(other.relation) = (other.entry).digest, false);
    END LOOP;
    -- So do the two tables of an Anatomy.
    linked := (found.entry).made::jsonb -> 'linked';
    IF linked IS NOT NULL THEN
      beside := to_regclass(sqlanon.relation_of(linked ->> 'relation'));
      unchanged := unchanged AND beside IS NOT NULL AND coalesce(linked ->> 'digest' = sqlanon.digest(beside), false);
    END IF;
    RETURN QUERY SELECT 'digest', NULL::name, NULL::jsonb, NULL::float8, NULL::float8, unchanged, CASE
      WHEN unchanged THEN 'the rows are those that were judged'
      WHEN NOT unchanged THEN 'the rows are not those that were judged'
      ELSE 'SQL cannot compare this digest: sqlanon verify does' END;
  END IF;
  SELECT array_agg(k.name::name ORDER BY k.place) INTO keys
  FROM jsonb_array_elements_text((found.entry).quasi_identifiers::jsonb) WITH ORDINALITY AS k (name, place);
  FOR promise IN SELECT p.told FROM jsonb_array_elements((found.entry).promises::jsonb) AS p (told) LOOP
    model := promise ->> 'model';
    "column" := promise ->> 'column';
    parameters := promise -> 'parameters';
    bound := promise ->> 'bound';
    asked := concat_ws(' ', model, parameters ->> 'kind');
    value := NULL;
    holds := NULL;
    note := NULL;
    IF found.relation IS NULL THEN
      holds := false;
    ELSIF found.relkind IN ('r', 'm') AND (found.entry).made::jsonb -> 'linked' IS NULL
        AND (asked = 'k-anonymity' AND (found.entry).counted = 'records'
             OR asked IN ('l-diversity distinct', 'l-diversity entropy', 'l-diversity recursive')) THEN
      note := 'measured on the rows that are there now';
      IF model = 'k-anonymity' THEN
        value := sqlanon.k_anonymity(found.relation, keys);
        holds := coalesce(value >= bound, false);
      ELSE
        SELECT m.* INTO measured FROM sqlanon.sensitive_measures(
          found.relation, keys, "column", ARRAY["column"], (parameters ->> 'l')::numeric::integer,
          coalesce((parameters ->> 'c')::numeric, 0)
        ) AS m;
        value := CASE asked WHEN 'l-diversity distinct' THEN measured.least_distinct
          WHEN 'l-diversity entropy' THEN exp(measured.least_entropy) ELSE measured.recursive END;
        holds := coalesce(CASE asked
          WHEN 'l-diversity distinct' THEN value >= bound
          WHEN 'l-diversity entropy' THEN measured.least_entropy >= ln(bound) - 1e-12
          ELSE measured.beyond_c = 0
        END, false) AND value IS NOT NULL;
      END IF;
    ELSIF unchanged THEN
      value := promise ->> 'value';
      holds := promise ->> 'holds';
      note := 'as judged at the release, on the same rows: SQL alone cannot measure it again, sqlanon verify may';
    ELSIF NOT unchanged THEN
      holds := false;
      note := 'the rows are not those that were judged, and SQL alone cannot measure it on others';
    ELSE
      note := 'SQL alone cannot measure it: sqlanon verify does';
    END IF;
    RETURN NEXT;
  END LOOP;
END
$$;
COMMENT ON FUNCTION sqlanon.verify(text) IS
  'a release measured again, as far as SQL can: every holds must be true; NULL is not known, and no promise';

CREATE FUNCTION sqlanon.withdraw(release_name text) RETURNS integer
LANGUAGE plpgsql VOLATILE STRICT SECURITY INVOKER PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  asked record;
  found record;
  beside regclass;
  moment CONSTANT timestamp := date_trunc('second', now() AT TIME ZONE 'UTC');
BEGIN
  PERFORM FROM sqlanon.release AS r WHERE r.name = release_name AND r.status = 'published' FOR UPDATE;
  SELECT p.* INTO asked FROM sqlanon.published(release_name) AS p;
  FOR found IN
    SELECT p.* FROM sqlanon.released_together(asked.entry) AS t (name), sqlanon.published(t.name) AS p
  LOOP
    IF (found.entry).kind = 'file' THEN
      RAISE EXCEPTION 'a released file is withdrawn by sqlanon withdraw' USING ERRCODE = '0A000';
    END IF;
    UPDATE sqlanon.release AS r SET status = 'withdrawn', withdrawn_at = moment
    WHERE r.name = (found.entry).name AND r.version = (found.entry).version;
    INSERT INTO sqlanon.audit_log ("at", "by", action, name, version, detail)
    VALUES (
      moment, session_user, 'withdrawn', (found.entry).name, (found.entry).version,
      concat_ws(', ', 'as ' || (found.entry).kind, 'read by ' || (
        SELECT nullif(string_agg(g.role, ', ' ORDER BY g.place), '')
        FROM jsonb_array_elements_text((found.entry).grants::jsonb) WITH ORDINALITY AS g (role, place)
      ))
    );
    -- The second table of an Anatomy.
    beside := to_regclass(sqlanon.relation_of((found.entry).made::jsonb -> 'linked' ->> 'relation'));
    IF obj_description(beside, 'pg_class') =
        format('released by sqlanon, version %s, %s', (found.entry).version, (found.entry).fingerprint) THEN
      EXECUTE format('DROP TABLE %s', sqlanon.relation_named(beside));
    END IF;
    IF found.relation IS NOT NULL THEN
      EXECUTE format(
        'DROP %s %s', CASE found.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' ELSE 'TABLE' END,
        sqlanon.relation_named(found.relation)
      );
    END IF;
  END LOOP;
  RETURN (asked.entry).version;
END
$$;
COMMENT ON FUNCTION sqlanon.withdraw(text) IS
  'takes a release, and related tables with it, away and says so in register and audit log; returns the version';

CREATE FUNCTION sqlanon.refresh(
  release_name text, path text DEFAULT pg_catalog.current_setting('search_path')) RETURNS jsonb
LANGUAGE plpgsql VOLATILE STRICT SECURITY INVOKER PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
  found jsonb;
BEGIN
  PERFORM FROM sqlanon.published(release_name);
  -- Only a superuser makes functions of that language.
  IF NOT EXISTS (
    SELECT FROM pg_proc AS p JOIN pg_language AS l ON l.oid = p.prolang
    WHERE p.oid = to_regprocedure('sqlanon.refreshed(text,text,boolean)') AND l.lanname = 'plpython3u')
  THEN
    RAISE EXCEPTION 'SQL alone does not make a release again; nothing was changed' USING ERRCODE = '0A000',
      HINT = 'Run `sqlanon refresh NAME --db URL`, or let a superuser `sqlanon install URL --plpython`.';
  END IF;
  IF current_setting('transaction_isolation') = 'read committed' THEN
    RAISE EXCEPTION 'the source must stay as it is while it is read; nothing was changed' USING ERRCODE = '25001',
      HINT = 'BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT sqlanon.refresh(...); COMMIT;';
  END IF;
  EXECUTE 'SELECT sqlanon.refreshed($1, $2, false)' INTO found USING release_name, path;
  RETURN found;
END
$$;
COMMENT ON FUNCTION sqlanon.refresh(text, text) IS
  'publishes a release again from its source as it is now, where the server has plpython3u and sqlanon; else says how';

-- == rights and dumps =================================================================================================

-- Nobody but the owner, whatever default privileges gave; sqlanon_rights.sql gives the group roles what is theirs.
DO $$
DECLARE
  given record;
BEGIN
  FOR given IN
    SELECT 'SCHEMA sqlanon' AS object, a.grantee
    FROM pg_namespace AS n, aclexplode(coalesce(n.nspacl, acldefault('n', n.nspowner))) AS a
    WHERE n.nspname = 'sqlanon' AND a.grantee <> n.nspowner
    UNION
    SELECT format('TABLE sqlanon.%I', c.relname), a.grantee
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace, aclexplode(c.relacl) AS a
    WHERE n.nspname = 'sqlanon' AND a.grantee <> c.relowner
    UNION
    SELECT format('ROUTINE %s', p.oid::regprocedure), a.grantee
    FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace,
      aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS a
    WHERE n.nspname = 'sqlanon' AND a.grantee <> p.proowner AND p.proowner = n.nspowner
  LOOP
    EXECUTE format('REVOKE ALL ON %s FROM %s', given.object,
                   CASE given.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(given.grantee)) END);
  END LOOP;
  -- What pg_dump carries of an extension; without one, it carries everything.
  IF EXISTS (SELECT FROM pg_extension AS e WHERE e.extname = 'sqlanon') THEN
    PERFORM pg_extension_config_dump('sqlanon.release', '');
    PERFORM pg_extension_config_dump('sqlanon.audit_log', '');
    PERFORM pg_extension_config_dump('sqlanon.hierarchy', '');
    PERFORM pg_extension_config_dump('sqlanon.finding', '');
    PERFORM pg_extension_config_dump('sqlanon.setting', 'WHERE name <> ''version''');
  END IF;
END
$$;
