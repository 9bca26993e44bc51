//! Several sessions at a time.

use std::thread;

use tenancy_harness::Session;

use crate::Shop;

#[test]
fn what_sessions_do_at_the_same_time_is_all_there() {
    const SESSIONS: i64 = 32;
    const EACH: i64 = 20;
    let shop = Shop::new();
    shop.fill();
    thread::scope(|scope| {
        for number in 0..SESSIONS {
            let mut client = shop.client();
            scope.spawn(move || {
                for turn in 0..EACH {
                    let tenant = if (number + turn) % 2 == 0 { "acme" } else { "globex" };
                    client.run(&format!("begin; select tenancy.set_tenant('{tenant}'); select * from notes; commit"));
                }
            });
        }
    });
    let all = SESSIONS * EACH / 2;
    assert_eq!(shop.counted("acme"), [all, 0, 2 * all, 11 * all, 0, 0, 0]);
    assert_eq!(shop.counted("globex"), [all, 0, 2 * all, all, 0, 0, 0]);
}
