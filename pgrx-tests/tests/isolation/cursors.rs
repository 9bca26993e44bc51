//! Cursors: rows leave the server long after the query began.

use tenancy_harness::{Session, World};

use crate::{as_mine, assert_owned};

#[test]
fn a_cursor_fetches_own_rows_only() {
    as_mine(|_, family, tx| {
        tx.run(&format!("declare c scroll cursor for select body from {}", family.table()));
        let mut bodies = tx.texts("fetch 7 from c");
        bodies.extend(tx.texts("fetch all from c"));
        assert_owned(&bodies, family.mine, World::MINE);
        assert_owned(&tx.texts("fetch backward all from c"), family.mine, World::MINE);
    });
}

#[test]
fn a_held_cursor_keeps_own_rows_only() {
    as_mine(|_, family, tx| {
        tx.run(&format!("declare held cursor with hold for select body from {}", family.table()));
        assert_owned(&tx.texts("fetch all from held"), family.mine, World::MINE);
        tx.run("close held");
    });
}

#[test]
fn a_portal_read_in_pieces_returns_own_rows_only() {
    as_mine(|_, family, tx| {
        let portal = tx.bind(format!("select body from {}", family.table()).as_str(), &[]).unwrap();
        let mut bodies: Vec<String> = Vec::new();
        loop {
            let rows = tx.query_portal(&portal, 6).unwrap();
            if rows.is_empty() {
                break;
            }
            bodies.extend(rows.iter().map(|row| row.get::<_, String>(0)));
        }
        assert_owned(&bodies, family.mine, World::MINE);
    });
}

#[test]
fn a_positioned_update_touches_the_own_row_under_the_cursor() {
    as_mine(|_, family, tx| {
        let table = family.table();
        tx.run(&format!("declare c cursor for select body from {table} for update"));
        assert_owned(&tx.texts("fetch 1 from c"), family.mine, 1);
        assert_eq!(tx.affected(&format!("update {table} set body = body || '!' where current of c")), 1);
        assert_eq!(tx.affected(&format!("delete from {table} where current of c")), 1);
    });
}

#[test]
fn a_plpgsql_loop_over_a_query_meets_own_rows_only() {
    as_mine(|_, family, tx| {
        tx.run(&format!(
            "do $$ declare r record; seen integer := 0; begin
               for r in select body from {} loop
                 if r.body not like '{} %' then raise exception 'foreign row %', r.body; end if;
                 seen := seen + 1;
               end loop;
               if seen <> {} then raise exception 'saw % rows', seen; end if;
             end $$",
            family.table(),
            family.mine.key,
            World::MINE
        ));
    });
}
