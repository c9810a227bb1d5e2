//! Every limit that is not local to one file, with its reason.

/// Characters in a name: fits a label in every table and protocol that carries one.
pub const NAME_LEN_MAX: usize = 64;
/// Marks that a volume may hold beside its live contents: the product's promise.
pub const MARKS_PER_VOLUME_MAX: usize = 256;
/// Volumes and views in a pool: keeps a checkpoint of the metadata under 200 MB in the worst case.
pub const VOLUMES_PER_POOL_MAX: usize = 4096;
/// Volumes in one group mark: keeps its record within one journal frame.
pub const VOLUMES_PER_GROUP_MAX: usize = 64;
/// Bytes of a write that power loss leaves whole or absent.
pub const ATOMIC_WRITE_LEN_MAX: usize = 128 * 1024;
/// The largest volume: 64 TiB, a quarter of what 32-bit run lengths in the formats could say.
pub const VOLUME_LEN_MAX: u64 = 64 << 40;
/// Days for which a mark can be locked, or held with an end: ten years, as long as books must be kept in most places.
/// It can be made longer when they are nearly over; a slip of the hand never costs more.
pub const KEPT_DAYS_MAX: u32 = 3660;
/// Depth of views of marks of views: bounds the recursion of a read.
pub const VIEW_DEPTH_MAX: usize = 8;
