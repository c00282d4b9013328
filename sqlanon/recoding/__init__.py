"""How tables are recoded: full-domain (one level per column, the same for every record)."""
