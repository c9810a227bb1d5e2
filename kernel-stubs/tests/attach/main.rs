//! Attachments on a real kernel: every way to attach that it has, with mkfs and mounts.
//!
//! They need root, and FUSE with loop devices or an NBD client, and say loudly which is missing. What
//! `TIDEMARK_REQUIRE_ATTACH` names (`FuseLoop,KernelNbd,mkfs.xfs`) must be there. Whatever touches an attached device runs in a process
//! of its own, so that a test that dies takes nothing with it.

#[cfg(test)]
mod crash;
#[cfg(test)]
mod double;
#[cfg(test)]
mod life;
#[cfg(test)]
mod nbd_server;
#[cfg(test)]
mod support;
