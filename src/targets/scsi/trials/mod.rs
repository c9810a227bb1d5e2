//! The device server as an initiator sees it, over disks in memory: two nexuses on two ports of one target.

mod copying;
mod harness;
mod identifying;
mod kept;
mod managing;
mod media;
mod modes;
mod reading_writing;
mod reservations;
mod rmw;
mod sanitizing;
mod thin;
