"""What people see in a terminal: results as tables and sentences; for machines, one JSON object."""
