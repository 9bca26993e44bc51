//! Fifty clients of twenty tenants take turns on one connection to the server, and leave whenever they like: after a commit, in
//! the middle of a transaction, of a COPY, of a statement, of a message. Each looks first whether anything of its predecessor is
//! there, and every byte that it receives is searched for what is another tenant's.
//!
//! Who comes next and what he does is drawn from a seed, which is printed; `PG_TENANCY_SEED` names it. The next clients have
//! already sent their first statement when one leaves: they wait in the pooler's queue.
//! `PG_TENANCY_STORM` tells how many transactions there are, of each storm. That a storm finds what it is for is shown by storms
//! in which something is broken (`broken`).

mod broken;
mod of_session;
mod session;
mod statement;
mod tracked;
mod transaction;

use std::collections::VecDeque;

use tenancy_harness::{
    Canary, Dice, Fixture, Pooler, PoolerConfig, RawSession, Reply, Request, Session, postgres::Client, sight,
};

const CLIENTS: usize = 50;
const TENANTS: usize = 20;
const WAITING: usize = 3;

/// What a client finds that is the first on its connection, but for the settings that it makes itself.
const NOBODY: &str = "tenant - settings '' timeout 0 path '\"$user\", public' rows 0 locks 0 own role t";

/// What shows whose the session was, for all that are no left-overs.
const LOOK: &str = "select concat_ws(' ', 'tenant', coalesce(tenancy.current_key(), '-'),
    'settings', quote_literal(current_setting('tenancy.tenant_id') || current_setting('tenancy.user_id')
                              || current_setting('tenancy.request_id') || current_setting('tenancy.token')),
    'timeout', current_setting('statement_timeout'), 'path', quote_literal(current_setting('search_path')),
    'rows', (select count(*) from public.notes) + (select count(*) from public.events) + (select count(*) from tenancy.tenants),
    'locks', (select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()),
    'own role', current_user = session_user)";

/// What can be left in a session beside its settings.
const LITTER: &str = "select concat_ws(' ', 'temporary', (select count(*) from pg_class where relnamespace = pg_my_temp_schema()),
    'cursors', (select count(*) from pg_cursors where is_holdable),
    'statements', (select count(*) from pg_prepared_statements), 'channels', (select count(*) from pg_listening_channels()))";
const NO_LITTER: &str = "temporary 0 cursors 0 statements 0 channels 0";

/// An HS256 token by PostgreSQL's own SHA-256: the secret is 64 times the letter k, which HMAC combines with its two pads.
const TOKENS: &str = r#"
    create function base64url(bytea) returns text language sql
      return translate(encode($1, 'base64'), E'+/=\n', '-_');
    create function token(tenant text, username text) returns text language sql return (
      select m || '.' || base64url(sha256(repeat('7', 64)::bytea || sha256(repeat(']', 64)::bytea || m::bytea)))
        from (select base64url('{"alg": "HS256", "kid": "storm"}') || '.' || base64url(convert_to(
                json_build_object('tenant_id', tenant, 'sub', username, 'exp', 4102444800)::text, 'UTF8')) as m) message);
    revoke execute on function token from public;
    select tenancy.add_jwt_key('storm', 'HS256', repeat('k', 64));"#;

/// What a client may leave in the middle of.
#[derive(Clone, Copy, Debug)]
enum Midst {
    /// Of a transaction that waits for its next statement.
    Nothing,
    /// Of a transaction that has failed.
    Failure,
    CopyIn,
    CopyOut,
    /// Of a portal that has given some of its rows, of a prepared statement, without an end.
    Portal,
    Statement,
    /// Of a message to the server.
    Message,
}

const MIDSTS: [Midst; 7] =
    [Midst::Nothing, Midst::Failure, Midst::CopyIn, Midst::CopyOut, Midst::Portal, Midst::Statement, Midst::Message];

/// How a session or transaction takes its tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Call,
    Setting,
    Host,
    Token,
}

const WAYS: [Way; 4] = [Way::Call, Way::Setting, Way::Host, Way::Token];

impl Way {
    /// Statements that take the tenant, for the session or the transaction, and name a user or a request with its canary.
    fn statements(self, guest: &Guest, local: bool) -> String {
        let (key, canary) = (&guest.key, guest.canary.text());
        let set = if local { "set local" } else { "set" };
        match self {
            Self::Call => format!("select tenancy.set_tenant('{key}', {local}); {set} tenancy.user_id = '{canary}'"),
            Self::Setting => format!("{set} tenancy.tenant_id = '{key}'; {set} tenancy.request_id = '{canary}'"),
            Self::Host => format!("select tenancy.set_tenant_by_host('{key}.example', {local})"),
            Self::Token => format!("select tenancy.authenticate('{}', {local})", guest.token),
        }
    }

    /// Rows that these statements give.
    fn rows(self) -> usize {
        usize::from(self != Self::Setting)
    }

    /// What [`LOOK`] says of the settings then.
    fn settings(self, guest: &Guest) -> String {
        let (key, canary) = (&guest.key, guest.canary.text());
        match self {
            Self::Call | Self::Setting => format!("{key}{canary}"),
            Self::Host => guest.id.clone(),
            Self::Token => "********".to_owned(),
        }
    }
}

/// One of the tenants, and what is known of its rows.
struct Guest {
    key: String,
    id: String,
    canary: Canary,
    token: String,
    /// A role of its own.
    role: String,
    notes: usize,
    events: usize,
}

impl Guest {
    /// A setting that comes with the tenant.
    fn timeout(&self) -> String {
        format!("{}ms", 600_001 + self.key[1..].parse::<u32>().expect("a number in the key"))
    }

    /// What the tenant sees of itself in [`LOOK`].
    fn look(&self, settings: &str) -> String {
        self.look_at(settings, self.rows())
    }

    /// The same, when it had so many rows.
    fn look_at(&self, settings: &str, rows: usize) -> String {
        let timeout = self.timeout();
        format!(
            "tenant {} settings '{settings}' timeout {timeout} path '\"$user\", public' rows {rows} locks 0 own role t",
            self.key
        )
    }

    /// What a text has of it: id and host, if these are not to be there, and the token, which nobody is to receive.
    fn named_in(&self, text: &str, is_other: bool) -> impl Iterator<Item = String> {
        let names =
            [(self.id.clone(), is_other), (format!("{}.example", self.key), is_other), (self.token.clone(), true)];
        names.into_iter().filter(|(name, counts)| *counts && text.contains(name.as_str())).map(|(name, _)| name)
    }

    /// Those of its tables, and its own line of the registry.
    fn rows(&self) -> usize {
        self.notes + self.events + 1
    }
}

struct Storm {
    // Before the fixture: the pooler's connections go first.
    pooler: Pooler,
    fixture: Fixture<'static>,
    app: String,
    /// What clients of the application may become.
    other: String,
    guests: Vec<Guest>,
    clients: Vec<Option<RawSession>>,
    /// For whom each of them acts.
    acting: Vec<usize>,
    /// What rows these had when the client sent its first statement: one that waits for nobody was answered then.
    rows: Vec<usize>,
    /// Whether clients connect as their tenants' own roles.
    own_roles: bool,
    /// Whether there are clients that do what the documentation says never to do: take a tenant for the session.
    careless: bool,
    /// Clients that have sent their first statement, in this order.
    waiting: VecDeque<usize>,
    dice: Dice,
    rounds: usize,
}

impl Storm {
    /// A storm of so many transactions, unless `PG_TENANCY_STORM` says otherwise.
    fn new(config: &PoolerConfig, rounds: usize) -> Self {
        Self::of(config, std::env::var("PG_TENANCY_STORM").ok().and_then(|named| named.parse().ok()).unwrap_or(rounds))
    }

    fn of(config: &PoolerConfig, rounds: usize) -> Self {
        let seed = Dice::seed();
        println!("PG_TENANCY_SEED={seed}");
        let mut dice = Dice::new(seed);
        let fixture = Fixture::new();
        let (app, other) = (fixture.app(), fixture.app_named("other"));
        fixture.run(&format!(
            "create table notes (id bigint generated always as identity, tenant_id uuid not null, body text not null);
             create table events (id bigint generated always as identity, tenant_id text not null, body text not null);
             select tenancy.protect('notes'), tenancy.protect('events');
             alter role {app} set tenancy.on_leftovers = discard;
             grant {other} to {app};
             grant temporary on database {} to {app};
             {TOKENS}",
            fixture.database()
        ));
        let mut superuser = fixture.superuser();
        let guests: Vec<Guest> =
            (0..TENANTS).map(|number| guest(&fixture, &mut superuser, &mut dice, number)).collect();
        let mut roles: Vec<&str> = guests.iter().map(|guest| guest.role.as_str()).collect();
        roles.push(&app);
        let pooler = Pooler::start(&fixture, &roles, config);
        let clients = (0..CLIENTS).map(|_| None).collect();
        let (acting, rows, waiting) = (vec![0; CLIENTS], vec![0; CLIENTS], VecDeque::new());
        let (own_roles, careless) = (false, false);
        Self { pooler, fixture, app, other, guests, clients, acting, rows, own_roles, careless, waiting, dice, rounds }
    }

    /// The client whose turn it is. Others have got into the queue behind it, each with the first statement that `first` gives.
    fn next(&mut self, mut first: impl FnMut(&mut Self, usize) -> Request) -> usize {
        while self.waiting.len() < WAITING {
            let client = self.dice.below(CLIENTS);
            if self.waiting.contains(&client) {
                continue;
            }
            if self.clients[client].is_none() {
                self.connect(client);
            }
            let request = first(self, client);
            self.session(client).send(&request).expect("the pooler listens");
            self.rows[client] = self.guests[self.acting[client]].rows();
            self.waiting.push_back(client);
        }
        self.waiting.pop_front().expect("somebody waits")
    }

    fn connect(&mut self, client: usize) {
        let guest = self.dice.below(TENANTS);
        let role = if self.own_roles { &self.guests[guest].role } else { &self.app };
        let session = self.pooler.open_raw(role).expect("the pooler's socket");
        assert_eq!(session.greeting().status, Some('I'), "{:?}", session.greeting().complaints);
        self.judge(self.own_roles.then_some(guest), session.greeting());
        self.clients[client] = Some(session);
        self.acting[client] = guest;
    }

    fn session(&mut self, client: usize) -> &mut RawSession {
        self.clients[client].as_mut().expect("a client that is there")
    }

    /// Sends statements for a tenant, or nobody, and gives what came back, once it was looked at.
    #[track_caller]
    fn ask(&mut self, client: usize, guest: Option<usize>, statements: &str) -> Reply {
        self.exchange(client, guest, &Request::query(statements))
    }

    #[track_caller]
    fn exchange(&mut self, client: usize, guest: Option<usize>, request: &Request) -> Reply {
        let reply = self.session(client).exchange(request);
        self.judge(guest, &reply);
        reply
    }

    /// Nothing that a client receives is another tenant's.
    #[track_caller]
    fn judge(&self, guest: Option<usize>, reply: &Reply) {
        let text = String::from_utf8_lossy(&reply.bytes);
        let is_other = |number: usize| guest != Some(number);
        let named = self.guests.iter().enumerate().flat_map(|(number, of)| of.named_in(&text, is_other(number)));
        let named: Vec<String> = named.collect();
        let guest = guest.map(|guest| &self.guests[guest]);
        let mut strangers = sight(guest.map(|guest| &guest.canary), &reply.bytes).strangers;
        strangers.extend(named);
        assert_eq!(strangers, Vec::<String>::new(), "what is another tenant's came");
        // A key is reported with a mark.
        let names = guest.map(|guest| (guest.key.clone(), guest.id.as_str()));
        let names = names.as_ref().map_or(vec![], |(key, id)| vec![key.as_str(), id]);
        let others = reply.other_tenants(&names);
        assert_eq!(others, Vec::<&str>::new(), "another tenant was reported");
    }

    /// Takes the tenant, for the session or the transaction, and looks whether that is all that is there then.
    #[track_caller]
    fn take(&mut self, client: usize, guest: usize, way: Way, local: bool) {
        let take = way.statements(&self.guests[guest], local);
        let taken = self.ask(client, Some(guest), &format!("{take}; {LOOK}; select body from public.notes"));
        good(&taken);
        let rows: Vec<&str> = taken.texts().skip(way.rows()).collect();
        let guest = &self.guests[guest];
        assert_eq!(rows[0], guest.look(&way.settings(guest)), "{way:?}");
        assert_eq!(rows.len() - 1, guest.notes);
    }

    /// Statements with what is the guest's in them.
    fn written(&self, statements: &str, guest: usize) -> String {
        let guest = &self.guests[guest];
        let statements = statements.replace("$KEY", &guest.key).replace("$OTHER", &self.other);
        statements.replace("$CANARY", guest.canary.text()).replace("$TOKEN", &guest.token)
    }

    /// Leaves in the middle of something.
    fn leave_in(&mut self, client: usize, guest: usize, midst: Midst) {
        let request = match midst {
            Midst::Nothing => None,
            Midst::Failure => {
                let failed = self.ask(client, Some(guest), "select 1/0");
                assert_eq!(failed.errors, ["22012"], "{:?}", failed.complaints);
                None
            }
            Midst::CopyIn => {
                let begun =
                    self.ask(client, Some(guest), "create temp table taken_in (body text); copy taken_in from stdin");
                assert!(begun.copying, "{:?}", begun.complaints);
                Some(Request::default().copy_data("a line\nand a ha"))
            }
            Midst::CopyOut => {
                let rows = "select repeat(body, 100) from public.notes, generate_series(1, 100)";
                Some(Request::query(&format!("copy ({rows}) to stdout")))
            }
            Midst::Portal => {
                let statement = "select body from public.notes, generate_series(1, 10)";
                let open = Request::default().parse("open", statement).bind("portal", "open", &[]);
                Some(open.execute("portal", 3).flush())
            }
            Midst::Statement => Some(Request::query("select pg_sleep(0.002), body from public.notes")),
            Midst::Message => Some(Request::query("select body from public.notes").cut_by(9)),
        };
        if let Some(request) = request {
            self.session(client).send(&request).expect("the pooler listens");
        }
        if matches!(midst, Midst::CopyOut | Midst::Portal) {
            let begun = self.session(client).receive_messages(2);
            self.judge(Some(guest), &begun);
        }
        self.leave(client);
    }

    /// The client is gone without a word, or with the pooler's goodbye.
    fn leave(&mut self, client: usize) {
        let mut session = self.clients[client].take().expect("a client that is there");
        if self.dice.one_in(2) {
            // Whoever is not listened to any more goes all the same.
            let _ = session.send(&Request::default().terminate());
        }
    }

    /// In the end every row is there that was committed, as its own tenant's, and no other.
    fn count(&self) {
        let mut superuser = self.fixture.superuser();
        for guest in &self.guests {
            let count = |superuser: &mut Client, table: &str, by: &str| {
                superuser.value(&format!(
                    "select format('%s %s', count(*), count(*) filter (where body not like '{}%')) from {table} where tenant_id::text = {by}",
                    guest.canary.text()
                ))
            };
            let id = format!("(select id::text from tenancy.tenants where key = '{}')", guest.key);
            assert_eq!(count(&mut superuser, "notes", &id), Some(format!("{} 0", guest.notes)), "{}", guest.key);
            let key = format!("'{}'", guest.key);
            assert_eq!(count(&mut superuser, "events", &key), Some(format!("{} 0", guest.events)), "{}", guest.key);
        }
    }
}

fn guest(fixture: &Fixture<'_>, superuser: &mut Client, dice: &mut Dice, number: usize) -> Guest {
    let mut guest = Guest {
        key: format!("t{number}"),
        id: String::new(),
        canary: Canary::new(dice.throw()),
        token: String::new(),
        role: fixture.app_named(&format!("only{number}")),
        notes: 5,
        events: 3,
    };
    let (key, role, canary) = (&guest.key, &guest.role, guest.canary.text());
    superuser.run(&format!(
        "select tenancy.create_tenant('{key}', name => '{canary}');
         select tenancy.add_host('{key}.example', '{key}');
         select tenancy.set_setting('postgres.statement_timeout', '\"{}\"', tenant => '{key}');
         insert into notes (tenant_id, body) select id, '{canary} ' || n from tenancy.tenants, generate_series(1, 5) n where key = '{key}';
         insert into events (tenant_id, body) select '{key}', '{canary} ' || n from generate_series(1, 3) n;
         select tenancy.revoke_access('{role}'); select tenancy.grant_access('{role}', '{key}');
         alter role {role} set tenancy.tenant_id = '{key}'",
        guest.timeout()
    ));
    guest.id = superuser.value(&format!("select id from tenancy.tenants where key = '{key}'")).expect("an id");
    guest.token = superuser.value(&format!("select token('{key}', '{canary}')")).expect("a token");
    guest
}

/// Panics with all that the server complained of.
#[track_caller]
fn good(reply: &Reply) {
    assert!(reply.errors.is_empty() && !reply.is_end(), "{:?}, status {:?}", reply.complaints, reply.status);
}
