//! Every error the extension raises: one variant per condition, with its SQLSTATE, DETAIL and HINT.
//!
//! Values that the caller passed may be repeated to him; another tenant's data never are.

mod lifecycle;

pub use lifecycle::Lifecycle;

use pgrx::{PgSqlErrorCode, pg_sys::panic::ErrorReport};
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
    #[error("the token is not valid")]
    InvalidToken,
    #[error("a token can't be kept in a setting of a role, a database or a function")]
    TokenKept,
    #[error("the token is for another tenant than the one that is set")]
    TokenOfOtherTenant,
    #[error("key \"{0}\" does not exist")]
    UnknownJwtKey(String),
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
    #[error("column \"{column}\" of relation {relation} already exists")]
    ColumnExists { relation: String, column: String },
    #[error("type with OID {0} does not exist")]
    UnknownType(u32),
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

    #[error("access method \"{0}\" does not exist")]
    UnknownAccessMethod(String),
    #[error("data type {type_name} has no default operator class for access method \"{method}\"")]
    NoOperatorClass { type_name: String, method: String },
    #[error("access method \"{0}\" does not support multicolumn indexes")]
    SingleColumnMethod(String),
    #[error("numbers \"{0}\" are gapless")]
    NumbersAreGapless(String),
    #[error("numbers \"{0}\" are given out in blocks")]
    NumbersAreBlocks(String),
    #[error("numbers \"{0}\" are exhausted")]
    NumbersExhausted(String),
    #[error("numbers \"{0}\" could not be reserved")]
    NumbersNotReserved(String),
    #[error("constraint \"{name}\" of relation {relation} does not exist")]
    NoSuchConstraint { relation: String, name: String },
    #[error("{key} can't be led by the tenant column: {reason}")]
    UnsupportedKey { key: String, reason: String, hint: &'static str },
    #[error("{key} can't be led by the tenant column yet: {reason}")]
    KeyNotReady { key: String, reason: String, hint: &'static str },
    #[error("{key} can't be led by the tenant column: the tenant columns are of different types")]
    TenantTypesDiffer { key: String, child: String, parent: String },
    #[error("{key} can't be replaced: other objects depend on it")]
    KeyInUse { key: String, users: String },
    #[error("{key} has rows that refer to no row of their own tenant")]
    CrossTenantReferences { key: String, counts: String, find: String },
    #[error("quota \"{resource}\" is exhausted")]
    QuotaExceeded { resource: String, used: i64, limit: i64, requested: i64 },
    #[error("quota \"{resource}\" is nearly exhausted")]
    QuotaNear { resource: String, used: i64, limit: i64 },
    #[error("rate \"{resource}\" is exhausted")]
    RateExceeded {
        resource: String,
        used: i64,
        limit: i64,
        requested: i64,
        /// Nanoseconds until it fits; `None` when it never does.
        wait: Option<u64>,
    },
    #[error("rate \"{resource}\" is nearly exhausted")]
    RateNear { resource: String, used: i64, limit: i64 },
    #[error("too many sessions act for the tenant")]
    TooManySessions { resource: String, used: i64, limit: i64 },
    #[error("nearly as many sessions act for the tenant as may")]
    SessionsNear { resource: String, used: i64, limit: i64 },
    #[error("{0} needs the library pg_tenancy in shared_preload_libraries")]
    NeedsPreload(&'static str),
    #[error("tenancy.enforce_rate names \"{0}\", which is no resource of kind rate")]
    UnknownEnforcedRate(String),
    #[error("resource \"{0}\" does not exist")]
    UnknownResource(String),
    #[error("relation {relation} does not count for resource \"{resource}\"")]
    NotAttached { relation: String, resource: String },
    #[error("relation {relation} counts as a part of {parent}")]
    AttachedThroughParent { relation: String, parent: String },
    #[error("relation {part} can't count for the quota apart from its parent {parent}")]
    Misfit { part: String, parent: String, reason: &'static str },
    #[error("relation {0} counts for a quota")]
    CountsForQuota(String),
    #[error("rows of relation {0} can't be counted")]
    Uncountable(String),
    #[error("a row belongs to a tenant that is not registered")]
    UnregisteredTenant,
    #[error("amount out of range")]
    AmountOutOfRange,
    #[error("relation {relation} is audited as a part of {parent}")]
    AuditedThroughParent { relation: String, parent: String },
    #[error("relation {0} is not audited")]
    NotAudited(String),
    #[error("relation {0} is neither protected nor classified as global")]
    NotClassified(String),
    #[error("column \"{column}\" of relation {relation} can't be redacted: {reason}")]
    CantRedact { relation: String, column: String, reason: &'static str },
    #[error("the redacted column \"{column}\" of relation {relation} has gone")]
    RedactedColumnGone { relation: String, column: String },
    #[error("the row is too large for the audit log")]
    RowTooLarge,
    #[error("the audit log can't be changed")]
    AppendOnlyLog,
    #[error("the audit log can't be sealed in a transaction of this isolation level")]
    NeedsReadCommitted,
    #[error("month {0} of the audit log can't be sealed yet")]
    MonthNotSealed(String),
    #[error("entry {id} of the audit log, of {relation}, can't be undone")]
    CantUndo { id: i64, relation: String, reason: String },
    #[error("the changes of transaction {txid} can't all be undone")]
    CantUndoAll { txid: u64, reason: &'static str },

    #[error("user \"{user}\" is no member of tenant \"{tenant}\"")]
    UnknownMember { tenant: String, user: String },
    #[error("a tenant keeps its last owner")]
    LastOwner,
    #[error("invalid invitation")]
    InvalidInvitation,
    #[error("there is no such invitation")]
    UnknownInvitation,
    #[error("no tenant is served under host \"{host}\", or role \"{role}\" has no access to it")]
    NoSuchHost { host: String, role: String },
    #[error("host \"{0}\" does not exist")]
    UnknownHost(String),

    #[error(transparent)]
    Lifecycle(#[from] Lifecycle),

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
            MalformedTenant(_) | NullArgument(_) | InvalidArgument { .. } | CantRedact { .. } => {
                PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE
            }
            InvalidToken | InvalidInvitation => PgSqlErrorCode::ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION,
            TokenKept | ReadOnlySetting(_) => PgSqlErrorCode::ERRCODE_CANT_CHANGE_RUNTIME_PARAM,
            UnknownJwtKey(_) | UnknownType(_) | NoSuchConstraint { .. } => PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT,
            NoSuchTenantOrAccess { .. }
            | TokenOfOtherTenant
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
            | TruncateWithoutBypass
            | AppendOnlyLog => PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,
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
            | NotProtected(_)
            | NumbersAreGapless(_)
            | NumbersAreBlocks(_)
            | NumbersNotReserved(_)
            | AuditedThroughParent { .. }
            | NotAudited(_)
            | NotClassified(_)
            | RedactedColumnGone { .. }
            | NeedsReadCommitted
            | MonthNotSealed(_)
            | CantUndo { .. }
            | CantUndoAll { .. } => PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
            NumbersExhausted(_) | AmountOutOfRange => PgSqlErrorCode::ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE,
            UnknownAccessMethod(_) | NoOperatorClass { .. } => PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT,
            SingleColumnMethod(_) | Uncountable(_) => PgSqlErrorCode::ERRCODE_FEATURE_NOT_SUPPORTED,
            UnsupportedKey { .. } => PgSqlErrorCode::ERRCODE_FEATURE_NOT_SUPPORTED,
            NoTransactionBlock(_) => PgSqlErrorCode::ERRCODE_NO_ACTIVE_SQL_TRANSACTION,
            ReadOnly(_) => PgSqlErrorCode::ERRCODE_READ_ONLY_SQL_TRANSACTION,
            QuotaExceeded { .. }
            | QuotaNear { .. }
            | RateExceeded { .. }
            | RateNear { .. }
            | TooManySessions { .. }
            | SessionsNear { .. } => PgSqlErrorCode::ERRCODE_CONFIGURATION_LIMIT_EXCEEDED,
            UnknownResource(_) | UnknownEnforcedRate(_) => PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT,
            NeedsPreload(_) | NotAttached { .. } | AttachedThroughParent { .. } | Misfit { .. } | CountsForQuota(_) => {
                PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE
            }
            UnregisteredTenant | CrossTenantReferences { .. } => PgSqlErrorCode::ERRCODE_FOREIGN_KEY_VIOLATION,
            ColumnExists { .. } => PgSqlErrorCode::ERRCODE_DUPLICATE_COLUMN,
            UnknownTenant(_) | UnknownPlan(_) | UnknownRole(_) => PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT,
            UnknownSchema(_) => PgSqlErrorCode::ERRCODE_INVALID_SCHEMA_NAME,
            UnknownRelation(_) => PgSqlErrorCode::ERRCODE_UNDEFINED_TABLE,
            AlreadyExists(_) => PgSqlErrorCode::ERRCODE_DUPLICATE_OBJECT,
            WrongRelationKind { .. } => PgSqlErrorCode::ERRCODE_WRONG_OBJECT_TYPE,
            NoSuchColumn { .. } | NoSuchKeyColumn { .. } => PgSqlErrorCode::ERRCODE_UNDEFINED_COLUMN,
            UnsuitableColumn { .. } | TenantTypesDiffer { .. } => PgSqlErrorCode::ERRCODE_DATATYPE_MISMATCH,
            NullTenants { .. } => PgSqlErrorCode::ERRCODE_NOT_NULL_VIOLATION,
            UnsupportedRelation { .. } | KeyOfForeignType { .. } | NotSupported(_) => {
                PgSqlErrorCode::ERRCODE_FEATURE_NOT_SUPPORTED
            }
            KeyNotReady { .. } | LastOwner => PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
            KeyInUse { .. } => PgSqlErrorCode::ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST,
            RowTooLarge => PgSqlErrorCode::ERRCODE_PROGRAM_LIMIT_EXCEEDED,
            NoSuchHost { .. } => PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,
            UnknownMember { .. } | UnknownInvitation | UnknownHost(_) => PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT,
            Lifecycle(error) => error.sqlstate(),
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
            InvalidToken => "It is expired or not yet valid, for another audience or of another issuer, \
                 names no tenant, or is not signed by a key that is known here."
                .into(),
            TokenKept => "Everybody could read it there.".into(),
            TokenOfOtherTenant => "Where both are set, they have to name the same tenant.".into(),
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
            NoOperatorClass { .. } => "The tenant column comes first in the index.".into(),
            SingleColumnMethod(_) => "The tenant column comes first in the index, and the others after it.".into(),
            NumbersNotReserved(_) => "A background worker reserves them in a transaction of its own.".into(),
            CantRedact { .. } => "It would be recorded with every change of a row.".into(),
            RedactedColumnGone { .. } => "It may have another name now, under which it would be recorded.".into(),
            NeedsReadCommitted => "It does not see what others have committed since it began.".into(),
            MonthNotSealed(_) => "A transaction runs that is older than some of its entries.".into(),
            CantUndo { reason, .. } => reason.clone(),
            CantUndoAll { reason, .. } => (*reason).into(),
            AppendOnlyLog => "Entries are added when audited tables change, and removed by whole months.".into(),
            OnTheWay(_) => {
                "PostgreSQL does what a foreign key asks for as the table's owner and past row security, and \
                 what a trigger, a rule or a condition of that table calls would be past it too."
                    .into()
            }
            TruncateUnderTenant | TruncateWithoutBypass => "TRUNCATE removes the rows of every tenant.".into(),
            TenantTypesDiffer { child, parent, .. } => format!("They are {child} and {parent}."),
            KeyInUse { users, .. } => format!("These depend on it: {users}."),
            CrossTenantReferences { counts, .. } => format!("{counts}."),
            QuotaExceeded { resource, used, limit, requested }
            | RateExceeded { resource, used, limit, requested, .. } => {
                format!("Resource \"{resource}\": used {used}, limit {limit}, requested {requested}.")
            }
            TooManySessions { resource, used, limit } => {
                format!("Resource \"{resource}\": used {used}, limit {limit}, requested 1.")
            }
            QuotaNear { resource, used, limit }
            | RateNear { resource, used, limit }
            | SessionsNear { resource, used, limit } => {
                format!("Resource \"{resource}\": used {used}, limit {limit}.")
            }
            NeedsPreload(_) => "Sessions share memory for it, which is given out when the server starts.".into(),
            Uncountable(_) => "Rows are counted in tables that PostgreSQL keeps itself, with the tenant column.".into(),
            AmountOutOfRange => "What is counted in one place is at most 36028797018963967.".into(),
            LastOwner => "No other owner would be left.".into(),
            InvalidInvitation => "An invitation is good for one user, until it expires.".into(),
            CountsForQuota(_) => "Its rows are counted by the tenant column that it is protected by.".into(),
            Misfit { reason, .. } => (*reason).into(),
            UnregisteredTenant => "Its table counts for a quota, and quotas are tenants'.".into(),
            Lifecycle(error) => return error.detail(),
            _ => return None,
        })
    }

    /// What the reader can do about it.
    pub fn hint(&self) -> Option<String> {
        use Error::*;
        Some(match self {
            NoSuchTenantOrAccess { .. } => {
                "Check the tenant's name, that tenancy.grant_access() was called for the role, and, where the access \
                 requires membership, that tenancy.user_id is a member."
                    .into()
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
            InvalidToken => "Obtain a new token. A superuser finds the keys in tenancy.jwt_keys.".into(),
            TokenKept => "Set it in the session, or call tenancy.authenticate().".into(),
            TokenOfOtherTenant => "RESET tenancy.tenant_id, or RESET tenancy.token.".into(),
            UnknownJwtKey(_) => "tenancy.add_jwt_key() registers a key.".into(),
            Sealed => "Give tenancy.unseal() the secret, or connect anew.".into(),
            NothingToSeal(_) => "Set tenant and user for the session first: \
                 tenancy.set_tenant(..., is_local => false), SET tenancy.user_id."
                .into(),
            WrongSecret => "After ten wrong secrets a seal holds as long as the session: connect anew.".into(),
            ReadOnlySetting(_) => "tenancy.seal() and tenancy.unseal() set it.".into(),
            NoTransactionBlock(_) => "Start the transaction with BEGIN, or set the value for the session.".into(),
            ReadOnly("tenancy.prove()") => {
                "Run it on the primary server, in a transaction that may write; it leaves nothing behind.".into()
            }
            ReadOnly(_) => "Run it on the primary server, in a transaction that may write.".into(),
            NullArgument("tenant") => "tenancy.clear_tenant() removes the tenant.".into(),
            UnknownTenant(_) => "tenancy.create_tenant() registers a tenant.".into(),
            UnknownPlan(_) => "tenancy.create_plan() makes a plan.".into(),
            WrongStatus { .. } => {
                "tenancy.suspend_tenant(), resume_tenant() and archive_tenant() change the status.".into()
            }
            NotOwner(_) => "Ask the owner of the table, or a superuser, to run this.".into(),
            NoSuchColumn { .. } => "Name the column with tenant_column => '...'.".into(),
            ColumnExists { .. } => "Fill it if it has to be, and call tenancy.protect().".into(),
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
            AuditedThroughParent { .. } => "Call it for the parent.".into(),
            NotAudited(_) => "tenancy.audit() has a table audited.".into(),
            NotClassified(_) => "Call tenancy.protect(), or tenancy.classify(), first.".into(),
            NeedsReadCommitted => "Use READ COMMITTED.".into(),
            CantUndo { .. } | CantUndoAll { .. } => {
                "Nothing was undone. The log tells what the rows were: tenancy.audit_history() gives one row's life."
                    .into()
            }
            MonthNotSealed(_) => "Try again when it has ended; look also for prepared transactions.".into(),
            RedactedColumnGone { .. } => "Call tenancy.audit() again, with the columns to redact.".into(),
            OnTheWay(_) => "Have it done by a trigger, on a table whose owner row security binds. \
                 Before PostgreSQL 18, a trigger AFTER the statement or row does on any table."
                .into(),
            TruncateUnderTenant => "DELETE removes the tenant's own rows.".into(),
            TruncateWithoutBypass => {
                "DELETE removes the rows that the role sees; a superuser or a role with BYPASSRLS may truncate.".into()
            }
            NoOperatorClass { method, .. } => match method.as_str() {
                "gin" | "gist" => format!("CREATE EXTENSION btree_{method} provides one."),
                _ => "Use another access method, such as btree.".into(),
            },
            SingleColumnMethod(_) => "Use btree, or gist with the extension btree_gist; \
                 or CREATE INDEX ... WHERE the tenant column is that of one large tenant."
                .into(),
            NumbersAreGapless(_) => "Draw them with tenancy.next_number(), or use another name.".into(),
            NumbersAreBlocks(_) => "Take them with tenancy.reserve_numbers(), or use another name.".into(),
            NumbersNotReserved(_) => "Look into the server's log: it may be that max_worker_processes leaves no room, \
                 or that the tenant was made in this transaction."
                .into(),
            NoSuchConstraint { .. } => "\\d shows the constraints and indexes of a table.".into(),
            UnsupportedKey { hint, .. } | KeyNotReady { hint, .. } => (*hint).into(),
            TenantTypesDiffer { .. } => "Give both columns the same type.".into(),
            KeyInUse { .. } => "Drop them first, and make them again afterwards: what groups by the key alone has to \
                 name the other columns that it shows."
                .into(),
            CrossTenantReferences { find, .. } => format!("A role that bypasses row security finds them: {find}"),
            IsProtected(_) => "Call tenancy.unprotect() first.".into(),
            ProtectedThroughParent { .. } => "Unprotect the parent, or detach the table.".into(),
            QuotaExceeded { .. } => {
                "Remove what is no longer needed, or have the limit raised with tenancy.set_quota().".into()
            }
            QuotaNear { .. } => "Remove what is no longer needed, or have the limit raised.".into(),
            RateExceeded { wait: Some(wait), .. } => {
                // Rounded up: who comes back then is admitted, if nobody else comes first.
                format!("Try again in {:.3} seconds.", wait.div_ceil(1_000_000) as f64 / 1e3)
            }
            RateExceeded { limit, .. } => format!("It will never fit: at most {limit} are admitted at a time."),
            RateNear { .. } => "Call less often, or have the rate raised.".into(),
            TooManySessions { .. } | SessionsNear { .. } => {
                "End other sessions of the tenant, or have the limit raised with tenancy.set_quota().".into()
            }
            NeedsPreload(_) => "Add pg_tenancy to shared_preload_libraries, and restart the server.".into(),
            UnknownEnforcedRate(_) => "A superuser can make it with tenancy.create_resource(), \
                 or set tenancy.enforce_rate to another one."
                .into(),
            UnknownResource(_) => "tenancy.create_resource() makes a resource.".into(),
            NotAttached { .. } => "tenancy.attach_quota() has a table count for a resource.".into(),
            AttachedThroughParent { .. } => "Detach the parent.".into(),
            Misfit { .. } => "All its parents count for the quota, with all its columns, or none: \
                 ALTER TABLE ... NO INHERIT takes it out of one."
                .into(),
            CountsForQuota(_) => "Detach it with tenancy.detach_quota() first.".into(),
            UnregisteredTenant => "tenancy.create_tenant() registers a tenant.".into(),
            UnknownMember { .. } => "tenancy.members has the members of each tenant.".into(),
            NoSuchHost { .. } => {
                "Check the host, that its tenant is active, and that tenancy.grant_access() was called for \
                 the role."
                    .into()
            }
            UnknownHost(_) => "tenancy.add_host() has a tenant served under a host.".into(),
            LastOwner => "Make somebody else owner first: tenancy.add_member(..., 'owner').".into(),
            InvalidInvitation => "Ask for a new one.".into(),
            Lifecycle(error) => return error.hint(),
            UnknownInvitation => "It was used, taken back, or never made.".into(),
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
