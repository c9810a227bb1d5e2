// The audit log: what was done by whom, and whether the log is as it was written.

import { useState } from "preact/hooks";
import { ask, Problem } from "../api";
import { moment } from "../format";
import { useLive } from "../live";
import { Badge, Button, Commands, Empty, Head, Loading, Trouble, tell } from "../parts/bits";

interface Entry {
  number: number;
  at_ms: number;
  who: string;
  role: string;
  origin: string;
  operation: string;
  object: string;
  detail: string;
  outcome: string;
}

const PAGE = 100;

/** What was asked for, without the brackets: "name mail, keep last=8 hourly=24". */
function readable(detail: string): string {
  // What stood after the question mark of the request comes first.
  const [asked = "", body = ""] = detail.startsWith("?") ? detail.split(/ (.*)/s) : ["", detail];
  let told: unknown;
  try {
    told = JSON.parse(body);
  } catch {
    return detail;
  }
  const inner = (value: unknown): string =>
    Array.isArray(value)
      ? value.map(inner).join(" ")
      : value && typeof value === "object"
        ? Object.entries(value)
            .map(([key, one]) => `${key}=${inner(one)}`)
            .join(" ")
        : String(value);
  if (!told || typeof told !== "object" || Array.isArray(told)) return detail;
  const parts = Object.entries(told).map(([key, value]) => `${key.replaceAll("_", " ")} ${inner(value)}`);
  return [...(asked ? [asked.slice(1)] : []), ...parts].join(", ");
}

export function Audit() {
  const { value: newest, problem } = useLive<Entry[]>(`/audit?limit=${PAGE}`);
  const [older, add] = useState<Entry[]>([]);
  const [word, find] = useState("");
  const seen = new Set<number>();
  const all = [...(newest ?? []), ...older].filter(
    (entry) => !seen.has(entry.number) && seen.add(entry.number),
  );
  const shown = all.filter((entry) =>
    Object.values(entry).some((text) => String(text).includes(word.trim())),
  );
  const fail = (error: unknown) => tell(error instanceof Problem ? error.message : String(error), true);
  const verify = () =>
    ask<{ is_whole: boolean; entries: number; finding?: string }>("GET", "/audit/verify").then(
      (verdict) =>
        verdict.is_whole
          ? tell(`The log is whole: ${verdict.entries} entries, each as it was written.`)
          : tell(verdict.finding ?? "The log is not as it was written.", true),
      fail,
    );
  const more = () =>
    ask<Entry[]>("GET", `/audit?limit=${PAGE}&before=${all.at(-1)?.number ?? 0}`).then(
      (page) => (page.length > 0 ? add([...older, ...page]) : tell("That is all there is.")),
      fail,
    );
  return (
    <>
      <Head
        title="Audit"
        about="Every change, newest first. Each entry carries a hash over the one before it."
      >
        {newest && <Button act={verify}>Verify the log</Button>}
      </Head>
      {problem && <Trouble problem={problem} what="audit log" />}
      {!newest && !problem && <Loading />}
      {newest?.length === 0 && (
        <Empty title="Nothing was changed yet">Each change will stand here with who made it.</Empty>
      )}
      {all.length > 0 && (
        <>
          <label class="search">
            <span>Find</span>
            <input
              type="search"
              value={word}
              onInput={(e) => find(e.currentTarget.value)}
              placeholder="who, what or where"
            />
          </label>
          <table class="list log">
            <thead>
              <tr>
                <th>When</th>
                <th>Who</th>
                <th>What</th>
                <th>Outcome</th>
              </tr>
            </thead>
            <tbody>
              {shown.map((entry) => (
                <tr key={entry.number}>
                  <td data-label="When">{moment(entry.at_ms)}</td>
                  <td data-label="Who">
                    {entry.who} <small>{entry.role}</small>
                    <small class="path">{entry.origin}</small>
                  </td>
                  <td data-label="What">
                    {entry.operation.split(" ")[0]} {entry.object}
                    {entry.detail && <small class="path">{readable(entry.detail)}</small>}
                  </td>
                  <td data-label="Outcome">
                    <Badge>{entry.outcome.split(":")[0]}</Badge>
                    {entry.outcome.includes(": ") && (
                      <small class="path">{entry.outcome.slice(entry.outcome.indexOf(": ") + 2)}</small>
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
      <Commands lines={["tidemark audit ls", "tidemark audit verify"]} />
    </>
  );
}
