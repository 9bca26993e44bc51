"""psycopg 3 with its pool. Connects as libpq does: PGHOST, PGPORT, PGDATABASE, PGUSER."""

from contextlib import contextmanager, suppress

import psycopg
from psycopg_pool import ConnectionPool

from tenancy_errors import AccessDenied, Conflict, InvalidToken, Malformed, QuotaExceeded, RolledBack, TenantUnavailable
from tenancy_errors import named_errors, nothing_swallowed


@contextmanager
def tenant(pool, key):
    """A connection in a transaction that acts for this tenant, until the block ends."""
    with named_errors(), pool.connection() as connection, connection.transaction():
        connection.execute("SELECT tenancy.set_tenant(%s)", [key])
        yield connection
        nothing_swallowed(connection)


def orders(connection):
    rows = connection.execute("SELECT item, quantity FROM orders ORDER BY item").fetchall()
    return ", ".join(f"{item} {quantity}" for item, quantity in rows) or "nothing"


def restock(pool, other, item, conflicts=1):
    """Reads, computes and writes; again when another writer was quicker, which he is so many times."""
    for attempt in range(1, 4):
        try:
            with tenant(pool, "acme") as connection:
                (quantity,) = connection.execute("SELECT quantity FROM orders WHERE item = %s", [item]).fetchone()
                if attempt <= conflicts:
                    with tenant(other, "acme") as quicker:
                        quicker.execute("UPDATE orders SET quantity = quantity + 1 WHERE item = %s", [item])
                connection.execute("UPDATE orders SET quantity = %s WHERE item = %s", [quantity + 1, item])
            return
        except Conflict as conflict:
            if attempt == 3:
                raise
            print(f"two writers at once: Conflict ({conflict.sqlstate}), and it is tried again")


def story(pool, other):
    with pool.connection() as connection:
        print("without a tenant:", orders(connection))

    with tenant(pool, "globex") as connection:
        print("globex:", orders(connection))

    with tenant(pool, "acme") as connection:
        connection.execute("INSERT INTO orders (item) VALUES (%s)", ["anvil"])
        print("acme:", orders(connection))
        backend = connection.info.backend_pid

    try:
        with tenant(pool, "acme' OR 'a' = 'a"):
            pass
    except AccessDenied as refusal:
        print(f"a tenant that is not there: AccessDenied ({refusal.sqlstate})")

    try:
        with tenant(pool, "a" * 256):
            pass
    except Malformed as refusal:
        print(f"a name that no tenant can have: Malformed ({refusal.sqlstate})")

    try:
        with tenant(pool, "acme") as connection:
            connection.execute("SELECT tenancy.set_tenant(%s)", ["globex"])
    except AccessDenied as refusal:
        print(f"two tenants in one transaction: AccessDenied ({refusal.sqlstate})")

    try:
        with tenant(pool, "initech"):
            pass
    except TenantUnavailable as refusal:
        print(f"a suspended tenant: TenantUnavailable ({refusal.sqlstate})")

    try:
        with tenant(pool, "acme") as connection:
            for item in ["rope", "rocket"]:
                connection.execute("INSERT INTO orders (item) VALUES (%s)", [item])
    except QuotaExceeded as refusal:
        print(f"more than the quota: QuotaExceeded ({refusal.sqlstate})")
        assert refusal.detail == 'Resource "orders": used 2, limit 2, requested 1.', refusal.detail
        assert "tenancy.set_quota()" in refusal.hint, refusal.hint

    try:
        with tenant(pool, "acme") as connection:
            with suppress(psycopg.Error):
                connection.execute("INSERT INTO orders (item) VALUES ('rope'), ('rocket')")
    except RolledBack as refusal:
        print(f"a refusal that is swallowed: RolledBack ({refusal.sqlstate})")

    try:
        with named_errors(), pool.connection() as connection, connection.transaction():
            connection.execute("SELECT tenancy.authenticate(%s)", ["e30.e30.e30"])
    except InvalidToken as refusal:
        print(f"a token that proves nothing: InvalidToken ({refusal.sqlstate})")

    try:
        with tenant(pool, "acme") as connection:
            connection.execute("DO $$BEGIN RAISE deadlock_detected; END$$")
    except Conflict as conflict:
        print(f"a deadlock: Conflict ({conflict.sqlstate})")

    restock(pool, other, "anvil")
    with tenant(pool, "acme") as connection:
        print("acme:", orders(connection))

    # The pool has one connection, and this is it: what the transactions before it had set is gone.
    with pool.connection() as connection:
        assert connection.info.backend_pid == backend
        assert connection.execute("SELECT tenancy.current_tenant()").fetchone() == (None,)
        print("the connection's next user:", orders(connection))


if __name__ == "__main__":
    with ConnectionPool(min_size=1, max_size=1) as pool, ConnectionPool(min_size=1, max_size=1) as other:
        story(pool, other)
