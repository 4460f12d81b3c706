//! The program as scripts see it: its lines, files and exit statuses.
#![cfg(unix)]

mod harness;

mod access;
mod admin;
mod auth;
mod bench;
mod closing;
mod config;
mod connection;
mod cursor;
mod dialect;
mod http;
mod lag;
mod output;
mod outputs;
mod publish;
mod relay;
mod serve;
mod starts;
