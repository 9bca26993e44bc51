//! How the library is linked: what cargo-pgrx would pass as a flag for all crates is said here for the library alone, so that
//! it, its tests and the lints share what they depend on instead of building it twice.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let is = |name: &str, value: &str| std::env::var(name).is_ok_and(|is| is == value);
    // pgrx reads the extension's SQL from a section that nothing refers to.
    if is("CARGO_CFG_TARGET_FAMILY", "unix") && !is("CARGO_CFG_TARGET_OS", "macos") {
        println!("cargo::rustc-link-arg-cdylib=-Wl,--no-gc-sections");
    }
}
