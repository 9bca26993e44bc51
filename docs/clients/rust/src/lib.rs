//! What `pg_tenancy` refuses, as an error type that `?` makes of either driver's.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;

/// The driver's own error, with the server's DETAIL and HINT.
pub type Source = Box<dyn StdError + Send + Sync>;

#[derive(Debug)]
pub enum Error {
    /// No such tenant, no access to it, a second one in a transaction, another's row.
    AccessDenied(Source),
    /// No tenant, host or user can have that name.
    Malformed(Source),
    /// The tenant is suspended or archived, or lives in another region.
    TenantUnavailable(Source),
    /// A limit of the tenant is reached.
    QuotaExceeded(Source),
    /// An error was swallowed within the transaction: nothing of that is kept.
    RolledBack(Source),
    /// The token is malformed, expired, or not signed by a key that the database knows.
    InvalidToken(Source),
    /// Somebody else wrote first, or two waited for each other: do the transaction again.
    Conflict(Source),
    /// Anything else, a broken connection included.
    Other(Source),
}

/// What a transaction of either driver ends with.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    fn named(source: Source) -> Self {
        let name: fn(Source) -> Self = match sqlstate(&*source).as_deref() {
            Some("42501") => Self::AccessDenied,
            Some("22023") => Self::Malformed,
            Some("55000") => Self::TenantUnavailable,
            Some("53400") => Self::QuotaExceeded,
            Some("25P02") => Self::RolledBack,
            Some("28000") => Self::InvalidToken,
            Some("40001" | "40P01") => Self::Conflict,
            _ => Self::Other,
        };
        name(source)
    }
}

/// The SQLSTATE of either driver's error, where it comes from the server.
fn sqlstate<'e>(error: &'e (dyn StdError + 'static)) -> Option<Cow<'e, str>> {
    if let Some(error) = error.downcast_ref::<tokio_postgres::Error>() {
        return error.code().map(|state| state.code().into());
    }
    error.downcast_ref::<sqlx::Error>()?.as_database_error()?.code()
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::named(error.into())
    }
}

impl From<deadpool_postgres::PoolError> for Error {
    fn from(error: deadpool_postgres::PoolError) -> Self {
        match error {
            deadpool_postgres::PoolError::Backend(error) => error.into(),
            error => Self::Other(error.into()),
        }
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::named(error.into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, source) = match self {
            Self::AccessDenied(source) => ("AccessDenied", source),
            Self::Malformed(source) => ("Malformed", source),
            Self::TenantUnavailable(source) => ("TenantUnavailable", source),
            Self::QuotaExceeded(source) => ("QuotaExceeded", source),
            Self::RolledBack(source) => ("RolledBack", source),
            Self::InvalidToken(source) => ("InvalidToken", source),
            Self::Conflict(source) => ("Conflict", source),
            Self::Other(source) => return source.fmt(f),
        };
        write!(f, "{name} ({})", sqlstate(&**source).unwrap_or_default())?;
        // `{}` is the name alone, `{:#}` also what the server said.
        if f.alternate() { write!(f, ": {source}") } else { Ok(()) }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::AccessDenied(source)
            | Self::Malformed(source)
            | Self::TenantUnavailable(source)
            | Self::QuotaExceeded(source)
            | Self::RolledBack(source)
            | Self::InvalidToken(source)
            | Self::Conflict(source)
            | Self::Other(source) => Some(&**source),
        }
    }
}
