"""What pgrls says of what we generate, and whether tenancy.doctor() says as much.

judge.py SOCKET_DIRECTORY, for a throw-away server without databases or roles of others. Four parts, the first failure ends it:

1. A database with every kind of table (schema.sql): nothing to lint beyond pgrls.toml, isolation proven in every mode.
2. The same for the extension's own schema (own.toml).
3. Each of those checks fails when what it looks at is broken: else its silence would mean nothing.
4. A database broken in every way that pgrls knows (broken.sql): it finds each, and so does the doctor.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

import psycopg

HERE = Path(__file__).parent
PGRLS = Path(sys.executable).with_name("pgrls")
CONTEXT = [
    "tenancy.current_tenant", "tenancy.current_key", "tenancy.current_key_int",
    "tenancy.visible_tenants", "tenancy.visible_keys", "tenancy.visible_key_ints",
]
MODES = ["anon", "cross-tenant", "write", "escalation", "reachability"]

# What the prover can't decide, and why that is well.
SHARED = "rows without a tenant are for all tenants to read: there is no equality with a tenant to prove, which is what a shared table is"
VARCHAR = "PostgreSQL compares varchar as text, and the prover does not follow the cast, though it changes no value"
TREE = "the tenants below are read too: there is no equality with one tenant to prove, which is what a table of kind tree is"
PLAN = "the plan is that of the tenant in force, which a subquery tells: the prover does not follow it"
READABLE = "its policy also asks whether the caller may read the table that the entry is of: the prover does not follow that"
TREES = ["shop.outlets", "shop.outlet_names", "shop.outlet_counts"]
UNVERIFIED = {
    ("cross-tenant", "shop.prices"): SHARED,
    ("cross-tenant", "shop.currencies"): SHARED,
    **{(mode, table): TREE for mode in ("anon", "cross-tenant") for table in TREES},
    ("cross-tenant", "shop.labels"): VARCHAR,
    ("write", "shop.labels"): VARCHAR,
    ("anon", "tenancy.audit_log"): READABLE,
    ("anon", "tenancy.plan_quotas"): PLAN,
    ("cross-tenant", "tenancy.audit_log"): READABLE,
    ("cross-tenant", "tenancy.plan_quotas"): PLAN,
    ("cross-tenant", "tenancy.resources"): "what there is to limit is the same for all tenants",
    ("cross-tenant", "tenancy.tenants"): "its own id is the tenant: no tenant column in the prover's eyes",
}
# What it finds rightly, and why that is meant.
LEAKS = {
    ("reachability", "tenancy.quota_tables"): "as tenancy.protection: the view tells which resources they count for",
    ("reachability", "tenancy.resources"): "the same, by their names",
    ("reachability", "tenancy.protection"): "the view protected_tables tells which tables are protected, as the catalogs tell everybody",
}

# Breaks what a check looks at: the check, where it must object, and how. Runs after SET tenancy.guard_ddl = off.
CONTROLS = [
    ("lint", "shop.orders", "DROP POLICY tenant_isolation_floor ON shop.orders"),
    ("anon", "shop.tags", """
        ALTER POLICY tenant_isolation ON shop.tags USING (tenancy.current_key() IS NULL OR tenant_id = tenancy.current_key());
        ALTER POLICY tenant_isolation_floor ON shop.tags USING (tenancy.current_key() IS NULL OR tenant_id = tenancy.current_key())"""),
    ("cross-tenant", "shop.counts", """
        ALTER POLICY tenant_isolation ON shop.counts USING (tenant_id = tenancy.current_key_int() OR amount > 0);
        ALTER POLICY tenant_isolation_floor ON shop.counts USING (tenant_id = tenancy.current_key_int() OR amount > 0)"""),
    ("write", "shop.ledger", """
        DROP POLICY tenant_isolation_floor_insert ON shop.ledger;
        ALTER POLICY tenant_isolation_insert ON shop.ledger WITH CHECK (tenant_id = tenancy.current_tenant() OR line = '')"""),
    ("escalation", "shop.orders", "ALTER TABLE shop.orders NO FORCE ROW LEVEL SECURITY; GRANT app_owner TO anon"),
    ("reachability", "shop.orders", "CREATE VIEW shop.open AS SELECT * FROM shop.orders; GRANT SELECT ON shop.open TO anon"),
]


def fail(complaint):
    sys.exit(f"error: {complaint}")


class Server:
    def __init__(self, socket_directory):
        self.host = socket_directory

    def url(self, database):
        return f"postgresql:///{database}?host={self.host}&user=postgres"

    def connect(self, database):
        # The client's own settings must not change what scripts mean.
        return psycopg.connect(self.url(database), autocommit=True)

    def run(self, database, script):
        with self.connect(database) as connection:
            connection.execute(script)

    def create(self, database, template):
        self.run("postgres", f"CREATE DATABASE {database} TEMPLATE {template}")

    def doctor(self, database):
        """Code and object of each finding, without notes and without the age of the server that happens to run here."""
        with self.connect(database) as connection:
            rows = connection.execute("SELECT code, object, severity FROM tenancy.doctor() WHERE code <> 'SERVER_TOO_OLD'").fetchall()
        return {(code, obj) for code, obj, _ in rows}, {(code, obj) for code, obj, severity in rows if severity != "info"}


def pgrls(command, server, database, config, *options):
    """The command's answer, and whether it was content."""
    arguments = [PGRLS, command, "--config", HERE / config, "--database-url", server.url(database), "--format", "json", *options]
    done = subprocess.run(arguments, capture_output=True, text=True, cwd=HERE, check=False)
    # An expression that it can't parse is skipped with a warning, and so is not judged.
    if done.returncode not in (0, 1) or done.stderr.strip():
        fail(f"pgrls {command} {' '.join(options)} broke down ({done.returncode}): {done.stderr}{done.stdout}")
    return json.loads(done.stdout), done.returncode == 0


def lint(server, database, config, *options):
    """Rule and place of each finding."""
    answer, content = pgrls("lint", server, database, config, "--fail-on", "info", *options)
    found = {(one["rule_id"], one["location"]) for one in answer["violations"]}
    if content != (not found):
        fail("pgrls lint found something and was content, or the other way round")
    return found


def verify(server, database, config, mode):
    """The verdict on each table."""
    names = [word for name in CONTEXT for word in ("--auth-function", name)]
    answer, content = pgrls("verify", server, database, config, "--mode", mode, "--strict", *names)
    verdicts = {one["table"]: one["verdict"] for one in answer["tables"]}
    if content != all(verdict == "isolated" for verdict in verdicts.values()):
        fail(f"pgrls verify --mode {mode} found something and was content, or the other way round")
    return verdicts


def expect_no_news(server, config, schema, tables):
    """Nothing beyond what is argued, and every table looked at."""
    if found := lint(server, "healthy", config):
        fail(f"pgrls lint finds in schema {schema}: {sorted(found)}")
    for mode in MODES:
        verdicts = verify(server, "healthy", config, mode)
        if mode in ("anon", "cross-tenant", "write") and set(verdicts) != tables:
            fail(f"pgrls verify --mode {mode} looked at other tables than are there: {sorted(set(verdicts) ^ tables)}")
        argued = {place: "unverified" for place in UNVERIFIED} | {place: "leak" for place in LEAKS}
        expected = {table: verdict for (of, table), verdict in argued.items() if of == mode and table.startswith(f"{schema}.")}
        news = {table: verdict for table, verdict in verdicts.items() if verdict != "isolated"}
        if news != expected:
            fail(f"pgrls verify --mode {mode}: {news}, but expected {expected}")
    print(f"    schema {schema}: lint finds nothing new, {len(tables)} tables verified in {len(MODES)} modes")


def tables_of(server, condition):
    query = f"""SELECT format('%s.%s', relnamespace::regnamespace, relname) FROM pg_class
                WHERE relkind IN ('r', 'p') AND relrowsecurity AND {condition}"""
    with server.connect("healthy") as connection:
        return {row[0] for row in connection.execute(query)}


def expect_objections(server):
    for number, (check, place, breakage) in enumerate(CONTROLS):
        database = f"control_{number}"
        server.create(database, "healthy")
        server.run(database, f"SET tenancy.guard_ddl = off; {breakage}")
        if check == "lint":
            places = {location for _, location in lint(server, database, "pgrls.toml")}
        else:
            verdicts = verify(server, database, "pgrls.toml", check)
            places = {table for table, verdict in verdicts.items() if verdict == "leak"}
        if place not in places:
            fail(f"pgrls ({check}) does not object to: {breakage}")
    # Roles are the server's: the next part starts from healthy ones.
    server.run("postgres", "REVOKE app_owner FROM anon")
    print(f"    {len(CONTROLS)} broken floors, policies, owners and views: pgrls objects to each")


SECTION = re.compile(r"^-- @ (?P<rule>\S+) (?:(?P<place>.+?) )?-> (?P<expected>.+)$", re.MULTILINE)


def expect_doctor_knows(server):
    script = (HERE / "broken.sql").read_text(encoding="utf-8")
    sections = [match.groupdict() for match in SECTION.finditer(script)]
    if len(sections) != script.count("\n-- @ "):
        fail("a section's first line in broken.sql can't be read")
    server.create("broken", "healthy")
    server.run("broken", script)
    linted = lint(server, "broken", "pgrls.toml", "--schemas", "public,shop,broken")
    known, _ = server.doctor("broken")
    for section in sections:
        rule, place, expected = section["rule"], section["place"], section["expected"]
        if rule != "-" and (rule, place) not in linted:
            fail(f"pgrls does not find {rule} on {place}: the section proves nothing")
        if expected.startswith("none: "):
            continue
        for one in expected.split("; "):
            code, obj = one.split(" ", 1)
            if (code, obj) not in known:
                fail(f"{rule}: the doctor does not find {code} on {obj}")
    # A rule that a newer pgrls brings must get its section.
    unknown = {rule for rule, _ in linted} - {section["rule"] for section in sections}
    if unknown:
        fail(f"rules without a section in broken.sql: {sorted(unknown)}")
    rules = {section["rule"] for section in sections} - {"-"}
    blind = sum(section["rule"] == "-" for section in sections)
    print(f"    the doctor knows what {len(rules)} rules of pgrls find, and {blind} things that none does")


def main():
    server = Server(sys.argv[1])
    server.create("healthy", "template0")
    server.run("healthy", (HERE / "schema.sql").read_text(encoding="utf-8"))
    _, ill = server.doctor("healthy")
    if ill:
        fail(f"the doctor finds in what should be healthy: {sorted(ill)}")
    protected = "oid IN (SELECT relation FROM tenancy.protected_tables)"
    expect_no_news(server, "pgrls.toml", "shop", tables_of(server, protected))
    expect_no_news(server, "own.toml", "tenancy", tables_of(server, "relnamespace = 'tenancy'::regnamespace"))
    expect_objections(server)
    expect_doctor_knows(server)


main()
