//! Runs the example with its pages over loopback.

#[path = "../web.rs"]
#[expect(dead_code, reason = "its main is not called here")]
mod web;

#[tokio::test]
async fn it_publishes_relays_resumes_and_ends() {
    web::self_test().await.expect("all of it works");
}

#[test]
fn a_page_with_event_source_alone_is_short() {
    let page = include_str!("../web/chat.html");
    assert!(page.lines().count() < 100 && page.contains("new EventSource("));
    assert!(!page.contains("qsse.js"));
}
