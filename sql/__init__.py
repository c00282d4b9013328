"""What a DBA installs and reads: the SQL that sqlanon itself keeps in a database."""
