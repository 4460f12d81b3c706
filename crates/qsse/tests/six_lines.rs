//! The first lines that a newcomer reads, on a free port.
#![cfg(all(feature = "client", feature = "server"))]

use std::error::Error;

use qsse::{Client, Server};

#[tokio::test]
async fn an_event_goes_from_a_server_to_a_client() -> Result<(), Box<dyn Error>> {
    let server = Server::bind("127.0.0.1:0")
        .topics(["people", "ride.*"])
        .await?;
    let client = Client::connect(server.url()).await?;
    let mut rides = client.subscribe("ride.*.start").await?;
    server.publish("people", "Ada").await?;
    let id = server
        .publish("ride.7.start", r#"{"driver":"Ada"}"#)
        .await?;

    let event: qsse::Event = rides.try_next().await?.expect("the server is open");
    assert_eq!(event.id(), id);
    assert_eq!(event.topic().as_str(), "ride.7.start");
    assert_eq!(&event.data()[..], br#"{"driver":"Ada"}"#);
    Ok(())
}

/// Both places where the lines are printed have them as they run in the documentation.
#[test]
fn they_are_printed_the_same_everywhere() {
    let lib = include_str!("../src/lib.rs");
    // The packaged crate comes without the repository's README.
    let readme = concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md");
    let readme = std::fs::read_to_string(readme).unwrap_or_else(|_| lib.to_owned());
    let lines = [
        r#"let server = Server::bind("127.0.0.1:4242").topics(["people", "ride.*"]).await?;   // listening once this returns"#,
        r#"let client = Client::connect(server.url()).await?;                                 // qsse://127.0.0.1:4242?fingerprint=…"#,
        r#"let mut rides = client.subscribe("ride.*.start").await?;                           // every later publish is delivered"#,
        r##"server.publish("ride.7.start", r#"{"driver":"Ada"}"#).await?;"##,
        r#"while let Some(event) = rides.try_next().await? { println!("{} {:?}", event.topic(), event.data())"#,
    ];
    for line in lines {
        assert!(lib.contains(line), "lib.rs lacks {line}");
        assert!(readme.contains(line), "README.md lacks {line}");
    }
}
