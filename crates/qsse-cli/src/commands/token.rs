//! `qsse token`: makes, judges and hashes tokens.

use std::io::Read;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Result, anyhow};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::{Args, Subcommand};
use qsse_auth::{JwtSigner, MIN_TOKEN_BYTES, new_token, token_hash};
use qsse_server::{Action as Doing, Authenticator, Credentials, Principal};
use qsse_topic::Pattern;
use serde_json::{Map, Value, json};
use tracing::Level;

use crate::console::{message, print};
use crate::exit::{Status, fail, usage, usage_because};
use crate::serve::access::Access;
use crate::settings::Settings;

/// Make, judge or hash a token
#[derive(Args)]
#[command(after_help = "\
inspect and hash read the token from standard input, so that other users do not see it.

Examples:
  qsse token new --name 'driver 7' --subscribe 'ride.*' --publish 'ride.7.*' >> tokens.toml
  qsse token new --sign key.pem --name ada --subscribe '*' --expires-in 1h
  qsse token hash < token
  qsse token inspect --tokens tokens.toml < token
  qsse token inspect --jwt-key public.pem --jwt-audience hub < token")]
pub(crate) struct Options {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Make a random token with its entry for the tokens file, or sign a JWT
    New(New),
    /// Say what a token is, and whether the settings accept it
    Inspect,
    /// Print the hash of a token, for the tokens file
    Hash,
}

#[derive(Args)]
struct New {
    /// Who it is for: the name of the principal
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// What it may subscribe to; may be repeated
    #[arg(long, value_name = "PATTERN", value_delimiter = ',')]
    subscribe: Vec<Pattern>,
    /// What it may publish on; may be repeated
    #[arg(long, value_name = "PATTERN", value_delimiter = ',')]
    publish: Vec<Pattern>,
    /// How long it is valid; a JWT always ends, after 1h by default
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    expires_in: Option<Duration>,
    /// The prefix that it is confined to
    #[arg(long, value_name = "TOPIC")]
    namespace: Option<String>,
    /// Write its hash into the entry, and the token beside it in a comment
    #[arg(long, conflicts_with = "sign")]
    hashed: bool,
    /// Sign a JWT with the private key or secret in this file
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    sign: Option<PathBuf>,
    /// The id of the key, for a server with several
    #[arg(long, value_name = "ID", requires = "sign")]
    key_id: Option<String>,
    /// The id of the JWT
    #[arg(long, value_name = "ID", requires = "sign")]
    id: Option<String>,
}

pub(crate) async fn run(options: Options, settings: &Settings) -> Result<Status> {
    match options.action {
        Action::New(new) => {
            let made = match &new.sign {
                Some(key) => new.jwt(key, settings)?,
                None => new.entry()?,
            };
            print(made).await?;
        }
        Action::Hash => {
            let token = read_token()?;
            if token.len() < MIN_TOKEN_BYTES {
                message(
                    Level::WARN,
                    format_args!(
                        "the token has less than {MIN_TOKEN_BYTES} bytes: it can be found from its \
                         hash by trying"
                    ),
                );
            }
            print(token_hash(&token)).await?;
        }
        Action::Inspect => return inspect(&read_token()?, settings).await,
    }
    Ok(Status::Done)
}

impl New {
    fn check(&self) -> Result<()> {
        match self.subscribe.is_empty() && self.publish.is_empty() {
            true => Err(usage("a token needs --subscribe or --publish, or both")),
            false => Ok(()),
        }
    }

    /// Returns an entry for the tokens file.
    fn entry(&self) -> Result<String> {
        self.check()?;
        let token = new_token();
        let mut entry = toml::Table::new();
        let mut comment = String::new();
        if let Some(name) = &self.name {
            entry.insert("name".into(), name.clone().into());
        }
        if self.hashed {
            entry.insert("hash".into(), token_hash(&token).into());
            comment = format!("# For the client, not for this file: {token}\n");
        } else {
            entry.insert("token".into(), token.into());
        }
        for (key, patterns) in [("subscribe", &self.subscribe), ("publish", &self.publish)] {
            if !patterns.is_empty() {
                let texts = patterns.iter().map(|pattern| pattern.as_str().to_owned());
                entry.insert(key.into(), texts.collect::<Vec<_>>().into());
            }
        }
        if let Some(end) = self.end(None)? {
            let text = humantime::format_rfc3339_seconds(end).to_string();
            entry.insert("expires".into(), text.into());
        }
        if let Some(namespace) = &self.namespace {
            entry.insert("namespace".into(), namespace.clone().into());
        }
        Ok(format!(
            "{comment}[[token]]\n{}",
            entry.to_string().trim_end()
        ))
    }

    /// Returns a signed JWT.
    fn jwt(&self, key: &std::path::Path, settings: &Settings) -> Result<String> {
        self.check()?;
        let signer = JwtSigner::key_file(key).map_err(|error| usage(error.to_string()))?;
        let texts = |patterns: &[Pattern]| -> Vec<String> {
            patterns.iter().map(ToString::to_string).collect()
        };
        let mut grants = json!({
            "subscribe": texts(&self.subscribe),
            "publish": texts(&self.publish),
        });
        if let Some(namespace) = &self.namespace {
            grants["namespace"] = namespace.clone().into();
        }
        let now = seconds(SystemTime::now());
        let end = self.end(Some(Duration::from_secs(3600)))?;
        let mut claims = Map::new();
        claims.insert("iat".into(), now.into());
        claims.insert("exp".into(), end.map(seconds).into());
        claims.insert(settings.text("jwt_claim").into(), grants);
        let mut add = |name: &str, value: Option<&String>| {
            if let Some(value) = value {
                claims.insert(name.into(), value.clone().into());
            }
        };
        add("sub", self.name.as_ref());
        add("jti", self.id.as_ref());
        add("iss", settings.value("jwt_issuer").texts.first());
        add("aud", settings.value("jwt_audience").texts.first());
        Ok(signer.sign(&claims, self.key_id.as_deref()))
    }

    /// Returns when it ends.
    fn end(&self, default: Option<Duration>) -> Result<Option<SystemTime>> {
        let Some(time) = self.expires_in.or(default) else {
            return Ok(None);
        };
        let end = SystemTime::now().checked_add(time);
        // The year 9999 is the last that can be written.
        let end = end.filter(|end| seconds(*end) < 253_402_300_800);
        end.map(Some)
            .ok_or_else(|| usage("--expires-in is too long"))
    }
}

/// Says what a token is. Prints neither the token nor its signature.
async fn inspect(token: &str, settings: &Settings) -> Result<Status> {
    let mut lines = vec![format!(
        "id           {}, unless it is a JWT with jti",
        Principal::token_id_of(token)
    )];
    if let Some((header, claims)) = decode(token) {
        lines.push(format!("header       {header}"));
        lines.push(format!("claims       {claims}"));
        lines.extend(times(&claims));
    } else {
        lines.push(format!("opaque       {} bytes, not a JWT", token.len()));
        if token.len() < MIN_TOKEN_BYTES {
            lines.push(format!(
                "warning      shorter than {MIN_TOKEN_BYTES} bytes: make a new one"
            ));
        }
    }
    let judged = match Access::from_settings(settings)? {
        access @ Access::Methods(_) => judge(token, access).await?,
        _ => Ok("not judged: give --tokens, --jwt-key or another way to accept it".into()),
    };
    match judged {
        Ok(line) => {
            lines.push(line);
            print(lines.join("\n")).await?;
            Ok(Status::Done)
        }
        Err(reason) => {
            print(lines.join("\n")).await?;
            Err(fail(Status::Token, format!("refused: {reason}")))
        }
    }
}

/// Asks as a server with these settings does.
async fn judge(token: &str, access: Access) -> Result<Result<String, String>> {
    let address = "127.0.0.1:0".parse().map_err(|_| anyhow!("no address"))?;
    let authenticator = access.authenticator().await?;
    let answer = authenticator.authenticate(Credentials::new(Some(token), address));
    let principal = match answer.await {
        Ok(principal) => principal,
        Err(denied) => return Ok(Err(denied.to_string())),
    };
    let filter = |doing| {
        let filter = principal.grants().and_then(|grants| grants.filter(doing));
        filter.map_or_else(|| "nothing".into(), ToString::to_string)
    };
    let mut line = format!(
        "accepted     as {}, may subscribe to {} and publish on {}",
        principal.name(),
        filter(Doing::Subscribe),
        filter(Doing::Publish),
    );
    if let Some(left) = principal.expires_in() {
        let left = humantime::format_duration(Duration::from_secs(left.as_secs()));
        line.push_str(&format!(", for {left}"));
    }
    Ok(Ok(line))
}

/// Returns header and claims of a JWT, unverified.
fn decode(token: &str) -> Option<(Value, Value)> {
    let mut parts = token.split('.');
    let mut part = || -> Option<Value> {
        let bytes = URL_SAFE_NO_PAD.decode(parts.next()?).ok()?;
        let value: Value = serde_json::from_slice(&bytes).ok()?;
        value.is_object().then_some(value)
    };
    Some((part()?, part()?))
}

/// Says when a JWT begins and ends.
fn times(claims: &Value) -> Vec<String> {
    let now = seconds(SystemTime::now());
    let mut lines = Vec::new();
    for (claim, name) in [("nbf", "begins"), ("exp", "ends")] {
        let Some(time) = claims[claim]
            .as_u64()
            .filter(|time| *time < 253_402_300_800)
        else {
            continue;
        };
        let at = humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(time));
        let past = if time <= now { "past" } else { "to come" };
        lines.push(format!("{name:12} {at}, {past}"));
    }
    lines
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}

/// Reads a token from standard input, without white space around it.
fn read_token() -> Result<String> {
    let mut text = String::new();
    std::io::stdin()
        .take(1 << 20)
        .read_to_string(&mut text)
        .map_err(|error| usage_because("cannot read the token from standard input", error))?;
    match text.trim() {
        "" => Err(usage("standard input has no token")),
        token => Ok(token.into()),
    }
}
