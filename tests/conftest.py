"""What every test may ask for by name: the private server, its databases, and the one engine or the other."""

from hospital import hospital
from server import database, either, fresh, server

__all__ = ["database", "either", "fresh", "hospital", "server"]
