-- The register of releases: facts about what was published, never data.
-- Written in the same transaction as the release itself, so that register and reality agree.
-- suppressed_at_most is rounded up: the exact number could tell how large a suppressed class was.
CREATE SCHEMA IF NOT EXISTS sqlanon;
CREATE TABLE IF NOT EXISTS sqlanon.release (
  name               VARCHAR NOT NULL,
  version            INTEGER NOT NULL,
  status             VARCHAR NOT NULL,   -- published, superseded or withdrawn
  kind               VARCHAR NOT NULL,   -- table, view, materialized view or file
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
  owner              VARCHAR NOT NULL,   -- the role that has it, empty where there are no roles
  -- For publishers alone, and empty in files, which leave the house.
  source             VARCHAR NOT NULL,   -- what it was made from
  grants             VARCHAR NOT NULL,   -- JSON: the roles that may read it
  source_state       VARCHAR NOT NULL,   -- a mark that changes when the source does, empty where there is none
  spec               VARCHAR NOT NULL,   -- JSON: all that a refresh needs, empty where it cannot be kept
  PRIMARY KEY (name, version)
);
-- Who released, refreshed and withdrew what, and when. A line is written with what it tells, or not at all.
CREATE TABLE IF NOT EXISTS sqlanon.audit_log (
  "at"    TIMESTAMP NOT NULL,            -- UTC
  "by"    VARCHAR NOT NULL,              -- on Postgres the role that connected
  action  VARCHAR NOT NULL,              -- released, refreshed or withdrawn
  name    VARCHAR NOT NULL,
  version INTEGER NOT NULL,
  detail  VARCHAR NOT NULL
);
