//! What `pg_tenancy` refuses, as an error type that `?` makes of either driver's.

use std::error::Error as StdError;
use std::fmt;

use tokio_postgres::error::SqlState;

/// The driver's own error, with the server's DETAIL and HINT.
pub type Source = Box<dyn StdError + Send + Sync>;

#[derive(Debug)]
pub enum Error {
    /// No such tenant, no access to it, a second one in a transaction, another's row.
    AccessDenied(Source),
    /// The tenant is suspended or archived, or lives in another region.
    TenantUnavailable(Source),
    /// A limit of the tenant is reached.
    QuotaExceeded(Source),
    /// The token is malformed, expired, or not signed by a key that the database knows.
    InvalidToken(Source),
    /// Somebody else wrote first: do the transaction again.
    Conflict(Source),
    /// Anything else, a broken connection included.
    Other(Source),
}

/// What a transaction of either driver ends with.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    fn named(sqlstate: Option<&str>, source: Source) -> Self {
        match sqlstate {
            Some("42501") => Self::AccessDenied(source),
            Some("55000") => Self::TenantUnavailable(source),
            Some("53400") => Self::QuotaExceeded(source),
            Some("28000") => Self::InvalidToken(source),
            Some("40001") => Self::Conflict(source),
            _ => Self::Other(source),
        }
    }
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        let sqlstate = error.code().cloned();
        Self::named(sqlstate.as_ref().map(SqlState::code), error.into())
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
        let sqlstate = error.as_database_error().and_then(|error| error.code()).map(|code| code.into_owned());
        Self::named(sqlstate.as_deref(), error.into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, source) = match self {
            Self::AccessDenied(source) => ("AccessDenied (42501)", source),
            Self::TenantUnavailable(source) => ("TenantUnavailable (55000)", source),
            Self::QuotaExceeded(source) => ("QuotaExceeded (53400)", source),
            Self::InvalidToken(source) => ("InvalidToken (28000)", source),
            Self::Conflict(source) => ("Conflict (40001)", source),
            Self::Other(source) => return source.fmt(f),
        };
        // `{}` is the name alone, `{:#}` also what the server said.
        if f.alternate() { write!(f, "{name}: {source}") } else { f.write_str(name) }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::AccessDenied(source)
            | Self::TenantUnavailable(source)
            | Self::QuotaExceeded(source)
            | Self::InvalidToken(source)
            | Self::Conflict(source)
            | Self::Other(source) => Some(&**source),
        }
    }
}
