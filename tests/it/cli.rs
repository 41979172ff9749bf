//! The `kefu-server` command as its users meet it: what it refuses, in one line, with exit code 2.

use std::path::Path;
use std::process::{Command, Output};

/// Runs `kefu-server` in `folder` with a clean environment.
fn kefu_server(folder: &Path, env: &[(&str, &str)], args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kefu-server"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("KEFU_") {
            command.env_remove(name);
        }
    }
    command.current_dir(folder).envs(env.iter().copied()).args(args).output().unwrap()
}

fn complaint(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn a_flag_beats_the_variable_which_beats_the_file() {
    // A batch that no queue holds is refused with the value that won.
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("kefu.toml"), "max-batch = 3000").unwrap();
    let file = kefu_server(folder.path(), &[], &[]);
    assert!(complaint(&file).contains("--max-batch 3000 is more"), "{file:?}");
    let env = [("KEFU_MAX_BATCH", "4000")];
    let variable = kefu_server(folder.path(), &env, &[]);
    assert!(complaint(&variable).contains("--max-batch 4000 is more"), "{variable:?}");
    let flag = kefu_server(folder.path(), &env, &["--max-batch", "5000"]);
    assert!(complaint(&flag).contains("--max-batch 5000 is more"), "{flag:?}");

    std::fs::write(folder.path().join("other.toml"), "max_batch = 6000").unwrap();
    let named = kefu_server(folder.path(), &[("KEFU_CONFIG", "other.toml")], &[]);
    assert!(complaint(&named).contains("--max-batch 6000 is more"), "{named:?}");
}

#[test]
fn refusals_are_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let rows: [(&[(&str, &str)], &[&str], &str); 6] = [
        (&[], &["--host", "0.0.0.0"], "export KEFU_API_KEY=$(openssl rand -hex 32)"),
        (&[("KEFU_HOST", "0.0.0.0")], &[], "export KEFU_API_KEY=$(openssl rand -hex 32)"),
        (&[("KEFU_API_KEY", "hunter2")], &[], "openssl rand -hex 32"),
        (&[("KEFU_API_KEY", "")], &[], "openssl rand -hex 32"),
        (&[], &["--config", "nowhere.toml"], "nowhere.toml"),
        (&[], &["--model-source", "hbu"], "use auto, hub, pypi, or a folder"),
    ];
    for (env, args, wanted) in rows {
        let said = complaint(&kefu_server(folder.path(), env, args));
        assert!(said.starts_with("kefu-server: ") && said.contains(wanted), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(!said.contains("hunter2"), "{said}");
    }
    std::fs::write(folder.path().join("kefu.toml"), "prot = 1").unwrap();
    let said = complaint(&kefu_server(folder.path(), &[], &[]));
    assert!(said.contains("kefu.toml: prot: no such key"), "{said}");
}

#[test]
fn usage_errors_are_claps() {
    let folder = tempfile::tempdir().unwrap();
    let rows: [(&[(&str, &str)], &[&str], &str); 3] = [
        (&[], &["--mode=cluster"], "cluster mode is not part of this build yet"),
        (&[("KEFU_PORT", "http")], &[], "--port"),
        (&[], &["models", "push"], "push"),
    ];
    for (env, args, wanted) in rows {
        let said = complaint(&kefu_server(folder.path(), env, args));
        assert!(said.contains(wanted), "{said}");
    }
}

#[test]
fn a_port_in_use_is_said_before_a_model_is_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let said = complaint(&kefu_server(folder.path(), &[], &["--port", &port]));
    assert!(said.starts_with(&format!("kefu-server: 127.0.0.1:{port} is in use")), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
fn help_works_beside_a_broken_file_and_shows_no_key() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("kefu.toml"), "this is not TOML").unwrap();
    let env = [("KEFU_API_KEY", "0123456789abcdef")];
    for flag in ["-h", "--help"] {
        let output = kefu_server(folder.path(), &env, &[flag]);
        assert_eq!(output.status.code(), Some(0));
        let help = String::from_utf8(output.stdout).unwrap();
        assert!(
            help.contains("--shutdown-timeout-s") && !help.contains("0123456789abcdef"),
            "{help}"
        );
    }
}
