//! Every error the extension raises: one variant per condition, with its SQLSTATE, DETAIL and HINT.
//!
//! Values that the caller passed may be repeated to him; another tenant's data never are.

use pgrx::PgSqlErrorCode;
use pgrx::pg_sys::panic::ErrorReport;
use thiserror::Error;

/// The result of everything that can fail here.
pub type Result<T> = std::result::Result<T, Error>;

/// A condition of the SQL interface, see the reference for the SQLSTATE of each.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Error {
    #[error("invalid tenant: {0}")]
    MalformedTenant(&'static str),
    #[error("tenant \"{tenant}\" is unknown, or role \"{role}\" has no access to it")]
    NoSuchTenantOrAccess { tenant: String, role: String },
    #[error("tenant \"{tenant}\" is {status}")]
    TenantNotActive { tenant: String, status: String },
    #[error("the key of tenant \"{tenant}\" is malformed")]
    MalformedKey { tenant: String },
    #[error("tenant \"{tenant}\" is kept in another region")]
    OtherRegion { tenant: String },
    #[error("this transaction already acts for another tenant")]
    SecondTenant,
    #[error("this session is sealed")]
    Sealed,
    #[error("this session can't be sealed: {0}")]
    NothingToSeal(&'static str),
    #[error("this session is not sealed")]
    NotSealed,
    #[error("this secret does not lift the seal")]
    WrongSecret,
    #[error("parameter \"{0}\" can't be set")]
    ReadOnlySetting(&'static str),
    #[error("the tenant can't be set inside a security-restricted operation")]
    RestrictedOperation,
    #[error("this session holds left-overs of another tenant: {0}")]
    Leftovers(String),
    #[error("the cursor was opened for another tenant than the one in force")]
    CursorOfOtherTenant,
    #[error("a tenant is required, and none is set")]
    NoTenant,
    #[error("protected table {0} is used without a tenant")]
    NoTenantForTable(String),
    #[error(
        "role \"{role}\" is not bound by row security, and reads or changes protected table {relation} without a reason"
    )]
    Bypass { relation: String, role: String },
    #[error("role \"{0}\" is bound by row security: it has nothing to bypass")]
    NothingToBypass(String),
    #[error("the reason of the bypass could not be recorded")]
    NotRecorded,
    #[error("{0} can only be used in transaction blocks")]
    NoTransactionBlock(&'static str),
    #[error("{0} must not be null")]
    NullArgument(&'static str),
    #[error("invalid {what}: {reason}")]
    InvalidArgument { what: &'static str, reason: String },

    #[error("tenant \"{0}\" does not exist")]
    UnknownTenant(String),
    #[error("plan \"{0}\" does not exist")]
    UnknownPlan(String),
    #[error("role \"{0}\" does not exist")]
    UnknownRole(String),
    #[error("schema \"{0}\" does not exist")]
    UnknownSchema(String),
    #[error("{0} already exists")]
    AlreadyExists(String),
    #[error("tenant \"{tenant}\" is {status}, not {wanted}")]
    WrongStatus { tenant: String, status: String, wanted: &'static str },

    #[error("{object} is not supported: {reason}")]
    WrongRelationKind { object: String, reason: &'static str },
    #[error("{object} is not supported: {reason}")]
    UnsupportedRelation { object: String, reason: &'static str },
    #[error("relation with OID {0} does not exist")]
    UnknownRelation(u32),
    #[error("must be owner of relation {0}")]
    NotOwner(String),
    #[error("column \"{column}\" of relation {relation} does not exist")]
    NoSuchColumn { relation: String, column: String },
    #[error("column \"{column}\" of relation {relation} does not exist")]
    NoSuchKeyColumn { relation: String, column: String },
    #[error("column {column} can't be asked by: its type {type_name} calls code of others")]
    KeyOfForeignType { column: String, type_name: String },
    #[error("column \"{column}\" of relation {relation} can't be a tenant column: {reason}")]
    UnsuitableColumn { relation: String, column: String, reason: String },
    #[error("column \"{column}\" of relation {relation} contains null values")]
    NullTenants { relation: String, column: String },
    #[error("relation {0} is protected")]
    IsProtected(String),
    #[error("relation {relation} is protected as a part of {parent}")]
    ProtectedThroughParent { relation: String, parent: String },
    #[error("relation {0} is not protected")]
    NotProtected(String),
    #[error("relation {relation} is protected, and this command would weaken it")]
    Weakened { relation: String, losses: String },
    #[error("relation {relation} has no tenant column and is not classified")]
    Unclassified { relation: String, column: String },
    #[error("relation {0} is not protected")]
    Unprotected(String),
    #[error("{what} is not allowed to roles with the profile \"strict\"")]
    Strict { what: &'static str, hint: &'static str },
    #[error("{0} needs a superuser")]
    NeedsSuperuser(&'static str),
    #[error("role \"{role}\" owns objects in this database")]
    OwnsObjects { role: String, objects: String },
    #[error("TRUNCATE of a protected table is not allowed while a tenant is in force")]
    TruncateUnderTenant,
    #[error("TRUNCATE of a protected table is not allowed to a role that row security binds")]
    TruncateWithoutBypass,
    #[error("relation {0} is protected, and can't be used on the way of a foreign key's action")]
    OnTheWay(String),
    #[error("cannot execute {0} in a read-only transaction")]
    ReadOnly(&'static str),
    #[error("{0} is not supported by this version of pg_tenancy")]
    NotSupported(&'static str),

    #[error("pg_tenancy is not installed in this database, or is damaged")]
    NotInstalled,
    #[error("query failed: {0}")]
    Spi(String),
}

impl Error {
    /// The SQLSTATE that clients see.
    pub fn sqlstate(&self) -> PgSqlErrorCode {
        use Error::*;
        match self {
            MalformedTenant(_) | NullArgument(_) | InvalidArgument { .. } => {
                PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE
            }
            NoSuchTenantOrAccess { .. }
            | SecondTenant
            | RestrictedOperation
            | Sealed
            | NothingToSeal(_)
            | WrongSecret
            | NoTenant
            | NoTenantForTable(_)
            | Bypass { .. }
            | NothingToBypass(_)
            | NotOwner(_)
            | Weakened { .. }
            | Unclassified { .. }
            | Unprotected(_)
            | Strict { .. }
            | NeedsSuperuser(_)
            | OnTheWay(_)
            | TruncateUnderTenant
            | TruncateWithoutBypass => PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,
            TenantNotActive { .. }
            | MalformedKey { .. }
            | OtherRegion { .. }
            | Leftovers(_)
            | NotRecorded
            | NotSealed
            | OwnsObjects { .. }
            | CursorOfOtherTenant
            | WrongStatus { .. }
            | IsProtected(_)
            | ProtectedThroughParent { .. }
            | NotProtected(_) => PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
            ReadOnlySetting(_) => PgSqlErrorCode::ERRCODE_CANT_CHANGE_RUNTIME_PARAM,
            NoTransactionBlock(_) => PgSqlErrorCode::ERRCODE_NO_ACTIVE_SQL_TRANSACTION,
            ReadOnly(_) => PgSqlErrorCode::ERRCODE_READ_ONLY_SQL_TRANSACTION,
            UnknownTenant(_) | UnknownPlan(_) | UnknownRole(_) => PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT,
            UnknownSchema(_) => PgSqlErrorCode::ERRCODE_INVALID_SCHEMA_NAME,
            UnknownRelation(_) => PgSqlErrorCode::ERRCODE_UNDEFINED_TABLE,
            AlreadyExists(_) => PgSqlErrorCode::ERRCODE_DUPLICATE_OBJECT,
            WrongRelationKind { .. } => PgSqlErrorCode::ERRCODE_WRONG_OBJECT_TYPE,
            NoSuchColumn { .. } | NoSuchKeyColumn { .. } => PgSqlErrorCode::ERRCODE_UNDEFINED_COLUMN,
            UnsuitableColumn { .. } => PgSqlErrorCode::ERRCODE_DATATYPE_MISMATCH,
            NullTenants { .. } => PgSqlErrorCode::ERRCODE_NOT_NULL_VIOLATION,
            UnsupportedRelation { .. } | KeyOfForeignType { .. } | NotSupported(_) => {
                PgSqlErrorCode::ERRCODE_FEATURE_NOT_SUPPORTED
            }
            NotInstalled | Spi(_) => PgSqlErrorCode::ERRCODE_INTERNAL_ERROR,
        }
    }

    /// What else the reader should know, as full sentences.
    pub fn detail(&self) -> Option<String> {
        use Error::*;
        Some(match self {
            MalformedTenant(_) => "A tenant is named by its id (a UUID) or by its key: 1 to 255 characters, \
                 no control characters, no space at either end."
                .into(),
            TenantNotActive { .. } => "Only an active tenant can be acted for.".into(),
            MalformedKey { .. } => "What its text and integer tenant columns hold can't be told.".into(),
            OtherRegion { .. } => "This server holds the tenants of the region that tenancy.region names.".into(),
            SecondTenant => "A transaction that has set or used a tenant keeps it until it ends.".into(),
            Sealed => "It acts for the tenant and the user that it was sealed to, or for nobody.".into(),
            Leftovers(_) => "The new tenant could read them, or they could take in what it writes.".into(),
            CursorOfOtherTenant => "What a cursor has read for a tenant is for that tenant alone.".into(),
            WrongStatus { .. } => "A tenant moves between active and suspended, from suspended to archived, \
                 and from archived to erased."
                .into(),
            AlreadyExists(_) => "Names are unique, and so are the ids of tenants.".into(),
            KeyOfForeignType { .. } => {
                "It would run with the rights of a superuser, of a role with BYPASSRLS, or of an administrator.".into()
            }
            NoTenantForTable(_) => "tenancy.on_missing is set to error.".into(),
            Bypass { .. } => "It would reach the rows of every tenant, and tenancy.on_bypass is set to error.".into(),
            NothingToBypass(_) => "Only a superuser or a role with BYPASSRLS reads across tenants.".into(),
            NotRecorded => "No background worker could write it to tenancy.event_log.".into(),
            NullTenants { .. } => "A row without a tenant would be visible to nobody.".into(),
            Weakened { relation, losses } => format!("What {relation} would lose, or get: {losses}."),
            OwnsObjects { objects, .. } => format!("It can do with them as it likes: {objects}."),
            NeedsSuperuser(_) => "It changes roles, and privileges on what belongs to PostgreSQL.".into(),
            Unclassified { column, .. } => format!("Tables of its schema are to have a tenant column \"{column}\"."),
            Unprotected(_) => "Its schema is managed by tenancy.manage_schema().".into(),
            OnTheWay(_) => {
                "PostgreSQL does what a foreign key asks for as the table's owner and past row security, and \
                 what a trigger, a rule or a condition of that table calls would be past it too."
                    .into()
            }
            TruncateUnderTenant | TruncateWithoutBypass => "TRUNCATE removes the rows of every tenant.".into(),
            _ => return None,
        })
    }

    /// What the reader can do about it.
    pub fn hint(&self) -> Option<String> {
        use Error::*;
        Some(match self {
            NoSuchTenantOrAccess { .. } => {
                "Check the tenant's name, and that tenancy.grant_access() was called for the role.".into()
            }
            TenantNotActive { .. } => "tenancy.resume_tenant() makes a suspended tenant active again.".into(),
            MalformedKey { .. } => "A superuser can correct it in tenancy.tenants.".into(),
            OtherRegion { .. } => "Connect to the server of the tenant's region.".into(),
            Leftovers(_) => "Run DISCARD ALL when a session passes from one tenant to another, \
                 or have tenancy.set_tenant() discard them: tenancy.on_leftovers = discard."
                .into(),
            CursorOfOtherTenant => "Close it and open another one, or fetch before another tenant is set.".into(),
            SecondTenant => "End the transaction with COMMIT or ROLLBACK first. \
                 A superuser can lift the rule for a job's role: \
                 ALTER ROLE ... SET tenancy.allow_switch = on."
                .into(),
            NoTenant | NoTenantForTable(_) => {
                "Call tenancy.set_tenant() in the transaction, before the first statement.".into()
            }
            Bypass { .. } => "Declare why, in the same transaction: SELECT tenancy.bypass('...').".into(),
            NothingToBypass(_) => "Call tenancy.set_tenant() to act for one tenant.".into(),
            NotRecorded => "Look into the server's log, and whether max_worker_processes leaves room.".into(),
            Sealed => "Give tenancy.unseal() the secret, or connect anew.".into(),
            NothingToSeal(_) => "Set tenant and user for the session first: \
                 tenancy.set_tenant(..., is_local => false), SET tenancy.user_id."
                .into(),
            WrongSecret => "After ten wrong secrets a seal holds as long as the session: connect anew.".into(),
            ReadOnlySetting(_) => "tenancy.seal() and tenancy.unseal() set it.".into(),
            NoTransactionBlock(_) => "Start the transaction with BEGIN, or set the value for the session.".into(),
            ReadOnly(_) => {
                "Run it on the primary server, in a transaction that may write; it leaves nothing behind.".into()
            }
            NullArgument("tenant") => "tenancy.clear_tenant() removes the tenant.".into(),
            UnknownTenant(_) => "tenancy.create_tenant() registers a tenant.".into(),
            UnknownPlan(_) => "tenancy.create_plan() makes a plan.".into(),
            WrongStatus { .. } => {
                "tenancy.suspend_tenant(), resume_tenant() and archive_tenant() change the status.".into()
            }
            NotOwner(_) => "Ask the owner of the table, or a superuser, to run this.".into(),
            NoSuchColumn { .. } => "Name the column with tenant_column => '...'.".into(),
            NoSuchKeyColumn { .. } => "Name columns of the table with their values: '{\"id\": 1}'.".into(),
            KeyOfForeignType { .. } => "Name other columns, such as those of the primary key.".into(),
            UnsuitableColumn { .. } => "Use uuid (the tenant's id), text or varchar with a deterministic collation \
                 (its key), or smallint, integer, bigint (a numeric key)."
                .into(),
            NullTenants { .. } => "Fill the column first, or protect the table as kind 'shared', \
                 where a row without tenant is visible to every tenant."
                .into(),
            Weakened { .. } => "tenancy.unprotect() takes protection off, tenancy.protect() changes it; \
                 a superuser may SET tenancy.guard_ddl = off."
                .into(),
            Strict { hint, .. } => (*hint).into(),
            NeedsSuperuser(_) => "With dry_run => true it tells what it would run.".into(),
            OwnsObjects { role, .. } => {
                format!("Give them to somebody else first (REASSIGN OWNED BY {role} TO ...), or drop them.")
            }
            Unclassified { .. } => "Add the column; or make the table in another schema, record it there with \
                 tenancy.classify(..., 'global'), and move it."
                .into(),
            Unprotected(_) => "Call tenancy.protect(), or tenancy.classify().".into(),
            OnTheWay(_) => "Have it done by a trigger, on a table whose owner row security binds. \
                 Before PostgreSQL 18, a trigger AFTER the statement or row does on any table."
                .into(),
            TruncateUnderTenant => "DELETE removes the tenant's own rows.".into(),
            TruncateWithoutBypass => {
                "DELETE removes the rows that the role sees; a superuser or a role with BYPASSRLS may truncate.".into()
            }
            IsProtected(_) => "Call tenancy.unprotect() first.".into(),
            ProtectedThroughParent { .. } => "Unprotect the parent, or detach the table.".into(),
            WrongRelationKind { .. } => "Row security needs an ordinary or partitioned table; \
                 a view can be made with (security_invoker = true)."
                .into(),
            _ => return None,
        })
    }
}

impl From<Error> for ErrorReport {
    #[track_caller]
    fn from(error: Error) -> Self {
        let mut report = ErrorReport::new(error.sqlstate(), error.to_string(), "pg_tenancy");
        if let Some(detail) = error.detail() {
            report = report.set_detail(detail);
        }
        if let Some(hint) = error.hint() {
            report = report.set_hint(hint);
        }
        report
    }
}

impl From<pgrx::spi::Error> for Error {
    fn from(error: pgrx::spi::Error) -> Self {
        Error::Spi(error.to_string())
    }
}

impl From<crate::tenant::Malformed> for Error {
    fn from(malformed: crate::tenant::Malformed) -> Self {
        Error::MalformedTenant(malformed.0)
    }
}
