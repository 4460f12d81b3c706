//! Tests of where values come from and of what is wrong with them.

use super::*;
use crate::args;

fn matches(command: &[&str]) -> ArgMatches {
    let all = [&["qsse"], command].concat();
    let matches = args::command().try_get_matches_from(all).unwrap();
    matches.subcommand().unwrap().1.clone()
}

fn with_file(text: &str, command: &[&str], variables: &[(&str, &str)]) -> Result<Settings> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("qsse.toml");
    std::fs::write(&path, text).unwrap();
    let command = [command, &["--config", path.to_str().unwrap()]].concat();
    load(&matches(&command), |name| {
        let found = variables.iter().find(|(variable, _)| *variable == name);
        found.map(|(_, value)| value.into())
    })
}

#[test]
fn flags_go_before_the_environment_before_the_file_before_defaults() {
    let file = "listen = '127.0.0.1:1'\ncolor = 'never'\nmetrics = '127.0.0.1:9'\n[limits]\nhistory = '1 MiB'";
    let environment = [
        ("QSSE_LISTEN", "127.0.0.1:2"),
        ("QSSE_COLOR", "always"),
        ("QSSE_METRICS", ""),
    ];
    let flags = ["serve", "--listen", "127.0.0.1:3"];
    let settings = with_file(file, &flags, &environment).unwrap();
    assert_eq!(settings.text("listen"), "127.0.0.1:3");
    assert_eq!(
        settings.value("listen").source,
        Source::Flag("listen".into())
    );
    assert_eq!(settings.text("color"), "always");
    assert_eq!(
        settings.text("metrics"),
        "127.0.0.1:9",
        "an empty variable is none"
    );
    assert_eq!(settings.bytes("limits.history"), 1 << 20);
    assert!(matches!(
        settings.value("limits.history").source,
        Source::File(_)
    ));
    assert_eq!(settings.value("log_level").source, Source::Default);
}

#[test]
fn several_values_come_from_each_place() {
    let topics = |settings: Result<Settings>| settings.unwrap().value("topics").texts.clone();
    let expected = ["people", "ride.*"];
    let flag = ["serve", "--topics", "people,ride.*"];
    assert_eq!(topics(with_file("", &flag, &[])), expected);
    let file = "topics = ['people', 'ride.*']";
    assert_eq!(topics(with_file(file, &["serve"], &[])), expected);
    let variable = [("QSSE_TOPICS", "people, ride.*")];
    assert_eq!(topics(with_file("", &["serve"], &variable)), expected);
}

#[test]
fn switches_come_from_each_place() {
    let reconnect = |settings: Result<Settings>| settings.unwrap().on("reconnect");
    assert!(reconnect(with_file("", &["sub", "a"], &[])));
    assert!(!reconnect(with_file(
        "",
        &["sub", "--no-reconnect", "a"],
        &[]
    )));
    assert!(!reconnect(with_file(
        "reconnect = false",
        &["sub", "a"],
        &[]
    )));
    assert!(!reconnect(with_file(
        "",
        &["sub", "a"],
        &[("QSSE_RECONNECT", "0")]
    )));
}

#[test]
fn mistakes_name_their_place_and_what_was_meant() {
    for (file, flags, variables, parts) in [
        (
            "lisen = 'x'",
            &["serve"][..],
            &[][..],
            &["qsse.toml", "unknown setting lisen", "did you mean listen"][..],
        ),
        (
            "[limits]\nhistroy = 1",
            &["serve"],
            &[],
            &["limits.histroy", "limits.history?"],
        ),
        (
            "[zebra]\na = 1",
            &["serve"],
            &[],
            &["unknown setting zebra", "check-config"],
        ),
        (
            "open = 'yes'",
            &["serve"],
            &[],
            &["open must be true or false"],
        ),
        (
            "topics = 'a'",
            &["serve"],
            &[],
            &["topics must be an array"],
        ),
        (
            "timeout = 5",
            &["sub", "a"],
            &[],
            &["timeout must be a duration", "\"5s\""],
        ),
        (
            "listen = '127.0.0.1'",
            &["serve", "--listen", "127.0.0.1:0"],
            &[],
            &["qsse.toml", "listen", "IP:PORT"],
        ),
        ("x = ", &["serve"], &[], &["qsse.toml, line 1", "not TOML"]),
        (
            "",
            &["serve"],
            &[("QSSE_LISTEN", "here")],
            &["QSSE_LISTEN", "\"here\""],
        ),
        (
            "",
            &["serve", "--topics", "a..b"],
            &[],
            &["--topics", "a..b"],
        ),
        (
            "",
            &["sub", "--timeout", "5", "a"],
            &[],
            &["--timeout", "5s"],
        ),
        (
            "topics = []",
            &["serve"],
            &[],
            &["topics must be an array with something in it"],
        ),
        (
            "",
            &["sub", "--log-level", "loud", "a"],
            &[],
            &["--log-level", "\"loud\""],
        ),
    ] {
        let error = with_file(file, flags, variables).unwrap_err().to_string();
        for part in parts {
            assert!(error.contains(part), "{error:?} lacks {part:?}");
        }
    }
}

#[test]
fn an_empty_value_never_opens_anything() {
    for setting in TABLE.iter().filter(|setting| setting.is_never_empty()) {
        let variable = setting.variable();
        let error = with_file("", &["serve"], &[(&variable, "")]).unwrap_err();
        assert!(error.to_string().contains(&variable), "{error}");
    }
    let error = load(&matches(&["serve"]), |name| {
        (name == "QSSE_CONFIG").then(OsString::new)
    });
    assert!(error.unwrap_err().to_string().contains("QSSE_CONFIG"));
    for flag in [
        "--tokens=",
        "--cert=",
        "--store=",
        "--topics=",
        "--topics=,",
    ] {
        assert!(with_file("", &["serve", flag], &[]).is_err(), "{flag}");
    }
}

#[test]
fn of_two_that_exclude_each_other_the_stronger_counts() {
    let settings = with_file("token_file = 'f'", &["sub", "--token", "t", "a"], &[]).unwrap();
    assert_eq!(
        settings.either("token", "token_file").unwrap(),
        Some("token")
    );
    let settings = with_file("token_file = 'f'\ntoken = 't'", &["sub", "a"], &[]).unwrap();
    assert!(settings.either("token", "token_file").is_err());
}

#[test]
fn an_extreme_value_is_taken_or_refused_by_its_key() {
    let extremes = [
        "0",
        "1",
        "65535",
        "1000000000",
        "4294967295",
        "18446744073709551615",
        "99999999999 EiB",
        "0s",
        "1ns",
        "1000000000s",
        "18446744073709551615s",
        "t events=0 bytes=0 age=0s",
        "t events=18446744073709551615 bytes=18446744073709551615 age=18446744073709551615s",
    ];
    let mut refused = Vec::new();
    for setting in TABLE {
        for extreme in extremes {
            let variable = setting.variable();
            let loaded = with_file("", &["serve"], &[(&variable, extreme)]);
            // What is no value of the setting at all names the variable.
            if let Err(error) = loaded {
                let error = error.to_string();
                let named = error.contains(setting.key) || error.contains(&variable);
                assert!(named, "{} = {extreme}: {error}", setting.key);
                if error.contains("it must be") {
                    refused.push(format!("{} = {extreme}", setting.key));
                }
            }
        }
    }
    for expected in [
        "limits.send_window = 0",
        "limits.publishers = 1000000000",
        "limits.heartbeat = 0s",
        "limits.pending = 0",
        "client.idle_timeout = 1ns",
        "connect_timeout = 0s",
    ] {
        assert!(
            refused.iter().any(|one| one == expected),
            "{expected}: {refused:#?}"
        );
    }
}
