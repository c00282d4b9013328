\echo Use "CREATE EXTENSION sqlanon" to load this file. \quit

-- The register as sqlanon 0.1.0 made it. Never changed: what came later is in the upgrade scripts.
SET LOCAL search_path = pg_catalog, pg_temp;

CREATE TABLE sqlanon.release (
  name               VARCHAR NOT NULL,
  version            INTEGER NOT NULL,
  status             VARCHAR NOT NULL,   -- published, superseded or withdrawn
  kind               VARCHAR NOT NULL,   -- table, view or file
  location           VARCHAR NOT NULL,
  fingerprint        VARCHAR NOT NULL,   -- of spec, SQL and library versions
  versions           VARCHAR NOT NULL,   -- JSON: sqlanon, engine, sqlglot
  rows_out           BIGINT  NOT NULL,
  suppressed_at_most BIGINT  NOT NULL,
  classes            BIGINT  NOT NULL,
  quasi_identifiers  VARCHAR NOT NULL,   -- JSON: the published columns that make a class
  counted            VARCHAR NOT NULL,   -- what k counts: records or persons
  promises           VARCHAR NOT NULL,   -- JSON: every model with its parameters and what was measured
  utility            VARCHAR NOT NULL,   -- JSON, to three digits
  digest             VARCHAR NOT NULL,   -- of the published rows, whatever their order
  recheck            VARCHAR NOT NULL,   -- JSON: what the verifier needs to measure again
  released_at        TIMESTAMP NOT NULL,
  released_by        VARCHAR NOT NULL,
  expires_at         TIMESTAMP,
  withdrawn_at       TIMESTAMP,
  made               VARCHAR NOT NULL,   -- JSON: what was done to the values beside recoding, never a key
  PRIMARY KEY (name, version)
);
