//! All cases: what has to hold between each peer and us.

mod crowd;
mod from_go;
mod from_go_lost;
mod programs;
mod to_go;
mod to_go_slow;

use std::time::Duration;

use anyhow::Result;
use futures_util::future::BoxFuture;

use crate::Bench;

/// A case; it returns an error where something is not as it should be.
pub(crate) struct Case {
    direction: &'static str,
    title: &'static str,
    /// Guards against waiting for ever.
    pub(crate) limit: Duration,
    pub(crate) run: for<'a> fn(&'a Bench) -> BoxFuture<'a, Result<()>>,
}

impl Case {
    pub(crate) fn name(&self) -> String {
        let title = self.title.replace('_', "-");
        format!("{}/{title}", self.direction)
    }
}

macro_rules! cases {
    ($($direction:literal $module:ident: $($title:ident)+;)+) => {
        /// In the order in which they run.
        pub(crate) const CASES: &[Case] = &[$($(Case {
            direction: $direction,
            title: stringify!($title),
            limit: Duration::from_secs(60),
            run: |bench| Box::pin($module::$title(bench)),
        }),+),+];
    };
}

cases! {
    "our-server" to_go: simple patterns multi_topic handlers right_token refused_token refused_topic unavailable_topic
        pattern_that_is_none everything_refused binary_and_empty one_mebibyte in_order error_topic metrics;
    "our-server" to_go_slow: stopped_reader stopped_beyond_history gone silence;
    "go-server" from_go: simple negotiated patterns multi_topic handlers handlers_of_patterns right_token refused_token
        refused_topic unavailable_topic everything_refused binary_and_empty one_mebibyte in_order slow_reader metrics;
    "go-server" from_go_lost: certificate silence restart gone what_it_cannot;
    "programs" programs: serve_and_go_client sub_and_go_server pub_and_go_server;
    "programs" crowd: crowd;
}
