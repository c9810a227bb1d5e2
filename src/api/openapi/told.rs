//! What each operation is called, takes and gives.

use control::access::{NewToken, NewUser, TokenMade, TokenStatus, UserChange, UserStatus, WhoAmI};
use control::alerts::channel::{ChannelStatus, ChannelTest};
use control::alerts::life::AlertStatus;
use control::alerts::settings::Settings;
use control::audit::{AuditEntry, AuditVerdict};
use control::candidates::Candidate;
use control::capacity::told::{CapacityHistory, CapacityStatus, PreservedCapacity, VolumeCapacity};
use control::policy::runs::{PolicyStatus, RunStatus, VolumeOutlook};
use control::status::{
    ApplianceStatus, AttachmentStatus, ChapStatus, ExportStatus, GroupStatus, InitiatorStatus,
    JobStatus, LunStatus, MarkStatus, PortalStatus, RemovalPreview, RollbackStarted, SessionStatus,
    TargetStatus, ViewStatus, VolumeStatus,
};
use control::traffic::recent::TrafficStatus;
use schemars::{JsonSchema, Schema, SchemaGenerator};

use crate::model::{
    At, ChannelChange, DaysBack, GroupChange, Growth, Login, LunChange, MarkChange, MarkList,
    Moment, NewAttachment, NewChannel, NewGroup, NewGroupMark, NewInitiator, NewLock, NewLun,
    NewMark, NewRollback, NewSecret, NewTarget, NewView, NewVolume, Page, PolicyChange,
    PreservedRule, Removal, Removed, Rules, SettingsChange, Setup, Silence, TargetChange,
    VolumeChange,
};
use crate::paged::Paging;

/// How a type is described.
pub(super) type Describe = fn(&mut SchemaGenerator) -> Schema;

/// One operation.
pub(super) struct Told {
    pub method: &'static str,
    pub path: &'static str,
    /// A name for it in programs.
    pub id: &'static str,
    /// What it does, in a line.
    pub summary: &'static str,
    /// What stands after the question mark.
    pub query: Option<Describe>,
    /// The body that it takes.
    pub body: Option<Describe>,
    /// The status and type of its answer.
    pub answer: (u16, &'static str, Describe),
}

const fn of<T: JsonSchema>() -> Describe {
    SchemaGenerator::subschema_for::<T>
}

const JSON: &str = "application/json";

/// An operation that answers 200 with a `T`.
const fn told<T: JsonSchema>(
    method: &'static str,
    path: &'static str,
    id: &'static str,
    summary: &'static str,
) -> Told {
    let answer = (200, JSON, of::<T>());
    Told { method, path, id, summary, query: None, body: None, answer }
}

const fn get<T: JsonSchema>(path: &'static str, id: &'static str, summary: &'static str) -> Told {
    told::<T>("GET", path, id, summary)
}

/// One that lists `T`s, a page at a time where it is asked for pages.
const fn list<T: JsonSchema>(path: &'static str, id: &'static str, summary: &'static str) -> Told {
    get::<Vec<T>>(path, id, summary).asked::<Paging>()
}

/// One that makes a `T` from a `B`.
const fn make<B: JsonSchema, T: JsonSchema>(
    path: &'static str,
    id: &'static str,
    summary: &'static str,
) -> Told {
    let answer = (201, JSON, of::<T>());
    Told { answer, body: Some(of::<B>()), ..told::<T>("POST", path, id, summary) }
}

/// One that begins what goes on after its answer.
const fn begin<T: JsonSchema>(path: &'static str, id: &'static str, summary: &'static str) -> Told {
    Told { answer: (202, JSON, of::<T>()), ..told::<T>("POST", path, id, summary) }
}

const fn change<B: JsonSchema, T: JsonSchema>(
    path: &'static str,
    id: &'static str,
    summary: &'static str,
) -> Told {
    Told { body: Some(of::<B>()), ..told::<T>("PATCH", path, id, summary) }
}

const fn remove<T: JsonSchema>(
    path: &'static str,
    id: &'static str,
    summary: &'static str,
) -> Told {
    told::<T>("DELETE", path, id, summary)
}

impl Told {
    const fn asked<Q: JsonSchema>(mut self) -> Self {
        self.query = Some(of::<Q>());
        self
    }

    const fn with<B: JsonSchema>(mut self) -> Self {
        self.body = Some(of::<B>());
        self
    }
}

/// All of them.
pub(super) fn all() -> Vec<Told> {
    let mut all = Vec::new();
    all.extend(appliance());
    all.extend(volumes());
    all.extend(marks_and_views());
    all.extend(targets());
    all.extend(people());
    all.extend(policies());
    all.extend(alerts());
    all.extend(capacity());
    all
}

fn appliance() -> [Told; 16] {
    [
        get::<ApplianceStatus>("/status", "status", "How the appliance is, and what needs a look"),
        get::<serde_json::Map<String, serde_json::Value>>(
            "/openapi.json",
            "openapi",
            "This document",
        ),
        Told {
            answer: (200, "text/event-stream", of::<String>()),
            ..told::<String>(
                "GET",
                "/events",
                "follow_events",
                "What changes, as server-sent events",
            )
        },
        get::<TrafficStatus>(
            "/traffic",
            "show_traffic",
            "What clients did in the last minutes, and how long they waited",
        ),
        get::<TrafficStatus>(
            "/volumes/{name}/traffic",
            "show_traffic_of_volume",
            "What clients did with a volume in the last minutes, and how long they waited",
        ),
        list::<AttachmentStatus>(
            "/attachments",
            "list_attachments",
            "What is attached to the daemon's host",
        ),
        make::<NewAttachment, AttachmentStatus>(
            "/attachments",
            "attach",
            "Make a block device of a disk, and mount it if asked to",
        ),
        remove::<Removed>("/attachments/{of}", "detach", "Unmount and take away what attach made"),
        list::<ExportStatus>("/exports", "list_exports", "What NBD clients may open"),
        list::<SessionStatus>("/sessions", "list_sessions", "Clients that are connected"),
        remove::<Removed>("/sessions/{id}", "end_session", "End a client's session"),
        list::<JobStatus>("/jobs", "list_jobs", "Work that takes long"),
        get::<JobStatus>("/jobs/{id}", "show_job", "One job and what came of it"),
        remove::<JobStatus>("/jobs/{id}", "cancel_job", "Tell a job to stop"),
        get::<Vec<PortalStatus>>(
            "/portals",
            "list_portals",
            "Where iSCSI listens, and port groups",
        ),
        change::<GroupChange, Vec<PortalStatus>>(
            "/portals/{group}",
            "set_portal_group",
            "Set the access state of a port group",
        ),
    ]
}

fn volumes() -> [Told; 14] {
    [
        list::<VolumeStatus>("/volumes", "list_volumes", "Volumes: live virtual disks"),
        make::<NewVolume, VolumeStatus>(
            "/volumes",
            "create_volume",
            "Make a thin volume, or adopt a disk as one",
        ),
        get::<Vec<Candidate>>(
            "/candidates",
            "list_candidates",
            "Disks of the daemon's host that could be adopted, and what stands in the way",
        )
        .asked::<At>(),
        get::<VolumeStatus>("/volumes/{name}", "show_volume", "One volume"),
        change::<VolumeChange, VolumeStatus>(
            "/volumes/{name}",
            "change_volume",
            "Grow a volume, or change its settings",
        ),
        remove::<Removed>("/volumes/{name}", "remove_volume", "Remove a volume with all its marks")
            .asked::<Removal>(),
        begin::<JobStatus>(
            "/volumes/{name}/release",
            "release_volume",
            "Bring an adopted disk up to date and let it go",
        )
        .asked::<Removal>(),
        begin::<JobStatus>(
            "/volumes/{name}/scrub",
            "scrub_volume",
            "Read a whole volume and its marks and compare them with their checksums",
        ),
        begin::<RollbackStarted>(
            "/volumes/{name}/rollback",
            "roll_back",
            "Make a volume what it was at a mark",
        )
        .with::<NewRollback>(),
        begin::<RollbackStarted>(
            "/volumes/{name}/undo",
            "undo_rollback",
            "Undo the last rollback of a volume",
        ),
        list::<GroupStatus>(
            "/groups",
            "list_groups",
            "Groups: volumes that are marked at one instant",
        ),
        make::<NewGroup, GroupStatus>("/groups", "create_group", "Name a set of volumes"),
        remove::<Removed>(
            "/groups/{name}",
            "remove_group",
            "Forget a group; its volumes and marks stay",
        ),
        make::<NewGroupMark, Vec<MarkStatus>>(
            "/groups/{name}/marks",
            "mark_group",
            "Take a mark of every member at one instant",
        ),
    ]
}

fn marks_and_views() -> [Told; 12] {
    [
        make::<NewMark, Vec<MarkStatus>>(
            "/marks",
            "take_mark",
            "Take a mark; of several volumes at one instant",
        ),
        list::<MarkStatus>(
            "/volumes/{name}/marks",
            "list_marks",
            "The marks of a volume or view, oldest first",
        ),
        get::<MarkStatus>("/volumes/{name}/marks/{mark}", "show_mark", "One mark"),
        change::<MarkChange, MarkStatus>(
            "/volumes/{name}/marks/{mark}",
            "change_mark",
            "Hold a mark, let it go, or rename it",
        ),
        remove::<Removed>(
            "/volumes/{name}/marks/{mark}",
            "remove_mark",
            "Remove a mark, wherever it is in the chain",
        )
        .asked::<Removal>(),
        told::<MarkStatus>(
            "POST",
            "/volumes/{name}/marks/{mark}/lock",
            "lock_mark",
            "Lock a mark for some time, which nobody can take back",
        )
        .with::<NewLock>(),
        get::<RemovalPreview>(
            "/volumes/{name}/removal-preview",
            "preview_removal",
            "What the removal of marks would give back, and what keeps them from going",
        )
        .asked::<MarkList>(),
        list::<ViewStatus>("/views", "list_views", "Views: read-write disks made from marks"),
        make::<NewView, ViewStatus>("/views", "create_view", "Make a read-write disk from a mark"),
        get::<ViewStatus>("/views/{name}", "show_view", "One view"),
        remove::<Removed>("/views/{name}", "remove_view", "Drop a view and what was written to it")
            .asked::<Removal>(),
        begin::<JobStatus>(
            "/views/{name}/promote",
            "promote_view",
            "Make a view an independent volume",
        ),
    ]
}

fn targets() -> [Told; 19] {
    [
        list::<TargetStatus>("/targets", "list_targets", "iSCSI targets"),
        make::<NewTarget, TargetStatus>(
            "/targets",
            "create_target",
            "Make a target; it lets nobody in yet",
        ),
        get::<TargetStatus>("/targets/{name}", "show_target", "One target"),
        change::<TargetChange, TargetStatus>("/targets/{name}", "change_target", "Change a target"),
        remove::<Removed>("/targets/{name}", "remove_target", "Remove a target; its disks stay")
            .asked::<Removal>(),
        list::<LunStatus>("/targets/{name}/luns", "list_luns", "The LUNs of a target"),
        make::<NewLun, LunStatus>("/targets/{name}/luns", "map_lun", "Put a disk under a LUN"),
        get::<LunStatus>("/targets/{name}/luns/{lun}", "show_lun", "One LUN"),
        change::<LunChange, LunStatus>(
            "/targets/{name}/luns/{lun}",
            "change_lun",
            "Change a LUN, while it is in use",
        ),
        remove::<Removed>(
            "/targets/{name}/luns/{lun}",
            "unmap_lun",
            "Take a disk away from under a LUN; the disk stays",
        )
        .asked::<Removal>(),
        get::<Vec<InitiatorStatus>>(
            "/targets/{name}/initiators",
            "list_initiators",
            "Who may log in to a target",
        ),
        make::<NewInitiator, Vec<InitiatorStatus>>(
            "/targets/{name}/initiators",
            "allow_initiator",
            "Let an initiator in",
        ),
        remove::<Vec<InitiatorStatus>>(
            "/targets/{name}/initiators/{who}",
            "deny_initiator",
            "Let an initiator in no more, and end its sessions",
        ),
        get::<Vec<ChapStatus>>("/targets/{name}/chap", "list_chap", "CHAP users of a target"),
        make::<NewSecret, Vec<ChapStatus>>(
            "/targets/{name}/chap",
            "set_chap",
            "Set the secret of a target's CHAP user",
        ),
        remove::<Removed>(
            "/targets/{name}/chap/{user}",
            "remove_chap",
            "Remove a CHAP user, and end its sessions",
        ),
        get::<Vec<ChapStatus>>("/discovery/chap", "list_discovery_chap", "CHAP users of discovery"),
        make::<NewSecret, Vec<ChapStatus>>(
            "/discovery/chap",
            "set_discovery_chap",
            "Set the secret of a CHAP user of discovery",
        ),
        remove::<Removed>(
            "/discovery/chap/{user}",
            "remove_discovery_chap",
            "Remove a CHAP user of discovery",
        ),
    ]
}

fn people() -> [Told; 13] {
    [
        get::<WhoAmI>("/session", "who_am_i", "Who asks, and what they may do"),
        told::<WhoAmI>(
            "POST",
            "/session",
            "log_in",
            "Log in with a password; the answer sets a cookie",
        )
        .with::<Login>(),
        remove::<Removed>("/session", "log_out", "Log out"),
        told::<WhoAmI>(
            "POST",
            "/setup",
            "set_up",
            "Make the first admin, with the code that the daemon printed",
        )
        .with::<Setup>(),
        list::<UserStatus>("/users", "list_users", "People who may come in"),
        make::<NewUser, UserStatus>("/users", "add_user", "Make a user"),
        change::<UserChange, UserStatus>(
            "/users/{name}",
            "change_user",
            "Change a user's role or password, or lock them out",
        ),
        remove::<Removed>(
            "/users/{name}",
            "remove_user",
            "Remove a user with their sessions and tokens",
        ),
        list::<TokenStatus>("/tokens", "list_tokens", "Programs that may come in"),
        make::<NewToken, TokenMade>(
            "/tokens",
            "create_token",
            "Make a token, which is shown this once",
        ),
        remove::<Removed>("/tokens/{id}", "remove_token", "Remove a token"),
        get::<Vec<AuditEntry>>("/audit", "list_audit", "What was done by whom, newest first")
            .asked::<Page>(),
        get::<AuditVerdict>(
            "/audit/verify",
            "verify_audit",
            "Whether anybody touched the audit log",
        ),
    ]
}

fn policies() -> [Told; 9] {
    [
        list::<PolicyStatus>(
            "/policies",
            "list_policies",
            "What is protected when, and what stays",
        ),
        make::<Rules, PolicyStatus>("/policies", "create_policy", "Make a policy"),
        get::<PolicyStatus>("/policies/{name}", "show_policy", "One policy"),
        change::<PolicyChange, PolicyStatus>(
            "/policies/{name}",
            "change_policy",
            "Change a policy",
        ),
        remove::<Removed>("/policies/{name}", "remove_policy", "Remove a policy; its marks stay"),
        get::<Vec<VolumeOutlook>>(
            "/policies/{name}/preview",
            "preview_policy",
            "Which marks there will be at a date",
        )
        .asked::<Moment>(),
        told::<Vec<VolumeOutlook>>(
            "POST",
            "/policy-preview",
            "preview_rules",
            "Which marks there would be at a date by a policy that is not made yet",
        )
        .asked::<Moment>()
        .with::<Rules>(),
        told::<RunStatus>(
            "POST",
            "/policies/{name}/run",
            "run_policy",
            "Take a mark by a policy now",
        ),
        list::<RunStatus>(
            "/policies/{name}/runs",
            "list_policy_runs",
            "What came of its last runs",
        ),
    ]
}

fn alerts() -> [Told; 13] {
    [
        get::<Vec<AlertStatus>>("/alerts", "list_alerts", "What is wrong now, worst first"),
        get::<AlertStatus>("/alerts/{id}", "show_alert", "One alert, open or not"),
        told::<AlertStatus>(
            "POST",
            "/alerts/{id}/acknowledge",
            "acknowledge_alert",
            "Say that you know: it is not told again until it gets worse or resolves; of what is missing, that it is meant to be",
        ),
        told::<AlertStatus>(
            "POST",
            "/alerts/{id}/silence",
            "silence_alert",
            "Tell nothing of what an alert is about until a date",
        )
        .with::<Silence>(),
        remove::<AlertStatus>(
            "/alerts/{id}/silence",
            "unsilence_alert",
            "Tell again of what an alert is about",
        ),
        get::<Vec<AlertStatus>>(
            "/alert-history",
            "list_alert_history",
            "Alerts that resolved, newest first",
        )
        .asked::<Page>(),
        get::<Settings>(
            "/alert-settings",
            "show_alert_settings",
            "From when on something is told, and how often again",
        ),
        change::<SettingsChange, Settings>(
            "/alert-settings",
            "change_alert_settings",
            "Change from when on something is told",
        ),
        get::<Vec<ChannelStatus>>(
            "/alert-channels",
            "list_alert_channels",
            "Ways by which alerts are told, without their secrets",
        ),
        make::<NewChannel, ChannelStatus>(
            "/alert-channels",
            "add_alert_channel",
            "Tell alerts by e-mail, webhook or syslog",
        ),
        change::<ChannelChange, ChannelStatus>(
            "/alert-channels/{name}",
            "change_alert_channel",
            "Change a channel",
        ),
        remove::<Removed>(
            "/alert-channels/{name}",
            "remove_alert_channel",
            "Remove a channel with its secret",
        ),
        told::<ChannelTest>(
            "POST",
            "/alert-channels/{name}/test",
            "test_alert_channel",
            "Send a test and tell what the other side says",
        ),
    ]
}

fn capacity() -> [Told; 7] {
    [
        get::<CapacityStatus>(
            "/capacity",
            "capacity",
            "What is taken, when it will be full, and what grows by itself",
        ),
        get::<CapacityHistory>(
            "/capacity/history",
            "capacity_history",
            "What was in use where the pool lies, as far back as is asked for",
        )
        .asked::<DaysBack>(),
        change::<PreservedRule, PreservedCapacity>(
            "/capacity/preserved",
            "limit_preserved",
            "Limit what preserved blocks may take, and let the limit grow by itself",
        ),
        remove::<Removed>(
            "/capacity/preserved",
            "unlimit_preserved",
            "Let preserved blocks take as much as there is",
        ),
        change::<Growth, VolumeCapacity>(
            "/capacity/volumes/{name}",
            "set_growth",
            "Let a thin volume grow by itself",
        ),
        remove::<Removed>(
            "/capacity/volumes/{name}",
            "remove_growth",
            "Let a volume grow by itself no more",
        ),
        get::<CapacityHistory>(
            "/capacity/volumes/{name}/history",
            "volume_capacity_history",
            "What was in use of a volume, as far back as is asked for",
        )
        .asked::<DaysBack>(),
    ]
}
