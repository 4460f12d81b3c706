//! Every end of a command closes its connection.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::harness::{Home, PATIENCE, Server, patient};

/// Waits until the server has no connection.
#[track_caller]
fn wait_for_none(metrics: &str, after: &str) {
    let begun = Instant::now();
    loop {
        let answer = get(metrics).expect("the metrics answer");
        if answer.contains("\nqsse_qsse_connections 0\n") {
            return;
        }
        assert!(
            begun.elapsed() < PATIENCE,
            "{after} leaves a connection: {answer}"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn get(metrics: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(metrics)?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

#[test]
fn no_end_of_a_command_leaves_a_connection() {
    let home = Home::new();
    let serve =
        "serve --listen 127.0.0.1:0 --metrics 127.0.0.1:0 --topics people --drain-timeout 1h";
    let serve: Vec<_> = serve.split(' ').collect();
    let mut server = Server::start(&mut patient(home.command(&serve)));
    let metrics = server.running.line("metrics on ");
    let metrics = metrics.strip_prefix("metrics on ").unwrap();
    for (command, status) in [
        ("sub nope", 6),
        ("sub people --timeout 1ms", 3),
        ("pub nope x", 6),
        ("pub people x", 0),
        ("ping -n1", 0),
        ("ping --interval 1h --timeout 300ms", 3),
        ("bench --topic nope --duration 1s --warmup 0s", 6),
        ("cert", 0),
    ] {
        let mut args: Vec<_> = command.split(' ').collect();
        args.extend(["-s", &server.address]);
        let done: crate::harness::Done = patient(home.command(&args)).output().unwrap().into();
        done.expect(status, &[]);
        wait_for_none(metrics, command);
    }
    // The drain would wait for an hour.
    server.running.signal("TERM");
    server.running.done().expect(0, &["draining"]);
}
