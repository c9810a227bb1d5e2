//! Every operation of the API: who may do it, and where people find it on the command line and in the console.
//!
//! The one place where roles are decided. What is not in this table is open to nobody.

use control::Role;

/// The pages of the console.
pub const PAGES: &[&str] = &[
    "now", "volumes", "volume", "views", "targets", "policies", "capacity", "jobs", "alerts",
    "audit", "users", "settings", "login", "setup",
];

/// One operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Operation {
    /// The method, in capitals.
    pub method: &'static str,
    /// The address below `/api/v1`, as the router writes it.
    pub path: &'static str,
    /// The least role that may do it; without one anybody may, known or not.
    pub role: Option<Role>,
    /// The command that does the same; empty where only the console needs it.
    pub command: &'static str,
    /// The page of the console that does the same.
    pub page: &'static str,
}

/// Below this all operations lie.
pub const BASE: &str = "/api/v1";
/// Requests to make something that make nothing, and so are carried out as often as they come.
const MAKE_NOTHING: &[&str] = &["/policy-preview"];

impl Operation {
    /// Whether a request with a key is carried out once.
    pub fn is_once(&self) -> bool {
        self.method == "POST" && self.role.is_some() && !MAKE_NOTHING.contains(&self.path)
    }
}

const fn operation(
    method: &'static str,
    path: &'static str,
    role: Role,
    command: &'static str,
    page: &'static str,
) -> Operation {
    Operation { method, path, role: Some(role), command, page }
}

/// One that leads in, and so is open to those who are not in yet.
const fn way_in(
    method: &'static str,
    path: &'static str,
    command: &'static str,
    page: &'static str,
) -> Operation {
    Operation { method, path, role: None, command, page }
}

/// All of them, by address.
pub const OPERATIONS: &[Operation] = {
    use Role::{Admin, Helpdesk, Operator, Viewer};
    &[
        operation("GET", "/alert-channels", Admin, "tidemark alert channel ls", "alerts"),
        operation("POST", "/alert-channels", Admin, "tidemark alert channel add mail", "alerts"),
        operation("PATCH", "/alert-channels/{name}", Admin, "tidemark alert channel set", "alerts"),
        operation("DELETE", "/alert-channels/{name}", Admin, "tidemark alert channel rm", "alerts"),
        operation(
            "POST",
            "/alert-channels/{name}/test",
            Admin,
            "tidemark alert channel test",
            "alerts",
        ),
        operation("GET", "/alert-history", Viewer, "tidemark alert history", "alerts"),
        operation("GET", "/alert-settings", Viewer, "tidemark alert settings", "alerts"),
        operation("PATCH", "/alert-settings", Admin, "tidemark alert set", "alerts"),
        operation("GET", "/alerts", Viewer, "tidemark alert ls", "alerts"),
        operation("GET", "/alerts/{id}", Viewer, "tidemark alert show", "alerts"),
        operation("POST", "/alerts/{id}/acknowledge", Operator, "tidemark alert ack", "alerts"),
        operation("POST", "/alerts/{id}/silence", Operator, "tidemark alert silence", "alerts"),
        operation("DELETE", "/alerts/{id}/silence", Operator, "tidemark alert unsilence", "alerts"),
        operation("GET", "/attachments", Viewer, "tidemark attachment ls", "views"),
        operation("POST", "/attachments", Operator, "tidemark attach", "views"),
        operation("DELETE", "/attachments/{of}", Operator, "tidemark detach", "views"),
        operation("GET", "/audit", Admin, "tidemark audit ls", "audit"),
        operation("GET", "/audit/verify", Admin, "tidemark audit verify", "audit"),
        operation("GET", "/candidates", Operator, "tidemark volume candidates", "volumes"),
        operation("GET", "/capacity", Viewer, "tidemark capacity show", "capacity"),
        operation("GET", "/capacity/history", Viewer, "tidemark capacity history", "capacity"),
        operation(
            "PATCH",
            "/capacity/preserved",
            Operator,
            "tidemark capacity set preserved",
            "capacity",
        ),
        operation(
            "DELETE",
            "/capacity/preserved",
            Operator,
            "tidemark capacity unset preserved",
            "capacity",
        ),
        operation(
            "PATCH",
            "/capacity/volumes/{name}",
            Operator,
            "tidemark capacity set volume",
            "capacity",
        ),
        operation(
            "DELETE",
            "/capacity/volumes/{name}",
            Operator,
            "tidemark capacity unset volume",
            "capacity",
        ),
        operation(
            "GET",
            "/capacity/volumes/{name}/history",
            Viewer,
            "tidemark capacity history",
            "capacity",
        ),
        operation("GET", "/discovery/chap", Viewer, "tidemark chap ls --discovery", "targets"),
        operation("POST", "/discovery/chap", Admin, "tidemark chap set --discovery", "targets"),
        operation(
            "DELETE",
            "/discovery/chap/{user}",
            Admin,
            "tidemark chap rm --discovery",
            "targets",
        ),
        operation("GET", "/events", Viewer, "tidemark events", "now"),
        operation("GET", "/exports", Viewer, "tidemark export ls", "targets"),
        operation("GET", "/groups", Viewer, "tidemark group ls", "volumes"),
        operation("POST", "/groups", Operator, "tidemark group create", "volumes"),
        operation("DELETE", "/groups/{name}", Operator, "tidemark group rm", "volumes"),
        operation("POST", "/groups/{name}/marks", Operator, "tidemark group mark", "volumes"),
        operation("GET", "/jobs", Viewer, "tidemark job ls", "jobs"),
        operation("GET", "/jobs/{id}", Viewer, "tidemark job show", "jobs"),
        operation("DELETE", "/jobs/{id}", Operator, "tidemark job cancel", "jobs"),
        operation("POST", "/marks", Operator, "tidemark mark take", "volume"),
        operation("GET", "/openapi.json", Viewer, "tidemark api openapi", "settings"),
        operation("GET", "/policies", Viewer, "tidemark policy ls", "policies"),
        operation("POST", "/policies", Operator, "tidemark policy create", "policies"),
        operation("GET", "/policies/{name}", Viewer, "tidemark policy show", "policies"),
        operation("PATCH", "/policies/{name}", Operator, "tidemark policy set", "policies"),
        operation("DELETE", "/policies/{name}", Operator, "tidemark policy rm", "policies"),
        operation("GET", "/policies/{name}/preview", Viewer, "tidemark policy preview", "policies"),
        operation("POST", "/policies/{name}/run", Operator, "tidemark policy run", "policies"),
        operation("GET", "/policies/{name}/runs", Viewer, "tidemark policy runs", "policies"),
        operation(
            "POST",
            "/policy-preview",
            Operator,
            "tidemark policy create --preview",
            "policies",
        ),
        operation("GET", "/portals", Viewer, "tidemark portal ls", "targets"),
        operation("PATCH", "/portals/{group}", Operator, "tidemark portal set", "targets"),
        operation("GET", "/sessions", Viewer, "tidemark session ls", "targets"),
        operation("DELETE", "/sessions/{id}", Operator, "tidemark session kill", "targets"),
        way_in("GET", "/session", "tidemark whoami", "login"),
        way_in("POST", "/session", "", "login"),
        way_in("DELETE", "/session", "", "login"),
        way_in("POST", "/setup", "tidemark user add", "setup"),
        operation("GET", "/status", Viewer, "tidemark status", "now"),
        operation("GET", "/targets", Viewer, "tidemark target ls", "targets"),
        operation("POST", "/targets", Operator, "tidemark target create", "targets"),
        operation("GET", "/targets/{name}", Viewer, "tidemark target show", "targets"),
        operation("PATCH", "/targets/{name}", Operator, "tidemark target set", "targets"),
        operation("DELETE", "/targets/{name}", Operator, "tidemark target rm", "targets"),
        operation("GET", "/targets/{name}/chap", Viewer, "tidemark chap ls", "targets"),
        operation("POST", "/targets/{name}/chap", Admin, "tidemark chap set", "targets"),
        operation("DELETE", "/targets/{name}/chap/{user}", Admin, "tidemark chap rm", "targets"),
        operation("GET", "/targets/{name}/initiators", Viewer, "tidemark initiator ls", "targets"),
        operation(
            "POST",
            "/targets/{name}/initiators",
            Operator,
            "tidemark initiator allow",
            "targets",
        ),
        operation(
            "DELETE",
            "/targets/{name}/initiators/{who}",
            Operator,
            "tidemark initiator deny",
            "targets",
        ),
        operation("GET", "/targets/{name}/luns", Viewer, "tidemark lun ls", "targets"),
        operation("POST", "/targets/{name}/luns", Operator, "tidemark lun map", "targets"),
        operation("GET", "/targets/{name}/luns/{lun}", Viewer, "tidemark lun ls", "targets"),
        operation("PATCH", "/targets/{name}/luns/{lun}", Operator, "tidemark lun set", "targets"),
        operation(
            "DELETE",
            "/targets/{name}/luns/{lun}",
            Operator,
            "tidemark lun unmap",
            "targets",
        ),
        operation("GET", "/tokens", Admin, "tidemark token ls", "users"),
        operation("POST", "/tokens", Admin, "tidemark token create", "users"),
        operation("DELETE", "/tokens/{id}", Admin, "tidemark token rm", "users"),
        operation("GET", "/traffic", Viewer, "tidemark traffic", "now"),
        operation("GET", "/users", Admin, "tidemark user ls", "users"),
        operation("POST", "/users", Admin, "tidemark user add", "users"),
        operation("PATCH", "/users/{name}", Admin, "tidemark user set", "users"),
        operation("DELETE", "/users/{name}", Admin, "tidemark user rm", "users"),
        operation("GET", "/views", Viewer, "tidemark view ls", "views"),
        operation("POST", "/views", Helpdesk, "tidemark view create", "views"),
        operation("GET", "/views/{name}", Viewer, "tidemark view show", "views"),
        operation("DELETE", "/views/{name}", Operator, "tidemark view rm", "views"),
        operation("POST", "/views/{name}/promote", Operator, "tidemark view promote", "views"),
        operation("GET", "/volumes", Viewer, "tidemark volume ls", "volumes"),
        operation("POST", "/volumes", Operator, "tidemark volume create", "volumes"),
        operation("GET", "/volumes/{name}", Viewer, "tidemark volume show", "volume"),
        operation("PATCH", "/volumes/{name}", Operator, "tidemark volume set", "volume"),
        operation("DELETE", "/volumes/{name}", Operator, "tidemark volume rm", "volume"),
        operation("GET", "/volumes/{name}/marks", Viewer, "tidemark mark ls", "volume"),
        operation("GET", "/volumes/{name}/marks/{mark}", Viewer, "tidemark mark show", "volume"),
        operation(
            "PATCH",
            "/volumes/{name}/marks/{mark}",
            Operator,
            "tidemark mark hold",
            "volume",
        ),
        operation("DELETE", "/volumes/{name}/marks/{mark}", Operator, "tidemark mark rm", "volume"),
        operation(
            "POST",
            "/volumes/{name}/marks/{mark}/lock",
            Operator,
            "tidemark mark lock",
            "volume",
        ),
        operation(
            "GET",
            "/volumes/{name}/removal-preview",
            Viewer,
            "tidemark mark rm --dry-run",
            "volume",
        ),
        operation("POST", "/volumes/{name}/release", Operator, "tidemark volume release", "volume"),
        operation("POST", "/volumes/{name}/rollback", Operator, "tidemark rollback", "volume"),
        operation("POST", "/volumes/{name}/scrub", Operator, "tidemark scrub", "volume"),
        operation("GET", "/volumes/{name}/traffic", Viewer, "tidemark traffic", "volume"),
        operation("POST", "/volumes/{name}/undo", Operator, "tidemark undo", "volume"),
    ]
};

/// The operation of a method at an address as the router writes it, below `/api/v1`.
pub fn find(method: &str, path: &str) -> Option<&'static Operation> {
    let method = if method == "HEAD" { "GET" } else { method };
    OPERATIONS.iter().find(|operation| operation.method == method && operation.path == path)
}

/// The operation of a method at an address as the whole router writes it.
pub fn of_route(method: &str, path: &str) -> Option<&'static Operation> {
    find(method, path.strip_prefix(BASE).unwrap_or_default())
}

#[cfg(test)]
#[path = "operations_tests.rs"]
mod tests;
