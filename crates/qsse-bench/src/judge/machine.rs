//! The machine that is measured on.

use serde_json::{Value, json};

/// Model of the CPU, number of cores, kernel.
pub(super) fn describe() -> Value {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    json!({
        "cpu": model(&read("/proc/cpuinfo")),
        "cores": cores,
        "system": std::env::consts::OS,
        "kernel": read("/proc/sys/kernel/osrelease").trim(),
    })
}

/// The same in a line.
pub(super) fn line(machine: &Value) -> String {
    let text = |key: &str| machine[key].as_str().unwrap_or_default().to_owned();
    let (cpu, cores) = (text("cpu"), &machine["cores"]);
    format!(
        "{cpu}, {cores} cores, {} {}",
        text("system"),
        text("kernel")
    )
}

fn model(cpuinfo: &str) -> String {
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"));
    let name = line.and_then(|line| line.split_once(':'));
    name.map_or("unknown CPU", |(_, name)| name.trim())
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_is_told() {
        let info = "processor\t: 0\nmodel name\t: A CPU @ 2 GHz\nflags\t: x\n";
        assert_eq!(model(info), "A CPU @ 2 GHz");
        assert_eq!(model(""), "unknown CPU");
    }
}
