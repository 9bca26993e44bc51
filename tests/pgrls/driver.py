"""A refusal for a quota as psycopg shows it, which is here for pgrls anyway.

driver.py SOCKET_DIRECTORY, for the server that judge.py has judged.
"""

import sys

import psycopg

SETUP = """
    CREATE EXTENSION pg_tenancy;
    CREATE TABLE orders (id integer, tenant_id uuid NOT NULL);
    SELECT tenancy.protect('orders');
    SELECT tenancy.create_tenant('acme');
    CREATE ROLE driver LOGIN;
    GRANT SELECT, INSERT ON orders TO driver;
    SELECT tenancy.grant_access('driver');
    SELECT tenancy.create_resource('orders', 'rows');
    SELECT tenancy.attach_quota('orders', 'orders');
    SELECT tenancy.set_quota('acme', 'orders', 2, warn_at => NULL)
"""
EXPECTED = {
    "sqlstate": "53400",
    "message_primary": 'quota "orders" is exhausted',
    "message_detail": 'Resource "orders": used 2, limit 2, requested 1.',
    "message_hint": "Remove what is no longer needed, or have the limit raised with tenancy.set_quota().",
}


def connect(host, database, user):
    return psycopg.connect(f"postgresql:///{database}?host={host}&user={user}", autocommit=True)


def main(host):
    with connect(host, "postgres", "postgres") as connection:
        connection.execute("CREATE DATABASE driver TEMPLATE template0")
    with connect(host, "driver", "postgres") as connection:
        connection.execute(SETUP)
    with connect(host, "driver", "driver") as connection, connection.transaction():
        connection.execute("SELECT tenancy.set_tenant('acme')")
        connection.execute("INSERT INTO orders VALUES (1), (2)")
        # Prepared on the server, with parameters, and as text.
        for prepare, query, values in [(True, "INSERT INTO orders VALUES (%s)", (3,)), (False, "INSERT INTO orders VALUES (3)", None)]:
            try:
                with connection.transaction():
                    connection.execute(query, values, prepare=prepare)
            except psycopg.errors.ConfigurationLimitExceeded as error:
                told = {name: getattr(error.diag, name) for name in EXPECTED}
                if told != EXPECTED:
                    sys.exit(f"error: psycopg shows {told}, but expected {EXPECTED}")
            else:
                sys.exit("error: what exceeds the quota was admitted")
        count = connection.execute("SELECT count(*) FROM orders").fetchone()[0]
        if count != 2:
            sys.exit(f"error: after the refusals there are {count} rows")
    print("    psycopg shows a refusal for a quota in its parts, and the transaction goes on")


main(sys.argv[1])
