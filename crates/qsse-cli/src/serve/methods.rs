//! [`Methods`]: how clients of the program's server show who they are.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use qsse_auth::{AnyOf, Callback, Jwt, KeySet, SetupError, Tokens};

use crate::exit::usage;
use crate::settings::Settings;
use crate::text;

/// The settings that each let somebody in, with their flags.
const METHODS: &[&str] = &["tokens", "jwt_key", "jwt_jwks", "mtls_ca", "auth_callback"];

/// Settings that have no effect without one of others.
const DEPENDENT: &[(&str, &[&str])] = &[
    ("jwt_algorithm", &["jwt_key"]),
    ("jwt_issuer", &["jwt_key", "jwt_jwks"]),
    ("jwt_audience", &["jwt_key", "jwt_jwks"]),
    ("mtls_crl", &["mtls_ca"]),
    ("auth_ca", &["jwt_jwks", "auth_callback"]),
    ("http_plain", &["http"]),
    ("http_tcp_only", &["http"]),
    ("http_origins", &["http"]),
    ("http_cookie", &["http"]),
    ("http_query_token", &["http"]),
];

/// How clients show who they are. One of these ways has to succeed.
#[derive(Default)]
pub(crate) struct Methods {
    tokens: Option<Tokens>,
    jwt: Option<JwtKeys>,
    callback: Option<Callback>,
    jwt_settings: JwtSettings,
    /// The ways in words.
    described: Vec<String>,
    /// Whether there is a way with a token.
    by_token: bool,
}

/// Where the keys of JWTs are.
enum JwtKeys {
    Set(KeySet),
    File(PathBuf),
    Url(String, Option<PathBuf>),
}

#[derive(Default)]
struct JwtSettings {
    issuers: Vec<String>,
    audiences: Vec<String>,
    claim: String,
    leeway: Duration,
    refresh: Duration,
    no_expiry: bool,
}

impl Methods {
    /// Reads the settings and the files that they name; `None` if no way is set. What is behind a
    /// URL is not asked yet.
    ///
    /// # Errors
    /// A file is wrong, or settings contradict each other.
    pub(crate) fn from_settings(settings: &Settings) -> Result<Option<Self>> {
        check_dependent(settings)?;
        let set: Vec<_> = METHODS.iter().filter(|key| settings.is_set(key)).collect();
        if set.is_empty() {
            return Ok(None);
        }
        if let (true, Some(key)) = (settings.on("open"), set.first()) {
            return Err(usage(format!(
                "open ({}) and {key} ({}) contradict each other: give one of them",
                settings.value("open").source,
                settings.value(key).source,
            )));
        }
        let mut methods = Self {
            jwt_settings: JwtSettings::from_settings(settings),
            ..Self::default()
        };
        methods.read_tokens(settings)?;
        methods.read_keys(settings)?;
        let ca = path(settings, "auth_ca");
        if settings.is_set("auth_callback") {
            let url = settings.text("auth_callback");
            let callback = Callback::new(url, ca.as_deref()).map_err(wrong)?;
            let time = settings.duration("auth_cache").unwrap_or_default();
            methods.callback = Some(callback.cache(time));
            methods.add(format!("whom {url} accepts"));
            methods.by_token = true;
        }
        Ok(Some(methods))
    }

    /// Reads the file of tokens and certificates.
    fn read_tokens(&mut self, settings: &Settings) -> Result<()> {
        let asks = settings.is_set("mtls_ca");
        let mut certificates = 0;
        if let Some(path) = path(settings, "tokens") {
            let tokens = Tokens::read(&path).map_err(wrong)?;
            let shown = path.display();
            certificates = tokens.certificates();
            if certificates > 0 && !asks {
                return Err(usage(format!(
                    "the tokens file {shown} lists certificates, which nobody asks for: give \
                     --mtls-ca FILE"
                )));
            }
            if tokens.tokens() > 0 {
                let count = text::counted(tokens.tokens() as u64, "token");
                self.add(format!("those with one of the {count} in {shown}"));
                self.by_token = true;
            }
            self.tokens = Some(tokens);
        }
        if asks && certificates == 0 && !settings.is_set("auth_callback") {
            return Err(usage(
                "--mtls-ca alone permits nothing: list what certificates may do in the tokens file \
                 (--tokens FILE), as [[certificate]]",
            ));
        }
        if asks {
            let ca = settings.text("mtls_ca");
            self.add(format!("those with a certificate from {ca}"));
        }
        Ok(())
    }

    /// Reads the keys of JWTs.
    fn read_keys(&mut self, settings: &Settings) -> Result<()> {
        let keys = match settings.either("jwt_key", "jwt_jwks")? {
            None => return Ok(()),
            Some("jwt_key") => {
                let algorithm = settings.get("jwt_algorithm");
                let set = KeySet::key_file(settings.text("jwt_key"), algorithm);
                JwtKeys::Set(set.map_err(wrong)?)
            }
            Some(_) => {
                let place = settings.text("jwt_jwks");
                if is_url(place) {
                    JwtKeys::Url(place.into(), path(settings, "auth_ca"))
                } else {
                    // Found now, and read again with the others.
                    KeySet::jwks_file(place).map_err(wrong)?;
                    JwtKeys::File(place.into())
                }
            }
        };
        self.jwt = Some(keys);
        self.add("those with a JWT that a known key has signed".into());
        self.by_token = true;
        Ok(())
    }

    fn add(&mut self, who: String) {
        self.described.push(who);
    }

    /// Describes who is let in.
    pub(crate) fn describe(&self) -> String {
        format!("only {}", self.described.join(", or "))
    }

    /// Returns whether clients may show a token.
    pub(crate) fn by_token(&self) -> bool {
        self.by_token
    }

    /// Returns what decides. Asks for the keys that are behind a URL.
    ///
    /// # Errors
    /// There are none.
    pub(crate) async fn authenticator(self) -> Result<AnyOf> {
        let mut any = AnyOf::new();
        if let Some(tokens) = self.tokens {
            any = any.or(tokens);
        }
        if let Some(keys) = self.jwt {
            let jwt = match keys {
                JwtKeys::Set(keys) => Jwt::new(keys),
                JwtKeys::File(path) => Jwt::jwks_file(path).await.map_err(wrong)?,
                JwtKeys::Url(url, ca) => Jwt::jwks_url(&url, ca.as_deref()).await.map_err(wrong)?,
            };
            any = any.or(self.jwt_settings.apply(jwt));
        }
        if let Some(callback) = self.callback {
            any = any.or(callback);
        }
        Ok(any)
    }
}

impl JwtSettings {
    fn from_settings(settings: &Settings) -> Self {
        let duration = |key| settings.duration(key).unwrap_or_default();
        Self {
            issuers: settings.value("jwt_issuer").texts.clone(),
            audiences: settings.value("jwt_audience").texts.clone(),
            claim: settings.text("jwt_claim").into(),
            leeway: duration("jwt_leeway"),
            refresh: duration("jwt_refresh"),
            no_expiry: settings.on("jwt_no_expiry"),
        }
    }

    fn apply(self, jwt: Jwt) -> Jwt {
        jwt.issuers(self.issuers)
            .audiences(self.audiences)
            .claim(self.claim)
            .leeway(self.leeway)
            .refresh(self.refresh)
            .allow_no_expiry(self.no_expiry)
    }
}

/// Refuses an address that others can reach, if nothing says who may connect.
///
/// # Errors
/// They can.
pub(crate) fn check_closed(address: SocketAddr) -> Result<()> {
    if address.ip().to_canonical().is_loopback() {
        return Ok(());
    }
    Err(usage(format!(
        "others can reach {address}, and nothing says who may connect: give --tokens FILE, \
         --jwt-key FILE, --jwt-jwks FILE|URL, --mtls-ca FILE or --auth-callback URL; or --open to \
         let anybody publish and subscribe"
    )))
}

fn check_dependent(settings: &Settings) -> Result<()> {
    for (key, others) in DEPENDENT {
        // A switch that is off is as good as none.
        let is_set = settings.is_set(key) && settings.text(key) != "false";
        if is_set && !others.iter().any(|other| settings.is_set(other)) {
            return Err(usage(format!(
                "{key} ({}) has no effect without {}",
                settings.value(key).source,
                others.join(" or "),
            )));
        }
    }
    Ok(())
}

fn path(settings: &Settings, key: &str) -> Option<PathBuf> {
    settings
        .is_set(key)
        .then(|| Path::new(settings.text(key)).to_owned())
}

fn is_url(place: &str) -> bool {
    place.starts_with("https://") || place.starts_with("http://")
}

fn wrong(error: SetupError) -> anyhow::Error {
    usage(error.to_string())
}
