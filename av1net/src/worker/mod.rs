//! A worker: it speaks with its master, and runs each encode in a child process.

pub mod orders;
