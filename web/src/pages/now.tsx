// Now: whether all is well, how old the newest marks are, how much space there is, and who is connected.

import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { ask, whyNot } from "../api";
import { ago, ahead, count, moment, percent, protocolName, size, span } from "../format";
import { now, useLive } from "../live";
import { Badge, Button, Commands, Culprit, Empty, Head, Loading, Meter, Said, Trouble } from "../parts/bits";
import { newVolume, takeMark } from "../parts/deeds";
import { whenFull } from "../parts/outlook";
import { Load } from "../parts/traffic";
import { go, to } from "../router";
import type { Capacity, Client, Group, Mark, Policy, Status, Volume } from "../types";
import { pauses } from "./policies";

interface Newest {
  marks: number;
  asked: number;
  at: number | null;
}

const OLD_MS = 60_000;
const SHOWN = 8;
/** Clients that are named here; Targets has all. */
const CLIENTS_SHOWN = 4;
const newest = signal<Record<string, Newest>>({});

/** Asks for the marks of the volumes whose newest one is not known, or was asked for a while ago; one at a time. */
function useNewest(volumes: Volume[]): void {
  useEffect(() => {
    let isOver = false;
    void (async () => {
      for (const volume of volumes) {
        const known = newest.peek()[volume.name];
        if (isOver) return;
        if (known && known.marks === volume.marks && Date.now() - known.asked < OLD_MS) continue;
        const marks =
          volume.marks === 0
            ? []
            : await ask<Mark[]>("GET", `/volumes/${encodeURIComponent(volume.name)}/marks`).catch(() => null);
        if (!marks) continue;
        const at = marks.reduce<number | null>((most, mark) => Math.max(most ?? 0, mark.taken_ms), null);
        newest.value = { ...newest.peek(), [volume.name]: { marks: volume.marks, asked: Date.now(), at } };
      }
    })();
    return () => {
      isOver = true;
    };
  }, [volumes]);
}

export function Now() {
  const { value: status, problem } = useLive<Status>("/status");
  const { value: clients } = useLive<Client[]>("/sessions");
  if (problem && !status) {
    return (
      <>
        <Head title="Now" />
        <Trouble problem={problem} what="status" />
      </>
    );
  }
  if (!status) return <Loading />;
  const failures = status.troubles.filter((trouble) => trouble.is_failure).length;
  const word =
    failures > 0 ? "Something failed" : status.troubles.length > 0 ? "Look at this" : "All is well";
  const tone = failures > 0 ? "bad" : status.troubles.length > 0 ? "warn" : "good";
  return (
    <>
      <section class={`health ${tone}`}>
        <div>
          <h1 tabIndex={-1}>{word}</h1>
          <p>
            {count(status.volumes.length, "volume")}, {count(status.views.length, "view")},{" "}
            {count(status.sessions, "session")}; up for{" "}
            {span(status.now_ms - status.started_ms).replace("now", "less than a minute")}
          </p>
        </div>
        {status.alerts_open > 0 && <a href={to("alerts")}>{count(status.alerts_open, "open alert")}</a>}
        {status.jobs_running > 0 && <a href={to("jobs")}>{count(status.jobs_running, "job")} running</a>}
      </section>
      {status.troubles.length > 0 && (
        <ul class="troubles">
          {status.troubles.map((trouble) => (
            <li key={trouble.of + trouble.what} class={trouble.is_failure ? "bad" : "warn"}>
              <Culprit of={trouble.of} /> <Said text={trouble.what} />
            </li>
          ))}
        </ul>
      )}
      {status.volumes.length === 0 ? <First /> : <Protection volumes={status.volumes} />}
      {status.volumes.length > 0 && <Load />}
      <div class="columns">
        <Space status={status} />
        <Connected clients={clients ?? []} doors={status.doors} />
      </div>
      <Commands lines={["tidemark status", "tidemark traffic", "tidemark session ls"]} />
    </>
  );
}

function First() {
  const why = whyNot("operator");
  return (
    <Empty
      title="Nothing is served yet"
      action={
        <div class="actions">
          <Button act={newVolume} why={why}>
            Make a volume
          </Button>
          <Button act={() => go("adopt")} why={why}>
            Adopt a disk
          </Button>
          <Button act={() => go("start")} why={why} tone="main">
            First start
          </Button>
        </div>
      }
    >
      First start leads through it: a volume, or the disk of a mail server that exists; how clients reach it;
      and a policy that takes marks, which are points in time to go back to.
    </Empty>
  );
}

/** What protects a volume: the policy that runs next, or one that is paused, or none. */
interface Protector {
  name: string;
  next_ms: number | null;
  isPaused: boolean;
}

function protectors(policies: Policy[], groups: Group[], at: number): Map<string, Protector> {
  const found = new Map<string, Protector>();
  for (const policy of policies) {
    const isPaused = pauses(policy, at);
    const one = { name: policy.name, next_ms: isPaused ? null : policy.next_ms, isPaused };
    const members = groups.find((group) => group.name === policy.group)?.volumes;
    for (const volume of members ?? policy.volumes ?? []) {
      const known = found.get(volume);
      const isSooner = (one.next_ms ?? Infinity) < (known?.next_ms ?? Infinity);
      if (!known || isSooner || (known.isPaused && !isPaused)) found.set(volume, one);
    }
  }
  return found;
}

function Protection({ volumes }: { volumes: Volume[] }) {
  useNewest(volumes);
  const { value: policies } = useLive<Policy[]>("/policies", 15_000);
  const { value: groups } = useLive<Group[]>("/groups", 60_000);
  const by = protectors(policies ?? [], groups ?? [], now.value);
  const isBare = (volume: Volume) => policies !== null && (by.get(volume.name)?.isPaused ?? true);
  const age = (volume: Volume) => newest.value[volume.name]?.at ?? null;
  const sorted = [...volumes].sort(
    (a, b) =>
      Number(isBare(b)) - Number(isBare(a)) || (age(a) ?? 0) - (age(b) ?? 0) || a.name.localeCompare(b.name),
  );
  const bare = volumes.filter(isBare).length;
  return (
    <section class="card" aria-labelledby="protection">
      <div class="cardhead">
        <h2 id="protection">Protection</h2>
        {bare > 0 ? (
          <Badge tone="warn">{count(bare, "volume")} without a policy at work</Badge>
        ) : (
          <span class="faint">oldest mark first</span>
        )}
      </div>
      <ul class="protection">
        {sorted.slice(0, SHOWN).map((volume) => (
          <Protected
            key={volume.name}
            volume={volume}
            at={age(volume)}
            by={by.get(volume.name)}
            isBare={isBare(volume)}
          />
        ))}
      </ul>
      {volumes.length > SHOWN && <a href={to("volumes")}>All {volumes.length} volumes</a>}
    </section>
  );
}

interface ProtectedProps {
  volume: Volume;
  /** When its newest mark was taken. */
  at: number | null;
  by: Protector | undefined;
  isBare: boolean;
}

function Protected({ volume, at, by, isBare }: ProtectedProps) {
  const why = whyNot("operator");
  return (
    <li>
      <a href={to("volumes", volume.name)}>{volume.name}</a>
      <span class="newest" title={at ? moment(at) : undefined}>
        {volume.marks === 0 ? <Badge tone="warn">no mark yet</Badge> : at ? ago(at, now.value) : "…"}
      </span>
      <span class="by">
        {by?.next_ms ? (
          <>
            next {ahead(by.next_ms, now.value)}, <a href={to("policies", by.name)}>{by.name}</a>
          </>
        ) : by ? (
          <>
            <a href={to("policies", by.name)}>{by.name}</a> {by.isPaused && <Badge tone="warn">paused</Badge>}
          </>
        ) : (
          <span class="faint">by no policy</span>
        )}
      </span>
      <span class="faint many">{count(volume.marks, "mark")}</span>
      {isBare && !by ? (
        <Button
          act={() => go("protect", volume.name)}
          why={why}
          tone="quiet"
          label={`Protect ${volume.name}`}
        >
          Protect
        </Button>
      ) : (
        <Button act={() => takeMark(volume.name)} why={why} tone="quiet" label={`Mark now: ${volume.name}`}>
          Mark now
        </Button>
      )}
    </li>
  );
}

function Space({ status: { pool } }: { status: Status }) {
  const used = pool.space_total_bytes - pool.space_free_bytes;
  const { value: capacity } = useLive<Capacity>("/capacity", 30_000);
  return (
    <section class="card" aria-labelledby="space">
      <div class="cardhead">
        <h2 id="space">Space</h2>
        <span class="faint">{size(pool.space_total_bytes)} where the pool lies</span>
      </div>
      <p class="figure">
        {size(pool.space_free_bytes)} <small>free</small>
      </p>
      <Meter part={used} whole={pool.space_total_bytes} label="used" />
      {capacity && (
        <p>
          <a href={to("capacity")}>Capacity</a>: {whenFull(capacity.pool.forecast, capacity.now_ms)}
        </p>
      )}
      <dl class="pairs">
        <dt>Preserved for marks</dt>
        <dd>{size(pool.preserved_bytes)}</dd>
        <dt>Journal</dt>
        <dd>
          {size(pool.journal_used_bytes)} of {size(pool.journal_len)},{" "}
          {percent(pool.journal_used_bytes, pool.journal_len)}
        </dd>
        <dt>Memory of caches and indices</dt>
        <dd>{size(pool.memory_bytes)}</dd>
      </dl>
    </section>
  );
}

function connected(since_ms: number): string {
  const text = span(now.value - since_ms);
  return text === "now" ? "came just now" : `for ${text}`;
}

function Connected({ clients, doors }: { clients: Client[]; doors: Status["doors"] }) {
  return (
    <section class="card" aria-labelledby="connected">
      <div class="cardhead">
        <h2 id="connected">Clients</h2>
        <a href={to("targets")}>{count(clients.length, "session")}</a>
      </div>
      {clients.length > 0 && (
        <ul class="clients">
          {clients.slice(0, CLIENTS_SHOWN).map((client) => (
            <li key={client.id}>
              <strong>{client.export}</strong>
              <span class="faint">{client.iscsi?.initiator ?? client.peer}</span>
              <span class="faint">
                {protocolName(client.protocol)}, {connected(client.since_ms)}
              </span>
            </li>
          ))}
        </ul>
      )}
      {clients.length === 0 && <p class="faint">Nobody is connected. These doors are open:</p>}
      <ul class="doors">
        {doors.map((door) => (
          <li key={door.protocol + door.address}>
            <Badge>{protocolName(door.protocol)}</Badge> <code>{door.address}</code>{" "}
            <span class="faint">
              {door.protocol === "iscsi" ? `group ${door.group ?? 1}` : `TLS ${door.tls}`}
            </span>
          </li>
        ))}
        {doors.length === 0 && <li class="faint">No door is open: clients cannot connect.</li>}
      </ul>
    </section>
  );
}
