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
  views: string[];
  group: string | null;
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
  kind: "scrub" | "release" | "rollback" | "promote";
  of: string;
  state: "running" | "done" | "failed" | "cancelled";
  done_bytes: number;
  total_bytes: number;
  started_ms: number;
  ended_ms: number | null;
  error: { detail: string; way_out?: string } | null;
}

export interface Status {
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
  doors: { protocol: string; address: string; tls: string; group?: number }[];
  sessions: number;
  attachments: Attachment[];
  jobs_running: number;
  alerts_open: number;
  troubles: { of: string; what: string; is_failure: boolean }[];
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
  zone: string;
  is_paused: boolean;
  keep: Record<string, number>;
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
