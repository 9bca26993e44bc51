//! What can be wrong with handlers, with erasing, copying and publishing tenants, and with dropping the extension.

use pgrx::PgSqlErrorCode;
use thiserror::Error;

/// A condition of the functions that make, move and end tenants, and of the extension's own end.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Lifecycle {
    #[error("handler {handler} of lifecycle event \"{event}\" does not exist")]
    UnknownHandler { event: &'static str, handler: String },
    #[error("handler {handler} of lifecycle event \"{event}\" exists no longer")]
    HandlerGone { event: String, handler: String },
    #[error("must be owner of function {0}")]
    NotFunctionOwner(String),
    #[error("function {0} can't handle lifecycle events")]
    UnsuitableHandler(String),
    #[error("the tenant is not erased without its key as confirmation")]
    NotConfirmed,
    #[error("tables with a tenant column are neither protected nor classified")]
    UnclassifiedTables(String),
    #[error("tables that refer to each other, or parts of a table, belong to different owners")]
    OwnersDiffer(String),
    #[error("table {0} was changed, or replaced, while a tenant's rows were being worked on")]
    TableChanged(String),
    #[error("rows of the tenant remain in {relation}")]
    RowsRemain { relation: String, rows: i64 },
    #[error("key {key} of {relation} is not led by the tenant: a copy would collide with it")]
    KeyOfAll { key: String, relation: String },
    #[error("a tenant can't be erased in a transaction of this isolation level")]
    ErasureIsolation,
    #[error("a tenant can't be erased while publications send its rows, or name it")]
    ErasesPublished(String),
    #[error("publication {publication} exists, and is not the tenant's")]
    PublicationTaken { publication: String, other: String },
    #[error("rows of {0} can't be published: changed ones are not known again on the other side")]
    NotIdentified(String),
    #[error("the parent of a tenant can't be the tenant itself, or one below it")]
    ParentIsBelow,
    #[error("the parent of a tenant is no tenant")]
    ParentIsNone,
    #[error("other tenants are below the tenant")]
    StillParent,
    #[error("a tenant that others are below can't be erased")]
    ErasesParent,
    #[error("a tree of tenants can't have so many levels")]
    TreeTooDeep,
    #[error("too many tenants are below the tenant")]
    TreeTooLarge,
    #[error("the cursor was opened when other tenants were below the one in force")]
    CursorOfOtherTree,
    #[error("cannot drop extension pg_tenancy because tables are protected by it")]
    StillProtects(String),
    #[error("extension pg_tenancy goes, and no tenant is told from another any more")]
    LeavesClosed(String),
    #[error("extension pg_tenancy is of version {schema} in this database, and its library of version {library}")]
    OldSchema { schema: String, library: &'static str },
    #[error(
        "extension pg_tenancy is of version {schema} in this database, which its library of version {library} doesn't know"
    )]
    NewSchema { schema: String, library: &'static str },
}

impl Lifecycle {
    /// The SQLSTATE that clients see.
    pub fn sqlstate(&self) -> PgSqlErrorCode {
        use Lifecycle::*;
        match self {
            UnknownHandler { .. } => PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT,
            PublicationTaken { .. } => PgSqlErrorCode::ERRCODE_DUPLICATE_OBJECT,
            NotIdentified(_) => PgSqlErrorCode::ERRCODE_FEATURE_NOT_SUPPORTED,
            NotFunctionOwner(_) => PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,
            UnsuitableHandler(_) => PgSqlErrorCode::ERRCODE_WRONG_OBJECT_TYPE,
            NotConfirmed | ParentIsBelow => PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
            ParentIsNone | StillParent => PgSqlErrorCode::ERRCODE_FOREIGN_KEY_VIOLATION,
            TreeTooDeep | TreeTooLarge => PgSqlErrorCode::ERRCODE_PROGRAM_LIMIT_EXCEEDED,
            StillProtects(_) | LeavesClosed(_) => PgSqlErrorCode::ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST,
            OldSchema { .. }
            | NewSchema { .. }
            | HandlerGone { .. }
            | UnclassifiedTables(_)
            | OwnersDiffer(_)
            | TableChanged(_)
            | RowsRemain { .. }
            | KeyOfAll { .. }
            | ErasesParent
            | ErasesPublished(_)
            | CursorOfOtherTree
            | ErasureIsolation => PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
        }
    }

    /// What else the reader should know.
    pub fn detail(&self) -> Option<String> {
        use Lifecycle::*;
        Some(match self {
            HandlerGone { .. } => "What is registered is called in the same transaction, or that fails.".into(),
            NotFunctionOwner(_) => "It would run with the rights of its owner.".into(),
            NotConfirmed => "What is erased can't be brought back.".into(),
            UnclassifiedTables(tables) => format!("They may hold rows of the tenant: {tables}."),
            KeyOfAll { .. } => "Each row is copied as it is, other than its tenant.".into(),
            OwnersDiffer(tables) => {
                format!("Their rows go, or come, in one statement, which runs as the tables' owner: {tables}.")
            }
            TableChanged(_) => {
                "Its name, its owner, or which tables there are is not what it was in the beginning.".into()
            }
            RowsRemain { rows, .. } => {
                format!("{rows} rows. A trigger, a rule or a handler kept them, or wrote them anew.")
            }
            ErasureIsolation => "It does not see what others have committed since it began.".into(),
            ErasesPublished(publications) => {
                format!("Whoever subscribes would lose these rows as well. Published by: {publications}.")
            }
            PublicationTaken { other, .. } => {
                format!(
                    "Its subscribers would be sent this tenant's rows instead of what they have. It publishes {other}."
                )
            }
            NotIdentified(_) => {
                "The table has generated columns, which are not sent, and no unique index of other columns that has \
                 the tenant column: PostgreSQL would refuse every UPDATE and DELETE."
                    .into()
            }
            UnsuitableHandler(_) => {
                "A handler is an ordinary function of (uuid, jsonb) that returns one value, or void.".into()
            }
            ParentIsBelow => "Tenants form trees: nobody is below himself.".into(),
            ParentIsNone => "Column parent holds the id of a tenant that is not erased.".into(),
            StillParent => "Their column parent holds its id.".into(),
            ErasesParent => "They would be left without a place in the tree.".into(),
            TreeTooDeep => "There can be 32, the topmost tenant's included.".into(),
            TreeTooLarge => "The rows of 100000 tenants at most can be read at once.".into(),
            CursorOfOtherTree => "It may have read rows of one that is not below it any more.".into(),
            OldSchema { .. } => "The library can't read all of the extension's tables as they are here.".into(),
            NewSchema { .. } => "Some of the extension's tables may be others than the library reads.".into(),
            StillProtects(tables) => {
                format!(
                    "These would lose their policies, defaults and triggers, and what is recorded of them: {tables}."
                )
            }
            LeavesClosed(tables) => {
                format!("Row security stays on, without policies that let anybody in but who bypasses it: {tables}.")
            }
            _ => return None,
        })
    }

    /// What the reader can do about it.
    pub fn hint(&self) -> Option<String> {
        use Lifecycle::*;
        Some(match self {
            UnknownHandler { .. } => "tenancy.lifecycle_handlers has what is registered.".into(),
            HandlerGone { event, .. } => format!(
                "Create it again under this name, or call tenancy.off_lifecycle('{event}') and register what there is."
            ),
            NotFunctionOwner(_) => "Have its owner, or a superuser, register it.".into(),
            NotConfirmed => "Pass the tenant's key: confirm => '...'. With dry_run => true nothing is erased.".into(),
            UnclassifiedTables(_) => "Call tenancy.protect(), or tenancy.classify(..., 'global').".into(),
            OwnersDiffer(_) => "Give them to one owner, or remove the tenant's rows of one of them first.".into(),
            TableChanged(_) => "Try again while nobody changes tables.".into(),
            RowsRemain { .. } => "Nothing was erased. Disable what keeps them while the tenant is erased.".into(),
            KeyOfAll { .. } => "Call tenancy.scope_unique() for it.".into(),
            ErasureIsolation => "Use READ COMMITTED.".into(),
            ErasesPublished(_) => {
                "When the subscriber has all, drop the subscription there first, then the publication: DROP PUBLICATION. One for others \
                 is to name them alone: ALTER PUBLICATION ... SET TABLE."
                    .into()
            }
            PublicationTaken { .. } => {
                "Give another name; or, when nobody subscribes to it any more, DROP PUBLICATION first.".into()
            }
            NotIdentified(_) => "Have a key led by the tenant: tenancy.scope_unique(), or a unique index with the tenant column \
                 on columns that are NOT NULL."
                .into(),
            ParentIsBelow => "Move what is to be above first, with tenancy.set_parent().".into(),
            ParentIsNone => "tenancy.create_tenant() registers a tenant.".into(),
            StillParent | ErasesParent => {
                "Move them with tenancy.set_parent(), or erase them first: tenancy.tenants has its id as their parent."
                    .into()
            }
            TreeTooDeep => "Place the tenant higher.".into(),
            StillProtects(_) => {
                "tenancy.unprotect() leaves a table open to all who may read it. DROP ... CASCADE leaves them \
                 closed to everybody but superusers and roles with BYPASSRLS."
                    .into()
            }
            OldSchema { .. } => "Run ALTER EXTENSION pg_tenancy UPDATE.".into(),
            NewSchema { .. } => "Install the package of that version, or a later one, and restart the server.".into(),
            LeavesClosed(_) => "CREATE EXTENSION and tenancy.protect() open them to their tenants again.".into(),
            TreeTooLarge => "Act for a tenant further below, or read as a role with BYPASSRLS.".into(),
            CursorOfOtherTree => "Close it and open another one.".into(),
            _ => return None,
        })
    }
}
