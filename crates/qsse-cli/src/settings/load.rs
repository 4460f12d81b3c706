//! Loads the settings: flags before the environment, the file and the defaults.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::ArgMatches;
use clap::parser::ValueSource;

use super::nearest::nearest;
use super::{Setting, Settings, Shape, Source, TABLE, Value, apply};
use crate::exit::usage;

/// The largest configuration file that is read.
const FILE_BYTES: u64 = 1024 * 1024;

/// Loads the settings for a command.
///
/// # Errors
/// A value is invalid, a file cannot be read, or it has an unknown key.
pub(crate) fn load(
    matches: &ArgMatches,
    environment: impl Fn(&str) -> Option<OsString>,
) -> Result<Settings> {
    let path = match matches.get_one::<PathBuf>("config") {
        Some(path) => Some(path.clone()),
        None => match environment("QSSE_CONFIG") {
            Some(path) if path.is_empty() => return Err(empty("QSSE_CONFIG")),
            path => path.map(PathBuf::from),
        },
    };
    let mut file = match &path {
        Some(path) => read(path)?,
        None => BTreeMap::new(),
    };
    let mut values = BTreeMap::new();
    for setting in TABLE {
        let from_file = file.remove(setting.key).map(|texts| Value {
            texts,
            source: Source::File(path.clone().unwrap_or_default()),
        });
        // A value must be valid even if a stronger source overrides it.
        if let Some(value) = &from_file {
            check(setting, value)?;
        }
        let value = match from_flag(setting, matches)? {
            Some(value) => value,
            None => match from_environment(setting, &environment)? {
                Some(value) => value,
                None => from_file.unwrap_or_else(|| default(setting)),
            },
        };
        check(setting, &value)?;
        values.insert(setting.key, value);
    }
    let settings = Settings { values };
    apply::check(&settings)?;
    Ok(settings)
}

fn default(setting: &Setting) -> Value {
    let texts = match setting.default {
        "" => Vec::new(),
        text => vec![text.into()],
    };
    Value {
        texts,
        source: Source::Default,
    }
}

fn from_flag(setting: &Setting, matches: &ArgMatches) -> Result<Option<Value>> {
    // A command has only the flags of some groups.
    if matches.try_contains_id(setting.key).is_err()
        || matches.value_source(setting.key) != Some(ValueSource::CommandLine)
    {
        return Ok(None);
    }
    let source = Source::Flag(setting.long());
    let texts = match setting.shape {
        Shape::Switch => vec!["true".into()],
        Shape::Negated(_) => vec!["false".into()],
        _ => {
            let raw = matches.get_raw(setting.key).into_iter().flatten();
            let texts = raw.map(|text| utf8(text.to_owned(), &source));
            texts.collect::<Result<Vec<_>>>()?
        }
    };
    Ok(Some(Value { texts, source }))
}

fn from_environment(
    setting: &Setting,
    environment: impl Fn(&str) -> Option<OsString>,
) -> Result<Option<Value>> {
    let name = setting.variable();
    let text = match environment(&name) {
        None => return Ok(None),
        Some(text) if text.is_empty() && setting.is_never_empty() => return Err(empty(&name)),
        // For other settings empty means not set, because many ways to start a program cannot omit
        // a variable.
        Some(text) if text.is_empty() => return Ok(None),
        Some(text) => text,
    };
    let source = Source::Environment(name);
    let text = utf8(text, &source)?;
    let texts = match setting.shape {
        Shape::Many(_) => text.split(',').map(|part| part.trim().to_owned()).collect(),
        Shape::Switch | Shape::Negated(_) => vec![as_switch(&text).to_owned()],
        _ => vec![text],
    };
    Ok(Some(Value { texts, source }))
}

fn empty(variable: &str) -> anyhow::Error {
    usage(format!(
        "environment {variable} is empty: give it a value, or unset it to do without"
    ))
}

/// Converts the usual words for yes and no in a variable.
fn as_switch(text: &str) -> &str {
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => "true",
        "0" | "false" | "no" | "off" => "false",
        _ => text,
    }
}

fn utf8(text: OsString, source: &Source) -> Result<String> {
    text.into_string()
        .map_err(|_| usage(format!("{source}: the value is not UTF-8")))
}

fn check(setting: &Setting, value: &Value) -> Result<()> {
    for text in &value.texts {
        if text.is_empty() {
            return Err(usage(format!("{}: {} is empty", value.source, setting.key)));
        }
        if let Err(problem) = (setting.check)(text) {
            let problem = match (&value.source, setting.shape) {
                // A secret is never repeated in an error.
                (_, Shape::Secret(_)) => "the value does not fit".into(),
                (Source::File(_), _) => format!("{}: {problem}", setting.key),
                _ => problem,
            };
            return Err(usage(format!("{}: {problem}", value.source)));
        }
    }
    Ok(())
}

/// Reads the settings in the file, by key.
fn read(path: &Path) -> Result<BTreeMap<String, Vec<String>>> {
    let shown = path.display();
    let cannot = |error: &dyn std::fmt::Display| {
        usage(format!(
            "cannot read the configuration file {shown}: {error}"
        ))
    };
    let size = std::fs::metadata(path)
        .map_err(|error| cannot(&error))?
        .len();
    if size > FILE_BYTES {
        return Err(cannot(&"it is over 1 MiB"));
    }
    let text = std::fs::read_to_string(path).map_err(|error| cannot(&error))?;
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| {
        // The parser quotes the line, which may contain a token.
        let line = error
            .span()
            .map(|span| text[..span.start].lines().count().max(1));
        let place = line.map_or_else(String::new, |line| format!(", line {line}"));
        usage(format!("{shown}{place}: not TOML: {}", error.message()))
    })?;
    let mut found = BTreeMap::new();
    collect(&shown.to_string(), "", table, &mut found)?;
    Ok(found)
}

fn collect(
    file: &str,
    prefix: &str,
    table: toml::Table,
    found: &mut BTreeMap<String, Vec<String>>,
) -> Result<()> {
    for (name, value) in table {
        let key = format!("{prefix}{name}");
        let setting = Setting::find(&key);
        match value {
            toml::Value::Table(inner)
                if setting.is_none() && prefix.is_empty() && is_table(&key) =>
            {
                collect(file, &format!("{key}."), inner, found)?;
            }
            value => {
                let Some(setting) = setting else {
                    return Err(unknown(file, &key));
                };
                let texts = texts(setting, value);
                let texts =
                    texts.map_err(|wanted| usage(format!("{file}: {key} must be {wanted}")))?;
                found.insert(key, texts);
            }
        }
    }
    Ok(())
}

/// Returns whether there are settings with this prefix before a dot.
fn is_table(name: &str) -> bool {
    let mut keys = TABLE
        .iter()
        .filter_map(|setting| setting.key.split_once('.'));
    keys.any(|(table, _)| table == name)
}

fn unknown(file: &str, key: &str) -> anyhow::Error {
    let meant = nearest(key, TABLE.iter().map(|setting| setting.key));
    let meant = meant.map_or_else(
        || "`qsse check-config` shows all there are".into(),
        |meant| format!("did you mean {meant}?"),
    );
    usage(format!("{file}: unknown setting {key}: {meant}"))
}

fn texts(setting: &Setting, value: toml::Value) -> Result<Vec<String>, &'static str> {
    use toml::Value::{Array, Boolean, Integer, String};
    match (setting.shape, value) {
        (Shape::Switch | Shape::Negated(_), Boolean(on)) => Ok(vec![on.to_string()]),
        (Shape::Switch | Shape::Negated(_), _) => Err("true or false"),
        (Shape::Many(_), Array(all)) if all.is_empty() && setting.is_never_empty() => {
            Err("an array with something in it, or be left out")
        }
        (Shape::Many(_), Array(all)) => all
            .into_iter()
            .map(|one| match one {
                String(text) => Ok(text),
                _ => Err("an array of strings"),
            })
            .collect(),
        (Shape::Many(_), _) => Err("an array of strings, as in [\"a\", \"b.*\"]"),
        (_, String(text)) => Ok(vec![text]),
        (Shape::One("COUNT" | "SIZE"), Integer(number)) if number >= 0 => {
            Ok(vec![number.to_string()])
        }
        (Shape::One("COUNT"), _) => Err("a number"),
        (Shape::One("SIZE"), _) => Err("a size, as in \"4 MiB\""),
        (Shape::One("DURATION"), _) => Err("a duration in quotes, as in \"5s\""),
        _ => Err("a string in quotes"),
    }
}

#[cfg(test)]
mod tests;
