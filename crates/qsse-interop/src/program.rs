//! The program `qsse`, in a home of its own.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::go::{Log, Process, each_line};
use crate::http;

/// The program, running.
pub(crate) struct Program {
    pub(crate) process: Process,
    lines: UnboundedReceiver<String>,
    _home: tempfile::TempDir,
}

impl Program {
    pub(crate) fn start(path: &Path, log: &Log, arguments: &[&str]) -> Result<Self> {
        let home = tempfile::tempdir()?;
        let mut command = Command::new(path);
        for (name, _) in std::env::vars_os() {
            let ours = name.to_str().is_some_and(|name| name.starts_with("QSSE_"));
            if ours || name == "XDG_CONFIG_HOME" || name == "XDG_DATA_HOME" {
                command.env_remove(name);
            }
        }
        let piped = command
            .args(arguments)
            .env("HOME", home.path())
            .current_dir(home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut process = Process::start(piped)?;
        let output = process.child().stdout.take().expect("it is piped");
        let errors = process.child().stderr.take().expect("it is piped");
        let log = log.clone();
        tokio::spawn(each_line(errors, move |line| log.push(line)));
        let (sender, lines) = unbounded_channel();
        tokio::spawn(async move {
            let mut output = BufReader::new(output).lines();
            while let Ok(Some(line)) = output.next_line().await {
                let _ = sender.send(line);
            }
        });
        Ok(Self {
            process,
            lines,
            _home: home,
        })
    }

    /// The next line of standard output.
    pub(crate) async fn next(&mut self) -> Result<String> {
        let line = self.lines.recv().await;
        line.context("the program has ended")
    }
}

/// `qsse serve` on a free port, whose metrics are read.
pub(crate) struct ServeProgram {
    _program: Program,
    pub(crate) address: SocketAddr,
    metrics: SocketAddr,
}

impl ServeProgram {
    pub(crate) async fn start(path: &Path, log: &Log) -> Result<Self> {
        let any = "127.0.0.1:0";
        let arguments = ["serve", "--listen", any, "--metrics", any];
        let mut program = Program::start(path, log, &arguments)?;
        let mut told = async |what: &str| {
            let line = program.next().await?;
            let address = line.strip_prefix(what).context("where it listens")?;
            anyhow::Ok(address.parse()?)
        };
        let (address, metrics) = (told("listening on ").await?, told("metrics on ").await?);
        Ok(Self {
            _program: program,
            address,
            metrics,
        })
    }

    /// Waits until it has that many subscriptions.
    pub(crate) async fn subscriptions(&self, count: usize) -> Result<()> {
        let wanted = format!("qsse_qsse_subscriptions {count}");
        loop {
            let text = http::metrics(self.metrics).await?;
            if text.lines().any(|line| line == wanted) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// The first line of a process's standard output, which is piped.
pub(crate) async fn line_of(process: &mut Process) -> Result<String> {
    let output = process.child().stdout.take().context("it is piped")?;
    let line = BufReader::new(output).lines().next_line().await?;
    line.context("it has ended")
}
