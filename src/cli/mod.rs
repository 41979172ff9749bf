//! The command-line edges: arguments in, library calls, lines and exit codes out.

pub mod train;
