from tests.store.fixtures import bare_url, database, store, store_url

__all__ = ["bare_url", "database", "store", "store_url"]
