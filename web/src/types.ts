// What the API tells, as far as the console shows it. Names are those of the API.

export type Role = "viewer" | "helpdesk" | "operator" | "admin";

export interface Session {
  user: string;
  role: Role;
  csrf: string;
  expires_ms: number | null;
}

export interface State {
  state: "ready" | "read_only" | "fail_stop";
  reason?: string;
}

export interface Volume extends State {
  name: string;
  kind: "thin" | "adopted";
  path?: string;
  size: number;
  allocated_bytes: number;
  preserved_bytes: number;
  unapplied_bytes: number;
  marks: number;
  sync: "volatile" | "always";
  when_marks_full: "refuse" | "thin";
  when_store_full: "drop_oldest" | "protect_marks";
  rollback: { to: string; safety: string; done_blocks: number; total_blocks: number } | null;
  created_ms: number;
}

export type Grade = "crash" | "filesystem" | "application";

export interface Mark {
  volume: string;
  name: string;
  id: string;
  sequence: number;
  taken_ms: number;
  size: number;
  grade: Grade;
  proof: "unverified" | "verified" | "failed";
  is_held: boolean;
  /** When the hold ends by itself. */
  held_until_ms: number | null;
  is_locked: boolean;
  locked_until_ms: number | null;
  frees_most_bytes: number;
  views: string[];
  group: string | null;
}

/** Bytes that come back; exactly, where both are the same. */
export interface Freed {
  least_bytes: number;
  most_bytes: number;
}

export interface View extends State {
  name: string;
  of: string;
  size: number;
  allocated_bytes: number;
  created_ms: number;
  promotion: { done_blocks: number; total_blocks: number } | null;
}

export interface Attachment {
  of: string;
  device: string;
  is_read_only: boolean;
  mounted_at: string | null;
  file_system: string | null;
  since_ms: number;
}

export interface Lun {
  target: string;
  lun: number;
  disk: string;
  is_ready: boolean;
  trouble?: string;
  is_read_only: boolean;
  is_removable: boolean;
  block_size: number;
  size: number;
  only: string[];
  sessions: number;
}

export interface Target {
  name: string;
  iqn: string;
  alias: string;
  auth: "none" | "chap";
  is_md5_allowed: boolean;
  initiators: string[];
  chap_users: string[];
  mutual_user: string | null;
  luns: Lun[];
  sessions: number;
}

export interface Client {
  id: number;
  protocol: "nbd" | "iscsi";
  peer: string;
  export: string;
  is_read_only: boolean;
  is_tls: boolean;
  since_ms: number;
  requests: number;
  failures: number;
  read_bytes: number;
  written_bytes: number;
  iscsi?: { initiator: string };
}

export interface Job {
  id: number;
  kind: "scrub" | "release" | "rollback" | "promote" | "grow";
  of: string;
  state: "running" | "done" | "failed" | "cancelled";
  done_bytes: number;
  total_bytes: number;
  started_ms: number;
  ended_ms: number | null;
  error: { detail: string; way_out?: string } | null;
}

export interface Status {
  /** What the appliance is called. */
  name: string;
  version: string;
  pid: number;
  started_ms: number;
  now_ms: number;
  state_dir: string;
  pool: {
    state: "open" | "poisoned" | "closed";
    journal_len: number;
    journal_used_bytes: number;
    space_free_bytes: number;
    space_total_bytes: number;
    preserved_bytes: number;
    memory_bytes: number;
  };
  volumes: Volume[];
  views: View[];
  targets: Target[];
  doors: { protocol: string; address: string; tls: string; group?: number; fingerprint?: string }[];
  sessions: number;
  attachments: Attachment[];
  jobs_running: number;
  alerts_open: number;
  troubles: { of: string; what: string; is_failure: boolean }[];
}

/** What was done of one kind within a step; without requests there is no latency. */
export interface Done {
  count: number;
  bytes: number;
  p50_us?: number;
  p99_us?: number;
}

/** A step in which something was done. */
export interface TrafficPoint {
  at_ms: number;
  len_ms: number;
  read: Done;
  write: Done;
}

/** What clients did in the last minutes. */
export interface Traffic {
  now_ms: number;
  step_ms: number;
  steps_kept: number;
  points: TrafficPoint[];
}

/** A disk of the daemon's host that may be adopted. */
export interface Candidate {
  path: string;
  is_device: boolean;
  size: number;
  model?: string;
  obstacle: string | null;
}

export interface Group {
  name: string;
  volumes: string[];
}

/** Where iSCSI listens, and the access state of that group of portals. */
export interface Portal {
  address: string | null;
  group: number;
  state: string;
  sessions: number;
}

export interface ChapUser {
  target: string | null;
  user: string;
  is_mutual: boolean;
}

/** A mark that there will be. */
export interface Foreseen {
  taken_ms: number;
  name: string | null;
  kept_for: string[];
}

/** What there will be of a policy's marks of a volume. */
export interface Outlook {
  volume: string;
  at_ms: number;
  foreign: number;
  runs: number;
  marks: Foreseen[];
  gone: string[];
  frees: Freed;
}

export interface User {
  name: string;
  role: Role;
  is_locked?: boolean;
}

export interface Policy {
  name: string;
  volumes?: string[];
  group?: string | null;
  every?: string | null;
  cron?: string | null;
  /** Bytes. */
  changed?: number | null;
  skip_unchanged?: boolean;
  zone: string;
  is_paused: boolean;
  paused_until_ms?: number;
  keep: Record<string, number>;
  /** For how long its marks are locked, such as 30d. */
  lock?: string | null;
  /** Such as 1h. */
  passed?: string | null;
  next_ms: number | null;
}

export interface PolicyRun {
  cause: string;
  due_ms: number;
  began_ms: number;
  ended_ms: number;
  missed: number;
  outcome: "taken" | "unchanged" | "overlapped" | "failed";
  mark?: string;
  why?: string;
  removed: string[];
  left: string[];
}

/** When something will be full; moments are milliseconds since 1970. */
export interface Forecast {
  outlook: "not_enough_history" | "never" | "fills" | "full";
  bytes_per_day?: number;
  earliest_ms?: number;
  likely_ms?: number;
  latest_ms?: number;
  enough_ms?: number;
}

/** A rule by which something grows, and what came of it. */
export interface Growth {
  grow_at: number;
  by: number;
  up_to: number;
  grown_ms?: number;
  trouble?: string;
}

export interface VolumeCapacity {
  name: string;
  kind: "thin" | "adopted";
  size: number;
  allocated_bytes: number;
  preserved_bytes: number;
  preserved_bytes_per_day?: number;
  marks: number;
  forecast?: Forecast;
  growth?: Growth;
}

export interface Capacity {
  now_ms: number;
  pool: {
    total_bytes: number;
    free_bytes: number;
    base_bytes: number;
    preserved_bytes: number;
    journal_bytes: number;
    reserve_bytes: number;
    other_bytes: number;
    forecast: Forecast;
  };
  preserved: {
    used_bytes: number;
    size_bytes: number;
    limit?: number;
    growth?: Growth;
    bytes_per_day?: number;
    forecast: Forecast;
  };
  volumes: VolumeCapacity[];
}

/** What was in use at a moment. */
export interface Point {
  at_ms: number;
  used_bytes: number;
  size_bytes: number;
  preserved_bytes: number;
}

export type Severity = "warning" | "critical";

export interface Alert {
  id: number;
  rule: string;
  of: string;
  severity: Severity;
  what: string;
  way_out?: string;
  first_ms: number;
  last_ms: number;
  count: number;
  resolved_ms?: number;
  acknowledged?: { by: string; at_ms: number };
  silenced_until_ms?: number;
  told_ms?: number;
}

export interface AlertSettings {
  mark_age_factor: number;
  space_warning_percent: number;
  space_critical_percent: number;
  repeat_hours: number;
}

export type Destination =
  | {
      kind: "mail";
      host: string;
      port?: number;
      tls: "starttls" | "tls" | "none";
      user?: string;
      from: string;
      to: string[];
      authority?: string;
    }
  | { kind: "webhook"; url: string; authority?: string }
  | { kind: "syslog"; way: "local" | "udp" | "tcp"; address?: string };

export interface Channel {
  name: string;
  to: Destination;
  least: Severity;
  is_paused: boolean;
  has_secret: boolean;
  waiting: number;
  lost: number;
  delivered_ms?: number;
  failure?: string;
}

export interface ChannelTest {
  is_delivered: boolean;
  said: string;
  took_ms: number;
}
