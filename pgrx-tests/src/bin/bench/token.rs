//! (m) a token that was verified before, and a tenant that is named by hand.

use std::time::Instant;

use tenancy_harness::{Fixture, Session};

use crate::Bench;
use crate::measure::{Turns, alternate};
use crate::report::Line;

/// What a verified token may cost more in each transaction, in seconds.
const BAR: f64 = 1e-6;

/// An HS256 token for tenant `acme`, made by PostgreSQL's own SHA-256: the secret is 64 times the letter k, which HMAC combines
/// with its two pads to 64 times `]` and 64 times `7`.
const TOKEN: &str = r#"
    create function base64url(bytea) returns text language sql
      return translate(encode($1, 'base64'), E'+/=\n', '-_');
    create function token() returns text language sql return (
      select m || '.' || base64url(sha256(repeat('7', 64)::bytea || sha256(repeat(']', 64)::bytea || m::bytea)))
        from (select base64url('{"alg": "HS256", "kid": "bench"}') || '.'
                  || base64url('{"tenant_id": "acme", "sub": "alice", "exp": 4102444800}') as m) message);
"#;

#[derive(Clone, Copy)]
enum Way {
    Hand,
    Token,
}

pub fn token(bench: &Bench<'_>) -> Vec<Line> {
    let fixture = Fixture::on(bench.cluster);
    let role = fixture.role("api");
    fixture.run(TOKEN);
    fixture.run(&format!(
        "select tenancy.create_tenant('acme'), tenancy.grant_access('{role}'),
                tenancy.add_jwt_key('bench', 'HS256', repeat('k', 64))"
    ));
    let token = fixture.superuser().value("select token()").expect("a token");
    let turns = Turns { rounds: bench.scale.rounds, slices: bench.scale.slices, calls: 10_000 };
    let mut client = fixture.connect(&role);
    let mut lines = Vec::new();
    let calls = [Way::Hand, Way::Token].map(|way| match way {
        Way::Hand => "tenancy.set_tenant('acme')".to_owned(),
        Way::Token => format!("tenancy.authenticate('{token}')"),
    });
    let [hand, signed] = &alternate(turns, [Way::Hand, Way::Token], |way| {
        let call = &calls[way as usize];
        let start = Instant::now();
        client.run(&format!(
            "begin; do $$ begin for i in 1..{} loop perform {call}; end loop; end $$; commit",
            turns.calls
        ));
        start.elapsed()
    });
    let what = "set the context, in one transaction";
    lines.push(Line::difference('m', what, "token - by hand", (signed, hand), BAR));

    let mut sessions = [Way::Hand, Way::Token].map(|way| {
        let mut client = fixture.connect(&role);
        client.run(&match way {
            Way::Hand => "set tenancy.tenant_id = 'acme'".to_owned(),
            Way::Token => format!("set tenancy.token = '{token}'"),
        });
        client
    });
    let [hand, signed] = &alternate(turns, [Way::Hand, Way::Token], |way| {
        let client = &mut sessions[way as usize];
        let start = Instant::now();
        client.run(&format!(
            "do $$ begin for i in 1..{} loop perform tenancy.current_tenant(); commit; end loop; end $$",
            turns.calls
        ));
        start.elapsed()
    });
    let what = "first use in a transaction of its own";
    lines.push(Line::difference('m', what, "token - by hand", (signed, hand), BAR));
    lines
}
