//! What a clients' process says to the judge.

use std::io::BufRead;

/// Tells the judge that all clients are there, and waits for its word.
pub(super) async fn ready() {
    println!("ready");
    let _ = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line)
    })
    .await;
}

/// Tells the judge that the window begins.
pub(super) fn begin() {
    println!("begin");
}

/// Ends the process: a client that cannot do its work must not be measured.
pub(super) fn fail(error: &anyhow::Error) -> ! {
    eprintln!("a client failed: {error:#}");
    std::process::exit(1);
}
