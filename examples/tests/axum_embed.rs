//! Runs the example with axum over loopback.

#[path = "../axum_embed.rs"]
#[expect(dead_code, reason = "its main is not called here")]
mod axum_embed;

#[tokio::test]
async fn it_publishes_relays_resumes_and_ends() {
    axum_embed::self_test().await.expect("all of it works");
}
