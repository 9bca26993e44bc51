//! By statement: no transaction can begin. What works is a role for each tenant, and statements that come in one message with what
//! sets their tenant.

use tenancy_harness::{PoolerConfig, Request};

use super::{LOOK, Midst, NOBODY, Storm, Way, good};

/// Of those that need no transaction.
const MIDSTS: [Midst; 4] = [Midst::CopyOut, Midst::Portal, Midst::Statement, Midst::Message];

fn by_statement() -> PoolerConfig {
    PoolerConfig::default().set("pool_mode", "statement")
}

#[test]
fn by_statement_each_tenants_role_acts_for_it_alone() {
    let mut storm = Storm::new(&by_statement(), 2_000);
    storm.own_roles = true;
    for _ in 0..storm.rounds {
        let client = storm.next(|_, _| Request::query(LOOK));
        let guest = storm.acting[client];
        let look = storm.session(client).receive();
        good(&look);
        storm.judge(Some(guest), &look);
        let guest_now = &storm.guests[guest];
        assert_eq!(look.texts().collect::<Vec<_>>(), [guest_now.look_at(&guest_now.key, storm.rows[client])]);
        let other = storm.dice.below(storm.guests.len());
        let (refused, code) = match storm.dice.below(8) {
            0 => (format!("select tenancy.set_tenant('t{other}')"), "25P01"),
            1 if other != guest => (format!("select tenancy.set_tenant('t{other}', false)"), "42501"),
            2 if other != guest => (format!("select tenancy.set_tenant('t{other}'); select body from notes"), "42501"),
            _ => (String::new(), ""),
        };
        if !code.is_empty() {
            assert_eq!(storm.ask(client, Some(guest), &refused).errors, [code], "{refused}");
        }
        statement(&mut storm, client, guest, "");
    }
    storm.count();
}

#[test]
fn by_statement_one_message_may_name_its_tenant() {
    let mut storm = Storm::new(&by_statement(), 1_000);
    for _ in 0..storm.rounds {
        let client = storm.next(|_, _| Request::query(LOOK));
        let look = storm.session(client).receive();
        good(&look);
        storm.judge(None, &look);
        assert_eq!(look.texts().collect::<Vec<_>>(), [NOBODY]);
        let guest = storm.dice.below(storm.guests.len());
        let way = storm.dice.pick(&[Way::Call, Way::Host, Way::Token]);
        let take = way.statements(&storm.guests[guest], true);
        let taken = storm.ask(client, Some(guest), &format!("{take}; {LOOK}"));
        good(&taken);
        let guest_now = &storm.guests[guest];
        assert_eq!(taken.texts().last(), Some(guest_now.look(&way.settings(guest_now)).as_str()));
        statement(&mut storm, client, guest, &format!("{take};"));
    }
    storm.count();
}

/// Something in one message, which begins with `take`, or leaves in the middle of it.
fn statement(storm: &mut Storm, client: usize, guest: usize, take: &str) {
    let canary = storm.guests[guest].canary.text().to_owned();
    match storm.dice.below(6) {
        0 => {
            let statements = format!("{take} insert into notes (body) values ('{canary} new')");
            good(&storm.ask(client, Some(guest), &statements));
            storm.guests[guest].notes += 1;
        }
        1 if storm.guests[guest].notes > 20 => {
            good(&storm.ask(client, Some(guest), &format!("{take} delete from notes")));
            storm.guests[guest].notes = 0;
        }
        2 => {
            let failed = storm.ask(
                client,
                Some(guest),
                &format!("{take} insert into notes (body) values ('{canary}'); select 1/0"),
            );
            assert_eq!(failed.errors, ["22012"], "all of a message is one transaction: {:?}", failed.complaints);
        }
        3 => {
            // The protocol's own way gives one transaction, too, but no block: a tenant of the transaction is refused, and with it all
            // that comes before the end.
            let mut request = Request::default();
            for statement in take.split_terminator(';') {
                request = request.parse("", statement).bind("", "", &[]).execute("", 0);
            }
            let read = request.parse("", "select body from events").bind("", "", &[]).execute("", 0).sync();
            let read = storm.exchange(client, Some(guest), &read);
            if take.is_empty() {
                good(&read);
                assert_eq!(read.rows.len(), storm.guests[guest].events);
            } else {
                assert_eq!(read.errors, ["25P01"], "{:?}", read.complaints);
                assert_eq!(read.rows, Vec::<Option<String>>::new());
            }
        }
        4 => {
            let midst = storm.dice.pick(&MIDSTS);
            storm.leave_in(client, guest, midst);
        }
        _ => {
            let read = storm.ask(client, Some(guest), &format!("{take} select body from notes"));
            good(&read);
            assert_eq!(read.texts().filter(|text| text.starts_with("canary:")).count(), storm.guests[guest].notes);
        }
    }
}
