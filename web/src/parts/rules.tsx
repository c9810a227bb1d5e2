// The rules of a policy: what it marks, when, which of its marks stay; as fields, as the API and as a command take them.

import { useEffect, useState } from "preact/hooks";
import { ask, Problem } from "../api";
import { count, cronText, freed, moment, option, parseSize, size } from "../format";
import { useLive } from "../live";
import type { Foreseen, Group, Mark, Outlook, Policy, Volume } from "../types";
import { Trouble } from "./bits";
import { Input } from "./form";
import { Timeline } from "./timeline";
import { Choice } from "./wizard";

export const CLASSES = ["last", "hourly", "daily", "weekly", "monthly", "yearly"] as const;
type Class = (typeof CLASSES)[number];
const MEANINGS: Record<Class, string> = {
  last: "The newest, whenever they were taken",
  hourly: "The first of an hour",
  daily: "The first of a day",
  weekly: "The first of a week",
  monthly: "The first of a month",
  yearly: "The first of a year",
};
const MARKS_MAX = 256;
const DAY_MS = 24 * 60 * 60 * 1000;
const TYPING_MS = 300;
const SPAN = /^\d+\s*[mhdwy]$/;

export interface Rules {
  name: string;
  volumes: string[];
  group: string;
  times: "every" | "cron" | "none";
  every: string;
  cron: string;
  /** A size; empty where the amount of changed data does not count. */
  changed: string;
  /** A span of time; empty where the time since the last run does not count. */
  passed: string;
  /** A span of time; empty where marks are not locked. */
  lock: string;
  skip: boolean;
  zone: string;
  keep: Record<Class, string>;
}

export const HERE = Intl.DateTimeFormat().resolvedOptions().timeZone;

export function freshRules(volumes: string[]): Rules {
  return {
    name: volumes[0] ?? "",
    volumes,
    group: "",
    times: "every",
    every: "15m",
    cron: "30 2 * * *",
    changed: "",
    passed: "",
    lock: "",
    skip: true,
    zone: HERE,
    keep: { last: "8", hourly: "24", daily: "14", weekly: "8", monthly: "12", yearly: "0" },
  };
}

export function rulesOf(policy: Policy): Rules {
  const keep = CLASSES.map((one) => [one, String(policy.keep[one] ?? 0)]);
  return {
    name: policy.name,
    volumes: policy.volumes ?? [],
    group: policy.group ?? "",
    times: policy.every ? "every" : policy.cron ? "cron" : "none",
    every: policy.every ?? "1h",
    cron: policy.cron ?? "30 2 * * *",
    changed: policy.changed ? size(policy.changed) : "",
    passed: policy.passed ?? "",
    lock: policy.lock ?? "",
    skip: policy.skip_unchanged === true,
    zone: policy.zone,
    keep: Object.fromEntries(keep) as Record<Class, string>,
  };
}

const numbers = (rules: Rules) => CLASSES.map((one): [Class, number] => [one, Number(rules.keep[one] || 0)]);

/** What the API takes. */
export function asked(rules: Rules): Record<string, unknown> {
  const changed = parseSize(rules.changed);
  return {
    name: rules.name,
    ...(rules.group ? { group: rules.group } : { volumes: rules.volumes }),
    ...(rules.times === "none" ? {} : { [rules.times]: rules[rules.times] }),
    ...(changed ? { changed } : {}),
    ...(rules.passed ? { passed: rules.passed } : {}),
    ...(rules.lock ? { lock: rules.lock } : {}),
    skip_unchanged: rules.skip,
    zone: rules.zone,
    keep: Object.fromEntries(numbers(rules)),
  };
}

const kept = (rules: Rules) =>
  numbers(rules)
    .filter(([, number]) => number > 0)
    .map(([name, number]) => `${name}=${number}`)
    .join(",");

/** The options of `policy create` and `policy set` alike. */
function options(rules: Rules): string {
  const when =
    rules.times === "every"
      ? ` --every ${rules.every}`
      : rules.times === "cron"
        ? ` --cron '${rules.cron}'`
        : "";
  const beside =
    option("changed", rules.changed) + option("passed", rules.passed) + option("lock", rules.lock);
  return `${when}${beside} --keep ${kept(rules)} --zone ${rules.zone}`;
}

export function createCommand(rules: Rules): string {
  const what = rules.group ? ` --group ${rules.group}` : ` ${rules.volumes.join(",")}`;
  return `tidemark policy create ${rules.name}${what}${options(rules)}${rules.skip ? " --skip-unchanged" : ""}`;
}

/** What changes; the amount is told as 0 and a span as none where it counts no more. */
export function changeOf(rules: Rules): Record<string, unknown> {
  const { name: _, ...rest } = asked(rules);
  const [passed, lock] = [rules.passed || "none", rules.lock || "none"];
  return { ...rest, changed: parseSize(rules.changed) ?? 0, passed, lock };
}

export function changeCommand(rules: Rules): string {
  const what = rules.group ? ` --group ${rules.group}` : ` --volumes ${rules.volumes.join(",")}`;
  const gone = [
    rules.changed ? "" : " --changed 0",
    rules.passed ? "" : " --passed none",
    rules.lock ? "" : " --lock none",
  ];
  return `tidemark policy set ${rules.name}${what}${options(rules)}${gone.join("")} --skip-unchanged ${rules.skip}`;
}

/** When, in words. */
export function whenText(rules: Rules): string {
  const clock =
    rules.times === "every" ? `every ${rules.every}` : rules.times === "cron" ? cronText(rules.cron) : "";
  const changed = rules.changed ? `as soon as ${rules.changed} changed` : "";
  const passed = rules.passed ? `${rules.passed} after its last run` : "";
  return `${[clock, changed, passed].filter(Boolean).join(", and ")}, by the clock of ${rules.zone}`;
}

export function keptText(rules: Rules): string {
  return kept(rules)
    .replaceAll(",", ", ")
    .replaceAll(/(\w+)=(\d+)/g, "$2 $1");
}

export function whyNotWhat(rules: Rules): string | undefined {
  return rules.group || rules.volumes.length > 0 ? undefined : "Choose a volume or a group.";
}

export function whyNotWhen(rules: Rules): string | undefined {
  if (rules.times === "every" && !SPAN.test(rules.every)) return "An interval is such as 15m, 6h or 1d.";
  if (rules.times === "cron" && rules.cron.trim().split(/\s+/).length !== 5)
    return "A pattern has five parts: minute, hour, day of month, month, day of week.";
  if (rules.changed && parseSize(rules.changed) === null)
    return `${rules.changed} is not a size; write it as 1G.`;
  if (rules.passed && !SPAN.test(rules.passed)) return `${rules.passed} is not a time; write it as 1h.`;
  if (rules.times === "none" && !rules.changed) return "Name an amount of changed data, or a time.";
  if (!zones().includes(rules.zone)) return `${rules.zone || "Nothing"} is no time zone that is known here.`;
  return undefined;
}

export function whyNotKeep(rules: Rules): string | undefined {
  const all = numbers(rules);
  const wrong = all.find(([, number]) => !Number.isInteger(number) || number < 0);
  if (wrong) return `${wrong[0]} is no number.`;
  if (rules.lock && !SPAN.test(rules.lock)) return `${rules.lock} is not a time; write it as 30d.`;
  const sum = all.reduce((total, [, number]) => total + number, 0);
  if (sum === 0) return "A policy keeps one mark at least.";
  return sum > MARKS_MAX ? `These are ${sum} marks, and a volume holds ${MARKS_MAX}.` : undefined;
}

let allZones: string[] | null = null;
function zones(): string[] {
  allZones ??= [...new Set(["UTC", HERE, ...Intl.supportedValuesOf("timeZone")])];
  return allZones;
}

interface FieldsProps {
  rules: Rules;
  set: (rules: Rules) => void;
}

export function WhatFields({ rules, set }: FieldsProps) {
  const { value: volumes } = useLive<Volume[]>("/volumes");
  const { value: groups } = useLive<Group[]>("/groups");
  const chooseVolume = (name: string) => {
    const has = rules.volumes.includes(name);
    const now = has ? rules.volumes.filter((one) => one !== name) : [...rules.volumes, name];
    set({ ...rules, group: "", volumes: now, name: rules.name || name });
  };
  return (
    <>
      {groups && groups.length > 0 && (
        <Choice
          legend="A group"
          name="group"
          value={rules.group}
          set={(group) => set({ ...rules, group, volumes: [], name: rules.name || group })}
          options={groups.map((group) => [group.name, group.name, group.volumes.join(", ")])}
        />
      )}
      <fieldset class="choice">
        <legend>
          {groups && groups.length > 0
            ? "Or volumes, marked at one instant"
            : "Volumes, marked at one instant"}
        </legend>
        {volumes?.map((volume) => (
          <label key={volume.name} class={rules.volumes.includes(volume.name) ? "chosen-one" : ""}>
            <input
              type="checkbox"
              checked={rules.volumes.includes(volume.name)}
              onChange={() => chooseVolume(volume.name)}
            />
            <span>
              {volume.name}
              <small>
                {size(volume.size)}, {volume.marks === 0 ? "no mark yet" : count(volume.marks, "mark")}
              </small>
            </span>
          </label>
        ))}
        {volumes?.length === 0 && <p class="faint">There is no volume yet.</p>}
      </fieldset>
    </>
  );
}

export function WhenFields({ rules, set }: FieldsProps) {
  const change = (key: keyof Rules) => (value: string) => set({ ...rules, [key]: value });
  return (
    <>
      <Choice
        legend="When marks are taken"
        name="times"
        value={rules.times}
        set={(times) => set({ ...rules, times })}
        options={[
          ["every", "At intervals", "Even with the clock: 15m is at :00, :15, :30 and :45."],
          ["cron", "At set times", "By a cron pattern."],
          ["none", "Only as data changes", "As soon as so much has changed since the last mark."],
        ]}
      />
      {rules.times === "every" && (
        <Input
          field={{ key: "every", label: "How often", hint: "Such as 5m, 1h, 6h, 1d or 1w." }}
          value={rules.every}
          change={change("every")}
        />
      )}
      {rules.times === "cron" && (
        <Input
          field={{
            key: "cron",
            label: "Pattern",
            hint: "Minute, hour, day of month, month, day of week: 30 2 * * mon-fri is at half past two on workdays.",
          }}
          value={rules.cron}
          change={change("cron")}
        />
      )}
      <Input
        field={{
          key: "changed",
          label:
            rules.times === "none" ? "As soon as so much has changed" : "Also as soon as so much has changed",
          isOptional: rules.times !== "none",
          hint: "Such as 1G; looked at once a minute.",
        }}
        value={rules.changed}
        change={change("changed")}
      />
      <Input
        field={{
          key: "passed",
          label: "Also as soon as so much time has passed since its last run",
          isOptional: true,
          hint: "Such as 1h: so there is a mark in any case where little changes.",
        }}
        value={rules.passed}
        change={change("passed")}
      />
      <Input
        field={{
          key: "zone",
          label: "Time zone",
          hint: "Times keep to its clock, summer time included.",
          list: zones(),
        }}
        value={rules.zone}
        change={change("zone")}
      />
      <Input
        field={{ key: "skip", label: "Leave a run out where nothing has changed", kind: "check" }}
        value={rules.skip ? "yes" : ""}
        change={(value) => set({ ...rules, skip: value === "yes" })}
      />
    </>
  );
}

export function KeepFields({ rules, set }: FieldsProps) {
  return (
    <>
      <div class="keep">
        {CLASSES.map((one) => (
          <Input
            key={one}
            field={{ key: one, label: one, kind: "number", hint: MEANINGS[one] }}
            value={rules.keep[one]}
            change={(value) => set({ ...rules, keep: { ...rules.keep, [one]: value } })}
          />
        ))}
      </div>
      <Input
        field={{
          key: "lock",
          label: "Lock each mark for",
          isOptional: true,
          hint: "Such as 30d: nobody can remove it before, you neither. Not with an amount of changed data.",
        }}
        value={rules.lock}
        change={(lock) => set({ ...rules, lock })}
      />
      <Preview rules={rules} />
    </>
  );
}

/** In `days` days, as a date field has it. */
export function dateIn(days: number): string {
  return new Date(Date.now() + days * DAY_MS).toISOString().slice(0, 10);
}

/** Which marks these rules would leave at a date; asked of the appliance as they change. */
function Preview({ rules }: { rules: Rules }) {
  const [at, set] = useState(dateIn(30));
  const [seen, see] = useState<Outlook[] | null>(null);
  const [problem, fail] = useState<Problem | null>(null);
  const why = whyNotWhat(rules) ?? whyNotWhen(rules) ?? whyNotKeep(rules);
  const body = JSON.stringify({ ...asked(rules), name: rules.name || "preview" });
  useEffect(() => {
    if (why) return;
    let isOver = false;
    const look = async () => {
      try {
        const told = await ask<Outlook[]>("POST", `/policy-preview?at=${at}`, JSON.parse(body));
        if (isOver) return;
        see(told);
        fail(null);
      } catch (error) {
        if (!isOver) fail(error instanceof Problem ? error : new Problem(0, "failed", String(error)));
      }
    };
    const timer = setTimeout(look, TYPING_MS);
    return () => {
      isOver = true;
      clearTimeout(timer);
    };
  }, [body, at, why]);
  return (
    <section class="outlook" aria-label="What there will be">
      <label class="search">
        <span>What there will be on</span>
        <input
          type="date"
          value={at}
          min={dateIn(1)}
          max={dateIn(366)}
          onChange={(e) => e.currentTarget.value && set(e.currentTarget.value)}
        />
      </label>
      {problem && <Trouble problem={problem} what="preview" />}
      {!problem && !why && seen?.map((outlook) => <Foreseeing key={outlook.volume} outlook={outlook} />)}
    </section>
  );
}

/** The marks of one volume at a date, on a timeline. */
export function Foreseeing({ outlook }: { outlook: Outlook }) {
  const [chosen, choose] = useState<string | null>(null);
  const marks = outlook.marks.map((mark, sequence) => foreseen(outlook.volume, mark, sequence));
  const shown = outlook.marks.find((_, n) => marks[n]?.name === chosen) ?? outlook.marks.at(-1);
  return (
    <div class="outlook">
      <p>
        <strong>{outlook.volume}</strong>: {count(outlook.marks.length, "mark")} of this policy after{" "}
        {count(outlook.runs, "run")}
        {outlook.foreign > 0 && ` beside ${count(outlook.foreign, "other mark")}`}
        {outlook.gone.length > 0 &&
          `; ${outlook.gone.length} of those that are there now will be gone, which gives back ${freed(outlook.frees)}`}
        .
      </p>
      {marks.length > 0 && (
        <Timeline
          marks={marks}
          chosen={chosen ?? marks.at(-1)?.name ?? ""}
          choose={choose}
          now={outlook.at_ms}
          isAhead
        />
      )}
      {shown && (
        <p class="faint">
          {moment(shown.taken_ms)}: kept as {shown.kept_for.join(", ") || "held, locked, or shown by a view"}
        </p>
      )}
    </div>
  );
}

function foreseen(volume: string, mark: Foreseen, sequence: number): Mark {
  return {
    volume,
    name: mark.name ?? moment(mark.taken_ms),
    id: String(sequence),
    sequence,
    taken_ms: mark.taken_ms,
    size: 0,
    grade: "crash",
    proof: "unverified",
    is_held: mark.kept_for.length === 0,
    held_until_ms: null,
    is_locked: false,
    locked_until_ms: null,
    frees_most_bytes: 0,
    views: [],
    group: null,
  };
}
