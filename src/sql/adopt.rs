//! Giving the rows of tables in use to a tenant.

use super::{Ident, literal};

/// Stands in for NOT NULL until that is there.
pub const CHECK: &str = "tenancy_adopting";

/// Pages that are filled in one transaction.
const PAGES: u32 = 128;
/// How often rows are passed by that others hold, without getting hold of any, before it is given up.
const ATTEMPTS: u32 = 600;

/// `ADD COLUMN` with a default that is no expression, so that the table is not rewritten.
pub fn add_column(relation: &Ident, column: &Ident, type_name: &str, value: &str, not_null: bool) -> String {
    let not_null = if not_null { " NOT NULL" } else { "" };
    super::alter_table(relation, &format!("ADD COLUMN {column} {type_name}{not_null} DEFAULT {value}"))
}

/// Gives the rows that belong to nobody to a tenant, some pages to a transaction, and waits for nobody: rows that others
/// hold are left for the next round.
pub fn fill(relation: &Ident, column: &Ident, tenant: &str) -> String {
    let name = literal(&relation.to_string());
    let tenant = literal(tenant);
    let mut tag = "$adopt$".to_owned();
    while [relation.to_string(), column.to_string(), tenant.clone()].iter().any(|text| text.contains(&tag)) {
        tag.insert(tag.len() - 1, '_');
    }
    format!(
        "DO {tag}
#variable_conflict use_variable
DECLARE
  adopting_pages pg_catalog.int8;
  adopting_round pg_catalog.int8;
  adopting_idle pg_catalog.int4 := 0;
BEGIN
  LOOP
    adopting_round := 0;
    adopting_pages := pg_catalog.pg_relation_size({name}::pg_catalog.regclass)
                      OPERATOR(pg_catalog./) pg_catalog.current_setting('block_size')::pg_catalog.int8;
    FOR adopting_page IN 0..adopting_pages BY {PAGES} LOOP
      adopting_round := adopting_round OPERATOR(pg_catalog.+) tenancy.adopt_rows({name}, {tenant}, adopting_page, {PAGES});
      COMMIT;
    END LOOP;
    EXIT WHEN NOT EXISTS (SELECT FROM ONLY {relation} AS t WHERE t.{column} IS NULL);
    IF adopting_round OPERATOR(pg_catalog.>) 0::pg_catalog.int8 THEN
      adopting_idle := 0;
    ELSE
      adopting_idle := adopting_idle OPERATOR(pg_catalog.+) 1;
      IF adopting_idle OPERATOR(pg_catalog.>) {ATTEMPTS} THEN
        RAISE lock_not_available USING HINT = 'Long transactions or triggers hold rows of the table. Make the plan anew: it gives what is left to do.';
      END IF;
      PERFORM pg_catalog.pg_sleep(0.2);
    END IF;
  END LOOP;
END {tag};"
    )
}

/// The same while nobody else uses the table, and within a transaction.
pub fn fill_at_once(relation: &Ident, tenant: &str) -> String {
    format!("SELECT tenancy.adopt_rows({}, {});", literal(&relation.to_string()), literal(tenant))
}

/// Pages of a table: the first, and how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pages {
    pub first: u32,
    pub count: u32,
}

/// Gives the rows that belong to nobody to a tenant: all of them, or those in some pages that nobody else holds.
pub fn fill_rows(relation: &Ident, column: &Ident, value: &str, pages: Option<Pages>) -> String {
    let update = format!("UPDATE ONLY {relation} AS t SET {column} = {} WHERE", literal(value));
    let Some(Pages { first, count }) = pages else { return format!("{update} t.{column} IS NULL") };
    // The last page of the largest table is the one before.
    let end = first.saturating_add(count);
    format!(
        "{update} t.ctid OPERATOR(pg_catalog.=) ANY (ARRAY(
           SELECT s.ctid FROM ONLY {relation} AS s
           WHERE s.ctid OPERATOR(pg_catalog.>=) '({first},0)'::pg_catalog.tid
             AND s.ctid OPERATOR(pg_catalog.<) '({end},0)'::pg_catalog.tid AND s.{column} IS NULL
           FOR NO KEY UPDATE SKIP LOCKED))"
    )
}

/// Whether there are rows that belong to nobody.
pub fn count_unfilled(relation: &Ident, column: &Ident) -> String {
    format!(
        "SELECT pg_catalog.count(*) FROM (SELECT FROM ONLY {relation} AS t WHERE t.{column} IS NULL LIMIT 1) AS one"
    )
}

/// For a block of statements: goes no further while there are such rows. With the condition in force they could not be changed.
pub fn require_filled(tables: &[Ident], column: &Ident) -> String {
    let each = |table: &Ident| format!("EXISTS (SELECT FROM ONLY {table} AS t WHERE t.{column} IS NULL)");
    format!(
        "IF {} THEN
    RAISE object_not_in_prerequisite_state USING MESSAGE = 'there are rows that belong to nobody',
      HINT = 'Make the plan anew: it gives what is left to do.';
  END IF;",
        tables.iter().map(each).collect::<Vec<_>>().join(" OR ")
    )
}

/// A condition like NOT NULL; rows that are there are not looked at.
pub fn add_check(relation: &Ident, column: &Ident) -> String {
    super::alter_table(relation, &format!("ADD CONSTRAINT {CHECK} CHECK ({column} IS NOT NULL) NOT VALID"))
}

pub fn validate_check(relation: &Ident) -> String {
    super::alter_table(relation, &format!("VALIDATE CONSTRAINT {CHECK}"))
}

pub fn drop_check(relation: &Ident) -> String {
    super::alter_table(relation, &format!("DROP CONSTRAINT {CHECK}"))
}

/// The call that protects a table and makes no index.
pub fn protect(relation: &Ident, tenant_column: &str, kind: &str) -> String {
    format!(
        "tenancy.protect({}, {}, {}, create_index => false)",
        literal(&relation.to_string()),
        literal(tenant_column),
        literal(kind)
    )
}

/// The call that records a table as global.
pub fn classify(relation: &Ident) -> String {
    format!("SELECT tenancy.classify({}, 'global');", literal(&relation.to_string()))
}

/// Whether an expression, as PostgreSQL prints it, is this text as a constant of whatever type.
pub fn is_constant(printed: &str, text: &str) -> bool {
    let printed = printed.trim_start_matches('(');
    let plain = format!("'{}'", text.replace('\'', "''"));
    [literal(text), plain, text.to_owned()].iter().any(|constant| {
        let number = text.bytes().all(|byte| byte.is_ascii_digit());
        (constant != text || number)
            && printed.strip_prefix(constant.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_constant_is_known_however_it_is_printed() {
        assert!(is_constant("'acme'::text", "acme"));
        assert!(is_constant("('acme'::text)::app.\"Owner\"", "acme"));
        assert!(is_constant("'it''s'::character varying", "it's"));
        assert!(is_constant("'a\\b'::text", "a\\b"));
        assert!(is_constant("42", "42"));
        assert!(is_constant("'42'::bigint", "42"));
        assert!(!is_constant("'421'::bigint", "42"));
        assert!(!is_constant("421", "42"));
        assert!(!is_constant("acme", "acme"));
        assert!(!is_constant("tenancy.current_tenant()", "acme"));
    }

    #[test]
    fn pages_end_where_the_largest_table_does() {
        let (relation, column) = (Ident::quoted("app.t".into()), Ident::quoted("tenant_id".into()));
        let text = |pages| fill_rows(&relation, &column, "it's", pages);
        assert_eq!(text(None), "UPDATE ONLY app.t AS t SET tenant_id = 'it''s' WHERE t.tenant_id IS NULL");
        let last = text(Some(Pages { first: u32::MAX - 1, count: 128 }));
        assert!(last.contains("'(4294967294,0)'") && last.contains("'(4294967295,0)'"), "{last}");
    }

    #[test]
    fn what_fills_can_not_end_its_quotes() {
        let text = fill(&Ident::quoted("app.\"$adopt$\"".into()), &Ident::quoted("tenant_id".into()), "a");
        assert!(text.starts_with("DO $adopt_$\n") && text.ends_with("END $adopt_$;"), "{text}");
    }
}
