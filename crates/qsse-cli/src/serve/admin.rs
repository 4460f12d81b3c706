//! The administration of the program's server: where it listens.

use anyhow::Result;
use qsse_admin::{Address, AdminToken, AuditFile, Listener};
use qsse_auth::files::Content;

use crate::exit::{Status, fail, usage, usage_because};
use crate::settings::Settings;

/// Returns where the administration is: as set, or the default.
///
/// # Errors
/// The setting is wrong.
pub(crate) fn admin_address(settings: &Settings) -> Result<Address> {
    match settings.text("admin") {
        "" | "default" => Ok(Address::Unix(Address::default_path())),
        text => text.parse().map_err(|error| usage(format!("{error}"))),
    }
}

/// Reads the admin token, if there is to be one.
///
/// # Errors
/// The file cannot be read, other users may write it, or the token is too short.
pub(crate) fn admin_token(settings: &Settings) -> Result<Option<AdminToken>> {
    let path = settings.text("admin_token_file");
    if path.is_empty() {
        return Ok(None);
    }
    let what = format_args!("cannot use the admin token in {path}").to_string();
    let checked = qsse_auth::files::check("admin token", path.as_ref(), Content::Secret);
    checked.map_err(|error| usage(error.to_string()))?;
    let text = std::fs::read_to_string(path).map_err(|error| usage_because(&what, error))?;
    let token = AdminToken::new(&text).map_err(|error| usage_because(&what, error))?;
    Ok(Some(token))
}

/// Binds the socket of the administration, if there is to be one.
///
/// # Errors
/// It cannot be bound, or a setting is wrong.
pub(crate) async fn bind_admin(settings: &Settings) -> Result<Option<Listener>> {
    if !settings.is_set("admin") {
        return Ok(None);
    }
    let address = admin_address(settings)?;
    let token = admin_token(settings)?;
    if token.is_none() && matches!(address, Address::Loopback(_)) {
        return Err(usage(format!(
            "--admin {address} needs --admin-token-file: every user of this machine can reach a port"
        )));
    }
    let listener = Listener::bind(&address, token).await;
    let listener = listener.map_err(|error| fail(Status::Listen, error.to_string()))?;
    Ok(Some(listener))
}

/// Opens the audit log, if there is to be one.
///
/// # Errors
/// The file cannot be written.
pub(crate) fn open_audit(settings: &Settings) -> Result<Option<AuditFile>> {
    let path = settings.text("audit");
    if path.is_empty() {
        return Ok(None);
    }
    let audit = AuditFile::open(path);
    audit
        .map(Some)
        .map_err(|error| usage_because(format_args!("cannot write the audit log {path}"), error))
}
