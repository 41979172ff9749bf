//! What /proc knows about a process, and how many files this one may open.

use anyhow::{Context, bail};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The unit of CPU times in /proc; the kernel shows 100 a second on all architectures that Linux
/// distributions use.
const TICKS_A_SECOND: f64 = 100.0;

/// CPU time of all threads since the start, user and system, in seconds.
pub(crate) fn cpu_seconds(pid: u32) -> anyhow::Result<f64> {
    let text = read(pid, "stat")?;
    // The second field is the name in brackets, which may hold anything.
    let (_, fields) = text.rsplit_once(')').context("/proc/PID/stat has no name")?;
    let ticks: Option<u64> =
        fields.split_whitespace().skip(11).take(2).map(|field| field.parse::<u64>().ok()).sum();
    Ok(ticks.context("/proc/PID/stat has no times")? as f64 / TICKS_A_SECOND)
}

/// Resident memory in bytes.
pub(crate) fn resident_bytes(pid: u32) -> anyhow::Result<u64> {
    let text = read(pid, "status")?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|rest| rest.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    Ok(kib.context("/proc/PID/status has no VmRSS; is this process still running?")? * 1024)
}

fn read(pid: u32, file: &str) -> anyhow::Result<String> {
    std::fs::read_to_string(format!("/proc/{pid}/{file}"))
        .with_context(|| format!("process {pid} cannot be read; is --server-pid right?"))
}

/// Makes room for so many sockets, or says why there is none.
pub(crate) fn allow_sockets(sockets: usize) -> anyhow::Result<()> {
    // Some for the runtime, standard streams, and requests for tokens.
    let wanted = sockets as u64 + 100;
    let limit = getrlimit(Resource::Nofile);
    let fits = |limit: Option<u64>| limit.is_none_or(|limit| limit >= wanted);
    if fits(limit.current) {
        return Ok(());
    }
    if !fits(limit.maximum) {
        bail!(
            "{sockets} connections need {wanted} open files and a process may have {}; ask for \
             fewer connections, or raise the hard limit (ulimit -Hn)",
            limit.maximum.unwrap_or_default()
        );
    }
    allow_all_sockets()
}

/// Lets this process have as many sockets as it may.
pub(crate) fn allow_all_sockets() -> anyhow::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })
        .context("the limit of open files cannot be raised")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_can_be_read() {
        let pid = std::process::id();
        assert!(resident_bytes(pid).unwrap() > 100_000);
        assert!((0.0..1e6).contains(&cpu_seconds(pid).unwrap()));
        assert!(cpu_seconds(u32::MAX).unwrap_err().to_string().contains("--server-pid"));
    }

    #[test]
    fn too_many_connections_are_refused_with_the_limit() {
        allow_sockets(10).unwrap();
        if getrlimit(Resource::Nofile).maximum.is_some() {
            let error = allow_sockets(usize::MAX / 2).unwrap_err().to_string();
            assert!(error.contains("ulimit -Hn"), "{error}");
        }
    }
}
