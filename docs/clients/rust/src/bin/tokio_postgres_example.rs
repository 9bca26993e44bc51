//! tokio-postgres with deadpool's pool. `PGHOST`, `PGPORT`, `PGDATABASE`, `PGUSER` and `PGPASSWORD` tell where.

use std::env;

use deadpool_postgres::{GenericClient, Manager, Pool, Transaction};
use tenancy_clients::{Error, Result};
use tokio_postgres::NoTls;

/// Runs `work` in a transaction that acts for this tenant. Dropped before its end, it is rolled back.
async fn in_tenant<T>(pool: &Pool, tenant: &str, work: impl AsyncFnOnce(&Transaction<'_>) -> Result<T>) -> Result<T> {
    let mut client = pool.get().await?;
    let transaction = client.transaction().await?;
    transaction.execute("SELECT tenancy.set_tenant($1)", &[&tenant]).await?;
    let result = work(&transaction).await?;
    // Where an error was swallowed, this is another one; COMMIT would be a ROLLBACK, and none.
    transaction.batch_execute("SELECT").await?;
    transaction.commit().await?;
    Ok(result)
}

/// More than the quota has room for.
async fn too_many(transaction: &Transaction<'_>) -> Result<()> {
    for item in ["rope", "rocket"] {
        transaction.execute("INSERT INTO orders (item) VALUES ($1)", &[&item]).await?;
    }
    Ok(())
}

async fn orders(client: &impl GenericClient) -> Result<String> {
    let rows = client.query("SELECT item, quantity FROM orders ORDER BY item", &[]).await?;
    let found: Vec<String> =
        rows.iter().map(|row| format!("{} {}", row.get::<_, &str>("item"), row.get::<_, i32>("quantity"))).collect();
    Ok(if found.is_empty() { "nothing".into() } else { found.join(", ") })
}

/// Reads, computes and writes; again when another writer was quicker.
async fn restock(pool: &Pool, other: &Pool, item: &str) -> Result<()> {
    let mut attempt = 1;
    loop {
        let outcome = in_tenant(pool, "acme", async |tx| {
            let row = tx.query_one("SELECT quantity FROM orders WHERE item = $1", &[&item]).await?;
            if attempt == 1 {
                let quicker = "UPDATE orders SET quantity = quantity + 1 WHERE item = $1";
                in_tenant(other, "acme", async |tx| Ok(tx.execute(quicker, &[&item]).await?)).await?;
            }
            let quantity = row.get::<_, i32>(0) + 1;
            tx.execute("UPDATE orders SET quantity = $1 WHERE item = $2", &[&quantity, &item]).await?;
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

async fn story(pool: &Pool, other: &Pool) -> Result<()> {
    println!("without a tenant: {}", orders(&pool.get().await?).await?);
    println!("globex: {}", in_tenant(pool, "globex", async |tx| orders(tx).await).await?);

    let backend: i32 = in_tenant(pool, "acme", async |tx| {
        tx.execute("INSERT INTO orders (item) VALUES ($1)", &[&"anvil"]).await?;
        println!("acme: {}", orders(tx).await?);
        Ok(tx.query_one("SELECT pg_backend_pid()", &[]).await?.get(0))
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
    let switch = async |tx: &Transaction<'_>| Ok(tx.execute("SELECT tenancy.set_tenant($1)", &[&"globex"]).await?);
    match in_tenant(pool, "acme", switch).await {
        Err(refusal @ Error::AccessDenied(_)) => println!("two tenants in one transaction: {refusal}"),
        outcome => panic!("{outcome:?}"),
    }
    match in_tenant(pool, "initech", async |_| Ok(())).await {
        Err(refusal @ Error::TenantUnavailable(_)) => println!("a suspended tenant: {refusal}"),
        outcome => panic!("{outcome:?}"),
    }
    match in_tenant(pool, "acme", async |tx| too_many(tx).await).await {
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
    let deadlock = "DO $$BEGIN RAISE deadlock_detected; END$$";
    match in_tenant(pool, "acme", async |tx| Ok(tx.batch_execute(deadlock).await?)).await {
        Err(conflict @ Error::Conflict(_)) => println!("a deadlock: {conflict}"),
        outcome => panic!("{outcome:?}"),
    }

    restock(pool, other, "anvil").await?;
    println!("acme: {}", in_tenant(pool, "acme", async |tx| orders(tx).await).await?);

    // The pool has one connection, and this is it: what the transactions before it had set is gone.
    let client = pool.get().await?;
    let row = client.query_one("SELECT pg_backend_pid(), tenancy.current_key()", &[]).await?;
    assert_eq!((row.get(0), row.get(1)), (backend, None::<&str>));
    println!("the connection's next user: {}", orders(&client).await?);
    Ok(())
}

async fn authenticate(pool: &Pool, token: &str) -> Result<()> {
    let mut client = pool.get().await?;
    let transaction = client.transaction().await?;
    transaction.execute("SELECT tenancy.authenticate($1)", &[&token]).await?;
    Ok(transaction.commit().await?)
}

fn connect() -> Pool {
    let variable = |name| env::var(name).unwrap_or_else(|_| panic!("{name} is not set"));
    let mut config = tokio_postgres::Config::new();
    config.host(variable("PGHOST")).dbname(variable("PGDATABASE")).user(variable("PGUSER"));
    config.port(variable("PGPORT").parse().expect("PGPORT is a number"));
    config.password(env::var("PGPASSWORD").unwrap_or_default());
    Pool::builder(Manager::new(config, NoTls)).max_size(1).build().expect("a pool without timeouts")
}

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async { story(&connect(), &connect()).await })
}
