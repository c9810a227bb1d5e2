// Alerts: what a person must know now, what was, and by which ways they are told.

import { useState } from "preact/hooks";
import { ask, Problem, whyNot } from "../api";
import { ago, count, moment, span } from "../format";
import { now, useLive } from "../live";
import { Badge, Button, Commands, Culprit, Empty, Head, Loading, Said, Trouble, tell } from "../parts/bits";
import { Channels } from "../parts/channels";
import { question } from "../parts/form";
import { SeverityBadge } from "../parts/severity";
import type { Alert, AlertSettings } from "../types";

const PAGE = 50;
const HOURS: [string, string][] = [
  ["1", "for an hour"],
  ["8", "for 8 hours"],
  ["24", "for a day"],
  ["168", "for a week"],
  ["720", "for 30 days"],
];

function acknowledge(alert: Alert): void {
  ask("POST", `/alerts/${alert.id}/acknowledge`).then(
    () => tell(`You know of ${alert.of}: it is told again only when it gets worse, and when it is over.`),
    (error: Error) => tell(error.message, true),
  );
}

function silence(alert: Alert): void {
  const until = (hours = "24") => new Date(Date.now() + Number(hours) * 3_600_000).toISOString().slice(0, 16);
  question({
    title: `Silence ${alert.of}`,
    about: "Nothing is told of it meanwhile, also where it resolves and comes again. It stays on this page.",
    fields: [{ key: "hours", label: "How long", kind: "select", value: "24", options: HOURS }],
    verb: "Silence it",
    command: ({ hours }) => `tidemark alert silence ${alert.id} --until ${until(hours)}Z`,
    act: async ({ hours }) => {
      await ask("POST", `/alerts/${alert.id}/silence`, { until: `${until(hours)}Z` });
      return `Nothing is told of ${alert.of} meanwhile.`;
    },
  });
}

function unsilence(alert: Alert): void {
  ask("DELETE", `/alerts/${alert.id}/silence`).then(
    () => tell(`${alert.of} is told of again.`),
    (error: Error) => tell(error.message, true),
  );
}

export function Alerts() {
  const { value: open, problem } = useLive<Alert[]>("/alerts");
  return (
    <>
      <Head
        title="Alerts"
        about="What a person must know. An alert fires once, lasts while its cause is there, and resolves by itself."
      />
      {problem && <Trouble problem={problem} what="alerts" />}
      {!open && !problem && <Loading />}
      {open?.length === 0 && (
        <Empty title="Nothing is wrong">
          Marks are as young as their policies want, there is room, and what runs has not failed. Add a
          channel below to be told when that changes.
        </Empty>
      )}
      {open && open.length > 0 && (
        <ul class="alerts" aria-label="Open alerts">
          {open.map((alert) => (
            <Open key={alert.id} alert={alert} />
          ))}
        </ul>
      )}
      <Channels />
      <Rules />
      <History />
      <Commands lines={["tidemark alert ls", "tidemark alert history", "tidemark alert channel ls"]} />
    </>
  );
}

function Open({ alert }: { alert: Alert }) {
  const why = whyNot("operator");
  return (
    <li
      class={
        alert.acknowledged || alert.silenced_until_ms
          ? "known"
          : alert.severity === "critical"
            ? "bad"
            : "warn"
      }
    >
      <div>
        <SeverityBadge is={alert.severity} /> <Culprit of={alert.of} />{" "}
        {alert.acknowledged && <Badge tone="info">acknowledged by {alert.acknowledged.by}</Badge>}{" "}
        {alert.silenced_until_ms && <Badge>silenced until {moment(alert.silenced_until_ms)}</Badge>}
        <p>
          <Said text={alert.what} />
        </p>
        {alert.way_out && (
          <p class="wayout">
            Way out: <Said text={alert.way_out} />
          </p>
        )}
        <small title={moment(alert.first_ms)}>
          for {span(now.value - alert.first_ms).replace("now", "less than a minute")}
          {alert.count > 1 && `, came ${alert.count} times`}
          {alert.told_ms ? `, last told ${ago(alert.told_ms, now.value)}` : ", told to nobody"}
        </small>
      </div>
      <div class="actions">
        {!alert.acknowledged && (
          <Button act={() => acknowledge(alert)} why={why} label={`Acknowledge ${alert.of}`}>
            Acknowledge
          </Button>
        )}
        {alert.silenced_until_ms ? (
          <Button act={() => unsilence(alert)} why={why} label={`Tell again of ${alert.of}`}>
            Tell again
          </Button>
        ) : (
          <Button act={() => silence(alert)} why={why} label={`Silence ${alert.of}`}>
            Silence
          </Button>
        )}
      </div>
    </li>
  );
}

function change(settings: AlertSettings): void {
  const field = (key: keyof AlertSettings, label: string) => ({ key, label, value: String(settings[key]) });
  question({
    title: "When something is told",
    fields: [
      field("mark_age_factor", "A mark is too old after so many runs without one"),
      field("space_warning_percent", "Used space, warning, in percent"),
      field("space_critical_percent", "Used space, critical, in percent"),
      field("repeat_hours", "What lasts is told again after so many hours, 0 for never"),
    ],
    verb: "Save",
    command: (values) =>
      `tidemark alert set --mark-age-factor ${values.mark_age_factor} --space-warning ${values.space_warning_percent} ` +
      `--space-critical ${values.space_critical_percent} --repeat-hours ${values.repeat_hours}`,
    act: async (values) => {
      const numbers = Object.entries(values).map(([key, text]) => [key, Number(text)]);
      await ask("PATCH", "/alert-settings", Object.fromEntries(numbers));
      return "It is told as you said.";
    },
  });
}

function Rules() {
  const { value: settings } = useLive<AlertSettings>("/alert-settings", 30_000);
  if (!settings) return null;
  return (
    <section class="card" aria-labelledby="rules">
      <div class="cardhead">
        <h2 id="rules">When something is told</h2>
        <Button act={() => change(settings)} why={whyNot("admin")}>
          Change when
        </Button>
      </div>
      <dl class="pairs">
        <dt>A mark is too old</dt>
        <dd>after {count(settings.mark_age_factor, "run")} of its policy without one</dd>
        <dt>Used space where the pool lies</dt>
        <dd>
          warning from {settings.space_warning_percent} %, critical from {settings.space_critical_percent} %
        </dd>
        <dt>What lasts</dt>
        <dd>
          {settings.repeat_hours > 0
            ? `is told again after ${count(settings.repeat_hours, "hour")}`
            : "is told once"}
        </dd>
        <dt>Always</dt>
        <dd>
          a volume or the pool that refuses changes, what is missing, damage, failed jobs, policies that take
          no mark, the certificate's last 30 days, the catalogue, the audit log
        </dd>
      </dl>
    </section>
  );
}

function History() {
  const { value: newest, problem } = useLive<Alert[]>(`/alert-history?limit=${PAGE}`);
  const [older, add] = useState<Alert[]>([]);
  const seen = new Set<number>();
  const all = [...(newest ?? []), ...older].filter((alert) => !seen.has(alert.id) && seen.add(alert.id));
  const more = () =>
    ask<Alert[]>("GET", `/alert-history?limit=${PAGE}&before=${all.at(-1)?.id ?? 0}`).then(
      (page) => (page.length > 0 ? add([...older, ...page]) : tell("That is all there is.")),
      (error: unknown) => tell(error instanceof Problem ? error.message : String(error), true),
    );
  return (
    <section class="card" aria-labelledby="history">
      <h2 id="history">History</h2>
      {problem && !newest && <Trouble problem={problem} what="history" />}
      {newest?.length === 0 && <p class="faint">No alert has resolved yet.</p>}
      {all.length > 0 && (
        <>
          <table class="list">
            <thead>
              <tr>
                <th>Alert</th>
                <th>Of</th>
                <th>What it was</th>
                <th>From</th>
                <th>Lasted</th>
              </tr>
            </thead>
            <tbody>
              {all.map((alert) => (
                <tr key={alert.id}>
                  <td data-label="Alert">
                    <SeverityBadge is="resolved" /> <small>{alert.severity}</small>
                  </td>
                  <td data-label="Of">{alert.of}</td>
                  <td data-label="What it was">
                    {alert.what}
                    {alert.acknowledged && (
                      <small class="path">acknowledged by {alert.acknowledged.by}</small>
                    )}
                  </td>
                  <td data-label="From">{moment(alert.first_ms)}</td>
                  <td data-label="Lasted">
                    {span((alert.resolved_ms ?? alert.first_ms) - alert.first_ms).replace(
                      "now",
                      "under 1 min",
                    )}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
          <div>
            <Button act={more}>Older ones</Button>
          </div>
        </>
      )}
    </section>
  );
}
