//! sqlx with its pool. Connects as libpq does: `PGHOST`, `PGPORT`, `PGDATABASE`, `PGUSER`.

use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use tenancy_clients::{Error, Result};

/// Runs `work` in a transaction that acts for this tenant. Dropped before its end, it is rolled back.
async fn in_tenant<T>(
    pool: &PgPool,
    tenant: &str,
    work: impl AsyncFnOnce(&mut PgConnection) -> Result<T>,
) -> Result<T> {
    let mut transaction = pool.begin().await?;
    sqlx::query("SELECT tenancy.set_tenant($1)").bind(tenant).execute(&mut *transaction).await?;
    let result = work(&mut transaction).await?;
    // Where an error was swallowed, this is another one; COMMIT would be a ROLLBACK, and none.
    sqlx::query("SELECT").execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(result)
}

async fn orders(connection: &mut PgConnection) -> Result<String> {
    let rows: Vec<(String, i32)> =
        sqlx::query_as("SELECT item, quantity FROM orders ORDER BY item").fetch_all(connection).await?;
    let found: Vec<String> = rows.iter().map(|(item, quantity)| format!("{item} {quantity}")).collect();
    Ok(if found.is_empty() { "nothing".into() } else { found.join(", ") })
}

async fn insert(connection: &mut PgConnection, item: &str) -> Result<()> {
    sqlx::query("INSERT INTO orders (item) VALUES ($1)").bind(item).execute(connection).await?;
    Ok(())
}

/// More than the quota has room for.
async fn too_many(connection: &mut PgConnection) -> Result<()> {
    insert(connection, "rope").await?;
    insert(connection, "rocket").await
}

/// Reads, computes and writes; again when another writer was quicker.
async fn restock(pool: &PgPool, other: &PgPool, item: &str) -> Result<()> {
    let mut attempt = 1;
    loop {
        let outcome = in_tenant(pool, "acme", async |tx| {
            let quantity: i32 = sqlx::query_scalar("SELECT quantity FROM orders WHERE item = $1")
                .bind(item)
                .fetch_one(&mut *tx)
                .await?;
            if attempt == 1 {
                let quicker = sqlx::query("UPDATE orders SET quantity = quantity + 1 WHERE item = $1").bind(item);
                in_tenant(other, "acme", async |tx| Ok(quicker.execute(tx).await?)).await?;
            }
            let update = sqlx::query("UPDATE orders SET quantity = $1 WHERE item = $2").bind(quantity + 1).bind(item);
            update.execute(tx).await?;
            Ok(())
        });
        match outcome.await {
            Err(error @ Error::Conflict(_)) if attempt < 3 => {
                println!("two writers at once: {error}, and it is tried again");
                attempt += 1;
            }
            outcome => return outcome,
        }
    }
}

async fn story(pool: &PgPool, other: &PgPool) -> Result<()> {
    println!("without a tenant: {}", orders(&mut *pool.acquire().await?).await?);
    println!("globex: {}", in_tenant(pool, "globex", orders).await?);

    let backend: i32 = in_tenant(pool, "acme", async |tx| {
        insert(tx, "anvil").await?;
        println!("acme: {}", orders(tx).await?);
        Ok(sqlx::query_scalar("SELECT pg_backend_pid()").fetch_one(tx).await?)
    })
    .await?;

    match in_tenant(pool, "acme' OR 'a' = 'a", async |_| Ok(())).await {
        Err(refusal @ Error::AccessDenied(_)) => println!("a tenant that is not there: {refusal}"),
        outcome => panic!("{outcome:?}"),
    }
    match in_tenant(pool, &"a".repeat(256), async |_| Ok(())).await {
        Err(refusal @ Error::Malformed(_)) => println!("a name that no tenant can have: {refusal}"),
        outcome => panic!("{outcome:?}"),
    }
    let switch = sqlx::query("SELECT tenancy.set_tenant($1)").bind("globex");
    match in_tenant(pool, "acme", async |tx| Ok(switch.execute(tx).await?)).await {
        Err(refusal @ Error::AccessDenied(_)) => println!("two tenants in one transaction: {refusal}"),
        outcome => panic!("{outcome:?}"),
    }
    match in_tenant(pool, "initech", async |_| Ok(())).await {
        Err(refusal @ Error::TenantUnavailable(_)) => println!("a suspended tenant: {refusal}"),
        outcome => panic!("{outcome:?}"),
    }
    match in_tenant(pool, "acme", too_many).await {
        Err(refusal @ Error::QuotaExceeded(_)) => println!("more than the quota: {refusal}"),
        outcome => panic!("{outcome:?}"),
    }
    match in_tenant(pool, "acme", async |tx| Ok(too_many(tx).await.is_ok())).await {
        Err(refusal @ Error::RolledBack(_)) => println!("a refusal that is swallowed: {refusal}"),
        outcome => panic!("{outcome:?}"),
    }
    match authenticate(pool, "e30.e30.e30").await {
        Err(refusal @ Error::InvalidToken(_)) => println!("a token that proves nothing: {refusal}"),
        outcome => panic!("{outcome:?}"),
    }
    let deadlock = sqlx::query("DO $$BEGIN RAISE deadlock_detected; END$$");
    match in_tenant(pool, "acme", async |tx| Ok(deadlock.execute(tx).await?)).await {
        Err(conflict @ Error::Conflict(_)) => println!("a deadlock: {conflict}"),
        outcome => panic!("{outcome:?}"),
    }

    restock(pool, other, "anvil").await?;
    println!("acme: {}", in_tenant(pool, "acme", orders).await?);

    // The pool has one connection, and this is it: what the transactions before it had set is gone.
    let mut connection = pool.acquire().await?;
    let state: (i32, Option<String>) =
        sqlx::query_as("SELECT pg_backend_pid(), tenancy.current_key()").fetch_one(&mut *connection).await?;
    assert_eq!(state, (backend, None));
    println!("the connection's next user: {}", orders(&mut connection).await?);
    Ok(())
}

async fn authenticate(pool: &PgPool, token: &str) -> Result<()> {
    let mut transaction = pool.begin().await?;
    sqlx::query("SELECT tenancy.authenticate($1)").bind(token).execute(&mut *transaction).await?;
    Ok(transaction.commit().await?)
}

fn main() -> Result<()> {
    let connect = || PgPoolOptions::new().max_connections(1).connect_lazy_with(PgConnectOptions::new());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async { story(&connect(), &connect()).await })
}
