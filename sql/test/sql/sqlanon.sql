\set VERBOSITY terse
-- A small run through the extension, for `make installcheck`; the tests of the package are far more.
CREATE EXTENSION sqlanon VERSION '0.1.0';
ALTER EXTENSION sqlanon UPDATE;
SELECT extversion, extrelocatable FROM pg_extension WHERE extname = 'sqlanon';
CREATE TABLE ward (age int, zip text, "the disease" text, person int);
INSERT INTO ward VALUES
  (30, '47001', 'flu', 1), (30, '47001', 'flu', 1), (30, '47001', 'cold', 2),
  (40, NULL, 'flu', 3), (40, NULL, 'cold', 4), (40, NULL, NULL, NULL);
SELECT sqlanon.k_anonymity('ward', '{age,zip}'), sqlanon.k_anonymity('ward', '{age,zip}', 'person') AS persons;
SELECT sqlanon.l_diversity('ward', '{age,zip}', 'the disease') AS l,
  round(sqlanon.t_closeness('ward', '{age,zip}', 'the disease')::numeric, 6) AS t;
SELECT model, "column", kind, round(value::numeric, 6) AS value
FROM sqlanon.check('ward', '{age,zip}', ARRAY['the disease']::name[]);
SELECT sqlanon.generalize_int4range(-5, 10), sqlanon.generalize_numrange(9.7, 10),
  sqlanon.generalize_daterange('2024-02-29', 'quarter'), sqlanon.mask('47001', 2);
SELECT sqlanon.k_anonymity('ward', '{nope}');
SELECT sqlanon.verify('nope');
UPDATE sqlanon.audit_log SET by = 'x';
SELECT count(*) FROM sqlanon.releases;
DROP TABLE ward;
DROP EXTENSION sqlanon;
