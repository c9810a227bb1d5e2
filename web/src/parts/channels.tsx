// The ways by which alerts are told: e-mail, webhook, syslog. Secrets go in and are never shown.

import { ask, whyNot } from "../api";
import { ago } from "../format";
import { now, useLive } from "../live";
import type { Channel, ChannelTest, Destination } from "../types";
import { Badge, Button, Trouble, tell } from "./bits";
import { type Field, question, type Values } from "./form";

const part = encodeURIComponent;
type Kind = Destination["kind"];

const LEAST: Field = {
  key: "least",
  label: "Tells",
  kind: "select",
  options: [
    ["warning", "warnings and what is critical"],
    ["critical", "only what is critical"],
  ],
};

const AUTHORITY: Field = {
  key: "authority",
  label: "Authority to trust",
  kind: "certificates",
  isOptional: true,
  hint: "PEM of the authority that signed the server's certificate, where it is your own. Without it, those that this machine trusts.",
};

const FIELDS: Record<Kind, Field[]> = {
  mail: [
    { key: "host", label: "Mail server", hint: "Such as smtp.example.org.", isHalf: true },
    { key: "port", label: "Port", isOptional: true, hint: "587 for STARTTLS, 465 for TLS.", isHalf: true },
    {
      key: "tls",
      label: "Encryption",
      kind: "select",
      options: [
        ["starttls", "STARTTLS"],
        ["tls", "TLS from the start"],
        ["none", "none, and no password"],
      ],
    },
    { key: "user", label: "User there", isOptional: true, isHalf: true },
    { key: "secret", label: "Password", kind: "password", isOptional: true, isHalf: true },
    { key: "from", label: "Sender", hint: "Such as tidemark@example.org.", isHalf: true },
    { key: "to", label: "To", hint: "Addresses with commas between.", isHalf: true },
    AUTHORITY,
  ],
  webhook: [
    { key: "url", label: "URL", hint: "https:// or http://; redirects are not followed." },
    {
      key: "secret",
      label: "Signed with",
      kind: "password",
      hint: "At least 16 characters; the receiver checks x-tidemark-signature with it.",
    },
    AUTHORITY,
  ],
  syslog: [
    {
      key: "way",
      label: "By",
      kind: "select",
      options: [
        ["local", "this machine's log"],
        ["udp", "UDP"],
        ["tcp", "TCP"],
      ],
    },
    { key: "address", label: "Log server", isOptional: true, hint: "HOST:PORT, for UDP and TCP." },
  ],
};

const NAMES: Record<Kind, string> = { mail: "e-mail", webhook: "a webhook", syslog: "a log" };

function list(text = ""): string[] {
  return text
    .split(",")
    .map((one) => one.trim())
    .filter(Boolean);
}

/** What a dialog says, as the API takes it. */
function destination(kind: Kind, values: Values): Destination {
  const authority = values.authority?.trim() ? { authority: `${values.authority.trim()}\n` } : {};
  const { host = "", port, tls, user, from = "", to, url = "", way, address } = values;
  if (kind === "webhook") return { kind, url, ...authority };
  if (kind === "syslog") {
    return { kind, way: way as "local" | "udp" | "tcp", ...(address ? { address } : {}) };
  }
  return {
    kind,
    host,
    tls: tls as "starttls" | "tls" | "none",
    from,
    to: list(to),
    ...(port ? { port: Number(port) } : {}),
    ...(user ? { user } : {}),
    ...authority,
  };
}

/** The options that say the same on the command line. */
function options(kind: Kind, values: Values): string {
  const { host, port, tls, user, from, to, url, way, address } = values;
  const authority = values.authority?.trim() ? " --authority FILE" : "";
  if (kind === "webhook") return ` --url ${url || "URL"}${authority}`;
  if (kind === "syslog") return way === "local" || !address ? "" : ` --${way} ${address}`;
  const more = `${port ? ` --port ${port}` : ""}${user ? ` --user ${user}` : ""}`;
  const ends = ` --from ${from || "ADDRESS"} --to ${list(to).join(",") || "ADDRESS"}`;
  return ` --host ${host || "HOST"} --tls ${tls}${more}${ends}${authority}`;
}

function add(kind: Kind): void {
  const first = FIELDS[kind].map((field) => ({ ...field, value: field.options?.[0]?.[0] ?? "" }));
  question({
    title: `Tell alerts by ${NAMES[kind]}`,
    fields: [{ key: "name", label: "Name of the channel" }, ...first, { ...LEAST, value: "warning" }],
    verb: "Add the channel",
    command: (values) =>
      `tidemark alert channel add ${values.name || "NAME"} --least ${values.least} ${kind}${options(kind, values).replace(" --url", "")}`,
    act: async (values) => {
      const secret = values.secret ? { secret: values.secret } : {};
      const to = destination(kind, values);
      await ask("POST", "/alert-channels", { name: values.name, to, least: values.least, ...secret });
      return `Channel ${values.name} is there; test it now.`;
    },
  });
}

function change(channel: Channel): void {
  const { kind } = channel.to;
  const known = channel.to as unknown as Record<string, unknown>;
  const fields = FIELDS[kind].map((field) => {
    if (field.key !== "secret") {
      return { ...field, value: String(known[field.key] ?? field.options?.[0]?.[0] ?? "") };
    }
    const hint = "Left out, it stays; another server, URL or authority needs it again.";
    return { ...field, label: `New: ${field.label}`, isOptional: true, hint };
  });
  question({
    title: `Change channel ${channel.name}`,
    fields: [
      ...fields,
      { ...LEAST, value: channel.least },
      { key: "paused", label: "Tell nothing for now", kind: "check", value: channel.is_paused ? "yes" : "" },
    ],
    verb: "Save",
    command: (values) =>
      `tidemark alert channel set ${channel.name} --least ${values.least} --paused ${values.paused === "yes"}${options(kind, values)}`,
    act: async (values) => {
      await ask("PATCH", `/alert-channels/${part(channel.name)}`, {
        to: destination(kind, values),
        least: values.least,
        is_paused: values.paused === "yes",
        ...(values.secret ? { secret: values.secret } : {}),
      });
      return `Channel ${channel.name} is changed.`;
    },
  });
}

function remove(channel: Channel): void {
  question({
    title: `Remove channel ${channel.name}`,
    losses: [
      `what tells alerts to ${place(channel.to)}`,
      ...(channel.has_secret ? ["its secret, which nobody can read from here"] : []),
    ],
    name: channel.name,
    verb: "Remove the channel",
    command: () => `tidemark alert channel rm ${channel.name}`,
    act: async () => {
      await ask("DELETE", `/alert-channels/${part(channel.name)}`);
      return `Channel ${channel.name} is gone.`;
    },
  });
}

function test(channel: Channel): void {
  tell(`Channel ${channel.name} is tried…`);
  ask<ChannelTest>("POST", `/alert-channels/${part(channel.name)}/test`).then(
    (said) =>
      said.is_delivered
        ? tell(`Channel ${channel.name} delivers; the other side said: ${said.said}`, false, true)
        : tell(`Channel ${channel.name} does not deliver: ${said.said}`, true),
    (error: Error) => tell(error.message, true),
  );
}

function place(to: Destination): string {
  const own = "authority" in to && to.authority ? ", with an authority of its own" : "";
  if (to.kind === "mail") return `${to.to.join(", ")} by ${to.host}${own}`;
  if (to.kind === "webhook") return `${to.url}${own}`;
  return to.address ? `${to.address}, ${to.way.toUpperCase()}` : "this machine's log";
}

export function Channels() {
  const why = whyNot("admin");
  return (
    <section class="card" aria-labelledby="channels">
      <div class="cardhead">
        <h2 id="channels">Channels</h2>
        <div class="actions">
          <Button act={() => add("mail")} why={why}>
            Add e-mail
          </Button>
          <Button act={() => add("webhook")} why={why}>
            Add a webhook
          </Button>
          <Button act={() => add("syslog")} why={why}>
            Add a log
          </Button>
        </div>
      </div>
      {why ? <p class="faint">Who is told is shown to admins.</p> : <List />}
    </section>
  );
}

function List() {
  const { value: all, problem } = useLive<Channel[]>("/alert-channels");
  if (problem && !all) return <Trouble problem={problem} what="channels" />;
  if (!all) return null;
  if (all.length === 0) {
    return (
      <p class="caution">
        Nobody is told: alerts are seen only by those who look here. Add a channel, then test it.
      </p>
    );
  }
  return (
    <ul class="channels">
      {all.map((channel) => (
        <li key={channel.name}>
          <div>
            <strong>{channel.name}</strong>{" "}
            <Badge>{channel.to.kind === "mail" ? "e-mail" : channel.to.kind}</Badge>{" "}
            {channel.is_paused && <Badge tone="warn">paused</Badge>}{" "}
            {channel.least === "critical" && <Badge>only critical</Badge>}{" "}
            {channel.failure && <Badge tone="bad">does not deliver</Badge>}
            <small class="path">{place(channel.to)}</small>
            <small class="path">{health(channel)}</small>
          </div>
          <div class="actions">
            <Button act={() => test(channel)} label={`Test ${channel.name}`}>
              Test
            </Button>
            <Button act={() => change(channel)} label={`Change ${channel.name}`}>
              Change
            </Button>
            <Button act={() => remove(channel)} tone="bad" label={`Remove ${channel.name}`}>
              Remove
            </Button>
          </div>
        </li>
      ))}
    </ul>
  );
}

function health(channel: Channel): string {
  const parts = [];
  if (channel.failure) parts.push(`the last try was in vain: ${channel.failure}`);
  else if (channel.delivered_ms) parts.push(`delivered ${ago(channel.delivered_ms, now.value)}`);
  else parts.push("nothing was sent yet");
  if (channel.waiting > 0) parts.push(`${channel.waiting} waiting`);
  if (channel.lost > 0) parts.push(`${channel.lost} lost`);
  return parts.join(", ");
}
