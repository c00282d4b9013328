"""Pure functions that also run inside the databases: standard library and numpy only.

No state, no clock, no order assumed; everything that decides a result is an argument.
"""
