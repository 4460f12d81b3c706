//! Go peers: programs that read commands and report events, one JSON line each.

use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::str::FromStr;
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result, bail, ensure};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::line::{Line, Tally};

/// A peer's name and its program.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
}

impl FromStr for Peer {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, path) = text.split_once('=').ok_or("write NAME=PATH")?;
        Ok(Self {
            name: name.to_owned(),
            path: path.into(),
        })
    }
}

/// Lines of standard error, of all programs of a case.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    pub(crate) fn push(&self, line: String) {
        self.lines().push(line);
    }

    pub(crate) fn contains(&self, part: &str) -> bool {
        self.lines().iter().any(|line| line.contains(part))
    }

    pub(crate) fn last(&self, count: usize) -> Vec<String> {
        let lines = self.lines();
        lines[lines.len().saturating_sub(count)..].to_vec()
    }

    fn lines(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.0.lock().expect("nobody panics while holding it")
    }
}

/// A process that can be stopped, continued and killed. Killed when dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    pid: u32,
}

impl Process {
    pub(crate) fn start(command: &mut Command) -> Result<Self> {
        let child = command.kill_on_drop(true).spawn();
        let program = || command.as_std().get_program().display().to_string();
        let child = child.with_context(|| format!("cannot start {}", program()))?;
        let pid = child.id().context("it has just been started")?;
        Ok(Self { child, pid })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Halts it where it is; it keeps its sockets and answers nothing.
    pub(crate) fn pause(&self) -> Result<()> {
        self.signal("-STOP")
    }

    pub(crate) fn go_on(&self) -> Result<()> {
        self.signal("-CONT")
    }

    /// Ends it without a chance to say goodbye.
    pub(crate) async fn kill(&mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }

    fn signal(&self, signal: &str) -> Result<()> {
        let status = std::process::Command::new("kill")
            .args([signal, &self.pid.to_string()])
            .status()?;
        ensure!(status.success(), "kill {signal} {}", self.pid);
        Ok(())
    }
}

/// A Go client.
#[derive(Debug)]
pub(crate) struct GoClient {
    pub(crate) process: Process,
    lines: UnboundedReceiver<Result<Line>>,
}

impl GoClient {
    /// Starts one; it may not be connected yet.
    pub(crate) fn start(
        peer: &Peer,
        log: &Log,
        address: SocketAddr,
        arguments: &[&str],
    ) -> Result<Self> {
        let mut command = Command::new(&peer.path);
        command.args(["client", "--address", &address.to_string()]);
        Self::spawn(command.args(arguments), log)
    }

    pub(crate) fn spawn(command: &mut Command, log: &Log) -> Result<Self> {
        let piped = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut process = Process::start(piped)?;
        let (sender, lines) = unbounded_channel();
        let output = process.child.stdout.take().expect("it is piped");
        let errors = process.child.stderr.take().expect("it is piped");
        let (log, logged) = (log.clone(), sender.clone());
        tokio::spawn(each_line(errors, move |line| {
            if let Some(line) = Line::from_log(&line) {
                let _ = logged.send(Ok(line));
            }
            log.push(line);
        }));
        tokio::spawn(each_line(output, move |line| {
            // Who has what it wants listens no more; the pipe must not fill up for that.
            let _ = sender.send(Line::parse(&line).with_context(|| line));
        }));
        Ok(Self { process, lines })
    }

    /// The next line.
    pub(crate) async fn next(&mut self) -> Result<Line> {
        let line = self.lines.recv().await;
        line.context("the Go client has ended")?
    }

    /// The next line, if it is there already.
    pub(crate) fn said(&mut self) -> Option<Result<Line>> {
        self.lines.try_recv().ok()
    }

    /// Waits until it has connected and set its handlers; errors that come first are dropped,
    /// events are not expected.
    pub(crate) async fn ready(&mut self) -> Result<()> {
        loop {
            match self.next().await? {
                Line::Ready => return Ok(()),
                Line::Error { .. } | Line::Tally(_) => {}
                Line::Event { .. } => bail!("an event before the constructor returned"),
            }
        }
    }

    /// The next line is this one.
    pub(crate) async fn expect(&mut self, wanted: Line) -> Result<()> {
        let line = self.next().await?;
        ensure!(
            line == wanted,
            "the Go client says {}, not {}",
            short(&line),
            short(&wanted)
        );
        Ok(())
    }

    /// These lines come next, in any order.
    pub(crate) async fn expect_all(&mut self, mut wanted: Vec<Line>) -> Result<()> {
        while !wanted.is_empty() {
            let line = self.next().await?;
            let Some(at) = wanted.iter().position(|wanted| *wanted == line) else {
                bail!("the Go client says {}, not {wanted:?}", short(&line));
            };
            wanted.swap_remove(at);
        }
        Ok(())
    }

    /// Waits for a tally of at least that many events.
    pub(crate) async fn tally(&mut self, count: u64) -> Result<Tally> {
        loop {
            match self.next().await? {
                Line::Tally(tally) if tally.count >= count => return Ok(tally),
                Line::Tally(_) | Line::Ready => {}
                other => bail!("not only tallies: {}", short(&other)),
            }
        }
    }

    /// Waits until it ends by itself.
    pub(crate) async fn ended(&mut self) -> Result<ExitStatus> {
        Ok(self.process.child.wait().await?)
    }
}

/// A Go server.
#[derive(Debug)]
pub(crate) struct GoServer {
    pub(crate) process: Process,
    input: ChildStdin,
    answers: UnboundedReceiver<Value>,
    pub(crate) address: SocketAddr,
    /// In hex.
    pub(crate) fingerprint: String,
    /// Where its metrics are served.
    pub(crate) metrics: SocketAddr,
}

impl GoServer {
    pub(crate) async fn start(peer: &Peer, log: &Log, arguments: &[&str]) -> Result<Self> {
        Self::start_at(peer, log, free_port()?, arguments).await
    }

    /// Starts one on a port that is free: the library cannot tell which one it was given.
    pub(crate) async fn start_at(
        peer: &Peer,
        log: &Log,
        address: SocketAddr,
        arguments: &[&str],
    ) -> Result<Self> {
        Self::spawn(&mut Command::new(&peer.path), log, address, arguments).await
    }

    pub(crate) async fn spawn(
        command: &mut Command,
        log: &Log,
        address: SocketAddr,
        arguments: &[&str],
    ) -> Result<Self> {
        let piped = command
            .args(["server", "--address", &address.to_string()])
            .args(["--metrics", "127.0.0.1:0"])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut process = Process::start(piped)?;
        let (sender, mut answers) = unbounded_channel();
        let input = process.child.stdin.take().expect("it is piped");
        let output = process.child.stdout.take().expect("it is piped");
        let errors = process.child.stderr.take().expect("it is piped");
        let log = log.clone();
        tokio::spawn(each_line(errors, move |line| log.push(line)));
        tokio::spawn(each_line(output, move |line| answer(&sender, &line)));
        let greeting = answers.recv().await;
        let greeting = greeting.context("the Go server did not start")?;
        let text = |key: &str| greeting[key].as_str().unwrap_or_default();
        Ok(Self {
            process,
            input,
            address: text("listening").parse()?,
            fingerprint: text("fingerprint").to_owned(),
            metrics: text("metrics").parse()?,
            answers,
        })
    }

    pub(crate) async fn publish(&mut self, topic: &str, data: impl AsRef<[u8]>) -> Result<()> {
        let data = BASE64_STANDARD.encode(data);
        self.order(json!({ "publish": { "topic": topic, "data": data } }))
            .await
    }

    /// Begins to publish events of that many bytes, numbered from 0; [`answer`](Self::answer) waits
    /// until the last one is handed over.
    pub(crate) async fn generate(&mut self, topic: &str, count: u64, bytes: usize) -> Result<()> {
        let order = json!({ "generate": { "topic": topic, "count": count, "bytes": bytes } });
        self.say(order).await
    }

    /// Waits until the topic has that many subscribers.
    pub(crate) async fn subscribers(&mut self, topic: &str, count: usize) -> Result<()> {
        self.order(json!({ "await": { "topic": topic, "count": count } }))
            .await
    }

    /// Publishes on the topic until nobody is left on it: writing is how the library finds out.
    pub(crate) async fn abandoned(&mut self, topic: &str) -> Result<()> {
        self.order(json!({ "await": { "topic": topic, "count": 0, "publish": true } }))
            .await
    }

    /// Waits until the last order is carried out.
    pub(crate) async fn answer(&mut self) -> Result<()> {
        let answer = self.answers.recv().await;
        answer.context("the Go server has ended").map(drop)
    }

    async fn order(&mut self, order: Value) -> Result<()> {
        self.say(order).await?;
        self.answer().await
    }

    async fn say(&mut self, order: Value) -> Result<()> {
        let line = format!("{order}\n");
        self.input.write_all(line.as_bytes()).await?;
        Ok(())
    }
}

fn answer(sender: &UnboundedSender<Value>, line: &str) {
    if let Ok(value) = serde_json::from_str(line) {
        let _ = sender.send(value);
    }
}

/// A port of loopback that nobody has right now.
pub(crate) fn free_port() -> Result<SocketAddr> {
    Ok(UdpSocket::bind("127.0.0.1:0")?.local_addr()?)
}

pub(crate) async fn each_line(input: impl AsyncRead + Unpin, mut take: impl FnMut(String)) {
    let mut lines = BufReader::new(input).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        take(line);
    }
}

fn short(line: &Line) -> String {
    let mut text = format!("{line:?}");
    text.truncate(300);
    text
}
