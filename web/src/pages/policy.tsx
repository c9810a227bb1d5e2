// One policy: what it does, what came of its last runs, and which marks there will be at a date.

import { useState } from "preact/hooks";
import { ask, Problem, whyNot } from "../api";
import { count, moment } from "../format";
import { now, refresh, useLive } from "../live";
import { Badge, Button, Commands, Empty, Head, Loading, Trouble, tell } from "../parts/bits";
import { question } from "../parts/form";
import { dateIn, Foreseeing } from "../parts/rules";
import { go, to } from "../router";
import type { Outlook, Policy, PolicyRun } from "../types";
import { kept, pauses, times } from "./policies";

/** The newest runs, which most people look for. */
const RUNS_SHOWN = 8;
const CAUSES: Record<string, string> = {
  schedule: "it was time",
  changed: "so much had changed",
  passed: "so much time had passed",
  asked: "asked for",
};

const fail = (error: unknown) => tell(error instanceof Problem ? error.message : String(error), true);

function pause(name: string): void {
  question({
    title: `Pause policy ${name}`,
    about: "It takes no marks meanwhile, and makes up for none. Those that it took stay.",
    fields: [
      {
        key: "until",
        label: "Until",
        isOptional: true,
        hint: "Such as 2027-01-04 or 2027-01-04T06:00 by its clock. Left out, until somebody lets it go on.",
      },
    ],
    verb: "Pause it",
    command: ({ until }) =>
      `tidemark policy set ${name} ${until ? `--paused-until ${until}` : "--paused true"}`,
    act: async ({ until }) => {
      await ask(
        "PATCH",
        `/policies/${encodeURIComponent(name)}`,
        until ? { paused_until: until } : { is_paused: true },
      );
      return `Policy ${name} pauses${until ? ` until ${until}` : ""}.`;
    },
  });
}

export function PolicyPage({ name }: { name: string }) {
  const path = `/policies/${encodeURIComponent(name)}`;
  const { value: policy, problem } = useLive<Policy>(path);
  const { value: runs } = useLive<PolicyRun[]>(`${path}/runs`);
  const [isAll, showAll] = useState(false);
  const why = whyNot("operator");
  if (problem && !policy) {
    return (
      <>
        <Head title={name} />
        <Trouble problem={problem} what="policies" />
        <a href={to("policies")}>All policies</a>
      </>
    );
  }
  if (!policy) return <Loading />;
  const run = () =>
    ask<PolicyRun>("POST", `${path}/run`).then((ran) => {
      tell(said(ran), ran.outcome === "failed");
      refresh();
    }, fail);
  const isPaused = pauses(policy, now.value);
  const goOn = () =>
    ask("PATCH", path, { is_paused: false }).then(() => {
      tell(`Policy ${name} goes on.`);
      refresh();
    }, fail);
  const about = (
    <>
      {policy.group ? `Group ${policy.group}` : policy.volumes?.join(", ")}, {times(policy)}; keeps{" "}
      {kept(policy)}
      {policy.lock && `; locks each mark for ${policy.lock}`}
      {isPaused && (
        <>
          {" "}
          <Badge tone="warn">
            {policy.paused_until_ms ? `paused until ${moment(policy.paused_until_ms)}` : "paused"}
          </Badge>
        </>
      )}
    </>
  );
  return (
    <>
      <Head title={name} about={about}>
        <Button act={() => go("policies", name, "change")} why={why}>
          Change
        </Button>
        <Button act={isPaused ? goOn : () => pause(name)} why={why}>
          {isPaused ? "Go on" : "Pause"}
        </Button>
        <Button act={() => locks(policy)} why={why}>
          Lock its marks
        </Button>
        <Button act={run} why={why} tone="main">
          Run now
        </Button>
      </Head>
      <Preview path={path} />
      <section class="card">
        <h2>Last runs</h2>
        {runs?.length === 0 && <p class="faint">It has not run yet.</p>}
        {runs && runs.length > 0 && (
          <table class="list">
            <thead>
              <tr>
                <th>When</th>
                <th>Because</th>
                <th>What came of it</th>
                <th>Thinned</th>
              </tr>
            </thead>
            <tbody>
              {[...runs]
                .sort((a, b) => b.began_ms - a.began_ms)
                .slice(0, isAll ? runs.length : RUNS_SHOWN)
                .map((one) => (
                  <tr key={one.began_ms}>
                    <td data-label="When">
                      {moment(one.began_ms)}
                      {one.missed > 0 && (
                        <small class="path">{count(one.missed, "run")} before it missed</small>
                      )}
                    </td>
                    <td data-label="Because">{CAUSES[one.cause] ?? one.cause}</td>
                    <td data-label="What came of it">
                      <Badge
                        tone={one.outcome === "failed" ? "bad" : one.outcome === "taken" ? "good" : undefined}
                      >
                        {one.outcome}
                      </Badge>{" "}
                      {one.mark ?? one.why}
                      {one.left.map((reason) => (
                        <small class="path" key={reason}>
                          {reason}
                        </small>
                      ))}
                    </td>
                    <td data-label="Thinned">
                      {one.removed.length > 0 ? (
                        <details>
                          <summary>{count(one.removed.length, "mark")}</summary>
                          {one.removed.map((mark) => (
                            <small class="path" key={mark}>
                              {mark}
                            </small>
                          ))}
                        </details>
                      ) : (
                        "–"
                      )}
                    </td>
                  </tr>
                ))}
            </tbody>
          </table>
        )}
        {runs && runs.length > RUNS_SHOWN && !isAll && (
          <button type="button" class="link" onClick={() => showAll(true)}>
            All {runs.length} runs
          </button>
        )}
      </section>
      <Commands
        lines={[
          `tidemark policy show ${name}`,
          `tidemark policy run ${name}`,
          `tidemark policy runs ${name}`,
          `tidemark policy preview ${name} --at ${dateIn(30)}`,
        ]}
      />
    </>
  );
}

/** Asks for how long the marks are locked that it takes from now on. */
function locks(policy: Policy): void {
  question({
    title: `Lock the marks of policy ${policy.name}`,
    about:
      "Each mark that it takes from now on is locked for so long: nobody removes it before, admins neither, and a full " +
      "pool drops none. Marks that are locked already stay so, whatever is set here.",
    losses: ["the way to remove such a mark, or its volume, before its time"],
    fields: [
      {
        key: "span",
        label: "For how long",
        value: policy.lock ?? "30d",
        hint: "Such as 12h, 30d or 1y; none for no lock. All of them together must fit 256 marks.",
      },
    ],
    name: policy.name,
    verb: "Set it",
    command: ({ span }) => `tidemark policy set ${policy.name} --lock ${span || "SPAN"}`,
    act: async ({ span }) => {
      await ask("PATCH", `/policies/${encodeURIComponent(policy.name)}`, { lock: span });
      return span === "none"
        ? `Policy ${policy.name} locks no more marks.`
        : `Policy ${policy.name} locks each mark for ${span}.`;
    },
  });
}

function said(run: PolicyRun): string {
  switch (run.outcome) {
    case "taken":
      return `Mark ${run.mark} was taken.`;
    case "unchanged":
      return "Nothing has changed since its last mark, so none was taken.";
    case "overlapped":
      return "A run goes on already.";
    default:
      return run.why ?? "It did not work.";
  }
}

/** Which marks there will be, drawn as the timeline that they will make. */
function Preview({ path }: { path: string }) {
  const [at, set] = useState(dateIn(30));
  const { value: outlooks, problem } = useLive<Outlook[]>(
    `${path}/preview?at=${encodeURIComponent(at)}`,
    60_000,
  );
  return (
    <section class="card">
      <div class="head">
        <h2>What there will be</h2>
        <label class="search">
          <span>On</span>
          <input
            type="date"
            value={at}
            min={dateIn(1)}
            max={dateIn(366)}
            onChange={(e) => e.currentTarget.value && set(e.currentTarget.value)}
          />
        </label>
      </div>
      {problem && <Trouble problem={problem} what="preview" />}
      {!outlooks && !problem && <Loading />}
      {outlooks?.length === 0 && <Empty title="No volumes">The policy's group has none.</Empty>}
      {outlooks?.map((outlook) => (
        <Foreseeing key={outlook.volume} outlook={outlook} />
      ))}
      <p class="faint">Each run is taken to be on time and to find something changed.</p>
    </section>
  );
}
