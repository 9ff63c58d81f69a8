"""The security tests meet the same real parts as the tests of the probes."""

from tests.probes.conftest import authority, context, resolver

__all__ = ["authority", "context", "resolver"]
