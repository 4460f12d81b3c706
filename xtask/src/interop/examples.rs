//! Runs the Go library's example programs, of which only the address is changed: its clients
//! against `qsse serve`, its servers against `qsse sub`.

use std::{
    fs,
    net::UdpSocket,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};

use super::peers;
use crate::{artifacts, command::program, examples::process::Program, workspace};

/// An example, and what its two programs exchange.
struct Example {
    folder: &'static str,
    /// The address in its source.
    address: &'static str,
    topics: &'static [&'static str],
    /// A topic, and what the client prints when an event comes there.
    told: &'static [(&'static str, &'static str)],
}

const EXAMPLES: &[Example] = &[
    Example {
        folder: "simple",
        address: "localhost:4242",
        topics: &["firstnames", "lastnames"],
        told: &[
            ("firstnames", "topic: firstnames, message: Ada"),
            ("lastnames", "topic: lastnames, message: Ada"),
        ],
    },
    Example {
        folder: "topic-pattern",
        address: "localhost:4242",
        topics: &[
            "people.1.firstname",
            "people.2.firstname",
            "people.1.lastname",
            "people.2.lastname",
        ],
        told: &[
            ("people.1.firstname", "received on people.1.firstname"),
            ("people.2.firstname", "received on people.*.firstname"),
            ("people.2.lastname", "received on people.*.lastname"),
            ("people.1.lastname", "received on people.*"),
        ],
    },
    Example {
        folder: "multiple-generators",
        address: "localhost:8080",
        topics: &["topic1", "topic2", "topic3"],
        told: &[
            ("topic1", "client-0 topic1: Ada"),
            ("topic3", "client-0 topic3: Ada"),
        ],
    },
];

/// The deadline of a program, and of the line that it has to print.
const LIMIT: Duration = Duration::from_secs(60);

/// Builds and runs all of them.
pub(super) fn run(library: &Path) -> Result<()> {
    let qsse = artifacts::program("bin", "qsse")?;
    for example in EXAMPLES {
        let address = UdpSocket::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let client = example.build(library, "client", &address)?;
        client_works(example, &client, &qsse, &address)
            .with_context(|| format!("the client of {}", example.folder))?;
        let server = example.build(library, "server", &address)?;
        server_works(example, &server, &qsse, &address)
            .with_context(|| format!("the server of {}", example.folder))?;
    }
    println!("{} examples work, both programs of each", EXAMPLES.len());
    Ok(())
}

impl Example {
    /// Copies one of its programs, replaces the address, and builds it.
    fn build(&self, library: &Path, side: &str, address: &str) -> Result<PathBuf> {
        let name = format!("{}-{side}", self.folder);
        let folder = peers::folder(&format!("examples/{name}"))?;
        let source = library.join("examples").join(self.folder).join(side);
        let mut replaced = 0;
        for file in fs::read_dir(&source).with_context(|| format!("{}", source.display()))? {
            let file = file?;
            let text = fs::read_to_string(file.path())?;
            replaced += text.matches(self.address).count();
            fs::write(
                folder.join(file.file_name()),
                text.replace(self.address, address),
            )?;
        }
        ensure!(replaced == 1, "{} is there {replaced} times", self.address);
        peers::write_module(&folder, &name, library)?;
        let program = folder.join(&name);
        peers::build(&folder, "", &program)?;
        Ok(program)
    }
}

/// Publishes to the example's client through our server until it has printed every line.
fn client_works(example: &Example, client: &Path, qsse: &Path, address: &str) -> Result<()> {
    let serve = format!(
        "serve --listen {address} --topics {}",
        example.topics.join(",")
    );
    let mut server = start(qsse, &serve)?;
    ensure!(
        server.wait_for_line("listening on"),
        "our server did not start"
    );
    let mut client = start(client, "")?;
    let started = Instant::now();
    for (topic, line) in example.told {
        // The client may not have subscribed yet, so publish again until it prints the line.
        loop {
            publish(qsse, address, topic)?;
            if client.prints_soon(line) {
                break;
            }
            if started.elapsed() > LIMIT {
                bail!("it does not print {line:?}");
            }
        }
    }
    Ok(())
}

fn publish(qsse: &Path, address: &str, topic: &str) -> Result<()> {
    let arguments = ["pub", "-s", address, "--insecure", topic, "Ada"];
    let run = arguments.iter();
    run.fold(program(qsse), |publish, argument| publish.arg(argument))
        .env("HOME", &home()?)
        .run()
}

/// Waits until two events of the example's server have reached our client.
fn server_works(example: &Example, server: &Path, qsse: &Path, address: &str) -> Result<()> {
    let _server = start(server, "")?;
    let topics = example.topics.join(" ");
    let sub = format!(
        "sub -s {address} --insecure --retry --token secret --dialect go --json --count 2 {topics}"
    );
    let mut client = start(qsse, &sub)?;
    ensure!(client.wait_for_line("\"topic\":"), "no event came");
    let status = client.wait()?.context("no second event came")?;
    ensure!(status.success(), "qsse sub ended with {status}");
    Ok(())
}

/// Starts a program with standard error redirected to standard output.
fn start(path: &Path, arguments: &str) -> Result<Program> {
    let path = path.to_str().context("a path that is not UTF-8")?;
    println!("$ {path} {arguments}");
    let script = format!("HOME='{}' exec '{path}' {arguments} 2>&1", home()?);
    Program::start(Path::new("/bin/sh"), &["-c", &script], LIMIT)
}

/// A home for our programs, with a development certificate of its own.
fn home() -> Result<String> {
    let home = workspace::root().join("target/interop/home");
    fs::create_dir_all(&home)?;
    Ok(home
        .to_str()
        .context("a path that is not UTF-8")?
        .to_owned())
}
