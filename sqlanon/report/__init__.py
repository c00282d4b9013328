"""The report that a data protection officer reads and signs: its facts, and how they look."""
