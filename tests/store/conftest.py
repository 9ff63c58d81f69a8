from tests.store.fixtures import database, store, store_url

__all__ = ["database", "store", "store_url"]
