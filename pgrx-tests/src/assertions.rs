//! Assertions on errors: by SQLSTATE, since messages may change.

use postgres::error::DbError;

/// SQLSTATE of a failed statement; `None` when it succeeded or the connection broke.
pub fn sqlstate<T>(result: &Result<T, postgres::Error>) -> Option<&str> {
    let error = result.as_ref().err()?;
    error.code().map(postgres::error::SqlState::code)
}

/// Panics unless the statement failed with `expected`; returns the server's error for a closer look.
#[track_caller]
pub fn assert_sqlstate<T>(result: Result<T, postgres::Error>, expected: &str) -> DbError {
    let Err(error) = result else {
        panic!("expected SQLSTATE {expected}, but the statement succeeded");
    };
    let Some(server_error) = error.as_db_error() else {
        panic!("expected SQLSTATE {expected}, but the connection failed: {error}");
    };
    assert_eq!(server_error.code().code(), expected, "the server said: {server_error}");
    server_error.clone()
}
