//! [`Program`]: `qsse serve` as a process, started, killed, started again at the same place.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use qsse_transport::ServerUrl;

use crate::fixtures;

/// How to run the program, again and again.
pub struct Program {
    qsse: PathBuf,
    folder: tempfile::TempDir,
    flags: Vec<String>,
    settings: Vec<(String, String)>,
    address: Option<SocketAddr>,
}

/// The program while it runs. Dropping it kills the process.
pub struct Running {
    child: Child,
    /// The time from the start of the process until it listened.
    pub took: Duration,
    metrics: Option<SocketAddr>,
    http: Option<SocketAddr>,
}

/// A server that does not listen after this long never will.
const START: Duration = Duration::from_secs(60);

/// Linux counts the processor time of a process in hundredths of a second.
const TICK: Duration = Duration::from_millis(10);

impl Program {
    /// The program at this path, with the certificate of the fixtures. What it writes is below
    /// `dir`, or else in the system's folder for temporary files.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn new(qsse: &Path, dir: Option<&Path>) -> Result<Self> {
        let folder = match dir {
            Some(dir) => tempfile::tempdir_in(dir)?,
            None => tempfile::tempdir()?,
        };
        let (cert, key) = fixtures::ed25519_cert();
        write_secret(&folder.path().join("cert.pem"), cert)?;
        write_secret(&folder.path().join("key.pem"), key)?;
        Ok(Self {
            qsse: qsse.to_owned(),
            folder,
            flags: Vec::new(),
            settings: Vec::new(),
            address: None,
        })
    }

    /// Stores events in its folder. `acknowledge` is the value of that flag.
    #[must_use]
    pub fn store(mut self, acknowledge: &str) -> Self {
        let store = self.folder.path().join("store").display().to_string();
        self.flags.extend(["--store".into(), store]);
        self.flags
            .extend(["--acknowledge".into(), acknowledge.into()]);
        self
    }

    /// Serves its metrics.
    #[must_use]
    pub fn metrics(mut self) -> Self {
        self.flags
            .extend(["--metrics".into(), "127.0.0.1:0".into()]);
        self
    }

    /// Answers HTTP clients, with TLS or without.
    #[must_use]
    pub fn http(mut self) -> Self {
        self.flags.extend(["--http".into(), "127.0.0.1:0".into()]);
        self
    }

    /// Grants only what this tokens file says.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn tokens(mut self, text: &str) -> Result<Self> {
        let path = self.folder.path().join("tokens.toml");
        write_secret(&path, text)?;
        self.flags
            .extend(["--tokens".into(), path.display().to_string()]);
        Ok(self)
    }

    /// Reads this configuration file.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn config(mut self, text: &str) -> Result<Self> {
        let path = self.folder.path().join("config.toml");
        write_secret(&path, text)?;
        self.flags
            .extend(["--config".into(), path.display().to_string()]);
        Ok(self)
    }

    /// Sets one of its limits, by the key of the configuration.
    #[must_use]
    pub fn limit(self, key: &str, value: &str) -> Self {
        self.setting(&format!("limits_{key}"), value)
    }

    /// Sets any setting, by its key with `_` for dots.
    #[must_use]
    pub fn setting(mut self, key: &str, value: &str) -> Self {
        let name = format!("QSSE_{}", key.to_uppercase());
        self.settings.push((name, value.to_owned()));
        self
    }

    /// Starts it, at the address that it had before, and waits until it listens.
    ///
    /// # Errors
    /// The program cannot be run, or does not start within a minute; the error has the end of its
    /// log.
    pub fn start(&mut self) -> Result<Running> {
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
            .envs(self.settings.iter().cloned())
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
            http: None,
        };
        let (send, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = send.send(line);
            }
        });
        let address = self.announced(&lines, "listening on ")?;
        running.took = begun.elapsed();
        if self.flags.iter().any(|flag| flag == "--metrics") {
            running.metrics = Some(self.announced(&lines, "metrics on ")?);
        }
        if self.flags.iter().any(|flag| flag == "--http") {
            running.http = Some(self.announced(&lines, "http on ")?);
        }
        self.address = Some(address);
        Ok(running)
    }

    /// Waits for the line that begins with `what`, and returns the address in it.
    fn announced(&self, lines: &Receiver<String>, what: &str) -> Result<SocketAddr> {
        let line = lines
            .recv_timeout(START)
            .with_context(|| format!("the server did not start; its log ends:\n{}", self.log()))?;
        let address = line.strip_prefix(what);
        let address = address.with_context(|| format!("the server said {line:?}"))?;
        Ok(address.parse()?)
    }

    /// Returns what clients connect to.
    ///
    /// # Panics
    /// Before the first start.
    pub fn url(&self) -> ServerUrl {
        let fingerprint = fixtures::server_tls().fingerprint();
        ServerUrl::from(self.address())
            .with_fingerprint(fingerprint.expect("the certificate is known"))
    }

    /// Returns the address at which it listens.
    ///
    /// # Panics
    /// Before the first start.
    pub fn address(&self) -> SocketAddr {
        self.address.expect("it has been started")
    }

    /// Returns the end of what it wrote to standard error.
    pub fn log(&self) -> String {
        let log = fs::read_to_string(self.folder.path().join("server.log")).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(12)..].join("\n")
    }

    /// Returns the size of its store's files in bytes.
    pub fn stored_bytes(&self) -> u64 {
        let files = fs::read_dir(self.folder.path().join("store"));
        let files = files.into_iter().flatten().flatten();
        files
            .filter_map(|file| file.metadata().ok())
            .map(|file| file.len())
            .sum()
    }
}

/// Writes a file that only this user can read.
fn write_secret(path: &Path, text: &str) -> Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)?.write_all(text.as_bytes())?;
    Ok(())
}

impl Running {
    /// Ends it at once, as `kill -9` does.
    ///
    /// # Errors
    /// The system does not let it.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks it to end, and waits until it has.
    ///
    /// # Errors
    /// It ended with an error.
    pub fn terminate(mut self) -> Result<()> {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status()?;
        ensure!(sent.success(), "the server cannot be sent a signal");
        let status = self.child.wait()?;
        ensure!(status.success(), "the server ended with {status}");
        Ok(())
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Returns its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns its resident memory in bytes: now, and the most so far.
    ///
    /// # Errors
    /// It has ended, or the system has no `/proc`.
    pub fn memory(&self) -> Result<(u64, u64)> {
        memory(self.id())
    }

    /// Returns the processor time that it has used, to a hundredth of a second.
    ///
    /// # Errors
    /// As [`memory`](Self::memory).
    pub fn processor(&self) -> Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.id()))?;
        // The name of the program, in brackets, may contain spaces. User and system time are the
        // twelfth and thirteenth field after it.
        let fields = stat.rsplit(')').next().unwrap_or_default();
        let mut ticks = 0;
        for field in fields.split_whitespace().skip(11).take(2) {
            ticks += field.parse::<u32>()?;
        }
        Ok(TICK * ticks)
    }

    /// Returns one of its own figures, without the prefix of its name.
    ///
    /// # Errors
    /// There is none of that name, or it was started without metrics.
    pub fn gauge(&self, name: &str) -> Result<f64> {
        let text = metrics(self.metrics()?)?;
        let prefix = format!("qsse_qsse_{name} ");
        let value = text.lines().find_map(|line| line.strip_prefix(&prefix));
        Ok(value.with_context(|| format!("no gauge {name}"))?.parse()?)
    }

    /// Returns the address of its metrics.
    ///
    /// # Errors
    /// It was started without metrics.
    pub fn metrics(&self) -> Result<SocketAddr> {
        self.metrics.context("it was started without metrics")
    }

    /// Returns the address at which it answers HTTP clients; `None` if it does not.
    pub fn http(&self) -> Option<SocketAddr> {
        self.http
    }
}

/// Returns the resident memory of a process in bytes: now, and the most so far.
///
/// # Errors
/// It has ended, or the system has no `/proc`.
pub fn memory(process: u32) -> Result<(u64, u64)> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let of = |name: &str| -> Result<u64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.and_then(|line| line.split_whitespace().next());
        let kib: u64 = kib.context("no such line in its status")?.parse()?;
        Ok(kib * 1024)
    };
    Ok((of("VmRSS:")?, of("VmHWM:")?))
}

/// Asks a server for its metrics and returns the answer, with its HTTP header.
///
/// # Errors
/// It does not answer within five seconds.
pub fn metrics(address: SocketAddr) -> Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: qsse\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
