//! The page of tables and views.

use tenancy_harness::postgres::Client;

use crate::{cell, prose, rows};

const RELATIONS: &str = "
    SELECT c.oid, c.relname, CASE c.relkind WHEN 'v' THEN 'view' ELSE 'table' END,
           CASE WHEN EXISTS (SELECT FROM pg_catalog.aclexplode(c.relacl) AS x WHERE x.grantee = 0 AND x.privilege_type = 'SELECT')
                THEN 'everybody' ELSE '' END,
           pg_catalog.obj_description(c.oid, 'pg_class')
    FROM pg_catalog.pg_class AS c
    WHERE c.relnamespace = 'tenancy'::pg_catalog.regnamespace AND c.relkind IN ('r', 'p', 'v') AND NOT c.relispartition
    ORDER BY c.relname COLLATE \"C\"";

const COLUMNS: &str = "
    SELECT a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), CASE WHEN a.attnotnull THEN '' ELSE 'yes' END,
           pg_catalog.col_description(a.attrelid, a.attnum)
    FROM pg_catalog.pg_attribute AS a
    WHERE a.attrelid = {relation} AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY a.attnum";

pub fn page(session: &mut Client) -> String {
    session.batch_execute("SET search_path = pg_catalog").expect("a search path");
    let mut page = String::from(
        "<!-- Written by `make reference` from the catalog: change the COMMENT, not this page. -->\n\n\
         # Tables and views\n\n\
         What is in schema `tenancy`, with what the COMMENTs say. Those in the first part everybody may read: row security leaves a role\n\
         the rows of the tenant that it acts for, and superusers and roles with BYPASSRLS all of them. Nobody but superusers writes\n\
         to them other than through the [functions](functions.md).\n",
    );
    let relations = rows(session, RELATIONS);
    let parts = [("For everybody to read", "everybody"), ("For superusers", "")];
    page.push('\n');
    for (title, readers) in parts {
        let names = relations.iter().filter(|relation| relation[3] == readers);
        let names: Vec<String> = names.map(|relation| format!("[{0}](#{0})", relation[1])).collect();
        page.push_str(&format!("- {title}: {}\n", names.join(", ")));
    }
    for (title, readers) in parts {
        page.push_str(&format!("\n## {title}\n"));
        for relation in relations.iter().filter(|relation| relation[3] == readers) {
            let [oid, name, kind, _, comment] = &relation[..] else { panic!("columns of {relation:?}") };
            let columns = rows(session, &COLUMNS.replace("{relation}", oid));
            let is_view = kind == "view";
            page.push_str(&format!("\n### {name}\n\nA {kind}. {}.\n\n", prose(comment).trim_end_matches('.')));
            page.push_str(if is_view {
                "| column | type | |\n|---|---|---|\n"
            } else {
                "| column | type | NULL? | |\n|---|---|---|---|\n"
            });
            for column in columns {
                let [name, kind, nullable, comment] = &column[..] else { panic!("columns of {column:?}") };
                page.push_str(&if is_view {
                    format!("| `{name}` | `{kind}` | {} |\n", cell(comment))
                } else {
                    format!("| `{name}` | `{kind}` | {nullable} | {} |\n", cell(comment))
                });
            }
        }
    }
    page
}
