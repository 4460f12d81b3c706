//! The steps of `cargo xtask ci`, cheapest first.
//!
//! They share one target folder. Warnings are denied with `-- -D warnings`, never with RUSTFLAGS,
//! which would build everything again.

use anyhow::Result;

use super::package;
use crate::{
    api, artifacts, attack,
    command::{Shown, cargo},
    deny, docs, examples,
    forwarded::Forwarded,
    fuzz, interleave, interop, mutants, no_std, sim, soak, tidy, web,
};

/// One step.
pub(super) struct Step {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) run: fn() -> Result<()>,
}

/// All steps, in their order.
pub(super) static STEPS: &[Step] = &[
    step("fmt", "the code is formatted", fmt),
    step(
        "tidy",
        "the project's own rules, and the tests of xtask",
        tidy,
    ),
    step(
        "deny",
        "dependencies: advisories, licences, sources, if cargo-deny is installed",
        run_deny,
    ),
    step("api", "the lists of the public API are up to date", run_api),
    step(
        "clippy",
        "no warnings, nothing newer than rust-version",
        clippy,
    ),
    step(
        "features",
        "each crate with minimal, partial and all features",
        features,
    ),
    step("test", "all tests together", test),
    step("doctest", "the examples in the docs", doctest),
    step(
        "crypto",
        "TLS with ring alone, and with both providers",
        crypto,
    ),
    step("doc", "the docs build without warnings", doc),
    step("generated", "generated documents are up to date", generated),
    step("examples", "the examples run and succeed", run_examples),
    step(
        "interop",
        "live runs against Go programs, if Go is installed",
        run_interop,
    ),
    step(
        "web",
        "the client in TypeScript, if Node is installed, and pages, if Chromium is",
        run_web,
    ),
    step("sim", "300 random programs in the simulation", run_sim),
    step(
        "interleave",
        "the code that threads share in the log, in 2,000 interleavings a test",
        run_interleave,
    ),
    step(
        "crash",
        "nothing acknowledged is lost when the server is killed",
        run_crash,
    ),
    step(
        "attack",
        "honest clients are served while a server is abused",
        run_attack,
    ),
    step(
        "fuzz",
        "nothing that reads hostile bytes panics, in some seconds each",
        run_fuzz,
    ),
    step(
        "mutants",
        "tests notice a few mutants of the changed lines",
        mutants::sample,
    ),
    step(
        "package",
        "the published crates pack, and each lints alone",
        package::run,
    ),
];

const fn step(name: &'static str, about: &'static str, run: fn() -> Result<()>) -> Step {
    Step { name, about, run }
}

fn fmt() -> Result<()> {
    cargo("fmt --all --check").run()
}

fn tidy() -> Result<()> {
    cargo("test --quiet --package xtask").run()?;
    tidy::run(&tidy::Args::default())
}

fn run_deny() -> Result<()> {
    deny::run(&deny::Args {})
}

fn run_api() -> Result<()> {
    api::run(&api::Args { check: true })
}

fn clippy() -> Result<()> {
    // incompatible_msrv takes rust-version from the manifests.
    cargo(
        "clippy --workspace --all-targets --all-features -- -D warnings -D clippy::incompatible_msrv",
    )
    .run()
}

fn features() -> Result<()> {
    no_std::run(&no_std::Args {})?;
    for selection in [
        // These have no I/O and no clock, and their tests need no other crate.
        "qsse-topic --all-targets",
        "qsse-proto --all-targets",
        "qsse-log --all-targets",
        "qsse-topic --no-default-features",
        "qsse-topic --no-default-features --features serde",
        "qsse-topic --all-features",
        "qsse-proto --all-features",
        "qsse-transport --no-default-features --features aws-lc-rs",
        "qsse-transport --no-default-features --features ring",
        // These lint the crates below as well.
        "qsse --no-default-features",
        "qsse --no-default-features --features client,ring",
        "qsse --no-default-features --features auth,ring",
        "qsse --all-features",
    ] {
        lint(selection)?;
    }
    Ok(())
}

/// Lints a selection of packages and features. Only this finds code that is unused without a
/// feature.
fn lint(selection: &str) -> Result<()> {
    cargo(&format!("clippy --package {selection} -- -D warnings")).run()
}

fn test() -> Result<()> {
    with_threads(cargo(artifacts::TEST)).run()
}

/// Lets more tests run at a time than there are cores: most of them wait for timers and peers.
fn with_threads(tests: Shown) -> Shown {
    const VARIABLE: &str = "RUST_TEST_THREADS";
    if std::env::var_os(VARIABLE).is_some() {
        return tests;
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    tests.env(VARIABLE, &(4 * cores).to_string())
}

fn doctest() -> Result<()> {
    cargo("test --no-fail-fast --doc").run()
}

fn crypto() -> Result<()> {
    // The tests whose outcome depends on the provider.
    const TESTS: &str =
        "--lib --test ca_file --test dev_cert --test pem --test resets --test trust";
    for features in [
        "--no-default-features --features ring,self-signed",
        "--all-features",
    ] {
        let tests = cargo(&format!("test --package qsse-transport {features} {TESTS}"));
        with_threads(tests).run()?;
    }
    Ok(())
}

fn doc() -> Result<()> {
    // With the examples, dependencies have the features that they have for clippy: nothing below is
    // checked again.
    cargo("doc --no-deps --all-features --lib --bins --examples")
        .env("RUSTDOCFLAGS", "-D warnings")
        .run()
}

fn generated() -> Result<()> {
    docs::run(&docs::Args { check: true })
}

fn run_examples() -> Result<()> {
    examples::run(&examples::Args::default())
}

fn run_sim() -> Result<()> {
    sim::run_as_test(&Forwarded::of(&["--seeds", "300"]))
}

fn run_interleave() -> Result<()> {
    interleave::run(&interleave::Args {
        iterations: 2_000,
        test: None,
    })
}

fn run_crash() -> Result<()> {
    soak::run_as_test("crash", &Forwarded::of(&["--cycles", "5"]))
}

/// The attacks that the server withstands in a debug build.
const WITHSTOOD: [&str; 14] = [
    "storm",
    "hold",
    "matching",
    "halfopen",
    "filters",
    "refused",
    "topics",
    "starts",
    "silent",
    "churn",
    "tokens",
    "http-slow",
    "http-flood",
    "http-forge",
];

fn run_attack() -> Result<()> {
    let arguments: Vec<_> = ["--short"].into_iter().chain(WITHSTOOD).collect();
    attack::run_as_test(&Forwarded::of(&arguments))
}

fn run_fuzz() -> Result<()> {
    fuzz::run_as_test(&Forwarded::of(&["--seconds", "4"]))
}

fn run_interop() -> Result<()> {
    interop::run(&interop::Args::default())
}

fn run_web() -> Result<()> {
    web::run(&web::Args::default())
}
