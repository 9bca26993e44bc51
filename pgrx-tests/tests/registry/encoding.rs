//! Databases in which names could not pass between SQL and the library.

use tenancy_harness::{Cluster, Fixture, Session};

#[test]
fn only_a_database_in_utf8_takes_the_extension() {
    let fixture = Fixture::new();
    let cluster = fixture.cluster();
    for (number, encoding) in ["LATIN1", "SQL_ASCII"].into_iter().enumerate() {
        let database = fixture.name(&format!("other_{number}"));
        fixture.run(&format!(
            "create database {database} template template0 encoding '{encoding}' lc_collate 'C' lc_ctype 'C'"
        ));
        let mut client = cluster.connect_to(&database, Cluster::SUPERUSER);
        let error = client.refuses("create extension pg_tenancy", "0A000");
        assert!(error.message().contains("UTF8"), "{error:?}");
        assert!(error.hint().is_some_and(|hint| hint.contains("ENCODING")), "{error:?}");
        client.run("create schema tenancy; drop schema tenancy");
        drop(client);
        fixture.run(&format!("drop database {database} with (force)"));
    }
}
