//! The flags of the settings.

use clap::{Arg, ArgAction, ValueHint};

use super::{Group, Setting, Shape, TABLE};

/// Returns the flags of these groups.
pub(crate) fn flags(groups: &[Group]) -> Vec<Arg> {
    let of_groups = |setting: &&Setting| groups.contains(&setting.group) && setting.has_flag();
    TABLE.iter().filter(of_groups).map(flag).collect()
}

fn flag(setting: &'static Setting) -> Arg {
    let arg = Arg::new(setting.key)
        .long(setting.long())
        .help(help(setting))
        .help_heading(heading(setting.group));
    let arg = match setting.key {
        "server" => arg.short('s'),
        _ => arg,
    };
    match setting.shape {
        Shape::One(name) | Shape::Secret(name) => {
            arg.value_name(name).value_hint(if name == "FILE" {
                ValueHint::FilePath
            } else {
                ValueHint::Other
            })
        }
        Shape::Many(name) => arg
            .value_name(name)
            .action(ArgAction::Append)
            .value_delimiter(','),
        Shape::Switch | Shape::Negated(_) => arg.action(ArgAction::SetTrue),
    }
}

fn help(setting: &Setting) -> String {
    let Setting { help, default, .. } = setting;
    let help = match setting.shape {
        Shape::Negated(negated) => negated,
        _ => help,
    };
    let shown = !default.is_empty() && matches!(setting.shape, Shape::One(_));
    let default = if shown {
        format!(" [default: {default}]")
    } else {
        String::new()
    };
    let value = if matches!(setting.shape, Shape::Negated(_)) {
        "=false"
    } else {
        ""
    };
    format!("{help}{default} [env: {}{value}]", setting.variable())
}

fn heading(group: Group) -> &'static str {
    match group {
        Group::Common => "General",
        Group::Client | Group::ClientDetail => "Connection",
        Group::Serve | Group::Limits | Group::Admin => "Server",
        Group::Access => "Access",
    }
}
