//! [`Forwarded`]: arguments of a task that another program understands.

use anyhow::Result;

use crate::command::Shown;

/// Arguments that are forwarded to the program that does the work.
#[derive(clap::Args)]
pub(crate) struct Forwarded {
    /// For the program that does the work: `--help` lists them
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

impl Forwarded {
    /// Returns these arguments as if they had been given.
    pub(crate) fn of(arguments: &[impl ToString]) -> Self {
        let arguments = arguments.iter().map(ToString::to_string).collect();
        Self { arguments }
    }

    /// Runs the program with these arguments after its own. Fails unless it succeeds.
    pub(crate) fn run(&self, program: Shown) -> Result<()> {
        let with = |program: Shown, argument: &String| program.arg(argument);
        self.arguments.iter().fold(program, with).run()
    }
}
