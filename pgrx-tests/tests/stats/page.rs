//! What stands in docs/observability: the queries run against the extension, and the dashboard asks for what they give.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tenancy_harness::{Fixture, Session, postgres};

use crate::Shop;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/observability")
}

/// A query of the exporter's, and its columns with their usage.
#[derive(Debug, Default)]
struct Query {
    sql: String,
    columns: BTreeMap<String, String>,
}

/// The file as far as it uses YAML: mappings two spaces deep each, a block of text, a list of mappings.
fn queries() -> BTreeMap<String, Query> {
    let text = std::fs::read_to_string(folder().join("postgres_exporter.yaml")).expect("the exporter's queries");
    let mut queries = BTreeMap::<String, Query>::new();
    let (mut name, mut column) = (String::new(), String::new());
    for line in text.lines().filter(|line| !line.trim_start().starts_with('#') && !line.trim().is_empty()) {
        let indent = line.len() - line.trim_start().len();
        let content = line.trim();
        match (indent, content.strip_suffix(':'), content.split_once(": ")) {
            (0, Some(new), _) => {
                name = new.to_owned();
                queries.insert(name.clone(), Query::default());
            }
            (2, _, _) => assert!(matches!(content, "query: |" | "metrics:"), "{line}"),
            (4, Some(new), _) if new.starts_with("- ") => column = new[2..].to_owned(),
            (8, _, Some(("usage", usage))) => {
                let query = queries.get_mut(&name).expect("a query");
                query.columns.insert(column.clone(), usage.trim_matches('"').to_owned());
            }
            (8, _, Some(("description", text))) => assert!(text.len() > 10, "{line}"),
            (4.., _, _) => {
                let query = queries.get_mut(&name).expect("a query");
                query.sql.push_str(content);
                query.sql.push('\n');
            }
            _ => panic!("what is this: {line}"),
        }
    }
    queries
}

/// A database in which there is something to show, as an exporter sees it.
fn shop() -> (Shop<'static>, String) {
    let shop = Shop::new();
    shop.client().run("begin; select tenancy.set_tenant('acme'); select * from notes; commit");
    let exporter = shop.fixture.role("exporter");
    shop.fixture.run(&format!("grant pg_monitor to {exporter}"));
    (shop, exporter)
}

#[test]
fn the_exporters_queries_give_the_columns_that_they_name() {
    let (shop, exporter) = shop();
    let queries = queries();
    assert!(queries.len() >= 4, "{queries:?}");
    let mut client = shop.fixture.connect(&exporter);
    for (name, query) in &queries {
        let rows = client.query(&query.sql, &[]).unwrap_or_else(|error| panic!("{name}: {error:?}"));
        assert!(!rows.is_empty(), "{name} gives no rows");
        let given: BTreeSet<&str> = rows[0].columns().iter().map(|column| column.name()).collect();
        assert_eq!(given, query.columns.keys().map(String::as_str).collect(), "{name}");
        for column in rows[0].columns() {
            let kind = column.type_().name();
            match query.columns[column.name()].as_str() {
                "LABEL" => assert!(matches!(kind, "text" | "name"), "{name}.{}: {kind}", column.name()),
                "COUNTER" | "GAUGE" => {
                    assert!(matches!(kind, "int4" | "int8" | "float8"), "{name}.{}: {kind}", column.name());
                }
                other => panic!("{name}: what is {other}?"),
            }
        }
    }
}

#[test]
fn no_series_comes_from_two_databases() {
    let (one, exporter) = shop();
    let other = Shop::new();
    other.client().run("begin; select tenancy.set_tenant('acme'); select * from notes; commit");
    let mut series = BTreeSet::new();
    for shop in [&one, &other] {
        let mut client = shop.fixture.connect(&exporter);
        for (name, query) in &queries() {
            for row in client.query(&query.sql, &[]).expect("figures") {
                let label = |column: &postgres::Column| match query.columns[column.name()].as_str() {
                    "LABEL" => Some(format!("{}={:?}", column.name(), row.get::<_, &str>(column.name()))),
                    _ => None,
                };
                let labels: Vec<_> = row.columns().iter().filter_map(label).collect();
                assert!(series.insert((name.clone(), labels.clone())), "{name} twice: {labels:?}");
            }
        }
    }
}

fn strings<'v>(value: &'v Value, name: &str, found: &mut Vec<&'v str>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                if key == name {
                    found.extend(value.as_str());
                }
                strings(value, name, found);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| strings(value, name, found)),
        _ => {}
    }
}

#[test]
fn the_dashboard_asks_for_what_there_is() {
    let (shop, exporter) = shop();
    let text = std::fs::read_to_string(folder().join("grafana-dashboard.json")).expect("the dashboard");
    let dashboard: Value = serde_json::from_str(&text).expect("JSON");
    let queries = queries();
    let metrics: BTreeSet<String> = queries
        .iter()
        .flat_map(|(name, query)| {
            let counted = query.columns.iter().filter(|(_, usage)| *usage != "LABEL");
            counted.map(move |(column, _)| format!("{name}_{column}"))
        })
        .collect();
    let mut expressions = Vec::new();
    strings(&dashboard["panels"], "expr", &mut expressions);
    let mut variables = Vec::new();
    strings(&dashboard["templating"], "query", &mut variables);
    expressions.extend(variables.into_iter().filter(|query| query.starts_with("label_values")));
    assert!(expressions.len() >= 8, "{expressions:?}");
    for expression in expressions {
        let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        let asked: Vec<_> = words.filter(|word| word.starts_with("pg_tenancy_")).collect();
        assert!(!asked.is_empty(), "{expression}");
        for metric in asked {
            assert!(metrics.contains(metric), "{metric} in {expression}");
        }
    }
    let mut statements = Vec::new();
    strings(&dashboard["panels"], "rawSql", &mut statements);
    assert!(statements.len() >= 2);
    for statement in statements {
        for (database, has_rows) in [(shop.fixture.database(), true), ("another", false)] {
            let statement = statement.replace("$datname", database);
            let rows = shop.fixture.connect(&exporter).query(&statement, &[]);
            assert_eq!(
                !rows.unwrap_or_else(|error| panic!("{statement}: {error:?}")).is_empty(),
                has_rows,
                "{statement}"
            );
        }
    }
}

/// What the dashboard's numbers and the page's alerts make of some figures, as the picture's program reckons them.
const RECKONS: &str = r#"
import json, pathlib, re, sys
sys.dont_write_bytecode = True
here = pathlib.Path(sys.argv[1])
sys.path.insert(0, str(here))
import render

panels = json.loads((here / "grafana-dashboard.json").read_text())["panels"]
asked = {panel["title"]: panel["targets"][0]["expr"] for panel in panels if panel["type"] == "stat"}
page = (here.parent / "observability.md").read_text()
asked |= dict(re.findall(r"- alert: (\w+)\n +expr: (.*)", page))

def series(metric, points, **labels):
    return {("pg_tenancy_" + metric, tuple(sorted({"datname": "shop", **labels}.items()))): points}

def health(database, oks):
    found = {}
    for check, ok in enumerate(oks):
        found |= series("health_ok", [(7200, ok)], check=str(check), datname=database)
    return found

refused = "tenant_refused_writes_total"
states = {
    "nothing": {},
    "well": health("shop", [1, 1]),
    "ill": health("shop", [1, 0, 0]),
    "another": health("other", [0]),
    "old": series(refused, [(0, 3), (6900, 3), (7200, 3)], tenant="acme"),
    "more": series(refused, [(0, 3), (6900, 3), (7200, 5)], tenant="acme"),
    "born": series(refused, [(7100, 2), (7200, 2)], tenant="acme"),
    "lost": series("stats_evicted_total", [(7200, 4)]) | series("stats_evicted_total", [(7200, 4)], datname="other"),
}
for state, figures in states.items():
    for name, expression in asked.items():
        found = render.Promql(figures, expression, "shop").at(7200)
        if found:
            print(f"{state}: {name} {' '.join(f'{value:g}' for _, value in found)}")
"#;

#[test]
fn nothing_known_is_no_good_news() {
    let output = Command::new("python3").args(["-c", RECKONS]).arg(folder()).output().expect("python3");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut lines: Vec<_> = String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
    lines.retain(|line| {
        !line.ends_with(": TenancyUnknown 1") || line.starts_with("nothing") || line.starts_with("another")
    });
    assert_eq!(
        lines,
        [
            "nothing: TenancyUnknown 1",
            "well: Checks that fail 0",
            "ill: Checks that fail 2",
            "ill: TenancyNotWell 0 0",
            "another: TenancyNotWell 0",
            "another: TenancyUnknown 1",
            "old: Refused writes, last hour 0",
            "more: Refused writes, last hour 2",
            "more: TenantWritesRefused 2",
            "born: Refused writes, last hour 2",
            "born: TenantWritesRefused 2",
            "lost: Statistics lost 4",
        ]
    );
}

/// The frames and titles of a picture's panels.
fn panels(picture: &str) -> Vec<&str> {
    let frames = ["<svg ", " rx=\"3\"", " font-size=\"13\""];
    picture.lines().filter(|line| frames.iter().any(|frame| line.contains(frame))).collect()
}

#[test]
fn the_picture_is_what_is_drawn_of_the_dashboard() {
    let shop = Shop::new();
    let cluster = shop.fixture.cluster();
    let empty = Fixture::empty(cluster);
    let drawn = tempfile::NamedTempFile::new().expect("a file");
    let mut program = Command::new("python3");
    program.arg(folder().join("render.py")).arg("3").arg(drawn.path());
    let output = cluster.lend_tools(&mut program, empty.database()).output().expect("python3");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let drawn = std::fs::read_to_string(drawn.path()).expect("a picture");
    let shown = std::fs::read_to_string(folder().join("dashboard.svg")).expect("the picture");
    assert!(panels(&shown).len() > 12, "{shown}");
    assert_eq!(panels(&drawn), panels(&shown));
    // With figures of each tenant, in lines and in the table.
    for picture in [&drawn, &shown] {
        for tenant in ["acme", "globex", "initech", "umbrella", "hooli"] {
            assert!(picture.matches(&format!(">{tenant}<")).count() >= 5, "{tenant}");
        }
    }
}
