//! `qsse serve` as a process: started, killed, started again at the same place.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use qsse_client::ServerUrl;
use qsse_testing::fixtures;

/// How to run the program, again and again.
pub(crate) struct Program {
    qsse: PathBuf,
    folder: tempfile::TempDir,
    flags: Vec<String>,
    limits: Vec<(String, String)>,
    address: Option<SocketAddr>,
}

/// The program while it runs; dropped, it is killed.
pub(crate) struct Running {
    child: Child,
    /// From the start of the process to its sockets.
    pub(crate) took: Duration,
    metrics: Option<SocketAddr>,
}

/// A server that does not listen after this long does not come.
const START: Duration = Duration::from_secs(60);

impl Program {
    /// The program at this path, with the certificate of the fixtures; what it writes is below
    /// `dir`.
    pub(crate) fn new(qsse: &Path, dir: Option<&Path>) -> Result<Self> {
        let folder = match dir {
            Some(dir) => tempfile::tempdir_in(dir)?,
            None => tempfile::tempdir()?,
        };
        let (cert, key) = fixtures::ed25519_cert();
        fs::write(folder.path().join("cert.pem"), cert)?;
        fs::write(folder.path().join("key.pem"), key)?;
        Ok(Self {
            qsse: qsse.to_owned(),
            folder,
            flags: Vec::new(),
            limits: Vec::new(),
            address: None,
        })
    }

    /// Keeps events in its folder, acknowledged like this.
    pub(crate) fn store(mut self, acknowledge: &str) -> Self {
        let store = self.folder.path().join("store").display().to_string();
        self.flags.extend(["--store".into(), store]);
        self.flags
            .extend(["--acknowledge".into(), acknowledge.into()]);
        self
    }

    /// With its gauges to be asked for.
    pub(crate) fn metrics(mut self) -> Self {
        self.flags
            .extend(["--metrics".into(), "127.0.0.1:0".into()]);
        self
    }

    /// With one of its limits, by the key of the configuration.
    pub(crate) fn limit(mut self, key: &str, value: &str) -> Self {
        let name = format!("QSSE_LIMITS_{}", key.to_uppercase());
        self.limits.push((name, value.to_owned()));
        self
    }

    /// Starts it, at the address that it had before.
    pub(crate) fn start(&mut self) -> Result<Running> {
        let listen = self
            .address
            .map_or_else(|| "127.0.0.1:0".into(), |address| address.to_string());
        let path = |name: &str| self.folder.path().join(name);
        let log = File::options()
            .create(true)
            .append(true)
            .open(path("server.log"))?;
        let mut command = Command::new(&self.qsse);
        command
            .args(["serve", "--listen", &listen])
            .arg("--cert")
            .arg(path("cert.pem"))
            .arg("--key")
            .arg(path("key.pem"))
            .args(&self.flags)
            .envs(self.limits.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log);
        let begun = Instant::now();
        let mut child = command.spawn().context("cannot run qsse")?;
        let stdout = child.stdout.take().expect("it is piped");
        let mut running = Running {
            child,
            took: Duration::ZERO,
            metrics: None,
        };
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = tell.send(line);
            }
        });
        let next = |what: &str| -> Result<SocketAddr> {
            let line = told.recv_timeout(START).with_context(|| {
                format!("the server did not start; its log ends:\n{}", self.log())
            })?;
            let address = line.strip_prefix(what);
            let address = address.with_context(|| format!("the server said {line:?}"))?;
            Ok(address.parse()?)
        };
        let address = next("listening on ")?;
        running.took = begun.elapsed();
        if self.flags.iter().any(|flag| flag == "--metrics") {
            running.metrics = Some(next("metrics on ")?);
        }
        self.address = Some(address);
        Ok(running)
    }

    /// What clients connect to.
    pub(crate) fn url(&self) -> ServerUrl {
        let address = self.address.expect("it has been started");
        let fingerprint = fixtures::server_tls().fingerprint();
        ServerUrl::from(address).with_fingerprint(fingerprint.expect("the certificate is known"))
    }

    /// The end of what it wrote to standard error.
    pub(crate) fn log(&self) -> String {
        let log = fs::read_to_string(self.folder.path().join("server.log")).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(12)..].join("\n")
    }

    /// Bytes of its store's files.
    pub(crate) fn stored_bytes(&self) -> u64 {
        let files = fs::read_dir(self.folder.path().join("store"));
        let files = files.into_iter().flatten().flatten();
        files
            .filter_map(|file| file.metadata().ok())
            .map(|file| file.len())
            .sum()
    }
}

impl Running {
    /// Ends it at once, as `kill -9` does.
    pub(crate) fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks it to end, and waits until it has.
    pub(crate) fn terminate(mut self) -> Result<()> {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status()?;
        ensure!(sent.success(), "the server cannot be sent a signal");
        let status = self.child.wait()?;
        ensure!(status.success(), "the server ended with {status}");
        Ok(())
    }

    /// Whether it still runs.
    pub(crate) fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Its resident memory in bytes: now, and the most so far.
    pub(crate) fn memory(&self) -> Result<(u64, u64)> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let of = |name: &str| -> Result<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kib = line.and_then(|line| line.split_whitespace().next());
            let kib: u64 = kib.context("no such line in its status")?.parse()?;
            Ok(kib * 1024)
        };
        Ok((of("VmRSS:")?, of("VmHWM:")?))
    }

    /// One of its own figures, without the prefix of its name.
    pub(crate) fn gauge(&self, name: &str) -> Result<f64> {
        let address = self.metrics.context("it was started without metrics")?;
        let mut stream = TcpStream::connect(address)?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: qsse\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        let prefix = format!("qsse_qsse_{name} ");
        let value = text.lines().find_map(|line| line.strip_prefix(&prefix));
        Ok(value.with_context(|| format!("no gauge {name}"))?.parse()?)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
