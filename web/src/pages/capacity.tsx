// Capacity: what is taken, when it will be full, and what grows by itself before it is.

import { useState } from "preact/hooks";
import { ask, whyNot } from "../api";
import { ago, parseSize, percent, size } from "../format";
import { useLive } from "../live";
import { Badge, Button, Commands, Empty, Head, Loading, Meter, Trouble } from "../parts/bits";
import { newVolume } from "../parts/deeds";
import { question } from "../parts/form";
import { History } from "../parts/history";
import { Full, Parts, pace, whenFull } from "../parts/outlook";
import { to } from "../router";
import type { Forecast, Growth, Point, Capacity as Told, VolumeCapacity } from "../types";

const part = encodeURIComponent;
function ruleText({ grow_at, by, up_to }: Growth): string {
  return `at ${grow_at} % by ${size(by)}, up to ${size(up_to)}`;
}

/** How often is asked: the appliance itself looks once a minute. */
const POLL_MS = 30_000;
const SPANS: [string, string][] = [
  ["2", "two days"],
  ["30", "a month"],
  ["90", "three months"],
  ["730", "two years"],
];
/** What is offered to grow to where there is no rule: twice the size is seldom too little, and never a surprise. */
const OFFERED = 2;

function letGrow({ name, size: now, growth }: VolumeCapacity): void {
  question({
    title: `Let ${name} grow by itself`,
    about:
      "The appliance does not see the file system inside. It looks at what was ever written and not discarded, once a " +
      "minute, and grows the volume by one step at a time, at most every ten minutes. Clients see the new size; " +
      "growing the file system is theirs.",
    fields: [
      { key: "at", label: "From how many percent in use on", value: `${growth?.grow_at ?? 85}` },
      {
        key: "by",
        label: "By how much at a time",
        value: size(growth?.by ?? step(now)),
        hint: "Such as 10G.",
      },
      {
        key: "upTo",
        label: "Up to which size",
        value: size(growth?.up_to ?? now * OFFERED),
        hint: `It has ${size(now)} now. It never grows further, nor beyond what is free where the pool lies.`,
      },
    ],
    verb: "Let it grow",
    command: ({ at, by, upTo }) =>
      `tidemark capacity set volume ${name} --grow-at ${at || "PERCENT"}% --by ${by || "SIZE"} --up-to ${upTo || "SIZE"}`,
    act: async ({ at = "", by = "", upTo = "" }) => {
      const rule = ruleOf(at, by, upTo);
      await ask("PATCH", `/capacity/volumes/${part(name)}`, rule);
      return `${name} grows at ${rule.grow_at} % by ${by}, up to ${upTo}.`;
    },
  });
}

/** A rule as the API takes it. Throws where something is not written as it should be. */
function ruleOf(at: string, by: string, upTo: string): { grow_at: number; by: number; up_to: number } {
  const [bytes, cap] = [parseSize(by), parseSize(upTo)];
  if (!bytes || !cap) throw new Error("Sizes are written as 10G or 1.5T.");
  const percentage = Number(at.replace("%", ""));
  if (!Number.isInteger(percentage)) throw new Error(`${at} is not a percentage; write such as 85.`);
  return { grow_at: percentage, by: bytes, up_to: cap };
}

/** A tenth of the size, in whole units that people write. */
function step(bytes: number): number {
  const gib = 2 ** 30;
  const tenth = bytes / 10;
  return tenth >= gib ? Math.round(tenth / gib) * gib : Math.max(1, Math.round(tenth / 2 ** 20)) * 2 ** 20;
}

function stop({ name, size: now }: VolumeCapacity): void {
  question({
    title: `Let ${name} grow no more`,
    about: `It stays at ${size(now)}, and grows when somebody says so.`,
    verb: "Stop it",
    command: () => `tidemark capacity unset volume ${name}`,
    act: async () => {
      await ask("DELETE", `/capacity/volumes/${part(name)}`);
      return `${name} grows by itself no more.`;
    },
  });
}

function limit({ used_bytes: used, limit: now, growth }: Told["preserved"]): void {
  question({
    title: "Limit what preserved blocks may take",
    about:
      "All volumes together. At the limit the oldest marks that may go go, or writes wait where a volume protects its " +
      "marks: as in a full store, while there is room left for everything else.",
    fields: [
      {
        key: "limit",
        label: "Limit",
        value: size(now ?? Math.max(step(used * 20), 2 ** 30)),
        hint: `They take ${size(used)} now. Such as 100G.`,
      },
      {
        key: "at",
        label: "Let it grow from how many percent in use on",
        value: growth ? `${growth.grow_at}` : "",
        isOptional: true,
      },
      { key: "by", label: "By how much", value: growth ? size(growth.by) : "", isOptional: true },
      { key: "upTo", label: "Up to", value: growth ? size(growth.up_to) : "", isOptional: true },
    ],
    verb: "Limit them",
    command: ({ limit, at, by, upTo }) =>
      `tidemark capacity set preserved --limit ${limit || "SIZE"}` +
      (at || by || upTo
        ? ` --grow-at ${at || "PERCENT"}% --by ${by || "SIZE"} --up-to ${upTo || "SIZE"}`
        : ""),
    act: async ({ limit: text = "", at = "", by = "", upTo = "" }) => {
      const bytes = parseSize(text);
      if (!bytes) throw new Error("Sizes are written as 10G or 1.5T.");
      const growth = at || by || upTo ? { growth: ruleOf(at, by, upTo) } : {};
      await ask("PATCH", "/capacity/preserved", { limit: bytes, ...growth });
      return `Preserved blocks may take ${text}.`;
    },
  });
}

function unlimit(): void {
  question({
    title: "Limit preserved blocks no more",
    about: "They may take as much as there is where the pool lies.",
    verb: "Take the limit away",
    command: () => "tidemark capacity unset preserved",
    act: async () => {
      await ask("DELETE", "/capacity/preserved");
      return "Preserved blocks may take as much as there is.";
    },
  });
}

export function Capacity() {
  const { value: told, problem } = useLive<Told>("/capacity", POLL_MS);
  return (
    <>
      <Head
        title="Capacity"
        about="What is taken, when it will be full, and what grows by itself before it is."
      />
      {problem && <Trouble problem={problem} what="capacity" />}
      {!told && !problem && <Loading />}
      {told && <Inside told={told} />}
      <Commands
        lines={[
          "tidemark capacity show",
          "tidemark capacity history",
          "tidemark capacity set volume NAME --grow-at 85% --by 10G --up-to 500G",
          "tidemark capacity set preserved --limit 100G",
        ]}
      />
    </>
  );
}

function Inside({ told }: { told: Told }) {
  const { pool, preserved, volumes, now_ms: now } = told;
  return (
    <>
      <section class="card" aria-labelledby="pool">
        <div class="cardhead">
          <h2 id="pool">Where the pool lies</h2>
          <span class="faint">{size(pool.total_bytes)} in all</span>
        </div>
        <p class="figure">
          {size(pool.free_bytes)} <small>free, {whenFull(pool.forecast, now)}</small>
        </p>
        <Parts pool={pool} />
        <dl class="pairs">
          <dt>In use</dt>
          <dd>{pace(pool.forecast.bytes_per_day) || "the pace is known after a day"}</dd>
          <dt>Preserved for marks</dt>
          <dd>{[size(preserved.used_bytes), pace(preserved.bytes_per_day)].filter(Boolean).join(", ")}</dd>
          <dt>Their limit</dt>
          <dd>
            {preserved.limit ? (
              <>
                {size(preserved.limit)}, {whenFull(preserved.forecast, now)}
                {preserved.growth && <small class="path">grows {ruleText(preserved.growth)}</small>}
                {preserved.growth?.trouble && <small class="path warn">{preserved.growth.trouble}</small>}
              </>
            ) : (
              "none: as much as there is"
            )}
          </dd>
        </dl>
        <div class="actions">
          <Button act={() => limit(preserved)} why={whyNot("operator")}>
            {preserved.limit ? "Change the limit" : "Limit preserved blocks"}
          </Button>
          {preserved.limit && (
            <Button act={unlimit} why={whyNot("operator")}>
              No limit
            </Button>
          )}
        </div>
      </section>
      <Course told={told} />
      {volumes.length === 0 ? (
        <Empty
          title="No volumes yet"
          action={
            <Button act={newVolume} why={whyNot("operator")} tone="main">
              Make a volume
            </Button>
          }
        >
          A thin volume takes only the room that is written. A rule lets it grow by itself before it is full:
          in steps, up to a size that you choose, and never beyond what is free.
        </Empty>
      ) : (
        <Volumes volumes={volumes} now={now} />
      )}
    </>
  );
}

/** What was in use and what is to come, of the pool or of a volume. */
function Course({ told: { pool, volumes, now_ms: now } }: { told: Told }) {
  const [of, choose] = useState("");
  const [days, look] = useState("30");
  const volume = volumes.find((one) => one.name === of);
  const path = volume ? `/capacity/volumes/${part(volume.name)}/history` : "/capacity/history";
  const { value, problem } = useLive<{ points: Point[] }>(`${path}?days=${days}`, POLL_MS);
  const none: Forecast = { outlook: "never" };
  const forecast = volume ? (volume.forecast ?? none) : pool.forecast;
  return (
    <section class="card" aria-labelledby="course">
      <div class="cardhead">
        <h2 id="course">In use, and what is to come</h2>
        <div class="actions">
          <label class="search">
            <span>Of</span>
            <select value={volume ? of : ""} onChange={(e) => choose(e.currentTarget.value)}>
              <option value="">the pool</option>
              {volumes.map(({ name }) => (
                <option key={name} value={name}>
                  {name}
                </option>
              ))}
            </select>
          </label>
          <label class="search">
            <span>Back</span>
            <select value={days} onChange={(e) => look(e.currentTarget.value)}>
              {SPANS.map(([key, label]) => (
                <option key={key} value={key}>
                  {label}
                </option>
              ))}
            </select>
          </label>
        </div>
      </div>
      {problem && <Trouble problem={problem} what="history" />}
      {!value && !problem && <Loading />}
      {value && value.points.length < 2 && (
        <p class="faint">
          Use is noted every five minutes, and kept: each of them for two days, one an hour for two months,
          one a day for two years. A line shows up with the next point, a forecast after a day.
        </p>
      )}
      {value && value.points.length > 1 && (
        <>
          <p>
            {volume ? volume.name : "The pool"}: {size(value.points.at(-1)?.used_bytes ?? 0)} in use,{" "}
            {volume && !volume.forecast
              ? "an adopted disk has all of its room already"
              : whenFull(forecast, now)}
            .
          </p>
          <History points={value.points} forecast={forecast} now={now} />
        </>
      )}
    </section>
  );
}

function Volumes({ volumes, now }: { volumes: VolumeCapacity[]; now: number }) {
  const stuck = volumes.filter(({ growth }) => growth?.trouble);
  return (
    <section class="card" aria-labelledby="volumes">
      <h2 id="volumes">Volumes</h2>
      {stuck.length > 0 && (
        <ul class="troubles">
          {stuck.map(({ name, growth }) => (
            <li key={name} class="warn">
              <strong>{name}</strong> {growth?.trouble}
            </li>
          ))}
        </ul>
      )}
      <table class="list capacities">
        <thead>
          <tr>
            <th>Name</th>
            <th class="number">Size</th>
            <th>Allocated</th>
            <th class="number">Preserved</th>
            <th class="number">Marks</th>
            <th>Full</th>
            <th>Grows</th>
            <th>
              <span class="hidden">What can be done</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {volumes.map((volume) => (
            <Row key={volume.name} volume={volume} now={now} />
          ))}
        </tbody>
      </table>
    </section>
  );
}

function Row({ volume, now }: { volume: VolumeCapacity; now: number }) {
  const { name, size: whole, allocated_bytes: used, growth, forecast } = volume;
  const isAdopted = volume.kind === "adopted";
  const why = isAdopted ? "An adopted disk grows below, by hand." : whyNot("operator");
  return (
    <tr>
      <td data-label="Name">
        <a href={to("volumes", name)}>{name}</a>
      </td>
      <td data-label="Size" class="number">
        {size(whole)}
      </td>
      <td data-label="Allocated">
        <span class="withmeter">
          <Meter part={used} whole={whole} label={`${name} allocated`} />
          <span class="amount">
            {size(used)} <small>{percent(used, whole)}</small>
          </span>
        </span>
      </td>
      <td data-label="Preserved" class="number">
        <span>
          {size(volume.preserved_bytes)}
          <small class="path">{pace(volume.preserved_bytes_per_day)}</small>
        </span>
      </td>
      <td data-label="Marks" class="number">
        {volume.marks}
      </td>
      <td data-label="Full">{forecast ? <Full forecast={forecast} now={now} /> : "–"}</td>
      <td data-label="Grows">
        <span>
          {growth ? ruleText(growth) : <span class="faint">by hand</span>}
          {growth?.grown_ms && <small class="path">grew {ago(growth.grown_ms, now)}</small>}
          {growth?.trouble && (
            <small class="path">
              <Badge tone="warn">cannot grow now</Badge>
            </small>
          )}
        </span>
      </td>
      <td class="deeds">
        <Button act={() => letGrow(volume)} why={why} label={`${growth ? "Change" : "Let it grow"}: ${name}`}>
          {growth ? "Change" : "Let it grow"}
        </Button>
        {growth && (
          <Button act={() => stop(volume)} why={why} label={`Stop: ${name}`}>
            Stop
          </Button>
        )}
      </td>
    </tr>
  );
}
