//! The program as scripts see it: its lines, files and exit statuses.
#![cfg(unix)]

mod harness;

mod access;
mod config;
mod connection;
mod dialect;
mod output;
mod publish;
mod serve;
