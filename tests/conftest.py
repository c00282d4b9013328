"""What every test may ask for by name: the private server, its databases, and the one engine or the other."""

from server import database, either, fresh, server

__all__ = ["database", "either", "fresh", "server"]
