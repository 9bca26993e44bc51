//! The secret: long enough, compared whole, never shown, and not to be guessed.

use tenancy_harness::{Session, World};

use crate::{SECRET, sealed, unseal, visible};

#[test]
fn a_short_secret_or_none_is_refused() {
    let world = World::new();
    let mut client = world.connect();
    client.run("set tenancy.tenant_id = 'acme'");
    for secret in ["''", "'fifteen bytes..'", "null"] {
        client.refuses(&format!("select tenancy.seal({secret})"), "22023");
    }
    client.run("select tenancy.seal('sixteen bytes...')");
    client.refuses("select tenancy.unseal(null)", "22023");
}

#[test]
fn a_second_seal_is_refused_and_the_first_one_holds() {
    let world = World::new();
    let mut client = sealed(&world);
    client.refuses("select tenancy.seal('another secret of mine')", "42501");
    client.refuses("select tenancy.unseal('another secret of mine')", "42501");
    unseal(&mut client);
}

#[test]
fn the_same_answer_for_every_wrong_secret_and_none_of_them_is_shown() {
    let world = World::new();
    let mut client = sealed(&world);
    let answers: Vec<String> = ["", "correct horse battery stapl", "correct horse battery staple ", "CORRECT HORSE"]
        .iter()
        .map(|secret| {
            let error = client.query("select tenancy.unseal($1)", &[secret]).expect_err("a wrong secret");
            format!("{:?}", error.as_db_error().expect("an error of the server"))
        })
        .collect();
    assert!(answers[0].contains("42501") && !answers[0].contains("horse"), "{}", answers[0]);
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:#?}");
    client.refuses("set tenancy.tenant_id = 'globex'", "42501");
    unseal(&mut client);
}

#[test]
fn after_ten_wrong_secrets_the_right_one_comes_too_late() {
    let world = World::new();
    let mut client = sealed(&world);
    for _ in 0..9 {
        client.refuses("select tenancy.unseal('open sesame')", "42501");
    }
    unseal(&mut client);

    let mut client = sealed(&world);
    for _ in 0..10 {
        client.refuses("select tenancy.unseal('open sesame')", "42501");
    }
    client.refuses(&format!("select tenancy.unseal('{SECRET}')"), "42501");
    client.refuses("set tenancy.tenant_id = 'globex'", "42501");
    assert_eq!(visible(&mut client), ["acme"]);
}

/// A rolled-back guess counts, and so does one in a transaction that fails.
#[test]
fn guesses_count_whatever_becomes_of_their_transaction() {
    let world = World::new();
    let mut client = sealed(&world);
    let guesses = "do $$ begin for i in 1..10 loop
        begin perform tenancy.unseal('open sesame'); exception when insufficient_privilege then null; end;
        end loop; raise 'over'; end $$";
    client.refuses(guesses, "P0001");
    client.refuses(&format!("select tenancy.unseal('{SECRET}')"), "42501");
}

#[test]
fn there_is_nothing_to_lift_where_nothing_is_sealed() {
    let world = World::new();
    world.connect().refuses(&format!("select tenancy.unseal('{SECRET}')"), "55000");
    let mut client = sealed(&world);
    unseal(&mut client);
    client.refuses(&format!("select tenancy.unseal('{SECRET}')"), "55000");
    client.run("set tenancy.tenant_id = 'globex'");
    assert_eq!(visible(&mut client), ["globex"]);
}

#[test]
fn the_secret_is_in_no_setting() {
    let world = World::new();
    let mut client = sealed(&world);
    let settings = client.texts("select name || '=' || coalesce(setting, '') from pg_settings");
    assert!(!settings.iter().any(|setting| setting.contains("horse")));
    let told = world.fixture.superuser().value("show tenancy.sealed").unwrap();
    assert_eq!(told, "");
}
