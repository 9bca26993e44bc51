//! Short forms for what tests do with a session: read text, count rows, expect a refusal.

use postgres::error::DbError;
use postgres::{GenericClient, SimpleQueryMessage, Transaction};

use crate::assertions::assert_sqlstate;

/// For sessions and for transactions within them. Values are read as the server prints them, so that a test can
/// look at any type.
pub trait Session {
    /// First column of every row; panics when the query fails or returns a NULL.
    #[track_caller]
    fn texts(&mut self, query: &str) -> Vec<String>;

    /// First column of the only row; `None` for NULL.
    #[track_caller]
    fn value(&mut self, query: &str) -> Option<String>;

    /// Rows that a statement touched.
    #[track_caller]
    fn affected(&mut self, statement: &str) -> u64;

    /// Runs statements that must succeed.
    #[track_caller]
    fn run(&mut self, statements: &str);

    /// Runs statements that must fail with `sqlstate`; an enclosing transaction is then in the failed state.
    #[track_caller]
    fn refuses(&mut self, statements: &str, sqlstate: &str) -> DbError;
}

impl<C: GenericClient> Session for C {
    fn texts(&mut self, query: &str) -> Vec<String> {
        let values = first_column(self, query);
        values.into_iter().map(|value| value.unwrap_or_else(|| panic!("NULL from: {query}"))).collect()
    }

    fn value(&mut self, query: &str) -> Option<String> {
        let mut values = first_column(self, query);
        assert_eq!(values.len(), 1, "rows from: {query}");
        values.remove(0)
    }

    fn affected(&mut self, statement: &str) -> u64 {
        let count = self.execute(statement, &[]);
        count.unwrap_or_else(|error| panic!("{error:?}\nin: {statement}"))
    }

    fn run(&mut self, statements: &str) {
        if let Err(error) = self.batch_execute(statements) {
            panic!("{error:?}\nin: {statements}");
        }
    }

    fn refuses(&mut self, statements: &str, sqlstate: &str) -> DbError {
        let outcome = self.batch_execute(statements);
        assert!(outcome.is_err(), "expected SQLSTATE {sqlstate}, but this succeeded: {statements}");
        assert_sqlstate(outcome, sqlstate)
    }
}

#[track_caller]
fn first_column(client: &mut impl GenericClient, query: &str) -> Vec<Option<String>> {
    let messages = client.simple_query(query).unwrap_or_else(|error| panic!("{error:?}\nin: {query}"));
    let rows = messages.iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row.get(0).map(str::to_owned)),
        _ => None,
    });
    rows.collect()
}

/// Runs statements that must fail with `sqlstate` inside a savepoint, so that the transaction can go on.
#[track_caller]
pub fn refuses_in_savepoint(transaction: &mut Transaction<'_>, statements: &str, sqlstate: &str) -> DbError {
    let mut savepoint = transaction.transaction().expect("a savepoint");
    let error = savepoint.refuses(statements, sqlstate);
    savepoint.rollback().expect("back to the savepoint");
    error
}
