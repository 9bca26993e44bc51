//! A whole application is converted by the helpers alone, and then tells nothing any more.

use tenancy_harness::postgres::Client;
use tenancy_harness::{ACME, Fixture, GLOBEX, Session, sqlstate};

use crate::schema::{ROWS, SCHEMA, TABLES};
use crate::{run_plan, shop};

/// What is kept of foreign keys whatever becomes of their columns.
const CHARACTER: &str = "select conrelid::regclass || ' ' || conname || ' ' || confrelid::regclass || ' ' || confupdtype::text || confdeltype::text
    || condeferrable::text || condeferred::text || convalidated::text || coalesce(obj_description(oid, 'pg_constraint'), '')
    from pg_constraint where contype = 'f' and conparentid = 0 and connamespace = 'app'::regnamespace order by 1";

/// The application with globex's rows, protected, before any key is scoped.
fn application() -> (Fixture<'static>, String) {
    let (fixture, app) = shop();
    fixture.run(SCHEMA);
    fixture.run(&ROWS.replace("{t}", GLOBEX.id));
    fixture.run(
        "select tenancy.classify('app.countries', 'global'), tenancy.classify('app.currencies', 'global');
         select tenancy.protect('app.journal', kind => 'append_only'), tenancy.protect('app.templates', kind => 'shared');
         select tenancy.protect_schema('app');
         -- Every foreign key has an index, as the doctor wants it.
         do $$ declare k record; begin
           for k in select conrelid::regclass as tbl, (select string_agg(quote_ident(attname), ', ' order by place)
                      from unnest(conkey) with ordinality as u(attnum, place)
                      join pg_attribute a using (attnum) where a.attrelid = conrelid) as columns
                    from pg_constraint where contype = 'f' and conparentid = 0 and connamespace = 'app'::regnamespace
           loop execute format('create index on %s (%s)', k.tbl, k.columns); end loop; end $$;",
    );
    fixture.run(&format!(
        "grant usage on schema app to {app}; grant select, insert, update, delete on all tables in schema app to {app};
         revoke insert, update, delete on app.countries, app.currencies from {app};
         revoke temporary on database {} from public",
        fixture.database()
    ));
    (fixture, app)
}

fn keys_to_mend(client: &mut Client) -> Vec<(String, String)> {
    let rows = client.query(
        "select code || ' ' || object, fix from tenancy.doctor('app') where code in ('UNIQUE_GLOBAL', 'FK_CROSS_TENANT')",
        &[],
    );
    let rows = rows.expect("the doctor answers");
    rows.iter().map(|row| (row.get(0), row.get::<_, Option<String>>(1).unwrap_or_default())).collect()
}

fn illnesses(client: &mut Client) -> Vec<String> {
    client.texts(
        "select code || ' ' || object || ' ' || coalesce(fix, '') from tenancy.doctor()
         where severity <> 'info' and code <> 'SERVER_TOO_OLD'",
    )
}

/// Rows of globex as acme would write them: a statement for each table.
fn copies(superuser: &mut Client) -> Vec<(String, String)> {
    TABLES
        .iter()
        .map(|table| {
            let rows = superuser.value(&format!("select jsonb_agg(to_jsonb(t)) from app.{table} t")).expect("rows");
            let rows = rows.replace(GLOBEX.id, ACME.id).replace('\'', "''");
            let insert = format!(
                "insert into app.{table} overriding system value
                 select * from jsonb_populate_recordset(null::app.{table}, '{rows}')"
            );
            ((*table).to_owned(), insert)
        })
        .collect()
}

/// Nothing that acme tries tells it what globex has.
fn tells_nothing(fixture: &Fixture<'_>, app: &str) {
    let mut superuser = fixture.superuser();
    let foreign_keys = superuser.query(
        "select replace(conrelid::regclass::text, 'app.', ''), conname::text,
                (select array_agg(attname::text) from pg_attribute where attrelid = conrelid and attnum = any (conkey) and attname <> 'tenant_id')
         from pg_constraint where contype = 'f' and conparentid = 0 and connamespace = 'app'::regnamespace
           and confrelid not in ('app.countries'::regclass, 'app.currencies'::regclass)",
        &[],
    );
    let foreign_keys = foreign_keys.expect("foreign keys");
    assert!(foreign_keys.len() >= 40, "{}", foreign_keys.len());
    let copies = copies(&mut superuser);
    let mut client = fixture.connect(app);
    // Acme has no rows: what globex has and what nobody has are one to it.
    for row in &foreign_keys {
        let (table, constraint, columns): (String, String, Vec<String>) = (row.get(0), row.get(1), row.get(2));
        let Some((_, insert)) = copies.iter().find(|(name, _)| *name == table) else { continue };
        let absent = columns.iter().map(|column| format!("\"{column}\" = null")).collect::<Vec<_>>().join(", ");
        assert!(!absent.is_empty(), "{constraint}");
        let outcomes = ["", "other"].map(|which| {
            let mut tx = client.transaction().expect("a transaction");
            tx.run(&format!("select tenancy.set_tenant('{}')", ACME.key));
            let insert = if which.is_empty() {
                insert.clone()
            } else {
                insert.replace("\": 1,", "\": 71,").replace("\": 1}", "\": 71}")
            };
            let outcome = tx.batch_execute(&insert).and_then(|()| tx.batch_execute("set constraints all immediate"));
            let found = sqlstate(&outcome).map(str::to_owned);
            let detail =
                outcome.err().and_then(|error| error.as_db_error().and_then(|e| e.detail().map(str::to_owned)));
            (found, detail.map(|detail| detail.chars().filter(|char| !char.is_ascii_digit()).collect::<String>()))
        });
        assert_eq!(outcomes[0], outcomes[1], "{table} {constraint}");
        assert!(matches!(outcomes[0].0.as_deref(), Some("23503") | None), "{table} {constraint} {outcomes:?}");
    }
    // Every value of every key is globex's already: none of them is in the way.
    let mut tx = client.transaction().expect("a transaction");
    tx.run(&format!("select tenancy.set_tenant('{}')", ACME.key));
    tx.run("set constraints all deferred");
    for (_, insert) in &copies {
        tx.run(insert);
    }
    tx.commit().expect("the deferred keys hold, too");
    for table in TABLES {
        let counts = superuser.texts(&format!("select count(*)::text from app.{table} group by tenant_id"));
        assert!(counts.len() == 2 && counts[0] == counts[1], "{table}: {counts:?}");
    }
    // And within the tenant they hold.
    for (table, insert) in &copies {
        let mut tx = client.transaction().expect("a transaction");
        tx.run(&format!("select tenancy.set_tenant('{}')", ACME.key));
        let outcome = tx.batch_execute(insert);
        assert!(matches!(sqlstate(&outcome), Some("23505" | "23P01")), "{table}: {outcome:?}");
    }
    let oracles = "select tbl || ' ' || attack || ' ' || detail from tenancy.prove()
                   where attack like '%oracle' and blocked is not true";
    assert_eq!(superuser.texts(oracles), Vec::<String>::new());
}

fn is_converted(fixture: &Fixture<'_>, app: &str, before: &[String]) {
    let mut superuser = fixture.superuser();
    assert_eq!(superuser.texts(CHARACTER), before, "all that is not columns stays as it was");
    assert_eq!(illnesses(&mut superuser), Vec::<String>::new());
    let marks = "select indexrelid::regclass || ' ' || indisreplident::text || indisclustered::text from pg_index
                 where indrelid = 'app.products'::regclass and (indisreplident or indisclustered) order by 1";
    assert_eq!(superuser.texts(marks), ["app.products_pkey truefalse", "app.products_sku_key falsetrue"]);
    let kept =
        "select coalesce(obj_description('app.products_sku_key'::regclass, 'pg_class'), '') || c.reloptions::text
                from pg_class c where oid = 'app.products_sku_key'::regclass";
    assert_eq!(superuser.value(kept).as_deref(), Some("by sku{fillfactor=70}"));
    let invalid = superuser.texts("select indexrelid::regclass::text from pg_index where not indisvalid");
    assert_eq!(invalid, Vec::<String>::new());
    let left_over = "select conname::text from pg_constraint where conname like '%scoping%'
                     union all select relname::text from pg_class where relname like '%scoping%'";
    assert_eq!(superuser.texts(left_over), Vec::<String>::new());
    tells_nothing(fixture, app);
}

#[test]
fn an_application_is_converted_key_by_key() {
    let (fixture, app) = application();
    let mut superuser = fixture.superuser();
    let before = superuser.texts(CHARACTER);
    let to_mend = keys_to_mend(&mut superuser);
    assert!(to_mend.len() > 80, "{}", to_mend.len());
    // An oracle, as long as keys are global.
    fixture.connect(&app).refuses(
        "begin; select tenancy.set_tenant('acme'); insert into app.preferences values (9, default, 'theme')",
        "23505",
    );
    let (keys, foreign_keys): (Vec<_>, Vec<_>) = to_mend.iter().partition(|(object, _)| object.starts_with("UNIQUE"));
    let key_count = keys.len().to_string();
    for (object, fix) in keys.into_iter().chain(foreign_keys) {
        assert!(fix.contains("SELECT tenancy.scope_"), "{object}: {fix}");
        superuser.run(fix);
    }
    is_converted(&fixture, &app, &before);
    let noted = superuser.value("select count(*) from tenancy.event_log where event = 'key.scoped'");
    assert_eq!(noted, Some(key_count));
}

#[test]
fn an_application_is_converted_in_the_order_of_the_doctor() {
    let (fixture, app) = application();
    let mut superuser = fixture.superuser();
    let before = superuser.texts(CHARACTER);
    for (object, fix) in keys_to_mend(&mut superuser) {
        assert!(superuser.batch_execute(&fix).is_ok(), "{object}: {fix}");
    }
    is_converted(&fixture, &app, &before);
}

#[test]
fn an_application_is_converted_by_scripts() {
    let (fixture, app) = application();
    let mut superuser = fixture.superuser();
    let before = superuser.texts(CHARACTER);
    let mut steps = Vec::new();
    for table in TABLES {
        steps.extend(run_plan(&mut superuser, &format!("app.{table}")));
    }
    for part in ["CREATE UNIQUE INDEX CONCURRENTLY", "USING INDEX", "NOT VALID", "VALIDATE CONSTRAINT"] {
        assert!(steps.iter().any(|step| step.contains(part)), "{part}");
    }
    is_converted(&fixture, &app, &before);
    for table in TABLES {
        assert_eq!(run_plan(&mut superuser, &format!("app.{table}")), Vec::<String>::new(), "{table}");
    }
}
