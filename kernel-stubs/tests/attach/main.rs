//! Attachments on a real kernel: FUSE, loop devices, mkfs and mounts.
//!
//! They need root, FUSE and loop devices, and say so loudly where those are missing; with
//! `TIDEMARK_REQUIRE_ATTACH` set they fail there. Whatever touches an attached device runs in a process
//! of its own, so that a test that dies takes nothing with it.

#[cfg(test)]
mod crash;
#[cfg(test)]
mod double;
#[cfg(test)]
mod fuse_loop;
#[cfg(test)]
mod support;
