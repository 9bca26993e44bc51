//! Everything unsafe: the parts of PostgreSQL that pgrx does not wrap, and what differs between its
//! versions. Outward all functions are safe; each `unsafe` block argues why. Imports `error` alone.

pub mod append;
pub mod backend;
pub mod change;
pub mod clock;
pub mod composite;
pub mod datum;
pub mod digest;
pub mod directory;
pub mod discretion;
pub mod fmgr;
pub mod hooks;
pub mod image;
pub mod index;
pub mod invalidation;
pub mod json;
pub mod jsonb;
pub mod key_action;
pub mod leftovers;
pub mod lock;
pub mod memory;
pub mod notify;
pub mod option;
pub mod permissions;
pub mod portal;
pub mod procedure;
pub mod recorder;
pub mod relation;
pub mod report;
pub mod role;
pub mod savepoint;
pub mod scan;
pub mod session;
pub mod slots;
pub mod snapshot;
pub mod statement;
pub mod subxact;
pub mod transition;
pub mod types;
pub mod weight;
pub mod xact;

pub use pgrx::pg_sys::{Datum, InvalidOid as INVALID_OID, Oid};
