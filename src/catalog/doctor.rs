//! What the doctor asks the catalogs. Each question is a query of its own on a common ground
//! (`scope.sql`): who acts for tenants, and which tables are protected.
//!
//! The queries rely on the search path that `tenancy.doctor()` pins.

use super::spi;
use crate::error::Result;
use crate::sys::Oid;

/// Something that was found, not yet judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub code: String,
    /// Quoted as SQL needs it.
    pub object: String,
    /// What fills the blank in the code's text.
    pub note: Option<String>,
    pub fix: Option<String>,
    /// Where it is another than the code's.
    pub severity: Option<String>,
}

macro_rules! questions {
    ($($file:literal),* $(,)?) => {
        [$(concat!(
            include_str!("../../sql/queries/doctor/scope.sql"),
            include_str!(concat!("../../sql/queries/doctor/", $file, ".sql"))
        )),*]
    };
}

const QUESTIONS: [&str; 10] = questions![
    "tables",
    "unclassified",
    "policies",
    "keys",
    "views",
    "functions",
    "objects",
    "privileges",
    "roles",
    "server",
];

/// Everything the catalogs tell, about the objects of one schema or of all. Needs the rights of the
/// extension's owner.
pub fn find(schema: Option<Oid>) -> Result<Vec<Found>> {
    let mut found = Vec::new();
    for question in QUESTIONS {
        found.extend(spi::read(question, &[schema.into()], |row| {
            Ok(Found {
                code: row.require(1)?,
                object: row.require(2)?,
                note: row.get(3)?,
                fix: row.get(4)?,
                severity: row.get(5)?,
            })
        })?);
    }
    Ok(found)
}

/// The server's version as a number, 150020 for 15.20.
pub fn server_version() -> Result<Option<i32>> {
    let query = "SELECT pg_catalog.current_setting('server_version_num')::pg_catalog.int4";
    Ok(spi::read(query, &[], |row| row.get(1))?.into_iter().next().flatten())
}
