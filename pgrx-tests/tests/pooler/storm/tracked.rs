//! `track_extra_parameters`: each client has a tenant of its session, which the pooler puts back with each transaction.

use tenancy_harness::{PoolerConfig, Request};

use crate::context::one_that_tracks;

use super::{LOOK, MIDSTS, NOBODY, Storm, good};

#[test]
fn a_pooler_that_tracks_gives_each_client_its_own_tenant() {
    let Some(program) = one_that_tracks("a storm on a pooler that tracks") else { return };
    let config = PoolerConfig::default().program(program).set("track_extra_parameters", "tenancy.tenant_id");
    let mut storm = Storm::new(&config, 1_000);
    // Clients that have set their tenant.
    let mut named = vec![false; storm.clients.len()];
    for _ in 0..storm.rounds {
        for (client, session) in storm.clients.iter().enumerate() {
            named[client] &= session.is_some();
        }
        let client = storm.next(|_, _| Request::query(LOOK));
        let look = storm.session(client).receive();
        good(&look);
        let guest = storm.acting[client];
        if !named[client] {
            storm.judge(None, &look);
            assert_eq!(look.texts().collect::<Vec<_>>(), [NOBODY]);
            good(&storm.ask(client, Some(guest), &format!("set tenancy.tenant_id = 't{guest}'")));
            named[client] = true;
            continue;
        }
        storm.judge(Some(guest), &look);
        let guest_now = &storm.guests[guest];
        assert_eq!(look.texts().collect::<Vec<_>>(), [guest_now.look_at(&guest_now.key, storm.rows[client])]);
        let canary = guest_now.canary.text().to_owned();
        match storm.dice.below(6) {
            0 => {
                good(&storm.ask(client, Some(guest), &format!("insert into notes (body) values ('{canary} new')")));
                storm.guests[guest].notes += 1;
            }
            1 => good(&storm.ask(client, Some(guest), "begin; delete from notes; rollback")),
            2 => {
                let begun = storm.ask(client, Some(guest), "begin; select body from notes");
                assert!(begun.errors.is_empty(), "{:?}", begun.complaints);
                let midst = storm.dice.pick(&MIDSTS);
                storm.leave_in(client, guest, midst);
            }
            3 => storm.leave(client),
            _ => {
                let read = storm.ask(client, Some(guest), "select body from notes");
                good(&read);
                assert_eq!(read.rows.len(), storm.guests[guest].notes);
            }
        }
    }
    storm.count();
}
