// One volume: its timeline, the mark that is chosen, and its marks as a list.

import { useMemo, useState } from "preact/hooks";
import { Problem, whyNot } from "../api";
import { ago, count, moment, percent, size } from "../format";
import { now, refresh, useLive } from "../live";
import {
  Badge,
  Button,
  Commands,
  Empty,
  Head,
  Loading,
  Meter,
  StateBadge,
  Trouble,
  tell,
} from "../parts/bits";
import * as deeds from "../parts/deeds";
import { keptUntil, Timeline } from "../parts/timeline";
import { Load } from "../parts/traffic";
import { go, to } from "../router";
import type { Mark, Volume } from "../types";

const MARKS_MAX = 256;

export function VolumePage({ name }: { name: string }) {
  const { value: volume, problem } = useLive<Volume>(`/volumes/${encodeURIComponent(name)}`);
  const { value: told, problem: trouble } = useLive<Mark[]>(`/volumes/${encodeURIComponent(name)}/marks`);
  const { value: policies } = useLive<unknown[]>("/policies");
  const [chosen, choose] = useState<string | null>(null);
  const marks = useMemo(() => told && [...told].sort((a, b) => a.sequence - b.sequence), [told]);
  const why = whyNot("operator");
  if (problem && !volume) {
    return (
      <>
        <Head title={name} />
        <Trouble problem={problem} what="volumes" />
        <a href={to("volumes")}>All volumes</a>
      </>
    );
  }
  if (!volume) return <Loading />;
  const mark = marks?.find((one) => one.name === chosen) ?? marks?.at(-1);
  const about = (
    <>
      <StateBadge state={volume.state} /> {volume.kind === "thin" ? "thin" : `adopted: ${volume.path}`},{" "}
      {size(volume.size)}
    </>
  );
  return (
    <>
      <Head title={name} about={about}>
        <Button act={() => deeds.setVolume(volume)} why={why}>
          Settings
        </Button>
        {policies && (
          <Button act={() => go("protect", name)} why={why}>
            Protect
          </Button>
        )}
        <Button act={() => deeds.attach(name)} why={why}>
          Attach
        </Button>
        <Button act={() => deeds.takeMark(name)} why={why} tone="main">
          Take a mark
        </Button>
      </Head>
      {volume.reason && (
        <div class="trouble" role="alert">
          <strong>{volume.reason}</strong>
        </div>
      )}
      {volume.rollback && (
        <div class="progress">
          <span>
            Rolling back to {volume.rollback.to}:{" "}
            {percent(volume.rollback.done_blocks, volume.rollback.total_blocks)} copied
          </span>
          <Meter
            part={volume.rollback.done_blocks}
            whole={volume.rollback.total_blocks}
            label="copied"
            isProgress
          />
        </div>
      )}
      <Facts volume={volume} />
      {trouble && <Trouble problem={trouble} what="marks" />}
      {marks?.length === 0 && (
        <Empty title="No marks yet">
          A mark is a point in time to which this volume can go back, or of which a view can be opened while
          it goes on. It costs nearly nothing to take, at any load.
        </Empty>
      )}
      {marks && mark && (
        <>
          <Timeline
            marks={marks}
            chosen={mark.name}
            choose={choose}
            now={now.value}
            enter={() => document.querySelector<HTMLElement>("section.chosen .button")?.focus()}
          />
          <Chosen mark={mark} volume={volume} />
          <List marks={marks} chosen={mark.name} choose={choose} />
        </>
      )}
      <Load volume={name} />
      <Commands
        lines={[`tidemark volume show ${name}`, `tidemark mark ls ${name}`, `tidemark traffic ${name}`]}
      />
      <section class="end" aria-label="Rare things">
        <h2>Rarely needed</h2>
        <div class="actions">
          <Button act={() => deeds.scrub(name)} why={why}>
            Scrub
          </Button>
          <Button act={() => deeds.undo(name)} why={why}>
            Undo the last rollback
          </Button>
          {volume.kind === "adopted" && (
            <Button act={() => deeds.release(volume)} why={why} tone="bad">
              Release the disk
            </Button>
          )}
          {volume.kind === "thin" && (
            <Button act={() => deeds.removeVolume(volume)} why={why} tone="bad">
              Remove the volume
            </Button>
          )}
        </div>
      </section>
    </>
  );
}

function Facts({ volume }: { volume: Volume }) {
  return (
    <dl class="facts">
      <div>
        <dt>Used</dt>
        <dd>
          {size(volume.allocated_bytes)}
          <Meter part={volume.allocated_bytes} whole={volume.size} label="used" />
        </dd>
      </div>
      <div>
        <dt>Preserved for marks</dt>
        <dd>{size(volume.preserved_bytes)}</dd>
      </div>
      <div>
        <dt>Marks</dt>
        <dd>
          {volume.marks} <small>of {MARKS_MAX}</small>
          <Meter part={volume.marks} whole={MARKS_MAX} label="marks" />
        </dd>
      </div>
      <div>
        <dt>In the journal, not yet in place</dt>
        <dd>{size(volume.unapplied_bytes)}</dd>
      </div>
    </dl>
  );
}

function Chosen({ mark, volume }: { mark: Mark; volume: Volume }) {
  const why = whyNot("operator");
  const lock = mark.is_locked
    ? `${mark.name} is ${keptUntil("locked", mark.locked_until_ms)}; nobody can unlock it before.`
    : undefined;
  const inUse = mark.is_held
    ? `${mark.name} is ${keptUntil("held", mark.held_until_ms)}: release the hold first.`
    : mark.views.length > 0
      ? `${mark.name} has ${count(mark.views.length, "view")} (${mark.views.join(", ")}): drop or promote first.`
      : undefined;
  const fail = (error: unknown) =>
    tell(error instanceof Problem ? `${error.message}; ${error.wayOut ?? ""}` : String(error), true);
  const letGo = () =>
    deeds.letGo(mark).then(() => {
      tell(`${mark.name} is no longer held.`);
      refresh();
    }, fail);
  return (
    <section class="chosen" aria-label="The chosen mark">
      <div>
        <h2>{mark.name}</h2>
        <p>
          {moment(mark.taken_ms)} <span class="faint">({ago(mark.taken_ms, now.value)})</span>
        </p>
        <p class="badges">
          <Badge tone={mark.grade === "application" ? "good" : "info"}>{mark.grade}-consistent</Badge>
          <Badge tone={mark.proof === "verified" ? "good" : mark.proof === "failed" ? "bad" : undefined}>
            {mark.proof}
          </Badge>
          <Badge>{size(mark.size)}</Badge>
          <Badge>takes up to {size(mark.frees_most_bytes)}</Badge>
          {mark.is_locked && <Badge tone="warn">{keptUntil("locked", mark.locked_until_ms)}</Badge>}
          {mark.is_held && <Badge tone="warn">{keptUntil("held", mark.held_until_ms)}</Badge>}
          {mark.views.map((view) => (
            <a key={view} class="badge info" href={to("views")}>
              view/{view}
            </a>
          ))}
        </p>
      </div>
      <div class="actions">
        <Button act={() => deeds.openView(mark)} why={whyNot("helpdesk")} tone="main">
          Open a view
        </Button>
        <Button
          act={() => deeds.rollBack(mark)}
          why={why ?? (volume.rollback ? "A rollback is still being copied." : undefined)}
        >
          Roll back
        </Button>
        <Button act={mark.is_held ? letGo : () => deeds.hold(mark)} why={why}>
          {mark.is_held ? "Release the hold" : "Hold"}
        </Button>
        <Button act={() => deeds.lock(mark)} why={why}>
          {mark.is_locked ? "Lock longer" : "Lock"}
        </Button>
        <Button act={() => deeds.removeMark(mark).catch(fail)} why={why ?? lock ?? inUse} tone="bad">
          Delete
        </Button>
      </div>
    </section>
  );
}

/** What keeps a mark, beside views. */
function kept(mark: Mark): string {
  const lock = mark.is_locked ? [keptUntil("locked", mark.locked_until_ms)] : [];
  const hold = mark.is_held ? [keptUntil("held", mark.held_until_ms)] : [];
  return [...lock, ...hold].join(", ") || "–";
}

function List({ marks, chosen, choose }: { marks: Mark[]; chosen: string; choose: (name: string) => void }) {
  return (
    <details class="marks">
      <summary>{count(marks.length, "mark")} as a list</summary>
      <table class="list">
        <thead>
          <tr>
            <th>Name</th>
            <th>Taken</th>
            <th>Grade</th>
            <th>Kept</th>
            <th>Frees up to</th>
            <th>Views</th>
          </tr>
        </thead>
        <tbody>
          {[...marks].reverse().map((mark) => (
            <tr key={mark.id} class={mark.name === chosen ? "chosen" : ""}>
              <td data-label="Name">
                <button
                  type="button"
                  class="link"
                  onClick={() => choose(mark.name)}
                  aria-pressed={mark.name === chosen}
                >
                  {mark.name}
                </button>
              </td>
              <td data-label="Taken">{moment(mark.taken_ms)}</td>
              <td data-label="Grade">{mark.grade}</td>
              <td data-label="Kept">{kept(mark)}</td>
              <td data-label="Frees up to">{size(mark.frees_most_bytes)}</td>
              <td data-label="Views">{mark.views.join(", ") || "–"}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </details>
  );
}
