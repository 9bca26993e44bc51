//! The charts in docs/charts are drawn from the figures in docs/benchmarks.md. `PG_TENANCY_WRITE=1` draws them anew (`make charts`).

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

#[test]
fn charts_show_the_figures_of_the_page() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let page = fs::read_to_string(docs.join("benchmarks.md")).expect("docs/benchmarks.md");
    let folder = docs.join("charts");
    let drawn: BTreeMap<String, String> =
        tenancy_harness::charts::charts(&page).into_iter().map(|(part, svg)| (format!("{part}.svg"), svg)).collect();
    if std::env::var_os("PG_TENANCY_WRITE").is_some() {
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("docs/charts");
        for (name, svg) in &drawn {
            fs::write(folder.join(name), svg).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    }
    let there: BTreeMap<String, String> = fs::read_dir(&folder)
        .expect("docs/charts")
        .map(|entry| entry.expect("an entry").path())
        .map(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            (name, fs::read_to_string(&path).expect("a chart"))
        })
        .collect();
    assert!(drawn.len() > 5, "only {} parts have figures", drawn.len());
    assert!(drawn == there, "charts are stale: make charts draws them anew");
    for name in drawn.keys() {
        assert!(page.contains(&format!("(charts/{name})")), "docs/benchmarks.md does not show {name}");
    }
}
