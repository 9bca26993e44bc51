"""SQLAlchemy 2 (on psycopg 3): two event hooks, and then sessions as ever. Connects as libpq does: PGHOST and so on."""

from contextlib import contextmanager, suppress

from sqlalchemy import Identity, String, create_engine, event, func, select, text, update
from sqlalchemy.exc import PendingRollbackError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from tenancy_errors import AccessDenied, Conflict, InvalidToken, Malformed, QuotaExceeded, RolledBack, TenantUnavailable
from tenancy_errors import TenancyError, named, nothing_swallowed


@event.listens_for(Session, "after_begin")
def set_tenant(session, transaction, connection):
    """Each transaction of Session(engine, info={"tenant": …}) acts for that tenant."""
    if (tenant := session.info.get("tenant")) is not None:
        connection.execute(text("SELECT tenancy.set_tenant(:tenant)"), {"tenant": tenant})


def name_errors(engine):
    """What the database refuses is raised by its name, instead of a DBAPIError; what the code swallowed of it, at COMMIT."""

    @event.listens_for(engine, "handle_error")
    def name(context):
        return named(context.original_exception)

    @event.listens_for(engine, "commit")
    def commit(connection):
        nothing_swallowed(connection.connection.dbapi_connection)


@contextmanager
def acting_for(engine, tenant):
    """A session of this tenant, committed when the block ends; session.begin() ends in silence where a flush has failed."""
    with Session(engine, info={"tenant": tenant}) as session:
        yield session
        session.commit()


class Base(DeclarativeBase):
    pass


class Order(Base):
    """The tenant is none of the application's columns: it comes from the context."""

    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    item: Mapped[str] = mapped_column(String)
    quantity: Mapped[int] = mapped_column(default=1)


def orders(session):
    found = session.scalars(select(Order).order_by(Order.item)).all()
    return ", ".join(f"{order.item} {order.quantity}" for order in found) or "nothing"


def restock(engine, other, item, conflicts=1):
    """Reads, computes and writes; again when another writer was quicker, which he is so many times."""
    for attempt in range(1, 4):
        try:
            with acting_for(engine, "acme") as session:
                order = session.scalars(select(Order).where(Order.item == item)).one()
                if attempt <= conflicts:
                    with acting_for(other, "acme") as quicker:
                        quicker.execute(update(Order).where(Order.item == item).values(quantity=Order.quantity + 1))
                order.quantity += 1
            return
        except Conflict as conflict:
            if attempt == 3:
                raise
            print(f"two writers at once: Conflict ({conflict.sqlstate}), and it is tried again")


def story(engine, other):
    with Session(engine) as session:
        print("without a tenant:", orders(session))

    with acting_for(engine, "globex") as session:
        print("globex:", orders(session))

    with acting_for(engine, "acme") as session:
        session.add(Order(item="anvil"))
        print("acme:", orders(session))
        backend = session.scalar(select(func.pg_backend_pid()))

    try:
        with acting_for(engine, "acme' OR 'a' = 'a") as session:
            orders(session)
    except AccessDenied as refusal:
        print(f"a tenant that is not there: AccessDenied ({refusal.sqlstate})")

    try:
        with acting_for(engine, "a" * 256) as session:
            orders(session)
    except Malformed as refusal:
        print(f"a name that no tenant can have: Malformed ({refusal.sqlstate})")

    try:
        with acting_for(engine, "acme") as session:
            session.execute(text("SELECT tenancy.set_tenant(:tenant)"), {"tenant": "globex"})
    except AccessDenied as refusal:
        print(f"two tenants in one transaction: AccessDenied ({refusal.sqlstate})")

    try:
        with acting_for(engine, "initech") as session:
            orders(session)
    except TenantUnavailable as refusal:
        print(f"a suspended tenant: TenantUnavailable ({refusal.sqlstate})")

    try:
        with acting_for(engine, "acme") as session:
            session.add_all([Order(item="rope"), Order(item="rocket")])
    except QuotaExceeded as refusal:
        print(f"more than the quota: QuotaExceeded ({refusal.sqlstate})")

    try:
        with acting_for(engine, "acme") as session:
            with suppress(TenancyError):
                session.execute(text("INSERT INTO orders (item) VALUES ('rope'), ('rocket')"))
    except RolledBack as refusal:
        print(f"a refusal that is swallowed: RolledBack ({refusal.sqlstate})")

    # In a flush it is SQLAlchemy that rolls back, and says so.
    try:
        with acting_for(engine, "acme") as session:
            with suppress(TenancyError):
                session.add_all([Order(item="rope"), Order(item="rocket")])
                session.flush()
        raise AssertionError("swallowed")
    except PendingRollbackError:
        pass

    try:
        with Session(engine) as session:
            session.execute(text("SELECT tenancy.authenticate(:token)"), {"token": "e30.e30.e30"})
    except InvalidToken as refusal:
        print(f"a token that proves nothing: InvalidToken ({refusal.sqlstate})")

    try:
        with acting_for(engine, "acme") as session:
            session.execute(text("DO $$BEGIN RAISE deadlock_detected; END$$"))
    except Conflict as conflict:
        print(f"a deadlock: Conflict ({conflict.sqlstate})")

    restock(engine, other, "anvil")
    with acting_for(engine, "acme") as session:
        print("acme:", orders(session))

    # The pool has one connection, and this is it: what the transactions before it had set is gone.
    with Session(engine) as session:
        assert session.scalar(select(func.pg_backend_pid())) == backend
        assert session.scalar(text("SELECT tenancy.current_tenant()")) is None
        print("the connection's next user:", orders(session))


def connect():
    engine = create_engine("postgresql+psycopg://", pool_size=1, max_overflow=0)
    name_errors(engine)
    return engine


if __name__ == "__main__":
    story(connect(), connect())
