"""What the stories of docs/clients/python don't come to: python trials.py NAME, where PYTHONPATH leads to them."""

import sys

from psycopg_pool import ConnectionPool

import psycopg_example
import sqlalchemy_example
from tenancy_errors import Conflict


def gives_up(restock, quantity):
    """Two conflicts are tried again, a third one is the caller's."""
    restock(conflicts=2)
    assert quantity() == "anvil 4", quantity()
    try:
        restock(conflicts=3)
    except Conflict as conflict:
        assert conflict.sqlstate == "40001", conflict
    else:
        raise AssertionError("as if it had been done")
    assert quantity() == "anvil 7", quantity()


def psycopg_conflicts():
    with ConnectionPool(min_size=1, max_size=1) as pool, ConnectionPool(min_size=1, max_size=1) as other:

        def quantity():
            with psycopg_example.tenant(pool, "acme") as connection:
                return psycopg_example.orders(connection)

        with psycopg_example.tenant(pool, "acme") as connection:
            connection.execute("INSERT INTO orders (item) VALUES ('anvil')")
        gives_up(lambda conflicts: psycopg_example.restock(pool, other, "anvil", conflicts), quantity)


def sqlalchemy_conflicts():
    engine, other = sqlalchemy_example.connect(), sqlalchemy_example.connect()

    def quantity():
        with sqlalchemy_example.acting_for(engine, "acme") as session:
            return sqlalchemy_example.orders(session)

    with sqlalchemy_example.acting_for(engine, "acme") as session:
        session.add(sqlalchemy_example.Order(item="anvil"))
    gives_up(lambda conflicts: sqlalchemy_example.restock(engine, other, "anvil", conflicts), quantity)


if __name__ == "__main__":
    globals()[sys.argv[1]]()
