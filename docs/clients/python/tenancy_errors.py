"""What pg_tenancy refuses, as exceptions. The three examples use it, whatever stands between them and psycopg."""

from contextlib import contextmanager

from psycopg.errors import InFailedSqlTransaction
from psycopg.pq import TransactionStatus


class TenancyError(Exception):
    """A refusal of the database; the driver's exception is its __cause__."""

    def __init__(self, error):
        super().__init__(error.diag.message_primary or str(error))
        self.sqlstate = error.sqlstate
        self.detail = error.diag.message_detail
        self.hint = error.diag.message_hint


class AccessDenied(TenancyError):
    """Not this tenant's, or not this role's: no such tenant, no access, a second tenant in a transaction, another's row."""


class Malformed(TenancyError):
    """No tenant, host or user can have that name."""


class TenantUnavailable(TenancyError):
    """The tenant is suspended or archived, or lives in another region."""


class QuotaExceeded(TenancyError):
    """A limit of the tenant is reached: `detail` has what was used and asked for."""


class RolledBack(TenancyError):
    """An error was swallowed within the transaction: nothing of that is kept."""


class InvalidToken(TenancyError):
    """The token is malformed, expired, or not signed by a key that the database knows."""


class Conflict(TenancyError):
    """Somebody else wrote first, or two waited for each other: do the transaction again."""


BY_SQLSTATE = {
    "42501": AccessDenied,
    "22023": Malformed,
    "55000": TenantUnavailable,
    "53400": QuotaExceeded,
    "25P02": RolledBack,
    "28000": InvalidToken,
    "40001": Conflict,
    "40P01": Conflict,
}


def named(error):
    """The exception of ours for one of the driver's, or None. Frameworks wrap the driver's: it is then the cause."""
    while error is not None:
        if isinstance(error, TenancyError):
            return error
        if (kind := BY_SQLSTATE.get(getattr(error, "sqlstate", None))) is not None:
            return kind(error)
        error = error.__cause__
    return None


@contextmanager
def named_errors():
    """Within it, what the database refuses is raised by its name."""
    try:
        yield
    except TenancyError:
        raise
    except Exception as error:
        if (ours := named(error)) is not None:
            raise ours from error
        raise


def nothing_swallowed(connection):
    """To be asked of psycopg's connection before COMMIT, which ends a failed transaction by ROLLBACK and without an error."""
    if connection.info.transaction_status == TransactionStatus.INERROR:
        raise RolledBack(InFailedSqlTransaction("an error was swallowed: nothing of the transaction is kept"))
